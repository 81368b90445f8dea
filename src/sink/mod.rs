//! Sinks: where points are sent. One trait, one set of verdicts; delivery decides what follows from a verdict.
//!
//! *Invariant:* `encode` is pure and deterministic; `send` only sends and classifies the answer. No sink retries,
//! sleeps, logs or keeps points: delivery does.

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

/// One request body and its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub body: Vec<u8>,
    /// The range of the encoded points that it contains.
    pub points: Range<usize>,
}

/// A point that was not stored, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Position in the points handed to `encode`.
    pub index: usize,
    /// HTTP status; 0 if there was none.
    pub status: u16,
    /// The server's message, or ours.
    pub why: String,
}

/// The result of `encode`: requests in order, and the points that cannot be written at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    pub requests: Vec<Request>,
    pub refused: Vec<Refused>,
}

impl Encoded {
    /// Shifts all indices by `start`, the index where these points begin among all points.
    fn counted_from(mut self, start: usize) -> Encoded {
        for request in &mut self.requests {
            request.points = request.points.start + start..request.points.end + start;
        }
        self.refused.iter_mut().for_each(|refused| refused.index += start);
        self
    }
}

/// What happened to a request. Indices are positions in the points handed to `encode`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All of it is stored.
    Delivered,
    /// Transient: keep the points and try later, after at least `after` if the server asked for that. `is_suspect`: the
    /// server had the request before it failed (5xx, closed connection, no answer), so its content may be the cause.
    Retry { why: String, after: Option<Duration>, is_suspect: bool },
    /// The sink as a whole refuses or is misconfigured: keep the points. `why` names the remedy.
    Pause { why: String },
    /// Too large: send halves. A single point is refused.
    Split { status: u16, why: String },
    /// Some points are decided. All points that are not listed here are stored.
    Part {
        refused: Vec<Refused>,
        /// To be encoded and sent again at once: the sink has learned something about them.
        again: Vec<usize>,
        /// Refused for now, by the server's own message: to be sent later.
        later: Vec<Refused>,
    },
    /// The content can never be accepted, and the bad points are not known: delivery bisects; a single point is
    /// refused.
    Reject { status: u16, why: String },
}

/// The circumstances of a request.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    pub identity: &'a Identity,
    /// Unix seconds now; ages are judged by it.
    pub wall: i64,
    /// When the exchange has to be over; the sink's own time limits apply, too.
    pub until: Instant,
}

/// The result of a successful [`Sink::probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Who answered, for people.
    pub who: String,
    /// Seconds by which this host's clock is ahead of the server's; `None` if the server does not tell its time.
    pub ahead: Option<i64>,
}

/// An output, used by the delivery thread only. It is made before the fork, so it opens nothing until its first `send`.
pub trait Sink: Send {
    /// The `tsdtype` in its usual spelling; used in the rejected file's name and in log lines.
    fn name(&self) -> &'static str;

    /// Normalised points as bodies of acceptable size. Pure: no clock, no file, no socket. The same points give the
    /// same bodies, given what the sink has learned; only this sink can use a body.
    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded;

    /// Sends one request and classifies the result. Bounded in time, whatever the server does.
    fn send(&mut self, request: &Request, points: &[Point], attempt: &Attempt) -> Verdict;

    /// Sends up to [`Sink::lanes`] requests at once; returns their verdicts in order.
    fn send_all(&mut self, requests: &[Request], points: &[Point], attempt: &Attempt) -> Vec<Verdict> {
        requests.iter().map(|request| self.send(request, points, attempt)).collect()
    }

    /// Most requests that may be in flight at once, used if answers are slow.
    fn lanes(&self) -> usize {
        1
    }

    /// Number of points in a full request; the backlog is sent in requests of this size.
    fn full_request(&self) -> usize;

    /// Forgets what it learned about request sizes: the server refused every size.
    fn forget_sizes(&mut self) {}

    /// Called with points that are about to be sent, so that the sink can add a note about them.
    fn look_at(&mut self, _: &[Point]) {}

    /// Checks whether it would accept points, and stores none. Bounded in time like [`Sink::send`], and by `until`.
    ///
    /// # Errors
    /// Why it would not, and the remedy, for people.
    fn probe(&mut self, _: Instant) -> std::result::Result<Reached, String> {
        Ok(Reached { who: "nothing has to be reached: it waits to be asked".into(), ahead: None })
    }

    /// Takes the messages for the log since the last call; called after each `send`.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether health events are encoded as points of [`crate::model::point::Kind::Special`]. All other sinks get them
    /// as `health_status`.
    fn takes_events(&self) -> bool {
        false
    }

    /// Whether errors of checks are health events for it, too. Errors have no end, so not for a sink that keeps the
    /// level of each event.
    fn takes_errors(&self) -> bool {
        self.takes_events()
    }

    /// The content of the metrics page, for a sink that is scraped.
    fn exposition(&self) -> Option<Arc<Exposition>> {
        None
    }

    /// Whether many daemons share the server, so that they should not all send at once after a start.
    fn is_remote(&self) -> bool {
        true
    }
}

/// Builds the sink that `[TSDB]` configures.
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

/// Example values for the required keys, if no such server is configured.
const SAMPLES: &[(&str, &str)] = &[
    ("address", "http://127.0.0.1"),
    ("url", "http://127.0.0.1"),
    ("database", "puypuy"),
    ("organization", "puypuy"),
    ("bucket", "puypuy"),
    ("token", "TOKEN"),
    ("uuid", "UUID"),
];

/// A sink of that kind with example settings, to show how it encodes points. Nothing is sent with it.
pub fn sample(kind: SinkKind, settings: &Settings) -> Result<Box<dyn Sink>> {
    let section = Section::missing(&settings.tsdb.section.file, &settings.tsdb.section.name);
    let section = SAMPLES.iter().fold(section, |section, (key, value)| section.with(key, value));
    build(&Settings { tsdb: Tsdb { kind, section, ..settings.tsdb.clone() }, ..settings.clone() })
}

/// The path of the local store's file.
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
