//! hbase_regionserver: requests, block cache, memory and files of the stores, compactions, RPC calls and JVM of an
//! HBase RegionServer (HBase Reference Guide, "HBase Metrics";
//! org.apache.hadoop.hbase.regionserver.MetricsRegionServerSource).

use super::CONF;
use super::servlet::{self, Daemon, HBASE_JVM, JVM, Part, apart, as_one, collectors, garbage, memory, process};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::jmx_servlet::MBeans;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, percent, rate};

pub static SPEC: Spec = Spec {
    name: "check_hbase_regionserver",
    purpose: "requests, cache, stores, compactions and JVM of an HBase RegionServer",
    check_type: "hbase",
    conf: CONF,
    section: "HBase-Region",
    keys: &[servlet::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[SERVER, &[MUTATE], HEDGED, CALLS, LOG, GARBAGE, MEMORY, FILES, COLLECTED],
    charts: CHARTS,
    build: |section| servlet::check(section, &DAEMON),
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&[
        "hregion_node_totalrequestcount",
        "hregion_node_readrequestcount",
        "hregion_node_writerequestcount",
    ]),
    Chart::new("Time of a call").of(&["hregion_node_processcalltime_99th_percentile"]),
    Chart::new("Time of an operation").of(&[
        "hregion_node_get_99th_percentile",
        "hregion_node_put_99th_percentile",
        "hregion_node_scantime_99th_percentile",
        "hregion_node_append_99th_percentile",
        "hregion_node_increment_99th_percentile",
    ]),
    Chart::new("Operations").of(&[
        "hregion_node_get_num_ops",
        "hregion_node_put_num_ops",
        "hregion_node_mutate_num_ops",
        "hregion_node_delete_num_ops",
        "hregion_node_scantime_num_ops",
        "hregion_node_append_num_ops",
        "hregion_node_increment_num_ops",
    ]),
    Chart::new("Slow operations").of(&[
        "hregion_node_slowappendcount",
        "hregion_node_slowgetcount",
        "hregion_node_slowputcount",
        "hregion_node_slowincrementcount",
        "hregion_node_slowdeletecount",
    ]),
    Chart::new("Time to write the log")
        .of(&["hregion_node_appendtime_99th_percentile", "hregion_node_synctime_99th_percentile"]),
    Chart::new("Calls that wait").of(&["hregion_node_numcallsingeneralqueue", "hregion_node_numactivehandler"]),
    Chart::new("Regions that wait").of(&[
        "hregion_node_compactionqueuelength",
        "hregion_node_flushqueuelength",
        "hregion_node_splitqueuelength",
    ]),
    Chart::new("Writers held up").of(&["hregion_node_updatesblockedtime"]),
    Chart::new("Requests held up").of(&["hregion_node_blockedrequestcount"]),
    Chart::new("Hits of the cache")
        .of(&["hregion_node_blockcounthitpercent", "hregion_node_blockcacheexpresshitpercent"])
        .full(100.0),
    Chart::new("Cache of blocks").of(&["hregion_node_blockcachesize", "hregion_node_blockcachefreesize"]).stacked(),
    Chart::new("Blocks read").of(&[
        "hregion_node_blockcachehitcount",
        "hregion_node_blockcachemisscount",
        "hregion_node_blockcacheevictioncount",
    ]),
    Chart::new("Files on this host").of(&["hregion_node_percentfileslocal"]).full(100.0),
    Chart::new("Not yet flushed").of(&["hregion_node_memstoresize"]),
    Chart::new("Stored").of(&["hregion_node_storefilesize"]),
    Chart::new("Regions and files").of(&[
        "hregion_node_regioncount",
        "hregion_node_storefilecount",
        "hregion_node_hlogfilecount",
    ]),
    Chart::new("Compacted").of(&["hregion_node_compactedcellssize", "hregion_node_majorcompactedcellssize"]),
    Chart::new("Heap").of(&["hregion_heap_used", "hregion_heap_committed", "hregion_heap_max"]),
    Chart::new("Time in garbage collection").of(&["hregion_node_gctimemillis"]),
    Chart::new("Last garbage collection").of(&["hregion_lastgcinfo"]).each("gctype"),
];

