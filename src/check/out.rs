//! Where the numbers, judgements and faults of a check go.

use super::series::KnownSeries;
use super::thresholds::Thresholds;
use crate::model::error::Error;
use crate::model::origin::Origin;
use crate::model::point::{Batch, HealthEvent, Kind, Level, Point, Series, Tags, Text, Tick, Value};
use crate::model::rates::{Backward, Before, Change, Count};
use crate::model::table::{Field, How, NO_COUNT, Raw, Row, Share};
use crate::state::Run;
use crate::sys::logging::FaultKind;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Periods after which an event that is not judged any more is forgotten.
const FORGET_AFTER_PERIODS: u32 = 10;

/// Faults that a sentence shows of many.
const SHOWN: usize = 3;

/// A rate that decays comes nearer to 0 for ever: what is smaller than this is 0.
const NOTHING: f64 = 1e-100;

/// What rounding may put on top of a bound.
const ROUNDED: f64 = 1.0 + 1e-9;

const BELOW_ZERO: &str = "no number to tell: what is read is some 2^63 or more, as of a count that fell below 0";
const NEGATIVE: &str = "no number to tell: what is read is below 0";
const TOO_FAST: &str = "no number to tell: what is read grows faster than it can";
const TOO_MUCH: &str = "no number to tell: what is read is more than there can be";
const MORE_THAN_ALL: &str = "no number to tell: the part is more than its whole";

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
    pub kind: FaultKind,
    /// The event about it is called after the item, not after the check.
    pub names_event: bool,
}

impl Fault {
    /// The failure of a check as a whole.
    pub fn whole(error: &Error) -> Fault {
        Fault { item: String::new(), text: error.to_string(), kind: kind_of(error), names_event: false }
    }
}

/// As what the log tells it.
fn kind_of(error: &Error) -> FaultKind {
    match error {
        Error::Absent(_) => FaultKind::Lasting,
        _ if error.is_away() => FaultKind::Away,
        _ => FaultKind::Passing,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match &*self.item {
            "" => to.write_str(&self.text),
            item => write!(to, "{item}: {}", self.text),
        }
    }
}

/// Faults as one sentence: the first of them, and how many more there are.
pub struct Faults<'a>(pub &'a [Fault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        for (place, fault) in self.0.iter().take(SHOWN).enumerate() {
            let between = if place == 0 { "" } else { "; " };
            write!(to, "{between}{fault}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(to, "; and {more} more"),
        }
    }
}

/// What a further server of a check has brought.
pub struct ServerRun {
    pub name: String,
    pub run: Run,
    /// What it could not tell, or why it failed.
    pub why: Option<String>,
}

