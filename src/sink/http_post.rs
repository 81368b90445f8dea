//! A POST over a kept-alive connection, or several at once over one each: the only HTTP client of the sinks.
//!
//! *Invariant:* nothing here waits without a limit, follows a redirect, or shows a credential.

use super::answer::{Answer, Cause, End, Failure};
use super::retry_after::{http_date, retry_after};
use crate::config::section::Section;
use crate::model::error::{Result, plain};
pub use crate::net::address::Url;
use crate::net::address::{
    add_query, basic, below, credentials, exposed, parse_address, percent_encode, show, show_with_port,
    without_credentials,
};
use crate::net::http::{self, MAX_AGE, innermost, is_nobody_there};
use crate::net::names::{self, Lookup, is_loopback};
use crate::net::proxy::{Between, Proxying};
use crate::net::tls::Tls;
pub use reqwest::header::HeaderValue;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::header::{DATE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Request, Response};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

/// From the request to the last byte of the answer.
const WHOLE_ANSWER: Duration = Duration::from_secs(30);
/// The same where the status has said all that matters.
const REFUSAL: Duration = Duration::from_secs(2);
const GAVE_UP: &str = "gave up waiting for the answer";
/// Most bytes that are read of a page that is asked for.
const PAGE: usize = 64 << 10;
/// Smaller bodies are not worth compressing.
const GZIP_FROM: usize = 1024;

/// Where and how bodies are posted.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub url: &'a Url,
    pub content_type: &'static str,
    /// Most bytes of the answer that are read.
    pub limit: usize,
    /// Whether the answer is that of a server which took compressed bytes for text; then it is asked once more without.
    pub is_unread: fn(&Result<Answer, Failure>) -> bool,
}

/// The conversation with one server.
pub struct HttpPost {
    /// The key that holds the address.
    key: &'static str,
    base: Url,
    peer: Arc<Peer>,
    headers: HeaderMap,
    is_loopback: bool,
    tls: Tls,
    proxy: Option<Proxying>,
    lanes: usize,
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
    /// Connections over which an exchange went well. The next exchange may find them dead.
    open: usize,
}

/// The server as a request that is under way knows it.
struct Peer {
    address: Arc<str>,
    /// The address with its port.
    with_port: String,
    /// Where the server usually listens, if the address names no port.
    hint: String,
    proxy: Option<Arc<Between>>,
    /// For https as much again for the handshake.
    connect_limit: Duration,
    /// Until the first byte of the answer.
    timeout: Duration,
}

/// What differs from sink to sink in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The key that holds the address.
    pub address: &'static str,
    /// Whether `auth`, `user` and `pass` mean anything.
    pub basic: bool,
    /// For whom `gzip = auto` compresses.
    pub gzip: Gzip,
    /// Default of `timeout`, in seconds.
    pub timeout: u64,
    /// Requests that may be under way at once.
    pub lanes: usize,
    /// A sentence for who forgot the port: where such a server usually listens.
    pub usual_port: Option<&'static str>,
    /// An address as it could be.
    pub example: &'static str,
}

/// Which servers get compressed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gzip {
    Never,
    /// Those on other machines: on this one it saves nothing and costs time.
    Remote,
    All,
}

/// A body as it goes over the wire.
struct Form<'a> {
    bytes: Cow<'a, [u8]>,
    is_zipped: bool,
}

