//! How the points of `puypuy check` are shown.

use crate::delivery::normalise::normalise;
use crate::model::point::{Batch, Identity, Value};
use crate::sink::{cutter::Limits, line_protocol::LineProtocol};
use clap::ValueEnum;
use std::fmt::Write;

/// How points are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    /// InfluxDB line protocol.
    Influx,
}

pub fn table(batch: &Batch) -> String {
    let mut rows: Vec<[String; 4]> = batch
        .points
        .iter()
        .map(|point| {
            let value = match point.value {
                Value::Int(n) => n.to_string(),
                Value::Float(n) => format!("{n:.3}"),
            };
            let tags: Vec<String> = point.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            [point.name.to_string(), value, point.kind.word().to_string(), tags.join(" ")]
        })
        .collect();
    rows.sort();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (name_width, value_width) = (width(0), width(1));
    let mut text = String::new();
    for [name, value, kind, tags] in &rows {
        let line = format!("{name:name_width$}  {value:>value_width$}  {kind:7}  {tags}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for event in &batch.events {
        let _ = writeln!(text, "event {}: {}", event.name, event.message);
    }
    text
}

pub fn json(batch: &Batch, identity: &Identity) -> String {
    batch.points.iter().map(|point| format!("{}\n", point.to_json(&identity.host))).collect()
}

pub fn influx(batch: Batch, identity: &Identity) -> String {
    let (points, ..) = normalise(batch.points);
    let encoded = LineProtocol::new().encode(&points, identity, Limits { points: usize::MAX, bytes: usize::MAX });
    encoded.requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect()
}
