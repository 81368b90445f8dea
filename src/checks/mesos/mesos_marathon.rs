//! mesos_marathon: applications, instances, deployments and JVM of Marathon (Marathon documentation, "Metrics", for 1.7
//! and later, whose names start with a configurable prefix, and for 1.6 and before). Only the leader reports metrics of
//! Marathon as a whole.

use super::CONF;
use super::dropwizard::{self, Metrics};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, Row, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_mesos_marathon",
    purpose: "applications, instances and virtual machine of Marathon",
    check_type: "marathon",
    conf: CONF,
    section: "Mesos-Marathon",
    keys: &[dropwizard::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[&[LEADER], LEADERSHIP, MACHINE, OLD_MACHINE, MARATHON, OLD_MARATHON, COUNTERS, COLLECTOR, OLD_COLLECTOR],
    charts: CHARTS,
    build: |section| dropwizard::check(section, "the metrics of Marathon", tell),
};

const CHARTS: &[Chart] = &[
    Chart::new("Instances").of(&[
        "mesos_marathon_instances_running",
        "mesos_marathon_instances_staged",
        "mesos_marathon_instances_launch_overdue",
    ]),
    Chart::new("Applications, pods and groups").of(&[
        "mesos_marathon_apps_active",
        "mesos_marathon_pods_active",
        "mesos_marathon_groups_active",
    ]),
    Chart::new("Deployments").of(&["mesos_marathon_deployments_active"]),
    Chart::new("Tasks launched").of(&["mesos_marathon_tasks_launched"]),
    Chart::new("Offers of Mesos").of(&[
        "mesos_marathon_mesos_offers_incoming",
        "mesos_marathon_mesos_offers_used",
        "mesos_marathon_mesos_offers_declined",
    ]),
    Chart::new("Requests").of(&["mesos_marathon_http_requests_active", "mesos_marathon_http_event_streams_active"]),
    Chart::new("Leading").of(&["mesos_marathon_leader"]).full(1.0),
    Chart::new("Time as leader").of(&["mesos_marathon_leadership_duration", "mesos_marathon_uptime"]),
    Chart::new("Heap").of(&["mesos_marathon_heap_used", "mesos_marathon_heap_committed"]),
    Chart::new("Beside the heap").of(&["mesos_marathon_nonheap_used", "mesos_marathon_nonheap_committed"]),
    Chart::new("Threads").of(&["mesos_marathon_jvm_threads"]),
    Chart::new("Time in garbage collection").of(&["mesos_marathon_gc_duration"]).each("gctype"),
    Chart::new("Garbage collections").of(&["mesos_marathon_gc_collections"]).each("gctype"),
];

/// Names that follow the prefix of 1.7 and later. The prefix is the text before the first of these names on the page.
const LANDMARKS: [&str; 2] = ["uptime.gauge.seconds", "jvm.memory.heap.used.gauge.bytes"];

/// Prefix of names in 1.6 and before, except those of the JVM.
const OLD: &str = "service.mesosphere.marathon.";

/// Whether this instance is the leader.
const LEADER: Field = gauge("", "mesos_marathon_leader", "0 or 1").int();

/// Missing or 0 if this instance is not the leader.
const LEADERSHIP: &[Field] = &[
    gauge("leadership.duration.gauge.seconds", "mesos_marathon_leadership_duration", "s"),
    gauge("service.mesosphere.marathon.leaderDuration", "mesos_marathon_leadership_duration", "s").scale(0.001),
];

/// Metrics of each instance.
const MACHINE: &[Field] = &[
    gauge("uptime.gauge.seconds", "mesos_marathon_uptime", "s"),
    gauge("http.requests.active.gauge", "mesos_marathon_http_requests_active", "requests").int(),
    gauge("http.event-streams.active.gauge", "mesos_marathon_http_event_streams_active", "streams").int(),
    gauge("jvm.memory.heap.committed.gauge.bytes", "mesos_marathon_heap_committed", "bytes").int(),
    gauge("jvm.memory.heap.used.gauge.bytes", "mesos_marathon_heap_used", "bytes").int(),
    gauge("jvm.memory.non-heap.committed.gauge.bytes", "mesos_marathon_nonheap_committed", "bytes").int(),
    gauge("jvm.memory.non-heap.used.gauge.bytes", "mesos_marathon_nonheap_used", "bytes").int(),
    gauge("jvm.threads.active.gauge", "mesos_marathon_jvm_threads", "threads").int(),
];
/// The same for 1.6 and before.
const OLD_MACHINE: &[Field] = &[
    gauge("service.mesosphere.marathon.uptime", "mesos_marathon_uptime", "s").scale(0.001),
    gauge("jvm.memory.heap.committed", "mesos_marathon_heap_committed", "bytes").int(),
    gauge("jvm.memory.heap.used", "mesos_marathon_heap_used", "bytes").int(),
    gauge("jvm.memory.non-heap.committed", "mesos_marathon_nonheap_committed", "bytes").int(),
    gauge("jvm.memory.non-heap.used", "mesos_marathon_nonheap_used", "bytes").int(),
    gauge("jvm.threads.count", "mesos_marathon_jvm_threads", "threads").int(),
];

