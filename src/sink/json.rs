//! Points as a JSON array for OpenTSDB, KairosDB and OddEye: one encoder; their differences are data ([`Dialect`]).

use super::Encoded;
use super::cutter::{Frame, Limits, cut};
use super::number::{push_decimal, push_integer};
use super::tags::merge;
use crate::model::point::{Identity, Kind, Level, MESSAGE, Point, Tags, Value};
use std::borrow::Cow;
use std::cell::{RefCell, RefMut};
use std::collections::HashSet;
use std::ops::Range;

/// Estimated bytes of the member names, the number and the time.
const MEMBERS: usize = 80;
/// Estimated bytes of a tag of the point. Its text is not read for the estimate, because it is not in the CPU's cache
/// yet.
const USUAL_TAG: usize = 48;
/// Most metrics that are remembered as logged.
const REMEMBERED: usize = 10_000;
const ARRAY: Frame = Frame { open: b"[", between: b",", close: b"]" };

/// What a receiver expects.
#[derive(Debug)]
pub struct Dialect {
    /// The member that holds the metric.
    pub name: &'static str,
    pub clock: Clock,
    pub charset: Charset,
    /// Most bytes of a name, key or value.
    pub longest: usize,
    /// Most tags of a point, base tags not counted.
    pub extras: usize,
    /// The base tags, in order.
    pub base: [BaseTag; 5],
    /// The value of the tag `type` for a point without a type.
    pub untyped: &'static str,
}

/// The unit of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Seconds,
    Milliseconds,
}

/// Which characters names, keys and values may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// `A-Z a-z 0-9 - _ . /`; every other character becomes `_`.
    Restricted,
    Any,
}

/// One of the tags that every point has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseTag {
    Host,
    Type,
    Cluster,
    Group,
    Location,
}

impl BaseTag {
    /// Its key.
    pub fn key(self) -> &'static str {
        match self {
            BaseTag::Host => "host",
            BaseTag::Type => "type",
            BaseTag::Cluster => "cluster",
            BaseTag::Group => "group",
            BaseTag::Location => "location",
        }
    }

    /// Its value, trimmed; empty if there is none.
    pub fn value<'a>(self, identity: &'a Identity, host: &'a str, check_type: &'a str) -> &'a str {
        match self {
            BaseTag::Host => host,
            BaseTag::Type => check_type,
            BaseTag::Cluster => identity.cluster.trim(),
            BaseTag::Group => identity.group.trim(),
            BaseTag::Location => identity.location.trim(),
        }
    }
}

/// The encoder.
#[derive(Debug)]
pub struct Json {
    dialect: &'static Dialect,
    /// Set for OddEye only. Then each number is written with its type and reaction, health events are written as
    /// events, and the reaction of an event is multiplied by this.
    error_handler: Option<i64>,
    /// A cache: affects only the speed.
    base: RefCell<Option<Base>>,
}

impl Json {
    pub fn new(dialect: &'static Dialect) -> Json {
        Json { dialect, error_handler: None, base: RefCell::default() }
    }

    /// The encoder for OddEye; the reaction of a health event is multiplied by `error_handler`.
    pub fn with_events(dialect: &'static Dialect, error_handler: i64) -> Json {
        Json { error_handler: Some(error_handler), ..Json::new(dialect) }
    }

    /// The points as requests, each an array. A point is refused if its number is not finite, it has no name, or a text
    /// is too long.
    pub fn encode(&self, points: &[Point], identity: &Identity, limits: Limits) -> Encoded {
        let base = &*self.base(identity);
        let mut written = Written::default();
        cut(
            points,
            limits,
            ARRAY,
            |point| room(point, base),
            |out, _, point, is_fresh| {
                if is_fresh {
                    written = Written::default();
                }
                write_point(out, point, base, self, &mut written)
            },
        )
    }

    /// The points as requests within a frame. `wrap` appends each object to the body in a changed form.
    pub fn encode_wrapped(
        &self,
        points: &[Point],
        identity: &Identity,
        limits: Limits,
        frame: Frame,
        wrap: impl Fn(&mut Vec<u8>, &[u8]),
    ) -> Encoded {
        let base = &*self.base(identity);
        let mut object = Vec::new();
        cut(
            points,
            limits,
            frame,
            |point| room(point, base) * 2,
            |out, _, point, _| {
                object.clear();
                write_point(&mut object, point, base, self, &mut Written::default())?;
                wrap(out, &object);
                Ok(())
            },
        )
    }

