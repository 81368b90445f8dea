//! jetty: memory, threads, garbage collectors, sessions and requests of Jetty, through Jolokia (Jetty documentation,
//! "JMX", and its class StatisticsHandler; 9.4 and 12).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Runs, Spec, jolokia, jvm};
use crate::fetch::http;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_jetty",
    purpose: "memory, threads, collectors of garbage, sessions and requests of Jetty",
    check_type: "jetty",
    conf: CONF,
    section: "Jetty",
    keys: &[&["stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[COLLECTORS, MEMORY, THREADS, SESSIONS, REQUESTS, &[MEAN], CONNECTIONS, POOL],
    charts: CHARTS,
    build: |section| {
        jolokia(section, "stats", BEANS, |beans, out| {
            jvm::counted(beans.at(0), out);
            jvm::tell_collectors(beans.at(1), COLLECTORS, true, out);
            jvm::tell(beans.at(2), MEMORY, &Tags::default(), out);
            jvm::tell(beans.at(3), THREADS, &Tags::default(), out);
            for found in beans.at(4).iter().chain(beans.at(5)).filter(|found| !is_own(found)) {
                jvm::tell_each(std::slice::from_ref(found), SESSIONS, &[("webapp", "context")], out);
            }
            jvm::tell_sums(beans.at(6), REQUESTS, out);
            if let Some(mean) = mean(beans.at(6)) {
                out.put(&MEAN, mean, &Tags::default());
            }
            jvm::tell_sums(beans.at(7), CONNECTIONS, out);
            jvm::tell_each(beans.at(8), POOL, &[("pool", "id")], out);
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["jetty_requests_rate", "jetty_requests_per_sec"]),
    Chart::new("Answers by class")
        .of(&[
            "jetty_responses1xx",
            "jetty_responses2xx",
            "jetty_responses3xx",
            "jetty_responses4xx",
            "jetty_responses5xx",
        ])
        .stacked(),
    Chart::new("Time of a request").of(&["jetty_requesttimemean"]),
    Chart::new("Requests that failed").of(&["jetty_failures"]),
    Chart::new("Requests under way").of(&["jetty_requestsactive", "jetty_dispatchedactive"]),
    Chart::new("Asynchronous requests").of(&["jetty_asyncrequests"]),
    Chart::new("Connections").of(&["jetty_connections"]),
    Chart::new("Traffic").mirror(&["jetty_receivedbytes_rate"], &["jetty_sentbytes_rate"]),
    Chart::new("Busy threads").of(&["jetty_busythreads"]).each("pool"),
    Chart::new("Idle threads").of(&["jetty_idlethreads"]).each("pool"),
    Chart::new("Most threads").of(&["jetty_maxthreads"]).each("pool"),
    Chart::new("Waiting for a thread").of(&["jetty_queuesize"]).each("pool"),
    Chart::new("Sessions").of(&["jetty_active_sessions"]).each("webapp"),
    Chart::new("New sessions").of(&["jetty_sessions_total"]).each("webapp"),
    Chart::new("Heap").of(&["jetty_heap_used", "jetty_heap_committed", "jetty_heap_max"]),
    Chart::new("Beside the heap").of(&["jetty_nonheap_used", "jetty_nonheap_committed", "jetty_nonheap_max"]),
    Chart::new("Threads").of(&["jetty_threadcount", "jetty_daemonthreadcount", "jetty_peakthreadcount"]),
    Chart::new("Time in garbage collection").of(&["jetty_gc_collectiontime"]).each("gctype"),
    Chart::new("Last garbage collection").of(&["jetty_lastgcinfo"]).each("gctype"),
    Chart::new("Garbage collections").of(&["jetty_gc_collectioncount"]).each("gctype"),
];

/// In Jetty 12, sessions have another domain, and the names of handlers have one more key.
const BEANS: &[Bean] = &[
    jvm::RUNTIME,
    jvm::COLLECTORS,
    jvm::MEMORY,
    jvm::THREADS,
    all("org.eclipse.jetty.server.session:type=defaultsessioncache,*"),
    all("org.eclipse.jetty.session:type=defaultsessioncache,*"),
    all("org.eclipse.jetty.server.handler:type=statisticshandler,*"),
    all("org.eclipse.jetty.io:type=connectionstatistics,*"),
    all("org.eclipse.jetty.util.thread:type=queuedthreadpool,*"),
];

const fn all(name: &'static str) -> Bean {
    Bean { name, attributes: &[] }
}

const COLLECTORS: &[Field] = &[
    gauge("/LastGcInfo/duration", "jetty_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "jetty_gc_collectioncount", "times").reaction(-1),
    counter("/CollectionTime", "jetty_gc_collectiontime", "ms").reaction(-1),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/used", "jetty_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "jetty_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "jetty_heap_max", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/used", "jetty_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "jetty_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "jetty_nonheap_max", "bytes").int().reaction(-3),
];

const THREADS: &[Field] = &[
    gauge("/PeakThreadCount", "jetty_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "jetty_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "jetty_daemonthreadcount", "threads").int(),
];

const SESSIONS: &[Field] = &[
    gauge("/sessionsCurrent", "jetty_active_sessions", "sessions").int().reaction(-3),
    counter("/sessionsTotal", "jetty_sessions_total", "sessions"),
];

/// Summed over all handlers. Before Jetty 12, handleActive was named dispatchedActive.
const REQUESTS: &[Field] = &[
    counter("/responses1xx", "jetty_responses1xx", "answers"),
    counter("/responses2xx", "jetty_responses2xx", "answers"),
    counter("/responses3xx", "jetty_responses3xx", "answers"),
    counter("/responses4xx", "jetty_responses4xx", "answers"),
    counter("/responses5xx", "jetty_responses5xx", "answers"),
    gauge("/requestsActive", "jetty_requestsactive", "requests").int(),
    gauge("/dispatchedActive", "jetty_dispatchedactive", "requests").int(),
    gauge("/handleActive", "jetty_dispatchedactive", "requests").int(),
    counter("/asyncRequests", "jetty_asyncrequests", "requests"),
    rate("/requests", "jetty_requests_rate", "1/s").int(),
    rate("/requests", "jetty_requests_per_sec", "1/s"),
    counter("/failures", "jetty_failures", "requests"),
];

const MEAN: Field = gauge("", "jetty_requesttimemean", "ms");

const CONNECTIONS: &[Field] = &[
    gauge("/connections", "jetty_connections", "connections").int(),
    rate("/receivedBytes", "jetty_receivedbytes_rate", "bytes/s"),
    rate("/sentBytes", "jetty_sentbytes_rate", "bytes/s"),
];

const POOL: &[Field] = &[
    gauge("/busyThreads", "jetty_busythreads", "threads").int(),
    gauge("/idleThreads", "jetty_idlethreads", "threads").int(),
    gauge("/maxThreads", "jetty_maxthreads", "threads").int(),
    gauge("/queueSize", "jetty_queuesize", "tasks").int(),
];

/// Whether this is a context of Jetty itself.
fn is_own(found: &Found) -> bool {
    found.property("context").is_some_and(|context| context.contains("jetty"))
}

/// Mean time of a request in milliseconds, weighted by the requests of each handler. Jetty 12, recognised by
/// handleActive, counts nanoseconds.
fn mean(found: &[Found]) -> Option<f64> {
    let of = |Found { attributes, .. }: &Found| {
        let mean = json::float(attributes, "/requestTimeMean")?;
        let unit = if attributes.get("handleActive").is_some() { 1e-6 } else { 1.0 };
        Some((json::cell(attributes, "/requests")?.count()? as f64, mean * unit))
    };
    let all: Vec<_> = found.iter().filter_map(of).collect();
    let requests: f64 = all.iter().map(|(requests, _)| requests).sum();
    if requests == 0.0 {
        return all.first().map(|(_, mean)| *mean);
    }
    Some(all.iter().map(|(requests, mean)| requests * mean).sum::<f64>() / requests)
}