static DAEMON: Daemon = Daemon {
    kind: "an HBase RegionServer",
    questions: &[
        "qry=Hadoop:service=HBase,name=RegionServer,sub=Server",
        "qry=Hadoop:service=HBase,name=RegionServer,sub=IPC",
        "qry=Hadoop:service=HBase,name=RegionServer,sub=WAL",
        HBASE_JVM,
        JVM,
    ],
    parts: &[
        as_one("Hadoop:service=HBase,name=RegionServer,sub=Server", SERVER),
        UNTABLED,
        as_one("Hadoop:service=HBase,name=RegionServer,sub=IPC", CALLS),
        as_one("Hadoop:service=HBase,name=RegionServer,sub=WAL", LOG),
        garbage(GARBAGE),
        memory(MEMORY),
        process(FILES),
        collectors(COLLECTED),
    ],
    tell,
};

const SERVER: &[Field] = &[
    rate("/totalRequestCount", "hregion_node_totalrequestcount", "1/s"),
    rate("/readRequestCount", "hregion_node_readrequestcount", "1/s"),
    rate("/writeRequestCount", "hregion_node_writerequestcount", "1/s"),
    rate("/Delete_num_ops", "hregion_node_delete_num_ops", "1/s"),
    rate("/FlushTime_num_ops", "hregion_node_flushtime_num_ops", "1/s"),
    rate("/compactedCellsCount", "hregion_node_compactedcellscount", "1/s"),
    rate("/majorCompactedCellsCount", "hregion_node_majorcompactedcellscount", "1/s"),
    rate("/compactedCellsSize", "hregion_node_compactedcellssize", "bytes/s"),
    rate("/majorCompactedCellsSize", "hregion_node_majorcompactedcellssize", "bytes/s"),
    rate("/blockCacheHitCount", "hregion_node_blockcachehitcount", "1/s").reaction(-3),
    rate("/blockCacheMissCount", "hregion_node_blockcachemisscount", "1/s").reaction(-3),
    rate("/blockCacheEvictionCount", "hregion_node_blockcacheevictioncount", "1/s").reaction(-3),
    gauge("/blockCacheFreeSize", "hregion_node_blockcachefreesize", "bytes").int().reaction(-3),
    gauge("/blockCacheCount", "hregion_node_blockcachecount", "blocks").int().reaction(-3),
    gauge("/blockCacheSize", "hregion_node_blockcachesize", "bytes").int(),
    percent("/blockCacheExpressHitPercent", "hregion_node_blockcacheexpresshitpercent"),
    // The names before 1.0, and since.
    percent("/blockCountHitPercent", "hregion_node_blockcounthitpercent"),
    percent("/blockCacheCountHitPercent", "hregion_node_blockcounthitpercent"),
    counter("/slowAppendCount", "hregion_node_slowappendcount", "operations").reaction(-1),
    counter("/slowGetCount", "hregion_node_slowgetcount", "operations").reaction(-1),
    counter("/slowPutCount", "hregion_node_slowputcount", "operations").reaction(-1),
    counter("/slowIncrementCount", "hregion_node_slowincrementcount", "operations").reaction(-1),
    counter("/slowDeleteCount", "hregion_node_slowdeletecount", "operations").reaction(-1),
    gauge("/memStoreSize", "hregion_node_memstoresize", "bytes").int(),
    gauge("/storeFileSize", "hregion_node_storefilesize", "bytes").int(),
    gauge("/hlogFileSize", "hregion_node_hlogfilesize", "bytes").int(),
    gauge("/regionCount", "hregion_node_regioncount", "regions").int(),
    gauge("/storeFileCount", "hregion_node_storefilecount", "files").int(),
    gauge("/hlogFileCount", "hregion_node_hlogfilecount", "files").int(),
    percent("/percentFilesLocal", "hregion_node_percentfileslocal"),
    rate("/Get_num_ops", "hregion_node_get_num_ops", "1/s"),
    rate("/Put_num_ops", "hregion_node_put_num_ops", "1/s"),
    rate("/ScanTime_num_ops", "hregion_node_scantime_num_ops", "1/s"),
    rate("/Append_num_ops", "hregion_node_append_num_ops", "1/s"),
    rate("/Increment_num_ops", "hregion_node_increment_num_ops", "1/s"),
    gauge("/Get_99th_percentile", "hregion_node_get_99th_percentile", "ms").int(),
    gauge("/Put_99th_percentile", "hregion_node_put_99th_percentile", "ms").int(),
    gauge("/ScanTime_99th_percentile", "hregion_node_scantime_99th_percentile", "ms").int(),
    gauge("/Append_99th_percentile", "hregion_node_append_99th_percentile", "ms").int(),
    gauge("/Increment_99th_percentile", "hregion_node_increment_99th_percentile", "ms").int(),
    gauge("/compactionQueueLength", "hregion_node_compactionqueuelength", "tasks").int(),
    gauge("/flushQueueLength", "hregion_node_flushqueuelength", "tasks").int(),
    gauge("/splitQueueLength", "hregion_node_splitqueuelength", "tasks").int(),
    rate("/blockedRequestCount", "hregion_node_blockedrequestcount", "1/s"),
    rate("/updatesBlockedTime", "hregion_node_updatesblockedtime", "ms/s"),
    rate("/mutationsWithoutWALCount", "hregion_node_mutationswithoutwalcount", "1/s"),
];

