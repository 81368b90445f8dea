//! HTTP over one kept-alive connection: the only HTTP client of the sinks, and what its answers mean where a sink has no
//! rule of its own.
//!
//! *Invariant:* nothing here waits without a limit, follows a redirect, or shows a credential.

use super::patience::{Impatient, no_answer, patient};
use super::{Patience, Verdict};
use crate::config::section::Section;
use crate::error::{Result, plain, quote};
pub use crate::net::address::Url;
use crate::net::address::{
    add_query, basic, below, credentials, exposed, parse_address, percent_encode, show, without_credentials,
};
pub use crate::net::http::Cause;
use crate::net::http::{self, MAX_AGE, Proxying, complaint, innermost, redirection};
use crate::net::names::{self, Lookup, is_loopback};
use crate::net::tls::Tls;
use crate::parse::time::unix_seconds;
pub use reqwest::header::HeaderValue;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Request, Response};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;

/// From the request to the last byte of the answer.
const WHOLE_ANSWER: Duration = Duration::from_secs(30);
/// The same where the status has said all that matters.
const REFUSAL: Duration = Duration::from_secs(2);
/// Seconds that an answer about the server's health is waited for, and most bytes of it.
const HEALTH_BEATS: u32 = 2;
const HEALTH_BYTES: usize = 4096;
/// Longest text of a server that is kept.
const WHY_BYTES: usize = 1024;
/// Smaller bodies are not worth compressing.
const GZIP_FROM: usize = 1024;

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Of the server, as it may be shown.
    pub address: Arc<str>,
    pub status: u16,
    /// How long the server asks us to wait: 1 to 3600 s.
    pub retry_after: Option<Duration>,
    pub location: Option<String>,
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

    /// Whether the status alone says all that matters.
    fn is_told_by_status(&self) -> bool {
        matches!(self.status, 204 | 401 | 403 | 404 | 500..=599)
    }

    /// Whether status and headers came but the body was needed to tell what they mean.
    fn is_undecided(&self) -> bool {
        self.end == End::Broken && !self.is_told_by_status()
    }
}

/// No answer: a sentence that starts with the address.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub cause: Cause,
    pub why: String,
}

impl From<Failure> for Verdict {
    fn from(Failure { cause, why }: Failure) -> Verdict {
        match cause {
            Cause::Refused | Cause::Setup => Verdict::Pause { why },
            _ => Verdict::Retry { why, after: None, server_error: false },
        }
    }
}

/// One request. The body is compressed here.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub url: &'a Url,
    pub content_type: &'static str,
    pub body: &'a [u8],
    /// Most bytes of the answer that are read.
    pub limit: usize,
    /// Whether the answer is that of a server which took compressed bytes for text; then it is asked once more without.
    pub is_unread: fn(&Result<Answer, Failure>) -> bool,
}

/// The conversation with one server.
pub struct HttpPost {
    base: Url,
    address: Arc<str>,
    headers: HeaderMap,
    is_loopback: bool,
    tls: Tls,
    proxy: Option<Proxying>,
    connect_timeout: Duration,
    timeout: Duration,
    compresses: bool,
    /// A compressed body was understood once.
    is_understood: bool,
    lookup: Lookup,
    max_age: Duration,
    notes: Vec<String>,
    client: Option<Made>,
    /// Made at the first request: before the daemon forks there must be none.
    runtime: Option<Runtime>,
}

/// A client and how long it lives.
struct Made {
    client: Client,
    born: Instant,
    /// Whether an exchange went well, so that the next may meet a connection that died meanwhile.
    is_used: bool,
}

/// What differs from sink to sink in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The key that holds the address.
    pub address: &'static str,
    /// Whether `auth`, `user` and `pass` mean anything.
    pub basic: bool,
    /// For whom `gzip = auto` compresses.
    pub gzip: Gzip,
    /// Default of `timeout`, in seconds.
    pub timeout: u64,
}

/// Which servers get compressed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gzip {
    Never,
    /// Those on other machines: on this one it saves nothing and costs time.
    Remote,
    All,
}