/// Metrics of Marathon as a whole. Later documentation has another name for overdue tasks.
const MARATHON: &[Field] = &[
    gauge("apps.active.gauge", "mesos_marathon_apps_active", "apps").int(),
    gauge("deployments.active.gauge", "mesos_marathon_deployments_active", "deployments").int(),
    gauge("groups.active.gauge", "mesos_marathon_groups_active", "groups").int(),
    gauge("instances.launch-overdue.gauge", "mesos_marathon_instances_launch_overdue", "instances").int(),
    gauge("instances.overdue.gauge", "mesos_marathon_instances_launch_overdue", "instances").int(),
    gauge("instances.running.gauge", "mesos_marathon_instances_running", "instances").int(),
    gauge("instances.staged.gauge", "mesos_marathon_instances_staged", "instances").int(),
    gauge("pods.active.gauge", "mesos_marathon_pods_active", "pods").int(),
];
/// The same for 1.6 and before.
const OLD_MARATHON: &[Field] = &[
    gauge("service.mesosphere.marathon.app.count", "mesos_marathon_apps_active", "apps").int(),
    gauge("service.mesosphere.marathon.group.count", "mesos_marathon_groups_active", "groups").int(),
    gauge("service.mesosphere.marathon.task.running.count", "mesos_marathon_instances_running", "instances").int(),
    gauge("service.mesosphere.marathon.task.staged.count", "mesos_marathon_instances_staged", "instances").int(),
];
const COUNTERS: &[Field] = &[
    counter("deployments.counter", "mesos_marathon_deployments", "deployments"),
    counter("deployments.dismissed.counter", "mesos_marathon_deployments_dismissed", "deployments"),
    counter("tasks.launched.counter", "mesos_marathon_tasks_launched", "tasks"),
    counter("mesos.offers.incoming.counter", "mesos_marathon_mesos_offers_incoming", "offers"),
    counter("mesos.offers.used.counter", "mesos_marathon_mesos_offers_used", "offers"),
    counter("mesos.offers.declined.counter", "mesos_marathon_mesos_offers_declined", "offers"),
];

/// Cells are the part of the name after the collector.
const COLLECTOR: &[Field] = &[
    counter(".collections.gauge", "mesos_marathon_gc_collections", "runs").float(),
    counter(".collections.duration.gauge.seconds", "mesos_marathon_gc_duration", "s").float(),
];
const OLD_COLLECTOR: &[Field] = &[
    counter(".count", "mesos_marathon_gc_collections", "runs").float(),
    counter(".time", "mesos_marathon_gc_duration", "s").float().scale(0.001),
];

/// Emits the page; returns whether it is that of Marathon.
fn tell(metrics: &Metrics, out: &mut Out) -> bool {
    let none = Tags::default();
    let prefix = metrics.gauges("").find_map(|(name, _)| LANDMARKS.iter().find_map(|mark| name.strip_suffix(mark)));
    if prefix.is_none() && metrics.gauges(OLD).next().is_none() {
        return false;
    }
    let (machine, marathon, collector) = match prefix {
        Some(_) => (MACHINE, MARATHON, COLLECTOR),
        None => (OLD_MACHINE, OLD_MARATHON, OLD_COLLECTOR),
    };
    let prefix = prefix.unwrap_or_default();
    let (gauges, counters) = (Row::of(metrics.gauges(prefix)), Row::of(metrics.counters(prefix)));
    let is_some = |raw| raw != Raw::Count(0) && raw != Raw::Float(0.0);
    let is_leader = LEADERSHIP.iter().any(|field| gauges.get(field.cell).is_some_and(is_some));
    out.put(&LEADER, u64::from(is_leader), &none);
    out.pick_present(&gauges, machine, &none);
    metrics.tell_collectors(prefix, collector, out);
    if is_leader {
        out.pick_present(&gauges, LEADERSHIP, &none);
        out.pick_present(&gauges, marathon, &none);
        out.pick_present(&counters, COUNTERS, &none);
    }
    true
}
