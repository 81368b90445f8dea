//! BSON, the document format of MongoDB (bsonspec.org, version 1.1): reads a document into values by path, and writes
//! documents.

use super::super::table::Raw;
use crate::model::error::{Error, Result};

/// Maximum nesting of a document that is read.
const DEEPEST: usize = 16;

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    /// A 32-bit or 64-bit integer.
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Bool(bool),
}

/// The values of a document by path: `connections.current`. Values of types that [`Value`] does not have are left out.
#[derive(Debug, Default)]
pub struct Document(Vec<(String, Value)>);

impl Document {
    /// # Errors
    /// The bytes are no BSON document, or it is nested too deeply.
    pub fn read(bytes: &[u8]) -> Result<Document> {
        let mut found = Vec::new();
        let whole = document(bytes, "", DEEPEST, &mut found).filter(|rest| rest.is_empty());
        whole.map(|_| Document(found)).ok_or_else(|| Error::parse("BSON", &String::from_utf8_lossy(bytes)))
    }

    /// The value at this path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == path).map(|(_, value)| value)
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        match self.get(path)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.get(path)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number at this path, of either type.
    pub fn number(&self, path: &str) -> Option<f64> {
        match self.get(path)? {
            Value::Number(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// Whether the value at this path is `true`.
    pub fn is(&self, path: &str) -> bool {
        matches!(self.get(path), Some(Value::Bool(true)))
    }

    /// All numbers with their paths.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, Raw<'_>)> {
        self.0.iter().filter_map(|(path, value)| match value {
            Value::Number(number) => Some((path.as_str(), Raw::Float(*number))),
            Value::Integer(number) => {
                Some((path.as_str(), u64::try_from(*number).map_or(Raw::Int(*number), Raw::Count)))
            }
            _ => None,
        })
    }
}

/// Reads the document at the start of `bytes`; returns the bytes after it.
fn document<'a>(bytes: &'a [u8], path: &str, depth: usize, found: &mut Vec<(String, Value)>) -> Option<&'a [u8]> {
    let length = usize::try_from(i32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let (own, behind) = bytes.split_at_checked(length)?;
    let mut rest = own.get(4..)?;
    loop {
        let (kind, after) = rest.split_first()?;
        if *kind == 0 {
            return after.is_empty().then_some(behind);
        }
        let end = after.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(after.get(..end)?);
        let path = if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") };
        rest = after.get(end + 1..)?;
        let value = match kind {
            3 | 4 => {
                rest = document(rest, &path, depth.checked_sub(1)?, found)?;
                continue;
            }
            1 => Some(Value::Number(f64::from_le_bytes(take(&mut rest)?))),
            2 => {
                let text = sized(&mut rest, 0)?;
                Some(Value::Text(String::from_utf8_lossy(text.strip_suffix(&[0])?).into_owned()))
            }
            5 => Some(Value::Bytes(sized(&mut rest, 1)?.get(1..)?.to_vec())),
            8 => Some(Value::Bool(take::<1>(&mut rest)? == [1])),
            16 => Some(Value::Integer(i32::from_le_bytes(take(&mut rest)?).into())),
            18 => Some(Value::Integer(i64::from_le_bytes(take(&mut rest)?))),
            // 9 date, 17 timestamp, 7 object id, 19 decimal, 6 undefined, 10 null, 127 max key, 255 min key.
            9 | 17 => take::<8>(&mut rest).map(|_| None)?,
            7 => take::<12>(&mut rest).map(|_| None)?,
            19 => take::<16>(&mut rest).map(|_| None)?,
            6 | 10 | 127 | 255 => None,
            _ => return None,
        };
        found.extend(value.map(|value| (path, value)));
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Reads a length, and then that many bytes and `more`.
fn sized<'a>(rest: &mut &'a [u8], more: usize) -> Option<&'a [u8]> {
    let length = usize::try_from(i32::from_le_bytes(take(rest)?)).ok()?;
    let (taken, behind) = rest.split_at_checked(length.checked_add(more)?)?;
    *rest = behind;
    Some(taken)
}

/// A value in a document to be sent.
pub enum Item<'a> {
    Int(i32),
    Text(&'a str),
    Bytes(&'a [u8]),
    Document(Vec<u8>),
}

/// Builds a document with these members, in this order.
pub fn written(items: &[(&str, Item)]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&length(bytes.len()), bytes].concat();
    let mut body = Vec::new();
    for (name, item) in items {
        let (kind, bytes) = match item {
            Item::Int(number) => (16, number.to_le_bytes().to_vec()),
            Item::Text(text) => (2, sized(&[text.as_bytes(), &[0]].concat())),
            Item::Bytes(bytes) => (5, [&length(bytes.len())[..], &[0], bytes].concat()),
            Item::Document(document) => (3, document.clone()),
        };
        body.extend([&[kind], name.as_bytes(), &[0], &bytes].concat());
    }
    [&length(body.len() + 5)[..], &body, &[0]].concat()
}

fn length(count: usize) -> [u8; 4] {
    i32::try_from(count).unwrap_or(i32::MAX).to_le_bytes()
}
