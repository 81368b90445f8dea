//! cassandra3: JVM, requests and their failures, caches, compactions and queues of Cassandra 2.2 and later, through
//! Jolokia (Cassandra documentation, "Monitoring", "Metrics", 3.11 to 5.0).

use super::CONF;
use super::cassandra::{HEAP, JVM, NONHEAP, THREADS};
use crate::check::chart::Chart;
use crate::check::{Beans, Out, Runs, Spec, jolokia, jvm};
use crate::fetch::http;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_cassandra3",
    purpose: "requests, caches, compactions and JVM of Cassandra 2.2 and later",
    check_type: "cassandra",
    conf: CONF,
    section: "Cassandra",
    keys: &[&["jolokia"], http::KEYS],
    runs: Runs::Own,
    fields: &[NODE, SCOPES, JVM, COLLECTOR],
    charts: CHARTS,
    build: |section| {
        jolokia(section, "jolokia", BEANS, |beans, out| {
            tell(beans, out);
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Statements").of(&["cassa_cql_preparedstatementsexecuted", "cassa_cql_regularstatementsexecuted"]),
    Chart::new("Mean time of requests").of(&[
        "cassa_latency_read",
        "cassa_latency_write",
        "cassa_latency_rangeslice",
        "cassa_latency_casread",
        "cassa_latency_caswrite",
        "cassa_latency_viewwrite",
    ]),
    Chart::new("Time of 99 of 100 requests").of(&["cassa_latency_99th"]).each("scope"),
    Chart::new("Requests that timed out").of(&["cassa_request_timeouts"]).each("scope"),
    Chart::new("Requests without enough replicas").of(&["cassa_request_unavailables"]).each("scope"),
    Chart::new("Requests that failed").of(&["cassa_request_failures"]).each("scope"),
    Chart::new("Messages dropped").of(&["cassa_dropped"]).each("scope"),
    Chart::new("Waiting for a thread").of(&["cassa_pool_pending"]).each("scope"),
    Chart::new("Compactions that wait").of(&["cassa_compaction_pending"]),
    Chart::new("Errors and hints").of(&["cassa_storage_exceptions", "cassa_storage_hints"]),
    Chart::new("Data of the node").of(&["cassa_storage_load"]),
    Chart::new("Key cache").of(&["cassa_requests_keycache", "cassa_hits_keycache"]),
    Chart::new("Row cache").of(&["cassa_requests_rowcache", "cassa_hits_rowcache"]),
    Chart::new("Clients").of(&["cassa_clients"]),
    HEAP,
    Chart::new("Time in garbage collection").of(&["cassa_gc_collectiontime"]).each("gctype"),
    Chart::new("Last garbage collection").of(&["cassa_lastgcinfo"]).each("gctype"),
    Chart::new("Garbage collections").of(&["cassa_gc_collectioncount"]).each("gctype"),
    THREADS,
    NONHEAP,
];

/// MBeans with full names, and only the attributes that are emitted: searching MBeans is expensive for a server with
/// many tables, and reading a whole timer resets it for other readers.
const BEANS: &[Bean] = &[
    jvm::RUNTIME,
    jvm::MEMORY,
    jvm::THREADS,
    jvm::COLLECTORS,
    count("org.apache.cassandra.metrics:type=CQL,name=PreparedStatementsExecuted"),
    count("org.apache.cassandra.metrics:type=CQL,name=RegularStatementsExecuted"),
    latency("org.apache.cassandra.metrics:type=ClientRequest,scope=Read,name=Latency"),
    latency("org.apache.cassandra.metrics:type=ClientRequest,scope=Write,name=Latency"),
    latency("org.apache.cassandra.metrics:type=ClientRequest,scope=RangeSlice,name=Latency"),
    latency("org.apache.cassandra.metrics:type=ClientRequest,scope=ViewWrite,name=Latency"),
    latency("org.apache.cassandra.metrics:type=ClientRequest,scope=CASRead,name=Latency"),
    latency("org.apache.cassandra.metrics:type=ClientRequest,scope=CASWrite,name=Latency"),
    count("org.apache.cassandra.metrics:type=ClientRequest,scope=Read,name=Timeouts"),
    count("org.apache.cassandra.metrics:type=ClientRequest,scope=Write,name=Timeouts"),
    count("org.apache.cassandra.metrics:type=ClientRequest,scope=Read,name=Unavailables"),
    count("org.apache.cassandra.metrics:type=ClientRequest,scope=Write,name=Unavailables"),
    count("org.apache.cassandra.metrics:type=ClientRequest,scope=Read,name=Failures"),
    count("org.apache.cassandra.metrics:type=ClientRequest,scope=Write,name=Failures"),
    lately("org.apache.cassandra.metrics:type=Cache,scope=KeyCache,name=Hits"),
    lately("org.apache.cassandra.metrics:type=Cache,scope=KeyCache,name=Requests"),
    lately("org.apache.cassandra.metrics:type=Cache,scope=RowCache,name=Hits"),
    lately("org.apache.cassandra.metrics:type=Cache,scope=RowCache,name=Requests"),
    value("org.apache.cassandra.metrics:type=Compaction,name=PendingTasks"),
    value("org.apache.cassandra.metrics:type=ThreadPools,path=request,scope=ReadStage,name=PendingTasks"),
    value("org.apache.cassandra.metrics:type=ThreadPools,path=request,scope=MutationStage,name=PendingTasks"),
    value(
        "org.apache.cassandra.metrics:type=ThreadPools,path=transport,scope=Native-Transport-Requests,name=PendingTasks",
    ),
    count("org.apache.cassandra.metrics:type=DroppedMessage,scope=READ,name=Dropped"),
    count("org.apache.cassandra.metrics:type=DroppedMessage,scope=MUTATION,name=Dropped"),
    count("org.apache.cassandra.metrics:type=Storage,name=Load"),
    count("org.apache.cassandra.metrics:type=Storage,name=Exceptions"),
    count("org.apache.cassandra.metrics:type=Storage,name=TotalHints"),
    value("org.apache.cassandra.metrics:type=Client,name=connectedNativeClients"),
];
/// Index of the first MBean of Cassandra itself.
const OWN: usize = 4;

const fn count(name: &'static str) -> Bean {
    Bean { name, attributes: &["Count"] }
}

const fn value(name: &'static str) -> Bean {
    Bean { name, attributes: &["Value"] }
}

const fn latency(name: &'static str) -> Bean {
    Bean { name, attributes: &["Mean", "99thPercentile"] }
}

const fn lately(name: &'static str) -> Bean {
    Bean { name, attributes: &["OneMinuteRate"] }
}

/// A cell starts with type, scope and name of the MBean.
const NODE: &[Field] = &[
    rate("CQL PreparedStatementsExecuted/Count", "cassa_cql_preparedstatementsexecuted", "1/s"),
    rate("CQL RegularStatementsExecuted/Count", "cassa_cql_regularstatementsexecuted", "1/s"),
    gauge("ClientRequest Read Latency/Mean", "cassa_latency_read", "us"),
    gauge("ClientRequest ViewWrite Latency/Mean", "cassa_latency_viewwrite", "us"),
    gauge("ClientRequest RangeSlice Latency/Mean", "cassa_latency_rangeslice", "us"),
    gauge("ClientRequest CASRead Latency/Mean", "cassa_latency_casread", "us"),
    gauge("ClientRequest CASWrite Latency/Mean", "cassa_latency_caswrite", "us"),
    gauge("ClientRequest Write Latency/Mean", "cassa_latency_write", "us"),
    gauge("Cache KeyCache Hits/OneMinuteRate", "cassa_hits_keycache", "1/s"),
    gauge("Cache RowCache Hits/OneMinuteRate", "cassa_hits_rowcache", "1/s"),
    gauge("Cache KeyCache Requests/OneMinuteRate", "cassa_requests_keycache", "1/s"),
    gauge("Cache RowCache Requests/OneMinuteRate", "cassa_requests_rowcache", "1/s"),
    gauge("Compaction PendingTasks/Value", "cassa_compaction_pending", "tasks").int(),
    gauge("Storage Load/Count", "cassa_storage_load", "bytes").int(),
    rate("Storage Exceptions/Count", "cassa_storage_exceptions", "1/s"),
    rate("Storage TotalHints/Count", "cassa_storage_hints", "1/s"),
    gauge("Client connectedNativeClients/Value", "cassa_clients", "clients").int(),
];

/// A cell starts with type and name of the MBean; its scope becomes the tag `scope`.
const SCOPES: &[Field] = &[
    gauge("ClientRequest Latency/99thPercentile", "cassa_latency_99th", "us"),
    rate("ClientRequest Timeouts/Count", "cassa_request_timeouts", "1/s"),
    rate("ClientRequest Unavailables/Count", "cassa_request_unavailables", "1/s"),
    rate("ClientRequest Failures/Count", "cassa_request_failures", "1/s"),
    rate("DroppedMessage Dropped/Count", "cassa_dropped", "1/s"),
    gauge("ThreadPools PendingTasks/Value", "cassa_pool_pending", "tasks").int(),
];

const COLLECTOR: &[Field] = &[
    gauge("/LastGcInfo/duration", "cassa_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "cassa_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "cassa_gc_collectiontime", "ms").reaction(-1),
];

fn tell(beans: &Beans, out: &mut Out) {
    let [runtime, memory, threads, collectors] = [0, 1, 2, 3].map(|place| beans.at(place));
    jvm::counted(runtime, out);
    [memory, threads].iter().for_each(|found| jvm::tell(found, JVM, &Tags::default(), out));
    jvm::tell_collectors(collectors, COLLECTOR, true, out);
    let mut is_there = false;
    for found in (OWN..BEANS.len()).map(|place| beans.at(place)) {
        is_there |= !found.is_empty();
        if !found.iter().any(is_unused) {
            jvm::tell_of(found, &["type", "scope", "name"], &[], NODE, out);
            jvm::tell_of(found, &["type", "name"], &[("scope", "scope")], SCOPES, out);
        }
    }
    if !is_there {
        out.fault("no MBeans of Cassandra 2.2 or later in this JVM: has it started, and is this its Jolokia?");
    }
}

/// Whether no request of this kind was made yet. It has no times then, and the mean is 0, null or NaN.
fn is_unused(Found { attributes, .. }: &Found) -> bool {
    let mean = json::float(attributes, "/Mean");
    attributes.get("99thPercentile").is_some() && mean.is_none_or(|mean| mean == 0.0)
}
