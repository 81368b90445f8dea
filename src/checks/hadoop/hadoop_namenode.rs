//! hadoop_namenode: space, blocks and DataNodes of the cluster, and operations, RPC calls and JVM of an HDFS NameNode
//! (Hadoop documentation, "Metrics"; org.apache.hadoop.hdfs.server.namenode.FSNamesystem, NameNodeMXBean).

use super::CONF;
use super::servlet::{self, Daemon, JVM, Part, apart, as_one, collectors, each, memory, process, sums, tell_cluster};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::jmx_servlet::MBeans;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_hadoop_namenode",
    purpose: "space, blocks, DataNodes, operations, calls and JVM of a NameNode of HDFS",
    check_type: "hdfs",
    conf: CONF,
    section: "Hadoop-NameNode",
    keys: &[servlet::KEYS, &["folders"], http::KEYS],
    runs: Runs::Own,
    fields: &[&[ACTIVE, SAFE], CLUSTER, REST, OWN, OPERATIONS, CALLS, TIMES, MEMORY, FILES, COLLECTED],
    charts: CHARTS,
    build: |section| servlet::check(section, &DAEMON),
};

const CHARTS: &[Chart] = &[
    Chart::new("Space").of(&[
        "namenode_capacitytotal",
        "namenode_capacityused",
        "namenode_capacityremaining",
        "namenode_nondfsusedspace",
    ]),
    Chart::new("Space that is left").of(&["namenode_percentremaining"]).full(100.0),
    Chart::new("Blocks in trouble").of(&[
        "namenode_missingblocks",
        "namenode_corruptblocks",
        "namenode_underreplicatedblocks",
        "namenode_pendingreplicationblocks",
        "namenode_scheduledreplicationblocks",
    ]),
    Chart::new("DataNodes").of(&[
        "namenode_numlivedatanodes",
        "namenode_numdeaddatanodes",
        "namenode_numstaledatanodes",
        "namenode_numdecommissioningdatanodes",
    ]),
    Chart::new("Volumes that failed").of(&["namenode_volumefailurestotal", "namenode_numstalestorages"]),
    Chart::new("Active, in safe mode").of(&["namenode_is_active", "namenode_is_in_safe_mode"]).full(1.0),
    Chart::new("Time of a call").of(&["namenode_rpcprocessingtimeavgtime", "namenode_rpcqueuetimeavgtime"]),
    Chart::new("Calls that wait, and connections").of(&["namenode_callqueuelength", "namenode_numopenconnections"]),
    Chart::new("Received and sent").mirror(&["namenode_receivedbytes"], &["namenode_sentbytes"]),
    Chart::new("Operations").of(&[
        "namenode_fileinfoops",
        "namenode_getblocklocations",
        "namenode_getlistingops",
        "namenode_createfileops",
        "namenode_addblockops",
        "namenode_deletefileops",
        "namenode_filesdeleted",
        "namenode_filesrenamed",
    ]),
    Chart::new("Transactions").of(&["namenode_transactionsnumops"]),
    Chart::new("Transactions since the last checkpoint").of(&["namenode_transactionssincelastcheckpoint"]),
    Chart::new("How far a standby is behind").of(&["namenode_millissincelastloadededits"]),
    Chart::new("Files and blocks").of(&["namenode_filestotal", "namenode_blockstotal"]),
    Chart::new("Refused").of(&["namenode_rpcauthenticationfailures", "namenode_rpcauthorizationfailures"]),
    Chart::new("Heap").of(&["namenode_heap_used", "namenode_heap_committed", "namenode_heap_max"]),
    Chart::new("Beside the heap").of(&["namenode_nonheap_used", "namenode_nonheap_committed", "namenode_nonheap_max"]),
    Chart::new("Last garbage collection").of(&["namenode_lastgcinfo"]).each("gctype"),
    Chart::new("Time in garbage collection").of(&["namenode_gc_collectiontime"]).each("gctype"),
    Chart::new("Open files").of(&["namenode_openfiledescriptorcount"]),
];

