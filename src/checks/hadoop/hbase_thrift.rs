//! hbase_thrift: calls, slow calls, queue, pauses and JVM of HBase's Thrift gateways
//! (org.apache.hadoop.hbase.thrift.MetricsThriftServerSource).

use super::CONF;
use super::servlet::{self, Daemon, JVM, collectors, each, memory, threads};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_hbase_thrift",
    purpose: "calls, queue, pauses and JVM of a Thrift gateway of HBase",
    check_type: "hbase",
    conf: CONF,
    section: "HBase-Thrift",
    keys: &[servlet::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[GATEWAY, MEMORY, THREADS, COLLECTED],
    charts: CHARTS,
    build: |section| servlet::check(section, &DAEMON),
};

const CHARTS: &[Chart] = &[
    Chart::new("Calls").of(&[
        "hthrift_thriftcall",
        "hthrift_slowthriftcall",
        "hthrift_batchget",
        "hthrift_batchmutate",
    ]),
    Chart::new("Time of a call").of(&["hthrift_thriftcall_99th_percentile", "hthrift_slowthriftcall_99th_percentile"]),
    Chart::new("Calls that wait, and who works").of(&["hthrift_callqueuelen", "hthrift_numactiveworkers"]),
    Chart::new("Time in the queue").of(&["hthrift_timeinqueue_99th_percentile"]),
    Chart::new("Exceptions").of(&["hthrift_exceptions"]),
    Chart::new("Pauses").of(&[
        "hthrift_pausetimewithgc_99th_percentile",
        "hthrift_pausetimewithgc_90th_percentile",
        "hthrift_pausetimewithoutgc_99th_percentile",
        "hthrift_pausetimewithoutgc_90th_percentile",
    ]),
    Chart::new("Heap").of(&["hthrift_heap_used", "hthrift_heap_committed", "hthrift_heap_max"]),
    Chart::new("Threads").of(&["hthrift_threadcount", "hthrift_daemonthreadcount", "hthrift_peakthreadcount"]),
    Chart::new("Last garbage collection").of(&["hthrift_lastgcinfo"]).each("gctype"),
    Chart::new("Time in garbage collection").of(&["hthrift_gc_collectiontime"]).each("gctype"),
];

static DAEMON: Daemon = Daemon {
    kind: "a Thrift gateway of HBase",
    questions: &["qry=Hadoop:service=HBase,name=Thrift,*", JVM],
    parts: &[
        each("Hadoop:service=HBase,name=Thrift,sub=Thrift*", "thrift_queue", GATEWAY),
        memory(MEMORY),
        threads(THREADS),
        collectors(COLLECTED),
    ],
    tell: |_, _| {},
};

/// For each kind of server, `one` and `two`.
const GATEWAY: &[Field] = &[
    gauge("/PauseTimeWithGc_99th_percentile", "hthrift_pausetimewithgc_99th_percentile", "ms").int(),
    gauge("/PauseTimeWithGc_90th_percentile", "hthrift_pausetimewithgc_90th_percentile", "ms").int(),
    gauge("/PauseTimeWithoutGc_90th_percentile", "hthrift_pausetimewithoutgc_90th_percentile", "ms").int(),
    gauge("/PauseTimeWithoutGc_99th_percentile", "hthrift_pausetimewithoutgc_99th_percentile", "ms").int(),
    gauge("/callQueueLen", "hthrift_callqueuelen", "calls").int(),
    counter("/TimeInQueue_num_ops", "hthrift_timeinqueue_num_ops", "calls"),
    rate("/BatchMutate_num_ops", "hthrift_batchmutate", "1/s"),
    rate("/ThriftCall_num_ops", "hthrift_thriftcall", "1/s"),
    rate("/SlowThriftCall_num_ops", "hthrift_slowthriftcall", "1/s"),
    rate("/BatchGet_num_ops", "hthrift_batchget", "1/s"),
    gauge("/numActiveWorkers", "hthrift_numactiveworkers", "threads").int(),
    gauge("/ThriftCall_99th_percentile", "hthrift_thriftcall_99th_percentile", "ns").int(),
    gauge("/SlowThriftCall_99th_percentile", "hthrift_slowthriftcall_99th_percentile", "ns").int(),
    gauge("/TimeInQueue_99th_percentile", "hthrift_timeinqueue_99th_percentile", "ns").int(),
    counter("/exceptions", "hthrift_exceptions", "exceptions"),
];

const MEMORY: &[Field] = &[
    gauge("/HeapMemoryUsage/max", "hthrift_heap_max", "bytes").int(),
    gauge("/HeapMemoryUsage/init", "hthrift_heap_init", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "hthrift_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "hthrift_heap_used", "bytes").int(),
];

const THREADS: &[Field] = &[
    gauge("/TotalStartedThreadCount", "hthrift_totalstartedthreadcount", "threads").int(),
    gauge("/PeakThreadCount", "hthrift_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "hthrift_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "hthrift_daemonthreadcount", "threads").int(),
];

const COLLECTED: &[Field] = &[
    gauge("/LastGcInfo/duration", "hthrift_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "hthrift_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "hthrift_gc_collectiontime", "ms").reaction(-1),
];
