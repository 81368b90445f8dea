//! hashicorp_vault: whether a Vault or OpenBao node is sealed or active, and its telemetry (Vault documentation,
//! `/sys/health`, `/sys/metrics` and "Telemetry metrics").

use super::CONF;
use super::server::{self, Product, Server};
use super::telemetry::{Part, Telemetry, events};
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::fetch::http::{self, Http};
use crate::model::error::Result;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_hashicorp_vault",
    purpose: "state, runtime, gauges and timers of Vault or OpenBao",
    check_type: "vault",
    conf: CONF,
    section: "Hashicorp-Vault",
    keys: &[server::ADDRESS, http::TOKEN_KEYS, &["detailed", "getrates"], http::KEYS],
    runs: Runs::Own,
    fields: &[STATES, GAUGES, MEANS, GREATEST, &REQUESTS, &RESPONSES, &TOKENS, &[GAUGE], &SAMPLES],
    charts: CHARTS,
    build: |section| {
        let endpoint = server::endpoint(section)?;
        if !endpoint.shown("").trim_end_matches('/').ends_with("/metrics") {
            return Err(section.problem(ADDRESS, "must end in /sys/metrics, as http://127.0.0.1:8200/v1/sys/metrics"));
        }
        let is_detailed = section.flag("detailed", true)?;
        let part = if section.flag("getrates", false)? { Part::PerSecond } else { Part::Count };
        Ok(Box::new(Vault {
            health: Http::new(endpoint.above("metrics").hearing(STATE)),
            server: Server::read(section, &VAULT)?,
            samples: is_detailed.then_some(part),
        }))
    },
};

const ADDRESS: &str = "telemetery";

const VAULT: Product = Product {
    name: "Vault",
    token_header: "x-vault-token",
    remedy: "set token, or token_file, to a token whose policy may read sys/metrics, at a listener that serves it",
};

const CHARTS: &[Chart] = &[
    Chart::new("State").of(&["vault_core_unsealed", "vault_core_active", "vault_core_performance_standby"]).full(1.0),
    Chart::new("Requests under way").of(&["vault_core_in_flight_requests"]),
    Chart::new("Time of a request").of(&["vault_core_handle_request_mean", "vault_core_handle_request_max"]),
    Chart::new("Time of the storage").of(&[
        "vault_barrier_get_mean",
        "vault_barrier_get_max",
        "vault_barrier_put_mean",
        "vault_barrier_put_max",
    ]),
    Chart::new("Audit entries that failed")
        .of(&["vault_audit_log_request_failure", "vault_audit_log_response_failure"]),
    Chart::new("Leases").of(&["vault_expire_num_leases", "vault_expire_num_irrevocable_leases"]),
    Chart::new("Tokens").of(&["vault_token_count"]),
    Chart::new("New tokens").of(&["vault_token_creation"]),
    Chart::new("Memory").of(&["vault_runtime_alloc_bytes", "vault_runtime_sys_bytes"]),
    Chart::new("Goroutines").of(&["vault_runtime_num_goroutines"]),
    Chart::new("Objects on the heap").of(&["vault_runtime_heap_objects"]),
    Chart::new("Objects made and freed").of(&["vault_runtime_malloc_count", "vault_runtime_free_count"]),
    Chart::new("Pauses for garbage collection").of(&["vault_runtime_total_gc_pause_ns"]),
    Chart::new("Garbage collections").of(&["vault_runtime_total_gc_runs"]),
];

/// From the health endpoint, which needs no token. The telemetry has these values as well, but ten seconds late.
const STATES: &[Field] = &[gauge("", "vault_core_unsealed", "0 or 1"), gauge("", "vault_core_active", "0 or 1")];

/// Gauges with a known unit.
const GAUGES: &[Field] = &[
    gauge("core_performance_standby", "vault_core_performance_standby", "0 or 1"),
    gauge("core_in_flight_requests", "vault_core_in_flight_requests", "requests"),
    gauge("expire_num_leases", "vault_expire_num_leases", "leases"),
    gauge("expire_num_irrevocable_leases", "vault_expire_num_irrevocable_leases", "leases"),
    gauge("token_count", "vault_token_count", "tokens"),
    gauge("runtime_alloc_bytes", "vault_runtime_alloc_bytes", "bytes"),
    gauge("runtime_sys_bytes", "vault_runtime_sys_bytes", "bytes"),
    gauge("runtime_heap_objects", "vault_runtime_heap_objects", "objects"),
    gauge("runtime_num_goroutines", "vault_runtime_num_goroutines", "goroutines"),
    counter("runtime_free_count", "vault_runtime_free_count", "objects").float(),
    counter("runtime_malloc_count", "vault_runtime_malloc_count", "objects").float(),
    counter("runtime_total_gc_pause_ns", "vault_runtime_total_gc_pause_ns", "ns").float(),
    counter("runtime_total_gc_runs", "vault_runtime_total_gc_runs", "runs").float(),
];
/// Any other gauge.
const GAUGE: Field = gauge("", "vault_{gauge}", "");

