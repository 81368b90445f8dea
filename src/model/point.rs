//! What a check tells: points, health events and the batch that one tick makes of them.
//!
//! Plain data. Nothing here reads a clock, a file or a socket: time comes in with the [`Tick`], so a test builds one by hand.

use std::borrow::Cow;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A name that is nearly always a literal of the program, and owned only when it came from a script or the spool.
pub type Text = Cow<'static, str>;

/// The number of a point. Which of the two it is belongs to the metric, never to one payload: InfluxDB refuses a field
/// that changes its type. Never NaN or infinite (see [`Value::finite`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    Float(f64),
}

impl Value {
    /// The float as a value; `None` for NaN and the infinities, which no sink can store.
    pub fn finite(number: f64) -> Option<Value> {
        number.is_finite().then_some(Value::Float(number))
    }

    /// The number as a float; integers beyond 2^53 lose their last digits.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Int(n) => n as f64,
            Value::Float(n) => n,
        }
    }
}

/// What kind of number a point is. Sinks that know the difference (OddEye, Prometheus) tell it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level: goes up and down.
    Gauge,
    /// A count since some start, sent as read.
    Counter,
    /// Change per second since the previous sample.
    Rate,
    /// A share of 100.
    Percent,
    /// A health event for a sink that takes events as they are: the name is the event's, the value its level, and the only
    /// tag `message` its text.
    Special,
}

impl Kind {
    /// The word used in output for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Rate => "rate",
            Kind::Percent => "percent",
            Kind::Special => "special",
        }
    }

    /// The kind named by [`Kind::word`].
    pub fn from_word(word: &str) -> Option<Kind> {
        [Kind::Gauge, Kind::Counter, Kind::Rate, Kind::Percent, Kind::Special]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// The metric as which the level of an event is kept in a store of numbers, with the tag `event`.
pub const HEALTH_STATUS: &str = "health_status";

/// The tag of a [`Kind::Special`] that holds the text of the event.
pub const MESSAGE: &str = "message";

/// Tags beyond the base tags, in the order in which the check gave them. Cloning is one counter, so that all points
/// of a device share one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Arc<[(Text, Box<str>)]>);

impl Tags {
    /// A single tag, the usual case: `Tags::one("drive", "sda")`.
    pub fn one(key: impl Into<Text>, value: &str) -> Tags {
        Tags(Arc::new([(key.into(), value.into())]))
    }

    /// Of names and values that were read.
    pub fn of<'a>(tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tags {
        tags.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
    }

    /// These, and that one behind them.
    pub fn with(&self, key: impl Into<Text>, value: &str) -> Tags {
        Tags(self.0.iter().cloned().chain([(key.into(), value.into())]).collect())
    }

    /// Key and value of each tag, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Text>, V: Into<Box<str>>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(tags: I) -> Tags {
        Tags(tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// One number of one series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub name: Text,
    pub value: Value,
    pub kind: Kind,
    /// Unix seconds at collection, the same for all points of a run.
    pub time: i64,
    /// Becomes the `type` tag.
    pub check_type: Text,
    pub tags: Tags,
    /// Set where the number is about another machine; else the daemon's own host name is used.
    pub host: Option<Arc<str>>,
    /// OddEye's switch for learned alerts: 0 all, -1 not when smaller, -2 not when bigger, -3 none.
    pub reaction: i8,
}

/// What makes values one series: name, type of the check, host, and all tags in whatever order.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    name: &'a str,
    check_type: &'a str,
    host: Option<&'a str>,
    tags: &'a Tags,
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Key) -> bool {
        let has = |tags: &Tags, tag| tags.iter().any(|other| other == tag);
        (self.name, self.check_type, self.host) == (other.name, other.check_type, other.host)
            && self.tags.len() == other.tags.len()
            && (self.tags == other.tags || self.tags.iter().all(|tag| has(other.tags, tag)))
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.check_type, self.host).hash(state);
        // A sum, so that two orders of the same tags meet.
        let of_tag = |tag| BuildHasherDefault::<DefaultHasher>::default().hash_one(tag);
        state.write_u64(self.tags.iter().fold(0, |sum, tag| sum.wrapping_add(of_tag(tag))));
    }
}

