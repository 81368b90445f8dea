//! Sinks: expected bytes, and conversations with servers that misbehave on purpose.

mod carbon;
mod connections;
mod influxdb;
mod influxdb2;
mod influxdb3;
mod json;
mod kairosdb;
mod line_protocol;
mod normalise;
mod oddeye;
mod opentsdb;
mod prometheus;
mod support;
mod tls;

use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::delivery::normalise::normalise;
use puypuy::model::point::{Identity, Kind, Point, Tags, Value};
use puypuy::sink::influxdb::InfluxDb;
use puypuy::sink::{Attempt, Encoded, Request, Sink, Verdict};
use std::time::{Duration, Instant};

/// A `[TSDB]` section with these `key = value` lines.
fn section(lines: &str) -> Section {
    let entry = |(index, text): (usize, &str)| {
        let (key, value) = text.split_once('=')?;
        Some(Entry { key: key.trim().into(), value: value.trim().into(), line: index + 2 })
    };
    let entries = lines.lines().enumerate().filter_map(entry).collect();
    Section { file: "config.ini".into(), name: "TSDB".into(), line: 1, entries, ..Section::default() }
}

/// A sink for this address and database `test`, with these further keys.
fn sink(address: &str, more: &str) -> InfluxDb {
    puypuy::sink::influxdb::configure(&section(&format!("address = {address}\ndatabase = test\n{more}"))).unwrap()
}

fn identity() -> Identity {
    Identity { host: "db01.example.org".into(), cluster: "prod".into(), group: "web".into(), location: "eu".into() }
}

/// A point of a check of type `system` without tags, at 1500000000.
fn point(name: &str, value: Value) -> Point {
    tagged(name, value, &[])
}

fn tagged(name: &str, value: Value, tags: &[(&str, &str)]) -> Point {
    let tags = tags.iter().map(|(key, value)| (key.to_string(), *value)).collect::<Tags>();
    Point {
        name: name.to_string().into(),
        value,
        kind: Kind::Gauge,
        time: 1_500_000_000,
        check_type: "system".into(),
        tags,
        host: None,
        reaction: 0,
    }
}

/// The base point of the table of hostile inputs.
fn hostile() -> Identity {
    Identity { cluster: "prod eu".into(), group: "web=1".into(), location: "".into(), ..identity() }
}

/// The body of one normalised point, which must be the whole request.
fn body(sink: &dyn Sink, identity: &Identity, point: Point) -> String {
    let (points, refused, _) = normalise(vec![point]);
    assert!(refused.is_empty());
    let mut encoded = sink.encode(&points, identity);
    assert_eq!((encoded.requests.len(), encoded.refused.as_slice()), (1, &[][..]));
    String::from_utf8(encoded.requests.remove(0).body).unwrap()
}

fn text(encoded: &Encoded) -> String {
    encoded.requests.iter().map(|request| std::str::from_utf8(&request.body).unwrap()).collect()
}

/// Encodes all points, which must fit into one request, and sends them.
fn send(sink: &mut dyn Sink, points: &[Point]) -> Verdict {
    let request = only_request(sink, points);
    sink.send(&request, points, &attempt(&identity()))
}

fn attempt(identity: &Identity) -> Attempt<'_> {
    Attempt { identity, wall: 1_500_000_000, until: Instant::now() + Duration::from_secs(60) }
}

fn only_request(sink: &dyn Sink, points: &[Point]) -> Request {
    let mut encoded = sink.encode(points, &identity());
    assert_eq!((encoded.requests.len(), encoded.refused.as_slice()), (1, &[][..]));
    encoded.requests.remove(0)
}