impl HttpPost {
    /// Reads the address, `auth`, `user`, `pass`, `proxy`, `gzip`, `connect_timeout`, `timeout` and the keys of TLS.
    pub fn configure(tsdb: &Section, manner: Manner) -> Result<HttpPost> {
        let key = manner.address;
        let base = parse_address(tsdb.required(key)?).map_err(|problem| tsdb.problem(key, &problem))?;
        let mut headers = HeaderMap::new();
        let credentials = credentials(tsdb, &base, manner.basic)?;
        let base = without_credentials(base);
        let host = base.host_str().unwrap_or_default();
        let is_loopback = is_loopback(host);
        let tls = if base.scheme() == "https" { Tls::of_sink(tsdb)? } else { Tls::default() };
        let mut notes = Vec::new();
        if let Some((user, password)) = credentials {
            headers.insert(AUTHORIZATION, basic(&user, &password));
            notes.extend(exposed(&base));
        }
        if tls.skips_verification() {
            notes.push(format!("{}: insecure_skip_verify is on, anybody can pose as the server", show(&base)));
        }
        let compresses = match tsdb.text("gzip").unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "auto" => manner.gzip == Gzip::All || manner.gzip == Gzip::Remote && !is_loopback,
            _ => tsdb.flag("gzip", false).map_err(|_| tsdb.wrong("gzip", "expected auto, yes or no"))?,
        };
        Ok(HttpPost {
            address: show(&base).into(),
            proxy: if is_loopback { None } else { Proxying::configure(tsdb, base.scheme())? },
            connect_timeout: seconds(tsdb, "connect_timeout", 5)?,
            timeout: seconds(tsdb, "timeout", manner.timeout)?,
            base,
            headers,
            is_loopback,
            tls,
            compresses,
            is_understood: false,
            lookup: names::system(),
            max_age: MAX_AGE,
            notes,
            client: None,
            runtime: None,
        })
    }

    /// Sends this as `Authorization` instead of user and password.
    pub fn authorize(&mut self, mut value: HeaderValue) {
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        self.notes.extend(exposed(&self.base));
    }

    /// Asks this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.lookup = lookup;
        self.client = None;
    }

    /// Replaces connections older than this instead of 300 s.
    pub fn set_max_age(&mut self, max_age: Duration) {
        self.max_age = max_age;
    }

    /// The address as it may be shown: without user, password and query.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Sentences for the log since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Bytes that a body has on the wire.
    pub fn wire_bytes(&self, body: &[u8]) -> usize {
        if self.compresses && body.len() > GZIP_FROM { gzip(body).len() } else { body.len() }
    }

    /// The address with a path behind its own, if there is one, and behind its own query that of the path and more pairs; an empty value
    /// leaves only the key.
    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = below(&self.base, path);
        let pairs = query.iter().map(|(key, value)| match *value {
            "" => percent_encode(key),
            value => format!("{}={}", percent_encode(key), percent_encode(value)),
        });
        add_query(&mut url, &pairs.collect::<Vec<_>>().join("&"));
        url
    }

    /// Posts and waits for the answer.
    pub fn post(&mut self, call: Call, patience: Patience) -> Result<Answer, Failure> {
        if !self.compresses || call.body.len() <= GZIP_FROM {
            return self.exchange(&|| post_request(&call, call.body.to_vec(), false), call.limit, patience);
        }
        let zipped = gzip(call.body);
        let answer = self.exchange(&|| post_request(&call, zipped.clone(), true), call.limit, patience);
        let is_415 = answer.as_ref().is_ok_and(|answer| answer.status == 415);
        if self.is_understood || !(is_415 || (call.is_unread)(&answer)) {
            self.is_understood |= answer.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status));
            return answer;
        }
        let plain = self.exchange(&|| post_request(&call, call.body.to_vec(), false), call.limit, patience)?;
        if (200..300).contains(&plain.status) {
            self.compresses = false;
            self.notes.push(format!("{}: does not read compressed requests, gzip is off from now on", self.address));
        }
        Ok(plain)
    }

    /// The status of a page; `None` where there was no answer. Nobody can call this wait off, so it is a short one.
    pub fn status_of(&mut self, url: &Url) -> Option<u16> {
        let mut beats = 1..HEALTH_BEATS;
        let mut patience = || if beats.next().is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let answer = self.exchange(&|| Request::new(Method::GET, url.clone()), HEALTH_BYTES, &mut patience);
        answer.ok().map(|answer| answer.status)
    }

    /// A connection that was kept may have died unseen: then the request is repeated at once on a new one.
    fn exchange(&mut self, make: &dyn Fn() -> Request, limit: usize, patience: Patience) -> Result<Answer, Failure> {
        let was_used = self.client.as_ref().is_some_and(|made| made.is_used);
        match self.attempt(make(), limit, patience) {
            Err(failure) if was_used && failure.cause == Cause::Closed => self.attempt(make(), limit, patience),
            other => other,
        }
    }

    fn attempt(&mut self, request: Request, limit: usize, patience: Patience) -> Result<Answer, Failure> {
        let result = self.converse(request, limit, patience);
        match &result {
            Ok(answer) if answer.end != End::Broken => self.client.iter_mut().for_each(|made| made.is_used = true),
            _ => self.disconnect(),
        }
        result
    }

    fn converse(&mut self, request: Request, limit: usize, patience: Patience) -> Result<Answer, Failure> {
        let start = Instant::now();
        let (client, is_used) = self.client()?;
        let first_byte = if is_used { self.timeout } else { self.timeout + self.connect_limit() };
        let runtime = self.runtime.as_ref().ok_or_else(|| self.failure(Cause::Setup, "no runtime"))?;
        runtime.block_on(async {
            let response = match patient(client.execute(request), first_byte, patience).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(self.no_answer(&error)),
                Err(Impatient::TooLong) => return Err(self.failure(Cause::Timeout, &no_answer(first_byte))),
                Err(Impatient::GaveUp) => return Err(self.failure(Cause::GaveUp, "gave up waiting for the answer")),
            };
            let left = WHOLE_ANSWER.max(self.timeout).saturating_sub(start.elapsed());
            let answer = read_answer(self.address.clone(), response, limit, left, patience).await;
            // Lets the connection notice that the answer is over, so that it is there for the next request.
            Ok(answer)
        })
    }

    /// The client, made anew when there is none or it is too old, and whether its connection was used before.
    fn client(&mut self) -> Result<(Client, bool), Failure> {
        if let Some(made) = self.client.as_ref().filter(|made| made.born.elapsed() < self.max_age) {
            return Ok((made.client.clone(), made.is_used));
        }
        self.disconnect();
        if self.runtime.is_none() {
            self.runtime = Some(names::runtime().map_err(|error| self.failure(Cause::Connect, &plain(&error)))?);
        }
        let client = self.make_client().map_err(|problem| self.failure(Cause::Setup, &problem))?;
        self.client = Some(Made { client: client.clone(), born: Instant::now(), is_used: false });
        Ok((client, false))
    }

    fn make_client(&self) -> Result<Client, String> {
        let is_plain = self.base.scheme() == "http" && self.proxy.as_ref().is_none_or(|proxy| !proxy.is_https());
        let tls = if is_plain { Tls::none() } else { self.tls.config() }.map_err(|error| error.to_string())?;
        let mut builder = http::builder(tls, self.lookup.clone())
            .default_headers(self.headers.clone())
            .connect_timeout(self.connect_limit())
            .pool_max_idle_per_host(1);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.build()?);
        }
        builder.build().map_err(|error| innermost(&error.without_url()))
    }

    /// For https as much again for the handshake.
    fn connect_limit(&self) -> Duration {
        if self.base.scheme() == "https" { self.connect_timeout * 2 } else { self.connect_timeout }
    }

    /// Closes the connection, even one whose answer is still awaited.
    fn disconnect(&mut self) {
        if self.client.take().is_some()
            && let Some(runtime) = &self.runtime
        {
            runtime.block_on(tokio::task::yield_now());
        }
    }

    fn no_answer(&self, error: &reqwest::Error) -> Failure {
        let (cause, why) = http::why(error, self.connect_limit());
        self.failure(cause, &why)
    }

    fn failure(&self, cause: Cause, why: &str) -> Failure {
        Failure { cause, why: format!("{}: {why}", self.address) }
    }
}

