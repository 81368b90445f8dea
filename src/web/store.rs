//! Answers from the local store: its series, points in columns, and events.

use super::Unit;
use super::answer::Answer;
use super::columns::{self, Axis};
use super::query::{Question, Window};
use crate::model::error::Result;
use crate::model::point::{HEALTH_STATUS, Level, Value};
use crate::sink::local::{Change, Figures, Grain, Reader, Series};
use hyper::StatusCode;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time limit of a query.
const LIMIT: Duration = Duration::from_secs(2);
/// Most changes of events in an answer; if there are more, the newest.
const MOST_EVENTS: usize = 1_000;
/// How many seconds back judgements are searched: three periods of the slowest check.
const JUDGED: i64 = 3 * 3_600;
const MINUTE: i64 = 60;
/// A judgement is valid for this many times the interval between judgements.
const FRESH: i64 = 3;

/// The size of the store with points up to `now`; `None` if it cannot be read in time.
pub fn figures(file: &Path, now: i64) -> Option<super::Figures> {
    let mut store = Reader::open(file).ok()??;
    store.limit(Instant::now() + LIMIT).ok()?;
    let Figures { bytes, oldest, series } = store.figures(now).ok()?;
    Some(super::Figures { bytes, oldest, series: u64::try_from(series).unwrap_or_default() })
}

/// Answers a question; `now` is in Unix seconds.
pub fn ask(file: &Path, question: Question, now: i64, period: Duration, unit: Unit) -> Answer {
    match answer(file, question, now, period, unit) {
        Ok(json) => Answer::fine(json),
        Err(error) => Answer::wrong(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn answer(file: &Path, question: Question, now: i64, period: Duration, unit: Unit) -> Result<String> {
    let mut store = Reader::open(file)?;
    if let Some(store) = &mut store {
        store.limit(Instant::now() + LIMIT)?;
    }
    let store = store.as_ref();
    let seconds = period.as_secs_f64();
    let whole = seconds.ceil() as i64;
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
            let axis = Axis::new(window, width, whole);
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
            let (changes, open) = match store {
                Some(store) => (store.changes(from..=to, MOST_EVENTS)?, open(store, now, whole)?),
                None => (Vec::new(), Vec::new()),
            };
            let list = |changes: Vec<Change>| changes.iter().map(change).collect::<Vec<_>>();
            Ok(json!({ "now": now, "events": list(changes), "open": list(open) }).to_string())
        }
    }
}

fn series(series: &Series, unit: Option<&str>) -> String {
    let Series { id, name, host, check_type, kind, tags } = series;
    let tags: Map<String, serde_json::Value> = serde_json::from_str(tags).unwrap_or_default();
    json!({ "id": id, "name": name, "host": host, "type": check_type, "kind": kind, "tags": tags, "unit": unit })
        .to_string()
}

fn change(Change { time, event, level, message }: &Change) -> serde_json::Value {
    json!({ "time": time, "event": event, "level": level.word(), "message": message })
}

/// The last two minutes in which an event was judged, and its level in the last one.
struct Judged {
    before: Option<i64>,
    last: i64,
    level: Value,
}

/// The events that are not `ok`, the worst first, with the start of their level. A judgement is valid for three of the
/// intervals between the event's judgements, to the minute.
fn open(store: &Reader, now: i64, period: i64) -> Result<Vec<Change>> {
    let names: BTreeMap<i64, String> = store
        .series_of(HEALTH_STATUS)?
        .into_iter()
        .filter_map(|series| {
            let tags: Map<String, serde_json::Value> = serde_json::from_str(&series.tags).ok()?;
            Some((series.id, tags.get("event")?.as_str()?.to_string()))
        })
        .collect();
    let ids: Vec<i64> = names.keys().copied().collect();
    let mut judged: BTreeMap<i64, Judged> = BTreeMap::new();
    store.read(Grain::Minute, &ids, now.saturating_sub(JUDGED)..=now, |summary| {
        let last = summary.time.saturating_sub(summary.time.rem_euclid(MINUTE));
        let before = judged
            .get(&summary.series)
            .and_then(|known| if known.last < last { Some(known.last) } else { known.before });
        judged.insert(summary.series, Judged { before, last, level: summary.last });
    })?;
    let mut since: BTreeMap<String, Change> =
        store.newest_changes(now)?.into_iter().map(|change| (change.event.clone(), change)).collect();
    let holds = |judged: &Judged| {
        let distance = judged.before.map_or(MINUTE, |before| judged.last.saturating_sub(before)).max(period);
        now.saturating_sub(judged.last) <= distance.saturating_mul(FRESH)
    };
    let mut open: Vec<Change> = judged
        .iter()
        .filter(|(_, judged)| holds(judged))
        .filter_map(|(id, Judged { last, level, .. })| {
            let level = Level::from_number(level.as_f64());
            let event = names.get(id)?.clone();
            let known = since.remove(&event);
            let (time, message) = known.map_or((*last, String::new()), |change| (change.time, change.message));
            (level != Level::Ok).then_some(Change { time, event, level, message })
        })
        .collect();
    open.sort_by(|a, b| b.level.cmp(&a.level).then(b.time.cmp(&a.time)));
    Ok(open)
}
