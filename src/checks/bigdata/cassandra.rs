//! cassandra: JVM, caches, thread pools and compactions of Cassandra 2.0 and 2.1, through Jolokia (Cassandra 2.1,
//! "Monitoring").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Beans, Out, Runs, Spec, jolokia, jvm};
use crate::fetch::http;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_cassandra",
    purpose: "caches, thread pools, compactions and JVM of Cassandra 2.0 and 2.1",
    check_type: "cassandra",
    conf: CONF,
    section: "Cassandra",
    keys: &[&["jolokia"], http::KEYS],
    runs: Runs::Own,
    fields: &[CACHES, POOLS, COMPACTION, JVM, CMS, PARNEW, G1_OLD, G1_YOUNG, OTHER],
    charts: CHARTS,
    build: |section| {
        jolokia(section, "jolokia", BEANS, |beans, out| {
            tell(beans, out);
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests of clients").of(&["cassa_native_transport_requests"]),
    Chart::new("Reads and writes").of(&["cassa_readstage", "cassa_mutationstage", "cassa_requestresponsestage"]),
    Chart::new("Compactions that wait").of(&["cassa_pending_compactions"]),
    Chart::new("Key cache").of(&["cassa_keycacherequests", "cassa_keycachehits"]),
    Chart::new("Row cache").of(&["cassa_rowcacherequests", "cassa_rowcachehits"]),
    HEAP,
    Chart::new("Time in garbage collection").of(&[
        "cassa_g1_young_CollectionTime",
        "cassa_g1_old_CollectionTime",
        "cassa_parnew_collection_time",
        "cassa_cms_collection_time",
        "cassa_{gc}_collection_time",
    ]),
    Chart::new("Last garbage collection").of(&[
        "cassa_G1_young_LastGcInfo",
        "cassa_G1_old_LastGcInfo",
        "cassa_parnew_lastgcinfo",
        "cassa_cms_lastgcinfo",
        "cassa_{gc}_lastgcinfo",
    ]),
    Chart::new("Garbage collections").of(&[
        "cassa_g1_young_CollectionCount",
        "cassa_g1_old_CollectionCount",
        "cassa_parnew_collection_count",
        "cassa_cms_collection_count",
        "cassa_{gc}_collection_count",
    ]),
    THREADS,
    NONHEAP,
];

/// Charts of both Cassandra checks.
pub const HEAP: Chart = Chart::new("Heap").of(&["cassa_heap_used", "cassa_heap_committed", "cassa_heap_max"]);
pub const THREADS: Chart =
    Chart::new("Threads").of(&["cassa_threadcount", "cassa_daemonthreadcount", "cassa_peakthreadcount"]);
pub const NONHEAP: Chart =
    Chart::new("Beside the heap").of(&["cassa_nonheap_used", "cassa_nonheap_committed", "cassa_nonheap_max"]);

const BEANS: &[Bean] = &[
    jvm::RUNTIME,
    jvm::MEMORY,
    jvm::THREADS,
    jvm::COLLECTORS,
    Bean {
        name: "org.apache.cassandra.db:type=Caches",
        attributes: &["RowCacheHits", "KeyCacheHits", "RowCacheRequests", "KeyCacheRequests"],
    },
    Bean { name: "org.apache.cassandra.request:type=*", attributes: &["CompletedTasks"] },
    Bean { name: "org.apache.cassandra.transport:type=Native-Transport-Requests", attributes: &["CompletedTasks"] },
    Bean { name: "org.apache.cassandra.metrics:type=Compaction,name=PendingTasks", attributes: &["Value"] },
];

/// Emitted only if not 0: a cache that is switched off counts nothing.
const CACHES: &[Field] = &[
    rate("/RowCacheHits", "cassa_rowcachehits", "1/s"),
    rate("/KeyCacheHits", "cassa_keycachehits", "1/s"),
    rate("/RowCacheRequests", "cassa_rowcacherequests", "1/s"),
    rate("/KeyCacheRequests", "cassa_keycacherequests", "1/s"),
];

/// A cell starts with the type of the MBean.
const POOLS: &[Field] = &[
    rate("Native-Transport-Requests/CompletedTasks", "cassa_native_transport_requests", "1/s"),
    rate("RequestResponseStage/CompletedTasks", "cassa_requestresponsestage", "1/s"),
    rate("ReadStage/CompletedTasks", "cassa_readstage", "1/s"),
    rate("MutationStage/CompletedTasks", "cassa_mutationstage", "1/s"),
];

const COMPACTION: &[Field] = &[gauge("/Value", "cassa_pending_compactions", "tasks").int()];

/// Memory and threads, for all versions.
pub const JVM: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "cassa_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "cassa_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "cassa_nonheap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/used", "cassa_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "cassa_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "cassa_heap_max", "bytes").int().reaction(-3),
    gauge("/TotalStartedThreadCount", "cassa_totalstartedthreadcount", "threads").int(),
    gauge("/PeakThreadCount", "cassa_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "cassa_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "cassa_daemonthreadcount", "threads").int(),
];

