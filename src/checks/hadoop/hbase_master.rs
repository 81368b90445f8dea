//! hbase_master: region servers, requests and regions in transition of the cluster, and RPC calls and JVM of the HBase
//! Master (HBase Reference Guide, "HBase Metrics"; org.apache.hadoop.hbase.master.MetricsMasterSource).

use super::CONF;
use super::servlet::{
    self, Daemon, HBASE_JVM, JVM, Part, apart, as_one, collectors, garbage, memory, process, tell_cluster,
};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::jmx_servlet::MBeans;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_hbase_master",
    purpose: "region servers, requests, regions in transition and JVM of an HBase Master",
    check_type: "hbase",
    conf: CONF,
    section: "HBase-Master",
    keys: &[servlet::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[&[ACTIVE], SERVERS, TRANSITIONS, BALANCING, CALLS, GARBAGE, MEMORY, FILES, COLLECTED],
    charts: CHARTS,
    build: |section| servlet::check(section, &DAEMON),
};

const CHARTS: &[Chart] = &[
    Chart::new("Region servers").of(&["hmaster_node_numregionservers", "hmaster_node_numdeadregionservers"]),
    Chart::new("Regions in transition").of(&["hmaster_node_ritcount", "hmaster_node_ritcountoverthreshold"]),
    Chart::new("Time in transition").of(&["hmaster_node_ritoldestage", "hmaster_node_ritduration_99th_percentile"]),
    Chart::new("Requests of the cluster").of(&[
        "hmaster_node_clusterrequests",
        "hmaster_node_clusterreadrequests",
        "hmaster_node_clusterwriterequests",
    ]),
    Chart::new("Regions").of(&[
        "hmaster_node_averageload",
        "hmaster_node_onlineregioncount",
        "hmaster_node_offlineregioncount",
    ]),
    Chart::new("Active").of(&["hmaster_is_active"]).full(1.0),
    Chart::new("Calls that wait").of(&["hmaster_node_numcallsingeneralqueue"]),
    Chart::new("Time of a call").of(&["hmaster_node_totalcalltime_99th_percentile"]),
    Chart::new("Exceptions").of(&[
        "hmaster_exceptions",
        "hmaster_exceptions_regionmoved",
        "hmaster_exceptions_multiresponsetoolarge",
        "hmaster_exceptions_regiontoobusy",
        "hmaster_exceptions_failedsanitycheck",
        "hmaster_exceptions_unknownscanner",
        "hmaster_exceptions_outoforderscannernext",
    ]),
    Chart::new("Refused").of(&["hmaster_node_authenticationfailures", "hmaster_node_authorizationfailures"]),
    Chart::new("Heap").of(&["hmaster_heap_used", "hmaster_heap_committed", "hmaster_heap_max"]),
    Chart::new("Time in garbage collection").of(&["hmaster_node_gctimemillis"]),
    Chart::new("Last garbage collection").of(&["hmaster_lastgcinfo"]).each("gctype"),
    Chart::new("Old write-ahead logs").of(&["hmaster_node_oldwalsdirsize"]),
];

static DAEMON: Daemon = Daemon {
    kind: "an HBase Master",
    questions: &["qry=Hadoop:service=HBase,name=Master,*", HBASE_JVM, JVM],
    parts: &[
        SERVER,
        ASSIGNMENT,
        BALANCER,
        as_one("Hadoop:service=HBase,name=Master,sub=IPC", CALLS),
        garbage(GARBAGE),
        memory(MEMORY),
        process(FILES),
        collectors(COLLECTED),
    ],
    tell,
};

const IS_ACTIVE: &str = "/tag.isActiveMaster";
const SERVER: Part = apart("Hadoop:service=HBase,name=Master,sub=Server", SERVERS, &[IS_ACTIVE]);
/// Old versions misspell it as AssignmentManger.
const ASSIGNMENT: Part = apart("Hadoop:service=HBase,name=Master,sub=Assignment*", TRANSITIONS, &[]);
const BALANCER: Part = apart("Hadoop:service=HBase,name=Master,sub=Balancer", BALANCING, &[]);

const ACTIVE: Field = gauge("", "hmaster_is_active", "0 or 1").int();

