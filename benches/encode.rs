//! The speed and allocations of encoding points for each sink, and the speed of the spool.
//!
//! `cargo bench --bench encode`. A batch is 5,000 points of 50 devices with 100 metrics each: one float, six tags.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::delivery::Moment;
use puypuy::delivery::disk::Folder;
use puypuy::delivery::spool::{Bounds, Read, Spool};
use puypuy::model::point::{Batch, Identity, Kind, Point, Tags, Value};
use puypuy::sink::prometheus::Prometheus;
use puypuy::sink::{Attempt, Sink, carbon, influxdb, kairosdb, oddeye, opentsdb};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const POINTS: usize = 5_000;

fn main() {
    divan::main();
}

fn identity() -> Identity {
    Identity { host: "db01.example.org".into(), cluster: "prod".into(), group: "web".into(), location: "eu".into() }
}

fn points() -> Vec<Point> {
    let devices = (0..50).map(|device| Tags::one("device", &format!("disk{device}")));
    let point = |tags: &Tags, metric: usize| Point {
        name: format!("drive_metric_{metric}").into(),
        value: Value::Float(metric as f64 * 1.37 + 0.001),
        kind: Kind::Rate,
        time: 1_700_000_000,
        check_type: "system".into(),
        tags: tags.clone(),
        host: None,
        reaction: 0,
    };
    devices.flat_map(|tags| (0..100).map(move |metric| point(&tags, metric))).collect()
}

/// The same points in an order in which no two neighbours have the same tags, so nothing can be reused from one to the
/// next.
fn shuffled() -> Vec<Point> {
    let points = points();
    (0..POINTS).map(|place| points[place % 50 * 100 + place / 50].clone()).collect()
}

fn section(more: &[(&str, &str)]) -> Section {
    let keys = [("address", "127.0.0.1"), ("url", "127.0.0.1"), ("uuid", "u"), ("database", "d")];
    let entries = keys.iter().chain(more);
    let entries = entries.map(|(key, value)| Entry { key: key.to_string(), value: value.to_string(), line: 1 });
    Section { entries: entries.collect(), ..Section::default() }
}

fn sink(name: &str) -> Box<dyn Sink> {
    // One request for all of them, to measure only the encoder.
    let whole = [("batch_points", "5000"), ("batch_bytes", "16777216"), ("gzip", "no")];
    match name {
        "line protocol" => Box::new(influxdb::configure(&section(&whole)).unwrap()),
        "json (KairosDB)" => Box::new(kairosdb::configure(&section(&whole)).unwrap()),
        "json (OpenTSDB)" => Box::new(opentsdb::configure(&section(&whole)).unwrap()),
        "json (OpenTSDB, gzip, 7900 bytes)" => Box::new(opentsdb::configure(&section(&[])).unwrap()),
        "form (OddEye)" => Box::new(oddeye::configure(&section(&whole), 2).unwrap()),
        _ => Box::new(carbon::configure(&section(&whole)).unwrap()),
    }
}

const SINKS: [&str; 6] = [
    "line protocol",
    "json (KairosDB)",
    "json (OpenTSDB)",
    "json (OpenTSDB, gzip, 7900 bytes)",
    "form (OddEye)",
    "pickle (Carbon)",
];

#[divan::bench(args = SINKS)]
fn encode(bencher: Bencher, name: &str) {
    let (sink, points, identity) = (sink(name), points(), identity());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| sink.encode(black_box(&points), &identity));
}

#[divan::bench(args = SINKS)]
fn encode_all_tags_different(bencher: Bencher, name: &str) {
    let (sink, points, identity) = (sink(name), shuffled(), identity());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| sink.encode(black_box(&points), &identity));
}

/// Adds them to the page for a scraper.
#[divan::bench]
fn prometheus_take(bencher: Bencher) {
    let (mut sink, points, identity) = (Prometheus::new(Duration::from_secs(10)), points(), identity());
    let request = sink.encode(&points, &identity).requests.remove(0);
    let attempt = Attempt { identity: &identity, wall: 1_700_000_000, until: Instant::now() };
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| sink.send(&request, black_box(&points), &attempt));
}

/// For comparison: the same data, already a tree, written by serde_json.
#[divan::bench]
fn serde_json_to_vec(bencher: Bencher) {
    let own = identity();
    let element = |point: &Point| {
        let mut tags = serde_json::json!({
            "host": &*own.host, "type": point.check_type, "cluster": own.cluster, "group": own.group, "location": own.location,
        });
        point.tags.iter().for_each(|(key, value)| tags[key] = value.into());
        serde_json::json!({ "name": point.name, "timestamp": point.time * 1000, "value": point.value.as_f64(), "tags": tags })
    };
    let tree: Vec<serde_json::Value> = points().iter().map(element).collect();
    bencher.counter(ItemsCount::new(POINTS)).bench(|| serde_json::to_vec(black_box(&tree)).unwrap());
}

fn spool(folder: &TempDir) -> Spool {
    let bounds = Bounds { entries: 50_000, bytes: 1 << 30, age: None };
    Spool::open(Box::new(Folder::new(folder.path().join("spool"))), bounds, Moment::now()).unwrap()
}

/// The build folder of cargo, which is on a disk and not in memory.
fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Written to a file and flushed to the disk, with everything that makes it durable.
#[divan::bench(sample_count = 40, sample_size = 1)]
fn spool_write(bencher: Bencher) {
    let folder = folder();
    let mut spool = spool(&folder);
    let batch = Batch { points: points(), events: Vec::new() };
    bencher
        .counter(ItemsCount::new(POINTS))
        .with_inputs(|| batch.clone())
        .bench_local_values(|batch| spool.store(batch, 1_700_000_000, Moment::now()).1.unwrap());
}

/// Read from files in the page cache, and removed.
#[divan::bench(sample_count = 40, sample_size = 1)]
fn spool_drain(bencher: Bencher) {
    let folder = folder();
    let mut spool = spool(&folder);
    let batch = Batch { points: points(), events: Vec::new() };
    (0..41).for_each(|_| spool.store(batch.clone(), 1_700_000_000, Moment::now()).1.unwrap());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        let now = Instant::now();
        let entry = spool.ready(now).next().unwrap();
        let read = spool.take(entry, now);
        spool.done(entry);
        matches!(read, Read::Batch(..))
    });
}
