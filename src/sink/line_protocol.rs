//! Line protocol, the text format of InfluxDB: points to bodies of bounded size. The same points give the same bytes.
//!
//! ```text
//! sys_load_1,cluster=prod,core=0,group=web,host=db01,location=eu,type=system value=0.42 1500000000
//! ```
//! *Invariant:* the lines of a request are its points, one for one and in order; so a line that a server quotes
//! identifies a point.

use super::Encoded;
use super::cutter::{Frame, Limits, cut};
use super::number::{push_float, push_integer};
use crate::model::point::{Identity, Point, Value};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Longest series key (measurement and tags as written) that servers accept, in bytes.
const MAX_KEY: usize = 65_535;

/// Each line ends with its own newline.
const FRAME: Frame = Frame { open: b"", between: b"", close: b"" };

/// Most measurements whose type is remembered.
const MAX_OVERRIDES: usize = 10_000;

/// Estimated bytes of `" value="`, the number, the time and the newline.
const VALUE_AND_TIME: usize = 48;

/// Estimated bytes of a tag of the point. Its text is not read for the estimate, because it is not in the CPU's cache
/// yet.
const USUAL_TAG: usize = 48;

/// Points with at most this many tags of their own need no allocation.
const FEW_TAGS: usize = 8;

/// How a number is written. The type of a field in InfluxDB can never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    Integer,
    Float,
}

impl FieldType {
    fn of(value: Value) -> FieldType {
        match value {
            Value::Int(_) => FieldType::Integer,
            Value::Float(_) => FieldType::Float,
        }
    }

    /// Parses the server's word; `None` for types that are not numeric.
    pub fn from_word(word: &str) -> Option<FieldType> {
        match word {
            "integer" => Some(FieldType::Integer),
            "float" => Some(FieldType::Float),
            _ => None,
        }
    }
}

/// The encoder, with the types it has learned and a cache between batches.
#[derive(Debug, Default)]
pub struct LineProtocol {
    types: HashMap<String, FieldType>,
    scratch: RefCell<Scratch>,
}

/// A cache: affects only the speed.
#[derive(Debug, Default)]
struct Scratch {
    base: Option<Base>,
    names: Names,
}

impl LineProtocol {
    pub fn new() -> LineProtocol {
        LineProtocol::default()
    }

    /// The type set for that measurement, if one was.
    pub fn known_type(&self, measurement: &str) -> Option<FieldType> {
        self.types.get(measurement).copied()
    }

    /// Writes points of that measurement with that type from now on. Returns whether this changes anything.
    pub fn set_type(&mut self, measurement: &str, field: FieldType) -> bool {
        if let Some(known) = self.types.get_mut(measurement) {
            return std::mem::replace(known, field) != field;
        }
        if self.types.len() >= MAX_OVERRIDES {
            self.types.clear(); // Each costs one more conflict.
        }
        self.types.insert(measurement.into(), field);
        true
    }

    /// The points as requests. A point is refused if its number is not finite, it has no name, or its key is too long.
    pub fn encode(&self, points: &[Point], identity: &Identity, limits: Limits) -> Encoded {
        let scratch = &mut *self.scratch.borrow_mut();
        let base = match &mut scratch.base {
            Some(base) if base.identity == *identity => base,
            stale => stale.insert(Base::new(identity)),
        };
        let names = &mut scratch.names;
        names.read(points, &self.types);
        let mut written = Written::default();
        cut(
            points,
            limits,
            FRAME,
            |point| room(point, base),
            |out, index, point, is_fresh| {
                if is_fresh {
                    written = Written::default();
                }
                write_line(out, point, base, names.field(index), &mut written)
            },
        )
    }
}

/// The tags of the previous line, and where they are in the body: consecutive points often have the same tags.
#[derive(Default)]
struct Written<'a> {
    point: Option<&'a Point>,
    text: Range<usize>,
}

/// The estimated bytes of a line, if its tags have the usual length and need no escapes.
fn room(point: &Point, base: &Base) -> usize {
    let tags = point.tags.len() * USUAL_TAG;
    point.name.len() + base.all.len() + point.check_type.len() + tags + VALUE_AND_TIME
}

/// The measurement for points of that name, not escaped, as servers quote it.
pub fn measurement(name: &str) -> Cow<'_, str> {
    let name = without_backslashes(name);
    match name.strip_prefix('#') {
        Some(rest) => Cow::Owned(format!("_{rest}")),
        None => Cow::Borrowed(name),
    }
}

/// The type of the number in a line.
pub fn field_type(line: &str) -> FieldType {
    let number = line.rsplit(" value=").next().and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    if number.ends_with('i') { FieldType::Integer } else { FieldType::Float }
}

/// Whether the line has that measurement and that tag.
pub fn has_tag(line: &str, measurement: &str, key: &str, value: &str) -> bool {
    let (mut name, mut tag) = (Vec::new(), vec![b',']);
    push_escaped(&mut name, measurement, is_special_in_name);
    name.push(b',');
    push_tag_text(&mut tag, key);
    tag.push(b'=');
    push_tag_text(&mut tag, value);
    let Some(rest) = line.as_bytes().strip_prefix(name.as_slice()) else { return false };
    let ends_well = |after: usize| matches!(rest.get(after), Some(b',' | b' '));
    let first = tag.strip_prefix(b",").is_some_and(|tag| rest.starts_with(tag) && ends_well(tag.len()));
    first || rest.windows(tag.len()).enumerate().any(|(at, window)| window == tag && ends_well(at + tag.len()))
}

