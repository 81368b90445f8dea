//! The result of an HTTP request: an answer, or a failure that says why there is none.

pub use crate::net::http::Cause;
use crate::net::http::complaint;
use crate::net::proxy::ProxyHop;
use std::sync::Arc;
use std::time::Duration;

/// The server's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The server's address, without secrets.
    pub address: Arc<str>,
    /// The proxy that may have answered instead of the server.
    pub proxy: Option<Arc<ProxyHop>>,
    pub status: u16,
    /// How long the server asks us to wait, 1 to 3600 s.
    pub retry_after: Option<Duration>,
    pub location: Option<String>,
    /// The time by the server's clock, in Unix seconds.
    pub date: Option<u64>,
    /// `X-InfluxDB-Error`: the start of the error text.
    pub error: Option<String>,
    /// At most as many bytes as the caller asked for.
    pub body: Vec<u8>,
    pub end: End,
}

/// How the body of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// Longer than the limit; the rest was not read.
    Cut,
    /// The connection failed or the time was over before the end of the body.
    Broken,
}

impl Answer {
    /// The body as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The server's error message: `error`, `error.message`, `message` or the first of `errors` of a JSON object, else
    /// the `X-InfluxDB-Error` header, else the whole body, because throttlers and proxies answer in plain text.
    pub fn message(&self) -> String {
        let json = self.json().unwrap_or_default();
        let header = || self.error.clone().filter(|error| !error.is_empty());
        complaint(&json).or_else(header).unwrap_or_else(|| self.text().trim().into())
    }

    /// The body as JSON; `None` if it is not JSON or not complete.
    pub fn json(&self) -> Option<serde_json::Value> {
        if self.end == End::Whole { serde_json::from_slice(&self.body).ok() } else { None }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the body does not matter for this status.
    pub fn is_decided_by_status(&self) -> bool {
        matches!(self.status, 204 | 401 | 403 | 404 | 500..=599)
    }

    /// Whether the body broke off and its status needs the body to be judged.
    pub fn is_undecided(&self) -> bool {
        self.end == End::Broken && !self.is_decided_by_status()
    }
}

/// No answer. The text starts with the server's address.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub cause: Cause,
    pub why: String,
}
