//! Where the numbers, judgements and faults of a check go.

use super::series::KnownSeries;
use super::thresholds::Thresholds;
use crate::model::error::Error;
use crate::model::origin::Origin;
use crate::model::point::{Batch, HealthEvent, Kind, Level, Point, Series, Tags, Text, Tick, Value};
use crate::model::rates::{Backward, Before, Count};
use crate::model::table::{Field, How, Raw, Row};
use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

/// Periods after which an event that is not judged any more is forgotten.
const FORGET_AFTER_PERIODS: u32 = 10;

/// A number that brings all that there is to say of it.
pub struct Measurement<'a> {
    pub name: &'a str,
    pub value: Value,
    pub how: How,
    pub check_type: &'a str,
    pub tags: Tags,
    /// Unix seconds; `None`: that of the tick.
    pub time: Option<i64>,
}

/// Something that could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The device, plugin or container that it is about; empty where it is the check as a whole.
    pub item: String,
    pub text: String,
    /// Logged once, not again and again.
    pub is_lasting: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match &*self.item {
            "" => to.write_str(&self.text),
            item => write!(to, "{item}: {}", self.text),
        }
    }
}

/// Where a check's numbers go. Owned by the check's worker, kept from tick to tick: it knows the series.
pub struct Out {
    check_type: Text,
    tick: Tick,
    batch: Batch,
    faults: Vec<Fault>,
    known: KnownSeries,
    /// Points of the last run.
    expected: usize,
    origin: Origin,
    /// The last judgement of each event, and when it was made.
    judged: HashMap<Text, (Level, Instant)>,
}

impl Out {
    /// `check_type` is the type of all points that do not bring their own.
    pub fn new(check_type: impl Into<Text>, max_series: usize, tick: Tick) -> Out {
        Out {
            check_type: check_type.into(),
            tick,
            batch: Batch::default(),
            faults: Vec::new(),
            known: KnownSeries::new(max_series),
            expected: 0,
            origin: Origin::default(),
            judged: HashMap::new(),
        }
    }

    /// Starts the next run.
    pub fn begin(&mut self, tick: Tick) {
        self.tick = tick;
        self.batch = Batch { points: Vec::with_capacity(self.expected), events: Vec::new() };
        self.faults.clear();
        self.known.begin_run();
    }

    /// What is told from here on was so at that time.
    pub fn set_moment(&mut self, wall: i64, at: Instant) {
        (self.tick.wall, self.tick.at) = (wall, at);
    }

    /// Ends the run: what was told, and the soft faults on the way.
    pub fn finish(&mut self) -> (Batch, Vec<Fault>) {
        let (most, refused) = self.known.end_run();
        if refused > 0 {
            self.fault(format!("{refused} new series refused, max_series = {most} is reached"));
        }
        let age = self.tick.period * FORGET_AFTER_PERIODS;
        self.judged.retain(|_, (_, seen)| self.tick.at.saturating_duration_since(*seen) <= age);
        self.expected = self.batch.points.len();
        (std::mem::take(&mut self.batch), std::mem::take(&mut self.faults))
    }

    /// Applies a table to a row: each line's cell becomes a point. A missing or unreadable cell costs that line alone.
    pub fn pick(&mut self, row: &Row, fields: &'static [Field], tags: &Tags) {
        for field in fields {
            match row.get(field.cell) {
                Some(raw) => self.put(field, raw, tags),
                None if field.optional => {}
                None => self.fault(format!("{}: no {} to read", field.metric, field.cell)),
            }
        }
    }