const SERVERS: &[Field] = &[
    rate("/clusterRequests", "hmaster_node_clusterrequests", "1/s"),
    gauge("/numRegionServers", "hmaster_node_numregionservers", "servers").int(),
    gauge("/numDeadRegionServers", "hmaster_node_numdeadregionservers", "servers").int(),
    gauge("/averageLoad", "hmaster_node_averageload", "regions"),
    rate("/clusterReadRequests", "hmaster_node_clusterreadrequests", "1/s"),
    rate("/clusterWriteRequests", "hmaster_node_clusterwriterequests", "1/s"),
    gauge("/onlineRegionCount", "hmaster_node_onlineregioncount", "regions").int(),
    gauge("/offlineRegionCount", "hmaster_node_offlineregioncount", "regions").int(),
    gauge("/oldWALsDirSize", "hmaster_node_oldwalsdirsize", "bytes").int(),
];

const TRANSITIONS: &[Field] = &[
    gauge("/ritOldestAge", "hmaster_node_ritoldestage", "ms").int(),
    gauge("/ritCountOverThreshold", "hmaster_node_ritcountoverthreshold", "regions").int(),
    gauge("/ritCount", "hmaster_node_ritcount", "regions").int(),
    gauge("/RitDuration_99th_percentile", "hmaster_node_ritduration_99th_percentile", "ms").int(),
    rate("/RitDuration_num_ops", "hmaster_node_ritduration_num_ops", "1/s"),
];

const BALANCING: &[Field] = &[rate("/BalancerCluster_num_ops", "hmaster_node_balancercluster_num_ops", "1/s")];

const CALLS: &[Field] = &[
    counter("/authenticationSuccesses", "hmaster_node_authenticationsuccesses", "logins"),
    counter("/authenticationFailures", "hmaster_node_authenticationfailures", "logins"),
    counter("/authenticationFallbacks", "hmaster_node_authenticationfallbacks", "logins"),
    counter("/authorizationSuccesses", "hmaster_node_authorizationsuccesses", "connections"),
    counter("/authorizationFailures", "hmaster_node_authorizationfailures", "connections"),
    counter("/exceptions", "hmaster_exceptions", "exceptions"),
    counter("/exceptions.RegionMovedException", "hmaster_exceptions_regionmoved", "exceptions"),
    counter("/exceptions.multiResponseTooLarge", "hmaster_exceptions_multiresponsetoolarge", "exceptions"),
    counter("/exceptions.RegionTooBusyException", "hmaster_exceptions_regiontoobusy", "exceptions"),
    counter("/exceptions.FailedSanityCheckException", "hmaster_exceptions_failedsanitycheck", "exceptions"),
    counter("/exceptions.UnknownScannerException", "hmaster_exceptions_unknownscanner", "exceptions"),
    counter("/exceptions.OutOfOrderScannerNextException", "hmaster_exceptions_outoforderscannernext", "exceptions"),
    gauge("/numCallsInGeneralQueue", "hmaster_node_numcallsingeneralqueue", "calls").int(),
    gauge("/TotalCallTime_99th_percentile", "hmaster_node_totalcalltime_99th_percentile", "ms").int(),
];

const GARBAGE: &[Field] = &[
    rate("/GcTimeMillis", "hmaster_node_gctimemillis", "ms/s"),
    counter("/GcCount", "hmaster_node_gccount", "runs").reaction(-3),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/max", "hmaster_heap_max", "bytes").int(),
    gauge("/HeapMemoryUsage/init", "hmaster_heap_init", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "hmaster_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "hmaster_heap_used", "bytes").int(),
];

const FILES: &[Field] = &[gauge("/OpenFileDescriptorCount", "hmaster_node_openfiledescriptorcount", "files").int()];

const COLLECTED: &[Field] = &[
    gauge("/LastGcInfo/duration", "hmaster_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "hmaster_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "hmaster_gc_collectiontime", "ms").reaction(-1),
];

fn tell(mbeans: &MBeans, out: &mut Out) {
    let is_active = SERVER.text(mbeans, IS_ACTIVE).map(|word| word == "true");
    tell_cluster(is_active, &ACTIVE, &[SERVER, ASSIGNMENT, BALANCER], mbeans, out);
}
