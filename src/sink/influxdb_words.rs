//! Parses InfluxDB's error messages: text of 1.x and 2.x, lists of 3.x.

use super::answer::Answer;
use super::judge::shortened;
use super::line_protocol::FieldType;
use std::collections::HashMap;

/// InfluxDB 3 lists at most this many lines; it may have refused more.
const LISTED: usize = 100;

/// A field has another type on the server than in our lines:
/// `field type conflict: input field "value" on measurement "M" is type T1, already exists as type T2 dropped=K`
pub struct Conflict<'a> {
    pub measurement: &'a str,
    pub existing: &'a str,
    pub dropped: Option<usize>,
    /// All points except the dropped ones are stored; otherwise none is.
    pub is_partial: bool,
}

impl<'a> Conflict<'a> {
    pub fn parse(text: &'a str) -> Option<Conflict<'a>> {
        let (before, rest) = text.split_once("field type conflict: input field \"value\" on measurement \"")?;
        let is_partial = is_partial(before);
        let (before, existing) = rest.rsplit_once(", already exists as type ")?;
        let (measurement, _) = before.rsplit_once("\" is type ")?;
        let end = existing.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(existing.len());
        Some(Conflict { measurement, existing: existing.get(..end)?, dropped: dropped(existing), is_partial })
    }
}

/// Whether the start of an error message says that all other points are stored.
pub fn is_partial(start: &str) -> bool {
    start.contains("partial write")
}

/// The number in `dropped=K`.
pub fn dropped(text: &str) -> Option<usize> {
    let (_, rest) = text.rsplit_once("dropped=")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// Whether points were dropped because they are older than the server's retention; all others are stored.
pub fn is_beyond_retention(text: &str) -> bool {
    const KNOWN: [&str; 3] = ["points beyond retention policy", "Retention Policy Lower Bound", "Write Window"];
    is_partial(text) && KNOWN.iter().any(|known| text.contains(known))
}

/// The text after `key` that Go's `%q` quoted; JSON can read it except for rare escapes.
pub fn go_quoted(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
}

/// Those of our lines that the text quotes in `unable to parse 'LINE': reason`, each with its reason.
pub fn quoted_lines<'a>(text: &str, lines: &[&'a str]) -> HashMap<&'a str, String> {
    let ours: HashMap<&str, &'a str> = lines.iter().map(|line| (*line, *line)).collect();
    let complaints = text.split("unable to parse '").skip(1);
    // A line may contain the end mark itself, so every place where it may end is tried.
    let quoted = complaints.filter_map(|complaint| {
        complaint.match_indices("': ").find_map(|(end, _)| {
            let line = ours.get(complaint.get(..end)?)?;
            let reason = complaint.get(end + 3..)?.lines().next().unwrap_or_default();
            let reason = reason.trim_end_matches(" dropped=0");
            Some((*line, shortened(format!("unable to parse: {reason}"))))
        })
    });
    quoted.collect()
}

/// The lines that InfluxDB 3 lists by number.
pub struct Numbered {
    /// Positions from 0, each with its reason.
    pub lines: Vec<(usize, String)>,
    /// All other lines are stored; otherwise none is, or it is unknown.
    pub is_rest_stored: bool,
}

impl Numbered {
    /// Reads `{"error":"partial write of line protocol occurred","data":[{"line_number":2,"error_message":"..."}]}`, or
    /// with a single such object as `data` if the server stopped at the first bad line. `None` for any other answer.
    pub fn read(answer: &Answer) -> Option<Numbered> {
        let json = answer.json()?;
        let data = json.get("data")?;
        let list = data.as_array().map_or(std::slice::from_ref(data), Vec::as_slice);
        let line = |entry: &serde_json::Value| {
            let number = usize::try_from(entry.get("line_number")?.as_u64()?).ok()?;
            let why =
                entry.get("error_message").and_then(|why| why.as_str()).map_or_else(|| answer.message(), String::from);
            Some((number.checked_sub(1)?, shortened(why)))
        };
        let lines: Vec<(usize, String)> = list.iter().map(line).collect::<Option<_>>()?;
        let is_rest_stored = is_partial(&answer.message()) && lines.len() < LISTED;
        (!lines.is_empty()).then_some(Numbered { lines, is_rest_stored })
    }
}

/// The type of the field on an InfluxDB 3 server, and the type in our line. An inner `None` is a type that is not
/// numeric.
/// `invalid column type for column 'value', expected iox::column_type::field::integer, got
/// iox::column_type::field::float`
pub fn column_types(text: &str) -> Option<(Option<FieldType>, Option<FieldType>)> {
    const FIELD: &str = "iox::column_type::field::";
    let (_, rest) = text.split_once("invalid column type for column 'value', expected ")?;
    let (expected, got) = rest.split_once(", got ")?;
    let word = |text: &str| {
        let word = text.strip_prefix(FIELD)?;
        FieldType::from_word(word.split(|letter: char| !letter.is_ascii_alphanumeric()).next()?)
    };
    Some((word(expected), word(got)))
}