    /// One number for one table line. Counters give no point on their first sample and after a restart.
    pub fn put<'r>(&mut self, field: &'static Field, raw: impl Into<Raw<'r>>, tags: &Tags) {
        let raw = match raw.into() {
            Raw::Text(text) => match number(text) {
                Some(raw) => raw,
                None => return self.fault(format!("{}: {}", field.metric, Error::parse("a number", text))),
            },
            raw => raw,
        };
        let (name, check_type) = (Text::Borrowed(field.metric), self.check_type.clone());
        let series = Series { name, check_type, host: None, tags: tags.clone() };
        let (count, at) = (count(raw), self.tick.at);
        let scaled = |change: Option<f64>| change.and_then(|n| Value::finite(n * field.scale));
        self.push(series, (field.how, self.tick.wall, field.reaction), |before| match field.how {
            How::Gauge | How::Percent | How::Counter => plain(field, raw),
            How::Rate => scaled(before.per_second(count, at, field.backward).number()),
            How::Delta => scaled(before.delta(count, at, field.backward).number()),
        });
    }

    /// What the meters of several table lines told together. Where one began anew, all that has these tags does.
    pub fn put_totals(&mut self, totals: Vec<(&'static Field, Option<u64>)>, tags: &Tags) {
        if totals.iter().any(|(_, total)| total.is_none()) {
            self.forget(std::slice::from_ref(tags));
        }
        for (field, total) in totals {
            self.put(field, total.unwrap_or_default(), tags);
        }
    }

    /// A number that brings name, type and tags of its own. A change gives no point on its first sample and after a
    /// restart.
    pub fn tell(&mut self, told: Measurement) {
        self.tell_with(told, Backward::Reset);
    }

    /// The same for a counter of which is known what it means that it went back.
    pub fn tell_with(&mut self, told: Measurement, backward: Backward) {
        let Measurement { name, value, how, check_type, tags, time } = told;
        let (name, check_type) = (Text::Owned(name.into()), Text::Owned(check_type.into()));
        let series = Series { name, check_type, host: None, tags };
        let count = match value {
            Value::Int(number) if number >= 0 => Count::Whole(number as u64),
            other => Count::Real(other.as_f64()),
        };
        let at = self.tick.at;
        self.push(series, (how, time.unwrap_or(self.tick.wall), 0), |before| match how {
            How::Gauge | How::Percent | How::Counter => Some(value),
            How::Rate => before.per_second(count, at, backward).number().and_then(Value::finite),
            How::Delta => before.delta(count, at, backward).number().and_then(Value::finite),
        });
    }

    /// The number that `value` makes of what was before. A series has one number at a time, the last that was told: what a
    /// store would keep of several.
    fn push(
        &mut self,
        series: Series,
        (how, time, reaction): (How, i64, i8),
        value: impl FnOnce(&mut Before) -> Option<Value>,
    ) {
        let Some(known) = self.known.of(&series) else { return };
        let Some(value) = value(&mut known.before) else { return };
        let kind = match how {
            How::Gauge | How::Delta => Kind::Gauge,
            How::Percent => Kind::Percent,
            How::Rate => Kind::Rate,
            How::Counter => Kind::Counter,
        };
        let Series { name, check_type, host, tags } = series;
        let point = Point { name, value, kind, time, check_type, tags, host, reaction };
        let points = &mut self.batch.points;
        match known.place.and_then(|place| points.get_mut(place as usize)).filter(|old| old.time == time) {
            Some(old) => *old = point,
            None => {
                known.place = u32::try_from(points.len()).ok();
                points.push(point);
            }
        }
    }

    /// What is told from here on was counted by a process that has run for so long, as it says itself. Where that is another than
    /// in the run before, all counters begin anew.
    pub fn counted_for(&mut self, seconds: f64) {
        if self.origin.is_new_by_uptime(seconds, self.tick.at) {
            self.known.begin_anew();
        }
    }

    /// The same by a word that tells a process from others: its pid, the id of its run.
    pub fn counted_by(&mut self, process: &str) {
        if self.origin.is_new_by_name(process) {
            self.known.begin_anew();
        }
    }

    /// What was told of one of several servers: its points get that tag, its events and faults its name.
    pub fn take_over(&mut self, told: &mut Out, tag: &'static str, name: &str) {
        let (mut batch, faults) = told.finish();
        for point in &mut batch.points {
            point.tags = point.tags.with(tag, name);
        }
        for event in &mut batch.events {
            event.name = Text::Owned(format!("{}:{name}", event.name));
        }
        self.batch.append(batch);
        for fault in faults {
            let item = if fault.item.is_empty() { name.into() } else { format!("{name}: {}", fault.item) };
            self.faults.push(Fault { item, ..fault });
        }
    }

    /// Whether there may be no more series: a device that is new need not be looked at.
    pub fn is_full(&self) -> bool {
        self.known.is_full()
    }

    /// Drops the history of devices that have left, of all that has the tags of one of them and maybe more: should one of that
    /// name come back, its counters start anew.
    pub fn forget(&mut self, gone: &[Tags]) {
        self.known.forget(gone);
    }

    /// A judgement about what is watched; `reaction` counts in `[SelfConfig] error_handler`. The first that is well after
    /// one that was not says so.
    pub fn health(&mut self, name: impl Into<Text>, level: Level, mut message: String, reaction: i8) {
        let name = name.into();
        let before = self.judged.insert(name.clone(), (level, self.tick.at));
        if level == Level::Ok && before.is_some_and(|(before, _)| before != Level::Ok) {
            message.insert_str(0, "recovered: ");
        }
        let (time, check_type) = (self.tick.wall, self.check_type.clone());
        self.batch.events.push(HealthEvent { name, level, message, reaction, time, check_type });
    }

    /// A judgement by thresholds, where events are switched on. `words` is the message without the level.
    pub fn judge(
        &mut self,
        thresholds: &Thresholds,
        event: impl Into<Text>,
        percent: f64,
        words: fmt::Arguments,
        reaction: i8,
    ) {
        let event = event.into();
        let before = self.judged.get(&event).map_or(Level::Ok, |(before, _)| *before);
        if let Some(level) = thresholds.judge(percent, before) {
            self.health(event, level, format!("{}: {words}", level.word()), reaction);
        }
    }

    /// A part that could not be told; the rest is sent. The scheduler logs it, folded.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.fault_of("", what);
    }

    /// The same of one of several things that fail and recover each for itself: it has log lines of its own.
    pub fn fault_of(&mut self, item: &str, what: impl Into<String>) {
        self.faults.push(Fault { item: item.into(), text: what.into(), is_lasting: false });
    }

    /// The same of what is not there, and most likely will not be: the log tells it once.
    pub fn absence_of(&mut self, item: &str, what: impl Into<String>) {
        self.faults.push(Fault { item: item.into(), text: what.into(), is_lasting: true });
    }
}

