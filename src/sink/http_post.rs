//! POST over kept-alive connections, one or several at once: the only HTTP client of the sinks.
//!
//! *Invariant:* no operation is without a time limit, no redirect is followed, and no credential appears in a text.

use super::answer::{Answer, Cause, End, Failure};
use super::retry_after::{http_date, retry_after};
use crate::config::section::Section;
use crate::model::error::{Result, plain};
use crate::model::gzip::zipped;
use crate::model::percent;
pub use crate::net::address::Url;
use crate::net::address::{
    add_query, basic, below, credentials, exposed, parse_address, show, show_with_port, without_credentials,
};
use crate::net::http::{self, MAX_AGE, innermost, is_nobody_there};
use crate::net::names::{self, Lookup, is_loopback};
use crate::net::proxy::{ProxyHop, Proxying};
use crate::net::tls::Tls;
use flate2::Compression;
pub use reqwest::header::HeaderValue;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::header::{DATE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Request, Response};
use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

/// Time limit from the request to the last byte of the answer.
const WHOLE_ANSWER: Duration = Duration::from_secs(30);
/// The same for statuses that need no body.
const REFUSAL: Duration = Duration::from_secs(2);
const GAVE_UP: &str = "gave up waiting for the answer";
/// Most bytes that are read of the answer to a GET.
const PAGE: usize = 64 << 10;
/// Smaller bodies are not compressed.
const GZIP_FROM: usize = 1024;
/// Compresses to a tenth of the size, in a tenth of the time of the default level.
const LEVEL: Compression = Compression::fast();

/// Where and how bodies are posted.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub url: &'a Url,
    pub content_type: &'static str,
    /// Most bytes that are read of the answer.
    pub limit: usize,
    /// Whether the answer shows that the server cannot read compressed bodies; then the body is sent again
    /// uncompressed.
    pub rejects_gzip: fn(&Result<Answer, Failure>) -> bool,
}

/// A client for one server.
pub struct HttpPost {
    /// The configuration key that holds the address.
    key: &'static str,
    base: Url,
    peer: Arc<Peer>,
    headers: HeaderMap,
    is_loopback: bool,
    tls: Tls,
    proxy: Option<Proxying>,
    lanes: usize,
    compresses: bool,
    /// The server has accepted a compressed body at least once.
    accepts_gzip: bool,
    lookup: Lookup,
    max_age: Duration,
    notes: Vec<String>,
    client: Option<Connections>,
    /// Created at the first request: before the daemon forks there must be no threads or sockets.
    runtime: Option<Runtime>,
}

/// The HTTP client with its connections.
struct Connections {
    client: Client,
    born: Instant,
    /// Number of connections on which an exchange succeeded. They may be dead at the next exchange.
    open: usize,
}

/// What a request in flight needs to know about the server.
struct Peer {
    address: Arc<str>,
    /// The address with its port.
    with_port: String,
    /// For error messages: the usual port of such a server, if the address names no port.
    hint: String,
    proxy: Option<Arc<ProxyHop>>,
    /// Twice `connect_timeout` for https, because of the handshake.
    connect_limit: Duration,
    /// Time limit until the first byte of the answer.
    timeout: Duration,
}

/// What differs between the sinks in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The configuration key that holds the address.
    pub address: &'static str,
    /// Whether `auth`, `user` and `pass` are used.
    pub basic: bool,
    /// Which servers get compressed bodies with `gzip = auto`.
    pub gzip: Gzip,
    /// Default of `timeout`, in seconds.
    pub timeout: u64,
    /// Most requests at the same time.
    pub lanes: usize,
    /// A hint for a configuration without a port: the usual port of such a server.
    pub usual_port: Option<&'static str>,
    /// An example of an address, for error messages.
    pub example: &'static str,
}

/// Which servers get compressed bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gzip {
    Never,
    /// Only servers on other machines: over loopback, compression saves nothing and costs time.
    Remote,
    All,
}

/// A body as it is sent.
struct WireBody<'a> {
    bytes: Cow<'a, [u8]>,
    is_compressed: bool,
}

