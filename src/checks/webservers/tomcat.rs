//! tomcat: memory, threads, garbage collectors, connectors and sessions of Tomcat, from the JMX proxy of its manager
//! (Tomcat manager documentation, "Using the JMX Proxy Servlet").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Measurement, Out, Runs, Spec, jvm, pages};
use crate::fetch::http;
use crate::model::parse::jmxproxy;
use crate::model::parse::jolokia::Found;
use crate::model::parse::json;
use crate::model::point::{Tags, Value as Number};
use crate::model::table::{Field, How, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_tomcat",
    purpose: "memory, threads, collectors of garbage, connectors and sessions of Tomcat",
    check_type: "tomcat",
    conf: CONF,
    section: "Tomcat",
    keys: &[&["url"], http::KEYS],
    runs: Runs::Own,
    fields: &[MEMORY, THREADS, COLLECTORS, &[LAST], REQUESTS, CONNECTOR, SESSIONS],
    charts: CHARTS,
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

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["tomcat_requests_rate"]).each("connector"),
    Chart::new("Errors").of(&["tomcat_errors_rate"]).each("connector"),
    Chart::new("Time spent on requests").of(&["tomcat_processingtime_rate"]).each("connector"),
    Chart::new("Traffic").mirror(&["tomcat_bytesreceived_rate"], &["tomcat_bytessent_rate"]).each("connector"),
    Chart::new("Busy threads").of(&["tomcat_currentthreadsbusy"]).each("connector"),
    Chart::new("Threads of a connector").of(&["tomcat_currentthreadcount"]).each("connector"),
    Chart::new("Most threads").of(&["tomcat_maxthreads"]).each("connector"),
    Chart::new("Connections").of(&["tomcat_connectioncount"]).each("connector"),
    Chart::new("Sessions").of(&["tomcat_activesessions"]).each("webapp"),
    Chart::new("Heap").of(&["tomcat_heap_used", "tomcat_heap_committed", "tomcat_heap_max", "tomcat_heap_init"]),
    Chart::new("Beside the heap").of(&[
        "tomcat_nonheap_used",
        "tomcat_nonheap_committed",
        "tomcat_nonheap_max",
        "tomcat_nonheap_init",
    ]),
    Chart::new("Threads").of(&["tomcat_threadcount", "tomcat_daemonthreadcount", "tomcat_peakthreadcount"]),
    Chart::new("Threads started").of(&["tomcat_totalstartedthreadcount"]),
    Chart::new("Time in garbage collection").of(&["tomcat_gc_collectiontime"]).each("gctype"),
    Chart::new("Last garbage collection").of(&["tomcat_lastgc_{n}"]).each("gctype"),
    Chart::new("Garbage collections").of(&["tomcat_gc_collectioncount"]).each("gctype"),
];

/// Names specific MBeans only: for each attribute that it cannot read, Tomcat writes a line to its log.
const QUERIES: &[&str] = &[
    "?qry=java.lang:type=Memory",
    "?qry=java.lang:type=Threading",
    "?qry=java.lang:type=GarbageCollector,name=*",
    "?qry=Catalina:type=GlobalRequestProcessor,*",
    "?qry=Catalina:type=ThreadPool,*",
    "?qry=Catalina:type=Manager,*",
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/committed", "tomcat_heap_committed", "bytes"),
    gauge("/HeapMemoryUsage/init", "tomcat_heap_init", "bytes"),
    gauge("/HeapMemoryUsage/max", "tomcat_heap_max", "bytes"),
    gauge("/HeapMemoryUsage/used", "tomcat_heap_used", "bytes"),
    gauge("/NonHeapMemoryUsage/committed", "tomcat_nonheap_committed", "bytes"),
    gauge("/NonHeapMemoryUsage/init", "tomcat_nonheap_init", "bytes"),
    gauge("/NonHeapMemoryUsage/max", "tomcat_nonheap_max", "bytes"),
    gauge("/NonHeapMemoryUsage/used", "tomcat_nonheap_used", "bytes"),
];

const THREADS: &[Field] = &[
    gauge("/ThreadCount", "tomcat_threadcount", "threads"),
    gauge("/PeakThreadCount", "tomcat_peakthreadcount", "threads"),
    gauge("/DaemonThreadCount", "tomcat_daemonthreadcount", "threads"),
    counter("/TotalStartedThreadCount", "tomcat_totalstartedthreadcount", "threads").float(),
];

const COLLECTORS: &[Field] = &[
    counter("/CollectionCount", "tomcat_gc_collectioncount", "times"),
    counter("/CollectionTime", "tomcat_gc_collectiontime", "ms"),
];

/// `{n}` is the index of the collector in the answer.
const LAST: Field = gauge("/LastGcInfo/duration", "tomcat_lastgc_{n}", "ms");

const REQUESTS: &[Field] = &[
    rate("/requestCount", "tomcat_requests_rate", "1/s"),
    rate("/errorCount", "tomcat_errors_rate", "1/s"),
    rate("/bytesReceived", "tomcat_bytesreceived_rate", "bytes/s"),
    rate("/bytesSent", "tomcat_bytessent_rate", "bytes/s"),
    rate("/processingTime", "tomcat_processingtime_rate", "ms/s"),
];

const CONNECTOR: &[Field] = &[
    gauge("/currentThreadsBusy", "tomcat_currentthreadsbusy", "threads").int(),
    gauge("/currentThreadCount", "tomcat_currentthreadcount", "threads").int(),
    gauge("/maxThreads", "tomcat_maxthreads", "threads").int(),
    gauge("/connectionCount", "tomcat_connectioncount", "connections").int(),
];

const SESSIONS: &[Field] = &[gauge("/activeSessions", "tomcat_activesessions", "sessions").int()];

fn tell_collectors(found: &[Found], out: &mut Out) {
    jvm::tell_collectors(found, COLLECTORS, true, out);
    for (place, found) in found.iter().enumerate() {
        let name = found.property("name").unwrap_or_default();
        if let Some(took) = json::float(&found.attributes, LAST.cell) {
            let tags = Tags::one("gctype", &jvm::collector(name, true));
            let (name, value) = (&*format!("tomcat_lastgc_{place}"), Number::Float(took));
            out.tell(Measurement { name, value, how: How::Gauge, check_type: SPEC.check_type, tags, time: None });
        }
    }
}
