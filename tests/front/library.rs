//! Failures that no server can cause: a sink that panics, and a slow one on another machine.

use crate::delivery::{batch, start};
use puypuy::delivery::codec;
use puypuy::model::point::{Identity, Point};
use puypuy::sink::{Attempt, Encoded, Request, Sink, Verdict};
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Counts the points it was sent, as on another machine; panics at this number of points.
struct RemoteSink {
    got: Arc<Mutex<usize>>,
    panics_at: usize,
}

impl Sink for RemoteSink {
    fn name(&self) -> &'static str {
        "Far"
    }

    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        Encoded { requests: vec![Request { body: Vec::new(), points: 0..points.len() }], refused: Vec::new() }
    }

    fn send(&mut self, request: &Request, _: &[Point], _: &Attempt) -> Verdict {
        assert!(request.points.len() < self.panics_at, "the sink panics, as the test wants it");
        *self.got.lock().unwrap() += request.points.len();
        Verdict::Delivered
    }

    fn full_request(&self) -> usize {
        5_000
    }
}

/// Ticks of a minute, and faster checks: their points do not wait for the minute.
#[test]
fn first_points_to_another_machine_do_not_wait_for_the_period() {
    let folder = TempDir::new().unwrap();
    let got = Arc::<Mutex<usize>>::default();
    let sink = RemoteSink { got: got.clone(), panics_at: usize::MAX };
    let (queue, running) = start(folder.path(), Box::new(sink), Duration::from_secs(60));
    let begun = Instant::now();
    queue.push(batch(0..3));
    thread::sleep(Duration::from_millis(100));
    queue.push(batch(3..6));
    super::within(2, "both batches", || *got.lock().unwrap() == 6);
    assert!(begun.elapsed() < Duration::from_secs(2));
    queue.close(Instant::now() + Duration::from_secs(1));
    running.join().unwrap().unwrap();
}

#[test]
fn a_sink_that_panics_ends_the_daemon_with_a_message_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let got = Arc::<Mutex<usize>>::default();
    let (queue, running) =
        start(folder.path(), Box::new(RemoteSink { got: got.clone(), panics_at: 4 }), Duration::from_millis(100));
    queue.push(batch(0..3));
    super::within(5, "the first", || *got.lock().unwrap() == 3);
    queue.push(batch(3..10));
    queue.push(batch(10..20));
    let error = running.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("the sink panicked") && error.contains("please report it"), "{error}");
    let files = fs::read_dir(folder.path().join("spool")).unwrap().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "batch"));
    let mut kept: Vec<i64> = files
        .flat_map(|path| codec::read(&fs::read(path).unwrap()).unwrap().1.points)
        .map(|point| point.time - 1_500_000_000)
        .collect();
    kept.sort();
    assert_eq!(kept, Vec::from_iter(3..20));
}
