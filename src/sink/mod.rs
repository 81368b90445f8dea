//! Sinks: where points go. One trait, one set of verdicts; delivery decides what follows from a verdict.
//!
//! *Invariant:* `encode` is pure and deterministic; `send` only speaks and classifies. No sink retries, sleeps, logs or
//! keeps points: that is delivery's.

pub mod carbon;
pub mod cutter;
pub mod http_post;
pub mod influxdb;
pub mod json;
pub mod kairosdb;
pub mod line_protocol;
#[cfg(feature = "local")]
pub mod local;
mod number;
pub mod oddeye;
pub mod opentsdb;
mod patience;
pub mod prometheus;
mod tags;

use crate::config::settings::{Settings, SinkKind, Tsdb};
use crate::error::{Error, Result};
use crate::point::{Identity, Point};
use prometheus::Exposition;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// One body for the wire and the points it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub body: Vec<u8>,
    /// Which of the encoded points are in it.
    pub points: Range<usize>,
}

/// A point that will never be delivered, and why.
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
    /// The same for points that stand so much further behind.
    fn behind(mut self, offset: usize) -> Encoded {
        for request in &mut self.requests {
            request.points = request.points.start + offset..request.points.end + offset;
        }
        self.refused.iter_mut().for_each(|refused| refused.index += offset);
        self
    }
}

/// What became of a request. Indices are positions in the points handed to `encode`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All of it is stored.
    Delivered,
    /// Transient: keep the points and try later, not before `after` where the server said so.
    /// `server_error`: the server answered and said it failed (5xx), so the content may be the cause.
    Retry { why: String, after: Option<Duration>, server_error: bool },
    /// The sink as a whole refuses or is misconfigured: keep the points; `why` names the remedy.
    Pause { why: String },
    /// Too large: send halves. A single point is refused.
    Split { status: u16, why: String },
    /// Some points are decided. All that are not named here are stored.
    Part {
        refused: Vec<Refused>,
        /// To be encoded and sent once more at once (the sink has learned something about them).
        again: Vec<usize>,
        /// To be kept for later.
        later: Vec<usize>,
    },
    /// Never acceptable as it is, culprit unknown: delivery bisects, a single point is refused.
    Reject { status: u16, why: String },
}

/// Called now and then while `send` waits for the other side; `Break` means give up now.
pub type Patience<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// One output, driven by the delivery thread alone. Made before the fork, so it opens nothing until its first `send`.
pub trait Sink: Send {
    /// The `tsdtype` in its usual spelling; names the rejected file and stands in log lines.
    fn name(&self) -> &'static str;

    /// Points, already normalised, as bodies of acceptable size. Pure: no clock, no file, no socket.
    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded;

    /// Sends one request and says what became of it. Bounded in time whatever the other side does.
    fn send(&mut self, request: &Request, points: &[Point], patience: Patience) -> Verdict;

    /// Whether the other side is well although it refuses something; `None` where there is no way to ask.
    fn healthy(&mut self) -> Option<bool> {
        None
    }

    /// Sentences for the log that came up since the last call; asked for after each `send`.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether health events come as points of [`crate::point::Kind::Special`]. To all others they come as `health_status`.
    fn takes_events(&self) -> bool {
        false
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
