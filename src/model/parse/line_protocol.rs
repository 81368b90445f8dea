//! InfluxDB's line protocol: `measurement,tag=value field=value,field=value time`
//! (InfluxDB documentation, "Line protocol reference").

use super::time::whole;
use crate::model::table::Raw;

/// The content of one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    pub measurement: String,
    pub tags: Vec<(String, String)>,
    /// Booleans are 1 and 0; a text is without its quotes but still escaped.
    pub fields: Vec<(String, Raw<'a>)>,
    /// The timestamp as written; nanoseconds since 1970 if the writer keeps to the format.
    pub time: Option<i64>,
}

/// Parses a line. `None` for an empty line or a comment.
///
/// # Errors
/// The line is malformed; the text says how.
pub fn parse(text: &str) -> Result<Option<Line<'_>>, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (measurement, mut rest) = until(text, &[',', ' '], false);
    if measurement.is_empty() {
        return Err("no measurement");
    }
    let mut tags = Vec::new();
    while let Some(more) = rest.strip_prefix(',') {
        let (key, value, behind) = pair(more, &[',', ' '], false).ok_or("a tag without = or without a name")?;
        tags.push((plain(key), plain(value)));
        rest = behind;
    }
    let mut fields = Vec::new();
    rest = rest.trim_start();
    loop {
        let (key, value, behind) = pair(rest, &[',', ' '], true).ok_or("a field without = or without a name")?;
        fields.push((plain(key), field(value)?));
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                rest = behind.trim_start();
                break;
            }
        }
    }
    let time = match rest {
        "" => None,
        time => Some(whole(time).ok_or("the time is no number of nanoseconds")?),
    };
    Ok(Some(Line { measurement: plain(measurement), tags, fields, time }))
}

/// The key and value at the start, and the text after them.
fn pair<'a>(text: &'a str, ends: &[char], quotes: bool) -> Option<(&'a str, &'a str, &'a str)> {
    let (key, rest) = until(text, &['=', ',', ' '], false);
    let (value, rest) = until(rest.strip_prefix('=').filter(|_| !key.is_empty())?, ends, quotes);
    Some((key, value, rest))
}

/// Splits at the first character of `ends` that is neither escaped by a backslash nor, with `quotes`, inside double
/// quotes.
fn until<'a>(text: &'a str, ends: &[char], quotes: bool) -> (&'a str, &'a str) {
    let (mut is_escaped, mut is_quoted) = (false, false);
    let end = text.find(|letter: char| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match letter {
            '\\' => is_escaped = true,
            '"' if quotes => is_quoted = !is_quoted,
            _ => return !is_quoted && ends.contains(&letter),
        }
        false
    });
    text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""))
}

/// Removes the backslashes that escape a comma, blank, equals sign, quote or backslash.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(',' | ' ' | '=' | '"' | '\\') if letter == '\\' => plain.extend(letters.next()),
            _ => plain.push(letter),
        }
    }
    plain
}

fn field(text: &str) -> Result<Raw<'_>, &'static str> {
    let number = match text {
        "t" | "T" | "true" | "True" | "TRUE" => Some(Raw::Count(1)),
        "f" | "F" | "false" | "False" | "FALSE" => Some(Raw::Count(0)),
        _ => match (text.strip_prefix('"'), text.strip_suffix('i'), text.strip_suffix('u')) {
            (Some(quoted), _, _) => quoted.strip_suffix('"').map(Raw::Text),
            (_, Some(digits), _) => digits.parse().ok().map(Raw::Int),
            (_, _, Some(digits)) => digits.parse().ok().map(Raw::Count),
            _ => text.parse().ok().map(Raw::Float),
        },
    };
    number.ok_or("the value of a field is neither number, text in quotes, true nor false")
}
