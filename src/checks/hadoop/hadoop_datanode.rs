//! hadoop_datanode: space, failed volumes, traffic and JVM of an HDFS DataNode (Hadoop documentation, "Metrics";
//! org.apache.hadoop.hdfs.server.datanode.metrics.DataNodeMetrics, FSDatasetMBean).

use super::CONF;
use super::servlet::{self, Daemon, JVM, Part, as_one, collectors, memory, process, sums};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::jmx_servlet::MBeans;
use crate::model::point::Tags;
use crate::model::table::{Field, Share, counter, gauge, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_hadoop_datanode",
    purpose: "space, throughput, failed volumes and JVM of a DataNode of HDFS",
    check_type: "hdfs",
    conf: CONF,
    section: "Hadoop-Datanode",
    keys: &[servlet::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[SPACE, &[USED], TRAFFIC, TIMES, TRANSFERS, MEMORY, FILES, COLLECTED],
    charts: CHARTS,
    build: |section| servlet::check(section, &DAEMON),
};

const CHARTS: &[Chart] = &[
    Chart::new("Space in use").of(&["datanode_du_percent"]).full(100.0),
    Chart::new("Space").of(&["datanode_capacity", "datanode_dfsused", "datanode_space_remaining"]),
    Chart::new("Read and written").mirror(&["datanode_bytesread"], &["datanode_byteswritten"]),
    Chart::new("Time of reading and writing").mirror(&["datanode_totalreadtime"], &["datanode_totalwritetime"]),
    Chart::new("Volumes that failed").of(&["datanode_numfailedvolumes"]),
    Chart::new("Space lost with them").of(&["datanode_estimatedcapacitylosttotal"]),
    Chart::new("Blocks").of(&[
        "datanode_blocksread",
        "datanode_blockswritten",
        "datanode_blocksreplicated",
        "datanode_blocksverified",
    ]),
    Chart::new("Transfers at once").of(&["datanode_xceivercount"]),
    Chart::new("Time of a heartbeat").of(&["datanode_heartbeatsavgtime"]),
    Chart::new("Time of a flush").of(&["datanode_flushnanosavgtime"]),
    Chart::new("Heap").of(&["datanode_heap_used", "datanode_heap_committed", "datanode_heap_max"]),
    Chart::new("Beside the heap").of(&["datanode_nonheap_used", "datanode_nonheap_committed", "datanode_nonheap_max"]),
    Chart::new("Last garbage collection").of(&["datanode_lastgcinfo"]).each("gctype"),
    Chart::new("Time in garbage collection").of(&["datanode_gc_collectiontime"]).each("gctype"),
    Chart::new("Open files").of(&["datanode_openfiles"]),
];

static DAEMON: Daemon = Daemon {
    kind: "a DataNode of HDFS",
    questions: &[
        "qry=Hadoop:service=DataNode,name=FSDatasetState*",
        "qry=Hadoop:service=DataNode,name=DataNodeActivity-*",
        "get=Hadoop:service=DataNode,name=DataNodeInfo::XceiverCount",
        JVM,
    ],
    parts: &[
        DATASET,
        sums("Hadoop:service=DataNode,name=DataNodeActivity-*", TRAFFIC),
        as_one("Hadoop:service=DataNode,name=DataNodeActivity-*", TIMES),
        as_one("Hadoop:service=DataNode,name=DataNodeInfo", TRANSFERS),
        memory(MEMORY),
        process(FILES),
        collectors(COLLECTED),
    ],
    tell,
};

/// Newer versions have a second MBean with the same values, whose name ends with a dash and a number.
const DATASET: Part = as_one("Hadoop:service=DataNode,name=FSDatasetState*", SPACE);

const SPACE: &[Field] = &[
    gauge("/Capacity", "datanode_capacity", "bytes").int().reaction(-3),
    gauge("/DfsUsed", "datanode_dfsused", "bytes").int().reaction(-3),
    gauge("/Remaining", "datanode_space_remaining", "bytes").int().reaction(-3),
    gauge("/NumFailedVolumes", "datanode_numfailedvolumes", "volumes").int(),
    gauge("/EstimatedCapacityLostTotal", "datanode_estimatedcapacitylosttotal", "bytes").int(),
    gauge("/NumBlocksCached", "datanode_numblockscached", "blocks").int(),
];
/// Percent of the space that HDFS uses or can use. Space used by other programs on these disks is not included.
const USED: Field = percent("", "datanode_du_percent").reaction(-3);

/// A DataNode has one MBean for its activity; if a process runs several DataNodes, they are added up.
const TRAFFIC: &[Field] = &[
    rate("/BytesRead", "datanode_bytesread", "bytes/s"),
    rate("/BytesWritten", "datanode_byteswritten", "bytes/s"),
    rate("/TotalReadTime", "datanode_totalreadtime", "ms/s"),
    rate("/TotalWriteTime", "datanode_totalwritetime", "ms/s"),
    rate("/BlocksRead", "datanode_blocksread", "1/s"),
    rate("/BlocksWritten", "datanode_blockswritten", "1/s"),
    rate("/BlocksReplicated", "datanode_blocksreplicated", "1/s"),
    rate("/BlocksVerified", "datanode_blocksverified", "1/s"),
    counter("/VolumeFailures", "datanode_volumefailures", "failures"),
];
const TIMES: &[Field] = &[
    gauge("/HeartbeatsAvgTime", "datanode_heartbeatsavgtime", "ms"),
    gauge("/FlushNanosAvgTime", "datanode_flushnanosavgtime", "ns"),
];

const TRANSFERS: &[Field] = &[gauge("/XceiverCount", "datanode_xceivercount", "transfers").int()];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/max", "datanode_heap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/init", "datanode_heap_init", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/committed", "datanode_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/used", "datanode_heap_used", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "datanode_nonheap_max", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/init", "datanode_nonheap_init", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/committed", "datanode_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/used", "datanode_nonheap_used", "bytes").int().reaction(-3),
];

const FILES: &[Field] = &[gauge("/OpenFileDescriptorCount", "datanode_openfiles", "files").int().reaction(-3)];

const COLLECTED: &[Field] = &[
    gauge("/LastGcInfo/duration", "datanode_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "datanode_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "datanode_gc_collectiontime", "ms").reaction(-1),
];

fn tell(mbeans: &MBeans, out: &mut Out) {
    let row = DATASET.row(mbeans);
    let share = row.count("/DfsUsed").zip(row.count("/Remaining"));
    if let Some(share) = share.and_then(|(used, rest)| Share::of(used, used.saturating_add(rest))) {
        out.put(&USED, share.percent(), &Tags::default());
    }
}