/// Cells of the same MBean that are emitted by the check itself, because they are not always present or meaningful.
const UNTABLED: Part =
    apart("Hadoop:service=HBase,name=RegionServer,sub=Server", HEDGED, &[MUTATE.cell, PUTS[0], PUTS[1]]);
const HEDGED: &[Field] = &[
    counter("/hedgedReads", "hregion_node_hedgedreads", "reads"),
    counter("/hedgedReadWins", "hregion_node_hedgedreadwins", "reads"),
];
const MUTATE: Field = rate("/Mutate_num_ops", "hregion_node_mutate_num_ops", "1/s");
/// Replace [`MUTATE`] since 1.4.
const PUTS: [&str; 2] = ["/Put_num_ops", "/PutBatch_num_ops"];

const CALLS: &[Field] = &[
    counter("/authenticationFallbacks", "hregion_node_authenticationfallbacks", "logins"),
    counter("/authorizationSuccesses", "hregion_node_authorizationsuccesses", "connections"),
    counter("/authenticationFailures", "hregion_node_authenticationfailures", "logins"),
    gauge("/queueSize", "hregion_node_queuesize", "bytes").int(),
    gauge("/numCallsInGeneralQueue", "hregion_node_numcallsingeneralqueue", "calls").int(),
    gauge("/numActiveHandler", "hregion_node_numactivehandler", "handlers").int(),
    gauge("/ProcessCallTime_99th_percentile", "hregion_node_processcalltime_99th_percentile", "ms").int(),
];

const LOG: &[Field] = &[
    gauge("/AppendTime_99th_percentile", "hregion_node_appendtime_99th_percentile", "ms").int(),
    gauge("/SyncTime_99th_percentile", "hregion_node_synctime_99th_percentile", "ms").int(),
];

const GARBAGE: &[Field] = &[
    rate("/GcTimeMillis", "hregion_node_gctimemillis", "ms/s"),
    counter("/GcCount", "hregion_node_gccount", "runs").reaction(-3),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/max", "hregion_heap_max", "bytes").int(),
    gauge("/HeapMemoryUsage/init", "hregion_heap_init", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "hregion_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "hregion_heap_used", "bytes").int(),
];

const FILES: &[Field] = &[gauge("/OpenFileDescriptorCount", "hregion_node_openfiledescriptorcount", "files").int()];

const COLLECTED: &[Field] = &[
    gauge("/LastGcInfo/duration", "hregion_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "hregion_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "hregion_gc_collectiontime", "ms").reaction(-1),
];

fn tell(mbeans: &MBeans, out: &mut Out) {
    let (row, none) = (UNTABLED.row(mbeans), Tags::default());
    for field in HEDGED {
        if let Some(count) = row.count(field.cell).filter(|count| *count > 0) {
            out.put(field, count, &none);
        }
    }
    if UNTABLED.is_repeated(mbeans) {
        return;
    }
    let puts = PUTS.iter().filter_map(|place| row.count(place)).reduce(u64::saturating_add);
    if let Some(count) = row.count(MUTATE.cell).or(puts) {
        out.put(&MUTATE, count, &none);
    }
}