const MEANS: &[Field] = &[
    gauge("core_handle_request", "vault_core_handle_request_mean", "ms"),
    gauge("barrier_get", "vault_barrier_get_mean", "ms"),
    gauge("barrier_put", "vault_barrier_put_mean", "ms"),
];
const GREATEST: &[Field] = &[
    gauge("core_handle_request", "vault_core_handle_request_max", "ms"),
    gauge("barrier_get", "vault_barrier_get_max", "ms"),
    gauge("barrier_put", "vault_barrier_put_max", "ms"),
];

// Sums over ten seconds: Vault adds 0 to the failures at every success, so the number of events means nothing.
const REQUESTS: [Field; 3] = events("vault_audit_log_request_failure", "failures");
const RESPONSES: [Field; 3] = events("vault_audit_log_response_failure", "failures");
const TOKENS: [Field; 3] = events("vault_token_creation", "tokens");
const COUNTERS: &[(&str, &[Field; 3])] = &[
    ("audit_log_request_failure", &REQUESTS),
    ("audit_log_response_failure", &RESPONSES),
    ("token_creation", &TOKENS),
];

const SAMPLES: [Field; 3] = events("vault_{sample}", "");

/// Statuses with which the health endpoint reports the state: standby, disaster recovery secondary, performance
/// standby, standby without active node, not initialised, sealed, removed.
const STATE: &[u16] = &[429, 472, 473, 474, 501, 503, 530];

const SEALED: &str = "none while the node is sealed";
const ON_STANDBY: &str = "none while the node is on standby: the active node tells it; a standby tells its own where its listener \
                          has unauthenticated_metrics_access and the section no token";

struct Vault {
    health: Http,
    server: Server,
    /// Which value of the samples to emit; `None`: none.
    samples: Option<Part>,
}

impl Check for Vault {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.get(&mut self.health, "health")?;
        let health: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let is = |place| health.pointer(place).and_then(Value::as_bool);
        answer.must(is("/sealed").is_some(), "the health of Vault")?;
        let is_unsealed = is("/sealed") == Some(false);
        let is_active = is_unsealed && is("/standby") == Some(false);
        // A disaster recovery secondary has no tokens of its own.
        let is_serving = is_active && json::text(&health, "/replication_dr_mode") != Some("secondary");
        // With a token, a standby forwards the request to the active node, whose values would then appear as its own.
        let asked = if is_serving || !self.server.has_token() { self.server.ask(cx, out) } else { Ok(None) };
        let told = if is_serving { asked } else { asked.or(Ok(None)) };
        if let Ok(Some(told)) = &told {
            tell(told, self.samples, out);
        } else if !is_serving {
            out.absence_of("telemetry", if is_unsealed { ON_STANDBY } else { SEALED });
        }
        for (field, state) in STATES.iter().zip([is_unsealed, is_active]) {
            out.put(field, u64::from(state), &Tags::default());
        }
        told.map(|_| ())
    }
}

fn tell(told: &Telemetry, samples: Option<Part>, out: &mut Out) {
    told.tell(GAUGES, out);
    let is_known = |name: &str| GAUGES.iter().any(|field| field.cell == name);
    for (name, sum) in told.sums().into_iter().filter(|(name, _)| !is_known(name)) {
        out.put_as(&format!("vault_{name}"), &GAUGE, sum, &Tags::default());
    }
    told.tell_each(MEANS, GREATEST, out);
    for (name, lines) in COUNTERS {
        let [line, ..] = lines;
        told.tell_events(&told.counters, name, Part::Sum, lines, line.metric, out);
    }
    if let Some(part) = samples {
        for name in told.samples.names() {
            told.tell_events(&told.samples, name, part, &SAMPLES, &format!("vault_{name}"), out);
        }
    }
}