    fn base(&self, identity: &Identity) -> RefMut<'_, Base> {
        let mut base = self.base.borrow_mut();
        if base.as_ref().is_some_and(|base| base.identity != *identity) {
            *base = None;
        }
        RefMut::map(base, |base| base.get_or_insert_with(|| Base::new(identity, self.dialect)))
    }
}

/// Metrics that have too many tags; each is logged once.
#[derive(Debug, Default)]
pub struct TooManyTags {
    logged: HashSet<String>,
}

impl TooManyTags {
    /// A message for each new metric among these points.
    pub fn notes(&mut self, points: &[Point], dialect: &Dialect) -> Vec<String> {
        let mut notes = Vec::new();
        for point in points.iter().filter(|point| point.tags.len() > dialect.extras && point.kind != Kind::Special) {
            if self.logged.len() < REMEMBERED && !self.logged.contains(&*point.name) {
                self.logged.insert(point.name.to_string());
                let (count, most) = (point.tags.len(), dialect.extras);
                notes.push(format!("{}: {count} tags of its own, only the first {most} are sent", point.name));
            }
        }
        notes
    }
}

/// The base tags of this host as text, before and after the tag `type`.
#[derive(Debug)]
struct Base {
    identity: Identity,
    before_type: Vec<u8>,
    after_type: Vec<u8>,
}

impl Base {
    fn new(identity: &Identity, dialect: &Dialect) -> Base {
        let (mut before_type, mut after_type) = (b"{".to_vec(), Vec::new());
        let mut is_before = true;
        for tag in dialect.base {
            let text = if is_before { &mut before_type } else { &mut after_type };
            let value = tag.value(identity, identity.host.trim(), "");
            if tag != BaseTag::Type && value.is_empty() {
                continue;
            }
            if !is_before || text.len() > 1 {
                text.push(b',');
            }
            push_string(text, tag.key(), dialect.charset);
            text.push(b':');
            match tag {
                BaseTag::Type => is_before = false,
                _ => push_string(text, value, dialect.charset),
            }
        }
        Base { identity: identity.clone(), before_type, after_type }
    }
}

/// The tags of the previous point, and where they are in the body: consecutive points often have the same tags.
#[derive(Default)]
struct Written<'a> {
    point: Option<&'a Point>,
    text: Range<usize>,
}

fn room(point: &Point, base: &Base) -> usize {
    let tags = point.tags.len() * USUAL_TAG + point.check_type.len();
    point.name.len() + base.before_type.len() + base.after_type.len() + tags + MEMBERS
}

fn write_point<'a>(
    out: &mut Vec<u8>,
    point: &'a Point,
    base: &Base,
    json: &Json,
    written: &mut Written<'a>,
) -> Result<(), String> {
    let dialect = json.dialect;
    check_length(dialect, "name", &point.name)?;
    if point.name.is_empty() {
        return Err("the name of the metric is empty".into());
    }
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(dialect.name.as_bytes());
    out.extend_from_slice(b"\":");
    push_string(out, &point.name, dialect.charset);
    out.extend_from_slice(b",\"timestamp\":");
    push_integer(
        out,
        match dialect.clock {
            Clock::Seconds => point.time,
            Clock::Milliseconds => point.time.saturating_mul(1000),
        },
    );
    out.extend_from_slice(b",\"value\":");
    match point.value {
        Value::Int(number) => push_integer(out, number),
        Value::Float(number) if number.is_finite() => push_decimal(out, number),
        Value::Float(number) => return Err(format!("the value is {number}")),
    }
    if let Some(error_handler) = json.error_handler {
        if point.kind == Kind::Special {
            push_event(out, point, base, dialect, error_handler);
            return Ok(());
        }
        push_type_and_reaction(out, point);
    }
    out.extend_from_slice(b",\"tags\":");
    let start = out.len();
    match written.point {
        Some(before) if has_same_tags(before, point) => out.extend_from_within(written.text.clone()),
        _ => push_tags(out, point, base, dialect)?,
    }
    *written = Written { point: Some(point), text: start..out.len() };
    out.push(b'}');
    Ok(())
}

fn check_length(dialect: &Dialect, what: &str, text: &str) -> Result<(), String> {
    match text.len() {
        length if length > dialect.longest => {
            Err(format!("the {what} takes {length} bytes, the limit is {}", dialect.longest))
        }
        _ => Ok(()),
    }
}

/// The members that OddEye uses for learning and alerts.
fn push_type_and_reaction(out: &mut Vec<u8>, point: &Point) {
    let kind = match point.kind {
        Kind::Rate => "Rate",
        Kind::Counter => "Counter",
        Kind::Percent => "Percent",
        Kind::Gauge | Kind::Special => "None",
    };
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"reaction\":");
    push_integer(out, point.reaction.into());
}

