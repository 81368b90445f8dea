//! mesos_master: resources, agents, frameworks and tasks of the cluster, which the elected master reports, and metrics
//! of each Mesos master itself.

use super::{CONF, snapshot};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_mesos_master",
    purpose: "resources, agents and tasks of a cluster of Mesos, and its master",
    check_type: "mesos",
    conf: CONF,
    section: "Mesos-Master",
    keys: &[snapshot::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[&[ELECTED], MASTER, CLUSTER],
    charts: CHARTS,
    build: |section| snapshot::check(section, "master/", "the metrics of a master of Mesos", tell),
};

const CHARTS: &[Chart] = &[
    Chart::new("Shares in use")
        .of(&[
            "mesos_master_cpus_percent",
            "mesos_master_mem_percent",
            "mesos_master_disk_percent",
            "mesos_master_gpus_percent",
        ])
        .full(1.0),
    Chart::new("Tasks").of(&[
        "mesos_master_tasks_running",
        "mesos_master_tasks_staging",
        "mesos_master_tasks_starting",
        "mesos_master_tasks_unreachable",
    ]),
    Chart::new("Tasks that went wrong").of(&[
        "mesos_master_tasks_failed",
        "mesos_master_tasks_lost",
        "mesos_master_tasks_error",
        "mesos_master_tasks_dropped",
        "mesos_master_tasks_gone",
    ]),
    Chart::new("Tasks that ended").of(&["mesos_master_tasks_finished", "mesos_master_tasks_killed"]),
    Chart::new("Agents").of(&[
        "mesos_master_slaves_active",
        "mesos_master_slaves_connected",
        "mesos_master_slaves_inactive",
        "mesos_master_slaves_disconnected",
    ]),
    Chart::new("Frameworks and offers").of(&[
        "mesos_master_frameworks_active",
        "mesos_master_frameworks_connected",
        "mesos_master_outstanding_offers",
    ]),
    Chart::new("Processors").of(&["mesos_master_cpus_used", "mesos_master_cpus_total"]),
    Chart::new("Memory").of(&["mesos_master_mem_used", "mesos_master_mem_total"]),
    Chart::new("Disk").of(&["mesos_master_disk_used", "mesos_master_disk_total"]),
    Chart::new("Leading").of(&["mesos_master_elected"]).full(1.0),
    Chart::new("Waiting for the master").of(&[
        "mesos_master_event_queue_messages",
        "mesos_master_event_queue_dispatches",
        "mesos_master_event_queue_http_requests",
    ]),
    Chart::new("Time of allocations and of the registry").of(&[
        "mesos_allocator_mesos_allocation_run_ms",
        "mesos_allocator_mesos_allocation_run_ms_p99",
        "mesos_registrar_state_fetch_ms",
        "mesos_registrar_state_store_ms_p99",
    ]),
];

/// Whether this master is the leader.
const ELECTED: Field = gauge("/master~1elected", "mesos_master_elected", "0 or 1").int();

/// Metrics of each master.
const MASTER: &[Field] = &[
    gauge("/master~1event_queue_dispatches", "mesos_master_event_queue_dispatches", "events"),
    gauge("/master~1event_queue_http_requests", "mesos_master_event_queue_http_requests", "events"),
    gauge("/master~1event_queue_messages", "mesos_master_event_queue_messages", "events"),
    counter("/master~1messages_kill_task", "mesos_master_messages_kill_task", "messages").float(),
    counter("/master~1messages_reregister_framework", "mesos_master_messages_reregister_framework", "messages").float(),
    gauge("/allocator~1mesos~1allocation_run_ms", "mesos_allocator_mesos_allocation_run_ms", "ms"),
    gauge("/allocator~1mesos~1allocation_run_ms~1p99", "mesos_allocator_mesos_allocation_run_ms_p99", "ms"),
    gauge("/registrar~1state_fetch_ms", "mesos_registrar_state_fetch_ms", "ms"),
    gauge("/registrar~1state_store_ms~1p99", "mesos_registrar_state_store_ms_p99", "ms"),
    gauge("/master~1uptime_secs", "mesos_master_uptime_secs", "s"),
    gauge("/system~1load_1min", "mesos_system_load_1min", "processes"),
    gauge("/system~1mem_free_bytes", "mesos_system_mem_free_bytes", "bytes"),
];

