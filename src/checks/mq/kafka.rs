//! A broker of Kafka through Jolokia: memory and collectors of its JVM, traffic, requests and partitions (Kafka documentation,
//! "Monitoring"; KIP-272 for the versions of requests).

use super::{CONF, with_login};
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
    build: |section| {
        let mut meters: Vec<_> = REQUESTS.iter().map(|_| Default::default()).collect();
        jolokia(&with_login(section), "jolokia", BEANS, move |beans, out| {
            tell(beans, &mut meters, out);
            Ok(())
        })
    },
};

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
/// Places of the beans of the list.
const REQUESTS_PER_SEC: usize = 4;
const FIRST_OF_BROKER: usize = 5;

const JVM: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "kafka_nonheap_used").int(),
    gauge("/NonHeapMemoryUsage/committed", "kafka_nonheap_committed").int(),
    gauge("/HeapMemoryUsage/used", "kafka_heap_used").int(),
    gauge("/HeapMemoryUsage/committed", "kafka_heap_committed").int(),
    gauge("/HeapMemoryUsage/max", "kafka_heap_max").int(),
    gauge("/ThreadCount", "kafka_threadcount").int(),
];

const COLLECTOR: &[Field] = &[
    gauge("/LastGcInfo/duration", "kafka_lastgcinfo").int(),
    counter("/CollectionCount", "kafka_gc_collectioncount").reaction(-1),
    counter("/CollectionTime", "kafka_gc_collectiontime").reaction(-1),
];

/// Name of the bean, and its attribute.
const BROKER: &[Field] = &[
    gauge("TotalProduceRequestsPerSec/OneMinuteRate", "kafka_totalproducerequestspersec"),
    gauge("TotalFetchRequestsPerSec/OneMinuteRate", "kafka_totalfetchrequestspersec"),
    gauge("BytesInPerSec/OneMinuteRate", "kafka_bytesinpersec"),
    gauge("BytesOutPerSec/OneMinuteRate", "kafka_bytesoutpersec"),
    gauge("BytesRejectedPerSec/OneMinuteRate", "kafka_bytesrejectedpersec"),
    gauge("FailedFetchRequestsPerSec/OneMinuteRate", "kafka_failedfetchrequestspersec"),
    gauge("FailedProduceRequestsPerSec/OneMinuteRate", "kafka_failedproducerequestspersec"),
    gauge("MessagesInPerSec/OneMinuteRate", "kafka_messagesinpersec"),
    gauge("UnderReplicatedPartitions/Value", "kafka_underreplicatedpartitions").int(),
    gauge("UnderMinIsrPartitionCount/Value", "kafka_underminisrpartitioncount").int(),
    gauge("PartitionCount/Value", "kafka_partitioncount").int(),
    gauge("LeaderCount/Value", "kafka_leadercount").int(),
    gauge("OfflineReplicaCount/Value", "kafka_offlinereplicacount").int(),
    gauge("IsrShrinksPerSec/OneMinuteRate", "kafka_isrshrinkspersec"),
    gauge("IsrExpandsPerSec/OneMinuteRate", "kafka_isrexpandspersec"),
    gauge("ActiveControllerCount/Value", "kafka_activecontrollercount").int(),
    gauge("OfflinePartitionsCount/Value", "kafka_offlinepartitionscount").int(),
    gauge("GlobalPartitionCount/Value", "kafka_globalpartitioncount").int(),
    gauge("FencedBrokerCount/Value", "kafka_fencedbrokercount").int(),
    gauge("RequestQueueSize/Value", "kafka_requestqueuesize").int(),
    gauge("NetworkProcessorAvgIdlePercent/Value", "kafka_networkprocessoravgidle"),
    gauge("RequestHandlerAvgIdlePercent/OneMinuteRate", "kafka_requesthandleravgidle"),
];

/// The kinds of request that are one, by their old and new names.
const REQUESTS: &[Field] = &[
    rate("Produce", "kafka_produce"),
    rate("JoinGroup", "kafka_joingroup"),
    rate("FetchFollower", "kafka_fetchfollower"),
    rate("GroupCoordinator FindCoordinator", "kafka_groupcoordinator"),
    rate("OffsetCommit", "kafka_offsetcommit"),
    rate("LeaderAndIsr", "kafka_leaderandisr"),
    rate("Offsets ListOffsets", "kafka_offsets"),
    rate("OffsetFetch", "kafka_offsetfetch"),
    rate("Fetch", "kafka_fetch"),
    rate("FetchConsumer", "kafka_fetchconsumer"),
];

/// Of each kind of request, the beans by their names, and how often one of them went back.
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
            // A count that went back is one of another device.
            out.of(&restarts.to_string()).put(field, total.unwrap_or_default(), &none);
        }
    }
    if (REQUESTS_PER_SEC..BEANS.len()).all(|place| beans.at(place).is_empty()) {
        out.fault("no MBeans of Kafka in this JVM: has the broker started, and is this its Jolokia?");
    }
}
