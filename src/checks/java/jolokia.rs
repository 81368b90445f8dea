//! jolokia: memory, threads, classes and garbage collectors of a Java virtual machine with Jolokia.

use super::CONF;
use super::machine::{Tables, machine};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_jolokia",
    purpose: "memory, threads and collectors of garbage of a Java virtual machine with Jolokia",
    check_type: "jolokia",
    conf: CONF,
    section: "Jolokia",
    keys: &[&["jolokia"], http::KEYS],
    runs: Runs::Own,
    fields: &[MACHINE, COLLECTOR, POOL, BUFFERS],
    charts: CHARTS,
    build: |section| {
        let tables = Tables { machine: MACHINE, collector: COLLECTOR, pool: POOL, buffers: BUFFERS };
        machine(section, "jolokia", tables)
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Heap").of(&["jolokia_heap_used", "jolokia_heap_committed", "jolokia_heap_max"]),
    Chart::new("Beside the heap").of(&["jolokia_nonheap_used", "jolokia_nonheap_committed", "jolokia_nonheap_max"]),
    Chart::new("Time in garbage collection").of(&["jolokia_gc_collectiontime_rate"]).each("gctype"),
    Chart::new("Last garbage collection").of(&["jolokia_lastgcinfo"]).each("gctype"),
    Chart::new("Garbage collections").of(&["jolokia_gc_collectioncount"]).each("gctype"),
    Chart::new("Share of all processors").of(&["jolokia_processcpuload"]).full(1.0),
    Chart::new("Threads").of(&["jolokia_threadcount", "jolokia_daemonthreadcount", "jolokia_peakthreadcount"]),
    Chart::new("Threads started").of(&["jolokia_totalstartedthreadcount"]),
    Chart::new("Open files").of(&["jolokia_openfiledescriptorcount", "jolokia_maxfiledescriptorcount"]),
    Chart::new("Pools of memory").of(&["jolokia_pool_used"]).each("pool"),
    Chart::new("Buffers beside the heap").of(&["jolokia_buffer_memoryused"]).each("pool"),
    Chart::new("Classes").of(&["jolokia_loadedclasscount"]),
    Chart::new("Classes loaded and unloaded").of(&["jolokia_totalloadedclasscount", "jolokia_unloadedclasscount"]),
];

const MACHINE: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "jolokia_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "jolokia_nonheap_committed", "bytes").int().reaction(-3),
    gauge("/NonHeapMemoryUsage/max", "jolokia_nonheap_max", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/used", "jolokia_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "jolokia_heap_committed", "bytes").int().reaction(-3),
    gauge("/HeapMemoryUsage/max", "jolokia_heap_max", "bytes").int().reaction(-3),
    gauge("/PeakThreadCount", "jolokia_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "jolokia_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "jolokia_daemonthreadcount", "threads").int(),
    counter("/TotalStartedThreadCount", "jolokia_totalstartedthreadcount", "threads"),
    gauge("/Uptime", "jolokia_uptime", "s").scale(0.001),
    gauge("/LoadedClassCount", "jolokia_loadedclasscount", "classes").int(),
    counter("/TotalLoadedClassCount", "jolokia_totalloadedclasscount", "classes"),
    counter("/UnloadedClassCount", "jolokia_unloadedclasscount", "classes"),
    gauge("/ProcessCpuLoad", "jolokia_processcpuload", "ratio").most(1.0),
    gauge("/OpenFileDescriptorCount", "jolokia_openfiledescriptorcount", "files").int(),
    gauge("/MaxFileDescriptorCount", "jolokia_maxfiledescriptorcount", "files").int(),
];

const COLLECTOR: &[Field] = &[
    gauge("/LastGcInfo/duration", "jolokia_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "jolokia_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "jolokia_gc_collectiontime", "ms").reaction(-1),
    rate("/CollectionTime", "jolokia_gc_collectiontime_rate", "ms/s"),
];

const POOL: &[Field] =
    &[gauge("/Usage/used", "jolokia_pool_used", "bytes").int(), gauge("/Usage/max", "jolokia_pool_max", "bytes").int()];

const BUFFERS: &[Field] = &[
    gauge("/MemoryUsed", "jolokia_buffer_memoryused", "bytes").int(),
    gauge("/Count", "jolokia_buffer_count", "buffers").int(),
];
