//! kafka: JVM, traffic, requests and partitions of a Kafka broker, through Jolokia (Kafka documentation, "Monitoring";
//! KIP-272 for the versions of requests).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Beans, Out, Runs, Spec, jolokia, jvm};
use crate::fetch::http;
use crate::model::meter::Meter;
use crate::model::parse::jolokia::{Bean, Found};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};
use std::collections::HashMap;

pub static SPEC: Spec = Spec {
    name: "check_kafka",
    purpose: "traffic, requests, partitions and JVM of a broker of Kafka",
    check_type: "kafka",
    conf: CONF,
    section: "Kafka",
    keys: &[&["jolokia"], http::KEYS],
    runs: Runs::Own,
    fields: &[JVM, COLLECTOR, BROKER, REQUESTS],
    charts: CHARTS,
    build: |section| {
        let mut meters: Vec<_> = REQUESTS.iter().map(|_| Default::default()).collect();
        jolokia(&section.with_login(), "jolokia", BEANS, move |beans, out| {
            tell(beans, &mut meters, out);
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Messages in").of(&["kafka_messagesinpersec"]),
    Chart::new("Traffic").mirror(&["kafka_bytesinpersec"], &["kafka_bytesoutpersec"]),
    Chart::new("Partitions in trouble").of(&[
        "kafka_underreplicatedpartitions",
        "kafka_underminisrpartitioncount",
        "kafka_offlinepartitionscount",
        "kafka_offlinereplicacount",
        "kafka_fencedbrokercount",
    ]),
    Chart::new("Requests").of(&["kafka_totalproducerequestspersec", "kafka_totalfetchrequestspersec"]),
    Chart::new("Failed requests").of(&["kafka_failedproducerequestspersec", "kafka_failedfetchrequestspersec"]),
    Chart::new("Traffic refused").of(&["kafka_bytesrejectedpersec"]),
    Chart::new("Requests waiting").of(&["kafka_requestqueuesize"]),
    Chart::new("Idle threads").of(&["kafka_networkprocessoravgidle", "kafka_requesthandleravgidle"]).full(1.0),
    Chart::new("Replicas in and out of step").of(&["kafka_isrexpandspersec", "kafka_isrshrinkspersec"]),
    Chart::new("Partitions").of(&["kafka_partitioncount", "kafka_leadercount", "kafka_globalpartitioncount"]),
    Chart::new("Active controllers").of(&["kafka_activecontrollercount"]),
    Chart::new("Requests by kind: data").of(&[
        "kafka_produce",
        "kafka_fetch",
        "kafka_fetchconsumer",
        "kafka_fetchfollower",
    ]),
    Chart::new("Requests by kind: groups and offsets").of(&[
        "kafka_joingroup",
        "kafka_groupcoordinator",
        "kafka_offsetcommit",
        "kafka_offsetfetch",
        "kafka_offsets",
        "kafka_leaderandisr",
    ]),
    Chart::new("Heap").of(&["kafka_heap_used", "kafka_heap_committed", "kafka_heap_max"]),
    Chart::new("Beside the heap").of(&["kafka_nonheap_used", "kafka_nonheap_committed"]),
    Chart::new("Threads").of(&["kafka_threadcount"]),
    Chart::new("Time in garbage collection").of(&["kafka_gc_collectiontime"]).each("gctype"),
    Chart::new("Last garbage collection").of(&["kafka_lastgcinfo"]).each("gctype"),
    Chart::new("Garbage collections").of(&["kafka_gc_collectioncount"]).each("gctype"),
];

const BEANS: &[Bean] = &[
    jvm::RUNTIME,
    jvm::MEMORY,
    jvm::THREADS,
    jvm::COLLECTORS,
    Bean { name: "kafka.network:type=RequestMetrics,name=RequestsPerSec,request=*,*", attributes: &["Count"] },
    Bean { name: "kafka.server:type=BrokerTopicMetrics,name=*", attributes: &["OneMinuteRate"] },
    Bean { name: "kafka.server:type=ReplicaManager,name=*", attributes: &["Value", "OneMinuteRate"] },
    Bean { name: "kafka.controller:type=KafkaController,name=*", attributes: &["Value"] },
    Bean { name: "kafka.network:type=RequestChannel,name=RequestQueueSize", attributes: &["Value"] },
    Bean { name: "kafka.network:type=SocketServer,name=NetworkProcessorAvgIdlePercent", attributes: &["Value"] },
    Bean {
        name: "kafka.server:type=KafkaRequestHandlerPool,name=RequestHandlerAvgIdlePercent",
        attributes: &["OneMinuteRate"],
    },
];
/// Indices in [`BEANS`].
const REQUESTS_PER_SEC: usize = 4;
const FIRST_OF_BROKER: usize = 5;

const JVM: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "kafka_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "kafka_nonheap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "kafka_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "kafka_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/max", "kafka_heap_max", "bytes").int(),
    gauge("/ThreadCount", "kafka_threadcount", "threads").int(),
];

const COLLECTOR: &[Field] = &[
    gauge("/LastGcInfo/duration", "kafka_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "kafka_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "kafka_gc_collectiontime", "ms").reaction(-1),
];

/// A cell is the name of the MBean and its attribute.
const BROKER: &[Field] = &[
    gauge("TotalProduceRequestsPerSec/OneMinuteRate", "kafka_totalproducerequestspersec", "1/s"),
    gauge("TotalFetchRequestsPerSec/OneMinuteRate", "kafka_totalfetchrequestspersec", "1/s"),
    gauge("BytesInPerSec/OneMinuteRate", "kafka_bytesinpersec", "bytes/s"),
    gauge("BytesOutPerSec/OneMinuteRate", "kafka_bytesoutpersec", "bytes/s"),
    gauge("BytesRejectedPerSec/OneMinuteRate", "kafka_bytesrejectedpersec", "bytes/s"),
    gauge("FailedFetchRequestsPerSec/OneMinuteRate", "kafka_failedfetchrequestspersec", "1/s"),
    gauge("FailedProduceRequestsPerSec/OneMinuteRate", "kafka_failedproducerequestspersec", "1/s"),
    gauge("MessagesInPerSec/OneMinuteRate", "kafka_messagesinpersec", "1/s"),
    gauge("UnderReplicatedPartitions/Value", "kafka_underreplicatedpartitions", "partitions").int(),
    gauge("UnderMinIsrPartitionCount/Value", "kafka_underminisrpartitioncount", "partitions").int(),
    gauge("PartitionCount/Value", "kafka_partitioncount", "partitions").int(),
    gauge("LeaderCount/Value", "kafka_leadercount", "partitions").int(),
    gauge("OfflineReplicaCount/Value", "kafka_offlinereplicacount", "replicas").int(),
    gauge("IsrShrinksPerSec/OneMinuteRate", "kafka_isrshrinkspersec", "1/s"),
    gauge("IsrExpandsPerSec/OneMinuteRate", "kafka_isrexpandspersec", "1/s"),
    gauge("ActiveControllerCount/Value", "kafka_activecontrollercount", "controllers").int(),
    gauge("OfflinePartitionsCount/Value", "kafka_offlinepartitionscount", "partitions").int(),
    gauge("GlobalPartitionCount/Value", "kafka_globalpartitioncount", "partitions").int(),
    gauge("FencedBrokerCount/Value", "kafka_fencedbrokercount", "brokers").int(),
    gauge("RequestQueueSize/Value", "kafka_requestqueuesize", "requests").int(),
    gauge("NetworkProcessorAvgIdlePercent/Value", "kafka_networkprocessoravgidle", "ratio"),
    gauge("RequestHandlerAvgIdlePercent/OneMinuteRate", "kafka_requesthandleravgidle", "ratio"),
];

/// The kinds of requests that are counted together, by their old and new names.
const REQUESTS: &[Field] = &[
    rate("Produce", "kafka_produce", "1/s"),
    rate("JoinGroup", "kafka_joingroup", "1/s"),
    rate("FetchFollower", "kafka_fetchfollower", "1/s"),
    rate("GroupCoordinator FindCoordinator", "kafka_groupcoordinator", "1/s"),
    rate("OffsetCommit", "kafka_offsetcommit", "1/s"),
    rate("LeaderAndIsr", "kafka_leaderandisr", "1/s"),
    rate("Offsets ListOffsets", "kafka_offsets", "1/s"),
    rate("OffsetFetch", "kafka_offsetfetch", "1/s"),
    rate("Fetch", "kafka_fetch", "1/s"),
    rate("FetchConsumer", "kafka_fetchconsumer", "1/s"),
];

/// For each entry of [`REQUESTS`]: the counters of its MBeans, and how often one of them went back.
type Meters = [(Meter<Vec<(String, String)>>, u64)];

fn tell(beans: &Beans, meters: &mut Meters, out: &mut Out) {
    let none = Tags::default();
    let [runtime, memory, threads, collectors] = [0, 1, 2, 3].map(|place| beans.at(place));
    jvm::counted(runtime, out);
    jvm::tell(memory, JVM, &none, out);
    jvm::tell(threads, JVM, &none, out);
    jvm::tell_collectors(collectors, COLLECTOR, false, out);
    for found in (FIRST_OF_BROKER..BEANS.len()).flat_map(|place| beans.at(place)) {
        for field in BROKER {
            let attribute = field.cell.strip_prefix(found.property("name").unwrap_or_default());
            if let Some(raw) = attribute.and_then(|attribute| json::cell(&found.attributes, attribute)) {
                out.put(field, raw, &none);
            }
        }
    }
    let requests = beans.at(REQUESTS_PER_SEC);
    for (field, (meter, restarts)) in REQUESTS.iter().zip(meters) {
        let is_meant = |found: &&Found| field.cell.split(' ').any(|kind| found.property("request") == Some(kind));
        let count = |found: &Found| Some((found.properties().to_vec(), json::count(&found.attributes, "/Count")?));
        let counts: HashMap<_, _> = requests.iter().filter(is_meant).filter_map(count).collect();
        if !counts.is_empty() {
            let total = meter.read(counts, |_| true);
            *restarts += u64::from(total.is_none());
            // After a counter went back, the sum is treated as that of another device, so it gives no rate.
            out.of(&restarts.to_string()).put(field, total.unwrap_or_default(), &none);
        }
    }
    if (REQUESTS_PER_SEC..BEANS.len()).all(|place| beans.at(place).is_empty()) {
        out.fault("no MBeans of Kafka in this JVM: has the broker started, and is this its Jolokia?");
    }
}