/// A [`Key`] that is kept.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: Text,
    pub check_type: Text,
    pub host: Option<Arc<str>>,
    pub tags: Tags,
}

impl Series {
    fn key(&self) -> Key<'_> {
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
    /// An event as what stores of numbers can hold: `health_status` with the number of the level, the name of the event as tag
    /// `event`, and the type of the check that judged. Other points stay what they are.
    pub fn plain(self) -> Point {
        match self.kind {
            Kind::Special => {
                Point { tags: Tags::one("event", &self.name), name: HEALTH_STATUS.into(), kind: Kind::Gauge, ..self }
            }
            _ => self,
        }
    }

    /// What makes it one of its series.
    pub fn key(&self) -> Key<'_> {
        Key { name: &self.name, check_type: &self.check_type, host: self.host.as_deref(), tags: &self.tags }
    }

    /// The same, to be kept.
    pub fn series(&self) -> Series {
        let Point { name, check_type, host, tags, .. } = self;
        Series { name: name.clone(), check_type: check_type.clone(), host: host.clone(), tags: tags.clone() }
    }

    /// The point for programs: name, value, kind, type, tags, reaction, host and time. `own_host` stands where the
    /// point has no host of its own.
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
    /// The point that [`Point::to_json`] wrote with the same `own_host`; `None` where something is missing or of another
    /// type.
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

/// How bad it is. The numbers on the wire are OddEye's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

impl Level {
    /// 0, 8 or 16, the value of a special event and of `health_status`.
    pub fn number(self) -> i64 {
        match self {
            Level::Ok => 0,
            Level::Warning => 8,
            Level::Error => 16,
        }
    }

    /// The level whose number is the next below.
    pub fn from_number(number: f64) -> Level {
        match number {
            16.0.. => Level::Error,
            8.0.. => Level::Warning,
            _ => Level::Ok,
        }
    }

    /// The word in an event's message.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "OK",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }
}

/// The words of a message behind the level that it may begin with, for a line that says the level itself.
pub fn without_level<'a>(level: &str, message: &'a str) -> &'a str {
    message.strip_prefix(level).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message)
}

/// A judgement of a check about what it watches, sent on every tick in which it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthEvent {
    pub name: Text,
    pub level: Level,
    pub message: String,
    /// OddEye's reaction, counted in `[SelfConfig] error_handler`: 0, or -1 for it with a minus, or 1.
    pub reaction: i8,
    /// Unix seconds at collection.
    pub time: i64,
    /// Type of the check that judged.
    pub check_type: Text,
}

impl HealthEvent {
    /// The event for programs: event, level, message, type, reaction, host and time.
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

/// Everything that one tick produced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub points: Vec<Point>,
    pub events: Vec<HealthEvent>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.events.is_empty()
    }

    /// Points and events.
    pub fn len(&self) -> usize {
        self.points.len() + self.events.len()
    }

    /// Moves all that `other` holds behind what is here.
    pub fn append(&mut self, mut other: Batch) {
        self.points.append(&mut other.points);
        self.events.append(&mut other.events);
    }
}

/// One beat of the schedule.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Unix seconds: the time of every point of this tick.
    pub wall: i64,
    /// The same moment on the monotonic clock: rates divide by the difference of two of these.
    pub at: Instant,
    /// When the work of this tick must be over.
    pub deadline: Instant,
    /// Length from one tick to the next.
    pub period: Duration,
}

impl Tick {
    /// Time left until the deadline, zero when it has passed.
    pub fn left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

/// Who this daemon is: the base tags of every point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub host: Arc<str>,
    pub cluster: String,
    pub group: String,
    pub location: String,
}
