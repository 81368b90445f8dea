//! The output of checks: points, health events, and the batch of one tick.
//!
//! Plain data. Nothing here reads a clock, a file or a socket. Time comes in with the [`Tick`], so tests build one by
//! hand.

use super::fingerprint::fingerprint;
use memchr::memchr;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A name that is usually a literal in the program; it is owned only if it came from a script or the spool.
pub type Text = Cow<'static, str>;

/// The number of a point. The metric decides which of the two it is, never the payload, because InfluxDB refuses a
/// field whose type changes. Never NaN or infinite, see [`Value::finite`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    Float(f64),
}

impl Value {
    /// The float as a value; `None` for NaN and infinity, which no sink can store.
    pub fn finite(number: f64) -> Option<Value> {
        number.is_finite().then_some(Value::Float(number))
    }

    /// The number as a float; integers above 2^53 lose precision.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Int(n) => n as f64,
            Value::Float(n) => n,
        }
    }
}

/// What a number means. OddEye and Prometheus get it as the type of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A count since some start, sent as read.
    Counter,
    /// Change per second since the previous sample.
    Rate,
    /// A percentage.
    Percent,
    /// A health event for a sink that takes events: the name is the event's name, the value its level, and its only tag
    /// `message` has the text.
    Special,
}

impl Kind {
    /// The name used in output for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Rate => "rate",
            Kind::Percent => "percent",
            Kind::Special => "special",
        }
    }

    /// The kind whose [`Kind::word`] this is.
    pub fn from_word(word: &str) -> Option<Kind> {
        [Kind::Gauge, Kind::Counter, Kind::Rate, Kind::Percent, Kind::Special]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// The metric under which a sink for numbers stores the level of an event; its tag `event` has the event's name.
pub const HEALTH_STATUS: &str = "health_status";

/// The tag of a [`Kind::Special`] point that holds the text of the event.
pub const MESSAGE: &str = "message";

/// The tags of a point besides the base tags, in the order in which the check gave them. All of them are one string, so
/// that a page of thousands of series costs one allocation per series. A clone shares the string.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Tags(Arc<str>);

/// Ends each key and each value in the string of [`Tags`]. In a key or value it is replaced, as normalising would do.
const END: char = '\0';
const IN_PLACE_OF_END: &str = "_";
/// Initial capacity while tags are collected, in bytes.
const USUAL_BYTES: usize = 128;

impl Tags {
    /// A single tag: `Tags::one("drive", "sda")`.
    pub fn one(key: impl AsRef<str>, value: &str) -> Tags {
        Tags::default().with(key, value)
    }

    /// From keys and values.
    pub fn of<'a>(tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tags {
        tags.into_iter().collect()
    }

    /// These tags, and one more at the end.
    pub fn with(&self, key: impl AsRef<str>, value: &str) -> Tags {
        let key = key.as_ref();
        let mut text = String::with_capacity(self.0.len() + key.len() + value.len() + 2);
        text.push_str(&self.0);
        push(&mut text, key, value);
        Tags(text.into())
    }

    /// Key and value of each tag, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        let mut part = move || {
            let (part, behind) = rest.split_at_checked(memchr(END as u8, rest.as_bytes())?)?;
            rest = behind.get(1..)?;
            Some(part)
        };
        std::iter::from_fn(move || Some((part()?, part()?)))
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these are the same tags, in any order.
    pub fn are_those_of(&self, other: &Tags) -> bool {
        let has = |tags: &Tags, tag| tags.iter().any(|other| other == tag);
        self == other || self.len() == other.len() && self.iter().all(|tag| has(other, tag))
    }

    /// A hash that does not depend on their order: those of the single tags are added.
    pub fn hash_in_any_order(&self) -> u64 {
        self.iter().fold(0, |sum, tag| sum.wrapping_add(fingerprint(tag)))
    }
}

fn push(text: &mut String, key: &str, value: &str) {
    for part in [key, value] {
        match memchr(END as u8, part.as_bytes()) {
            Some(_) => text.push_str(&part.replace(END, IN_PLACE_OF_END)),
            None => text.push_str(part),
        }
        text.push(END);
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.debug_map().entries(self.iter()).finish()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(tags: I) -> Tags {
        let mut text = String::with_capacity(USUAL_BYTES);
        tags.into_iter().for_each(|(key, value)| push(&mut text, key.as_ref(), value.as_ref()));
        Tags(text.into())
    }
}

/// One value of one series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub name: Text,
    pub value: Value,
    pub kind: Kind,
    /// Unix seconds of the reading; the same for all points of a run unless the source gives a time.
    pub time: i64,
    /// Value of the `type` tag.
    pub check_type: Text,
    pub tags: Tags,
    /// Host that the point is about, if it is not the daemon's own.
    pub host: Option<Arc<str>>,
    /// OddEye's switch for learned alerts: 0 all alerts, -1 none for falling values, -2 none for rising values, -3
    /// none.
    pub reaction: i8,
}

/// The identity of a series: metric name, check type, host, and all tags in any order.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    name: &'a str,
    check_type: &'a str,
    host: Option<&'a str>,
    tags: &'a Tags,
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Key) -> bool {
        (self.name, self.check_type, self.host) == (other.name, other.check_type, other.host)
            && self.tags.are_those_of(other.tags)
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.check_type, self.host).hash(state);
        state.write_u64(self.tags.hash_in_any_order());
    }
}

/// An owned [`Key`].
#[derive(Clone, Debug)]
pub struct Series {
    pub name: Text,
    pub check_type: Text,
    pub host: Option<Arc<str>>,
    pub tags: Tags,
}

impl Series {
    /// The same, borrowed.
    pub fn key(&self) -> Key<'_> {
        Key { name: &self.name, check_type: &self.check_type, host: self.host.as_deref(), tags: &self.tags }
    }
}

