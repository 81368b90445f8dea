//! mesos_chronos: jobs and JVM of Chronos (Chronos documentation, "Metrics").

use super::CONF;
use super::dropwizard::{self, Metrics};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Row, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_mesos_chronos",
    purpose: "jobs and virtual machine of Chronos",
    check_type: "chronos",
    conf: CONF,
    section: "Mesos-Chronos",
    keys: &[dropwizard::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[MACHINE, COLLECTOR, JOBS, TIMES],
    charts: CHARTS,
    build: |section| dropwizard::check(section, "the metrics of Chronos", tell),
};

const CHARTS: &[Chart] = &[
    Chart::new("Runs that failed").of(&["mesos_chronos_jobs_failure"]).each("chronos_jobname"),
    Chart::new("Runs that succeeded").of(&["mesos_chronos_jobs_success"]).each("chronos_jobname"),
    Chart::new("Mean time of a run").of(&["mesos_chronos_jobs_time_mean"]).each("chronos_jobname"),
    Chart::new("Longest run").of(&["mesos_chronos_jobs_time_max"]).each("chronos_jobname"),
    Chart::new("Heap").of(&["mesos_chronos_heap_used", "mesos_chronos_heap_committed"]),
    Chart::new("Beside the heap").of(&["mesos_chronos_nonheap_used", "mesos_chronos_nonheap_committed"]),
    Chart::new("Threads").of(&["mesos_chronos_jvm_threads", "mesos_chronos_jvm_threads_daemon"]),
    Chart::new("Threads by state")
        .of(&[
            "mesos_chronos_jvm_threads_runnable",
            "mesos_chronos_jvm_threads_blocked",
            "mesos_chronos_jvm_threads_waiting",
            "mesos_chronos_jvm_threads_timed_waiting",
            "mesos_chronos_jvm_threads_new",
            "mesos_chronos_jvm_threads_terminated",
        ])
        .stacked(),
    Chart::new("Time in garbage collection").of(&["mesos_chronos_gc_duration"]).each("gctype"),
    Chart::new("Garbage collections").of(&["mesos_chronos_gc_collections"]).each("gctype"),
];

const MACHINE: &[Field] = &[
    gauge("jvm.memory.heap.committed", "mesos_chronos_heap_committed", "bytes").int(),
    gauge("jvm.memory.heap.used", "mesos_chronos_heap_used", "bytes").int(),
    gauge("jvm.memory.non-heap.committed", "mesos_chronos_nonheap_committed", "bytes").int(),
    gauge("jvm.memory.non-heap.used", "mesos_chronos_nonheap_used", "bytes").int(),
    gauge("jvm.threads.count", "mesos_chronos_jvm_threads", "threads").int(),
    gauge("jvm.threads.daemon.count", "mesos_chronos_jvm_threads_daemon", "threads").int(),
    gauge("jvm.threads.new.count", "mesos_chronos_jvm_threads_new", "threads").int(),
    gauge("jvm.threads.runnable.count", "mesos_chronos_jvm_threads_runnable", "threads").int(),
    gauge("jvm.threads.blocked.count", "mesos_chronos_jvm_threads_blocked", "threads").int(),
    gauge("jvm.threads.waiting.count", "mesos_chronos_jvm_threads_waiting", "threads").int(),
    gauge("jvm.threads.timed_waiting.count", "mesos_chronos_jvm_threads_timed_waiting", "threads").int(),
    gauge("jvm.threads.terminated.count", "mesos_chronos_jvm_threads_terminated", "threads").int(),
];

/// Cells are the part of the name after the collector.
const COLLECTOR: &[Field] = &[
    counter(".count", "mesos_chronos_gc_collections", "runs").float(),
    counter(".time", "mesos_chronos_gc_duration", "ms").float(),
];

/// Cells are the part of the name before the job, whose name may contain dots.
const JOBS: &[Field] = &[
    counter("jobs.run.success.", "mesos_chronos_jobs_success", "runs").float(),
    counter("jobs.run.failure.", "mesos_chronos_jobs_failure", "runs").float(),
];

/// Cells of each job's histogram.
const TIMES: &[Field] = &[
    gauge("/mean", "mesos_chronos_jobs_time_mean", "ms"),
    gauge("/p95", "mesos_chronos_jobs_time_p95", "ms"),
    gauge("/max", "mesos_chronos_jobs_time_max", "ms"),
];

/// Emits the page; returns whether it is that of Chronos.
fn tell(metrics: &Metrics, out: &mut Out) -> bool {
    let job = |name: &str| Tags::one("chronos_jobname", &name.replace(' ', "_"));
    let machine = Row::of(metrics.gauges(""));
    out.pick_present(&machine, MACHINE, &Tags::default());
    metrics.tell_collectors("", COLLECTOR, out);
    for field in JOBS {
        metrics.counters(field.cell).for_each(|(name, count)| out.put(field, count, &job(name)));
    }
    for (name, times) in metrics.histograms("jobs.run.time.") {
        out.pick_present(&json::row(times, TIMES), TIMES, &job(name));
    }
    machine.has_any(MACHINE)
}
