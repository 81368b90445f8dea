//! The local store: what goes in comes out, rollups agree with the points, bounds hold, damage costs one file.

mod bounds;
mod daemon;
mod damage;
mod store;

use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::model::point::{Identity, Kind, Point, Tags, Value};
use puypuy::sink::local::{Local, Reader, Series, Summary, configure};
use puypuy::sink::{Attempt, Sink, Verdict};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;
/// The begin of an hour.
const START: i64 = 1_790_000_000 - 1_790_000_000 % 3600;

/// A store in a folder of its own.
struct Place {
    folder: TempDir,
    keys: Vec<(&'static str, String)>,
}

impl Place {
    fn new() -> Place {
        Place { folder: TempDir::new().unwrap(), keys: Vec::new() }
    }

    fn with(mut self, key: &'static str, value: i64) -> Place {
        self.keys.push((key, value.to_string()));
        self
    }

    fn sink(&self) -> Local {
        let mut tsdb = Section::missing("config.ini", "TSDB");
        let entry = |(key, value): &(&str, String)| Entry { key: key.to_string(), value: value.clone(), line: 1 };
        tsdb.entries = self.keys.iter().map(entry).collect();
        configure(&tsdb, self.folder.path()).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("var/puypuy.db")
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.file()).unwrap().unwrap()
    }

    /// A connection as a person with `sqlite3` has.
    fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).unwrap()
    }

    /// All points with their series, in order of time.
    fn points(&self) -> Vec<(Series, Summary)> {
        read(&self.reader(), |reader, ids, each| reader.points(ids, ALL, each).unwrap())
    }

    fn minutes(&self) -> Vec<(Series, Summary)> {
        read(&self.reader(), |reader, ids, each| reader.minutes(ids, ALL, each).unwrap())
    }
}

fn read(reader: &Reader, read: impl Fn(&Reader, &[i64], &mut dyn FnMut(Summary))) -> Vec<(Series, Summary)> {
    let series = reader.series().unwrap();
    let mut ids: Vec<i64> = series.iter().map(|series| series.id).collect();
    ids.sort_unstable();
    let mut found = Vec::new();
    read(reader, &ids, &mut |summary| {
        let of = series.iter().find(|series| series.id == summary.series).unwrap();
        found.push((of.clone(), summary));
    });
    found
}

fn point(name: &str, time: i64, value: Value) -> Point {
    Point {
        name: name.to_string().into(),
        value,
        kind: Kind::Gauge,
        time,
        check_type: "system".into(),
        tags: Tags::one("device", "sda"),
        host: None,
        reaction: 0,
    }
}

fn int(name: &str, time: i64, value: i64) -> Point {
    point(name, time, Value::Int(value))
}

/// Sends points as delivery does, when the clock stands at the newest of them, and returns the last verdict.
fn send(sink: &mut Local, points: &[Point]) -> Verdict {
    send_at(sink, points.iter().map(|point| point.time).max().unwrap(), points)
}

fn send_at(sink: &mut Local, wall: i64, points: &[Point]) -> Verdict {
    let identity = Identity { host: "web1".into(), cluster: "c".into(), group: "g".into(), location: "l".into() };
    let mut verdict = Verdict::Delivered;
    for request in sink.encode(points, &identity).requests {
        verdict = sink.send(&request, points, &Attempt { identity: &identity, wall, until: Instant::now() });
    }
    verdict
}

fn deliver(sink: &mut Local, points: &[Point]) {
    assert_eq!(send(sink, points), Verdict::Delivered);
}

/// What SQLite itself says about the file.
fn integrity(file: &Path) -> String {
    rusqlite::Connection::open(file).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}
