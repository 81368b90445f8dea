//! The cost of the local store: bytes written to the disk per point, time of a batch, time of a query.
//!
//! `cargo bench --bench local_cost`. An hour of ticks is written as fast as possible. Bytes are `write_bytes` of
//! `/proc/self/io`, which counts pages of 4 KiB when they become dirty, so the folder must be on a real disk: it is
//! `target/tmp`. The column *flushed* is the same with all files flushed every 30 s of simulated time, as the kernel
//! does with pages of that age while a daemon runs: then a page that is written again is counted again. *handed* is the
//! number of bytes passed to `write`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::model::point::{Identity, Kind, Point, Tags, Value};
use puypuy::sink::local::{Grain, Local, Reader, configure};
use puypuy::sink::{Attempt, Sink, Verdict};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const START: i64 = 1_790_000_000 - 1_790_000_000 % 3600;

fn main() {
    println!("                                          bytes per point");
    println!("points  period  what                      written  flushed  handed   file     batch mean     worst");
    for period in [10, 1] {
        for points in [60, 200] {
            written(points, period, "first hour", 0, 168);
            written(points, period, "hour 5, 4 hours are kept", 4 * 3600, 4);
        }
    }
    println!("\npoints  period  one series over 8 h      points read   time");
    for points in [60, 200] {
        read(points, 10);
    }
}

/// A store in its own folder, which is deleted with it.
struct Bench {
    folder: PathBuf,
    sink: Local,
    identity: Identity,
    series: Vec<Point>,
    seed: u64,
}

impl Bench {
    fn new(points: usize, hours: i64) -> Bench {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("local_cost");
        let _ = fs::remove_dir_all(&folder);
        let mut tsdb = Section::missing("config.ini", "TSDB");
        tsdb.entries.push(Entry { key: "retention_hours".into(), value: hours.to_string(), line: 1 });
        tsdb.entries.push(Entry { key: "retention_mb".into(), value: "100000".into(), line: 2 });
        let identity = Identity { host: "web1".into(), cluster: "c".into(), group: "g".into(), location: "l".into() };
        let series = (0..points).map(|position| Point {
            name: format!("metric_number_{}", position / 4).into(),
            value: if position % 3 == 2 { Value::Float(0.0) } else { Value::Int(position as i64 * 1000) },
            kind: Kind::Gauge,
            time: 0,
            check_type: "system".into(),
            tags: Tags::one("device", &format!("sd{}", position % 4)),
            host: None,
            reaction: 0,
        });
        Bench { sink: configure(&tsdb, &folder).unwrap(), folder, identity, series: series.collect(), seed: 1 }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// One tick: a third of the series is constant, a third changes in small steps, a third is noise with two decimals.
    fn tick(&mut self, time: i64) -> Duration {
        for position in 0..self.series.len() {
            let random = self.random();
            let point = &mut self.series[position];
            point.time = time;
            point.value = match point.value {
                Value::Int(number) if position % 3 == 1 && random % 10 < 3 => {
                    Value::Int(number + (random >> 8 & 7) as i64)
                }
                Value::Float(_) => Value::Float((random >> 8 & 0x3fff) as f64 / 100.0),
                other => other,
            };
        }
        let begin = Instant::now();
        for request in self.sink.encode(&self.series, &self.identity).requests {
            let attempt = Attempt { identity: &self.identity, wall: time, until: begin };
            assert_eq!(self.sink.send(&request, &self.series, &attempt), Verdict::Delivered);
        }
        begin.elapsed()
    }

    /// The database, its log and the log's index. They must not be closed while the sink is in use, because that would
    /// release its locks.
    fn files(&self) -> Vec<File> {
        let folder = fs::read_dir(self.sink.path().parent().unwrap()).unwrap();
        folder.map(|file| File::open(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Bytes that reached the page cache for writing, and bytes passed to `write`.
fn io() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    let of = |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap();
    (of("write_bytes:"), of("wchar:"))
}

fn written(points: usize, period: i64, what: &str, before: i64, hours: i64) {
    let plain = hour(points, period, before, hours, false);
    let flushed = hour(points, period, before, hours, true);
    println!(
        "{points:6}  {period:4} s  {what:26}{:7.1}{:9.1}{:8.1}{:7.1}{:12.2} ms{:7.1} ms",
        plain.written, flushed.written, plain.handed, plain.file, plain.mean, plain.worst,
    );
}

/// Bytes per point, milliseconds per batch.
struct Cost {
    written: f64,
    handed: f64,
    file: f64,
    mean: f64,
    worst: f64,
}

/// The hour after `before` seconds of ticks.
fn hour(points: usize, period: i64, before: i64, hours: i64, is_flushed: bool) -> Cost {
    let mut bench = Bench::new(points, hours);
    let start = START + before;
    for time in (START..start).step_by(period as usize) {
        bench.tick(time);
    }
    bench.tick(start - 1);
    let files = bench.files();
    let flush = || files.iter().for_each(|file| file.sync_data().unwrap());
    flush();
    let begin = io();
    let mut batches = Vec::new();
    for time in (start..start + 3600).step_by(period as usize) {
        batches.push(bench.tick(time));
        if is_flushed && time % 30 == 0 {
            flush();
        }
    }
    flush();
    let end = io();
    let count = (batches.len() * points) as f64;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    Cost {
        written: (end.0 - begin.0) as f64 / count,
        handed: (end.1 - begin.1) as f64 / count,
        file: fs::metadata(bench.sink.path()).unwrap().len() as f64 / (count * (1.0 + before as f64 / 3600.0)),
        mean: milliseconds(batches.iter().sum()) / batches.len() as f64,
        worst: milliseconds(batches.into_iter().max().unwrap()),
    }
}

fn read(points: usize, period: i64) {
    let mut bench = Bench::new(points, 168);
    let span = START..=START + 8 * 3600 - 1;
    for time in span.clone().step_by(period as usize) {
        bench.tick(time);
    }
    for (what, wanted) in [("sought tick by tick", 1), ("scanned for a half", points as i64 / 2)] {
        let begin = Instant::now();
        let reader = Reader::open(bench.sink.path()).unwrap().unwrap();
        let ids: Vec<i64> = (1..=wanted).collect();
        let mut count = 0;
        reader.read(Grain::Raw, &ids, span.clone(), |_| count += 1).unwrap();
        println!("{points:6}  {period:4} s  {what:26}{count:10}{:9.1} ms", begin.elapsed().as_secs_f64() * 1000.0);
    }
}
