//! The daemon's own numbers as Prometheus text.

use crate::delivery::status::Status;
use crate::sink::prometheus::push_head;

/// Appends what has become of the points, and how delivery is.
pub fn push(page: &mut String, status: &Status) {
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
    tell("puypuy_sink_up", "gauge", "Whether the sink takes points.", f64::from(u8::from(status.is_up)));
    tell("puypuy_backoff_seconds", "gauge", "Wait before the next attempt.", status.backoff.as_secs_f64());
    tell("puypuy_spool_batches", "gauge", "Batches that wait.", status.spool_batches as f64);
    tell("puypuy_memory_points", "gauge", "Points in memory alone.", status.memory_points as f64);
    tell("puypuy_spool_bytes", "gauge", "Bytes of the batches that wait in files.", status.spool_bytes as f64);
    if let Some(time) = status.last_success {
        tell("puypuy_last_success_timestamp_seconds", "gauge", "When the sink last took points.", time as f64);
    }
}
