//! elasticsearch1x: the same for Elasticsearch 1, with the names and units of the original.

use super::search::{FILTER_CACHE, INGEST, IS_MASTER, KEYS, NODE, Own, SHARDS, SIZE};
use super::{CONF, search};
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
        search::search(
            section,
            Own { node: &[OWN], query_cache: none, collections: none, health: none, has_pools: false },
        )
    },
};

const CHARTS: &[Chart] = &[
    search::SEARCHES,
    search::SEARCH_TIME,
    search::INDEXING,
    search::INDEXING_TIME,
    Chart::new("Heap").of(&["elasticsearch_heap_used", "elasticsearch_heap_committed"]),
    Chart::new("Time in collections of garbage")
        .of(&["elasticsearch_gc_young_time_ms", "elasticsearch_gc_old_time_ms"]),
    search::COLLECTION_COUNT,
    search::DOCUMENTS,
    search::STORAGE,
    search::OPEN_FILES,
    search::CONNECTIONS,
];

const OWN: &[Field] = &[
    rate(FILTER_CACHE, "elasticsearch_filter_cache_evictions", "1/s"),
    // In milliseconds per second. Under the same name, check_elasticsearch has milliseconds per collection.
    rate("/jvm/gc/collectors/young/collection_time_in_millis", "elasticsearch_gc_young_time_ms", "ms"),
    rate("/jvm/gc/collectors/old/collection_time_in_millis", "elasticsearch_gc_old_time_ms", "ms"),
    gauge("/jvm/mem/heap_committed_in_bytes", "elasticsearch_heap_committed", "bytes").int().reaction(-3),
    gauge("/jvm/mem/non_heap_committed_in_bytes", "elasticsearch_non_heap_committed", "bytes").int().reaction(-3),
];
