//! Reads what the Python original left in tmpdir: `*.cached` files, raw request bodies for its back end, as points.

use crate::model::error::Result;
use crate::model::point::{Identity, Kind, MESSAGE, Point, Tags, Text, Value};
use crate::sys::folder;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A larger timestamp counts milliseconds or a smaller unit: in seconds it would lie after the year 5138.
const MOST_SECONDS: i64 = 100_000_000_000;

/// The files, oldest change first, and their total size in bytes.
///
/// # Errors
/// The folder cannot be read.
pub fn files(tmpdir: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for entry in folder::entries(tmpdir)? {
        let path = entry.path();
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() && path.extension().is_some_and(|end| end == "cached") {
            bytes += meta.len();
            found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
    found.sort();
    Ok((found.into_iter().map(|(_, path)| path).collect(), bytes))
}

/// The points of a body, and the lines or JSON elements that could not be read.
#[derive(Debug, Default, PartialEq)]
pub struct Read {
    pub points: Vec<Point>,
    pub unreadable: Vec<String>,
}

/// Reads a body: JSON for OpenTSDB or KairosDB, OddEye's form around JSON, or lines for InfluxDB. Tags that equal this
/// daemon's own identity (host, cluster, group, location) are left out.
///
/// # Errors
/// The body has none of these formats; the text says why.
pub fn read(body: &str, own: &Identity) -> std::result::Result<Read, String> {
    let body = body.trim();
    if body.is_empty() {
        return Err("it is empty".into());
    }
    if body.starts_with("UUID=") {
        // The original did not percent-encode the JSON.
        let (_, data) = body.split_once("data=").ok_or("a form without data")?;
        return read_json(data, own);
    }
    if body.starts_with(['[', '{']) {
        return read_json(body, own);
    }
    let mut read = Read::default();
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match read_line(line, own) {
            Some(point) => read.points.push(point),
            None => read.unreadable.push(line.into()),
        }
    }
    if read.points.is_empty() { Err("it holds no line that can be read".into()) } else { Ok(read) }
}

fn read_json(text: &str, own: &Identity) -> std::result::Result<Read, String> {
    let json: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let elements = match json {
        Json::Array(elements) => elements,
        one => vec![one],
    };
    let mut read = Read::default();
    for element in elements {
        match read_element(&element, own) {
            Some(point) => read.points.push(point),
            None => read.unreadable.push(element.to_string()),
        }
    }
    if read.points.is_empty() { Err("it holds no point that can be read".into()) } else { Ok(read) }
}

fn read_element(element: &Json, own: &Identity) -> Option<Point> {
    let name = element.get("metric").or_else(|| element.get("name"))?.as_str()?;
    let time = element.get("timestamp")?.as_i64()?;
    let tags = element.get("tags")?.as_object()?.iter();
    let tags = tags.map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), String::from)));
    let mut point = assemble(name, json_number(element.get("value")?)?, time, tags.collect(), own);
    let reaction = element.get("reaction").and_then(Json::as_i64).unwrap_or(0);
    point.reaction = i8::try_from(reaction).unwrap_or(0);
    match element.get("type").and_then(Json::as_str) {
        Some("Rate") => point.kind = Kind::Rate,
        Some("Counter") => point.kind = Kind::Counter,
        Some("Percent") => point.kind = Kind::Percent,
        Some("Special") => {
            point.kind = Kind::Special;
            point.tags = Tags::one(MESSAGE, element.get("message").and_then(Json::as_str).unwrap_or_default());
            // A `Special` point stores the sign (as in error_handler); the original sent the product.
            point.reaction = reaction.signum() as i8;
        }
        _ => {}
    }
    Some(point)
}

/// A JSON number, or a string that holds one: the original let both through.
fn json_number(value: &Json) -> Option<Value> {
    match value {
        Json::Number(number) => number.as_i64().map(Value::Int).or_else(|| Value::finite(number.as_f64()?)),
        Json::String(text) => number(text),
        _ => None,
    }
}

/// Text as a float. `None` for words such as `nan`. The original sent values that it held as text without the integer
/// mark `i`.
fn number(text: &str) -> Option<Value> {
    let is_word = text.ends_with(|last: char| last.is_ascii_alphabetic());
    if is_word { None } else { Value::finite(text.trim().parse().ok()?) }
}

/// Parses `name,host=h,...[,extras] value=5i 1500000000000000000`; nothing in it is escaped.
fn read_line(line: &str, own: &Identity) -> Option<Point> {
    let (series, rest) = line.rsplit_once(" value=")?;
    let (value, time) = rest.split_once(' ')?;
    let value = match value.strip_suffix('i') {
        Some(digits) => Value::Int(digits.parse().ok()?),
        None => number(value)?,
    };
    let mut parts = series.split(',');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let tags: Option<Vec<(String, String)>> =
        parts.map(|tag| tag.split_once('=').map(|(key, value)| (key.into(), value.into()))).collect();
    Some(assemble(name, value, time.trim().parse().ok()?, tags?, own))
}

fn assemble(name: &str, value: Value, time: i64, tags: Vec<(String, String)>, own: &Identity) -> Point {
    let known = [("cluster", own.cluster.as_str()), ("group", &own.group), ("location", &own.location)];
    let (mut host, mut check_type, mut extras) = (None, Text::default(), Vec::new());
    for (key, value) in tags {
        match key.as_str() {
            "host" => host = Some(value).filter(|host| **host != *own.host).map(Arc::from),
            "type" => check_type = value.into(),
            _ if value.is_empty() || known.contains(&(key.as_str(), value.as_str())) => {}
            _ => extras.push((key, value)),
        }
    }
    let tags: Tags = extras.into_iter().collect();
    Point {
        name: name.to_string().into(),
        value,
        kind: Kind::Gauge,
        time: seconds(time),
        check_type,
        tags,
        host,
        reaction: 0,
    }
}

/// A time in seconds, milliseconds, microseconds or nanoseconds, as seconds.
fn seconds(mut time: i64) -> i64 {
    while time > MOST_SECONDS {
        time /= 1000;
    }
    time
}