/// Where a check's numbers go. Owned by the check's worker, kept from tick to tick: it knows the series.
pub struct Out {
    check_type: Text,
    tick: Tick,
    /// When what is told was read; `None` until something is told.
    read: Option<Instant>,
    /// See [`Out::set_host`].
    host: Option<Arc<str>>,
    batch: Batch,
    faults: Vec<Fault>,
    servers: Vec<ServerRun>,
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
            read: None,
            host: None,
            batch: Batch::default(),
            faults: Vec::new(),
            servers: Vec::new(),
            known: KnownSeries::new(max_series),
            expected: 0,
            origin: Origin::default(),
            judged: HashMap::new(),
        }
    }

    /// Starts the next run.
    pub fn begin(&mut self, tick: Tick) {
        (self.tick, self.read, self.host) = (tick, None, None);
        self.batch = Batch { points: Vec::with_capacity(self.expected), events: Vec::new() };
        self.faults.clear();
        self.servers.clear();
        self.known.begin_run();
    }

    /// What is told from here on was so at that time.
    pub fn set_moment(&mut self, wall: i64, at: Instant) {
        (self.tick.wall, self.tick.at, self.read) = (wall, at, Some(at));
    }

    /// What is told from here on has been read just now. Unless a check says so, all of a run was read when the first of it is
    /// told.
    pub fn read_now(&mut self) -> Instant {
        self.read_at(Instant::now())
    }

    /// What is told from here on was read at that instant. Never before the tick, as which the instant is handed back.
    pub fn read_at(&mut self, at: Instant) -> Instant {
        *self.read.insert(at.max(self.tick.at))
    }

    /// When what is told now was read: what has changed since then is divided by the time from reading to reading.
    pub fn when_read(&mut self) -> Instant {
        match self.read {
            Some(at) => at,
            None => self.read_now(),
        }
    }

    /// The machine that is told from here on, where that is another than the daemon's; `None`, as at the beginning of a run: its own.
    pub fn set_host(&mut self, host: Option<&str>) {
        self.host = host.map(Into::into);
    }

    /// What is told with the numbers of a device that is known by that, and by nothing else: its major and minor number, the
    /// index of an interface. Its name is a tag, which another device may have at the next tick. One that was not told in
    /// the run before starts anew.
    pub fn of<'a>(&'a mut self, device: &'a str) -> OfDevice<'a> {
        OfDevice { out: self, device }
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
        self.pick_of(row, fields, tags, None, false);
    }

    /// The same where any cell may be missing: kinds and versions of a server differ.
    pub fn pick_present(&mut self, row: &Row, fields: &'static [Field], tags: &Tags) {
        self.pick_of(row, fields, tags, None, true);
    }

    /// The same as numbers of that type: a check may tell of several kinds of things under the same names.
    pub fn pick_present_as(&mut self, check_type: &'static str, row: &Row, fields: &'static [Field], tags: &Tags) {
        let own = std::mem::replace(&mut self.check_type, check_type.into());
        self.pick_present(row, fields, tags);
        self.check_type = own;
    }

    fn pick_of(&mut self, row: &Row, fields: &'static [Field], tags: &Tags, device: Option<&str>, are_optional: bool) {
        for field in fields {
            let is_too_much =
                |raw: Raw| field.whole.and_then(|whole| row.get(whole)).is_some_and(|all| exceeds(raw, all));
            match row.get(field.cell) {
                Some(raw) if is_too_much(raw) => self.refuse(field.metric, MORE_THAN_ALL),
                Some(raw) => self.put_of(field, raw, tags, device),
                None if field.optional || are_optional => {}
                None => self.fault(format!("{}: no {} to read", field.metric, field.cell)),
            }
        }
    }

    /// One number for one table line. Counters give no point on their first sample and after a restart.
    pub fn put<'r>(&mut self, field: &'static Field, raw: impl Into<Raw<'r>>, tags: &Tags) {
        self.put_of(field, raw.into(), tags, None);
    }

    /// The same for a line whose metric is a pattern: told under that name.
    pub fn put_as<'r>(&mut self, name: &str, field: &'static Field, raw: impl Into<Raw<'r>>, tags: &Tags) {
        self.put_named(Text::Owned(name.into()), field, raw.into(), tags, None);
    }

    /// The sum of the rates of several counters, each known by a word that no other counter of this metric has. One that is new,
    /// or that fell, adds nothing until it is seen again; where none adds anything, there is no point.
    pub fn put_sum(&mut self, field: &'static Field, counters: &HashMap<String, f64>, tags: &Tags) {
        self.put_sum_named(Text::Borrowed(field.metric), field, counters, tags);
    }

    /// The same for a line whose metric is a pattern: told under that name.
    pub fn put_sum_as(&mut self, name: &str, field: &'static Field, counters: &HashMap<String, f64>, tags: &Tags) {
        self.put_sum_named(Text::Owned(name.into()), field, counters, tags);
    }

    fn put_sum_named(&mut self, name: Text, field: &'static Field, counters: &HashMap<String, f64>, tags: &Tags) {
        let check_type = self.check_type.clone();
        let series = Series { name, check_type, host: self.host.clone(), tags: tags.clone() };
        let (at, time) = (self.when_read(), self.tick.wall);
        let mut sum = None;
        if !self.known.refuses(&series) {
            let mut parts = self.known.parts(&series.name);
            for (word, count) in counters {
                let change = |before: &mut Before| before.per_second(Count::Real(*count), at, field.backward);
                let rate = parts.change(word, time, change).number();
                sum = rate.map(|rate| rate + sum.unwrap_or(0.0)).or(sum);
            }
        }
        let told = (field.how, time, field.reaction);
        self.push(series, None, told, |_| Some(told_as(field, Value::finite(sum? * field.scale)?)));
    }

    fn put_of(&mut self, field: &'static Field, raw: Raw, tags: &Tags, device: Option<&str>) {
        self.put_named(Text::Borrowed(field.metric), field, raw, tags, device);
    }

    fn put_named(&mut self, name: Text, field: &'static Field, raw: Raw, tags: &Tags, device: Option<&str>) {
        let raw = match raw {
            Raw::Text(text) => match number(text) {
                Some(raw) => raw,
                None => return self.fault(format!("{}: {}", field.metric, Error::parse("a number", text))),
            },
            raw => raw,
        };
        let series = Series { name, check_type: self.check_type.clone(), host: self.host.clone(), tags: tags.clone() };
        let (count, at) = (count(raw), self.when_read());
        let told = (field.how, self.tick.wall, field.reaction);
        let as_read = match field.how {
            How::Gauge | How::Percent | How::Counter => plain(field, raw),
            How::Rate | How::Delta => countable(raw).map(|()| None),
        };
        let device = device.filter(|_| matches!(field.how, How::Rate | How::Delta));
        let as_read = match as_read {
            Ok(value) => value,
            Err(problem) => return self.refuse(field.metric, problem),
        };
        let mut is_impossible = false;
        self.push(series, device, told, |before| {
            let change = match (field.how, field.most) {
                (How::Delta, _) => before.delta(count, at, field.backward),
                (How::Rate, Some(most)) => before.per_second_up_to(most / field.scale, count, at, field.backward),
                (How::Rate, None) => before.per_second(count, at, field.backward),
                (How::Gauge | How::Percent | How::Counter, _) => return as_read,
            };
            is_impossible = change == Change::Impossible;
            Some(told_as(field, Value::finite(change.number()? * field.scale)?))
        });
        if is_impossible {
            self.refuse(field.metric, TOO_FAST);
        }
    }

    /// How much a part is of its whole, both as counted by the same source: the one way to a share. `None` where one is not
    /// known or there is no whole, and with a fault of that metric where the part is the greater: then neither is to be believed.
    pub fn share(&mut self, metric: &str, part: Option<u64>, whole: Option<u64>) -> Option<Share> {
        let (part, whole) = (part?, whole?);
        if part > whole || whole >= NO_COUNT {
            self.refuse(metric, if whole >= NO_COUNT { BELOW_ZERO } else { MORE_THAN_ALL });
        }
        Share::of(part, whole)
    }

    /// The count as an integer; `None` and a fault from [`NO_COUNT`] on.
    pub fn integer(&mut self, metric: &str, count: u64) -> Option<i64> {
        let integer = i64::try_from(count).ok().filter(|_| count < NO_COUNT);
        if integer.is_none() {
            self.refuse(metric, BELOW_ZERO);
        }
        integer
    }

    /// A number that is none: told once a run of each metric, however many devices have it.
    pub fn refuse(&mut self, metric: &str, problem: &str) {
        if !self.faults.iter().any(|fault| fault.item == metric) {
            self.fault_of(metric, problem);
        }
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
        let series = Series { name, check_type, host: self.host.clone(), tags };
        let count = match value {
            Value::Int(number) if number >= 0 => Count::Whole(number as u64),
            other => Count::Real(other.as_f64()),
        };
        let at = self.when_read();
        self.push(series, None, (how, time.unwrap_or(self.tick.wall), 0), |before| match how {
            How::Gauge | How::Percent | How::Counter => Some(value),
            How::Rate => before.per_second(count, at, backward).number().and_then(Value::finite),
            How::Delta => before.delta(count, at, backward).number().and_then(Value::finite),
        });
    }

    /// A number as it is, whatever its kind: a change was reckoned by whoever tells it. About another `host` where there is one.
    pub fn tell_as_is(&mut self, told: Measurement, host: Option<&str>, reaction: i8) {
        let Measurement { name, value, how, check_type, tags, time } = told;
        let (name, check_type) = (Text::Owned(name.into()), Text::Owned(check_type.into()));
        let series = Series { name, check_type, host: host.map(Into::into), tags };
        self.push(series, None, (how, time.unwrap_or(self.tick.wall), reaction), |_| Some(value));
    }

    /// The number that `value` makes of what was before. A series has one number at a time, the last that was told: what a
    /// store would keep of several.
    fn push(
        &mut self,
        series: Series,
        device: Option<&str>,
        (how, time, reaction): (How, i64, i8),
        value: impl FnOnce(&mut Before) -> Option<Value>,
    ) {
        let Some(known) = self.known.of(&series, device, time) else { return };
        let Some(value) = value(known.before) else { return };
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
                *known.place = u32::try_from(points.len()).ok();
                points.push(point);
            }
        }
    }

    /// What is told from here on was counted by a process that has run for so long, as it says itself. Where that is another than
    /// in the run before, all counters begin anew. Whether it is.
    pub fn counted_for(&mut self, seconds: f64) -> bool {
        let is_new = self.origin.is_new_by_uptime(seconds, self.tick.at);
        if is_new {
            self.begin_anew();
        }
        is_new
    }

    /// The same by a word that tells a process from others: its pid, the id of its run.
    pub fn counted_by(&mut self, process: &str) {
        if self.origin.is_new_by_name(process) {
            self.begin_anew();
        }
    }

    /// What is told of this machine from here on is counted by another process than before: all its counters begin anew.
    pub fn begin_anew(&mut self) {
        self.known.begin_anew(self.host.as_deref());
    }

    /// What was told of one of several servers: its points get that tag, its events and faults its name.
    pub fn take_over(
        &mut self,
        told: &mut Out,
        tag: &'static str,
        name: &str,
        (took, failure): (Duration, Option<&Error>),
    ) {
        let (mut batch, faults) = told.finish();
        let (points, has_failed) = (batch.len(), failure.is_some());
        let faulty = faults.len() + usize::from(has_failed);
        let run = Run { tick: told.tick.wall, took, points, faults: faulty, has_failed };
        let why = match failure {
            Some(failure) => Some(failure.to_string()),
            None => (!faults.is_empty()).then(|| Faults(&faults).to_string()),
        };
        self.servers.push(ServerRun { name: name.into(), run, why });
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

    /// What each further server has brought in this run.
    pub fn take_servers(&mut self) -> Vec<ServerRun> {
        std::mem::take(&mut self.servers)
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
        self.push_fault(item, what, FaultKind::Passing, false);
    }

    /// The same, with a server that is away told as one.
    pub fn failure_of(&mut self, item: &str, error: &Error) {
        self.push_fault(item, error.to_string(), kind_of(error), false);
    }

    /// The same of what is not there, and most likely will not be: the log tells it once.
    pub fn absence_of(&mut self, item: &str, what: impl Into<String>) {
        self.push_fault(item, what, FaultKind::Lasting, false);
    }

    /// As [`Out::fault_of`], of an item that a sink which takes events knows by its own name.
    pub fn fault_by(&mut self, item: &str, what: impl Into<String>) {
        self.push_fault(item, what, FaultKind::Passing, true);
    }

    fn push_fault(&mut self, item: &str, what: impl Into<String>, kind: FaultKind, names_event: bool) {
        self.faults.push(Fault { item: item.into(), text: what.into(), kind, names_event });
    }
}

