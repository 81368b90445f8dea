//! Parses the query strings of `/api/…` into questions to the store, and checks their limits.
//!
//! A query beyond a limit is refused, never truncated.

use super::answer::Answer;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Most bytes of a query.
const BYTES: usize = 8 << 10;
const MOST_SERIES: usize = 60;
const MOST_COLUMNS: i64 = 1_000;
const COLUMNS: i64 = 350;
const LONGEST: i64 = 40 * 86_400;
/// Default span of events, in seconds.
const EVENTS: i64 = 86_400;
/// The end of the year 9999.
const LAST: i64 = 253_402_300_799;

/// A time span in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub from: i64,
    /// Later than `from`.
    pub to: i64,
}

/// A question to the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    Series,
    Points {
        /// Ids, sorted.
        ids: Vec<i64>,
        window: Window,
        /// Seconds of a column, at least.
        width: i64,
    },
    Events(Window),
}

type Asked<T> = Result<T, Answer>;

/// The question of that path below `/api/`; `None` if there is no such path. `now` is in Unix seconds.
pub fn question(path: &str, query: &str, now: i64) -> Option<Asked<Question>> {
    match path {
        "series" => Some(words(query, &[]).map(|_| Question::Series)),
        "points" => Some(points(query, now)),
        "events" => Some(words(query, &["span", "from", "to"]).and_then(|words| {
            Ok(Question::Events(window(&words, now)?.unwrap_or(Window { from: now.saturating_sub(EVENTS), to: now })))
        })),
        _ => None,
    }
}

fn points(query: &str, now: i64) -> Asked<Question> {
    let words = words(query, &["ids", "span", "from", "to", "points", "step"])?;
    let Some(ids) = words.get("ids") else { return Err(Answer::bad("expected ids=1,2, numbers of /api/series")) };
    let ids: Asked<Vec<i64>> = ids.split(',').map(|id| number("ids", id, 1, i64::MAX)).collect();
    let mut ids = ids?;
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MOST_SERIES {
        return Err(Answer::bad(&format!("{} series are asked for, at most {MOST_SERIES} go at once", ids.len())));
    }
    let window = window(&words, now)?;
    let Some(window) = window else { return Err(Answer::bad("expected span=3600, or from= and to=, in seconds")) };
    let length = window.to - window.from;
    let width = match (words.get("step"), words.get("points")) {
        (Some(_), Some(_)) => return Err(Answer::bad("expected step= or points=, not both")),
        (Some(step), None) => number("step", step, 1, LONGEST)?,
        (None, points) => {
            let points = points.map(|points| number("points", points, 1, MOST_COLUMNS)).transpose()?;
            divided_up(length, points.unwrap_or(COLUMNS))
        }
    };
    let columns = divided_up(length, width);
    if columns > MOST_COLUMNS {
        let why =
            format!("a step of {width} s makes {columns} columns of {length} s, at most {MOST_COLUMNS} go at once");
        return Err(Answer::bad(&why));
    }
    Ok(Question::Points { ids, window, width })
}

/// Rounds up; both numbers are positive.
fn divided_up(length: i64, by: i64) -> i64 {
    (length - 1) / by + 1
}

/// `None` if the query has no time span.
fn window(words: &BTreeMap<&str, String>, now: i64) -> Asked<Option<Window>> {
    let time = |key| words.get(key).map(|text| number(key, text, 0, LAST)).transpose();
    let window = match (words.get("span"), time("from")?, time("to")?) {
        (None, None, None) => return Ok(None),
        (Some(span), None, None) => Window { from: now.saturating_sub(number("span", span, 1, LONGEST)?), to: now },
        (None, Some(from), to) => Window { from, to: to.unwrap_or(now) },
        _ => return Err(Answer::bad("expected span=, or from= and to=, not both")),
    };
    match window.to.checked_sub(window.from) {
        Some(1..=LONGEST) => Ok(Some(window)),
        Some(..=0) => Err(Answer::bad("from must be earlier than to")),
        _ => Err(Answer::bad(&format!("at most {LONGEST} s (40 days) go at once"))),
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(key: &str, text: &str, least: T, most: T) -> Asked<T> {
    text.parse()
        .ok()
        .filter(|number| (&least..=&most).contains(&number))
        .ok_or_else(|| Answer::bad(&format!("{key}: {text:?}: expected a whole number from {least} to {most}")))
}

/// The values of a query by their keys. A key may appear only once.
fn words<'a>(query: &'a str, known: &[&str]) -> Asked<BTreeMap<&'a str, String>> {
    if query.len() > BYTES {
        return Err(Answer::bad(&format!("a query of {} bytes, at most {BYTES} are read", query.len())));
    }
    let mut words = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&key) {
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(Answer::bad(&format!("{key:?} is not known here, expected {known}")));
        }
        let Some(value) = decoded(value) else {
            return Err(Answer::bad(&format!("{key}: a % without its two digits")));
        };
        if words.insert(key, value).is_some() {
            return Err(Answer::bad(&format!("{key} is there twice")));
        }
    }
    Ok(words)
}

/// Decodes `%2C` and the like; `None` if two hexadecimal digits are missing.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut digit = || (bytes.next()? as char).to_digit(16);
        decoded.push(match byte {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&decoded).into_owned())
}
