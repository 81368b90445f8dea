//! The daemon's own metrics: points at each tick beside those of the checks, and their charts.

use crate::check::chart::{Chart, Drawn, drawn_unit};
use crate::model::point::{Batch, Kind, Point, Tags, Tick, Value};
use crate::model::table::{Field, How};
use crate::status::Sources;
use crate::status::numbers::{MOMENT, Number, OF_CHECKS, OF_DAEMON};

/// The `type` tag, and the heading of the charts.
const TYPE: &str = "puypuy";

/// All of them at that tick; empty if they are switched off.
pub fn points(sources: &Sources, tick: Tick) -> Batch {
    let mut batch = Batch::default();
    if !sources.about().tells_itself {
        return batch;
    }
    let now = sources.now();
    let none = Tags::default();
    tell(&mut batch, OF_DAEMON, &now, &none, tick);
    for check in &now.checks {
        let tags = Tags::one("check", &check.name);
        let tags = check.server.as_ref().map_or_else(|| tags.clone(), |server| tags.with("server", server));
        tell(&mut batch, OF_CHECKS, check, &tags, tick);
    }
    batch
}

fn tell<T>(batch: &mut Batch, numbers: &'static [Number<T>], of: &T, tags: &Tags, tick: Tick) {
    for number in numbers.iter().filter(|number| number.field.unit != MOMENT) {
        let Some(value) = (number.of)(of) else { continue };
        let Field { metric, how, int, .. } = number.field;
        batch.points.push(Point {
            name: metric.into(),
            value: if int { Value::Int(value.round() as i64) } else { Value::Float(value) },
            kind: if how == How::Counter { Kind::Counter } else { Kind::Gauge },
            time: tick.wall,
            check_type: TYPE.into(),
            tags: tags.clone(),
            host: None,
            reaction: 0,
        });
    }
}

/// The unit of one of these metrics in a chart.
pub fn unit(metric: &str) -> Option<&'static str> {
    let fields = OF_DAEMON.iter().map(|number| &number.field).chain(OF_CHECKS.iter().map(|number| &number.field));
    fields.into_iter().find(|field| field.metric == metric).map(drawn_unit)
}

/// Each chart with the unit of its axis.
const CHARTS: &[(Chart, &str)] = &[
    (Chart::new("Duration of checks").of(&["puypuy_check_duration_seconds"]).each("check"), "s"),
    (Chart::new("Points of checks").of(&["puypuy_check_points"]).each("check"), "points"),
    (Chart::new("Faults of checks").of(&["puypuy_check_faults_total"]).each("check"), "1/s"),
    (Chart::new("Ticks missed by checks").of(&["puypuy_check_missed_total"]).each("check"), "1/s"),
    (Chart::new("Checks that run and did not fail").of(&["puypuy_check_up"]).each("check"), "0 or 1"),
    (
        Chart::new("Points on their way").of(&[
            "puypuy_points_collected_total",
            "puypuy_points_delivered_total",
            "puypuy_points_spooled_total",
            "puypuy_points_merged_total",
            "puypuy_points_dropped_total",
            "puypuy_points_refused_total",
        ]),
        "1/s",
    ),
    (Chart::new("Lateness").of(&["puypuy_tick_lateness_seconds", "puypuy_live_lateness_seconds"]), "s"),
    (Chart::new("Whether the store takes points").of(&["puypuy_sink_up"]), "0 or 1"),
    (Chart::new("Wait before the next attempt").of(&["puypuy_backoff_seconds"]), "s"),
    (Chart::new("What waits for the store").of(&["puypuy_spool_batches", "puypuy_memory_points"]), ""),
    (Chart::new("Files that wait for the store").of(&["puypuy_spool_bytes"]), "bytes"),
    (Chart::new("Memory of the daemon").of(&["puypuy_resident_memory_bytes"]), "bytes"),
    (Chart::new("Processor time of the daemon").of(&["puypuy_cpu_seconds_total"]), "s/s"),
    (Chart::new("Descriptors and threads of the daemon").of(&["puypuy_open_descriptors", "puypuy_threads"]), ""),
];

/// Their charts.
pub fn charts() -> impl Iterator<Item = Drawn> {
    CHARTS.iter().map(|(chart, unit)| {
        let (title, metrics, look) = (chart.title.into(), chart.metrics.to_vec(), chart.look);
        Drawn { check: TYPE, title, unit, metrics, look }
    })
}
