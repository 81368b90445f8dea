//! hashicorp_consul: runtime, Raft, and the counters and timers of a Consul agent (Consul documentation, "Agent
//! telemetry").

use super::CONF;
use super::server::{self, Product};
use super::telemetry::{Part, Telemetry, events};
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec};
use crate::fetch::http;
use crate::model::table::{Field, counter, gauge};

pub static SPEC: Spec = Spec {
    name: "check_hashicorp_consul",
    purpose: "runtime, Raft, counters and timers of an agent of Consul",
    check_type: "consul",
    conf: CONF,
    section: "Hashicorp-Consul",
    keys: &[server::ADDRESS, &["detailed", "getrates"], http::TOKEN_KEYS, http::KEYS],
    runs: Runs::Own,
    fields: &[RUNTIME, SERVER, LEADER, MEANS, GREATEST, &COUNTERS, &SAMPLES],
    charts: CHARTS,
    build: |section| {
        let is_detailed = section.flag("detailed", true)?;
        let part = if section.flag("getrates", true)? { Part::PerSecond } else { Part::Count };
        server::check(section, &CONSUL, move |told, out| tell(told, is_detailed.then_some(part), out))
    },
};

const CONSUL: Product = Product {
    name: "Consul",
    token_header: "x-consul-token",
    remedy: "set token, or token_file, to a token with agent:read",
};

const CHARTS: &[Chart] = &[
    Chart::new("Time to commit").of(&["consul_raft_committime_mean", "consul_raft_committime_max"]),
    Chart::new("Since the leader was heard")
        .of(&["consul_raft_leader_lastcontact_mean", "consul_raft_leader_lastcontact_max"]),
    Chart::new("Time of writes").of(&[
        "consul_kvs_apply_mean",
        "consul_kvs_apply_max",
        "consul_txn_apply_mean",
        "consul_txn_apply_max",
    ]),
    Chart::new("Time of answers over HTTP").of(&["consul_api_http_mean", "consul_api_http_max"]),
    Chart::new("What is counted").of(&["consul_{counter}"]),
    Chart::new("Health of the cluster").of(&["consul_autopilot_healthy", "consul_server_isleader"]).full(1.0),
    Chart::new("Servers that may fail").of(&["consul_autopilot_failure_tolerance"]),
    Chart::new("Members").of(&["consul_members_servers", "consul_members_clients"]),
    Chart::new("Catalog").of(&[
        "consul_state_nodes",
        "consul_state_services",
        "consul_state_service_instances",
        "consul_state_kv_entries",
    ]),
    Chart::new("Raft: place in the log").of(&["consul_raft_last_index", "consul_raft_applied_index"]),
    Chart::new("Raft: age of the oldest entry").of(&["consul_raft_leader_oldestlogage"]),
    Chart::new("Certificates end in").of(&[
        "consul_agent_tls_cert_expiry",
        "consul_mesh_active_root_ca_expiry",
        "consul_mesh_active_signing_ca_expiry",
    ]),
    Chart::new("Queries that wait").of(&["consul_rpc_queries_blocking"]),
    Chart::new("Sessions with an end").of(&["consul_session_ttl_active"]),
    Chart::new("Memory").of(&["consul_runtime_alloc_bytes", "consul_runtime_sys_bytes"]),
    Chart::new("Goroutines").of(&["consul_runtime_num_goroutines"]),
    Chart::new("Objects on the heap").of(&["consul_runtime_heap_objects"]),
    Chart::new("Objects made and freed").of(&["consul_runtime_malloc_count", "consul_runtime_free_count"]),
    Chart::new("Pauses for garbage collection").of(&["consul_runtime_total_gc_pause_ns"]),
    Chart::new("Garbage collections").of(&["consul_runtime_total_gc_runs"]),
];

