//! mesos_slave: resources, executors and tasks of a Mesos agent.

use super::{CONF, snapshot};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_mesos_slave",
    purpose: "resources, executors and tasks of an agent of Mesos",
    check_type: "mesos",
    conf: CONF,
    section: "Mesos-Slave",
    keys: &[snapshot::KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[AGENT],
    charts: CHARTS,
    build: |section| {
        snapshot::check(section, "slave/", "the metrics of an agent of Mesos", |snapshot, out| {
            out.pick_present(&json::row(snapshot, AGENT), AGENT, &Tags::default());
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Shares in use")
        .of(&[
            "mesos_slave_cpus_percent",
            "mesos_slave_mem_percent",
            "mesos_slave_disk_percent",
            "mesos_slave_mem_revocable_percent",
        ])
        .full(1.0),
    Chart::new("Tasks").of(&[
        "mesos_slave_tasks_running",
        "mesos_slave_tasks_staging",
        "mesos_slave_tasks_starting",
        "mesos_slave_tasks_killing",
    ]),
    Chart::new("Tasks that went wrong").of(&["mesos_slave_tasks_failed", "mesos_slave_tasks_lost"]),
    Chart::new("Tasks that ended").of(&["mesos_slave_tasks_finished", "mesos_slave_tasks_killed"]),
    Chart::new("Executors").of(&["mesos_slave_executors_running", "mesos_slave_executors_terminating"]),
    Chart::new("Errors").of(&[
        "mesos_slave_container_launch_errors",
        "mesos_containerizer_mesos_container_destroy_errors",
        "mesos_slave_recovery_errors",
        "mesos_slave_invalid_status_updates",
    ]),
    Chart::new("Processors").of(&[
        "mesos_slave_cpus_used",
        "mesos_slave_cpus_total",
        "mesos_slave_cpus_revocable_used",
    ]),
    Chart::new("Memory").of(&["mesos_slave_mem_used", "mesos_slave_mem_total"]),
    Chart::new("Disk").of(&["mesos_slave_disk_used", "mesos_slave_disk_total"]),
    Chart::new("Known to the master").of(&["mesos_slave_registered"]).full(1.0),
];

const AGENT: &[Field] = &[
    gauge("/slave~1registered", "mesos_slave_registered", "0 or 1").int(),
    gauge("/slave~1uptime_secs", "mesos_slave_uptime_secs", "s"),
    gauge("/slave~1cpus_percent", "mesos_slave_cpus_percent", "ratio"),
    gauge("/slave~1cpus_used", "mesos_slave_cpus_used", "processors"),
    gauge("/slave~1cpus_total", "mesos_slave_cpus_total", "processors"),
    gauge("/slave~1cpus_revocable_used", "mesos_slave_cpus_revocable_used", "processors"),
    gauge("/slave~1mem_percent", "mesos_slave_mem_percent", "ratio"),
    gauge("/slave~1mem_used", "mesos_slave_mem_used", "MiB"),
    gauge("/slave~1mem_total", "mesos_slave_mem_total", "MiB"),
    gauge("/slave~1mem_revocable_percent", "mesos_slave_mem_revocable_percent", "ratio"),
    gauge("/slave~1disk_percent", "mesos_slave_disk_percent", "ratio"),
    gauge("/slave~1disk_used", "mesos_slave_disk_used", "MiB"),
    gauge("/slave~1disk_total", "mesos_slave_disk_total", "MiB"),
    gauge("/slave~1gpus_used", "mesos_slave_gpus_used", "processors"),
    gauge("/slave~1gpus_revocable_used", "mesos_slave_gpus_revocable_used", "processors"),
    gauge("/slave~1frameworks_active", "mesos_slave_frameworks_active", "frameworks"),
    gauge("/slave~1executors_running", "mesos_slave_executors_running", "executors"),
    gauge("/slave~1executors_terminating", "mesos_slave_executors_terminating", "executors"),
    counter("/slave~1executors_terminated", "mesos_slave_executors_terminated", "executors").float(),
    gauge("/slave~1tasks_running", "mesos_slave_tasks_running", "tasks"),
    gauge("/slave~1tasks_staging", "mesos_slave_tasks_staging", "tasks"),
    gauge("/slave~1tasks_starting", "mesos_slave_tasks_starting", "tasks"),
    gauge("/slave~1tasks_killing", "mesos_slave_tasks_killing", "tasks"),
    counter("/slave~1tasks_failed", "mesos_slave_tasks_failed", "tasks").float(),
    counter("/slave~1tasks_finished", "mesos_slave_tasks_finished", "tasks").float(),
    counter("/slave~1tasks_killed", "mesos_slave_tasks_killed", "tasks").float(),
    counter("/slave~1tasks_lost", "mesos_slave_tasks_lost", "tasks").float(),
    counter("/slave~1container_launch_errors", "mesos_slave_container_launch_errors", "errors").float(),
    counter(
        "/containerizer~1mesos~1container_destroy_errors",
        "mesos_containerizer_mesos_container_destroy_errors",
        "errors",
    )
    .float(),
    counter("/slave~1invalid_status_updates", "mesos_slave_invalid_status_updates", "updates").float(),
    counter("/slave~1recovery_errors", "mesos_slave_recovery_errors", "errors").float(),
    gauge("/system~1load_1min", "mesos_system_load_1min", "processes"),
    gauge("/system~1mem_free_bytes", "mesos_system_mem_free_bytes", "bytes"),
];
