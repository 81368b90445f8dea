//! Elasticsearch 1: the same as of later ones, with the names and the meaning that the original gave to its numbers.

use super::CONF;
use super::search::{FILTER_CACHE, INGEST, IS_MASTER, KEYS, NODE, Own, SHARDS, SIZE, search};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_elasticsearch1x",
    purpose: "a node of Elasticsearch 1, health and size of its cluster",
    check_type: "elasticsearch",
    conf: CONF,
    section: "ElasticSearch",
    keys: &[KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[SIZE, &[INGEST, SHARDS, IS_MASTER], NODE, OWN],
    charts: CHARTS,
    build: |section| {
        let none: &[Field] = &[];
        search(section, Own { node: &[OWN], query_cache: none, collections: none, health: none, has_pools: false })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Searches").of(&["elasticsearch_search_total", "elasticsearch_fetch_total", "elasticsearch_get_total"]),
    Chart::new("Time of searches").of(&[
        "elasticsearch_search_search_time",
        "elasticsearch_fetch_time",
        "elasticsearch_get_time",
    ]),
    Chart::new("Indexing").of(&["elasticsearch_index_total", "elasticsearch_delete_total"]),
    Chart::new("Time of indexing").of(&[
        "elasticsearch_index_time",
        "elasticsearch_refresh_time",
        "elasticsearch_merge_time",
    ]),
    Chart::new("Heap").of(&["elasticsearch_heap_used", "elasticsearch_heap_committed"]),
    Chart::new("Time in collections of garbage")
        .of(&["elasticsearch_gc_young_time_ms", "elasticsearch_gc_old_time_ms"]),
    Chart::new("Collections of garbage").of(&["elasticsearch_gc_young_count", "elasticsearch_gc_old_count"]),
    Chart::new("Documents of the cluster").of(&["elasticsearch_cluster_docs"]),
    Chart::new("Size of the cluster").of(&["elasticsearch_cluster_storage_usage"]),
    Chart::new("Open files").of(&["elasticsearch_open_files"]),
    Chart::new("Connections").of(&["elasticsearch_http_connections"]),
];

const OWN: &[Field] = &[
    rate(FILTER_CACHE, "elasticsearch_filter_cache_evictions", "1/s"),
    // Milliseconds in a second: check_elasticsearch has those of a collection under this name.
    rate("/jvm/gc/collectors/young/collection_time_in_millis", "elasticsearch_gc_young_time_ms", "ms"),
    rate("/jvm/gc/collectors/old/collection_time_in_millis", "elasticsearch_gc_old_time_ms", "ms"),
    gauge("/jvm/mem/heap_committed_in_bytes", "elasticsearch_heap_committed", "bytes").int().reaction(-3),
    gauge("/jvm/mem/non_heap_committed_in_bytes", "elasticsearch_non_heap_committed", "bytes").int().reaction(-3),
];
