//! Rules that every sink may rely on: clean names and tags, no empty tag, and one point per series and time.

use crate::model::point::{Batch, HealthEvent, Kind, MESSAGE, Point, Tags, Text, Value};
use foldhash::{HashMap, HashMapExt};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest tag value in bytes; a longer one is cut between two characters.
pub const MAX_TAG_VALUE: usize = 1024;

/// The points of a batch, normalised: returns the same as [`normalise`]. Health events go before the numbers, because
/// people wait for them.
pub fn points_of(batch: Batch, takes_events: bool) -> (Vec<Point>, Vec<(Point, String)>, usize) {
    let Batch { mut points, events } = batch;
    if !takes_events {
        // Events that were spooled for a sink that takes events.
        let specials = points.iter_mut().filter(|point| point.kind == Kind::Special);
        specials.for_each(|point| *point = point.clone().plain());
    }
    points.splice(0..0, event_points(&events, takes_events));
    normalise(points)
}

/// Returns the clean points in their order, the points whose name is empty with the reason, and how many points were
/// replaced by a later one of the same series and time.
///
/// Points that are clean already are moved, not copied.
pub fn normalise(points: Vec<Point>) -> (Vec<Point>, Vec<(Point, String)>, usize) {
    let mut refused = Vec::new();
    let mut points = points;
    if points.iter().any(|point| !is_clean(point)) {
        points = points.into_iter().map(cleaned).collect();
        refused = points.extract_if(.., |point| point.name.is_empty()).map(|point| (point, NO_NAME.into())).collect();
    }
    let replaced = merge_duplicates(&mut points);
    (points, refused, replaced)
}

const NO_NAME: &str = "the name of the metric is empty";

/// Health events as points, for a sink that takes events ([`Kind::Special`]) or for one that knows only numbers
/// (`health_status`).
pub fn event_points(events: &[HealthEvent], takes_events: bool) -> Vec<Point> {
    let special = events.iter().map(special);
    if takes_events { special.collect() } else { special.map(Point::plain).collect() }
}

fn special(event: &HealthEvent) -> Point {
    Point {
        name: event.name.clone(),
        value: Value::Int(event.level.number()),
        kind: Kind::Special,
        time: event.time,
        check_type: event.check_type.clone(),
        tags: Tags::one(MESSAGE, &event.message),
        host: None,
        reaction: event.reaction,
    }
}

fn is_clean(point: &Point) -> bool {
    !point.name.is_empty()
        && is_clean_text(&point.name)
        && is_clean_text(&point.check_type)
        && point.host.as_deref().is_none_or(|host| !host.is_empty() && is_clean_text(host))
        && point.tags.iter().all(is_clean_tag)
}

fn is_clean_tag((key, value): (&str, &str)) -> bool {
    let kept = !key.is_empty() && !value.is_empty() && value.len() <= MAX_TAG_VALUE;
    kept && is_clean_text(key) && is_clean_text(value)
}

/// Looks at every byte without an early exit, so that the compiler can use vector instructions.
fn is_clean_text(text: &str) -> bool {
    let dirty = text.bytes().fold(false, |dirty, byte| dirty | byte.is_ascii_control());
    !dirty && text.trim().len() == text.len()
}

fn cleaned(mut point: Point) -> Point {
    if is_clean(&point) {
        return point;
    }
    point.name = clean_text(&point.name, usize::MAX);
    point.check_type = clean_text(&point.check_type, MAX_TAG_VALUE);
    let host = point.host.map(|host| clean_text(&host, MAX_TAG_VALUE)).filter(|host| !host.is_empty());
    point.host = host.map(Arc::from);
    point.tags = point.tags.iter().filter_map(clean_tag).collect();
    point
}

/// `None` if the key or the value is empty after cleaning.
fn clean_tag((key, value): (&str, &str)) -> Option<(Text, Box<str>)> {
    let (key, value) = (clean_text(key, usize::MAX), clean_text(value, MAX_TAG_VALUE));
    (!key.is_empty() && !value.is_empty()).then(|| (key, value.into()))
}

/// Replaces each control character by `_`, trims whitespace at both ends, and cuts the text at `limit` bytes.
fn clean_text(text: &str, limit: usize) -> Text {
    let plain = text.replace(|letter: char| letter.is_ascii_control(), "_");
    let mut kept = plain.trim();
    while kept.len() > limit {
        let mut letters = kept.chars();
        letters.next_back();
        kept = letters.as_str();
    }
    Cow::Owned(kept.trim_end().into())
}

/// A point, identified by its series and time.
struct Sample<'a>(&'a Point);

impl PartialEq for Sample<'_> {
    fn eq(&self, other: &Sample) -> bool {
        self.0.time == other.0.time && self.0.key() == other.0.key()
    }
}

impl Eq for Sample<'_> {}

impl Hash for Sample<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.key(), self.0.time).hash(state);
    }
}

/// Removes every point that a later one of the same series and time replaces; returns their number.
fn merge_duplicates(points: &mut Vec<Point>) -> usize {
    let mut last = HashMap::with_capacity(points.len());
    let places = points.iter().enumerate().map(|(index, point)| (Sample(point), index as u32));
    let mut replaced: Vec<u32> = places.filter_map(|(sample, index)| last.insert(sample, index)).collect();
    if replaced.is_empty() {
        return 0;
    }
    replaced.sort_unstable();
    let count = replaced.len();
    let mut next = replaced.into_iter().peekable();
    let mut index = 0;
    points.retain(|_| {
        let keep = next.next_if_eq(&index).is_none();
        index += 1;
        keep
    });
    count
}
