//! One delivery, with its threads, its files and the real sink, against a slow server.

use crate::server::Server;
use crate::{identity, judged, point};
use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::delivery::disk::Folder;
use puypuy::delivery::queue::Queue;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::spool::{Bounds, Spool};
use puypuy::delivery::status::Status;
use puypuy::delivery::{Delivery, Moment};
use puypuy::model::point::Batch;
use puypuy::sink::{Sink, influxdb, opentsdb};
use puypuy::sys::clock::unix_now;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The period of the daemon and of the live batches: shorter than usual, to measure lateness.
const PERIOD: Duration = Duration::from_secs(1);
/// Live points have this number or a higher one.
const LIVE: i64 = 1_000_000_000;
const LIVE_POINTS: i64 = 60;
const BOUNDS: Bounds = Bounds { entries: 50_000, bytes: 256 << 20, age: None };
/// The maximum wait.
const END: Duration = Duration::from_secs(120);

pub fn run() -> bool {
    let (quick, slow) = (Duration::from_millis(50), Duration::from_secs(1));
    println!("One daemon; live batches each second, where a daemon's period is usually ten.\n");
    println!("sink      answers  backlog           empty after         requests   each  live: median      max");
    let mut is_met = true;
    for sink in ["InfluxDB", "OpenTSDB"] {
        is_met &= way_back(sink, quick, (2_880, 60), 60, Some(PERIOD));
    }
    for sink in ["InfluxDB", "OpenTSDB"] {
        is_met &= way_back(sink, slow, (45, 200), 30, None);
    }
    is_met & sustained(2_000, 20)
}

/// A sink of this kind for the server.
fn sink(kind: &str, port: u16) -> Box<dyn Sink> {
    let mut tsdb = Section::missing("config.ini", "TSDB");
    let address = format!("http://127.0.0.1:{port}");
    for (line, (key, value)) in (1..).zip([("address", address.as_str()), ("database", "test")]) {
        tsdb.entries.push(Entry { key: key.into(), value: value.into(), line });
    }
    match kind {
        "InfluxDB" => Box::new(influxdb::configure(&tsdb).unwrap()),
        _ => Box::new(opentsdb::configure(&tsdb).unwrap()),
    }
}

/// A running delivery with points in its spool, and the server it sends to.
struct Run {
    server: Server,
    queue: Arc<Queue>,
    status: Arc<Mutex<Status>>,
    thread: thread::JoinHandle<puypuy::model::error::Result<()>>,
    folder: PathBuf,
    /// The number of points in the spool at the start.
    waiting: i64,
    begun: Instant,
    /// When each live batch was pushed, and its first number.
    pushed: Vec<(Instant, i64)>,
    live: i64,
}

impl Run {
    fn start(kind: &str, answers: Duration, (batches, points): (i64, i64)) -> Run {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("way_back");
        let _ = fs::remove_dir_all(&folder);
        let disk = |name| Box::new(Folder::new(folder.join(name)));
        let now = Moment::now();
        let mut spool = Spool::open(disk("spool"), BOUNDS, now).unwrap();
        for batch in 0..batches {
            let time = now.wall - 10 * (batches - batch);
            let points = (0..points).map(|series| point(series as usize, batch * points + series, time)).collect();
            spool.store(Batch { points, events: Vec::new() }, now.wall, now).1.unwrap();
        }
        let server = Server::start(answers);
        let sink = sink(kind, server.port);
        let rejected = Rejected::new(disk("rejected"), sink.name(), 1 << 20);
        let queue = Arc::new(Queue::default());
        let begin = (Moment::now(), 1);
        let delivery = Delivery::new(sink, identity(), Arc::clone(&queue), spool, rejected, PERIOD, begin);
        let status = delivery.status();
        let thread = thread::spawn(move || delivery.run());
        let waiting = batches * points;
        Run { server, queue, status, thread, folder, waiting, begun: Instant::now(), pushed: Vec::new(), live: 0 }
    }

    fn status(&self) -> Status {
        self.status.lock().unwrap().clone()
    }

    fn push(&mut self, points: i64) {
        let (first, time) = (LIVE + self.live, unix_now() + self.pushed.len() as i64);
        let points: Vec<_> = (0..points).map(|series| point(series as usize, first + series, time)).collect();
        self.live += points.len() as i64;
        self.pushed.push((Instant::now(), first));
        self.queue.push(Batch { points, events: Vec::new() });
    }

