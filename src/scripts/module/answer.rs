//! Parses what a module's host sends, one JSON object per line; and finds the line in which a module hangs.

use crate::check::{Measurement, Out};
use crate::model::parse::time;
use crate::model::point::{Level, Tags, Value};
use crate::model::table::How;
use serde_json::Value as Json;
use std::path::Path;

/// Starts a thread's stack in the output of Python's faulthandler.
pub const TRACE: &str = "(most recent call first)";

/// A line of the host.
pub enum Answer {
    Point(Json),
    Event(Event),
    /// The subject of the fault, and its text.
    Fault(String, String),
    /// The name of a value that is not a number, and the reason.
    Refused(String, String),
    Says(String),
    Ready,
    /// The import failed.
    Failed(String),
    /// The number of the run that has finished, and its error if it failed.
    Done(u64, Option<String>),
    /// Not from the host: Python's own output, such as a traceback.
    Other,
}

/// A judgement of the module.
pub struct Event {
    pub name: String,
    pub level: Level,
    pub message: String,
    pub reaction: i8,
}

/// Parses a line.
pub fn read(line: &str) -> Answer {
    let Ok(json) = serde_json::from_str::<Json>(line) else { return Answer::Other };
    let text = |key: &str| json.get(key).and_then(Json::as_str).map(String::from);
    if let Some(point) = json.get("point") {
        return Answer::Point(point.clone());
    }
    if let Some(event) = json.get("event") {
        let of = |key: &str| event.get(key).and_then(Json::as_str).unwrap_or_default().to_string();
        let level = Level::from_number(event.get("level").and_then(Json::as_f64).unwrap_or(16.0));
        // The event holds the sign (as in error_handler); the module sends the product.
        let (name, message, reaction) = (of("name"), of("message"), reaction(event).signum());
        return Answer::Event(Event { name, level, message, reaction });
    }
    if let Some(tick) = json.get("done").and_then(Json::as_u64) {
        return Answer::Done(tick, text("error"));
    }
    match (text("fault"), text("refused"), text("says"), text("failed")) {
        (Some(fault), ..) => Answer::Fault(text("item").unwrap_or_default(), fault),
        (_, Some(name), ..) => Answer::Refused(name, text("why").unwrap_or_default()),
        (_, _, Some(said), _) => Answer::Says(said),
        (.., Some(why)) => Answer::Failed(why),
        _ if json.get("ready").is_some() => Answer::Ready,
        _ => Answer::Other,
    }
}

/// OddEye's reaction; 0 if there is none or it does not fit.
fn reaction(of: &Json) -> i8 {
    of.get("reaction").and_then(Json::as_i64).and_then(|number| i8::try_from(number).ok()).unwrap_or(0)
}

/// Reports a number. It is always a float, because a 0 may be followed by 0.41.
pub fn report(point: Json, wall: i64, out: &mut Out) {
    let text = |key: &str| point.get(key).and_then(Json::as_str).unwrap_or_default();
    let (name, host) = (text("name"), Some(text("host")).filter(|host| !host.is_empty()));
    let Some(value) = point.get("value").and_then(Json::as_f64).and_then(Value::finite) else { return };
    let how = match text("kind") {
        "rate" => How::Rate,
        "counter" => How::Counter,
        "percent" => How::Percent,
        _ => How::Gauge,
    };
    let given = point.get("time").and_then(Json::as_i64);
    let time = given.map(|given| time::seconds_of(given, wall));
    if name.is_empty() {
        return out.fault("a number without a name is left out");
    }
    if time == Some(None) {
        return out.fault_of(name, "its time is before 1980 or ahead of the clock, in whatever unit");
    }
    let tags: Tags = point
        .get("tags")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?)))
        .collect();
    let check_type = text("type");
    let told = Measurement { name, value, how, check_type, tags, time: time.flatten() };
    out.tell_as_is(told, host, reaction(&point));
}

/// Where the module is: line and function, from Python's traceback of all threads. The main thread is the last in it.
pub fn place(traces: &[String], module: &Path) -> Option<(u32, String)> {
    let begin = traces.iter().rposition(|line| line.contains(TRACE)).unwrap_or(0);
    let of_main = traces.iter().skip(begin);
    let start = format!("File \"{}\", line ", module.display());
    of_main.filter_map(|line| line.trim_start().strip_prefix(&start)).find_map(|rest| {
        let (number, function) = rest.split_once(" in ")?;
        Some((number.parse().ok()?, function.to_string()))
    })
}
