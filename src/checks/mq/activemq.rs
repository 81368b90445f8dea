//! activemq: JVM, broker and queues of ActiveMQ Classic, through its Jolokia (ActiveMQ documentation, "JMX";
//! org.apache.activemq.broker.jmx.BrokerViewMBean).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Beans, Out, Runs, Spec, jolokia, jvm};
use crate::fetch::http;
use crate::model::error::{Error, Result, quote};
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_activemq",
    purpose: "messages, queues and JVM of ActiveMQ Classic",
    check_type: "activemq",
    conf: CONF,
    section: "ActiveMQ",
    keys: &[&["stats", "brokername", "queue_details"], http::KEYS],
    runs: Runs::Own,
    fields: &[JVM, CMS, PARNEW, G1_OLD, G1_YOUNG, OTHER, BROKER, QUEUE],
    charts: CHARTS,
    build: |section| {
        let name = section.required("brokername", "localhost")?.to_string();
        let is_wanted = section.flag("queue_details", false)?;
        let beans = BEANS.get(..if is_wanted { BEANS.len() } else { QUEUES }).unwrap_or_default();
        jolokia(&section.with_login(), "stats", beans, move |beans, out| tell(beans, &name, out))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Messages waiting").of(&["activemq_totalmessagecount"]),
    Chart::new("Messages taken and acknowledged").of(&["activemq_totalenqueuecount", "activemq_totaldequeuecount"]),
    Chart::new("Limits in use")
        .of(&[
            "activemq_memorypercentusage",
            "activemq_storepercentusage",
            "activemq_temppercentusage",
            "activemq_jobschedulerstorepercentusage",
        ])
        .full(100.0),
    Chart::new("Queues: messages").of(&["activemq_queue_size"]).each("queue"),
    Chart::new("Queues: taken and acknowledged")
        .mirror(&["activemq_queue_enqueue"], &["activemq_queue_dequeue"])
        .each("queue"),
    Chart::new("Queues: not yet acknowledged").of(&["activemq_queue_inflight"]).each("queue"),
    Chart::new("Queues: expired").of(&["activemq_queue_expired"]).each("queue"),
    Chart::new("Queues: consumers").of(&["activemq_queue_consumers"]).each("queue"),
    Chart::new("Queues: producers").of(&["activemq_queue_producers"]).each("queue"),
    Chart::new("Who is connected").of(&[
        "activemq_currentconnectionscount",
        "activemq_totalconsumercount",
        "activemq_totalproducercount",
    ]),
    Chart::new("New connections").of(&["activemq_totalconnectionscount"]),
    Chart::new("Size of a message").of(&["activemq_averagemessagesize"]),
    Chart::new("Heap").of(&["activemq_heap_used", "activemq_heap_committed", "activemq_heap_max"]),
    Chart::new("Beside the heap").of(&["activemq_nonheap_used", "activemq_nonheap_committed", "activemq_nonheap_max"]),
    Chart::new("Threads").of(&["activemq_threadcount", "activemq_daemonthreadcount", "activemq_peakthreadcount"]),
    Chart::new("Time in garbage collection").of(&[
        "activemq_g1_young_collectiontime",
        "activemq_g1_old_collectiontime",
        "activemq_parnew_collectiontime",
        "activemq_cms_collectiontime",
        "activemq_{gc}_collectiontime",
    ]),
    Chart::new("Last garbage collection").of(&[
        "activemq_g1_young_lastgcinfo",
        "activemq_g1_old_lastgcinfo",
        "activemq_parnew_lastgcinfo",
        "activemq_cms_lastgcinfo",
        "activemq_{gc}_lastgcinfo",
    ]),
    Chart::new("Garbage collections").of(&[
        "activemq_g1_young_collectioncount",
        "activemq_g1_old_collectioncount",
        "activemq_parnew_collection_count",
        "activemq_cms_collection_count",
        "activemq_{gc}_collectioncount",
    ]),
];

const BEANS: &[Bean] = &[
    jvm::MEMORY,
    jvm::THREADS,
    jvm::COLLECTORS,
    // A pattern, so that broker names with special characters are found, and so that an error can list the names of
    // other brokers.
    Bean {
        name: "org.apache.activemq:type=Broker,brokerName=*",
        attributes: &[
            "UptimeMillis",
            "TotalConnectionsCount",
            "CurrentConnectionsCount",
            "TotalMessageCount",
            "TotalProducerCount",
            "TotalConsumerCount",
            "TotalEnqueueCount",
            "TotalDequeueCount",
            "AverageMessageSize",
            "MemoryPercentUsage",
            "StorePercentUsage",
            "TempPercentUsage",
            "JobSchedulerStorePercentUsage",
        ],
    },
    Bean {
        name: "org.apache.activemq:type=Broker,brokerName=*,destinationType=Queue,destinationName=*",
        attributes: &[
            "QueueSize",
            "EnqueueCount",
            "DequeueCount",
            "ExpiredCount",
            "InFlightCount",
            "ConsumerCount",
            "ProducerCount",
        ],
    },
];
/// Indices in [`BEANS`].
const BROKERS: usize = 3;
const QUEUES: usize = 4;

