//! The cases, the same for each server: hostile points read back, a server that dies under load, one bad point of many.

use crate::server::wait;
use crate::store::{Store, differences, hostile, identity, point};
use puypuy::config::settings;
use puypuy::delivery::queue::Queue;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::spool::{Bounds, Spool};
use puypuy::delivery::status::Status;
use puypuy::delivery::{Delivery, unix_now};
use puypuy::point::{Batch, Point, Value};
use puypuy::sink;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Delivery as the daemon builds it, without checks.
pub struct Driver {
    folder: TempDir,
    queue: Arc<Queue>,
    status: Arc<Mutex<Status>>,
    name: &'static str,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    pub fn start(tsdb: &str) -> Driver {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.ini"), format!("[SelfConfig]\n[TSDB]\n{tsdb}")).unwrap();
        let loaded = settings::load(folder.path(), None);
        let settings = loaded.settings.unwrap_or_else(|| panic!("{:?}", loaded.errors));
        let sink = sink::build(&settings).unwrap();
        let name = sink.name();
        let bounds = Bounds { entries: 50_000, bytes: 256 << 20, age: None };
        let spool = Spool::open(&folder.path().join("spool"), bounds).unwrap();
        let rejected = Rejected::new(folder.path().join("rejected"), name, 16 << 20);
        let queue = Arc::new(Queue::default());
        let pace = Duration::from_millis(100);
        let delivery = Delivery::new(sink, identity(), queue.clone(), spool, rejected, pace);
        let status = delivery.status();
        Driver { folder, queue, status, name, thread: Some(thread::spawn(move || delivery.run())) }
    }

    pub fn push(&self, points: &[Point]) {
        self.queue.push(Batch { points: points.to_vec(), events: Vec::new() });
    }

    /// Until that many points are decided.
    pub fn settle(&self, points: usize, limit: Duration) -> Status {
        wait(&format!("{points} points to be decided"), limit, || {
            let status = *self.status.lock().unwrap();
            status.delivered + status.refused >= points as u64 && status.spool_batches == 0
        });
        *self.status.lock().unwrap()
    }

    /// The lines of the rejected area.
    pub fn rejected(&self) -> Vec<serde_json::Value> {
        let file = self.folder.path().join(format!("rejected/{}.ndjson", self.name.to_lowercase()));
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.queue.close(Instant::now() + Duration::from_secs(2));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn equal(store: &dyn Store, points: &[Point]) {
    let begun = Instant::now();
    loop {
        let found = differences(store, points);
        if found.is_empty() {
            return;
        }
        let few = &found[..found.len().min(8)];
        assert!(begun.elapsed() < Duration::from_secs(60), "{} differences, such as {few:#?}", found.len());
        sleep(Duration::from_millis(500));
    }
}

/// A thousand hostile points are read back equal.
pub fn round_trip(store: &mut dyn Store) {
    store.start();
    let driver = Driver::start(&store.tsdb());
    let mut points = hostile(unix_now() - 60);
    points.retain(|point| store.takes(point));
    driver.push(&points);
    let status = driver.settle(points.len(), Duration::from_secs(120));
    assert_eq!((status.delivered, status.refused), (points.len() as u64, 0), "{:#?}", driver.rejected().first());
    equal(store, &points);
}

/// The server dies while points come and comes back: everything is there.
pub fn restart(store: &mut dyn Store) {
    store.start();
    let driver = Driver::start(&store.tsdb());
    let begin = unix_now() - 300;
    let mut sent = Vec::new();
    for tick in 0..60 {
        if tick == 20 {
            store.kill(&sent);
        }
        if tick == 40 {
            store.start();
        }
        let points: Vec<Point> =
            (0..10).map(|n| point(&format!("load.{n}"), Value::Float(tick as f64 + 0.5), begin + tick, &[])).collect();
        driver.push(&points);
        sent.extend(points);
        sleep(Duration::from_millis(50));
    }
    let status = driver.settle(sent.len(), Duration::from_secs(120));
    assert!(status.spooled > 0, "the server was not missed");
    assert_eq!((status.refused, status.dropped), (0, 0));
    equal(store, &sent);
}

/// One point of a thousand is refused with the server's words, all others are stored.
pub fn one_bad(store: &dyn Store, good: impl Fn(usize) -> Point, bad: Point, words: &str) {
    let driver = Driver::start(&store.tsdb());
    let mut points: Vec<Point> = (0..999).map(good).collect();
    points.insert(500, bad.clone());
    driver.push(&points);
    let status = driver.settle(points.len(), Duration::from_secs(120));
    assert_eq!((status.delivered, status.refused), (999, 1), "{:#?}", driver.rejected());
    let [rejected] = driver.rejected().try_into().unwrap();
    assert_eq!(rejected["point"]["name"], *bad.name);
    assert!(rejected["why"].as_str().unwrap().contains(words), "{rejected}");
    points.remove(500);
    equal(store, &points);
}
