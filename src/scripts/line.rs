//! A line of a script: `name value check_type stack|rate`, then tags as `key=value`.

use crate::model::point::{Tags, Value};

/// Errors after which the text may still be a line of another format.
pub const NO_LINE: &str = "expected name, value, check_type and stack or rate";
pub const NO_NUMBER: &str = "the value is no number";

/// A parsed line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    pub name: &'a str,
    pub value: Value,
    pub check_type: &'a str,
    /// `rate`: report the change per second. `stack`: report the number as it is.
    pub is_rate: bool,
    pub tags: Tags,
}

/// Parses a line. `None` for a blank line or a comment.
///
/// # Errors
/// The line has another form; the text says what is wrong.
pub fn parse(text: &str) -> Result<Option<Line<'_>>, &'static str> {
    let mut words = text.split_ascii_whitespace();
    let Some(name) = words.next().filter(|name| !name.starts_with('#')) else { return Ok(None) };
    let (Some(value), Some(check_type), Some(style)) = (words.next(), words.next(), words.next()) else {
        return Err(NO_LINE);
    };
    let value = number(value).ok_or(NO_NUMBER)?;
    let is_rate = match style {
        "rate" => true,
        "stack" => false,
        _ => return Err("the fourth word is neither stack nor rate"),
    };
    let tags: Option<Vec<(String, &str)>> = words
        .map(|word| word.split_once('=').filter(|(key, _)| !key.is_empty()).map(|(key, value)| (key.into(), value)))
        .collect();
    let tags = tags.ok_or("what follows the fourth word must be tags as key=value")?.into_iter().collect();
    Ok(Some(Line { name, value, check_type, is_rate, tags }))
}

/// Parses integers and decimals. `nan` and the like give `None`; an integer that does not fit into 64 bits becomes a
/// float.
fn number(text: &str) -> Option<Value> {
    if !text.ends_with(|last: char| last.is_ascii_digit() || last == '.') {
        return None;
    }
    text.parse().map(Value::Int).ok().or_else(|| Value::finite(text.parse().ok()?))
}