/// The base tags of this host, escaped once.
#[derive(Debug)]
struct Base {
    identity: Identity,
    /// `,cluster=prod`, or empty; in the order of the keys.
    cluster: String,
    group: String,
    host: String,
    location: String,
    /// All of them and `,type=`: the tags of nearly every line.
    all: String,
}

impl Base {
    fn new(identity: &Identity) -> Base {
        let tag = |key: &str, value: &str| {
            let value = without_backslashes(value.trim());
            let mut text = Vec::new();
            if !value.is_empty() {
                push_tag(&mut text, key, value);
            }
            String::from_utf8(text).unwrap_or_default()
        };
        let cluster = tag("cluster", &identity.cluster);
        let group = tag("group", &identity.group);
        let host = tag("host", &identity.host);
        let location = tag("location", &identity.location);
        let all = format!("{cluster}{group}{host}{location},type=");
        Base { identity: identity.clone(), cluster, group, host, location, all }
    }
}

/// Appends one line. After an error the caller removes what was appended.
fn write_line<'a>(
    out: &mut Vec<u8>,
    point: &'a Point,
    base: &Base,
    field: FieldType,
    written: &mut Written<'a>,
) -> Result<(), String> {
    let start = out.len();
    push_measurement(out, &point.name)?;
    let tags = out.len();
    match written.point {
        Some(before) if has_same_tags(before, point) => out.extend_from_within(written.text.clone()),
        _ => push_tags(out, point, base),
    }
    *written = Written { point: Some(point), text: tags..out.len() };
    let length = out.len() - start;
    if length > MAX_KEY {
        return Err(format!("name and tags take {length} bytes, the limit is {MAX_KEY}"));
    }
    out.extend_from_slice(b" value=");
    push_number(out, point.value, field)?;
    out.push(b' ');
    push_integer(out, point.time);
    out.push(b'\n');
    Ok(())
}

fn push_measurement(out: &mut Vec<u8>, name: &str) -> Result<(), String> {
    let name = without_backslashes(name);
    if name.is_empty() {
        return Err("the name of the metric is empty".into());
    }
    // A line that starts with # is a comment: the server would ignore it and report success.
    let name = match name.strip_prefix('#') {
        Some(rest) => {
            out.push(b'_');
            rest
        }
        None => name,
    };
    push_escaped(out, name, is_special_in_name);
    Ok(())
}

fn has_same_tags(a: &Point, b: &Point) -> bool {
    a.check_type == b.check_type && a.host == b.host && a.tags == b.tags
}

fn push_tags(out: &mut Vec<u8>, point: &Point, base: &Base) {
    let check_type = match without_backslashes(&point.check_type) {
        "" => "untyped",
        known => known,
    };
    if point.tags.is_empty() && point.host.is_none() {
        out.extend_from_slice(base.all.as_bytes());
        push_tag_text(out, check_type);
    } else {
        push_merged_tags(out, point, base, check_type);
    }
}

/// Appends the base tags and the point's own tags, sorted by key. The point's own tag replaces a base tag, and a later
/// tag an earlier one with the same key.
fn push_merged_tags(out: &mut Vec<u8>, point: &Point, base: &Base, check_type: &str) {
    let own_host = point.host.as_deref().map(without_backslashes).filter(|host| !host.is_empty());
    let host = if own_host.is_some() { "" } else { base.host.as_str() };
    // Key, escaped tag, and a value that replaces it.
    let row = [
        ("cluster", base.cluster.as_str(), None),
        ("group", base.group.as_str(), None),
        ("host", host, own_host),
        ("location", base.location.as_str(), None),
        ("type", "", Some(check_type)),
    ];
    let (mut few, mut many) = ([("", ""); FEW_TAGS], Vec::new());
    let mut own = sorted_own_tags(point, &mut few, &mut many).iter().copied().peekable();
    for (key, ready, value) in row {
        while let Some(tag) = own.next_if(|tag| tag.0 < key) {
            push_unless_replaced(out, tag, own.peek());
        }
        let mut value = value;
        while let Some(tag) = own.next_if(|tag| tag.0 == key) {
            value = Some(tag.1);
        }
        match value {
            Some(value) => push_tag(out, key, value),
            None => out.extend_from_slice(ready.as_bytes()),
        }
    }
    while let Some(tag) = own.next() {
        push_unless_replaced(out, tag, own.peek());
    }
}

fn push_unless_replaced(out: &mut Vec<u8>, (key, value): (&str, &str), next: Option<&(&str, &str)>) {
    if next.is_none_or(|next| next.0 != key) {
        push_tag(out, key, value);
    }
}

