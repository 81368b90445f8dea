//! foundationdb: workload, data and state of a FoundationDB cluster, from `status json` of fdbcli (FoundationDB
//! documentation, "Machine-Readable Status", 5.x to 7.x). Any part of the document may be missing at any time.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Command, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::model::error::{Error, Result, quote};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub static SPEC: Spec = Spec {
    name: "check_foundationdb",
    purpose: "transactions, space, queues and faults of a cluster of FoundationDB",
    check_type: "foundationdb",
    conf: CONF,
    section: "FoundationDB",
    keys: &[&["fdbclipath"]],
    runs: Runs::Own,
    fields: &[STATES, WORKLOAD, CLUSTER, &[MOVING], MACHINE, PROCESS],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Available and healthy").of(&["fdb_available", "fdb_healthy", "fdb_data_healthy"]).full(1.0),
    Chart::new("Transactions").of(&[
        "fdb_transactions_started",
        "fdb_transactions_committed",
        "fdb_transactions_conflicted",
    ]),
    Chart::new("Operations").of(&["fdb_operations_reads", "fdb_operations_read_requests", "fdb_operations_writes"]),
    Chart::new("Traffic").mirror(&["fdb_bytes_read"], &["fdb_bytes_written"]),
    Chart::new("Keys read").of(&["fdb_keys_read"]),
    Chart::new("Times of a probe").of(&[
        "fdb_latency_transaction_start_seconds",
        "fdb_latency_read_seconds",
        "fdb_latency_commit_seconds",
    ]),
    Chart::new("Longest queues").of(&["fdb_worst_queue_bytes_storage_server", "fdb_worst_queue_bytes_log_server"]),
    Chart::new("Storage behind the log").of(&["fdb_worst_durability_lag_seconds"]),
    Chart::new("Transactions that are let in, at most").of(&["fdb_transactions_per_second_limit"]),
    Chart::new("Failures that cost no data").of(&["fdb_max_failures_without_losing_data"]),
    Chart::new("Failures that cost no availability").of(&["fdb_max_failures_without_losing_availability"]),
    Chart::new("Least space left")
        .of(&["fdb_least_operating_space_bytes_storage_server", "fdb_least_operating_space_bytes_log_server"]),
    Chart::new("Data").of(&["fdb_total_disk_used_bytes", "fdb_total_kv_size_bytes"]),
    Chart::new("Partitions").of(&["fdb_partitions_count"]),
    Chart::new("Size of a partition").of(&["fdb_partitions_size_avg"]),
    Chart::new("Clients").of(&["fdb_connected_clients"]),
    Chart::new("Processes: cores in use").of(&["fdb_process_cpu_cores"]).each("process"),
    Chart::new("Processes: share of the time that the disk is busy").of(&["fdb_process_disk_busy"]).each("process"),
    Chart::new("Processes: memory").of(&["fdb_process_memory_used_bytes"]).each("process"),
    Chart::new("Machines: free memory").of(&["fdb_memory_free_bytes"]).each("node"),
    Chart::new("Machines: memory").of(&["fdb_memory_committed_bytes", "fdb_memory_total_bytes"]),
];

/// Booleans.
const STATES: &[Field] = &[
    gauge("/client/database_status/available", "fdb_available", "0 or 1").int(),
    gauge("/client/database_status/healthy", "fdb_healthy", "0 or 1").int(),
    gauge("/cluster/data/state/healthy", "fdb_data_healthy", "0 or 1").int(),
];

const WORKLOAD: &[Field] = &[
    rate("/cluster/workload/bytes/read/counter", "fdb_bytes_read", "bytes/s"),
    rate("/cluster/workload/bytes/written/counter", "fdb_bytes_written", "bytes/s"),
    rate("/cluster/workload/keys/read/counter", "fdb_keys_read", "1/s"),
    rate("/cluster/workload/operations/read_requests/counter", "fdb_operations_read_requests", "1/s"),
    rate("/cluster/workload/operations/reads/counter", "fdb_operations_reads", "1/s"),
    rate("/cluster/workload/operations/writes/counter", "fdb_operations_writes", "1/s"),
    rate("/cluster/workload/transactions/committed/counter", "fdb_transactions_committed", "1/s"),
    rate("/cluster/workload/transactions/conflicted/counter", "fdb_transactions_conflicted", "1/s"),
    rate("/cluster/workload/transactions/started/counter", "fdb_transactions_started", "1/s"),
];

