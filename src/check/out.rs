//! [`Out`]: takes the points, health events and faults of a check.

use super::series::KnownSeries;
use super::thresholds::Thresholds;
use crate::model::error::Error;
use crate::model::origin::Origin;
use crate::model::point::{Batch, HealthEvent, Kind, Level, Point, Series, Tags, Text, Tick, Value};
use crate::model::rates::{Backward, Change, Count, SampleHistory};
use crate::model::table::{Field, How, NO_COUNT, Raw, Row, Share};
use crate::state::Run;
use crate::sys::logging::FaultKind;
use foldhash::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An event that was not judged for this many periods is forgotten.
const FORGET_AFTER_PERIODS: u32 = 10;

/// Maximum number of log messages that are kept per run.
const MAX_MESSAGES: usize = 20;

/// Maximum number of faults that a sentence lists.
const SHOWN: usize = 3;

/// Some servers send exponentially decaying rates, which never reach 0. Smaller values than this are emitted as 0.
const NOTHING: f64 = 1e-100;

/// Tolerance for rounding errors when a value is compared with its upper bound.
const ROUNDED: f64 = 1.0 + 1e-9;

const BELOW_ZERO: &str = "no number to tell: what is read is some 2^63 or more, as of a count that fell below 0";
const NEGATIVE: &str = "no number to tell: what is read is below 0";
const TOO_FAST: &str = "no number to tell: what is read grows faster than it can";
const TOO_MUCH: &str = "no number to tell: what is read is more than there can be";
const MORE_THAN_ALL: &str = "no number to tell: the part is more than its whole";

/// Values of several counters, each under the [`fingerprint`](crate::model::fingerprint::fingerprint) of its identity.
pub type Counters = HashMap<u64, f64>;

/// A number that brings its own name, kind, type, tags and time.
pub struct Measurement<'a> {
    pub name: &'a str,
    pub value: Value,
    pub how: How,
    pub check_type: &'a str,
    pub tags: Tags,
    /// Unix seconds; `None`: the time of the tick.
    pub time: Option<i64>,
}

/// A problem with one part of a check; the rest of its points is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The device, plugin or container concerned; empty for the check as a whole.
    pub item: String,
    pub text: String,
    pub kind: FaultKind,
    /// Whether the event for this fault is named after the item, not after the check.
    pub names_event: bool,
}

impl Fault {
    /// The fault for a check that failed as a whole.
    pub fn whole(error: &Error) -> Fault {
        Fault { item: String::new(), text: error.to_string(), kind: kind_of(error), names_event: false }
    }
}

/// How the log treats this error.
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

/// Several faults as one sentence: the first [`SHOWN`], and the number of the others.
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

/// The result of one further server of a check, see [`super::instances`].
pub struct ServerRun {
    pub name: String,
    pub run: Run,
    /// Its faults, or why it failed.
    pub why: Option<String>,
}

