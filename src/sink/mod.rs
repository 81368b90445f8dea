//! Sinks: where points go. One trait, one set of verdicts; delivery decides what follows from a verdict.
//!
//! *Invariant:* `encode` is pure and deterministic; `send` only speaks and classifies. No sink retries, sleeps, logs or
//! keeps points: that is delivery's.

pub mod answer;
pub mod carbon;
mod claims;
pub mod cutter;
pub mod http_post;
pub mod http_sink;
pub mod influxdb;
mod influxdb_words;
pub mod json;
pub mod judge;
pub mod kairosdb;
pub mod line_protocol;
#[cfg(feature = "local")]
pub mod local;
pub mod number;
pub mod oddeye;
pub mod opentsdb;
pub mod prometheus;
mod retry_after;
mod tags;

use crate::config::section::Section;
use crate::config::settings::{Settings, SinkKind, Tsdb};
use crate::model::error::{Error, Result};
use crate::model::point::{Identity, Point};
use prometheus::Exposition;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One body for the wire and the points it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub body: Vec<u8>,
    /// Which of the encoded points are in it.
    pub points: Range<usize>,
}

/// A point that was not stored, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Position in the points handed to `encode`.
    pub index: usize,
    /// HTTP status, 0 where there was none.
    pub status: u16,
    /// The server's words, or ours.
    pub why: String,
}

/// What `encode` makes of points: requests in order, and the points that cannot be written at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    pub requests: Vec<Request>,
    pub refused: Vec<Refused>,
}

impl Encoded {
    /// What a part of the points was encoded as, counted in all the points; `start` is where the part begins in them.
    fn counted_from(mut self, start: usize) -> Encoded {
        for request in &mut self.requests {
            request.points = request.points.start + start..request.points.end + start;
        }
        self.refused.iter_mut().for_each(|refused| refused.index += start);
        self
    }
}

/// What became of a request. Indices are positions in the points handed to `encode`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All of it is stored.
    Delivered,
    /// Transient: keep the points and try later, not before `after` where the server said so.
    /// `is_suspect`: the server had the request before it failed (5xx, hang-up, no answer), so what was in it may be the cause.
    Retry { why: String, after: Option<Duration>, is_suspect: bool },
    /// The sink as a whole refuses or is misconfigured: keep the points; `why` names the remedy.
    Pause { why: String },
    /// Too large: send halves. A single point is refused.
    Split { status: u16, why: String },
    /// Some points are decided. All that are not named here are stored.
    Part {
        refused: Vec<Refused>,
        /// To be encoded and sent once more at once (the sink has learned something about them).
        again: Vec<usize>,
        /// Refused for the moment, by the server's own words: to be kept for later.
        later: Vec<Refused>,
    },
    /// Never acceptable as it is, culprit unknown: delivery bisects, a single point is refused.
    Reject { status: u16, why: String },
}

/// The circumstances under which a request is sent.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    pub identity: &'a Identity,
    /// Unix seconds now: ages are judged by it.
    pub wall: i64,
    /// No answer is waited for beyond this; the sink's own limits hold besides.
    pub until: Instant,
}

/// What was found where a sink would take points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Who answers, in words.
    pub who: String,
    /// Seconds by which the clock of this host is ahead of its clock, where it tells the time.
    pub ahead: Option<i64>,
}

/// One output, driven by the delivery thread alone. Made before the fork, so it opens nothing until its first `send`.
pub trait Sink: Send {
    /// The `tsdtype` in its usual spelling; names the rejected file and stands in log lines.
    fn name(&self) -> &'static str;

    /// Points, already normalised, as bodies of acceptable size. Pure: no clock, no file, no socket. The same points give the
    /// same bodies, by what the sink has learned; a body means something to its sink alone.
    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded;

    /// Sends one request and says what became of it. Bounded in time whatever the other side does.
    fn send(&mut self, request: &Request, points: &[Point], attempt: &Attempt) -> Verdict;

    /// Sends as many requests as [`Sink::lanes`] at once, and says of each, in their order, what became of it.
    fn send_all(&mut self, requests: &[Request], points: &[Point], attempt: &Attempt) -> Vec<Verdict> {
        requests.iter().map(|request| self.send(request, points, attempt)).collect()
    }

