//! The cases, which are the same for each server: hostile points read back, a server that dies under load, one bad
//! point of many, a backlog, a storage that hangs.

use crate::documents;
use crate::server::wait;
use crate::store::{Store, differences, hostile, identity, point};
use puypuy::config::settings;
use puypuy::delivery::disk::Folder;
use puypuy::delivery::queue::Queue;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::spool::{Bounds, Spool};
use puypuy::delivery::status::Status;
use puypuy::delivery::{Delivery, Moment};
use puypuy::model::point::{Batch, Identity, Point, Value};
use puypuy::sink;
use puypuy::sys::clock::unix_now;
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
    thread: Option<JoinHandle<puypuy::model::error::Result<()>>>,
}

impl Driver {
    pub fn start(tsdb: &str) -> Driver {
        Driver::start_with(tsdb, &[], Duration::from_millis(100))
    }

    /// With batches that wait in the spool.
    fn start_with(tsdb: &str, waiting: &[Vec<Point>], period: Duration) -> Driver {
        Driver::start_as(identity(), tsdb, waiting, period)
    }

    fn start_as(identity: Identity, tsdb: &str, waiting: &[Vec<Point>], period: Duration) -> Driver {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.ini"), format!("[SelfConfig]\n[TSDB]\n{tsdb}")).unwrap();
        let loaded = settings::load(folder.path(), None);
        let settings = loaded.settings.unwrap_or_else(|| panic!("{:?}", loaded.errors));
        let sink = sink::build(&settings).unwrap();
        let name = sink.name();
        let bounds = Bounds { entries: 50_000, bytes: 256 << 20, age: None };
        let disk = |name| Box::new(Folder::new(folder.path().join(name)));
        let mut spool = Spool::open(disk("spool"), bounds, Moment::now()).unwrap();
        for points in waiting {
            let batch = Batch { points: points.clone(), events: Vec::new() };
            spool.store(batch, unix_now(), Moment::now()).1.unwrap();
        }
        let rejected = Rejected::new(disk("rejected"), name, 16 << 20);
        let queue = Arc::new(Queue::default());
        let delivery = Delivery::new(sink, identity, queue.clone(), spool, rejected, period, (Moment::now(), 1));
        let status = delivery.status();
        Driver { folder, queue, status, name, thread: Some(thread::spawn(move || delivery.run())) }
    }

    pub fn push(&self, points: &[Point]) {
        self.queue.push(Batch { points: points.to_vec(), events: Vec::new() });
    }

    /// Waits until this many points are decided.
    pub fn settle(&self, points: usize, limit: Duration) -> Status {
        wait(&format!("{points} points to be decided"), limit, || {
            let status = self.status.lock().unwrap().clone();
            status.delivered + status.refused >= points as u64 && status.spool_batches == 0
        });
        self.status.lock().unwrap().clone()
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

/// A thousand hostile points are read back unchanged.
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

/// The chart query of the documents finds what a daemon with the tags of their examples sends. The server runs.
pub fn chart(store: &dyn Store, chapter: &str) {
    let [cluster, group, location] = ["PuyPuy", "workers", "home"].map(String::from);
    let identity = Identity { host: "web1.example.org".into(), cluster, group, location };
    let driver = Driver::start_as(identity, &store.tsdb(), &[], Duration::from_millis(100));
    let now = unix_now();
    let of = |age: i64| point("cpu_user", Value::Float(1.5), now - age, &[("core", "all")]);
    let points: Vec<Point> = (1..=10).rev().map(|place| of(place * 30)).collect();
    driver.push(&points);
    driver.settle(points.len(), Duration::from_secs(60));
    let query = documents::chart(chapter);
    wait(&format!("rows for {query}"), Duration::from_secs(60), || store.rows(&query) > 0);
}

/// The server dies while points arrive, and is restarted: every point is there.
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

/// While 45 batches wait and more arrive each second: within half a minute nothing waits except points of the last
/// three seconds, and every point is there once.
pub fn way_back(store: &mut dyn Store) {
    const LIMIT: Duration = Duration::from_secs(30);
    let second = Duration::from_secs(1);
    store.start();
    let begin = unix_now() - 100;
    let batch = |time: i64| -> Vec<Point> {
        let number = |n: i64| Value::Int(time * 200 + n);
        (0..200)
            .map(|n| point(&format!("back.{}", n / 20), number(n), time, &[("x", &format!("d{}", n % 20))]))
            .collect()
    };
    let waiting: Vec<Vec<Point>> = (begin..begin + 45).map(batch).collect();
    let mut sent = waiting.concat();
    let driver = Driver::start_with(&store.tsdb(), &waiting, second);
    let begun = Instant::now();
    let mut live = begin + 45..;
    loop {
        let status = driver.status.lock().unwrap().clone();
        // If responses take as long as a period, some live points are always on their way.
        if status.delivered + 3 * 200 >= sent.len() as u64 {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "it is not empty after {LIMIT:?}: {status:?}");
        if begun.elapsed() >= second * (live.start - begin - 45) as u32 {
            let points = batch(live.next().unwrap());
            driver.push(&points);
            sent.extend(points);
        }
        sleep(Duration::from_millis(10));
    }
    println!("live: empty after {:.1} s", begun.elapsed().as_secs_f64());
    let status = driver.settle(sent.len(), LIMIT);
    assert_eq!((status.delivered, status.refused, status.dropped), (sent.len() as u64, 0, 0));
    equal(store, &sent);
}

/// The storage behind the server hangs for twenty seconds while points arrive: nothing is refused, and every point is
/// there.
pub fn stall(store: &dyn Store, stand_still: impl Fn(bool)) {
    let driver = Driver::start(&store.tsdb());
    let begin = unix_now() - 100;
    let mut sent = Vec::new();
    for tick in 0..60 {
        match tick {
            10 => stand_still(true),
            50 => stand_still(false),
            _ => {}
        }
        let number = Value::Float(tick as f64 + 0.5);
        let points: Vec<Point> = (0..10).map(|n| point(&format!("still.{n}"), number, begin + tick, &[])).collect();
        driver.push(&points);
        sent.extend(points);
        sleep(Duration::from_millis(500));
    }
    let status = driver.settle(sent.len(), Duration::from_secs(120));
    assert!(status.spooled > 0, "the storage was not missed");
    assert_eq!((status.refused, status.dropped), (0, 0), "{:#?}", driver.rejected().first());
    equal(store, &sent);
}

/// One point of a thousand is refused with the server's message, all others are stored.
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
