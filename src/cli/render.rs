//! Formats points, ages and tables for output.

use crate::delivery::normalise::normalise;
use crate::model::point::{Batch, Identity, Value};
use crate::sink::{cutter::Limits, line_protocol::LineProtocol};
use clap::ValueEnum;
use std::fmt::Write;

/// Output formats of points.
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
    let points = batch.points.iter().map(|point| point.to_json(&identity.host));
    let events = batch.events.iter().map(|event| event.to_json(&identity.host));
    points.chain(events).map(|line| format!("{line}\n")).collect()
}

pub fn influx(batch: Batch, identity: &Identity) -> String {
    let (points, ..) = normalise(batch.points);
    let encoded = LineProtocol::new().encode(&points, identity, Limits { points: usize::MAX, bytes: usize::MAX });
    encoded.requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect()
}

/// Aligns rows in columns; the columns in `numbers` are right-aligned.
pub fn columns<const N: usize>(rows: &[[String; N]], numbers: &[usize]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if numbers.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The age in the largest unit of which there are at least two.
pub fn readable_age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Replaces control characters, so that text from outside cannot control the terminal.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}
