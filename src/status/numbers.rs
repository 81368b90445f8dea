//! The daemon's own metrics, one table line each: shown by `/metrics`, and sent to the sink as points.

use super::Now;
use crate::model::table::{Field, How, counter, gauge};
use crate::sink::prometheus::{push_escaped, push_head};
use crate::state::{Condition, State};

/// A metric that is computed from a `T`.
pub struct Number<T> {
    pub field: Field,
    help: &'static str,
    /// Computes the value; `None` if there is none now.
    pub of: fn(&T) -> Option<f64>,
}

const fn number<T>(field: Field, help: &'static str, of: fn(&T) -> Option<f64>) -> Number<T> {
    Number { field, help, of }
}

/// Unit of timestamps. They are shown by `/metrics` only, because points have their own time.
pub const MOMENT: &str = "unix s";

/// Metrics of the daemon and its delivery.
pub const OF_DAEMON: &[Number<Now>] = &[
    number(counter("", "puypuy_points_collected_total", "points"), "Points collected from checks.", |now| {
        Some(now.delivery.collected as f64)
    }),
    number(counter("", "puypuy_points_delivered_total", "points"), "Points accepted by the sink.", |now| {
        Some(now.delivery.delivered as f64)
    }),
    number(counter("", "puypuy_points_spooled_total", "points"), "Points written to the spool.", |now| {
        Some(now.delivery.spooled as f64)
    }),
    number(
        counter("", "puypuy_points_merged_total", "points"),
        "Points replaced by a later point of the same series and timestamp.",
        |now| Some(now.delivery.merged as f64),
    ),
    number(
        counter("", "puypuy_points_dropped_total", "points"),
        "Points dropped because a limit was reached.",
        |now| Some(now.delivery.dropped as f64),
    ),
    number(
        counter("", "puypuy_points_refused_total", "points"),
        "Points refused by the sink, now in the rejected area.",
        |now| Some(now.delivery.refused as f64),
    ),
    number(gauge("", "puypuy_sink_up", "0 or 1").int(), "Whether the sink accepts points.", |now| {
        Some(f64::from(u8::from(now.delivery.is_up)))
    }),
    number(gauge("", "puypuy_backoff_seconds", "s"), "Time until the next attempt to reach the sink.", |now| {
        Some(now.delivery.backoff(now.at.at).unwrap_or_default().as_secs_f64())
    }),
    number(
        gauge("", "puypuy_live_lateness_seconds", "s"),
        "Time from collection to acceptance by the sink, of the newest points.",
        |now| now.delivery.lateness().map(|wait| wait.as_secs_f64()),
    ),
    number(gauge("", "puypuy_spool_batches", "batches").int(), "Batches that wait in the spool.", |now| {
        Some(now.delivery.spool_batches as f64)
    }),
    number(gauge("", "puypuy_memory_points", "points").int(), "Points that are only in memory.", |now| {
        Some(now.delivery.memory_points as f64)
    }),
    number(gauge("", "puypuy_spool_bytes", "bytes").int(), "Size of the batch files in the spool.", |now| {
        Some(now.delivery.spool_bytes as f64)
    }),
    number(
        gauge("", "puypuy_spool_oldest_timestamp_seconds", MOMENT).int(),
        "When the oldest waiting batch was written.",
        |now| now.delivery.spool_oldest.map(|time| time as f64),
    ),
    number(
        gauge("", "puypuy_last_success_timestamp_seconds", MOMENT).int(),
        "When the sink last accepted points.",
        |now| now.delivery.last_success.map(|time| time as f64),
    ),
    number(gauge("", "puypuy_tick_lateness_seconds", "s"), "Delay of the newest tick.", |now| {
        Some(now.lateness.as_secs_f64())
    }),
    number(gauge("", "puypuy_resident_memory_bytes", "bytes").int(), "Resident memory of the daemon.", |now| {
        now.usage.map(|usage| usage.memory as f64)
    }),
    number(counter("", "puypuy_cpu_seconds_total", "s").float(), "CPU time of the daemon.", |now| {
        now.usage.map(|usage| usage.cpu.as_secs_f64())
    }),
    number(gauge("", "puypuy_open_descriptors", "descriptors").int(), "Open file descriptors of the daemon.", |now| {
        now.usage.map(|usage| usage.descriptors as f64)
    }),
    number(gauge("", "puypuy_threads", "threads").int(), "Threads of the daemon.", |now| {
        now.usage.map(|usage| usage.threads as f64)
    }),
];

/// Metrics of each check, script and own module.
pub const OF_CHECKS: &[Number<State>] = &[
    number(
        gauge("", "puypuy_check_up", "0 or 1").int(),
        "Whether the check is enabled and its last run succeeded at least in part.",
        |check| {
            let has_begun = check.condition != Condition::Waiting || check.why.is_some();
            has_begun.then(|| f64::from(u8::from(check.is_up())))
        },
    ),
    number(gauge("", "puypuy_check_duration_seconds", "s"), "Duration of the last run.", |check| {
        check.last.map(|run| run.took.as_secs_f64())
    }),
    number(gauge("", "puypuy_check_points", "points").int(), "Points of the last run.", |check| {
        check.last.map(|run| run.points as f64)
    }),
    number(
        gauge("", "puypuy_check_last_run_timestamp_seconds", MOMENT).int(),
        "Timestamp of the last finished run.",
        |check| check.last.map(|run| run.tick as f64),
    ),
    number(counter("", "puypuy_check_faults_total", "faults"), "Faults in all runs.", |check| {
        Some(check.faults as f64)
    }),
    number(
        counter("", "puypuy_check_missed_total", "ticks"),
        "Ticks skipped because the check was still running.",
        |check| Some(check.missed as f64),
    ),
];

/// Appends all metrics as Prometheus text.
pub fn push(page: &mut String, now: &Now) {
    for number in OF_DAEMON {
        if let Some(value) = (number.of)(now) {
            number.push_head(page);
            page.extend([number.field.metric, " ", &value.to_string(), "\n"]);
        }
    }
    for number in OF_CHECKS {
        let mut samples = now.checks.iter().filter_map(|check| Some((check, (number.of)(check)?))).peekable();
        if samples.peek().is_some() {
            number.push_head(page);
        }
        for (check, value) in samples {
            page.extend([number.field.metric, "{check=\""]);
            push_escaped(page, &check.name);
            if let Some(server) = &check.server {
                page.push_str("\",server=\"");
                push_escaped(page, server);
            }
            page.extend(["\"} ", &value.to_string(), "\n"]);
        }
    }
}

impl<T> Number<T> {
    fn push_head(&self, page: &mut String) {
        let kind = if self.field.how == How::Counter { "counter" } else { "gauge" };
        push_head(page, self.field.metric, kind, self.help);
    }
}
