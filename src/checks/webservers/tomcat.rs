//! Tomcat: memory, threads, collectors of garbage, connectors and sessions, from the JMX proxy of its manager (Tomcat manager
//! documentation, "Using the JMX Proxy Servlet").

use super::CONF;
use crate::check::{Measurement, Out, Runs, Spec, jvm, pages};
use crate::fetch::http;
use crate::model::parse::jmxproxy;
use crate::model::parse::jolokia::Found;
use crate::model::point::{Tags, Value as Number};
use crate::model::table::{Field, How, counter, gauge, rate};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_tomcat",
    purpose: "memory, threads, collectors of garbage, connectors and sessions of Tomcat",
    check_type: "tomcat",
    conf: CONF,
    section: "Tomcat",
    keys: &[&["url"], http::KEYS],
    runs: Runs::Own,
    fields: &[MEMORY, THREADS, COLLECTORS, &[LAST], REQUESTS, CONNECTOR, SESSIONS],
    build: |section| {
        let section = section.with("auth", section.text("auth").unwrap_or("True"));
        pages(&section, &["url"], QUERIES, |at, page, out| {
            let found = jmxproxy::read(&page.text)?;
            match at {
                0 => jvm::tell(&found, MEMORY, &Tags::default(), out),
                1 => jvm::tell(&found, THREADS, &Tags::default(), out),
                2 => tell_collectors(&found, out),
                3 => jvm::tell_each(&found, REQUESTS, &[("connector", "name")], out),
                4 => jvm::tell_each(&found, CONNECTOR, &[("connector", "name")], out),
                _ => jvm::tell_each(&found, SESSIONS, &[("webapp", "context"), ("vhost", "host")], out),
            }
            Ok(())
        })
    },
};

/// Named ones only: what cannot be read is a line in Tomcat's log each time.
const QUERIES: &[&str] = &[
    "?qry=java.lang:type=Memory",
    "?qry=java.lang:type=Threading",
    "?qry=java.lang:type=GarbageCollector,name=*",
    "?qry=Catalina:type=GlobalRequestProcessor,*",
    "?qry=Catalina:type=ThreadPool,*",
    "?qry=Catalina:type=Manager,*",
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/committed", "tomcat_heap_committed"),
    gauge("/HeapMemoryUsage/init", "tomcat_heap_init"),
    gauge("/HeapMemoryUsage/max", "tomcat_heap_max"),
    gauge("/HeapMemoryUsage/used", "tomcat_heap_used"),
    gauge("/NonHeapMemoryUsage/committed", "tomcat_nonheap_committed"),
    gauge("/NonHeapMemoryUsage/init", "tomcat_nonheap_init"),
    gauge("/NonHeapMemoryUsage/max", "tomcat_nonheap_max"),
    gauge("/NonHeapMemoryUsage/used", "tomcat_nonheap_used"),
];

const THREADS: &[Field] = &[
    gauge("/ThreadCount", "tomcat_threadcount"),
    gauge("/PeakThreadCount", "tomcat_peakthreadcount"),
    gauge("/DaemonThreadCount", "tomcat_daemonthreadcount"),
    counter("/TotalStartedThreadCount", "tomcat_totalstartedthreadcount").float(),
];

const COLLECTORS: &[Field] =
    &[counter("/CollectionCount", "tomcat_gc_collectioncount"), counter("/CollectionTime", "tomcat_gc_collectiontime")];

/// By the place of the collector in the answer.
const LAST: Field = gauge("/LastGcInfo/duration", "tomcat_lastgc_{n}");

const REQUESTS: &[Field] = &[
    rate("/requestCount", "tomcat_requests_rate"),
    rate("/errorCount", "tomcat_errors_rate"),
    rate("/bytesReceived", "tomcat_bytesreceived_rate"),
    rate("/bytesSent", "tomcat_bytessent_rate"),
    rate("/processingTime", "tomcat_processingtime_rate"),
];

const CONNECTOR: &[Field] = &[
    gauge("/currentThreadsBusy", "tomcat_currentthreadsbusy").int(),
    gauge("/currentThreadCount", "tomcat_currentthreadcount").int(),
    gauge("/maxThreads", "tomcat_maxthreads").int(),
    gauge("/connectionCount", "tomcat_connectioncount").int(),
];

const SESSIONS: &[Field] = &[gauge("/activeSessions", "tomcat_activesessions").int()];

fn tell_collectors(found: &[Found], out: &mut Out) {
    jvm::tell_collectors(found, COLLECTORS, true, out);
    for (place, found) in found.iter().enumerate() {
        let name = found.property("name").unwrap_or_default();
        if let Some(took) = found.attributes.pointer(LAST.cell).and_then(Value::as_f64) {
            let tags = Tags::one("gctype", &jvm::collector(name, true));
            let (name, value) = (&*format!("tomcat_lastgc_{place}"), Number::Float(took));
            out.tell(Measurement { name, value, how: How::Gauge, check_type: SPEC.check_type, tags, time: None });
        }
    }
}