/// Metrics of every agent.
const RUNTIME: &[Field] = &[
    gauge("runtime_alloc_bytes", "consul_runtime_alloc_bytes", "bytes").int(),
    counter("runtime_free_count", "consul_runtime_free_count", "objects"),
    gauge("runtime_heap_objects", "consul_runtime_heap_objects", "objects").int(),
    counter("runtime_malloc_count", "consul_runtime_malloc_count", "objects"),
    gauge("runtime_num_goroutines", "consul_runtime_num_goroutines", "goroutines").int(),
    gauge("runtime_sys_bytes", "consul_runtime_sys_bytes", "bytes").int(),
    counter("runtime_total_gc_pause_ns", "consul_runtime_total_gc_pause_ns", "ns"),
    counter("runtime_total_gc_runs", "consul_runtime_total_gc_runs", "runs"),
    gauge("agent_tls_cert_expiry", "consul_agent_tls_cert_expiry", "s").int(),
];

/// Metrics of every server about itself.
const SERVER: &[Field] = &[
    gauge("session_ttl_active", "consul_session_ttl_active", "sessions").int(),
    gauge(IS_LEADER, "consul_server_isleader", "0 or 1").int(),
    gauge("raft_applied_index", "consul_raft_applied_index", "entries").int(),
    gauge("raft_last_index", "consul_raft_last_index", "entries").int(),
    gauge("rpc_queries_blocking", "consul_rpc_queries_blocking", "queries").int(),
];

/// Metrics of the cluster. Every server reports them, but only the leader has correct values for all of them.
const LEADER: &[Field] = &[
    gauge("raft_leader_oldestlogage", "consul_raft_leader_oldestlogage", "ms").int(),
    gauge("autopilot_healthy", "consul_autopilot_healthy", "0 or 1").int(),
    gauge("autopilot_failure_tolerance", "consul_autopilot_failure_tolerance", "servers").int(),
    gauge("members_servers", "consul_members_servers", "agents").int(),
    gauge("members_clients", "consul_members_clients", "agents").int(),
    gauge("state_nodes", "consul_state_nodes", "nodes").int(),
    gauge("state_services", "consul_state_services", "services").int(),
    gauge("state_service_instances", "consul_state_service_instances", "instances").int(),
    gauge("state_kv_entries", "consul_state_kv_entries", "keys").int(),
    gauge("mesh_active_root_ca_expiry", "consul_mesh_active_root_ca_expiry", "s").int(),
    gauge("mesh_active_signing_ca_expiry", "consul_mesh_active_signing_ca_expiry", "s").int(),
];

const IS_LEADER: &str = "server_isleader";

const MEANS: &[Field] = &[
    gauge("raft_committime", "consul_raft_committime_mean", "ms"),
    gauge("raft_leader_lastcontact", "consul_raft_leader_lastcontact_mean", "ms"),
    gauge("kvs_apply", "consul_kvs_apply_mean", "ms"),
    gauge("txn_apply", "consul_txn_apply_mean", "ms"),
    gauge("api_http", "consul_api_http_mean", "ms"),
];
const GREATEST: &[Field] = &[
    gauge("raft_committime", "consul_raft_committime_max", "ms"),
    gauge("raft_leader_lastcontact", "consul_raft_leader_lastcontact_max", "ms"),
    gauge("kvs_apply", "consul_kvs_apply_max", "ms"),
    gauge("txn_apply", "consul_txn_apply_max", "ms"),
    gauge("api_http", "consul_api_http_max", "ms"),
];

const COUNTERS: [Field; 3] = events("consul_{counter}", "1/s");
const SAMPLES: [Field; 3] = events("consul_{sample}", "");

/// `samples`: which value of the samples to emit; `None`: none.
fn tell(told: &Telemetry, samples: Option<Part>, out: &mut Out) {
    told.tell(RUNTIME, out);
    told.tell(SERVER, out);
    if told.gauge(IS_LEADER) == Some(1.0) {
        told.tell(LEADER, out);
    }
    told.tell_each(MEANS, GREATEST, out);
    for name in told.counters.names() {
        told.tell_events(&told.counters, name, Part::PerSecond, &COUNTERS, &format!("consul_{name}"), out);
    }
    if let Some(part) = samples {
        for name in told.samples.names() {
            told.tell_events(&told.samples, name, part, &SAMPLES, &format!("consul_{name}"), out);
        }
    }
}