impl PartialEq for Series {
    fn eq(&self, other: &Series) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Series {}

impl Hash for Series {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Point {
    /// Turns an event into a point for sinks that store only numbers: `health_status` with the number of the level, and
    /// the event's name in the tag `event`. Other points stay unchanged.
    pub fn plain(self) -> Point {
        match self.kind {
            Kind::Special => {
                Point { tags: Tags::one("event", &self.name), name: HEALTH_STATUS.into(), kind: Kind::Gauge, ..self }
            }
            _ => self,
        }
    }

    /// The identity of its series, borrowed.
    pub fn key(&self) -> Key<'_> {
        Key { name: &self.name, check_type: &self.check_type, host: self.host.as_deref(), tags: &self.tags }
    }

    /// The same, owned.
    pub fn series(&self) -> Series {
        let Point { name, check_type, host, tags, .. } = self;
        Series { name: name.clone(), check_type: check_type.clone(), host: host.clone(), tags: tags.clone() }
    }

    /// The point as JSON: name, value, kind, type, tags, reaction, host and time. `own_host` is used if the point has
    /// no host of its own.
    pub fn to_json(&self, own_host: &str) -> serde_json::Value {
        let value = match self.value {
            Value::Int(n) => serde_json::Value::from(n),
            Value::Float(n) => serde_json::Value::from(n),
        };
        let tags: serde_json::Map<String, serde_json::Value> =
            self.tags.iter().map(|(key, value)| (key.to_string(), value.into())).collect();
        serde_json::json!({
            "name": self.name,
            "value": value,
            "kind": self.kind.word(),
            "type": self.check_type,
            "tags": tags,
            "reaction": self.reaction,
            "host": self.host.as_deref().unwrap_or(own_host),
            "time": self.time,
        })
    }
}

impl Point {
    /// Reads what [`Point::to_json`] wrote with the same `own_host`; `None` if a member is missing or has another type.
    pub fn from_json(json: &serde_json::Value, own_host: &str) -> Option<Point> {
        let text = |key: &str| json.get(key)?.as_str();
        let value = json.get("value")?;
        let tags: Option<Tags> = json
            .get("tags")?
            .as_object()?
            .iter()
            .map(|(key, value)| Some((key.clone(), value.as_str()?)))
            .collect::<Option<Vec<_>>>()
            .map(Tags::from_iter);
        Some(Point {
            name: text("name")?.to_string().into(),
            value: value.as_i64().map(Value::Int).or_else(|| Value::finite(value.as_f64()?))?,
            kind: Kind::from_word(text("kind")?)?,
            time: json.get("time")?.as_i64()?,
            check_type: text("type")?.to_string().into(),
            tags: tags?,
            host: Some(text("host")?).filter(|host| *host != own_host).map(Arc::from),
            reaction: json.get("reaction")?.as_i64()?.try_into().ok()?,
        })
    }
}

/// The severity of a health event. The numbers on the wire are those of OddEye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

impl Level {
    /// 0, 8 or 16: the value of a special event and of `health_status`.
    pub fn number(self) -> i64 {
        match self {
            Level::Ok => 0,
            Level::Warning => 8,
            Level::Error => 16,
        }
    }

    /// The highest level whose number is not above `number`.
    pub fn from_number(number: f64) -> Level {
        match number {
            16.0.. => Level::Error,
            8.0.. => Level::Warning,
            _ => Level::Ok,
        }
    }

    /// The word used in the message of an event.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "OK",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }
}

/// The message without the level at its start, for output that shows the level itself.
pub fn without_level<'a>(level: &str, message: &'a str) -> &'a str {
    message.strip_prefix(level).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message)
}

/// A check's judgement of what it watches, sent at every tick in which it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthEvent {
    pub name: Text,
    pub level: Level,
    pub message: String,
    /// OddEye's reaction as a multiple of `[SelfConfig] error_handler`: -1, 0 or 1.
    pub reaction: i8,
    /// Unix seconds of the judgement.
    pub time: i64,
    /// Type of the check that judged.
    pub check_type: Text,
}

impl HealthEvent {
    /// The event as JSON: event, level, message, type, reaction, host and time.
    pub fn to_json(&self, own_host: &str) -> serde_json::Value {
        serde_json::json!({
            "event": self.name,
            "level": self.level.word(),
            "message": self.message,
            "type": self.check_type,
            "reaction": self.reaction,
            "host": own_host,
            "time": self.time,
        })
    }
}

/// Everything that was emitted in one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub points: Vec<Point>,
    pub events: Vec<HealthEvent>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.events.is_empty()
    }

    /// Number of points and events.
    pub fn len(&self) -> usize {
        self.points.len() + self.events.len()
    }

    /// Appends the points and events of `other`.
    pub fn append(&mut self, other: Batch) {
        append(&mut self.points, other.points);
        append(&mut self.events, other.events);
    }
}

/// Appends `more`, which is moved as a whole if there is nothing before it.
fn append<T>(list: &mut Vec<T>, mut more: Vec<T>) {
    match list.is_empty() {
        true => *list = more,
        false => list.append(&mut more),
    }
}

/// One tick of the scheduler.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Unix seconds, the timestamp of the points of this tick.
    pub wall: i64,
    /// The same moment on the monotonic clock. Rates are computed from differences of this clock.
    pub at: Instant,
    /// When all work of this tick must be finished.
    pub deadline: Instant,
    /// Time from one tick to the next.
    pub period: Duration,
}

impl Tick {
    /// Time until the deadline; zero if it has passed.
    pub fn left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

/// The base tags of every point: who this daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub host: Arc<str>,
    pub cluster: String,
    pub group: String,
    pub location: String,
}