/// The own tags sorted by key, reserved keys renamed, empty tags left out. Equal keys keep their order.
fn sorted_own_tags<'s, 'a>(
    point: &'a Point,
    few: &'s mut [(&'a str, &'a str); FEW_TAGS],
    many: &'s mut Vec<(&'a str, &'a str)>,
) -> &'s [(&'a str, &'a str)] {
    let tags = point.tags.iter().map(|(key, value)| (tag_key(key), without_backslashes(value)));
    let tags = tags.filter(|(key, value)| !key.is_empty() && !value.is_empty());
    let sorted = if point.tags.len() <= FEW_TAGS {
        let count = few.iter_mut().zip(tags).map(|(place, tag)| *place = tag).count();
        few.get_mut(..count).unwrap_or_default()
    } else {
        many.extend(tags);
        many.as_mut_slice()
    };
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    sorted
}

fn tag_key(key: &str) -> &str {
    match without_backslashes(key) {
        "time" => "tag_time",
        "_field" => "tag__field",
        "_measurement" => "tag__measurement",
        other => other,
    }
}

/// A key or value that ends with a backslash would escape the delimiter after it.
fn without_backslashes(text: &str) -> &str {
    if text.as_bytes().last() == Some(&b'\\') { text.trim_end_matches('\\') } else { text }
}

fn push_tag(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(b',');
    push_tag_text(out, key);
    out.push(b'=');
    push_tag_text(out, value);
}

fn push_tag_text(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |byte| byte == b'=' || is_special_in_name(byte));
}

/// Control characters cannot be escaped, so they are replaced. Normalised points have none, but a broken line would be
/// stored as garbage.
fn is_special_in_name(byte: u8) -> bool {
    matches!(byte, b',' | b' ') || byte.is_ascii_control()
}

fn push_escaped(out: &mut Vec<u8>, text: &str, special: impl Fn(u8) -> bool) {
    // Looks at every byte without an early exit, so that the compiler can use vector instructions.
    if !text.bytes().fold(false, |found, byte| found | special(byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_control() => out.push(b'_'),
            byte if special(byte) => out.extend_from_slice(&[b'\\', byte]),
            byte => out.push(byte),
        }
    }
}

fn push_number(out: &mut Vec<u8>, value: Value, field: FieldType) -> Result<(), String> {
    match (value, field) {
        (Value::Float(number), _) if !number.is_finite() => return Err(format!("the value is {number}")),
        (Value::Int(number), FieldType::Float) => push_integer(out, number),
        (Value::Float(number), FieldType::Float) => push_float(out, number),
        (value, FieldType::Integer) => {
            push_integer(out, as_integer(value));
            out.push(b'i');
        }
    }
    Ok(())
}

/// Rounds half away from zero; saturates at the limits of i64.
fn as_integer(value: Value) -> i64 {
    match value {
        Value::Int(number) => number,
        Value::Float(number) => number.round() as i64,
    }
}

/// The type of each measurement in a batch: float if one of its points is, unless another type was learned.
#[derive(Debug, Default)]
struct Names {
    /// Open-addressing hash table: index of a measurement's first point plus one, 0 for a free slot.
    slots: Vec<u32>,
    /// For each point, the index of the first point of its measurement.
    first: Vec<u32>,
    /// At the index of a first point, the type of its measurement.
    fields: Vec<FieldType>,
}

impl Names {
    fn read(&mut self, points: &[Point], known: &HashMap<String, FieldType>) {
        self.first.clear();
        self.fields.clear();
        self.slots.clear();
        self.slots.resize((points.len() * 2).next_power_of_two(), 0);
        for (index, point) in points.iter().enumerate() {
            let first = self.first_of(index, point, points);
            self.first.push(first as u32);
            self.fields.push(FieldType::of(point.value));
            if matches!(point.value, Value::Float(_))
                && let Some(field) = self.fields.get_mut(first)
            {
                *field = FieldType::Float;
            }
        }
        if !known.is_empty() {
            self.apply(points, known);
        }
    }

    fn apply(&mut self, points: &[Point], known: &HashMap<String, FieldType>) {
        for (index, (point, first)) in points.iter().zip(&self.first).enumerate() {
            if *first as usize == index
                && let Some(forced) = known.get(&*measurement(&point.name))
                && let Some(field) = self.fields.get_mut(index)
            {
                *field = *forced;
            }
        }
    }

    /// The index of the first point with this name.
    fn first_of(&mut self, index: usize, point: &Point, points: &[Point]) -> usize {
        let mut hasher = DefaultHasher::new();
        point.name.hash(&mut hasher);
        let mask = self.slots.len() - 1;
        let mut place = hasher.finish() as usize & mask;
        while let Some(slot) = self.slots.get_mut(place) {
            let found = (*slot as usize).checked_sub(1);
            match found.and_then(|found| points.get(found)) {
                None => {
                    *slot = index as u32 + 1;
                    return index;
                }
                Some(other) if other.name == point.name => return *slot as usize - 1,
                Some(_) => place = (place + 1) & mask,
            }
        }
        index
    }

    fn field(&self, index: usize) -> FieldType {
        let first = self.first.get(index).map(|first| *first as usize);
        first.and_then(|first| self.fields.get(first)).copied().unwrap_or(FieldType::Float)
    }
}
