//! Jetty: memory, threads, collectors of garbage, sessions and requests, through Jolokia (Jetty documentation, "JMX", and its
//! class StatisticsHandler, of 9.4 and 12).

use super::CONF;
use crate::check::{Runs, Spec, jolokia, jvm};
use crate::fetch::http;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_jetty",
    purpose: "memory, threads, collectors of garbage, sessions and requests of Jetty",
    check_type: "jetty",
    conf: CONF,
    section: "Jetty",
    keys: &[&["stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[COLLECTORS, MEMORY, THREADS, SESSIONS, REQUESTS, &[MEAN], CONNECTIONS, POOL],
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

/// Jetty 12 has sessions in a domain of their own, and one key more in the names of handlers.
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
    gauge("/LastGcInfo/duration", "jetty_lastgcinfo").int(),
    counter("/CollectionCount", "jetty_gc_collectioncount").reaction(-1),
    counter("/CollectionTime", "jetty_gc_collectiontime").reaction(-1),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/used", "jetty_heap_used").int(),
    gauge("/HeapMemoryUsage/committed", "jetty_heap_committed").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "jetty_heap_max").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/used", "jetty_nonheap_used").int(),
    gauge("/NonHeapMemoryUsage/committed", "jetty_nonheap_committed").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "jetty_nonheap_max").int().reaction(-3),
];

const THREADS: &[Field] = &[
    gauge("/PeakThreadCount", "jetty_peakthreadcount").int(),
    gauge("/ThreadCount", "jetty_threadcount").int(),
    gauge("/DaemonThreadCount", "jetty_daemonthreadcount").int(),
];

const SESSIONS: &[Field] = &[
    gauge("/sessionsCurrent", "jetty_active_sessions").int().reaction(-3),
    counter("/sessionsTotal", "jetty_sessions_total"),
];

/// Of all handlers together. What was dispatchedActive is handleActive in 12.
const REQUESTS: &[Field] = &[
    counter("/responses1xx", "jetty_responses1xx"),
    counter("/responses2xx", "jetty_responses2xx"),
    counter("/responses3xx", "jetty_responses3xx"),
    counter("/responses4xx", "jetty_responses4xx"),
    counter("/responses5xx", "jetty_responses5xx"),
    gauge("/requestsActive", "jetty_requestsactive").int(),
    gauge("/dispatchedActive", "jetty_dispatchedactive").int(),
    gauge("/handleActive", "jetty_dispatchedactive").int(),
    counter("/asyncRequests", "jetty_asyncrequests"),
    rate("/requests", "jetty_requests_rate").int(),
    rate("/requests", "jetty_requests_per_sec"),
    counter("/failures", "jetty_failures"),
];

const MEAN: Field = gauge("", "jetty_requesttimemean");

const CONNECTIONS: &[Field] = &[
    gauge("/connections", "jetty_connections").int(),
    rate("/receivedBytes", "jetty_receivedbytes_rate"),
    rate("/sentBytes", "jetty_sentbytes_rate"),
];

const POOL: &[Field] = &[
    gauge("/busyThreads", "jetty_busythreads").int(),
    gauge("/idleThreads", "jetty_idlethreads").int(),
    gauge("/maxThreads", "jetty_maxthreads").int(),
    gauge("/queueSize", "jetty_queuesize").int(),
];

/// Contexts of Jetty itself.
fn is_own(found: &Found) -> bool {
    found.property("context").is_some_and(|context| context.contains("jetty"))
}

/// Milliseconds, each handler by its requests. Jetty 12, which has handleActive, counts nanoseconds.
fn mean(found: &[Found]) -> Option<f64> {
    let of = |Found { attributes, .. }: &Found| {
        let mean = attributes.get("requestTimeMean").and_then(Value::as_f64)?;
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
