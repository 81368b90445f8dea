//! Delivery: every point is delivered, kept, refused with a reason, or counted, whatever the sink and the disk do.

mod backoff;
mod codec;
mod queue;
mod run;
mod shipment;
mod simulation;

mod spool;

use puypuy::point::{Batch, HealthEvent, Identity, Kind, Level, Point, Tags, Value};

/// A point that can be told from others by its number.
pub fn point(number: i64) -> Point {
    Point {
        name: format!("metric_{number}").into(),
        value: Value::Int(number),
        kind: Kind::Gauge,
        time: 1_500_000_000 + number,
        check_type: "system".into(),
        tags: Tags::one("core", "0"),
        host: None,
        reaction: -3,
    }
}

pub fn points(numbers: std::ops::Range<i64>) -> Vec<Point> {
    numbers.map(point).collect()
}

pub fn batch(numbers: std::ops::Range<i64>) -> Batch {
    Batch { points: points(numbers), events: Vec::new() }
}

pub fn event() -> HealthEvent {
    HealthEvent {
        name: "Load-Average".into(),
        level: Level::Warning,
        message: "WARNING: it is high".into(),
        reaction: -2,
        time: 1_500_000_000,
        check_type: "system".into(),
    }
}

pub fn identity() -> Identity {
    Identity { host: "db01.example.org".into(), cluster: "prod".into(), group: "web".into(), location: "eu".into() }
}
