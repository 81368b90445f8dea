//! Answers from the local store: its series, points in columns, and events.

use super::Unit;
use super::answer::Answer;
use super::columns::{self, Axis};
use super::query::{Question, Window};
use crate::model::error::Result;
use crate::sink::local::{Change, Figures, Grain, Reader, Series};
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time limit of a query.
const LIMIT: Duration = Duration::from_secs(2);
/// Most changes of events in an answer; if there are more, the newest.
const MOST_EVENTS: usize = 1_000;

/// The size of the store with points up to `now`; `None` if it cannot be read in time.
pub fn figures(file: &Path, now: i64) -> Option<super::Figures> {
    let mut store = Reader::open(file).ok()??;
    store.limit(Instant::now() + LIMIT).ok()?;
    let Figures { bytes, oldest, series } = store.figures(now).ok()?;
    Some(super::Figures { bytes, oldest, series: u64::try_from(series).unwrap_or_default() })
}

/// Answers a question; `now` is in Unix seconds, `open` are the health events that are not OK.
pub fn ask(file: &Path, question: Question, now: i64, period: Duration, unit: Unit, open: &[Value]) -> Answer {
    match answer(file, question, now, period, unit, open) {
        Ok(json) => Answer::fine(json),
        Err(error) => Answer::wrong(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn answer(file: &Path, question: Question, now: i64, period: Duration, unit: Unit, open: &[Value]) -> Result<String> {
    let mut store = Reader::open(file)?;
    if let Some(store) = &mut store {
        store.limit(Instant::now() + LIMIT)?;
    }
    let store = store.as_ref();
    let seconds = period.as_secs_f64();
    match question {
        Question::Series => {
            let all = store.map_or(Ok(Vec::new()), Reader::series)?;
            // The series are sorted by name.
            let told = all.chunk_by(|one, next| one.name == next.name).flat_map(|of_name| {
                let unit = of_name.first().and_then(|known| unit(&known.name));
                of_name.iter().map(move |known| series(known, unit))
            });
            Ok(format!("{{\"series\":[{}]}}", told.collect::<Vec<_>>().join(",")))
        }
        Question::Points { ids, window, width } => {
            let axis = Axis::new(window, width, seconds.ceil() as i64);
            let series = columns::read(store, &ids, axis)?;
            let (from, to, step) = (axis.from, axis.to(), axis.step);
            let level = match axis.grain {
                Grain::Raw => "raw",
                Grain::Minute => "minute",
                Grain::Quarter => "quarter",
            };
            Ok(format!(
                "{{\"now\":{now},\"from\":{from},\"to\":{to},\"step\":{step},\"level\":\"{level}\",\"period\":{seconds},\
                 \"series\":{series}}}"
            ))
        }
        Question::Events(Window { from, to }) => {
            let changes = store.map_or(Ok(Vec::new()), |store| store.changes(from..=to, MOST_EVENTS))?;
            let changes: Vec<_> = changes.iter().map(change).collect();
            Ok(json!({ "now": now, "events": changes, "open": open }).to_string())
        }
    }
}

fn series(series: &Series, unit: Option<&str>) -> String {
    let Series { id, name, host, check_type, kind, tags } = series;
    let tags: Map<String, Value> = serde_json::from_str(tags).unwrap_or_default();
    json!({ "id": id, "name": name, "host": host, "type": check_type, "kind": kind, "tags": tags, "unit": unit })
        .to_string()
}

fn change(Change { time, event, level, message }: &Change) -> Value {
    json!({ "time": time, "event": event, "level": level.word(), "message": message })
}