/// If a metric has two lines, the first one has the cell's name in 6.2 and before.
const CLUSTER: &[Field] = &[
    gauge("/cluster/data/partitions_count", "fdb_partitions_count", "partitions").int(),
    gauge("/cluster/data/average_partition_size_bytes", "fdb_partitions_size_avg", "bytes").int(),
    gauge(
        "/cluster/data/least_operating_space_bytes_log_server",
        "fdb_least_operating_space_bytes_log_server",
        "bytes",
    )
    .int(),
    gauge(
        "/cluster/data/least_operating_space_bytes_storage_server",
        "fdb_least_operating_space_bytes_storage_server",
        "bytes",
    )
    .int(),
    gauge("/cluster/data/total_disk_used_bytes", "fdb_total_disk_used_bytes", "bytes").int(),
    gauge("/cluster/data/total_kv_size_bytes", "fdb_total_kv_size_bytes", "bytes").int(),
    gauge("/cluster/latency_probe/commit_seconds", "fdb_latency_commit_seconds", "s"),
    gauge("/cluster/latency_probe/read_seconds", "fdb_latency_read_seconds", "s"),
    gauge("/cluster/latency_probe/transaction_start_seconds", "fdb_latency_transaction_start_seconds", "s"),
    gauge("/cluster/clients/count", "fdb_connected_clients", "clients").int(),
    gauge("/cluster/qos/worst_queue_bytes_log_server", "fdb_worst_queue_bytes_log_server", "bytes").int(),
    gauge("/cluster/qos/worst_queue_bytes_storage_server", "fdb_worst_queue_bytes_storage_server", "bytes").int(),
    gauge("/cluster/qos/worst_durability_lag_storage_server/seconds", "fdb_worst_durability_lag_seconds", "s"),
    gauge("/cluster/qos/transactions_per_second_limit", "fdb_transactions_per_second_limit", "transactions"),
    gauge(
        "/cluster/fault_tolerance/max_machine_failures_without_losing_data",
        "fdb_max_failures_without_losing_data",
        "failures",
    )
    .int(),
    gauge(
        "/cluster/fault_tolerance/max_zone_failures_without_losing_data",
        "fdb_max_failures_without_losing_data",
        "failures",
    )
    .int(),
    gauge(
        "/cluster/fault_tolerance/max_machine_failures_without_losing_availability",
        "fdb_max_failures_without_losing_availability",
        "failures",
    )
    .int(),
    gauge(
        "/cluster/fault_tolerance/max_zone_failures_without_losing_availability",
        "fdb_max_failures_without_losing_availability",
        "failures",
    )
    .int(),
];

/// Each number in the object, by its key: bytes, and a priority.
const MOVING: Field = gauge("/cluster/data/moving_data", "fdb_moving_data", "").int();

const MACHINE: &[Field] = &[
    gauge("/memory/committed_bytes", "fdb_memory_committed_bytes", "bytes").int(),
    gauge("/memory/free_bytes", "fdb_memory_free_bytes", "bytes").int(),
    gauge("/memory/total_bytes", "fdb_memory_total_bytes", "bytes").int(),
];

const PROCESS: &[Field] = &[
    gauge("/cpu/usage_cores", "fdb_process_cpu_cores", "cores"),
    gauge("/disk/busy", "fdb_process_disk_busy", "ratio"),
    gauge("/memory/used_bytes", "fdb_process_memory_used_bytes", "bytes").int(),
];

/// Default of `timeout_seconds`, the longest run of the command.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Prefix of the names of messages that say that the document is incomplete.
const PARTIAL: &str = "status_incomplete";

fn build(section: &Section) -> Result<Box<dyn Check>> {
    // A little less than the timeout of the check, so that fdbcli can still say why it failed.
    let patience = section.timeout(TIMEOUT)?.as_secs().saturating_mul(4) / 5;
    let words = ["--timeout", &patience.max(1).to_string(), "--exec", "status json"];
    let command = Command::read(section, "fdbclipath", &words)?;
    Ok(Box::new(FoundationDb { command, processes: BTreeMap::new(), run: 0 }))
}

