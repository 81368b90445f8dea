//! elasticsearch: searches, indexing, memory, garbage collection, disk and threads of a node, and health and size of
//! its cluster, for Elasticsearch from 2 on, and OpenSearch.

use super::search::{INGEST, IS_MASTER, KEYS, NODE, Own, POOLS, REJECTED, SHARDS, SIZE, TRIPPED};
use super::{CONF, search};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, gauge, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_elasticsearch",
    purpose: "nodes of Elasticsearch and OpenSearch, health and size of their cluster",
    check_type: "elasticsearch",
    conf: CONF,
    section: "ElasticSearch",
    keys: &[KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[
        SIZE,
        &[INGEST, SHARDS],
        HEALTH,
        &[IS_MASTER],
        NODE,
        COLLECTIONS,
        OWN,
        QUERY_CACHE,
        POOLS,
        &[REJECTED, TRIPPED],
    ],
    charts: CHARTS,
    build: |section| {
        let node: &[&[Field]] = &[OWN, &[TRIPPED]];
        search::search(
            section,
            Own { node, query_cache: QUERY_CACHE, collections: COLLECTIONS, health: HEALTH, has_pools: true },
        )
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Shards that are missing")
        .of(&[
            "elasticsearch_unassigned_shards",
            "elasticsearch_initializing_shards",
            "elasticsearch_relocating_shards",
            "elasticsearch_delayed_unassigned_shards",
        ])
        .events(&["ElasticSearch-Health"]),
    search::SEARCHES,
    search::SEARCH_TIME,
    search::INDEXING,
    search::INDEXING_TIME,
    Chart::new("Memory in use").of(&["elasticsearch_heap_used_percent"]).full(100.0),
    Chart::new("Heap").of(&["elasticsearch_heap_used", "elasticsearch_heap_commited"]),
    Chart::new("Time of a collection of garbage")
        .of(&["elasticsearch_gc_young_time_ms", "elasticsearch_gc_old_time_ms"]),
    search::COLLECTION_COUNT,
    Chart::new("Processor").of(&["elasticsearch_cpu_percent"]).full(100.0),
    Chart::new("Disk").of(&["elasticsearch_fs_available", "elasticsearch_fs_total"]),
    Chart::new("Requests refused to save memory").of(&["elasticsearch_breaker_tripped"]).each("breaker"),
    Chart::new("Tasks").of(&["elasticsearch_thread_pool"]).each("pool"),
    Chart::new("Tasks that were refused").of(&["elasticsearch_thread_pool_rejected"]).each("pool"),
    Chart::new("Cache of queries").of(&[
        "elasticsearch_query_cache_hit",
        "elasticsearch_query_cache_mis",
        "elasticsearch_query_cache_evictions",
    ]),
    Chart::new("Merges").of(&["elasticsearch_merge_size"]),
    search::DOCUMENTS,
    Chart::new("New documents of the cluster").of(&["elasticsearch_cluster_ingest_rate"]),
    search::STORAGE,
    Chart::new("Nodes").of(&["elasticsearch_nodes", "elasticsearch_data_nodes"]),
    Chart::new("Tasks of the master that wait").of(&["elasticsearch_pending_tasks"]),
    search::OPEN_FILES,
    search::CONNECTIONS,
];

const HEALTH: &[Field] = &[
    gauge("/active_shards", "elasticsearch_active_shards", "shards").int(),
    gauge("/relocating_shards", "elasticsearch_relocating_shards", "shards").int(),
    gauge("/initializing_shards", "elasticsearch_initializing_shards", "shards").int(),
    gauge("/unassigned_shards", "elasticsearch_unassigned_shards", "shards").int(),
    gauge("/delayed_unassigned_shards", "elasticsearch_delayed_unassigned_shards", "shards").int(),
    percent("/active_shards_percent_as_number", "elasticsearch_active_shards_percent"),
    gauge("/number_of_nodes", "elasticsearch_nodes", "nodes").int(),
    gauge("/number_of_data_nodes", "elasticsearch_data_nodes", "nodes").int(),
    gauge("/number_of_pending_tasks", "elasticsearch_pending_tasks", "tasks").int(),
];

/// Mean duration of a collection since the last tick, in milliseconds.
const COLLECTIONS: &[Field] = &[
    gauge("/jvm/gc/collectors/young", "elasticsearch_gc_young_time_ms", "ms"),
    gauge("/jvm/gc/collectors/old", "elasticsearch_gc_old_time_ms", "ms"),
];

const OWN: &[Field] = &[
    gauge("/jvm/mem/heap_committed_in_bytes", "elasticsearch_heap_commited", "bytes").int(),
    gauge("/jvm/mem/non_heap_committed_in_bytes", "elasticsearch_non_heap_commited", "bytes").int(),
    percent("/jvm/mem/heap_used_percent", "elasticsearch_heap_used_percent"),
    percent("/process/cpu/percent", "elasticsearch_cpu_percent"),
    gauge("/fs/total/available_in_bytes", "elasticsearch_fs_available", "bytes").int(),
    gauge("/fs/total/total_in_bytes", "elasticsearch_fs_total", "bytes").int(),
    gauge("/indices/docs/deleted", "elasticsearch_docs_deleted", "documents").int(),
    gauge("/indices/segments/count", "elasticsearch_segments", "segments").int(),
    gauge("/indices/translog/size_in_bytes", "elasticsearch_translog_size", "bytes").int(),
    gauge("/indices/fielddata/memory_size_in_bytes", "elasticsearch_fielddata_size", "bytes").int(),
    rate("/indices/request_cache/hit_count", "elasticsearch_request_cache_hit", "1/s"),
    rate("/indices/request_cache/miss_count", "elasticsearch_request_cache_miss", "1/s"),
];

const QUERY_CACHE: &[Field] = &[
    rate("/indices/query_cache/evictions", "elasticsearch_query_cache_evictions", "1/s"),
    rate("/indices/query_cache/hit_count", "elasticsearch_query_cache_hit", "1/s"),
    rate("/indices/query_cache/miss_count", "elasticsearch_query_cache_mis", "1/s"),
];
