//! JSON into rows: the cell of a field is a JSON pointer into the document, such as `/memory_stats/usage`.

use super::json_lenient::Lenient;
use crate::model::error::{Error, Result};
use crate::model::table::{Field, Raw, Row};
use serde_json::Value;

/// Parses a document; `wanted` names it in the error.
pub fn document(text: &str, wanted: &'static str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| Error::parse(wanted, text))
}

/// The same for a server that writes NaN or Infinity instead of numbers.
pub fn tolerant(text: &str, wanted: &'static str) -> Result<Value> {
    serde_json::from_reader(Lenient::new(text.as_bytes())).map_err(|_| Error::parse(wanted, text))
}

/// The cells of a table that the document has.
pub fn row<'a>(json: &'a Value, fields: &[Field]) -> Row<'a> {
    Row::of(fields.iter().filter_map(|field| Some((field.cell, cell(json, field.cell)?))))
}

/// The same without texts that are no numbers, such as `undefined` for an unknown value.
pub fn numbers<'a>(json: &'a Value, fields: &[Field]) -> Row<'a> {
    Row::of(fields.iter().filter_map(|field| Some((field.cell, number(json, field.cell)?))))
}

/// The number at this place, written as a number or as text. `None` if it is missing or anything else.
pub fn number<'a>(json: &'a Value, place: &str) -> Option<Raw<'a>> {
    match cell(json, place)? {
        Raw::Text(text) => Raw::number(text),
        raw => Some(raw),
    }
}

/// The same as a float.
pub fn float(json: &Value, place: &str) -> Option<f64> {
    let value = json.pointer(place)?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite())
}

/// The number or text at this place. `None` if it is missing, an empty text, or of another type.
pub fn cell<'a>(json: &'a Value, place: &str) -> Option<Raw<'a>> {
    let value = json.pointer(place)?;
    let whole = || value.as_u64().map(Raw::Count).or_else(|| value.as_i64().map(Raw::Int));
    whole()
        .or_else(|| value.as_f64().map(Raw::Float))
        .or_else(|| value.as_str().filter(|text| !text.is_empty()).map(Raw::Text))
}

/// The count at this place, written as a number or as text.
pub fn count(json: &Value, place: &str) -> Option<u64> {
    cell(json, place)?.count()
}

/// The text at this place.
pub fn text<'a>(json: &'a Value, place: &str) -> Option<&'a str> {
    json.pointer(place)?.as_str()
}

/// The elements of the array at this place; empty if there is no array.
pub fn array<'a>(json: &'a Value, place: &str) -> &'a [Value] {
    json.pointer(place).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