    /// Pushes live batches, one each second, until the condition is true; returns when that was.
    fn live(&mut self, points: i64, mut until: impl FnMut(&Run) -> bool) -> Duration {
        let mut next = Instant::now();
        while !until(self) && self.begun.elapsed() < END {
            if Instant::now() >= next {
                self.push(points);
                next += PERIOD;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.begun.elapsed()
    }

    /// The number of undelivered points.
    fn open(&self) -> i64 {
        self.waiting + self.live - self.status().delivered as i64
    }

    /// How late the live batches were, sorted.
    fn lateness(&self) -> Vec<Duration> {
        let came = self.server.came();
        let late = self.pushed.iter().map(|(pushed, first)| came.first[first].saturating_duration_since(*pushed));
        let mut late: Vec<Duration> = late.collect();
        late.sort();
        late
    }

    /// Waits until everything is delivered; returns how long that took.
    fn settle(&self) -> Duration {
        let begun = Instant::now();
        while self.open() > 0 {
            assert!(begun.elapsed() < END, "{} points are not delivered: {:?}", self.open(), self.status());
            thread::sleep(Duration::from_millis(5));
        }
        begun.elapsed()
    }

    /// Asserts that each point arrived once.
    fn end(self) {
        self.queue.close(Instant::now() + PERIOD);
        self.thread.join().unwrap().unwrap();
        let came = self.server.came();
        assert_eq!((came.first.len() as i64, came.repeated), (self.waiting + self.live, 0), "points, points repeated");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Waits until the spool is empty, with live points each second. Returns whether it took at most `goal` seconds, and
/// live data was never later than `latest`.
fn way_back(kind: &str, answers: Duration, backlog: (i64, i64), goal: u64, latest: Option<Duration>) -> bool {
    let mut run = Run::start(kind, answers, backlog);
    // If responses take as long as a period, some live points are always on their way.
    let empty = run.live(LIVE_POINTS, |run| run.open() <= 3 * LIVE_POINTS);
    let requests = run.server.came().requests;
    let each = run.server.came().first.len() / requests.max(1);
    run.settle();
    let late = run.lateness();
    let (median, max) = (late[late.len() / 2], late[late.len() - 1]);
    let (is_soon, is_live) = (empty <= Duration::from_secs(goal), latest.is_none_or(|latest| max <= latest));
    println!(
        "{kind:9} {:>4} ms  {:5} x {:3}  {:6.1} s of {goal} {:6} {requests:8} {each:6}  {:9.2} s {:6.2} s {}",
        answers.as_millis(),
        backlog.0,
        backlog.1,
        empty.as_secs_f64(),
        judged(is_soon),
        median.as_secs_f64(),
        max.as_secs_f64(),
        latest.map_or("", |_| judged(is_live)),
    );
    run.end();
    is_soon && is_live
}

/// Sends this many points a second for this many seconds to an OpenTSDB that needs a second for each request. Returns
/// whether no backlog grows.
fn sustained(points: i64, seconds: u64) -> bool {
    let mut run = Run::start("OpenTSDB", Duration::from_secs(1), (0, 0));
    let open_at = |run: &mut Run, seconds| {
        run.live(points, |run| run.begun.elapsed() >= Duration::from_secs(seconds));
        run.open()
    };
    let (middle, end) = (open_at(&mut run, seconds / 2), open_at(&mut run, seconds));
    let requests = run.server.came().requests;
    let is_met = end <= middle + points;
    println!(
        "\nOpenTSDB, 1 s for each answer, {points} points a second: {middle} under way after {} s, {end} after {seconds} s \
         {}; {requests} requests, {} points by way of the spool",
        seconds / 2,
        judged(is_met),
        run.status().spooled,
    );
    let settled = run.settle();
    let late = run.lateness();
    println!(
        "all delivered {:.1} s later; live: median {:.2} s, max {:.2} s\n",
        settled.as_secs_f64(),
        late[late.len() / 2].as_secs_f64(),
        late[late.len() - 1].as_secs_f64()
    );
    run.end();
    is_met
}