static DAEMON: Daemon = Daemon {
    kind: "a NameNode of HDFS",
    questions: &[
        "qry=Hadoop:service=NameNode,name=FSNamesystem*",
        "qry=Hadoop:service=NameNode,name=NameNodeActivity",
        "qry=Hadoop:service=NameNode,name=RpcActivityForPort*",
        // The whole MBean includes a list of all DataNodes.
        "get=Hadoop:service=NameNode,name=NameNodeInfo::PercentRemaining",
        JVM,
    ],
    parts: &[
        NAMESYSTEM,
        INFO,
        as_one(NAMESYSTEM_NAME, OWN),
        as_one("Hadoop:service=NameNode,name=NameNodeActivity", OPERATIONS),
        sums(PORTS, CALLS),
        each(PORTS, "port", TIMES),
        memory(MEMORY),
        process(FILES),
        collectors(COLLECTED),
    ],
    tell,
};

const NAMESYSTEM_NAME: &str = "Hadoop:service=NameNode,name=FSNamesystem*";
const NAMESYSTEM: Part = apart(NAMESYSTEM_NAME, CLUSTER, &[HA_STATE, FS_STATE]);
const INFO: Part = apart("Hadoop:service=NameNode,name=NameNodeInfo", REST, &[]);
const PORTS: &str = "Hadoop:service=NameNode,name=RpcActivityForPort*";
/// active, standby or observer; active if there is only one NameNode.
const HA_STATE: &str = "/tag.HAState";
/// Operational or safeMode.
const FS_STATE: &str = "/FSState";

const ACTIVE: Field = gauge("", "namenode_is_active", "0 or 1").int();
const SAFE: Field = gauge("", "namenode_is_in_safe_mode", "0 or 1").int();

/// If a metric has two lines, the second one has the cell's name in older versions.
const CLUSTER: &[Field] = &[
    gauge("/CapacityTotal", "namenode_capacitytotal", "bytes").int(),
    gauge("/CapacityUsed", "namenode_capacityused", "bytes").int(),
    gauge("/CapacityRemaining", "namenode_capacityremaining", "bytes").int(),
    gauge("/CapacityUsedNonDFS", "namenode_nondfsusedspace", "bytes").int(),
    gauge("/BlocksTotal", "namenode_blockstotal", "blocks").int(),
    gauge("/MissingBlocks", "namenode_missingblocks", "blocks").int(),
    gauge("/CorruptBlocks", "namenode_corruptblocks", "blocks").int(),
    gauge("/LowRedundancyBlocks", "namenode_underreplicatedblocks", "blocks").int(),
    gauge("/UnderReplicatedBlocks", "namenode_underreplicatedblocks", "blocks").int(),
    gauge("/PendingReconstructionBlocks", "namenode_pendingreplicationblocks", "blocks").int(),
    gauge("/PendingReplicationBlocks", "namenode_pendingreplicationblocks", "blocks").int(),
    gauge("/ScheduledReplicationBlocks", "namenode_scheduledreplicationblocks", "blocks").int(),
    gauge("/BlockCapacity", "namenode_blockcapacity", "blocks").int(),
    gauge("/StaleDataNodes", "namenode_numstaledatanodes", "servers").int(),
    gauge("/NumStaleDataNodes", "namenode_numstaledatanodes", "servers").int(),
    gauge("/NumStaleStorages", "namenode_numstalestorages", "volumes").int(),
    gauge("/NumLiveDataNodes", "namenode_numlivedatanodes", "servers").int(),
    gauge("/NumDeadDataNodes", "namenode_numdeaddatanodes", "servers").int(),
    gauge("/NumDecomLiveDataNodes", "namenode_numdecomlivedatanodes", "servers").int(),
    gauge("/NumDecomDeadDataNodes", "namenode_numdecomdeaddatanodes", "servers").int(),
    gauge("/NumDecommissioningDataNodes", "namenode_numdecommissioningdatanodes", "servers").int(),
    gauge("/FilesTotal", "namenode_filestotal", "files").int(),
    gauge("/VolumeFailuresTotal", "namenode_volumefailurestotal", "volumes").int(),
    gauge("/PendingDeletionBlocks", "namenode_pendingdeletionblocks", "blocks").int(),
    gauge("/ExcessBlocks", "namenode_excessblocks", "blocks").int(),
];
const REST: &[Field] = &[
    percent("/PercentRemaining", "namenode_percentremaining"),
    gauge("/NonDfsUsedSpace", "namenode_nondfsusedspace", "bytes").int(),
];

