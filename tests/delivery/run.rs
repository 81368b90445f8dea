//! The delivery thread as a whole, with sinks that fail and recover.

use super::{batch, point, start};
use puypuy::delivery::disk::Folder;
use puypuy::delivery::queue::Queue;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::shipment::Refusal;
use puypuy::model::point::{Batch, Identity, Point};
use puypuy::sink::{Attempt, Encoded, Request, Sink, Verdict};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Stores everything while it is up; refuses metric_666 permanently; may hang until it is released.
#[derive(Clone, Default)]
struct Store {
    down: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    points: Arc<Mutex<Vec<Point>>>,
}

impl Store {
    fn points(&self) -> Vec<Point> {
        self.points.lock().unwrap().clone()
    }
}

impl Sink for Store {
    fn name(&self) -> &'static str {
        "Store"
    }

    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        Encoded { requests: vec![Request { body: Vec::new(), points: 0..points.len() }], refused: Vec::new() }
    }

    fn send(&mut self, _: &Request, points: &[Point], attempt: &Attempt) -> Verdict {
        while self.hangs.load(Ordering::Relaxed) {
            if Instant::now() >= attempt.until {
                return Verdict::Retry { why: "no answer".into(), after: None, is_suspect: true };
            }
            thread::sleep(Duration::from_millis(5));
        }
        if self.down.load(Ordering::Relaxed) {
            return Verdict::Retry { why: "connection refused".into(), after: None, is_suspect: false };
        }
        if points.iter().any(|point| point.name == "metric_666") {
            return Verdict::Reject { status: 400, why: "the number of the beast".into() };
        }
        self.points.lock().unwrap().extend_from_slice(points);
        Verdict::Delivered
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn full_request(&self) -> usize {
        5_000
    }
}

struct Running {
    folder: TempDir,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<puypuy::model::error::Result<()>>>,
}

impl Running {
    fn start(store: &Store, folder: TempDir) -> Running {
        let (queue, thread) = start(folder.path(), Box::new(store.clone()), Duration::from_millis(20));
        Running { folder, queue, thread: Some(thread) }
    }

    fn end(mut self, patience: Duration) -> TempDir {
        self.queue.close(Instant::now() + patience);
        self.thread.take().unwrap().join().unwrap().unwrap();
        self.folder
    }

    /// A point that was refused alone is proved bad when the sink accepts others, twice: sends such others, numbered
    /// from this number on, until something is in the rejected area.
    fn prove(&self, mut number: i64) {
        let rejected = self.folder.path().join("rejected/store.ndjson");
        wait("the proof", || {
            self.queue.push(batch(number..number + 1));
            number += 1;
            thread::sleep(Duration::from_millis(50));
            rejected.exists()
        });
    }

    fn spooled(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("spool")).unwrap().count() - 1
    }
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !until() {
        assert!(Instant::now() < limit, "never came: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_outage_loses_and_duplicates_nothing() {
    let store = Store::default();
    let running = Running::start(&store, TempDir::new().unwrap());
    running.queue.push(batch(0..3));
    wait("the first batch", || store.points().len() == 3);
    store.down.store(true, Ordering::Relaxed);
    for start in [10, 20, 30, 40, 50, 60] {
        running.queue.push(batch(start..start + 3));
    }
    wait("six files", || running.spooled() == 6);
    store.down.store(false, Ordering::Relaxed);
    wait("the backlog", || store.points().len() == 21);
    wait("an empty spool", || running.spooled() == 0);
    let mut names: Vec<_> = store.points().into_iter().map(|point| point.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 21);
    running.end(Duration::from_secs(3));
}

#[test]
fn points_undelivered_at_the_end_are_delivered_by_the_next_run() {
    let store = Store::default();
    store.hangs.store(true, Ordering::Relaxed);
    let running = Running::start(&store, TempDir::new().unwrap());
    running.queue.push(batch(0..3));
    running.queue.push(batch(3..5));
    let begun = Instant::now();
    let folder = running.end(Duration::from_millis(100));
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(store.points().is_empty());
    store.hangs.store(false, Ordering::Relaxed);
    let running = Running::start(&store, folder);
    // The thread of the first life still hangs in the sink, and may store its three points, too, now that the sink
    // works.
    let distinct = || store.points().iter().map(|point| point.time).collect::<std::collections::BTreeSet<_>>().len();
    wait("the points of the first life", || distinct() == 5);
    running.end(Duration::from_secs(3));
}

#[test]
fn a_sink_that_does_not_answer_never_holds_more_than_the_bound_in_memory() {
    let store = Store::default();
    store.hangs.store(true, Ordering::Relaxed);
    let running = Running::start(&store, TempDir::new().unwrap());
    for start in 0..8 {
        running.queue.push(batch(start * 5000..(start + 1) * 5000));
    }
    wait("the overflow in the spool", || running.spooled() >= 3);
    store.hangs.store(false, Ordering::Relaxed);
    wait("everything", || store.points().len() == 40_000 - 1);
    running.prove(50_000);
    let folder = running.end(Duration::from_secs(3));
    let rejected = std::fs::read_to_string(folder.path().join("rejected/store.ndjson")).unwrap();
    assert_eq!(rejected.lines().count(), 1);
}

#[test]
fn a_refused_point_is_in_the_rejected_area_with_the_servers_message() {
    let store = Store::default();
    let running = Running::start(&store, TempDir::new().unwrap());
    let mut points = super::points(0..999);
    points.insert(500, point(666_000));
    points[500].name = "metric_666".into();
    points.retain(|point| point.name != "metric_666" || point.time == 1_500_666_000);
    running.queue.push(Batch { points, events: Vec::new() });
    wait("the good points", || store.points().len() == 998);
    running.prove(2_000);
    let folder = running.end(Duration::from_secs(3));
    let text = std::fs::read_to_string(folder.path().join("rejected/store.ndjson")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["why"], "the number of the beast");
    assert_eq!(line["status"], 400);
    assert_eq!(line["point"]["name"], "metric_666");
    assert_eq!(line["point"]["host"], "db01.example.org");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.path().join("rejected/store.ndjson")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_rejected_area_is_bounded() {
    let folder = TempDir::new().unwrap();
    let mut rejected = Rejected::new(Box::new(Folder::new(folder.path().into())), "Store", 20_000);
    for number in 0..300 {
        let lost = Refusal { point: point(number), status: 400, why: "é".repeat(400) };
        rejected.keep(&[lost], "db01", 1_600_000_000).unwrap();
    }
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(size("store.ndjson") <= 10_000 && size("store.ndjson.1") <= 10_000);
    let last = std::fs::read_to_string(folder.path().join("store.ndjson")).unwrap();
    assert!(last.lines().last().unwrap().contains("metric_299"));
}