const JVM: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "activemq_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "activemq_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "activemq_nonheap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/used", "activemq_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "activemq_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "activemq_heap_max", "bytes").int().reaction(-3),
    gauge("/PeakThreadCount", "activemq_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "activemq_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "activemq_daemonthreadcount", "threads").int(),
];

const CMS: &[Field] = &[
    gauge("/LastGcInfo/duration", "activemq_cms_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "activemq_cms_collection_count", "runs"),
    rate("/CollectionTime", "activemq_cms_collectiontime", "ms/s"),
];
const PARNEW: &[Field] = &[
    gauge("/LastGcInfo/duration", "activemq_parnew_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "activemq_parnew_collection_count", "runs"),
    rate("/CollectionTime", "activemq_parnew_collectiontime", "ms/s"),
];
const G1_OLD: &[Field] = &[
    gauge("/LastGcInfo/duration", "activemq_g1_old_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "activemq_g1_old_collectiontime", "ms/s"),
    counter("/CollectionCount", "activemq_g1_old_collectioncount", "runs").reaction(-3),
];
const G1_YOUNG: &[Field] = &[
    gauge("/LastGcInfo/duration", "activemq_g1_young_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "activemq_g1_young_collectiontime", "ms/s"),
    counter("/CollectionCount", "activemq_g1_young_collectioncount", "runs").reaction(-3),
];
const COLLECTORS: &[(&str, &[Field])] = &[("cms", CMS), ("parnew", PARNEW), ("g1_old", G1_OLD), ("g1_young", G1_YOUNG)];
/// Fields for any other collector.
const OTHER: &[Field] = &[
    gauge("/LastGcInfo/duration", "activemq_{gc}_lastgcinfo", "ms").int(),
    rate("/CollectionTime", "activemq_{gc}_collectiontime", "ms/s"),
    counter("/CollectionCount", "activemq_{gc}_collectioncount", "runs"),
];

const BROKER: &[Field] = &[
    counter("/TotalConnectionsCount", "activemq_totalconnectionscount", "connections"),
    gauge("/TotalMessageCount", "activemq_totalmessagecount", "messages").int(),
    gauge("/MemoryPercentUsage", "activemq_memorypercentusage", "%").int(),
    gauge("/TotalProducerCount", "activemq_totalproducercount", "producers").int(),
    gauge("/StorePercentUsage", "activemq_storepercentusage", "%").int(),
    gauge("/TotalConsumerCount", "activemq_totalconsumercount", "consumers").int(),
    counter("/TotalEnqueueCount", "activemq_totalenqueuecount", "messages"),
    counter("/TotalDequeueCount", "activemq_totaldequeuecount", "messages"),
    gauge("/TempPercentUsage", "activemq_temppercentusage", "%").int(),
    gauge("/JobSchedulerStorePercentUsage", "activemq_jobschedulerstorepercentusage", "%").int(),
    gauge("/CurrentConnectionsCount", "activemq_currentconnectionscount", "connections").int(),
    gauge("/AverageMessageSize", "activemq_averagemessagesize", "bytes"),
];

const QUEUE: &[Field] = &[
    gauge("/QueueSize", "activemq_queue_size", "messages").int(),
    rate("/EnqueueCount", "activemq_queue_enqueue", "1/s"),
    rate("/DequeueCount", "activemq_queue_dequeue", "1/s"),
    rate("/ExpiredCount", "activemq_queue_expired", "1/s"),
    gauge("/InFlightCount", "activemq_queue_inflight", "messages").int(),
    gauge("/ConsumerCount", "activemq_queue_consumers", "consumers").int(),
    gauge("/ProducerCount", "activemq_queue_producers", "producers").int(),
];

fn tell(beans: &Beans, name: &str, out: &mut Out) -> Result<()> {
    let none = Tags::default();
    let is_its = |found: &&Found| found.property("brokerName") == Some(name);
    let broker: Vec<_> = beans.at(BROKERS).iter().filter(is_its).collect();
    if let Some(uptime) = broker.iter().find_map(|found| json::count(&found.attributes, "/UptimeMillis")) {
        out.counted_for(uptime as f64 / 1000.0);
    }
    for place in 0..2 {
        jvm::tell(beans.at(place), JVM, &none, out);
    }
    jvm::tell_named(beans.at(2), COLLECTORS, OTHER, out);
    for found in &broker {
        jvm::tell(std::slice::from_ref(*found), BROKER, &none, out);
    }
    for found in beans.at(QUEUES).iter().filter(is_its) {
        let tags = Tags::one("queue", found.property("destinationName").unwrap_or_default());
        jvm::tell(std::slice::from_ref(found), QUEUE, &tags, out);
    }
    match beans.at(BROKERS) {
        [] => Err(Error::daemon(
            "no broker of ActiveMQ Classic here, or it has not started (ActiveMQ Artemis is another program)",
        )),
        others if broker.is_empty() => {
            let names: Vec<_> = others.iter().filter_map(|found| found.property("brokerName")).map(quote).collect();
            Err(Error::daemon(format!("no broker is called {}: set brokername to {}", quote(name), names.join(" or "))))
        }
        _ => Ok(()),
    }
}