    /// Requests that may be under way at once where answers are slow.
    fn lanes(&self) -> usize {
        1
    }

    /// Points that make a full request: so many are worth waiting for when what was kept is sent.
    fn full_request(&self) -> usize;

    /// Forgets what it learned of the size of requests: the server refused every size.
    fn forget_sizes(&mut self) {}

    /// Takes note of points that are about to be sent, where there is something to say about them.
    fn look_at(&mut self, _: &[Point]) {}

    /// Tries whether it would take points, and stores none. Bounded in time as [`Sink::send`], and by `until`.
    ///
    /// # Errors
    /// In words, why not, and what helps.
    fn probe(&mut self, _: Instant) -> std::result::Result<Reached, String> {
        Ok(Reached { who: "nothing has to be reached: it waits to be asked".into(), ahead: None })
    }

    /// Sentences for the log that came up since the last call; asked for after each `send`.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether health events come as points of [`crate::model::point::Kind::Special`]. To all others they come as `health_status`.
    fn takes_events(&self) -> bool {
        false
    }

    /// Whether the errors of checks are events for it, too. They never end, so not for one that keeps the level of each event.
    fn takes_errors(&self) -> bool {
        self.takes_events()
    }

    /// What a web page shows of the points, for a sink that is asked instead of asking.
    fn exposition(&self) -> Option<Arc<Exposition>> {
        None
    }

    /// Whether many daemons share the other side, so that a first flush should not come from all at once.
    fn is_remote(&self) -> bool {
        true
    }
}

/// The sink of that kind, from `[TSDB]`.
pub fn build(settings: &Settings) -> Result<Box<dyn Sink>> {
    let Settings { tsdb, own, .. } = settings;
    match tsdb.kind {
        #[cfg(feature = "local")]
        SinkKind::Local => Ok(Box::new(local::configure(&tsdb.section, &settings.home)?)),
        #[cfg(not(feature = "local"))]
        SinkKind::Local => {
            Err(tsdb.section.problem("tsdtype", "this program was built without the local store (feature local)"))
        }
        SinkKind::OddEye => Ok(Box::new(oddeye::configure(&tsdb.section, tsdb.error_handler)?)),
        SinkKind::OpenTsdb => Ok(Box::new(opentsdb::configure(&tsdb.section)?)),
        SinkKind::KairosDb => Ok(Box::new(kairosdb::configure(&tsdb.section)?)),
        SinkKind::Carbon => Ok(Box::new(carbon::configure(&tsdb.section)?)),
        SinkKind::InfluxDb => Ok(Box::new(influxdb::configure(&tsdb.section)?)),
        SinkKind::InfluxDb2 => Ok(Box::new(influxdb::configure_2(&tsdb.section)?)),
        SinkKind::Prometheus => Ok(Box::new(prometheus::Prometheus::new(own.check_period))),
    }
}

/// What the keys that a sink needs could be, where there is no server of its kind.
const SAMPLES: &[(&str, &str)] = &[
    ("address", "http://127.0.0.1"),
    ("url", "http://127.0.0.1"),
    ("database", "puypuy"),
    ("organization", "puypuy"),
    ("bucket", "puypuy"),
    ("token", "TOKEN"),
    ("uuid", "UUID"),
];

/// A sink of that kind which nobody has configured, to see what it makes of points. Nothing is sent with it.
pub fn sample(kind: SinkKind, settings: &Settings) -> Result<Box<dyn Sink>> {
    let section = Section::missing(&settings.tsdb.section.file, &settings.tsdb.section.name);
    let section = SAMPLES.iter().fold(section, |section, (key, value)| section.with(key, value));
    build(&Settings { tsdb: Tsdb { kind, section, ..settings.tsdb.clone() }, ..settings.clone() })
}

/// The file of the local store.
///
/// # Errors
/// Another sink is configured, or this program has no local store.
#[cfg_attr(not(feature = "local"), allow(unused_variables))]
pub fn local_file(tsdb: &Tsdb, home: &Path) -> Result<PathBuf> {
    match tsdb.kind {
        #[cfg(feature = "local")]
        SinkKind::Local => Ok(local::file(&tsdb.section, home)),
        _ => Err(Error::daemon("the numbers go to the server named in [TSDB]; only tsdtype Local can be shown here")),
    }
}