/// A number that is sent as read, in the type that its line declares. `None` for NaN and the infinities.
fn plain(field: &Field, raw: Raw) -> Option<Value> {
    if field.int && field.scale == 1.0 {
        return match raw {
            Raw::Count(n) => Some(Value::Int(i64::try_from(n).unwrap_or(i64::MAX))),
            Raw::Int(n) => Some(Value::Int(n)),
            Raw::Float(n) => n.is_finite().then_some(Value::Int(n as i64)),
            Raw::Text(_) => None,
        };
    }
    let scaled = Value::finite(float(raw) * field.scale)?;
    Some(if field.int { Value::Int(scaled.as_f64() as i64) } else { scaled })
}

fn float(raw: Raw) -> f64 {
    match raw {
        Raw::Count(n) => n as f64,
        Raw::Int(n) => n as f64,
        Raw::Float(n) => n,
        Raw::Text(_) => f64::NAN,
    }
}

fn count(raw: Raw) -> Count {
    match raw {
        Raw::Count(n) => Count::Whole(n),
        other => Count::Real(float(other)),
    }
}

/// Digits as a number. The words `nan`, `inf` and `infinity`, which Rust's parser takes, are no numbers here.
fn number(text: &str) -> Option<Raw<'static>> {
    let text = text.trim();
    if text.ends_with(|last: char| last.is_ascii_alphabetic()) {
        return None;
    }
    if let Ok(n) = text.parse::<u64>() {
        return Some(Raw::Count(n));
    }
    if let Ok(n) = text.parse::<i64>() {
        return Some(Raw::Int(n));
    }
    text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Raw::Float)
}
