//! hbase_rest: requests, responses, pauses and JVM of HBase's REST gateway
//! (org.apache.hadoop.hbase.rest.MetricsRESTSource).

use super::CONF;
use super::servlet::{self, Daemon, JVM, as_one, collectors, memory, threads};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_hbase_rest",
    purpose: "requests, pauses and JVM of the REST gateway of HBase",
    check_type: "hbase",
    conf: CONF,
    section: "HBase-Rest",
    keys: &[servlet::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[GATEWAY, MEMORY, THREADS, COLLECTED],
    charts: CHARTS,
    build: |section| servlet::check(section, &DAEMON),
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["hrest_requests"]),
    Chart::new("Done").of(&[
        "hrest_successfulget",
        "hrest_successfulput",
        "hrest_successfuldelete",
        "hrest_successfulscancount",
        "hrest_successfulappendcount",
        "hrest_successfulincrementcount",
    ]),
    Chart::new("Failed").of(&[
        "hrest_failedget",
        "hrest_failedput",
        "hrest_faileddelete",
        "hrest_failedscancount",
        "hrest_failedappendcount",
        "hrest_failedincrementcount",
    ]),
    Chart::new("Pauses").of(&[
        "hrest_pausetimewithgc_99th_percentile",
        "hrest_pausetimewithgc_90th_percentile",
        "hrest_pausetimewithoutgc_99th_percentile",
        "hrest_pausetimewithoutgc_90th_percentile",
    ]),
    Chart::new("Heap").of(&["hrest_heap_used", "hrest_heap_committed", "hrest_heap_max"]),
    Chart::new("Threads").of(&["hrest_threadcount", "hrest_daemonthreadcount", "hrest_peakthreadcount"]),
    Chart::new("Last garbage collection").of(&["hrest_lastgcinfo"]).each("gctype"),
    Chart::new("Time in garbage collection").of(&["hrest_gc_collectiontime"]).each("gctype"),
];

static DAEMON: Daemon = Daemon {
    kind: "a REST gateway of HBase",
    questions: &["qry=Hadoop:service=HBase,name=REST", JVM],
    parts: &[
        as_one("Hadoop:service=HBase,name=REST", GATEWAY),
        memory(MEMORY),
        threads(THREADS),
        collectors(COLLECTED),
    ],
    tell: |_, _| {},
};

const GATEWAY: &[Field] = &[
    gauge("/PauseTimeWithGc_99th_percentile", "hrest_pausetimewithgc_99th_percentile", "ms").int(),
    gauge("/PauseTimeWithGc_90th_percentile", "hrest_pausetimewithgc_90th_percentile", "ms").int(),
    gauge("/PauseTimeWithoutGc_90th_percentile", "hrest_pausetimewithoutgc_90th_percentile", "ms").int(),
    gauge("/PauseTimeWithoutGc_99th_percentile", "hrest_pausetimewithoutgc_99th_percentile", "ms").int(),
    rate("/requests", "hrest_requests", "1/s"),
    rate("/successfulDelete", "hrest_successfuldelete", "1/s"),
    rate("/successfulGet", "hrest_successfulget", "1/s"),
    rate("/successfulPut", "hrest_successfulput", "1/s"),
    rate("/successfulScanCount", "hrest_successfulscancount", "1/s"),
    rate("/failedDelete", "hrest_faileddelete", "1/s"),
    rate("/failedGet", "hrest_failedget", "1/s"),
    rate("/failedPut", "hrest_failedput", "1/s"),
    rate("/failedScanCount", "hrest_failedscancount", "1/s"),
    rate("/successfulAppendCount", "hrest_successfulappendcount", "1/s"),
    rate("/successfulIncrementCount", "hrest_successfulincrementcount", "1/s"),
    rate("/failedAppendCount", "hrest_failedappendcount", "1/s"),
    rate("/failedIncrementCount", "hrest_failedincrementcount", "1/s"),
    counter("/pauseWarnThresholdExceeded", "hrest_pausewarnthresholdexceeded", "pauses"),
    counter("/pauseInfoThresholdExceeded", "hrest_pauseinfothresholdexceeded", "pauses"),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/max", "hrest_heap_max", "bytes").int(),
    gauge("/HeapMemoryUsage/init", "hrest_heap_init", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "hrest_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "hrest_heap_used", "bytes").int(),
];

const THREADS: &[Field] = &[
    gauge("/TotalStartedThreadCount", "hrest_totalstartedthreadcount", "threads").int(),
    gauge("/PeakThreadCount", "hrest_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "hrest_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "hrest_daemonthreadcount", "threads").int(),
];

const COLLECTED: &[Field] = &[
    gauge("/LastGcInfo/duration", "hrest_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "hrest_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "hrest_gc_collectiontime", "ms").reaction(-1),
];