impl Drop for HttpPost {
    fn drop(&mut self) {
        // A lookup that hangs must not keep the daemon from stopping.
        if let Some(runtime) = self.runtime.take() {
            self.client = None;
            runtime.shutdown_background();
        }
    }
}

/// The verdict on what came of a request: by the sink's own rules where it has one for the answer, else by those for any
/// server.
pub fn judge(came: Result<Answer, Failure>, own: impl FnOnce(&Answer) -> Option<Verdict>) -> Verdict {
    let answer = &match came {
        Ok(answer) => answer,
        Err(failure) => return failure.into(),
    };
    let own = own(answer);
    let (status, address) = (answer.status, &answer.address);
    if answer.is_undecided() {
        let why = format!("{address}: HTTP {status} with an answer that broke off");
        return Verdict::Retry { why, after: None, server_error: false };
    }
    if let Some(verdict) = own {
        return verdict;
    }
    let why = format!("{address}: {}", said(answer));
    match status {
        408 | 425 | 429 | 499 => Verdict::Retry { why, after: answer.retry_after, server_error: false },
        401 => Verdict::Pause { why: format!("{why}; check auth, user and pass") },
        403 => Verdict::Pause { why: format!("{why}; the user may not write, check user and its rights") },
        407 => Verdict::Pause { why: format!("{why}; the proxy wants user and password, set them in the key proxy") },
        404 | 405 | 501 => Verdict::Pause { why: format!("{why}; check address") },
        413 => Verdict::Split { status, why },
        500..=599 => Verdict::Retry { why, after: answer.retry_after, server_error: true },
        300..=399 => {
            let to = redirection(answer.location.as_deref());
            Verdict::Pause { why: format!("{address}: HTTP {status}: redirected{to}, set address to the final place") }
        }
        100..=299 => Verdict::Pause {
            why: format!("{why}; this is not how the database answers, address points at something else"),
        },
        _ => Verdict::Reject { status, why },
    }
}