impl HttpPost {
    /// Reads the address, `auth`, `user`, `pass`, `proxy`, `gzip`, `connect_timeout`, `timeout` and the TLS keys.
    pub fn configure(tsdb: &Section, profile: Profile) -> Result<HttpPost> {
        let key = profile.address;
        let base =
            parse_address(tsdb.required(key, profile.example)?).map_err(|problem| tsdb.problem(key, &problem))?;
        let mut headers = HeaderMap::new();
        let credentials = credentials(tsdb, &base, profile.basic)?;
        let base = without_credentials(base);
        let is_loopback = is_loopback(base.host_str().unwrap_or_default());
        let is_https = base.scheme() == "https";
        let tls = if is_https { Tls::of_sink(tsdb)? } else { Tls::default() };
        let mut notes = Vec::new();
        if let Some((user, password)) = credentials {
            headers.insert(AUTHORIZATION, basic(&user, &password));
            notes.extend(exposed(&base));
        }
        let compresses = match tsdb.text("gzip").unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "auto" => profile.gzip == Gzip::All || profile.gzip == Gzip::Remote && !is_loopback,
            _ => tsdb.flag("gzip", false).map_err(|_| tsdb.wrong("gzip", "expected auto, yes or no"))?,
        };
        let env = |name: &str| std::env::var(name).ok();
        let proxy = if is_loopback { None } else { Proxying::configure(tsdb, base.scheme(), &env)? };
        let connect_timeout = seconds(tsdb, "connect_timeout", 5)?;
        let hint = profile.usual_port.filter(|_| base.port().is_none());
        let peer = Peer {
            address: show(&base).into(),
            with_port: show_with_port(&base),
            hint: hint.map(|hint| format!("; {hint}")).unwrap_or_default(),
            proxy: proxy.as_ref().and_then(|proxy| proxy.towards(&base)).map(Arc::new),
            connect_limit: if is_https { connect_timeout * 2 } else { connect_timeout },
            timeout: seconds(tsdb, "timeout", profile.timeout)?,
        };
        Ok(HttpPost {
            key,
            base,
            peer: Arc::new(peer),
            headers,
            is_loopback,
            tls,
            proxy,
            lanes: profile.lanes,
            compresses,
            accepts_gzip: false,
            lookup: names::system(),
            max_age: MAX_AGE,
            notes,
            client: None,
            runtime: None,
        })
    }

    /// Sends this as `Authorization`, instead of user and password.
    pub fn authorize(&mut self, mut value: HeaderValue) {
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        self.notes.extend(exposed(&self.base));
    }

    /// Uses this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.lookup = lookup;
        self.client = None;
    }

    /// Replaces connections older than this, instead of 300 s.
    pub fn set_max_age(&mut self, max_age: Duration) {
        self.max_age = max_age;
    }

    /// The address without user, password and query.
    pub fn address(&self) -> &str {
        &self.peer.address
    }

    /// The key of `[TSDB]` that holds the address.
    pub fn address_key(&self) -> &'static str {
        self.key
    }

    /// Most requests at the same time.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Takes the messages for the log since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Size of a body as it is sent, compressed if that applies.
    pub fn wire_bytes(&self, body: &[u8]) -> usize {
        if self.compresses && body.len() > GZIP_FROM { zipped(body, LEVEL).len() } else { body.len() }
    }

    /// The base address with `path` appended to its path, and its own query followed by that of `path` and by `query`.
    /// An empty value leaves only the key.
    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = below(&self.base, path);
        let pairs = query.iter().map(|(key, value)| match *value {
            "" => percent::encode(key),
            value => format!("{}={}", percent::encode(key), percent::encode(value)),
        });
        add_query(&mut url, &pairs.collect::<Vec<_>>().join("&"));
        url
    }

    /// Posts all bodies at once, each over its own connection, and waits for the answers.
    pub fn post(&mut self, call: Call, bodies: &[&[u8]], until: Instant) -> Vec<Result<Answer, Failure>> {
        let wire_bodies: Vec<WireBody> = bodies.iter().map(|body| self.wire_body(body)).collect();
        let mut came = self.exchange(call, &wire_bodies.iter().collect::<Vec<_>>(), until);
        let is_read = |(came, wire_body): (_, &WireBody)| wire_body.is_compressed && is_success(came);
        self.accepts_gzip |= came.iter().zip(&wire_bodies).any(is_read);
        if self.accepts_gzip {
            return came;
        }
        let rejects_gzip = |came: &Result<Answer, Failure>| {
            came.as_ref().is_ok_and(|answer| answer.status == 415) || (call.rejects_gzip)(came)
        };
        let zipped = came.iter_mut().zip(bodies).zip(&wire_bodies).filter(|(_, wire_body)| wire_body.is_compressed);
        let unread: Vec<_> = zipped.map(|(pair, _)| pair).filter(|(came, _)| rejects_gzip(came)).collect();
        if unread.is_empty() {
            return came;
        }
        let plain: Vec<WireBody> = unread.iter().map(|(_, body)| WireBody::plain(body)).collect();
        let answers = self.exchange(call, &plain.iter().collect::<Vec<_>>(), until);
        if answers.iter().any(is_success) {
            self.compresses = false;
            let address = &self.peer.address;
            self.notes.push(format!("{address}: does not read compressed requests, gzip is off from now on"));
        }
        unread.into_iter().zip(answers).for_each(|((came, _), answer)| *came = answer);
        came
    }

    /// GETs a page.
    ///
    /// # Errors
    /// There is no answer; the failure says why.
    pub fn get(&mut self, url: &Url, until: Instant) -> Result<Answer, Failure> {
        let (client, open) = self.client()?;
        let runtime = self.runtime.as_ref().ok_or_else(|| self.peer.failure(Cause::Setup, "no runtime"))?;
        let (peer, request) = (self.peer.clone(), Request::new(Method::GET, url.clone()));
        let asking = PendingRequest { client, peer, request, limit: PAGE, until, is_open: open > 0 };
        runtime.block_on(asking.ask())
    }

    fn wire_body<'a>(&self, body: &'a [u8]) -> WireBody<'a> {
        match self.compresses && body.len() > GZIP_FROM {
            true => WireBody { bytes: zipped(body, LEVEL).into(), is_compressed: true },
            false => WireBody::plain(body),
        }
    }

    /// Sends the bodies. A kept connection may have been closed unnoticed; the request is then repeated at once on a
    /// new one.
    fn exchange(&mut self, call: Call, wire_bodies: &[&WireBody], until: Instant) -> Vec<Result<Answer, Failure>> {
        let was_used = self.client.as_ref().is_some_and(|made| made.open > 0);
        let mut came = self.attempt(call, wire_bodies, until);
        let is_dead = |came: &Result<Answer, Failure>| {
            was_used && came.as_ref().is_err_and(|failure| failure.cause == Cause::Closed)
        };
        let dead = came.iter_mut().zip(wire_bodies.iter().copied()).filter(|(came, _)| is_dead(came));
        let (dead, again): (Vec<_>, Vec<_>) = dead.unzip();
        if !again.is_empty() {
            let answers = self.attempt(call, &again, until);
            dead.into_iter().zip(answers).for_each(|(came, answer)| *came = answer);
        }
        came
    }

    fn attempt(&mut self, call: Call, wire_bodies: &[&WireBody], until: Instant) -> Vec<Result<Answer, Failure>> {
        let came = match self.converse(call, wire_bodies, until) {
            Ok(came) => came,
            Err(failure) => vec![Err(failure); wire_bodies.len()],
        };
        if came.iter().all(|came| came.as_ref().is_ok_and(|answer| answer.end != End::Broken)) {
            self.client.iter_mut().for_each(|made| made.open = made.open.max(wire_bodies.len()));
        } else {
            self.disconnect();
        }
        came
    }

    fn converse(
        &mut self,
        call: Call,
        wire_bodies: &[&WireBody],
        until: Instant,
    ) -> Result<Vec<Result<Answer, Failure>>, Failure> {
        let (client, open) = self.client()?;
        let runtime = self.runtime.as_ref().ok_or_else(|| self.peer.failure(Cause::Setup, "no runtime"))?;
        let asking = |wire_body: &WireBody, is_open| PendingRequest {
            client: client.clone(),
            peer: self.peer.clone(),
            request: post_request(&call, wire_body),
            limit: call.limit,
            until,
            is_open,
        };
        Ok(runtime.block_on(async {
            let came = match wire_bodies {
                [wire_body] => vec![asking(wire_body, open > 0).ask().await],
                _ => {
                    let mut running = JoinSet::new();
                    for (place, wire_body) in wire_bodies.iter().enumerate() {
                        let asking = asking(wire_body, place < open);
                        running.spawn(async move { (place, asking.ask().await) });
                    }
                    let mut came = running.join_all().await;
                    came.sort_by_key(|(place, _)| *place);
                    came.into_iter().map(|(_, came)| came).collect()
                }
            };
            // Lets the connections notice the end of the answers, so that they can be reused.
            yield_now().await;
            came
        }))
    }

    /// The client, newly created if there is none or it is too old; and its number of open connections.
    fn client(&mut self) -> Result<(Client, usize), Failure> {
        if let Some(made) = self.client.as_ref().filter(|made| made.born.elapsed() < self.max_age) {
            return Ok((made.client.clone(), made.open));
        }
        self.disconnect();
        if self.runtime.is_none() {
            let runtime = names::runtime().map_err(|error| self.peer.failure(Cause::Connect, &plain(&error)))?;
            self.runtime = Some(runtime);
        }
        let client = self.make_client().map_err(|problem| self.peer.failure(Cause::Setup, &problem))?;
        self.client = Some(Connections { client: client.clone(), born: Instant::now(), open: 0 });
        Ok((client, 0))
    }

    fn make_client(&self) -> Result<Client, String> {
        let is_plain = self.base.scheme() == "http" && self.proxy.as_ref().is_none_or(|proxy| !proxy.is_https());
        let tls = if is_plain { Tls::none() } else { self.tls.config() }.map_err(|error| error.to_string())?;
        let mut builder = http::builder(tls, self.lookup.clone())
            .default_headers(self.headers.clone())
            .connect_timeout(self.peer.connect_limit)
            .pool_max_idle_per_host(self.lanes);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.build()?);
        }
        builder.build().map_err(|error| innermost(&error.without_url()))
    }

    /// Closes the connections, even one whose answer is still awaited.
    fn disconnect(&mut self) {
        if self.client.take().is_some()
            && let Some(runtime) = &self.runtime
        {
            runtime.block_on(yield_now());
        }
    }
}