struct FoundationDb {
    command: Command,
    /// Uptimes of the processes whose counters are included in the sums; empty if not all are known.
    processes: BTreeMap<String, f64>,
    /// Identifies the set of processes whose counters are summed up. Sums over different sets must not be compared.
    run: u64,
}

impl Check for FoundationDb {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let (text, error) = self.command.ask_for(&[], cx)?;
        // A warning may precede or follow the document.
        let document = text.find('{').and_then(|at| {
            let mut documents = serde_json::Deserializer::from_str(text.get(at..)?).into_iter();
            documents.next()?.ok()
        });
        let document: Value = match (document, error) {
            (Some(document), None) => document,
            (Some(document), Some(error)) => {
                out.fault_of("status", error.to_string());
                document
            }
            (None, Some(error)) => return Err(error),
            (None, None) => return Err(Error::parse("the document of status json", &text)),
        };
        if !document.pointer("/client").is_some_and(Value::is_object) {
            return Err(Error::parse("the document of status json", &text));
        }
        self.tell(&document, out);
        Ok(())
    }
}

impl FoundationDb {
    fn tell(&mut self, document: &Value, out: &mut Out) {
        let none = Tags::default();
        for field in STATES {
            if let Some(state) = document.pointer(field.cell).and_then(Value::as_bool) {
                out.put(field, u64::from(state), &none);
            }
        }
        if document.pointer("/client/database_status/available") == Some(&Value::Bool(false)) {
            out.fault_of("database", format!("not available: {}", reason(document)));
        }
        if self.is_whole(document) {
            out.counted_by(&self.run.to_string());
            out.pick_present(&json::numbers(document, WORKLOAD), WORKLOAD, &none);
        } else {
            out.fault_of("status", format!("not whole, no rates are told: {}", reason(document)));
        }
        out.pick_present(&json::numbers(document, CLUSTER), CLUSTER, &none);
        for (key, value) in members(document, MOVING.cell) {
            if let Some(raw) = json::number(value, "") {
                out.put(&MOVING, raw, &Tags::one("fdb_move_type", key));
            }
        }
        for (place, tag, fields) in [("/cluster/machines", "node", MACHINE), ("/cluster/processes", "process", PROCESS)]
        {
            for (id, part) in members(document, place) {
                let name = json::text(part, "/address").unwrap_or(id);
                out.pick_present(&json::numbers(part, fields), fields, &Tags::one(tag, name));
            }
        }
    }

    /// Whether the counters include all processes. If a process joined, left or restarted, the sums are treated as new
    /// counters.
    fn is_whole(&mut self, document: &Value) -> bool {
        let processes = members(document, "/cluster/processes");
        // A process that could not be asked has no uptime, and is missing in the sums as well.
        let now: BTreeMap<_, _> = processes
            .filter_map(|(id, process)| Some((id.clone(), json::float(process, "/uptime_seconds")?)))
            .collect();
        let before = std::mem::take(&mut self.processes);
        let is_partial = |name: &str| name.starts_with(PARTIAL);
        if messages(document).any(|message| json::text(message, "/name").is_some_and(is_partial)) {
            // The next sums must not be compared with those before.
            self.run += 1;
            return false;
        }
        let is_same =
            now.len() == before.len() && now.iter().all(|(id, now)| before.get(id).is_some_and(|old| now >= old));
        self.run += u64::from(!is_same);
        self.processes = now;
        true
    }
}

fn members<'d>(document: &'d Value, place: &str) -> impl Iterator<Item = (&'d String, &'d Value)> {
    document.pointer(place).and_then(Value::as_object).into_iter().flatten()
}

fn messages(document: &Value) -> impl Iterator<Item = &Value> {
    ["/client/messages", "/cluster/messages"].into_iter().flat_map(|place| json::array(document, place))
}

/// The first message of the document, and the state of the recovery if the cluster is recovering.
fn reason(document: &Value) -> String {
    let said = messages(document).next().map(|message| {
        let [name, words] = ["/name", "/description"].map(|place| json::text(message, place).unwrap_or_default());
        format!("{name}, {}", quote(words))
    });
    let state = json::text(document, "/cluster/recovery_state/name").map(|name| format!("recovery: {name}"));
    let all: Vec<_> = said.into_iter().chain(state).collect();
    if all.is_empty() { "it does not say why".into() } else { all.join("; ") }
}
