//! `puypuy status`: prints the daemon's problems, if there are any, and the state of all its parts.

use super::render::{columns, printable, readable_age};
use super::{FAILURE, say};
use crate::daemon::Found;
use crate::model::point::without_level;
use crate::sys::clock;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Exit codes of `status` as defined for init scripts.
const NOT_RUNNING: u8 = 3;
const UNKNOWN: u8 = 4;

/// Prints the state and returns the exit code. `page` is the address of the daemon's page.
pub fn tell(found: Found, page: Option<&str>, is_json: bool, out: &mut dyn Write) -> u8 {
    let (code, line, why, document) = match found {
        Found::Gone { line } => (NOT_RUNNING, line, "not running; `puypuy start` starts it".into(), Map::new()),
        Found::Ailing { line, why } => (FAILURE, Some(line), why, Map::new()),
        Found::Closed { line, why } => (UNKNOWN, Some(line), why, Map::new()),
        Found::Told { line, document } => {
            let document = document.as_object().cloned().unwrap_or_default();
            let wrong = sentences(&document);
            let why = match wrong.as_slice() {
                [] => "all is well".into(),
                [only] => only.clone(),
                [first, more @ ..] => format!("{first}; {} more below", more.len()),
            };
            (if wrong.is_empty() { 0 } else { FAILURE }, Some(line), why, document)
        }
    };
    if is_json {
        say(out, as_json(code, &why, page, document));
        return code;
    }
    say(out, why);
    if let Some(line) = line {
        say(out, line);
    }
    if !document.is_empty() {
        show(&document, out);
    }
    if let Some(page) = page {
        say(out, format!("its page: {page}"));
    }
    code
}

/// The daemon's JSON document, or a substitute if there is none.
fn as_json(code: u8, why: &str, page: Option<&str>, mut document: Map<String, Value>) -> Value {
    if document.is_empty() {
        document.insert("wrong".into(), json!([why]));
    }
    document.insert("running".into(), json!(code != NOT_RUNNING));
    document.insert("page".into(), json!(page));
    document.into()
}

/// The problems.
fn sentences(document: &Map<String, Value>) -> Vec<String> {
    let wrong = document.get("wrong").and_then(Value::as_array);
    wrong.into_iter().flatten().filter_map(Value::as_str).map(printable).collect()
}

fn show(document: &Map<String, Value>, out: &mut dyn Write) {
    let now = whole(document.get("now"));
    let wrong = sentences(document);
    if wrong.len() > 1 {
        wrong.iter().for_each(|sentence| say(out, format!("- {sentence}")));
    }
    let of = |group: &str, name: &str| document.get(group).and_then(|group| group.get(name)).unwrap_or(&Value::Null);
    let text = |value: &Value| printable(value.as_str().unwrap_or("?"));
    let number = |value: &Value| value.as_f64().map_or_else(|| "?".into(), |number| number.to_string());
    let ago = |value: &Value| {
        value.as_i64().map_or_else(|| "never".into(), |time| format!("{} ago", readable_age(now.saturating_sub(time))))
    };
    let top = |name: &str| document.get(name).unwrap_or(&Value::Null);
    let newer = of("config", "newer").as_str().map(printable);
    let newer =
        newer.map(|file| format!("; {file} was changed after it was read: reload to use it")).unwrap_or_default();
    let state = match of("sink", "up") == true {
        true => format!("takes points since {}", local(of("sink", "since"))),
        false => format!("takes none since {}", local(of("sink", "since"))),
    };
    let oldest = of("spool", "oldest").as_i64().map(|time| format!(", the oldest {}", local(&json!(time))));
    let rows = [
        ["version", &format!("{}, host {}", text(top("version")), text(top("host")))],
        ["configuration", &format!("{}{newer}", text(of("config", "file")))],
        [
            "ticks",
            &format!(
                "every {} s, the newest {} s ago, {} s late",
                number(top("period")),
                number(of("tick", "age")),
                number(of("tick", "late"))
            ),
        ],
        ["sink", &format!("{} {state}, last {}", text(of("sink", "type")), ago(of("sink", "last")))],
        [
            "points",
            &format!(
                "{} collected, {} delivered, {} refused, {} dropped",
                number(of("points", "collected")),
                number(of("points", "delivered")),
                number(of("points", "refused")),
                number(of("points", "dropped"))
            ),
        ],
        [
            "spool",
            &format!(
                "{} batches ({}){}, {} points in memory, {} damaged files set aside",
                number(of("spool", "batches")),
                bytes(of("spool", "bytes")),
                oldest.unwrap_or_default(),
                number(of("spool", "memory")),
                number(of("spool", "set_aside"))
            ),
        ],
        [
            "process",
            &format!(
                "{} of memory, {} s of processor time, {} descriptors, {} threads",
                bytes(of("process", "memory")),
                number(of("process", "cpu")),
                number(of("process", "descriptors")),
                number(of("process", "threads"))
            ),
        ],
    ];
    let _ = out.write_all(columns(&rows.map(|row| row.map(str::to_string)), &[]).as_bytes());
    for event in top("events").as_array().into_iter().flatten() {
        let of = |name: &str| event.get(name).unwrap_or(&Value::Null);
        let (since, level, message) = (local(of("since")), text(of("level")), text(of("message")));
        let words = without_level(&level, &message);
        say(out, format!("event {} is {level} since {since}: {words}", text(of("event"))));
    }
    let checks: Vec<&Value> = top("checks").as_array().into_iter().flatten().collect();
    if checks.is_empty() {
        return say(out, "no check is switched on; `puypuy list` shows all, `puypuy enable NAME` switches one on");
    }
    let head = ["check", "state", "since", "last run", "took", "points", "faults", "missed"].map(String::from);
    let row = |check: &&Value| {
        let of = |name: &str| check.get(name).unwrap_or(&Value::Null);
        let count = |name: &str| of(name).as_u64().map_or_else(|| "-".into(), |number| number.to_string());
        let took = of("ms").as_f64().map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"));
        let age =
            |name: &str| of(name).as_i64().map_or_else(|| "-".into(), |time| readable_age(now.saturating_sub(time)));
        let (name, state) = (text(of("name")), text(of("state")));
        [name, state, age("since"), age("last"), took, count("points"), count("faults"), count("missed")]
    };
    let rows: Vec<_> = std::iter::once(head).chain(checks.iter().map(row)).collect();
    let _ = out.write_all(columns(&rows, &[2, 3, 4, 5, 6, 7]).as_bytes());
}

fn whole(value: Option<&Value>) -> i64 {
    value.and_then(Value::as_i64).unwrap_or_default()
}

fn local(time: &Value) -> String {
    clock::local(whole(Some(time)))
}

/// In the largest unit of which there is at least one.
fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_f64() else { return "?".into() };
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fitting = units.iter().map(|(unit, bits)| (unit, (1u64 << bits) as f64)).find(|(_, size)| bytes >= *size);
    fitting.map_or_else(|| format!("{bytes} bytes"), |(unit, size)| format!("{:.1} {unit}", bytes / size))
}