impl Drop for HttpPost {
    fn drop(&mut self) {
        // A name lookup that hangs must not keep the daemon from stopping.
        if let Some(runtime) = self.runtime.take() {
            self.client = None;
            runtime.shutdown_background();
        }
    }
}

impl Peer {
    fn no_answer(&self, error: &reqwest::Error) -> Failure {
        if let Some((cause, why)) = self.proxy.as_ref().and_then(|proxy| proxy.why(error, self.connect_limit)) {
            return self.failure(cause, &why);
        }
        let (cause, why) = http::why(error, self.connect_limit);
        match is_nobody_there(error) {
            true => Failure { cause, why: format!("{}: {why}{}", self.with_port, self.hint) },
            false => self.failure(cause, &why),
        }
    }

    fn failure(&self, cause: Cause, why: &str) -> Failure {
        Failure { cause, why: format!("{}: {why}", self.address) }
    }
}

/// A request to be sent.
struct PendingRequest {
    client: Client,
    peer: Arc<Peer>,
    request: Request,
    limit: usize,
    until: Instant,
    /// Whether a connection for it is open already.
    is_open: bool,
}

impl PendingRequest {
    async fn ask(self) -> Result<Answer, Failure> {
        let PendingRequest { client, peer, request, limit, until, is_open } = self;
        let start = Instant::now();
        let patience = if is_open { peer.timeout } else { peer.timeout + peer.connect_limit };
        let left = until.saturating_duration_since(start);
        let response = match timeout(patience.min(left), client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(peer.no_answer(&error)),
            Err(_) if left < patience => return Err(peer.failure(Cause::GivenUp, GAVE_UP)),
            Err(_) => return Err(peer.failure(Cause::Timeout, &no_answer(patience))),
        };
        let left = WHOLE_ANSWER.max(peer.timeout).saturating_sub(start.elapsed());
        let left = left.min(until.saturating_duration_since(Instant::now()));
        let answer = read_answer(&peer, response, limit, left).await;
        match answer.is_undecided() && Instant::now() >= until {
            true => Err(peer.failure(Cause::GivenUp, GAVE_UP)),
            false => Ok(answer),
        }
    }
}