/// Values of the namesystem that a standby NameNode reports about itself.
const OWN: &[Field] = &[
    gauge("/LastCheckpointTime", "namenode_lastcheckpointtime", "unix s").int().scale(0.001),
    gauge("/TransactionsSinceLastCheckpoint", "namenode_transactionssincelastcheckpoint", "transactions").int(),
    gauge("/MillisSinceLastLoadedEdits", "namenode_millissincelastloadededits", "ms").int(),
];

const OPERATIONS: &[Field] = &[
    rate("/CreateFileOps", "namenode_createfileops", "1/s"),
    rate("/GetBlockLocations", "namenode_getblocklocations", "1/s"),
    rate("/FilesRenamed", "namenode_filesrenamed", "1/s"),
    rate("/GetListingOps", "namenode_getlistingops", "1/s"),
    rate("/DeleteFileOps", "namenode_deletefileops", "1/s"),
    rate("/FilesDeleted", "namenode_filesdeleted", "1/s"),
    rate("/FileInfoOps", "namenode_fileinfoops", "1/s"),
    rate("/AddBlockOps", "namenode_addblockops", "1/s"),
    rate("/TransactionsNumOps", "namenode_transactionsnumops", "1/s"),
    gauge("/SafeModeTime", "namenode_safemodetime", "ms").int(),
];

/// Summed over all RPC ports: there may be one each for clients, DataNodes and heartbeats.
const CALLS: &[Field] = &[
    rate("/ReceivedBytes", "namenode_receivedbytes", "bytes/s"),
    rate("/SentBytes", "namenode_sentbytes", "bytes/s"),
    counter("/RpcAuthenticationFailures", "namenode_rpcauthenticationfailures", "logins"),
    counter("/RpcAuthenticationSuccesses", "namenode_rpcauthenticationsuccesses", "logins"),
    counter("/RpcAuthorizationFailures", "namenode_rpcauthorizationfailures", "connections"),
    counter("/RpcAuthorizationSuccesses", "namenode_rpcauthorizationsuccesses", "connections"),
    gauge("/CallQueueLength", "namenode_callqueuelength", "calls").int(),
    gauge("/NumOpenConnections", "namenode_numopenconnections", "connections").int(),
];
const TIMES: &[Field] = &[
    gauge("/RpcQueueTimeAvgTime", "namenode_rpcqueuetimeavgtime", "ms"),
    gauge("/RpcProcessingTimeAvgTime", "namenode_rpcprocessingtimeavgtime", "ms"),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/max", "namenode_heap_max", "bytes").int(),
    gauge("/HeapMemoryUsage/init", "namenode_heap_init", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "namenode_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "namenode_heap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/max", "namenode_nonheap_max", "bytes").int(),
    gauge("/NonHeapMemoryUsage/init", "namenode_nonheap_init", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "namenode_nonheap_committed", "bytes").int(),
    gauge("/NonHeapMemoryUsage/used", "namenode_nonheap_used", "bytes").int(),
];

const FILES: &[Field] = &[gauge("/OpenFileDescriptorCount", "namenode_openfiledescriptorcount", "files").int()];

const COLLECTED: &[Field] = &[
    gauge("/LastGcInfo/duration", "namenode_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "namenode_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "namenode_gc_collectiontime", "ms").reaction(-1),
];

fn tell(mbeans: &MBeans, out: &mut Out) {
    if let Some(state) = NAMESYSTEM.text(mbeans, FS_STATE) {
        out.put(&SAFE, u64::from(state == "safeMode"), &Tags::default());
    }
    let is_active = NAMESYSTEM.text(mbeans, HA_STATE).map(|state| state == "active");
    tell_cluster(is_active, &ACTIVE, &[NAMESYSTEM, INFO], mbeans, out);
}
