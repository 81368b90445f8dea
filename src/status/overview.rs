//! The daemon, its checks and its delivery as JSON, for `/api/status` and `puypuy status`. Pure.

use super::{About, Now, health};
use crate::state::{Open, State};
use crate::sys::usage::Usage;
use serde_json::{Map, Value, json};

/// Everything to be shown.
pub struct Overview<'a> {
    pub about: &'a About,
    /// The host's time zone, as people name it.
    pub zone: &'a str,
    pub now: Now,
}

impl Overview<'_> {
    /// Checks that need attention come first.
    pub fn json(self) -> Map<String, Value> {
        let Overview { about, zone, mut now } = self;
        now.checks.sort_by_key(|check| check.condition);
        let Now { at, delivery, usage, .. } = &now;
        let backoff = delivery.backoff(at.at);
        let members = json!({
            "now": at.wall,
            "wrong": health::wrong(about, &now),
            "host": about.host,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "started": about.started,
            "zone": zone,
            "period": about.period.as_secs_f64(),
            "tick": {
                "age": thousandths(now.age.as_secs_f64()),
                "late": thousandths(now.lateness.as_secs_f64()),
            },
            "process": usage.map(process),
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
                "set_aside": delivery.set_aside,
            },
            "points": {
                "collected": delivery.collected,
                "delivered": delivery.delivered,
                "dropped": delivery.dropped,
                "refused": delivery.refused,
            },
            "events": open(&now),
            "checks": now.checks.iter().map(check).collect::<Vec<_>>(),
        });
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

fn process(usage: Usage) -> Value {
    json!({
        "memory": usage.memory,
        "cpu": usage.cpu.as_secs_f64(),
        "descriptors": usage.descriptors,
        "threads": usage.threads,
    })
}

/// The health events that are not OK.
pub fn open(now: &Now) -> Vec<Value> {
    let of_check = |check: &State| {
        let period = i64::try_from(check.period.as_secs()).unwrap_or(i64::MAX);
        let holds = |open: &&Open| open.holds(now.at.wall, period.saturating_add(1));
        let told = |Open { event, level, message, since, .. }: &Open| {
            let level = level.word();
            json!({ "check": check.name, "event": event, "level": level, "since": since, "message": message })
        };
        check.open.iter().filter(holds).map(told).collect::<Vec<_>>()
    };
    now.checks.iter().flat_map(of_check).collect()
}

fn check(state: &State) -> Value {
    json!({
        "name": state.full_name(),
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
