//! The local store: points are stored and read, roll-ups agree with the points, limits hold, damage costs one file.

mod bounds;
mod daemon;
mod damage;
mod events;
mod quarters;
mod store;

use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::model::point::{Identity, Kind, Level, MESSAGE, Point, Tags, Value};
use puypuy::sink::local::{Grain, Local, Reader, Series, Summary, configure};
use puypuy::sink::{Attempt, Sink, Verdict};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;
/// The beginning of an hour.
pub const START: i64 = 1_790_000_000 - 1_790_000_000 % 3600;

/// A store in its own folder.
pub struct Place {
    folder: TempDir,
    keys: Vec<(&'static str, String)>,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: TempDir::new().unwrap(), keys: Vec::new() }
    }

    pub fn with(mut self, key: &'static str, value: i64) -> Place {
        self.keys.push((key, value.to_string()));
        self
    }

    pub fn sink(&self) -> Local {
        let mut tsdb = Section::missing("config.ini", "TSDB");
        let entry = |(key, value): &(&str, String)| Entry { key: key.to_string(), value: value.clone(), line: 1 };
        tsdb.entries = self.keys.iter().map(entry).collect();
        configure(&tsdb, self.folder.path()).unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("var/puypuy.db")
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.file()).unwrap().unwrap()
    }

    /// A connection like that of a person with `sqlite3`.
    pub fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).unwrap()
    }

    /// All points with their series, ordered by time.
    pub fn points(&self) -> Vec<(Series, Summary)> {
        read(&self.reader(), Grain::Raw, ALL)
    }

    /// The rows of the minutes, without those not rolled up.
    fn minutes(&self) -> Vec<(Series, Summary)> {
        let mut minutes = read(&self.reader(), Grain::Minute, ALL);
        minutes.retain(|(_, summary)| summary.time <= self.newest_row("minute").unwrap_or(i64::MIN));
        minutes
    }

    /// The begin of the newest row in the tables of this roll-up.
    fn newest_row(&self, rollup: &str) -> Option<i64> {
        let db = self.sql();
        let mut tables = db.prepare("SELECT name FROM sqlite_schema WHERE name GLOB ?1 || '_*'").unwrap();
        let tables: Vec<String> = tables.query_map([rollup], |row| row.get(0)).unwrap().flatten().collect();
        let newest = |table| db.query_row(&format!("SELECT max(time) FROM {table}"), [], |row| row.get(0)).unwrap();
        tables.iter().filter_map(newest).max()
    }
}

pub fn read(reader: &Reader, grain: Grain, span: RangeInclusive<i64>) -> Vec<(Series, Summary)> {
    let series = reader.series().unwrap();
    let mut ids: Vec<i64> = series.iter().map(|series| series.id).collect();
    ids.sort_unstable();
    let mut found = Vec::new();
    let each = |summary: Summary| {
        let of = series.iter().find(|series| series.id == summary.series).unwrap();
        found.push((of.clone(), summary));
    };
    reader.read(grain, &ids, span, each).unwrap();
    found
}

pub fn point(name: &str, time: i64, value: Value) -> Point {
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

pub fn int(name: &str, time: i64, value: i64) -> Point {
    point(name, time, Value::Int(value))
}

/// Sends points as delivery does, with the clock at the newest of them, and returns the last verdict.
pub fn send(sink: &mut Local, points: &[Point]) -> Verdict {
    send_at(sink, points.iter().map(|point| point.time).max().unwrap(), points)
}

pub fn send_at(sink: &mut Local, wall: i64, points: &[Point]) -> Verdict {
    let identity = Identity { host: "web1".into(), cluster: "c".into(), group: "g".into(), location: "l".into() };
    let mut verdict = Verdict::Delivered;
    for request in sink.encode(points, &identity).requests {
        verdict = sink.send(&request, points, &Attempt { identity: &identity, wall, until: Instant::now() });
    }
    verdict
}

pub fn deliver(sink: &mut Local, points: &[Point]) {
    assert_eq!(send(sink, points), Verdict::Delivered);
}

/// A health event, as delivery passes it to a sink that accepts events.
pub fn event(name: &str, time: i64, level: Level, message: &str) -> Point {
    let tags = if message.is_empty() { Tags::default() } else { Tags::one(MESSAGE, message) };
    Point { kind: Kind::Special, tags, ..int(name, time, level.number()) }
}

/// SQLite's own check of the file.
fn integrity(file: &Path) -> String {
    rusqlite::Connection::open(file).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}