/// The numbers of one device, see [`Out::of`].
pub struct OfDevice<'a> {
    out: &'a mut Out,
    device: &'a str,
}

impl OfDevice<'_> {
    /// As [`Out::pick`].
    pub fn pick(&mut self, row: &Row, fields: &'static [Field], tags: &Tags) {
        self.out.pick_of(row, fields, tags, Some(self.device), false);
    }

    /// As [`Out::put`].
    pub fn put<'r>(&mut self, field: &'static Field, raw: impl Into<Raw<'r>>, tags: &Tags) {
        self.out.put_of(field, raw.into(), tags, Some(self.device));
    }
}

/// A number that is sent as read, in the type that its line declares; `None` for NaN and the infinities. `Err` says why it
/// cannot be.
fn plain(field: &Field, raw: Raw) -> Result<Option<Value>, &'static str> {
    let scaled = float(raw) * field.scale;
    let scaled = if scaled.abs() < NOTHING { 0.0 } else { scaled };
    match (raw, field.most) {
        (Raw::Count(NO_COUNT..), _) => Err(BELOW_ZERO),
        (_, Some(most)) if scaled > most * ROUNDED => Err(TOO_MUCH),
        _ if field.how == How::Percent && scaled < 0.0 => Err(NEGATIVE),
        (Raw::Count(n), _) if field.int && field.scale == 1.0 => Ok(i64::try_from(n).ok().map(Value::Int)),
        (Raw::Int(n), _) if field.int && field.scale == 1.0 => Ok(Some(Value::Int(n))),
        _ if !scaled.is_finite() => Ok(None),
        _ if field.int && scaled.abs() >= NO_COUNT as f64 => Err(BELOW_ZERO),
        _ if field.int => Ok(Some(Value::Int(scaled as i64))),
        (_, most) => Ok(Some(Value::Float(most.map_or(scaled, |most| scaled.min(most))))),
    }
}

/// What was computed, in the type that its line declares.
fn told_as(field: &Field, told: Value) -> Value {
    if field.int { Value::Int(told.as_f64().round() as i64) } else { told }
}

/// Whether it may be the count of something.
fn countable(raw: Raw) -> Result<(), &'static str> {
    match raw {
        Raw::Count(NO_COUNT..) => Err(BELOW_ZERO),
        raw if float(raw) < 0.0 => Err(NEGATIVE),
        _ => Ok(()),
    }
}

/// Whether the part is more than the whole; where one of them is no number, that is another matter.
fn exceeds(part: Raw, whole: Raw) -> bool {
    let read = |raw| match raw {
        Raw::Text(text) => number(text),
        raw => Some(raw),
    };
    read(part).zip(read(whole)).is_some_and(|(part, whole)| float(part) > float(whole))
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
