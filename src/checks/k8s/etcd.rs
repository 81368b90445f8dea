//! etcd: leader, proposals, database, disk and peers of etcd, from its Prometheus page (etcd documentation, "Metrics").
//! In k3s one page of several megabytes serves etcd and all of Kubernetes.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::{Sums, streamed};
use crate::check::{Runs, Spec, long_page};
use crate::fetch::http::{self, Endpoint};
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_etcd",
    purpose: "leader, proposals, database, disk and peers of a member of etcd",
    check_type: "etcd",
    conf: CONF,
    section: "etcd",
    keys: &[&["metrics"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS, FAMILIES, &[HANDLED]],
    charts: CHARTS,
    build: |section| {
        Ok(long_page(Endpoint::read(section, &["metrics"])?, |body, out| {
            let (mut sums, mut all) = (Sums::default(), Vec::new());
            let is_wanted = |name: &str| name == HANDLED.cell || field(name).is_some();
            streamed(body, "etcd", is_wanted, out, |Sample { name, labels, value, .. }, _| {
                if name == HANDLED.cell {
                    sums.add(&HANDLED, Tags::of(labels.of(&["grpc_code"])), &labels, value);
                } else if let Some(field) = field(&name) {
                    let told = if field.metric.contains('{') { with_prefix(&name) } else { field.metric.into() };
                    all.push((told, field, value, Tags::of(labels.iter())));
                }
            })?;
            // Only now is it known that this is a page of etcd.
            all.iter().for_each(|(told, field, value, tags)| out.put_as(told, field, *value, tags));
            sums.put(out);
            Ok(())
        }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Leader").of(&["etcd_server_has_leader", "etcd_server_is_leader"]).full(1.0),
    Chart::new("Changes of the leader").of(&["etcd_server_leader_changes_seen_total"]),
    Chart::new("Proposals").of(&["etcd_server_proposals_committed_total", "etcd_server_proposals_applied_total"]),
    Chart::new("Proposals that wait").of(&["etcd_server_proposals_pending"]),
    Chart::new("What went wrong").of(&[
        "etcd_server_proposals_failed_total",
        "etcd_server_slow_apply_total",
        "etcd_server_slow_read_indexes_total",
        "etcd_server_read_indexes_failed_total",
        "etcd_server_heartbeat_send_failures_total",
        "etcd_server_health_failures",
    ]),
    Chart::new("Time of writing to disk")
        .of(&["etcd_disk_wal_fsync_duration_seconds_sum", "etcd_disk_backend_commit_duration_seconds_sum"]),
    Chart::new("Writes to disk")
        .of(&["etcd_disk_wal_fsync_duration_seconds_count", "etcd_disk_backend_commit_duration_seconds_count"]),
    Chart::new("Database").of(&[
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_quota_backend_bytes",
    ]),
    Chart::new("Requests by result").of(&["etcd_grpc_server_handled"]).each("grpc_code"),
    Chart::new("Traffic of clients")
        .mirror(&["etcd_network_client_grpc_received_bytes_total"], &["etcd_network_client_grpc_sent_bytes_total"]),
    Chart::new("Traffic of peers")
        .mirror(&["etcd_network_peer_received_bytes_total"], &["etcd_network_peer_sent_bytes_total"]),
    Chart::new("Round trips to peers").of(&["etcd_network_peer_round_trip_time_seconds_sum"]).each("To"),
    Chart::new("Alarms").of(&["etcd_debugging_server_alarms"]),
    Chart::new("Memory").of(&["etcd_process_resident_memory_bytes", "etcd_process_virtual_memory_bytes"]),
    Chart::new("Open files").of(&["etcd_process_open_fds", "etcd_process_max_fds"]),
    Chart::new("Processor time and pauses").of(&["etcd_process_cpu_seconds_total", "etcd_go_gc_duration_seconds_sum"]),
];

const PREFIX: &str = "etcd_";
/// The prefixes of etcd's metrics.
const BEGINS: &[&str] = &[PREFIX, "process_", "go_"];
/// The API server's metrics about its requests to etcd; k3s has them on the same page.
const OF_CLIENT: &str = "etcd_request_";

fn with_prefix(name: &str) -> String {
    if name.starts_with(PREFIX) { name.into() } else { format!("{PREFIX}{name}") }
}

fn field(name: &str) -> Option<&'static Field> {
    let is_own = BEGINS.iter().any(|begin| name.starts_with(begin)) && !name.starts_with(OF_CLIENT);
    let by_end = || FAMILIES.iter().filter(|_| is_own).find(|field| name.ends_with(field.cell));
    FIELDS.iter().find(|field| field.cell == name).or_else(by_end)
}

/// Emitted with their labels as tags.
const FIELDS: &[Field] = &[
    gauge("etcd_server_has_leader", "etcd_server_has_leader", "0 or 1"),
    gauge("etcd_server_is_leader", "etcd_server_is_leader", "0 or 1"),
    gauge("etcd_server_is_learner", "etcd_server_is_learner", "0 or 1"),
    counter("etcd_server_leader_changes_seen_total", "etcd_server_leader_changes_seen_total", "times").float(),
    counter("etcd_server_proposals_committed_total", "etcd_server_proposals_committed_total", "proposals").float(),
    counter("etcd_server_proposals_applied_total", "etcd_server_proposals_applied_total", "proposals").float(),
    gauge("etcd_server_proposals_pending", "etcd_server_proposals_pending", "proposals"),
    counter("etcd_server_proposals_failed_total", "etcd_server_proposals_failed_total", "proposals").float(),
    counter("etcd_server_slow_apply_total", "etcd_server_slow_apply_total", "times").float(),
    counter("etcd_server_slow_read_indexes_total", "etcd_server_slow_read_indexes_total", "times").float(),
    counter("etcd_server_read_indexes_failed_total", "etcd_server_read_indexes_failed_total", "times").float(),
    counter("etcd_server_heartbeat_send_failures_total", "etcd_server_heartbeat_send_failures_total", "times").float(),
    counter("etcd_server_health_failures", "etcd_server_health_failures", "times").float(),
    // The first two are one metric that was renamed.
    gauge("etcd_debugging_mvcc_db_total_size_in_bytes", "etcd_mvcc_db_total_size_in_bytes", "bytes"),
    gauge("etcd_mvcc_db_total_size_in_bytes", "etcd_mvcc_db_total_size_in_bytes", "bytes"),
    gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "etcd_mvcc_db_total_size_in_use_in_bytes", "bytes"),
    gauge("etcd_server_quota_backend_bytes", "etcd_server_quota_backend_bytes", "bytes"),
    gauge("etcd_disk_defrag_inflight", "etcd_disk_defrag_inflight", "0 or 1"),
    gauge("etcd_debugging_server_alarms", "etcd_debugging_server_alarms", "alarms"),
    counter("etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_received_bytes_total", "bytes")
        .float(),
    counter("etcd_network_client_grpc_sent_bytes_total", "etcd_network_client_grpc_sent_bytes_total", "bytes").float(),
    counter("etcd_network_peer_received_bytes_total", "etcd_network_peer_received_bytes_total", "bytes").float(),
    counter("etcd_network_peer_sent_bytes_total", "etcd_network_peer_sent_bytes_total", "bytes").float(),
    counter("etcd_network_peer_round_trip_time_seconds_sum", "etcd_network_peer_round_trip_time_seconds_sum", "s")
        .float(),
    counter(
        "etcd_network_peer_round_trip_time_seconds_count",
        "etcd_network_peer_round_trip_time_seconds_count",
        "times",
    )
    .float(),
    counter("etcd_disk_wal_fsync_duration_seconds_sum", "etcd_disk_wal_fsync_duration_seconds_sum", "s").float(),
    counter("etcd_disk_wal_fsync_duration_seconds_count", "etcd_disk_wal_fsync_duration_seconds_count", "times")
        .float(),
    counter("etcd_disk_backend_commit_duration_seconds_sum", "etcd_disk_backend_commit_duration_seconds_sum", "s")
        .float(),
    counter(
        "etcd_disk_backend_commit_duration_seconds_count",
        "etcd_disk_backend_commit_duration_seconds_count",
        "times",
    )
    .float(),
    counter("go_gc_duration_seconds_sum", "etcd_go_gc_duration_seconds_sum", "s").float(),
    counter("go_gc_duration_seconds_count", "etcd_go_gc_duration_seconds_count", "times").float(),
    counter("process_cpu_seconds_total", "etcd_process_cpu_seconds_total", "s").float(),
    gauge("process_max_fds", "etcd_process_max_fds", "files"),
    gauge("process_open_fds", "etcd_process_open_fds", "files"),
    gauge("process_resident_memory_bytes", "etcd_process_resident_memory_bytes", "bytes"),
    gauge("process_start_time_seconds", "etcd_process_start_time_seconds", "unix s"),
    gauge("process_virtual_memory_bytes", "etcd_process_virtual_memory_bytes", "bytes"),
    gauge("process_virtual_memory_max_bytes", "etcd_process_virtual_memory_max_bytes", "bytes"),
    counter("process_network_receive_bytes_total", "etcd_process_network_receive_bytes_total", "bytes").float(),
    counter("process_network_transmit_bytes_total", "etcd_process_network_transmit_bytes_total", "bytes").float(),
];

/// Sum and count of all other histograms of etcd, by the ends of their names.
const FAMILIES: &[Field] = &[
    counter("_milliseconds_sum", "etcd_{family}_milliseconds_sum", "ms").float(),
    counter("_milliseconds_count", "etcd_{family}_milliseconds_count", "times").float(),
    counter("_seconds_sum", "etcd_{family}_seconds_sum", "s").float(),
    counter("_seconds_count", "etcd_{family}_seconds_count", "times").float(),
    counter("_sum", "etcd_{family}_sum", "").float(),
    counter("_count", "etcd_{family}_count", "times").float(),
];

/// Summed over services and methods, which would make thousands of series.
const HANDLED: Field = rate("grpc_server_handled_total", "etcd_grpc_server_handled", "1/s");
