//! storm_workers: JVM of each Storm worker, through the Jolokia on its port.

use super::CONF;
use super::storm_api::address;
use crate::check::chart::Chart;
use crate::check::instances::several;
use crate::check::{Beans, Check, Out, Runs, Spec, jolokia, jvm};
use crate::config::section::Section;
use crate::fetch::http;
use crate::model::error::Result;
use crate::model::parse::jolokia::Bean;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_storm_workers",
    purpose: "memory, threads and collectors of garbage of workers of Storm",
    check_type: "Storm",
    conf: CONF,
    section: "Storm",
    keys: &[&["host", "port", "path"], http::KEYS],
    runs: Runs::Own,
    fields: &[COLLECTOR, MACHINE],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Heap in use").of(&["storm_heap_used"]).each("workerport"),
    Chart::new("Largest heap").of(&["storm_heap_max"]).each("workerport"),
    Chart::new("Heap taken from the system").of(&["storm_heap_committed"]).each("workerport"),
    Chart::new("Beside the heap").of(&["storm_nonheap_used"]).each("workerport"),
    Chart::new("Time in garbage collection").of(&["storm_gc_collectiontime"]).each("workerport"),
    Chart::new("Last garbage collection").of(&["storm_lastgcinfo"]).each("workerport"),
    Chart::new("Garbage collections").of(&["storm_gc_collectioncount"]).each("workerport"),
    Chart::new("Share of all processors").of(&["storm_processcpuload"]).each("workerport").full(1.0),
    Chart::new("Threads").of(&["storm_threadcount"]).each("workerport"),
    Chart::new("Open files").of(&["storm_openfiledescriptorcount"]).each("workerport"),
    Chart::new("Time since the start").of(&["storm_uptime"]).each("workerport"),
];

const BEANS: &[Bean] = &[
    jvm::RUNTIME,
    jvm::MEMORY,
    jvm::THREADS,
    Bean { name: "java.lang:type=OperatingSystem", attributes: &["ProcessCpuLoad", "OpenFileDescriptorCount"] },
    jvm::COLLECTORS,
];
/// Index of the last one.
const COLLECTORS: usize = 4;

const COLLECTOR: &[Field] = &[
    gauge("/LastGcInfo/duration", "storm_lastgcinfo", "ms").int(),
    counter("/CollectionCount", "storm_gc_collectioncount", "runs").reaction(-1),
    counter("/CollectionTime", "storm_gc_collectiontime", "ms").reaction(-1),
];

const MACHINE: &[Field] = &[
    gauge("/NonHeapMemoryUsage/used", "storm_nonheap_used", "bytes").int(),
    gauge("/NonHeapMemoryUsage/committed", "storm_nonheap_committed", "bytes").int(),
    gauge("/NonHeapMemoryUsage/max", "storm_nonheap_max", "bytes").int(),
    gauge("/HeapMemoryUsage/used", "storm_heap_used", "bytes").int(),
    gauge("/HeapMemoryUsage/committed", "storm_heap_committed", "bytes").int(),
    gauge("/HeapMemoryUsage/max", "storm_heap_max", "bytes").int(),
    counter("/TotalStartedThreadCount", "storm_totalstartedthreadcount", "threads"),
    gauge("/PeakThreadCount", "storm_peakthreadcount", "threads").int(),
    gauge("/ThreadCount", "storm_threadcount", "threads").int(),
    gauge("/DaemonThreadCount", "storm_daemonthreadcount", "threads").int(),
    gauge("/ProcessCpuLoad", "storm_processcpuload", "ratio").most(1.0),
    gauge("/OpenFileDescriptorCount", "storm_openfiledescriptorcount", "files").int(),
    gauge("/Uptime", "storm_uptime", "s").scale(0.001),
];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    section.required("port", "46700,46701")?;
    let path = section.text("path").filter(|path| !path.is_empty()).unwrap_or("/jolokia/read");
    let mut ports = section.list("port");
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return Err(section.wrong("port", "expected ports, separated by commas"));
    }
    let worker = |port: &str| {
        let section = section.with("host", &format!("{}/{}", address(section, port)?, path.trim_start_matches('/')));
        let check = jolokia(&section, "host", BEANS, |beans, out| {
            tell(beans, out);
            Ok(())
        })?;
        Ok((port.to_string(), check))
    };
    several(SPEC.check_type, section, "workerport", ports.into_iter().map(worker).collect::<Result<_>>()?)
}

fn tell(beans: &Beans, out: &mut Out) {
    jvm::counted(beans.at(0), out);
    (0..COLLECTORS).for_each(|place| jvm::tell(beans.at(place), MACHINE, &Tags::default(), out));
    jvm::tell_collectors(beans.at(COLLECTORS), COLLECTOR, true, out);
}
