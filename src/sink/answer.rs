//! What came of a request over HTTP: an answer, or a failure that says why there is none.

pub use crate::net::http::Cause;
use crate::net::http::complaint;
use crate::net::proxy::Between;
use std::sync::Arc;
use std::time::Duration;

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Of the server, as it may be shown.
    pub address: Arc<str>,
    /// The proxy that may have answered in its place.
    pub proxy: Option<Arc<Between>>,
    pub status: u16,
    /// How long the server asks us to wait: 1 to 3600 s.
    pub retry_after: Option<Duration>,
    pub location: Option<String>,
    /// The time by the server's clock, in Unix seconds.
    pub date: Option<u64>,
    /// `X-InfluxDB-Error`: the start of the error text.
    pub error: Option<String>,
    /// Never longer than asked for.
    pub body: Vec<u8>,
    pub end: End,
}

/// How the body of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// Longer than wanted; the rest was left.
    Cut,
    /// The connection failed or the time was over before the end.
    Broken,
}

impl Answer {
    /// The body as text, whatever it is.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// What the server says of a failure: `error`, `error.message`, `message` or the first of `errors` of a JSON object,
    /// else the header, else the body as it is, because throttlers and proxies answer plainly.
    pub fn words(&self) -> String {
        let json = self.json().unwrap_or_default();
        let header = || self.error.clone().filter(|error| !error.is_empty());
        complaint(&json).or_else(header).unwrap_or_else(|| self.text().trim().into())
    }

    /// The body as JSON; `None` where it is none, or not whole.
    pub fn json(&self) -> Option<serde_json::Value> {
        if self.end == End::Whole { serde_json::from_slice(&self.body).ok() } else { None }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the status alone says all that matters.
    pub fn is_told_by_status(&self) -> bool {
        matches!(self.status, 204 | 401 | 403 | 404 | 500..=599)
    }

    /// Whether status and headers came but the body was needed to tell what they mean.
    pub fn is_undecided(&self) -> bool {
        self.end == End::Broken && !self.is_told_by_status()
    }
}

/// No answer: a sentence that starts with the address.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub cause: Cause,
    pub why: String,
}