/// The rest of an event: message and level, and only those tags that say where it happened.
fn push_event(out: &mut Vec<u8>, point: &Point, base: &Base, dialect: &Dialect, error_handler: i64) {
    let message = point.tags.iter().find(|(key, _)| *key == MESSAGE).map_or("", |(_, text)| text);
    out.extend_from_slice(b",\"message\":");
    push_string(out, message, Charset::Any);
    out.extend_from_slice(b",\"type\":\"Special\",\"status\":\"");
    out.extend_from_slice(Level::from_number(point.value.as_f64()).word().as_bytes());
    out.extend_from_slice(b"\",\"reaction\":");
    push_integer(out, error_handler.saturating_mul(point.reaction.into()));
    let identity = &base.identity;
    let tags = [BaseTag::Host, BaseTag::Cluster, BaseTag::Group];
    let tags = tags.map(|tag| (Cow::from(tag.key()), tag.value(identity, identity.host.trim(), "")));
    out.extend_from_slice(b",\"tags\":");
    push_object(out, tags.into_iter().filter(|(_, value)| !value.is_empty()), dialect.charset);
    out.push(b'}');
}

fn has_same_tags(a: &Point, b: &Point) -> bool {
    a.check_type == b.check_type && a.host == b.host && a.tags == b.tags
}

fn push_tags(out: &mut Vec<u8>, point: &Point, base: &Base, dialect: &Dialect) -> Result<(), String> {
    for (key, value) in point.tags.iter() {
        check_length(dialect, "key of a tag", key)?;
        check_length(dialect, "value of a tag", value)?;
    }
    let check_type = if point.check_type.is_empty() { dialect.untyped } else { &*point.check_type };
    if point.host.is_some() || !is_plain(&point.tags, dialect) {
        let host = point.host.as_deref().unwrap_or(base.identity.host.trim());
        let tags = dialect.base.map(|tag| (tag.key(), tag.value(&base.identity, host, check_type)));
        let merged = match dialect.charset {
            Charset::Restricted => merge(tags, &point.tags, dialect.extras, restricted),
            Charset::Any => merge(tags, &point.tags, dialect.extras, |key| key.into()),
        };
        push_object(out, merged.into_iter(), dialect.charset);
        return Ok(());
    }
    out.extend_from_slice(&base.before_type);
    push_string(out, check_type, dialect.charset);
    out.extend_from_slice(&base.after_type);
    for (key, value) in point.tags.iter().take(dialect.extras) {
        out.extend_from_slice(b",");
        push_string(out, key, dialect.charset);
        out.push(b':');
        push_string(out, value, dialect.charset);
    }
    out.push(b'}');
    Ok(())
}

/// Whether no tag replaces a base tag or another tag: there are at most four, with different keys that need no replaced
/// character.
fn is_plain(tags: &Tags, dialect: &Dialect) -> bool {
    tags.len() <= 4
        && tags.iter().enumerate().all(|(place, (key, _))| {
            !dialect.base.iter().any(|tag| tag.key() == key)
                && !tags.iter().take(place).any(|(other, _)| other == key)
                && (dialect.charset == Charset::Any || key.bytes().all(is_restricted))
        })
}

fn push_object<'a>(out: &mut Vec<u8>, tags: impl Iterator<Item = (Cow<'a, str>, &'a str)>, charset: Charset) {
    out.push(b'{');
    for (place, (key, value)) in tags.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, &key, charset);
        out.push(b':');
        push_string(out, value, charset);
    }
    out.push(b'}');
}

fn push_string(out: &mut Vec<u8>, text: &str, charset: Charset) {
    out.push(b'"');
    // Looks at every byte without an early exit, so that the compiler can use vector instructions.
    let is_kept = match charset {
        Charset::Restricted => text.bytes().fold(true, |kept, byte| kept & is_restricted(byte)),
        Charset::Any => text.bytes().fold(true, |kept, byte| kept & !is_escaped(byte)),
    };
    if is_kept {
        out.extend_from_slice(text.as_bytes());
    } else if charset == Charset::Restricted {
        out.extend_from_slice(restricted(text).as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                byte if byte.is_ascii_control() => out.push(b'_'),
                byte => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\') || byte.is_ascii_control()
}

/// The text as OpenTSDB can store it: `_` for each character that it cannot store.
pub fn restricted(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_restricted) {
        return text.into();
    }
    text.chars().map(|letter| if u8::try_from(letter).is_ok_and(is_restricted) { letter } else { '_' }).collect()
}

fn is_restricted(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/')
}
