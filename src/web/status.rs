//! The daemon's own numbers as Prometheus text.

use crate::delivery::status::Status;
use crate::sink::prometheus::{push_escaped, push_head};
use crate::state::State;
use std::time::Instant;

/// A family of the checks: name, kind, help, and the number of a check, if it has one yet.
type OfChecks = (&'static str, &'static str, &'static str, fn(&State) -> Option<f64>);

const OF_CHECKS: [OfChecks; 6] = [
    ("puypuy_check_up", "gauge", "Whether the check runs, and its last run did not fail as a whole.", |check| {
        Some(f64::from(u8::from(check.is_up())))
    }),
    ("puypuy_check_duration_seconds", "gauge", "How long the last run took.", |check| {
        check.last.map(|run| run.took.as_secs_f64())
    }),
    ("puypuy_check_points", "gauge", "Points that the last run told.", |check| check.last.map(|run| run.points as f64)),
    ("puypuy_check_last_run_timestamp_seconds", "gauge", "The tick of the last run that has ended.", |check| {
        check.last.map(|run| run.tick as f64)
    }),
    ("puypuy_check_faults_total", "counter", "What could not be told, in all runs.", |check| Some(check.faults as f64)),
    ("puypuy_check_missed_total", "counter", "Ticks missed because the check was busy.", |check| {
        Some(check.missed as f64)
    }),
];

/// Appends what has become of the points, how delivery is, and how each check is.
pub fn push(page: &mut String, status: &Status, checks: &[State], now: Instant) {
    push_delivery(page, status, now);
    for (name, kind, help, number) in OF_CHECKS {
        let mut samples = checks.iter().filter_map(|check| Some((check, number(check)?))).peekable();
        if samples.peek().is_some() {
            push_head(page, name, kind, help);
        }
        for (check, number) in samples {
            page.extend([name, "{check=\""]);
            push_escaped(page, &check.name);
            if let Some(server) = &check.server {
                page.push_str("\",server=\"");
                push_escaped(page, server);
            }
            page.extend(["\"} ", &number.to_string(), "\n"]);
        }
    }
}

fn push_delivery(page: &mut String, status: &Status, now: Instant) {
    let mut tell = |name: &str, kind: &str, help: &str, value: f64| {
        push_head(page, name, kind, help);
        page.extend([name, " ", &value.to_string(), "\n"]);
    };
    let totals = [
        ("collected", "Points that delivery took from the checks.", status.collected),
        ("delivered", "Points that the sink took.", status.delivered),
        ("spooled", "Points that had to wait in the spool.", status.spooled),
        ("merged", "Points replaced by a later one of the same series and time.", status.merged),
        ("dropped", "Points given up because a bound was reached.", status.dropped),
        ("refused", "Points in the rejected area.", status.refused),
    ];
    for (word, help, count) in totals {
        tell(&format!("puypuy_points_{word}_total"), "counter", help, count as f64);
    }
    let backoff = status.backoff(now).unwrap_or_default();
    tell("puypuy_sink_up", "gauge", "Whether the sink takes points.", f64::from(u8::from(status.is_up)));
    tell("puypuy_backoff_seconds", "gauge", "Wait before the next attempt.", backoff.as_secs_f64());
    tell("puypuy_spool_batches", "gauge", "Batches that wait.", status.spool_batches as f64);
    tell("puypuy_memory_points", "gauge", "Points in memory alone.", status.memory_points as f64);
    tell("puypuy_spool_bytes", "gauge", "Bytes of the batches that wait in files.", status.spool_bytes as f64);
    let times = [
        ("puypuy_spool_oldest_timestamp_seconds", "Since when the oldest batch waits.", status.spool_oldest),
        ("puypuy_last_success_timestamp_seconds", "When the sink last took points.", status.last_success),
    ];
    for (name, help, time) in times {
        if let Some(time) = time {
            tell(name, "gauge", help, time as f64);
        }
    }
}