fn is_success(came: &Result<Answer, Failure>) -> bool {
    came.as_ref().is_ok_and(Answer::is_success)
}

async fn read_answer(peer: &Peer, response: Response, limit: usize, left: Duration) -> Answer {
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let mut answer = Answer {
        address: peer.address.clone(),
        proxy: peer.proxy.clone().filter(|proxy| !proxy.is_tunnel),
        status: response.status().as_u16(),
        retry_after: header(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now())),
        location: header(LOCATION).map(String::from),
        date: header(DATE).and_then(http_date),
        error: header(HeaderName::from_static("x-influxdb-error")).map(String::from),
        body: Vec::new(),
        end: End::Broken,
    };
    let is_compressed = header(CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
    // Some servers send an endless body with a refusal.
    let left = if answer.is_decided_by_status() { left.min(REFUSAL) } else { left };
    let read = read_body(response, limit, &mut answer.body);
    answer.end = timeout(left, read).await.unwrap_or(End::Broken);
    if is_compressed {
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

impl WireBody<'_> {
    fn plain(body: &[u8]) -> WireBody<'_> {
        WireBody { bytes: body.into(), is_compressed: false }
    }
}

fn post_request(call: &Call, wire_body: &WireBody) -> Request {
    let mut request = Request::new(Method::POST, call.url.clone());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    if wire_body.is_compressed {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *request.body_mut() = Some(wire_body.bytes.to_vec().into());
    request
}

/// A duration in seconds from a key of `[TSDB]`, 1 to 59.
pub fn seconds(tsdb: &Section, key: &str, default: u64) -> Result<Duration> {
    tsdb.within(key, default, 1..=59, "seconds").map(Duration::from_secs)
}

/// The error message for an answer that did not come in time.
pub fn no_answer(limit: Duration) -> String {
    match limit.as_secs() {
        0 => format!("no answer within {} ms", limit.as_millis()),
        seconds => format!("no answer within {seconds} s"),
    }
}
