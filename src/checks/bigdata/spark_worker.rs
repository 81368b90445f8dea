//! spark_worker: JVM of a worker of a standalone Spark, and how many of its cores and how much of its memory are used.

use super::CONF;
use super::spark::{self, MEGABYTE, Tables};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_spark_worker",
    purpose: "JVM, cores and memory of a worker of Spark",
    check_type: "spark",
    conf: CONF,
    section: "Spark-Worker",
    keys: &[spark::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[JVM, CMS, PARNEW, G1_OLD, G1_YOUNG, OTHER, WORKER, &[EXECUTORS]],
    charts: CHARTS,
    build: |section| {
        spark::check(section, &TABLES, |page, out| {
            out.pick_present(&json::row(page, WORKER), WORKER, &Tags::default());
            spark::tell_length(page, &EXECUTORS, out);
        })
    },
};

static TABLES: Tables = Tables {
    wanted: "what a worker of Spark has at /json/",
    sure: EXECUTORS.cell,
    jvm: JVM,
    collectors: &[("cms", CMS), ("parnew", PARNEW), ("g1_old", G1_OLD), ("g1_young", G1_YOUNG)],
    other: OTHER,
};

const CHARTS: &[Chart] = &[
    Chart::new("Cores").of(&["spark_worker_coresused", "spark_worker_cores"]),
    Chart::new("Memory for executors").of(&["spark_worker_memoryused", "spark_worker_memory"]),
    Chart::new("Executors").of(&["spark_worker_executors"]),
    Chart::new("Heap").of(&["spark_worker_heap_used", "spark_worker_heap_committed", "spark_worker_heap_max"]),
    Chart::new("Beside the heap").of(&[
        "spark_worker_nonheap_used",
        "spark_worker_nonheap_committed",
        "spark_worker_nonheap_max",
    ]),
    Chart::new("Threads").of(&[
        "spark_worker_threadcount",
        "spark_worker_daemonthreadcount",
        "spark_worker_peakthreadcount",
    ]),
    Chart::new("Time in garbage collection").of(&[
        "spark_worker_g1_young_collectiontime",
        "spark_worker_g1_old_collectiontime",
        "spark_worker_parnew_collectiontime",
        "spark_worker_cms_collectiontime",
        "spark_worker_{gc}_collectiontime",
    ]),
    Chart::new("Last garbage collection").of(&[
        "spark_worker_g1_young_lastgcinfo",
        "spark_worker_g1_old_lastgcinfo",
        "spark_worker_parnew_lastgcinfo",
        "spark_worker_cms_lastgcinfo",
        "spark_worker_{gc}_lastgcinfo",
    ]),
    Chart::new("Garbage collections").of(&[
        "spark_worker_g1_young_collectioncount",
        "spark_worker_g1_old_collectioncount",
        "spark_worker_parnew_collection_count",
        "spark_worker_cms_collection_count",
        "spark_worker_{gc}_collectioncount",
    ]),
];

const WORKER: &[Field] = &[
    gauge("/cores", "spark_worker_cores", "cores").int(),
    gauge("/coresused", "spark_worker_coresused", "cores").int(),
    gauge("/memory", "spark_worker_memory", "bytes").scale(MEGABYTE).int(),
    gauge("/memoryused", "spark_worker_memoryused", "bytes").scale(MEGABYTE).int(),
];
/// An array whose length is emitted.
const EXECUTORS: Field = gauge("/executors", "spark_worker_executors", "executors").int();

/// Memory and threads.
const JVM: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "spark_worker_nonheap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "spark_worker_heap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "spark_worker_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "spark_worker_nonheap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/committed", "spark_worker_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "spark_worker_heap_max", "bytes").int().reaction(-3),
    gauge("/PeakThreadCount", "spark_worker_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "spark_worker_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "spark_worker_daemonthreadcount", "threads").int(),
];

const CMS: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_worker_cms_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "spark_worker_cms_collection_count", "runs"),
    rate("/CollectionTime", "spark_worker_cms_collectiontime", "ms/s"),
];
const PARNEW: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_worker_parnew_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "spark_worker_parnew_collection_count", "runs"),
    rate("/CollectionTime", "spark_worker_parnew_collectiontime", "ms/s"),
];
const G1_OLD: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_worker_g1_old_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "spark_worker_g1_old_collectiontime", "ms/s"),
    counter("/CollectionCount", "spark_worker_g1_old_collectioncount", "runs").reaction(-3),
];
const G1_YOUNG: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_worker_g1_young_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "spark_worker_g1_young_collectiontime", "ms/s"),
    counter("/CollectionCount", "spark_worker_g1_young_collectioncount", "runs").reaction(-3),
];
/// Fields for any other collector.
const OTHER: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_worker_{gc}_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "spark_worker_{gc}_collectiontime", "ms/s"),
    counter("/CollectionCount", "spark_worker_{gc}_collectioncount", "runs"),
];
