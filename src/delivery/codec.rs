//! The spool's file format: versioned; every record has its length and a checksum.
//!
//! ```text
//! file   = "PuyS" version:u8 stored:i64 records:u32 crc:u32 record*      crc over all header bytes before it
//! record = length:u32 crc:u32 payload                                    crc over the payload
//! payload = kind:u8 field*          kind 1 point, 2 health event; numbers little-endian
//! text   = length:u32 bytes
//! ```
//!
//! A reader ignores payload bytes after the fields it knows, so a later version may append fields to a record and this
//! version still reads it. A format that this version could not read gets another version byte.

use crate::model::point::{Batch, HealthEvent, Kind, Level, Point, Tags, Text, Value};
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"PuyS";
/// The version that is written. Versions from [`OLDEST`] on can be read.
const VERSION: u8 = 1;
const OLDEST: u8 = 1;
const HEADER: usize = 4 + 1 + 8 + 4 + 4;
const POINT: u8 = 1;
const EVENT: u8 = 2;

/// The header of a spool file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u8,
    /// Unix seconds when the batch was first stored.
    pub stored: i64,
    pub records: u32,
}

/// The content of the file for a batch. `stored` is in Unix seconds.
pub fn write(batch: &Batch, stored: i64) -> Vec<u8> {
    let records = batch.points.len() + batch.events.len();
    let mut out = Vec::with_capacity(HEADER + records * 160);
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&stored.to_le_bytes());
    out.extend_from_slice(&u32::try_from(records).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    for event in &batch.events {
        record(&mut out, |out| put_event(out, event));
    }
    for point in &batch.points {
        record(&mut out, |out| put_point(out, point));
    }
    out
}

/// Reads the header only; `Err` says what is wrong with it.
pub fn read_header(bytes: &[u8]) -> Result<Header, String> {
    let mut from = Reader(bytes);
    if from.take(4)? != MAGIC {
        return Err("not a spool file".into());
    }
    let version = from.u8()?;
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(format!("written by a newer version ({version}), this one reads up to {VERSION}"));
    }
    let header = Header { version, stored: from.i64()?, records: from.u32()? };
    let summed = bytes.get(..HEADER - 4).map(crc32fast::hash);
    if summed != Some(from.u32()?) {
        return Err("the header's checksum is wrong".into());
    }
    Ok(header)
}

/// Reads the whole file; `Err` says what is damaged.
pub fn read(bytes: &[u8]) -> Result<(Header, Batch), String> {
    let header = read_header(bytes)?;
    let mut from = Reader(bytes.get(HEADER..).unwrap_or_default());
    let mut batch = Batch::default();
    for number in 1..=header.records {
        let length = from.u32()? as usize;
        let crc = from.u32()?;
        let payload = from.take(length)?;
        if crc32fast::hash(payload) != crc {
            return Err(format!("the checksum of record {number} is wrong"));
        }
        let mut fields = Reader(payload);
        match fields.u8()? {
            POINT => batch.points.push(take_point(&mut fields)?),
            EVENT => batch.events.push(take_event(&mut fields)?),
            kind => return Err(format!("record {number} is of unknown kind {kind}")),
        }
    }
    match from.0 {
        [] => Ok((header, batch)),
        rest => Err(format!("{} bytes too many at the end", rest.len())),
    }
}

fn record(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    payload(out);
    let Some((head, body)) = out.get_mut(start..).and_then(|record| record.split_at_mut_checked(8)) else { return };
    let (length, crc) = (body.len() as u32, crc32fast::hash(body));
    head.copy_from_slice(&(u64::from(length) | u64::from(crc) << 32).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_point(out: &mut Vec<u8>, point: &Point) {
    out.push(POINT);
    match point.value {
        Value::Int(n) => {
            out.push(0);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Float(n) => {
            out.push(1);
            out.extend_from_slice(&n.to_bits().to_le_bytes());
        }
    }
    out.push(point.kind as u8);
    out.push(point.reaction as u8);
    out.extend_from_slice(&point.time.to_le_bytes());
    put_text(out, &point.name);
    put_text(out, &point.check_type);
    out.push(u8::from(point.host.is_some()));
    if let Some(host) = &point.host {
        put_text(out, host);
    }
    out.extend_from_slice(&(point.tags.len() as u32).to_le_bytes());
    for (key, value) in point.tags.iter() {
        put_text(out, key);
        put_text(out, value);
    }
}

fn put_event(out: &mut Vec<u8>, event: &HealthEvent) {
    out.push(EVENT);
    out.push(event.level.number() as u8);
    out.push(event.reaction as u8);
    out.extend_from_slice(&event.time.to_le_bytes());
    put_text(out, &event.name);
    put_text(out, &event.message);
    put_text(out, &event.check_type);
}

fn take_point(from: &mut Reader) -> Result<Point, String> {
    let value = match from.u8()? {
        0 => Value::Int(from.i64()?),
        1 => Value::finite(f64::from_bits(from.i64()? as u64)).ok_or("a value is not finite")?,
        other => return Err(format!("a value is of unknown type {other}")),
    };
    let kind = match from.u8()? {
        0 => Kind::Gauge,
        1 => Kind::Counter,
        2 => Kind::Rate,
        3 => Kind::Percent,
        4 => Kind::Special,
        other => return Err(format!("unknown kind {other}")),
    };
    let reaction = from.u8()? as i8;
    let time = from.i64()?;
    let name = Text::Owned(from.text()?.into());
    let check_type = Text::Owned(from.text()?.into());
    let host: Option<Arc<str>> = match from.u8()? {
        0 => None,
        _ => Some(from.text()?.into()),
    };
    let tags = from.u32()?;
    let tags: Tags = (0..tags)
        .map(|_| Ok::<_, String>((from.text()?.to_string(), from.text()?.to_string())))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .collect();
    Ok(Point { name, value, kind, time, check_type, tags, host, reaction })
}

fn take_event(from: &mut Reader) -> Result<HealthEvent, String> {
    let level = match from.u8()? {
        0 => Level::Ok,
        8 => Level::Warning,
        16 => Level::Error,
        other => return Err(format!("unknown level {other}")),
    };
    let reaction = from.u8()? as i8;
    let time = from.i64()?;
    let name = Text::Owned(from.text()?.into());
    let message = from.text()?.into();
    let check_type = Text::Owned(from.text()?.into());
    Ok(HealthEvent { name, level, message, reaction, time, check_type })
}

/// The bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "it ends too early".into())
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, String> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text is not UTF-8".into())
    }
}
