//! spark_master: JVM of the master of a standalone Spark, and workers, cores, memory and applications of the cluster.

use super::CONF;
use super::spark::{self, MEGABYTE, Tables};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_spark_master",
    purpose: "JVM, workers and applications of a master of Spark",
    check_type: "spark",
    conf: CONF,
    section: "Spark-Master",
    keys: &[spark::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[JVM, CMS, PARNEW, G1_OLD, G1_YOUNG, OTHER, &[ALIVE, WORKERS], CLUSTER, LENGTHS],
    charts: CHARTS,
    build: |section| spark::check(section, &TABLES, tell),
};

static TABLES: Tables = Tables {
    wanted: "what a master of Spark has at /json/",
    sure: "/workers",
    jvm: JVM,
    collectors: &[("cms", CMS), ("parnew", PARNEW), ("g1_old", G1_OLD), ("g1_young", G1_YOUNG)],
    other: OTHER,
};

const CHARTS: &[Chart] = &[
    Chart::new("Cores").of(&["spark_master_coresused", "spark_master_cores"]),
    Chart::new("Memory of the workers").of(&["spark_master_memoryused", "spark_master_memory"]),
    Chart::new("Applications and drivers").of(&["spark_master_activeapps", "spark_master_activedrivers"]),
    Chart::new("Workers").of(&["spark_master_aliveworkers"]),
    Chart::new("Leading").of(&["spark_master_alive"]).full(1.0),
    Chart::new("Heap").of(&["spark_master_heap_used", "spark_master_heap_committed", "spark_master_heap_max"]),
    Chart::new("Beside the heap").of(&[
        "spark_master_nonheap_used",
        "spark_master_nonheap_committed",
        "spark_master_nonheap_max",
    ]),
    Chart::new("Threads").of(&[
        "spark_master_threadcount",
        "spark_master_daemonthreadcount",
        "spark_master_peakthreadcount",
    ]),
    Chart::new("Time in garbage collection").of(&[
        "spark_master_g1_young_collectiontime",
        "spark_master_g1_old_collectiontime",
        "spark_master_parnew_collectiontime",
        "spark_master_cms_collectiontime",
        "spark_master_{gc}_collectiontime",
    ]),
    Chart::new("Last garbage collection").of(&[
        "spark_master_g1_young_lastgcinfo",
        "spark_master_g1_old_lastgcinfo",
        "spark_master_parnew_lastgcinfo",
        "spark_master_cms_lastgcinfo",
        "spark_master_{gc}_lastgcinfo",
    ]),
    Chart::new("Garbage collections").of(&[
        "spark_master_g1_young_collectioncount",
        "spark_master_g1_old_collectioncount",
        "spark_master_parnew_collection_count",
        "spark_master_cms_collection_count",
        "spark_master_{gc}_collectioncount",
    ]),
];

/// Whether this master is the leader, neither on standby nor recovering.
const ALIVE: Field = gauge("/status", "spark_master_alive", "0 or 1").int();
const WORKERS: Field = gauge("/aliveworkers", "spark_master_aliveworkers", "workers").int();

/// Metrics of the cluster, which only the leader knows.
const CLUSTER: &[Field] = &[
    gauge("/cores", "spark_master_cores", "cores").int(),
    gauge("/coresused", "spark_master_coresused", "cores").int(),
    gauge("/memory", "spark_master_memory", "bytes").scale(MEGABYTE).int(),
    gauge("/memoryused", "spark_master_memoryused", "bytes").scale(MEGABYTE).int(),
];
/// Arrays whose lengths are emitted.
const LENGTHS: &[Field] = &[
    gauge("/activeapps", "spark_master_activeapps", "applications").int(),
    gauge("/activedrivers", "spark_master_activedrivers", "drivers").int(),
];

/// Memory and threads.
const JVM: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "spark_master_nonheap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "spark_master_heap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "spark_master_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "spark_master_nonheap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/committed", "spark_master_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "spark_master_heap_max", "bytes").int().reaction(-3),
    gauge("/PeakThreadCount", "spark_master_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "spark_master_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "spark_master_daemonthreadcount", "threads").int(),
];

const CMS: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_master_cms_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "spark_master_cms_collection_count", "runs"),
    rate("/CollectionTime", "spark_master_cms_collectiontime", "ms/s"),
];
const PARNEW: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_master_parnew_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "spark_master_parnew_collection_count", "runs"),
    rate("/CollectionTime", "spark_master_parnew_collectiontime", "ms/s"),
];
const G1_OLD: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_master_g1_old_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "spark_master_g1_old_collectiontime", "ms/s"),
    counter("/CollectionCount", "spark_master_g1_old_collectioncount", "runs").reaction(-3),
];
const G1_YOUNG: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_master_g1_young_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "spark_master_g1_young_collectiontime", "ms/s"),
    counter("/CollectionCount", "spark_master_g1_young_collectioncount", "runs").reaction(-3),
];
/// Fields for any other collector.
const OTHER: &[Field] = &[
    gauge("/LastGcInfo/duration", "spark_master_{gc}_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "spark_master_{gc}_collectiontime", "ms/s"),
    counter("/CollectionCount", "spark_master_{gc}_collectioncount", "runs"),
];

fn tell(page: &Value, out: &mut Out) {
    let none = Tags::default();
    let is_alive = |json: &Value, place| json::text(json, place) == Some("ALIVE");
    out.put(&ALIVE, u64::from(is_alive(page, ALIVE.cell)), &none);
    if !is_alive(page, ALIVE.cell) {
        return;
    }
    let counted = json::array(page, "/workers").iter().filter(|worker| is_alive(worker, "/state")).count() as u64;
    out.put(&WORKERS, json::count(page, WORKERS.cell).unwrap_or(counted), &none);
    out.pick_present(&json::row(page, CLUSTER), CLUSTER, &none);
    LENGTHS.iter().for_each(|field| spark::tell_length(page, field, out));
}