/// Takes what a check emits. Each worker keeps one for its check, because it holds the previous samples of all series.
pub struct Out {
    check_type: Text,
    tick: Tick,
    /// When the values emitted now were read; `None` until the first one of a run.
    read: Option<Instant>,
    /// Host of the points emitted now, see [`Out::set_host`].
    host: Option<Arc<str>>,
    batch: Batch,
    faults: Vec<Fault>,
    /// For the log; no faults.
    messages: Vec<String>,
    servers: Vec<ServerRun>,
    known: KnownSeries,
    /// Number of points of the last run, to allocate the next batch.
    expected: usize,
    origin: Origin,
    /// The last level of each event, and when it was judged.
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
            messages: Vec::new(),
            servers: Vec::new(),
            known: KnownSeries::new(max_series),
            expected: 0,
            origin: Origin::default(),
            judged: HashMap::default(),
        }
    }

    /// Starts the next run.
    pub fn begin(&mut self, tick: Tick) {
        (self.tick, self.read, self.host) = (tick, None, None);
        self.batch = Batch { points: Vec::with_capacity(self.expected), events: Vec::new() };
        self.faults.clear();
        self.messages.clear();
        self.servers.clear();
        self.known.begin_run();
    }

    /// Sets the time of all values emitted from here on: `wall` in Unix seconds, `at` the same moment on the monotonic
    /// clock.
    pub fn set_moment(&mut self, wall: i64, at: Instant) {
        (self.tick.wall, self.tick.at, self.read) = (wall, at, Some(at));
    }

    /// Declares that the values emitted from here on were read now. Without this call, all values of a run count as
    /// read when the first one is emitted.
    pub fn read_now(&mut self) -> Instant {
        self.read_at(Instant::now())
    }

    /// Declares that the values emitted from here on were read at `at`. A moment before the start of the tick is
    /// replaced by the start. Returns the moment used.
    pub fn read_at(&mut self, at: Instant) -> Instant {
        *self.read.insert(at.max(self.tick.at))
    }

    /// When the values emitted now were read. Rates are divided by the time between two readings.
    pub fn when_read(&mut self) -> Instant {
        match self.read {
            Some(at) => at,
            None => self.read_now(),
        }
    }

    /// Sets the host of the points emitted from here on; `None`, the value at the start of a run, is the daemon's own
    /// host.
    pub fn set_host(&mut self, host: Option<&str>) {
        self.host = host.map(Into::into);
    }

    /// Emits values of a device under an identity that cannot be renamed: major and minor number, index of an
    /// interface. The device's name is only a tag, and another device may have it at the next tick. If the device was
    /// missing in the previous run, its counters start again.
    pub fn of<'a>(&'a mut self, device: &'a str) -> OfDevice<'a> {
        OfDevice { out: self, device }
    }

    /// Ends the run: returns its points and events, and its faults.
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

    /// Emits one point per field from the cell of `row` that it names. A missing or unreadable cell is a fault, and the
    /// other fields are emitted.
    pub fn pick(&mut self, row: &Row, fields: &'static [Field], tags: &Tags) {
        self.pick_of(row, fields, tags, None, false);
    }

    /// The same, but a missing cell is no fault, for sources whose cells depend on the version.
    pub fn pick_present(&mut self, row: &Row, fields: &'static [Field], tags: &Tags) {
        self.pick_of(row, fields, tags, None, true);
    }

    /// The same with another check type, for a check that emits several types under the same metric names.
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

    /// Emits one number under one field. A counter gives no point for its first sample and after a restart.
    pub fn put<'r>(&mut self, field: &'static Field, raw: impl Into<Raw<'r>>, tags: &Tags) {
        self.put_of(field, raw.into(), tags, None);
    }

    /// The same for a field whose metric is a pattern; `name` is the metric name.
    pub fn put_as<'r>(&mut self, name: &str, field: &'static Field, raw: impl Into<Raw<'r>>, tags: &Tags) {
        self.put_named(Text::Owned(name.into()), field, raw.into(), tags, None);
    }

    /// Emits the sum of the rates of several counters. The key of `counters` identifies a counter among all of this
    /// metric. A counter that is new or went back adds nothing until its next sample; if no counter adds anything,
    /// there is no point.
    pub fn put_sum(&mut self, field: &'static Field, counters: &Counters, tags: &Tags) {
        self.put_sum_named(Text::Borrowed(field.metric), field, counters, tags);
    }

    /// The same for a field whose metric is a pattern; `name` is the metric name.
    pub fn put_sum_as(&mut self, name: &str, field: &'static Field, counters: &Counters, tags: &Tags) {
        self.put_sum_named(Text::Owned(name.into()), field, counters, tags);
    }

    fn put_sum_named(&mut self, name: Text, field: &'static Field, counters: &Counters, tags: &Tags) {
        let check_type = self.check_type.clone();
        let series = Series { name, check_type, host: self.host.clone(), tags: tags.clone() };
        let (at, time) = (self.when_read(), self.tick.wall);
        let mut sum = None;
        if !self.known.refuses(&series) {
            let mut parts = self.known.parts(&series.name);
            for (counter, count) in counters {
                let change = |before: &mut SampleHistory| before.per_second(Count::Real(*count), at, field.backward);
                let rate = parts.change(*counter, time, change).number();
                sum = rate.map(|rate| rate + sum.unwrap_or(0.0)).or(sum);
            }
        }
        let meta = (field.how, time, field.reaction);
        self.push(series, None, meta, |_| Some(as_declared(field, Value::finite(sum? * field.scale)?)));
    }

    fn put_of(&mut self, field: &'static Field, raw: Raw, tags: &Tags, device: Option<&str>) {
        self.put_named(Text::Borrowed(field.metric), field, raw, tags, device);
    }

    fn put_named(&mut self, name: Text, field: &'static Field, raw: Raw, tags: &Tags, device: Option<&str>) {
        let raw = match raw {
            Raw::Text(text) => match Raw::number(text) {
                Some(raw) => raw,
                None => return self.fault(format!("{}: {}", field.metric, Error::parse("a number", text))),
            },
            raw => raw,
        };
        let series = Series { name, check_type: self.check_type.clone(), host: self.host.clone(), tags: tags.clone() };
        let (count, at) = (count(raw), self.when_read());
        let meta = (field.how, self.tick.wall, field.reaction);
        let as_read = match field.how {
            How::Gauge | How::Percent | How::Counter => plain(field, raw),
            How::Rate | How::Delta => countable(raw).map(|()| None),
        };
        let as_read = match as_read {
            Ok(value) => value,
            Err(problem) => return self.refuse(field.metric, problem),
        };
        let mut is_impossible = false;
        self.push(series, device, meta, |before| {
            let Some(before) = before else { return as_read };
            let change = match (field.how, field.most) {
                (How::Delta, _) => before.delta(count, at, field.backward),
                (_, Some(most)) => before.per_second_up_to(most / field.scale, count, at, field.backward),
                (_, None) => before.per_second(count, at, field.backward),
            };
            is_impossible = change == Change::Impossible;
            Some(as_declared(field, Value::finite(change.number()? * field.scale)?))
        });
        if is_impossible {
            self.refuse(field.metric, TOO_FAST);
        }
    }

    /// The share of `part` in `whole`, both counted by the same source; every percentage of two counts is computed
    /// here. `None` if one of them is unknown or the whole is 0. If the part is larger than the whole, both are wrong:
    /// `None`, and a fault for `metric`.
    pub fn share(&mut self, metric: &str, part: Option<u64>, whole: Option<u64>) -> Option<Share> {
        let (part, whole) = (part?, whole?);
        if part > whole || whole >= NO_COUNT {
            self.refuse(metric, if whole >= NO_COUNT { BELOW_ZERO } else { MORE_THAN_ALL });
        }
        Share::of(part, whole)
    }

    /// The count as an integer; `None` and a fault for [`NO_COUNT`] and above.
    pub fn integer(&mut self, metric: &str, count: u64) -> Option<i64> {
        let integer = i64::try_from(count).ok().filter(|_| count < NO_COUNT);
        if integer.is_none() {
            self.refuse(metric, BELOW_ZERO);
        }
        integer
    }

    /// Reports a value that cannot be true: one fault per metric and run, however many devices have it.
    pub fn refuse(&mut self, metric: &str, problem: &str) {
        if !self.faults.iter().any(|fault| fault.item == metric) {
            self.fault_of(metric, problem);
        }
    }

    /// Emits the totals of several [meters](crate::model::meter::Meter). A total of `None` means that a counter went
    /// back: then all series with these tags start again.
    pub fn put_totals(&mut self, totals: Vec<(&'static Field, Option<u64>)>, tags: &Tags) {
        if totals.iter().any(|(_, total)| total.is_none()) {
            self.forget(std::slice::from_ref(tags));
        }
        for (field, total) in totals {
            self.put(field, total.unwrap_or_default(), tags);
        }
    }

    /// Emits a number that brings its own name, type and tags. A rate or delta gives no point for its first sample and
    /// after a restart.
    pub fn tell(&mut self, measurement: Measurement) {
        self.tell_with(measurement, Backward::Reset);
    }

    /// The same for a counter with a rule for going back.
    pub fn tell_with(&mut self, measurement: Measurement, backward: Backward) {
        let Measurement { name, value, how, check_type, tags, time } = measurement;
        let (name, check_type) = (Text::Owned(name.into()), Text::Owned(check_type.into()));
        let series = Series { name, check_type, host: self.host.clone(), tags };
        let count = match value {
            Value::Int(number) if number >= 0 => Count::Whole(number as u64),
            other => Count::Real(other.as_f64()),
        };
        let at = self.when_read();
        self.push(series, None, (how, time.unwrap_or(self.tick.wall), 0), |before| {
            let Some(before) = before else { return Some(value) };
            let change = match how {
                How::Delta => before.delta(count, at, backward),
                _ => before.per_second(count, at, backward),
            };
            change.number().and_then(Value::finite)
        });
    }

    /// Emits a number unchanged, even if it is declared as a rate: the sender has computed the change already. `host`:
    /// the host of the point, if it is not the daemon's.
    pub fn tell_as_is(&mut self, measurement: Measurement, host: Option<&str>, reaction: i8) {
        let Measurement { name, value, how, check_type, tags, time } = measurement;
        let (name, check_type) = (Text::Owned(name.into()), Text::Owned(check_type.into()));
        let series = Series { name, check_type, host: host.map(Into::into), tags };
        self.push(series, None, (how, time.unwrap_or(self.tick.wall), reaction), |_| Some(value));
    }

    /// Emits the point whose value is computed by `value` from the counter's previous samples. A series has one point
    /// per timestamp: a second one replaces the first, as a store would do.
    fn push(
        &mut self,
        series: Series,
        device: Option<&str>,
        (how, time, reaction): (How, i64, i8),
        value: impl FnOnce(Option<&mut SampleHistory>) -> Option<Value>,
    ) {
        let is_counter = matches!(how, How::Rate | How::Delta);
        let kind = match how {
            How::Gauge | How::Delta => Kind::Gauge,
            How::Percent => Kind::Percent,
            How::Rate => Kind::Rate,
            How::Counter => Kind::Counter,
        };
        let points = &mut self.batch.points;
        self.known.of(series, is_counter, device, time, |series, known| {
            let Some(value) = value(known.history) else { return };
            let Series { name, check_type, host, tags } = series;
            let point = Point { name, value, kind, time, check_type, tags, host, reaction };
            match points.get_mut(*known.place as usize).filter(|old| old.time == time) {
                Some(old) => *old = point,
                None => {
                    *known.place = points.len() as u32;
                    points.push(point);
                }
            }
        });
    }

    /// Detects a restart of the server by its uptime in seconds, see [`Origin`]. If it restarted, all counters start
    /// again. Returns whether it did.
    pub fn counted_for(&mut self, seconds: f64) -> bool {
        let is_new = self.origin.is_new_by_uptime(seconds, self.tick.at);
        if is_new {
            self.begin_anew();
        }
        is_new
    }

    /// The same by an identity of the process: its pid, or an id of its run.
    pub fn counted_by(&mut self, process: &str) {
        if self.origin.is_new_by_name(process) {
            self.begin_anew();
        }
    }

    /// Forgets the previous samples of all counters of the current host, because another process counts now.
    pub fn begin_anew(&mut self) {
        self.known.begin_anew(self.host.as_deref());
    }

    /// Takes over the run of one of several servers: its points get the tag, its events and faults get the server's
    /// name.
    pub fn take_over(
        &mut self,
        server_out: &mut Out,
        tag: &'static str,
        name: &str,
        (took, failure): (Duration, Option<&Error>),
    ) {
        let (mut batch, faults) = server_out.finish();
        let (points, has_failed) = (batch.len(), failure.is_some());
        let faulty = faults.len() + usize::from(has_failed);
        let run = Run { tick: server_out.tick.wall, took, points, faults: faulty, has_failed };
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

    /// The results of the further servers in this run.
    pub fn take_servers(&mut self) -> Vec<ServerRun> {
        std::mem::take(&mut self.servers)
    }

    /// Whether `max_series` is reached, so that new devices need not be looked at.
    pub fn is_full(&self) -> bool {
        self.known.is_full()
    }

    /// Forgets the counters of removed devices: every series that has all tags of one entry of `gone`. A device that
    /// returns under the same name starts again.
    pub fn forget(&mut self, gone: &[Tags]) {
        self.known.forget(gone);
    }

    /// Emits a health event. `reaction` counts in `[SelfConfig] error_handler`. The first `Ok` after another level gets
    /// a message that starts with "recovered: ".
    pub fn health(&mut self, name: impl Into<Text>, level: Level, mut message: String, reaction: i8) {
        let name = name.into();
        let before = self.judged.insert(name.clone(), (level, self.tick.at));
        if level == Level::Ok && before.is_some_and(|(before, _)| before != Level::Ok) {
            message.insert_str(0, "recovered: ");
        }
        let (time, check_type) = (self.tick.wall, self.check_type.clone());
        self.batch.events.push(HealthEvent { name, level, message, reaction, time, check_type });
    }

    /// Judges a percentage by thresholds and emits the event, unless events are switched off. `words` is the message
    /// without the level.
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

    /// Adds a message for the log that is no fault.
    pub fn say(&mut self, text: String) {
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push(text);
        }
    }

    /// Takes the messages of this run.
    pub fn take_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }

    /// Reports a part that could not be read; the rest is sent. The scheduler logs it and folds repeats.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.fault_of("", what);
    }

    /// The same for one of several items that fail and recover independently; each has its own log lines.
    pub fn fault_of(&mut self, item: &str, what: impl Into<String>) {
        self.push_fault(item, what, FaultKind::Passing, false);
    }

    /// The same for an error; the log shows an unreachable server as one complaint.
    pub fn failure_of(&mut self, item: &str, error: &Error) {
        self.push_fault(item, error.to_string(), kind_of(error), false);
    }

    /// The same for something that is missing and probably stays missing: the log shows it once.
    pub fn absence_of(&mut self, item: &str, what: impl Into<String>) {
        self.push_fault(item, what, FaultKind::Lasting, false);
    }

    /// As [`Out::fault_of`], but a sink that takes events gets an event named after the item, not after the check.
    pub fn fault_by(&mut self, item: &str, what: impl Into<String>) {
        self.push_fault(item, what, FaultKind::Passing, true);
    }

    fn push_fault(&mut self, item: &str, what: impl Into<String>, kind: FaultKind, names_event: bool) {
        self.faults.push(Fault { item: item.into(), text: what.into(), kind, names_event });
    }
}

/// The values of one device, see [`Out::of`].
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

/// A value that is sent as read, converted to the type that the field declares. `None` for NaN and infinity; `Err` for
/// a value that cannot be true.
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

/// A computed value, converted to the type that the field declares.
fn as_declared(field: &Field, value: Value) -> Value {
    if field.int { Value::Int(value.as_f64().round() as i64) } else { value }
}

/// `Err` if the value cannot be a count.
fn countable(raw: Raw) -> Result<(), &'static str> {
    match raw {
        Raw::Count(NO_COUNT..) => Err(BELOW_ZERO),
        raw if float(raw) < 0.0 => Err(NEGATIVE),
        _ => Ok(()),
    }
}

/// Whether the part is larger than the whole; `false` if one of them is no number.
fn exceeds(part: Raw, whole: Raw) -> bool {
    let read = |raw| match raw {
        Raw::Text(text) => Raw::number(text),
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