/// `HTTP 500: "the server's words"`.
pub fn said(answer: &Answer) -> String {
    match answer.words() {
        words if words.is_empty() => format!("HTTP {}", answer.status),
        words => format!("HTTP {}: {}", answer.status, quote(&words)),
    }
}

/// As much of a server's words as is kept with a refused point.
pub fn shortened(mut text: String) -> String {
    while text.len() > WHY_BYTES {
        text.pop();
    }
    text
}

async fn read_answer(
    address: Arc<str>,
    response: Response,
    limit: usize,
    left: Duration,
    patience: Patience<'_>,
) -> Answer {
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let mut answer = Answer {
        address,
        status: response.status().as_u16(),
        retry_after: header(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now())),
        location: header(LOCATION).map(String::from),
        error: header(HeaderName::from_static("x-influxdb-error")).map(String::from),
        body: Vec::new(),
        end: End::Broken,
    };
    let is_zipped = header(CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
    // Some servers refuse with a body that never ends.
    let left = if answer.is_told_by_status() { left.min(REFUSAL) } else { left };
    let read = read_body(response, limit, &mut answer.body);
    answer.end = patient(read, left, patience).await.unwrap_or(End::Broken);
    if is_zipped {
        let mut plain = Vec::new();
        let unzipped = flate2::read::MultiGzDecoder::new(&answer.body[..]).take(limit as u64).read_to_end(&mut plain);
        if unzipped.is_ok() {
            answer.body = plain;
        }
    }
    answer
}

async fn read_body(mut response: Response, limit: usize, body: &mut Vec<u8>) -> End {
    loop {
        match response.chunk().await {
            Ok(None) => return End::Whole,
            Err(_) => return End::Broken,
            Ok(Some(chunk)) => {
                let kept = chunk.get(..limit - body.len()).unwrap_or(&chunk);
                body.extend_from_slice(kept);
                if kept.len() < chunk.len() {
                    return End::Cut;
                }
            }
        }
    }
}

fn post_request(call: &Call, body: Vec<u8>, is_zipped: bool) -> Request {
    let mut request = Request::new(Method::POST, call.url.clone());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    if is_zipped {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *request.body_mut() = Some(body.into());
    request
}

/// Level 1: a tenth of the size for a tenth of the work of the usual level.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 6), flate2::Compression::fast());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// Seconds that a key of `[TSDB]` allows.
pub fn seconds(tsdb: &Section, key: &str, default: u64) -> Result<Duration> {
    match tsdb.number(key, default)? {
        seconds @ 1..=59 => Ok(Duration::from_secs(seconds)),
        _ => Err(tsdb.wrong(key, "expected 1 to 59 seconds")),
    }
}

/// Seconds or `Sun, 06 Nov 1994 08:49:37 GMT` as a wait from `now`, held to 1 to 3600 s.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => seconds,
        Err(_) => {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
            http_date(value)?.saturating_sub(now)
        }
    };
    Some(Duration::from_secs(wait.clamp(1, 3600)))
}

fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(' ').skip(1);
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u32 + 1;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u32>().ok());
    Some(unix_seconds(year, month, day, [clock.next()??, clock.next()??, clock.next()??]))
}
