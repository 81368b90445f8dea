//! Delivery: every point is delivered, kept, refused with a reason, or counted, whatever sink and disk do.

mod backoff;
mod codec;
mod queue;
mod run;
mod shipment;
mod simulation;

mod spool;
mod turn;

use puypuy::delivery::disk::Folder;
use puypuy::delivery::queue::Queue;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::spool::{Bounds, Spool};
use puypuy::delivery::{Delivery, Moment};
use puypuy::model::error::Result;
use puypuy::model::point::{Batch, HealthEvent, Identity, Kind, Level, Point, Tags, Value};
use puypuy::sink::Sink;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A point that is identified by its number.
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

/// Runs delivery to this sink in a separate thread, with spool and rejected area in this folder.
pub fn start(folder: &Path, sink: Box<dyn Sink>, period: Duration) -> (Arc<Queue>, JoinHandle<Result<()>>) {
    let queue = Arc::new(Queue::default());
    let disk = |name| Box::new(Folder::new(folder.join(name)));
    let bounds = Bounds { entries: 1_000, bytes: 1 << 30, age: None };
    let spool = Spool::open(disk("spool"), bounds, Moment::now()).unwrap();
    let rejected = Rejected::new(disk("rejected"), sink.name(), 1 << 20);
    let begin = (Moment::now(), 4_711);
    let delivery = Delivery::new(sink, identity(), queue.clone(), spool, rejected, period, begin);
    (queue, thread::spawn(move || delivery.run()))
}
