//! Prometheus: the last value of each series, as the text that a scraper is given. Nothing is sent, so nothing can be lost.
//!
//! *Invariant:* a batch becomes visible at once and whole; a series that is not refreshed disappears.

use super::cutter::{Frame, Limits, cut};
use super::json::BaseTag;
use super::number::{push_go, push_integer};
use super::tags::merge;
use super::{Encoded, Patience, Request, Sink, Verdict};
use crate::point::{Identity, Kind, Point, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest name, key or value.
const LONGEST: usize = 65_535;
/// A series stays for so many periods after its last value, and at least for so long.
const PERIODS: u32 = 3;
const KEPT: Duration = Duration::from_secs(60);
/// The batch is one request: a scraper sees all of it or nothing.
const LIMITS: Limits = Limits { points: usize::MAX, bytes: usize::MAX };
const LINES: Frame = Frame { open: b"", between: b"", close: b"" };
/// There is no tag for the type of the check.
const LABELS: [BaseTag; 4] = [BaseTag::Host, BaseTag::Cluster, BaseTag::Group, BaseTag::Location];

/// The sink for `tsdtype = Prometheus`.
pub struct Prometheus {
    exposition: Arc<Exposition>,
}

impl Prometheus {
    pub fn new(period: Duration) -> Prometheus {
        let keep = KEPT.max(period.saturating_mul(PERIODS));
        Prometheus { exposition: Arc::new(Exposition { keep, state: Mutex::default() }) }
    }
}

impl Sink for Prometheus {
    fn name(&self) -> &'static str {
        "Prometheus"
    }

    /// A line for each point, as it will stand on the page.
    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded {
        let room = |point: &Point| 100 + point.name.len() + point.tags.len() * 40;
        let mut encoded = cut(points, LIMITS, LINES, room, |out, _, point, _| write_sample(out, point, identity));
        // Refused points cut it to pieces.
        let body = encoded.requests.iter().map(|request| request.body.as_slice()).collect::<Vec<_>>().concat();
        encoded.requests.clear();
        if encoded.refused.len() < points.len() {
            encoded.requests.push(Request { body, points: 0..points.len() });
        }
        encoded
    }

    fn send(&mut self, request: &Request, points: &[Point], _: Patience) -> Verdict {
        let text = String::from_utf8_lossy(&request.body);
        let written = points.iter().filter(|point| is_writable(point));
        self.exposition.take(text.lines().zip(written), Instant::now());
        Verdict::Delivered
    }

    fn exposition(&self) -> Option<Arc<Exposition>> {
        Some(Arc::clone(&self.exposition))
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// What a scraper is given: shared by the sink, which fills it, and the web server, which shows it.
#[derive(Debug)]
pub struct Exposition {
    keep: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    families: BTreeMap<String, Family>,
    /// Of the newest point.
    newest: i64,
}

/// All series of one name.
#[derive(Debug)]
struct Family {
    kind: &'static str,
    check_type: String,
    /// By their labels.
    samples: BTreeMap<String, Sample>,
}

#[derive(Debug)]
struct Sample {
    value: String,
    time: i64,
    seen: Instant,
}

impl Exposition {
    fn take<'a>(&self, lines: impl Iterator<Item = (&'a str, &'a Point)>, now: Instant) {
        let mut state = self.lock();
        let State { families, newest } = &mut *state;
        for (line, point) in lines {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
            *newest = point.time.max(*newest);
            // What waited in the spool for another sink is no last value.
            if point.time < newest.saturating_sub(self.keep.as_secs() as i64) {
                continue;
            }
            let family = match families.get_mut(name) {
                Some(family) => family,
                None => families.entry(name.into()).or_insert_with(|| Family::of(point)),
            };
            if family.kind != kind(point.kind) {
                family.kind = "untyped";
            }
            match family.samples.get_mut(labels) {
                Some(sample) if sample.time > point.time => {}
                Some(sample) => {
                    value.clone_into(&mut sample.value);
                    (sample.time, sample.seen) = (point.time, now);
                }
                None => {
                    let sample = Sample { value: value.into(), time: point.time, seen: now };
                    family.samples.insert(labels.into(), sample);
                }
            }
        }
        for family in families.values_mut() {
            family.samples.retain(|_, sample| self.is_fresh(sample, now));
        }
        families.retain(|_, family| !family.samples.is_empty());
    }

    /// The page, in the text format 0.0.4: each family once, all its samples together.
    pub fn page(&self, now: Instant) -> String {
        let state = self.lock();
        let mut page = String::with_capacity(state.families.len() * 200);
        for (name, family) in &state.families {
            let mut fresh = family.samples.iter().filter(|(_, sample)| self.is_fresh(sample, now)).peekable();
            if fresh.peek().is_some() {
                push_head(
                    &mut page,
                    name,
                    family.kind,
                    &format!("Collected by a check of type {}.", family.check_type),
                );
            }
            for (labels, sample) in fresh {
                page.extend([name.as_str(), labels, " ", &sample.value, "\n"]);
            }
        }
        page
    }

    fn is_fresh(&self, sample: &Sample, now: Instant) -> bool {
        now.saturating_duration_since(sample.seen) <= self.keep
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    fn of(point: &Point) -> Family {
        let check_type = if point.check_type.is_empty() { "untyped" } else { &point.check_type };
        Family { kind: kind(point.kind), check_type: check_type.into(), samples: BTreeMap::new() }
    }
}

/// What stands above the samples of a family.
pub fn push_head(page: &mut String, name: &str, kind: &str, help: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    page.extend(["# HELP ", name, " ", &help, "\n# TYPE ", name, " ", kind, "\n"]);
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Rate | Kind::Percent => "gauge",
        Kind::Gauge | Kind::Special => "untyped",
    }
}

fn is_writable(point: &Point) -> bool {
    let is_short = |text: &str| text.len() <= LONGEST;
    let is_short_tag = |(key, value): (&str, &str)| is_short(key) && is_short(value);
    !point.name.is_empty() && is_short(&point.name) && point.tags.iter().all(is_short_tag)
}

fn write_sample(out: &mut Vec<u8>, point: &Point, identity: &Identity) -> Result<(), String> {
    if !is_writable(point) {
        return Err(format!("the name, or a tag, is empty or longer than {LONGEST} bytes"));
    }
    out.extend_from_slice(metric_name(&point.name).as_bytes());
    // The host is this one, also for numbers about another: the scraper's target is this daemon.
    let base = LABELS.map(|tag| (tag.key(), tag.value(identity, identity.host.trim(), "")));
    let mut mark = b'{';
    for (key, value) in merge(base, &point.tags, usize::MAX, label_name) {
        out.push(mark);
        mark = b',';
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"=\"");
        push_escaped(out, value);
        out.push(b'"');
    }
    if mark == b',' {
        out.push(b'}');
    }
    out.push(b' ');
    match point.value {
        Value::Int(number) => push_integer(out, number),
        Value::Float(number) => push_go(out, number),
    }
    out.push(b'\n');
    Ok(())
}

fn metric_name(name: &str) -> Cow<'_, str> {
    allowed(name, |letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':'))
}

/// Names that begin with two `_` belong to Prometheus.
fn label_name(key: &str) -> Cow<'_, str> {
    let key = allowed(key, |letter| letter.is_ascii_alphanumeric() || letter == '_');
    if key.starts_with("__") { format!("_{}", key.trim_start_matches('_')).into() } else { key }
}

/// One `_` for each letter that is not allowed, and one before a leading digit.
fn allowed(text: &str, is_allowed: fn(char) -> bool) -> Cow<'_, str> {
    let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
    if !starts_with_digit && text.chars().all(is_allowed) {
        return text.into();
    }
    let first = starts_with_digit.then_some('_');
    first.into_iter().chain(text.chars().map(|letter| if is_allowed(letter) { letter } else { '_' })).collect()
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte if byte.is_ascii_control() => out.push(b'_'),
            byte => out.push(byte),
        }
    }
}