/// Metrics of the cluster; 0 for every master but the leader.
const CLUSTER: &[Field] = &[
    gauge("/master~1cpus_percent", "mesos_master_cpus_percent", "ratio"),
    gauge("/master~1cpus_revocable_percent", "mesos_master_cpus_revocable_percent", "ratio"),
    gauge("/master~1cpus_used", "mesos_master_cpus_used", "processors"),
    gauge("/master~1cpus_total", "mesos_master_cpus_total", "processors"),
    gauge("/master~1disk_percent", "mesos_master_disk_percent", "ratio"),
    gauge("/master~1disk_revocable_percent", "mesos_master_disk_revocable_percent", "ratio"),
    gauge("/master~1disk_used", "mesos_master_disk_used", "MiB"),
    gauge("/master~1disk_total", "mesos_master_disk_total", "MiB"),
    gauge("/master~1gpus_percent", "mesos_master_gpus_percent", "ratio"),
    gauge("/master~1gpus_used", "mesos_master_gpus_used", "processors"),
    gauge("/master~1mem_percent", "mesos_master_mem_percent", "ratio"),
    gauge("/master~1mem_used", "mesos_master_mem_used", "MiB"),
    gauge("/master~1mem_total", "mesos_master_mem_total", "MiB"),
    gauge("/master~1frameworks_active", "mesos_master_frameworks_active", "frameworks"),
    gauge("/master~1frameworks_connected", "mesos_master_frameworks_connected", "frameworks"),
    gauge("/master~1outstanding_offers", "mesos_master_outstanding_offers", "offers"),
    gauge("/master~1slaves_active", "mesos_master_slaves_active", "agents"),
    gauge("/master~1slaves_connected", "mesos_master_slaves_connected", "agents"),
    gauge("/master~1slaves_disconnected", "mesos_master_slaves_disconnected", "agents"),
    gauge("/master~1slaves_inactive", "mesos_master_slaves_inactive", "agents"),
    counter("/master~1tasks_dropped", "mesos_master_tasks_dropped", "tasks").float(),
    counter("/master~1tasks_error", "mesos_master_tasks_error", "tasks").float(),
    counter("/master~1tasks_failed", "mesos_master_tasks_failed", "tasks").float(),
    counter("/master~1tasks_finished", "mesos_master_tasks_finished", "tasks").float(),
    counter("/master~1tasks_gone", "mesos_master_tasks_gone", "tasks").float(),
    counter("/master~1tasks_killed", "mesos_master_tasks_killed", "tasks").float(),
    counter("/master~1tasks_lost", "mesos_master_tasks_lost", "tasks").float(),
    gauge("/master~1tasks_running", "mesos_master_tasks_running", "tasks"),
    gauge("/master~1tasks_staging", "mesos_master_tasks_staging", "tasks"),
    gauge("/master~1tasks_starting", "mesos_master_tasks_starting", "tasks"),
    gauge("/master~1tasks_unreachable", "mesos_master_tasks_unreachable", "tasks"),
];

fn tell(snapshot: &Value, out: &mut Out) {
    let none = Tags::default();
    // A master that does not report whether it is elected is the only one.
    let elected = json::cell(snapshot, ELECTED.cell);
    if let Some(elected) = elected {
        out.put(&ELECTED, elected, &none);
    }
    out.pick_present(&json::row(snapshot, MASTER), MASTER, &none);
    if json::float(snapshot, ELECTED.cell) != Some(0.0) {
        out.pick_present(&json::row(snapshot, CLUSTER), CLUSTER, &none);
    }
}
