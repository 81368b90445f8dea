//! Prometheus: the last value of each series, as text for a scraper. Nothing is sent, so nothing can be lost.
//!
//! *Invariant:* a batch becomes visible at once and completely; a series that is not refreshed disappears.

use super::claims::{Claims, describe_series};
use super::json::BaseTag;
use super::number::{push_go, push_integer};
use super::tags::merge;
use super::{Attempt, Encoded, Refused, Request, Sink, Verdict};
use crate::model::point::{Identity, Kind, Point, Series, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest name, key or value in bytes.
const LONGEST: usize = 65_535;
/// A series disappears this many periods after its last value, but not before `KEPT`.
const PERIODS: u32 = 3;
const KEPT: Duration = Duration::from_secs(60);
/// A point dated more than this many seconds ahead comes from a wrong clock: any other value replaces it.
const AHEAD: i64 = 60;
/// There is no label for the type of the check.
const LABELS: [BaseTag; 4] = [BaseTag::Host, BaseTag::Cluster, BaseTag::Group, BaseTag::Location];

/// The sink for `tsdtype = Prometheus`.
pub struct Prometheus {
    exposition: Arc<Exposition>,
    claims: Claims,
}

impl Prometheus {
    pub fn new(period: Duration) -> Prometheus {
        let keep = KEPT.max(period.saturating_mul(PERIODS));
        Prometheus { exposition: Arc::new(Exposition { keep, families: Mutex::default() }), claims: Claims::default() }
    }
}

impl Sink for Prometheus {
    fn name(&self) -> &'static str {
        "Prometheus"
    }

    /// The single request has no body, because nothing is sent: a scraper sees all of a batch or nothing.
    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        let why = || format!("the name, or a tag, is empty or longer than {LONGEST} bytes");
        let refused: Vec<Refused> = (0..)
            .zip(points)
            .filter(|(_, point)| !is_writable(point))
            .map(|(index, _)| Refused { index, status: 0, why: why() })
            .collect();
        let is_empty = refused.len() == points.len();
        let request = Request { body: Vec::new(), points: 0..points.len() };
        Encoded { requests: if is_empty { Vec::new() } else { vec![request] }, refused }
    }

    fn send(&mut self, request: &Request, points: &[Point], attempt: &Attempt) -> Verdict {
        let points = points.get(request.points.clone()).unwrap_or_default();
        // Older points, which were spooled for another sink, are not the last values.
        let oldest = attempt.wall.saturating_sub(self.exposition.keep.as_secs() as i64);
        let recent = points.iter().filter(|point| is_writable(point) && point.time >= oldest);
        self.claims.begin();
        let samples: Vec<(String, &Point)> =
            recent.map(|point| (series(point, attempt.identity, &mut self.claims), point)).collect();
        self.exposition.take(samples, attempt.wall, Instant::now());
        Verdict::Delivered
    }

    fn notes(&mut self) -> Vec<String> {
        self.claims.notes()
    }

    fn full_request(&self) -> usize {
        usize::MAX
    }

    fn exposition(&self) -> Option<Arc<Exposition>> {
        Some(Arc::clone(&self.exposition))
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// The content of the metrics page, shared by the sink, which fills it, and the web server, which serves it.
#[derive(Debug)]
pub struct Exposition {
    keep: Duration,
    /// By metric name.
    families: Mutex<BTreeMap<String, MetricFamily>>,
}

/// All series of one metric name.
#[derive(Debug)]
struct MetricFamily {
    kind: &'static str,
    check_type: String,
    /// By name and labels.
    samples: BTreeMap<String, Sample>,
}

#[derive(Debug)]
struct Sample {
    value: Value,
    time: i64,
    seen: Instant,
}

impl Exposition {
    /// Stores the points by series. `wall` is the present time by the clock that dated them.
    fn take(&self, samples: Vec<(String, &Point)>, wall: i64, now: Instant) {
        let mut families = self.lock();
        for (series, point) in samples {
            let name = metric_name(&point.name);
            let family = match families.get_mut(&*name) {
                Some(family) => family,
                None => families.entry(name.into()).or_insert_with(|| MetricFamily::of(point)),
            };
            if family.kind != kind(point.kind) {
                family.kind = "untyped";
            }
            let sample = Sample { value: point.value, time: point.time, seen: now };
            match family.samples.get_mut(&series) {
                Some(known) if known.time > point.time && known.time <= wall.saturating_add(AHEAD) => {}
                Some(known) => *known = sample,
                None => _ = family.samples.insert(series, sample),
            }
        }
        for family in families.values_mut() {
            family.samples.retain(|_, sample| self.is_fresh(sample, now));
        }
        families.retain(|_, family| !family.samples.is_empty());
    }

    /// The page in text format 0.0.4: each family once, with all its samples.
    pub fn page(&self, now: Instant) -> String {
        let families = self.lock();
        let mut page = String::with_capacity(families.len() * 200);
        for (name, family) in families.iter() {
            let mut fresh = family.samples.iter().filter(|(_, sample)| self.is_fresh(sample, now)).peekable();
            if fresh.peek().is_some() {
                push_head(
                    &mut page,
                    name,
                    family.kind,
                    &format!("Collected by a check of type {}.", family.check_type),
                );
            }
            for (series, sample) in fresh {
                page.extend([series.as_str(), " ", &number(sample.value), "\n"]);
            }
        }
        page
    }

    fn is_fresh(&self, sample: &Sample, now: Instant) -> bool {
        now.saturating_duration_since(sample.seen) <= self.keep
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MetricFamily>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetricFamily {
    fn of(point: &Point) -> MetricFamily {
        MetricFamily { kind: kind(point.kind), check_type: check_type(point).into(), samples: BTreeMap::new() }
    }
}

fn check_type(point: &Point) -> &str {
    if point.check_type.is_empty() { "untyped" } else { &point.check_type }
}

/// Appends the HELP and TYPE lines of a family.
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

/// Name and labels as they appear on the page.
fn series(point: &Point, identity: &Identity, claims: &mut Claims) -> String {
    // The host is always this one, even for numbers about another host: the scraper's target is this daemon.
    let base = LABELS.map(|tag| (tag.key(), tag.value(identity, identity.host.trim(), "")));
    let labels = merge(base, &point.tags, usize::MAX, label_name);
    let name = metric_name(&point.name);
    let plain = write_series(&name, &labels);
    let other = claims.settle(point, &plain, |first, number| {
        let more = differences(first, point, number);
        let mut labels = labels.clone();
        for (key, value) in &more {
            let mut key = key.to_string();
            while labels.iter().any(|(taken, _)| *taken == key) {
                key.push('_');
            }
            labels.push((key.into(), value));
        }
        write_series(&name, &labels)
    });
    other.unwrap_or(plain)
}

/// Labels that distinguish a series from the first one with the same name and labels; `number` is added if they are not
/// enough.
fn differences(first: &Series, point: &Point, number: u32) -> Vec<(&'static str, String)> {
    let mut labels = Vec::new();
    if first.check_type != point.check_type {
        labels.push(("type", check_type(point).to_string()));
    }
    if first.name != point.name {
        labels.push(("name", point.name.to_string()));
    }
    if number > 1 || labels.is_empty() {
        labels.push(("series", describe_series(&point.series())));
    }
    if number > 2 {
        labels.push(("number", number.to_string()));
    }
    labels
}

fn write_series(name: &str, labels: &[(Cow<str>, &str)]) -> String {
    let mut text = String::with_capacity(name.len() + 40 * labels.len() + 2);
    text.push_str(name);
    let mut mark = "{";
    for (key, value) in labels {
        text.extend([mark, key, "=\""]);
        push_escaped(&mut text, value);
        text.push('"');
        mark = ",";
    }
    if mark == "," {
        text.push('}');
    }
    text
}

fn number(value: Value) -> String {
    let mut text = Vec::new();
    match value {
        Value::Int(number) => push_integer(&mut text, number),
        Value::Float(number) => push_go(&mut text, number),
    }
    String::from_utf8(text).unwrap_or_default()
}

/// The name with characters that Prometheus accepts.
pub fn metric_name(name: &str) -> Cow<'_, str> {
    allowed(name, |letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':'))
}

/// Label names that start with `__` are reserved by Prometheus.
fn label_name(key: &str) -> Cow<'_, str> {
    let key = allowed(key, |letter| letter.is_ascii_alphanumeric() || letter == '_');
    if key.starts_with("__") { format!("_{}", key.trim_start_matches('_')).into() } else { key }
}

/// Replaces each character that is not allowed by `_`, and puts `_` before a leading digit.
fn allowed(text: &str, is_allowed: fn(char) -> bool) -> Cow<'_, str> {
    let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
    if !starts_with_digit && text.chars().all(is_allowed) {
        return text.into();
    }
    let first = starts_with_digit.then_some('_');
    first.into_iter().chain(text.chars().map(|letter| if is_allowed(letter) { letter } else { '_' })).collect()
}

/// Appends the value of a label, escaped.
pub fn push_escaped(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter if letter.is_ascii_control() => out.push('_'),
            letter => out.push(letter),
        }
    }
}