impl HttpPost {
    /// Reads the address, `auth`, `user`, `pass`, `proxy`, `gzip`, `connect_timeout`, `timeout` and the keys of TLS.
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
        &self.peer.address
    }

    /// The key of `[TSDB]` that holds the address.
    pub fn address_key(&self) -> &'static str {
        self.key
    }

    /// Requests that may be under way at once.
    pub fn lanes(&self) -> usize {
        self.lanes
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

    /// The address with a path behind its own, if there is one, and behind its own query that of the path and more
    /// pairs; an empty value leaves only the key.
    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = below(&self.base, path);
        let pairs = query.iter().map(|(key, value)| match *value {
            "" => percent_encode(key),
            value => format!("{}={}", percent_encode(key), percent_encode(value)),
        });
        add_query(&mut url, &pairs.collect::<Vec<_>>().join("&"));
        url
    }

    /// Posts all bodies at once, each over its own connection, and waits for the answers.
    pub fn post(&mut self, call: Call, bodies: &[&[u8]], until: Instant) -> Vec<Result<Answer, Failure>> {
        let forms: Vec<Form> = bodies.iter().map(|body| self.form(body)).collect();
        let mut came = self.exchange(call, &forms.iter().collect::<Vec<_>>(), until);
        let is_read = |(came, form): (_, &Form)| form.is_zipped && is_success(came);
        self.is_understood |= came.iter().zip(&forms).any(is_read);
        if self.is_understood {
            return came;
        }
        let is_unread = |came: &Result<Answer, Failure>| {
            came.as_ref().is_ok_and(|answer| answer.status == 415) || (call.is_unread)(came)
        };
        let zipped = came.iter_mut().zip(bodies).zip(&forms).filter(|(_, form)| form.is_zipped);
        let unread: Vec<_> = zipped.map(|(pair, _)| pair).filter(|(came, _)| is_unread(came)).collect();
        if unread.is_empty() {
            return came;
        }
        let plain: Vec<Form> = unread.iter().map(|(_, body)| Form::plain(body)).collect();
        let answers = self.exchange(call, &plain.iter().collect::<Vec<_>>(), until);
        if answers.iter().any(is_success) {
            self.compresses = false;
            let address = &self.peer.address;
            self.notes.push(format!("{address}: does not read compressed requests, gzip is off from now on"));
        }
        unread.into_iter().zip(answers).for_each(|((came, _), answer)| *came = answer);
        came
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// There is no answer, for that reason.
    pub fn get(&mut self, url: &Url, until: Instant) -> Result<Answer, Failure> {
        let (client, open) = self.client()?;
        let runtime = self.runtime.as_ref().ok_or_else(|| self.peer.failure(Cause::Setup, "no runtime"))?;
        let (peer, request) = (self.peer.clone(), Request::new(Method::GET, url.clone()));
        let asking = Asking { client, peer, request, limit: PAGE, until, is_open: open > 0 };
        runtime.block_on(asking.ask())
    }

    fn form<'a>(&self, body: &'a [u8]) -> Form<'a> {
        match self.compresses && body.len() > GZIP_FROM {
            true => Form { bytes: gzip(body).into(), is_zipped: true },
            false => Form::plain(body),
        }
    }

    /// A connection that was kept may have died unseen: then the request is repeated at once on a new one.
    fn exchange(&mut self, call: Call, forms: &[&Form], until: Instant) -> Vec<Result<Answer, Failure>> {
        let was_used = self.client.as_ref().is_some_and(|made| made.open > 0);
        let mut came = self.attempt(call, forms, until);
        let is_dead = |came: &Result<Answer, Failure>| {
            was_used && came.as_ref().is_err_and(|failure| failure.cause == Cause::Closed)
        };
        let dead = came.iter_mut().zip(forms.iter().copied()).filter(|(came, _)| is_dead(came));
        let (dead, again): (Vec<_>, Vec<_>) = dead.unzip();
        if !again.is_empty() {
            let answers = self.attempt(call, &again, until);
            dead.into_iter().zip(answers).for_each(|(came, answer)| *came = answer);
        }
        came
    }

    fn attempt(&mut self, call: Call, forms: &[&Form], until: Instant) -> Vec<Result<Answer, Failure>> {
        let came = match self.converse(call, forms, until) {
            Ok(came) => came,
            Err(failure) => vec![Err(failure); forms.len()],
        };
        if came.iter().all(|came| came.as_ref().is_ok_and(|answer| answer.end != End::Broken)) {
            self.client.iter_mut().for_each(|made| made.open = made.open.max(forms.len()));
        } else {
            self.disconnect();
        }
        came
    }

    fn converse(
        &mut self,
        call: Call,
        forms: &[&Form],
        until: Instant,
    ) -> Result<Vec<Result<Answer, Failure>>, Failure> {
        let (client, open) = self.client()?;
        let runtime = self.runtime.as_ref().ok_or_else(|| self.peer.failure(Cause::Setup, "no runtime"))?;
        let asking = |form: &Form, is_open| Asking {
            client: client.clone(),
            peer: self.peer.clone(),
            request: post_request(&call, form),
            limit: call.limit,
            until,
            is_open,
        };
        Ok(runtime.block_on(async {
            let came = match forms {
                [form] => vec![asking(form, open > 0).ask().await],
                _ => {
                    let mut running = JoinSet::new();
                    for (place, form) in forms.iter().enumerate() {
                        let asking = asking(form, place < open);
                        running.spawn(async move { (place, asking.ask().await) });
                    }
                    let mut came = running.join_all().await;
                    came.sort_by_key(|(place, _)| *place);
                    came.into_iter().map(|(_, came)| came).collect()
                }
            };
            // Lets the connections notice that the answers are over, so that they are there for the next requests.
            yield_now().await;
            came
        }))
    }

    /// The client, made anew when there is none or it is too old, and how many connections it has.
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
        self.client = Some(Made { client: client.clone(), born: Instant::now(), open: 0 });
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
        // A lookup that hangs must not keep the daemon from stopping.
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

/// One request that is under way.
struct Asking {
    client: Client,
    peer: Arc<Peer>,
    request: Request,
    limit: usize,
    until: Instant,
    /// Whether there is a connection for it already.
    is_open: bool,
}

impl Asking {
    async fn ask(self) -> Result<Answer, Failure> {
        let Asking { client, peer, request, limit, until, is_open } = self;
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
    let is_zipped = header(CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
    // Some servers refuse with a body that never ends.
    let left = if answer.is_told_by_status() { left.min(REFUSAL) } else { left };
    let read = read_body(response, limit, &mut answer.body);
    answer.end = timeout(left, read).await.unwrap_or(End::Broken);
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

impl Form<'_> {
    fn plain(body: &[u8]) -> Form<'_> {
        Form { bytes: body.into(), is_zipped: false }
    }
}

fn post_request(call: &Call, form: &Form) -> Request {
    let mut request = Request::new(Method::POST, call.url.clone());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    if form.is_zipped {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *request.body_mut() = Some(form.bytes.to_vec().into());
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
    tsdb.within(key, default, 1..=59, "seconds").map(Duration::from_secs)
}

/// The sentence for a wait that was in vain.
pub fn no_answer(limit: Duration) -> String {
    match limit.as_secs() {
        0 => format!("no answer within {} ms", limit.as_millis()),
        seconds => format!("no answer within {seconds} s"),
    }
}
