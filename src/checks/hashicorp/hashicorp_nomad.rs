//! hashicorp_nomad: resources and allocations of a Nomad client, and the jobs of the cluster as its leader reports them
//! (Nomad documentation, "Metrics reference").

use super::CONF;
use super::server::{self, Product};
use super::telemetry::{Gauge, Telemetry};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};
use std::collections::HashMap;

pub static SPEC: Spec = Spec {
    name: "check_hashicorp_nomad",
    purpose: "resources, allocations and jobs of Nomad",
    check_type: "nomad",
    conf: CONF,
    section: "Hashicorp-Nomad",
    keys: &[server::ADDRESS, &["jobstats", "children"], http::TOKEN_KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[AGENT, &[LEADER], CLUSTER, JOBS, MEANS, GREATEST],
    charts: CHARTS,
    build: |section| {
        let (has_jobs, has_children) = (section.flag("jobstats", true)?, section.flag("children", false)?);
        server::check(section, &NOMAD, move |told, out| {
            tell(told, out);
            if has_jobs {
                tell_jobs(told, has_children, out);
            }
        })
    },
};

const NOMAD: Product = Product {
    name: "Nomad",
    token_header: "x-nomad-token",
    remedy: "Nomad itself wants no token here; where a proxy does, set token, or auth, user and pass",
};

const CHARTS: &[Chart] = &[
    Chart::new("Allocations").of(&[
        "nomad_client_allocations_running",
        "nomad_client_allocations_pending",
        "nomad_client_allocations_blocked",
        "nomad_client_allocations_migrating",
        "nomad_client_allocations_terminal",
    ]),
    Chart::new("Processor").of(&["nomad_client_allocated_cpu", "nomad_client_unallocated_cpu"]).stacked(),
    Chart::new("Memory").of(&["nomad_client_allocated_memory", "nomad_client_unallocated_memory"]).stacked(),
    Chart::new("Disk").of(&["nomad_client_allocated_disk", "nomad_client_unallocated_disk"]).stacked(),
    Chart::new("Network").of(&["nomad_client_allocated_network", "nomad_client_unallocated_network"]).stacked(),
    Chart::new("Jobs: running").of(&["nomad_job_summary_running"]).each("nomad_jobname"),
    Chart::new("Jobs: queued").of(&["nomad_job_summary_queued"]).each("nomad_jobname"),
    Chart::new("Jobs: failed so far").of(&["nomad_job_summary_failed"]).each("nomad_jobname"),
    Chart::new("Jobs: lost").of(&["nomad_job_summary_lost"]).each("nomad_jobname"),
    Chart::new("Jobs: unknown").of(&["nomad_job_summary_unknown"]).each("nomad_jobname"),
    Chart::new("Jobs: starting").of(&["nomad_job_summary_starting"]).each("nomad_jobname"),
    Chart::new("Jobs: complete so far").of(&["nomad_job_summary_complete"]).each("nomad_jobname"),
    Chart::new("Jobs: processor on this client").of(&["nomad_client_allocs_cpu_total_percent"]).each("nomad_jobname"),
    Chart::new("Jobs: memory on this client").of(&["nomad_client_allocs_memory_rss"]).each("nomad_jobname"),
    Chart::new("All jobs").of(&["nomad_job_status_running", "nomad_job_status_pending", "nomad_job_status_dead"]),
    Chart::new("Evaluations that wait").of(&[
        "nomad_blocked_evals_total_blocked",
        "nomad_broker_total_ready",
        "nomad_broker_total_unacked",
        "nomad_broker_total_pending",
        "nomad_broker_total_waiting",
        "nomad_plan_queue_depth",
    ]),
    Chart::new("Clients with a heartbeat").of(&["nomad_heartbeat_active"]),
    Chart::new("Leader").of(&["nomad_is_leader"]).full(1.0),
    Chart::new("Time to commit").of(&["nomad_raft_commitTime_mean", "nomad_raft_commitTime_max"]),
    Chart::new("Since the leader was heard")
        .of(&["nomad_raft_leader_lastContact_mean", "nomad_raft_leader_lastContact_max"]),
    Chart::new("Goroutines").of(&["nomad_runtime_num_goroutines"]),
    Chart::new("Memory of the agent").of(&["nomad_runtime_alloc_bytes"]),
    Chart::new("Objects on the heap").of(&["nomad_runtime_heap_objects"]),
    Chart::new("Time since the start of the client").of(&["nomad_client_uptime"]),
];

const AGENT: &[Field] = &[
    gauge("client_allocations_running", "nomad_client_allocations_running", "allocations"),
    gauge("client_allocations_blocked", "nomad_client_allocations_blocked", "allocations"),
    gauge("client_allocations_pending", "nomad_client_allocations_pending", "allocations"),
    gauge("client_allocations_migrating", "nomad_client_allocations_migrating", "allocations"),
    gauge("client_allocations_terminal", "nomad_client_allocations_terminal", "allocations"),
    gauge("client_unallocated_cpu", "nomad_client_unallocated_cpu", "MHz"),
    gauge("client_allocated_cpu", "nomad_client_allocated_cpu", "MHz"),
    gauge("client_allocated_memory", "nomad_client_allocated_memory", "MiB"),
    gauge("client_unallocated_memory", "nomad_client_unallocated_memory", "MiB"),
    gauge("client_allocated_disk", "nomad_client_allocated_disk", "MiB"),
    gauge("client_unallocated_disk", "nomad_client_unallocated_disk", "MiB"),
    gauge("client_allocated_network", "nomad_client_allocated_network", "Mbit/s"),
    gauge("client_unallocated_network", "nomad_client_unallocated_network", "Mbit/s"),
    gauge("client_uptime", "nomad_client_uptime", "s"),
    gauge("runtime_num_goroutines", "nomad_runtime_num_goroutines", "goroutines"),
    gauge("runtime_alloc_bytes", "nomad_runtime_alloc_bytes", "bytes"),
    gauge("runtime_heap_objects", "nomad_runtime_heap_objects", "objects"),
];

/// Whether this server is the leader.
const LEADER: Field = gauge("", "nomad_is_leader", "0 or 1");
/// Prefixes of gauges that only the leader has, and that every server has.
const OF_LEADER: [&str; 2] = ["nomad_job_status_", "nomad_job_summary_"];
const OF_SERVER: [&str; 1] = ["raft_"];

/// Metrics of the cluster. Other servers report 0 for most of them.
const CLUSTER: &[Field] = &[
    gauge("nomad_heartbeat_active", "nomad_heartbeat_active", "clients"),
    gauge("nomad_blocked_evals_total_blocked", "nomad_blocked_evals_total_blocked", "evaluations"),
    gauge("nomad_broker_total_ready", "nomad_broker_total_ready", "evaluations"),
    gauge("nomad_broker_total_unacked", "nomad_broker_total_unacked", "evaluations"),
    gauge("nomad_broker_total_pending", "nomad_broker_total_pending", "evaluations"),
    gauge("nomad_broker_total_waiting", "nomad_broker_total_waiting", "evaluations"),
    gauge("nomad_plan_queue_depth", "nomad_plan_queue_depth", "plans"),
    gauge("nomad_job_status_running", "nomad_job_status_running", "jobs"),
    gauge("nomad_job_status_pending", "nomad_job_status_pending", "jobs"),
    gauge("nomad_job_status_dead", "nomad_job_status_dead", "jobs"),
];

/// Metrics of each job, summed over its task groups and allocations.
const JOBS: &[Field] = &[
    gauge("nomad_job_summary_queued", "nomad_job_summary_queued", "allocations"),
    gauge("nomad_job_summary_complete", "nomad_job_summary_complete", "allocations"),
    gauge("nomad_job_summary_failed", "nomad_job_summary_failed", "allocations"),
    gauge("nomad_job_summary_running", "nomad_job_summary_running", "allocations"),
    gauge("nomad_job_summary_starting", "nomad_job_summary_starting", "allocations"),
    gauge("nomad_job_summary_lost", "nomad_job_summary_lost", "allocations"),
    gauge("nomad_job_summary_unknown", "nomad_job_summary_unknown", "allocations"),
    gauge("client_allocs_cpu_total_percent", "nomad_client_allocs_cpu_total_percent", "%"),
    gauge("client_allocs_memory_rss", "nomad_client_allocs_memory_rss", "bytes"),
    gauge("client_allocs_memory_usage", "nomad_client_allocs_memory_usage", "bytes"),
];

const MEANS: &[Field] = &[
    gauge("raft_committime", "nomad_raft_commitTime_mean", "ms"),
    gauge("raft_leader_lastcontact", "nomad_raft_leader_lastContact_mean", "ms"),
];
const GREATEST: &[Field] = &[
    gauge("raft_committime", "nomad_raft_commitTime_max", "ms"),
    gauge("raft_leader_lastcontact", "nomad_raft_leader_lastContact_max", "ms"),
];

/// The namespace for which there is no tag.
const USUAL_NAMESPACE: &str = "default";
/// What separates the job's name from the rest of the name of one of its runs.
const CHILDREN: [&str; 2] = ["/periodic-", "/dispatch-"];

fn tell(told: &Telemetry, out: &mut Out) {
    told.tell(AGENT, out);
    told.tell_each(MEANS, GREATEST, out);
    let has =
        |begins: &[&str]| told.gauges().iter().any(|gauge| begins.iter().any(|begin| gauge.name.starts_with(begin)));
    let is_leader = has(&OF_LEADER);
    if is_leader || has(&OF_SERVER) {
        out.put(&LEADER, u64::from(is_leader), &Tags::default());
    }
    for field in CLUSTER {
        // In old versions a leader without jobs cannot be recognised.
        if let Some(value) = told.gauge(field.cell).filter(|value| is_leader || *value > 0.0) {
            out.put(field, value, &Tags::default());
        }
    }
}

fn tell_jobs(told: &Telemetry, has_children: bool, out: &mut Out) {
    let mut sums: HashMap<(&str, Tags), (&'static Field, f64)> = HashMap::new();
    for gauge in told.gauges() {
        let field = JOBS.iter().find(|field| field.cell == gauge.name);
        if let Some((field, tags)) = field.zip(tags(gauge, has_children)) {
            sums.entry((field.metric, tags)).or_insert((field, 0.0)).1 += gauge.value;
        }
    }
    for ((_, tags), (field, sum)) in sums {
        out.put(field, sum, &tags);
    }
}

/// The tags for the gauge's job. Runs are summed under their parent job, unless `has_children`. `None` if the gauge
/// belongs to no job.
fn tags(gauge: &Gauge, has_children: bool) -> Option<Tags> {
    let label = |name: &str| gauge.labels.iter().find(|(label, _)| *label == name).map(|(_, text)| text);
    let job = label("job")?;
    let parent = label("parent_id").filter(|parent| !parent.is_empty());
    let parent = parent.or_else(|| CHILDREN.iter().find_map(|begin| Some(job.split_once(begin)?.0)));
    let job = parent.filter(|_| !has_children).unwrap_or(job);
    let tags = Tags::one("nomad_jobname", &job.replace('/', "_"));
    let namespace = label("namespace").filter(|namespace| *namespace != USUAL_NAMESPACE);
    Some(namespace.map_or(tags.clone(), |namespace| tags.with("namespace", namespace)))
}
