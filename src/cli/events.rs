//! `puypuy show events`: the changes of level of health events, with times and messages.

use super::render::{columns, printable, readable_age};
use super::say;
use crate::config::settings::Settings;
use crate::daemon;
use crate::model::error::Result;
use crate::model::point::without_level;
use crate::sink;
use crate::sys::{clock, record};
use serde_json::Value;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

/// Most rows that are shown; if there are more, the newest.
const MOST: usize = 10_000;

/// A change of level.
struct Row {
    time: i64,
    level: String,
    event: String,
    message: String,
}

/// Prints the changes of the last `last` up to `now`, oldest first.
///
/// # Errors
/// The store or record file cannot be read.
pub fn show(settings: &Settings, last: Duration, now: i64, out: &mut dyn Write) -> Result<()> {
    let span = now.saturating_sub_unsigned(last.as_secs())..=now;
    let rows = match sink::local_file(&settings.tsdb, &settings.home) {
        Ok(file) => of_store(&file, span)?,
        Err(_) => of_record(&daemon::record_of(&settings.own), &span)?,
    };
    if rows.is_empty() {
        say(
            out,
            format!(
                "no event has changed its level in the last {}",
                readable_age(i64::try_from(last.as_secs()).unwrap_or(i64::MAX))
            ),
        );
        return Ok(());
    }
    let row = |row: &Row| {
        let time = clock::local(row.time);
        [time, row.level.clone(), printable(&row.event), printable(without_level(&row.level, &row.message))]
    };
    let head = ["when", "level", "event", "message"].map(String::from);
    let rows: Vec<_> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    let _ = out.write_all(columns(&rows, &[]).as_bytes());
    Ok(())
}

#[cfg(feature = "local")]
fn of_store(file: &Path, span: RangeInclusive<i64>) -> Result<Vec<Row>> {
    use crate::sink::local::{Change, Reader};
    let Some(store) = Reader::open(file)? else { return Ok(Vec::new()) };
    let mut changes = store.changes(span, MOST)?;
    changes.sort_by_key(|change| change.time);
    let row = |Change { time, event, level, message }| Row { time, level: level.word().into(), event, message };
    Ok(changes.into_iter().map(row).collect())
}

/// Without the local store there is no such file.
#[cfg(not(feature = "local"))]
fn of_store(_: &Path, _: RangeInclusive<i64>) -> Result<Vec<Row>> {
    Ok(Vec::new())
}

fn of_record(file: &Path, span: &RangeInclusive<i64>) -> Result<Vec<Row>> {
    let lines = record::lines(file)?;
    // A line that a full disk has truncated is skipped.
    let rows = lines.iter().filter_map(|line| row(line)).filter(|row| span.contains(&row.time));
    let mut rows: Vec<Row> = rows.collect();
    rows.drain(..rows.len().saturating_sub(MOST));
    Ok(rows)
}

fn row(line: &str) -> Option<Row> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| Some(line.get(name)?.as_str()?.to_string());
    Some(Row {
        time: line.get("time")?.as_i64()?,
        level: text("level")?,
        event: text("event")?,
        message: text("message")?,
    })
}
