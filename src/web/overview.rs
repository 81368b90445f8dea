//! `/api/status`: how the daemon, its checks and its delivery are, as JSON. Pure: all that is known comes in.

use crate::delivery::Moment;
use crate::delivery::status::Status;
use crate::state::State;
use serde_json::{Value, json};
use std::time::Duration;

/// The daemon, as it stays until its end.
pub struct About {
    pub host: String,
    /// Unix seconds.
    pub started: i64,
    pub period: Duration,
    /// Name of the sink.
    pub sink: &'static str,
}

/// Figures of the local store.
pub struct Store {
    pub bytes: u64,
    /// Unix seconds of its first point.
    pub oldest: Option<i64>,
    pub series: u64,
}

/// What there is to tell at a moment.
pub struct Overview<'a> {
    pub about: &'a About,
    pub now: Moment,
    /// Of the host, as people name it.
    pub zone: &'a str,
    pub delivery: &'a Status,
    /// `None`: the sink is another, or nobody has looked yet.
    pub store: Option<Store>,
    pub checks: Vec<State>,
    /// Of what is switched on.
    pub charts: Value,
}

impl Overview<'_> {
    /// Those that need somebody are the first of the checks.
    pub fn json(mut self) -> Value {
        self.checks.sort_by_key(|check| check.condition);
        let Overview { about, now, zone, delivery, .. } = self;
        let backoff = delivery.backoff(now.at);
        json!({
            "now": now.wall,
            "host": about.host,
            "version": env!("CARGO_PKG_VERSION"),
            "started": about.started,
            "zone": zone,
            "period": about.period.as_secs_f64(),
            "sink": {
                "type": about.sink,
                "up": delivery.is_up,
                "since": delivery.since,
                "backoff": backoff.map(|wait| thousandths(wait.as_secs_f64())),
                "last": delivery.last_success,
                "why": delivery.why.as_deref(),
            },
            "spool": {
                "batches": delivery.spool_batches,
                "bytes": delivery.spool_bytes,
                "oldest": delivery.spool_oldest,
                "memory": delivery.memory_points,
            },
            "points": {
                "collected": delivery.collected,
                "delivered": delivery.delivered,
                "dropped": delivery.dropped,
                "refused": delivery.refused,
            },
            "store": self.store.map(|store| json!({
                "bytes": store.bytes,
                "oldest": store.oldest,
                "series": store.series,
            })),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "charts": self.charts,
        })
    }
}

fn check(state: &State) -> Value {
    json!({
        "name": match &state.server {
            Some(server) => format!("{}:{server}", state.name),
            None => state.name.clone(),
        },
        "kind": state.kind.word(),
        "state": state.condition.word(),
        "why": state.why,
        "since": state.since,
        "ms": state.last.map(|run| thousandths(run.took.as_secs_f64() * 1e3)),
        "points": state.last.map(|run| run.points),
        "faults": state.last.map(|run| run.faults),
        "last": state.last.map(|run| run.tick),
        "missed": state.missed,
        "period": state.period.as_secs_f64(),
    })
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