const CMS: &[Field] = &[
    gauge("/LastGcInfo/duration", "cassa_cms_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "cassa_cms_collection_count", "runs"),
    rate("/CollectionTime", "cassa_cms_collection_time", "ms/s"),
];
const PARNEW: &[Field] = &[
    gauge("/LastGcInfo/duration", "cassa_parnew_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "cassa_parnew_collection_count", "runs"),
    rate("/CollectionTime", "cassa_parnew_collection_time", "ms/s"),
];
const G1_OLD: &[Field] = &[
    gauge("/LastGcInfo/duration", "cassa_G1_old_LastGcInfo", "ms").int(),
    rate("/CollectionTime", "cassa_g1_old_CollectionTime", "ms/s"),
    counter("/CollectionCount", "cassa_g1_old_CollectionCount", "runs"),
];
const G1_YOUNG: &[Field] = &[
    gauge("/LastGcInfo/duration", "cassa_G1_young_LastGcInfo", "ms").int(),
    rate("/CollectionTime", "cassa_g1_young_CollectionTime", "ms/s"),
    counter("/CollectionCount", "cassa_g1_young_CollectionCount", "runs"),
];
const COLLECTORS: &[(&str, &[Field])] = &[("cms", CMS), ("parnew", PARNEW), ("g1_old", G1_OLD), ("g1_young", G1_YOUNG)];
/// Fields for any other collector.
const OTHER: &[Field] = &[
    gauge("/LastGcInfo/duration", "cassa_{gc}_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "cassa_{gc}_collection_time", "ms/s"),
    counter("/CollectionCount", "cassa_{gc}_collection_count", "runs"),
];

fn tell(beans: &Beans, out: &mut Out) {
    let none = Tags::default();
    let [runtime, memory, threads, collectors, caches, stages, transport, compaction] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|place| beans.at(place));
    jvm::counted(runtime, out);
    [memory, threads].iter().for_each(|found| jvm::tell(found, JVM, &none, out));
    jvm::tell_named(collectors, COLLECTORS, OTHER, out);
    caches.iter().for_each(|found| tell_caches(found, out));
    [stages, transport].iter().for_each(|found| jvm::tell_of(found, &["type"], &[], POOLS, out));
    jvm::tell(compaction, COMPACTION, &none, out);
    match (stages, compaction) {
        ([], []) => out.fault("no MBeans of Cassandra in this JVM: has it started, and is this its Jolokia?"),
        ([], _) => {
            out.fault("no thread pools of Cassandra 2.0 or 2.1: for 2.2 and later, enable check_cassandra3 instead")
        }
        _ => {}
    }
}

fn tell_caches(found: &Found, out: &mut Out) {
    for field in CACHES {
        if let Some(count @ 1..) = json::count(&found.attributes, field.cell) {
            out.put(field, count, &Tags::default());
        }
    }
}
