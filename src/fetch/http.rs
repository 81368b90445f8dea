//! Pages of a server, over TCP, TLS or a unix socket: the only HTTP client of the checks.
//!
//! *Invariant:* nothing here waits past its deadline, keeps more than its limit, follows a redirect, or shows a credential.

use crate::config::section::Section;
use crate::model::error::{Error, Result, plain, quote};
pub use crate::net::address::percent_encode;
use crate::net::address::{Url, basic, below, credentials, parse_address, show, without_credentials};
use crate::net::http::{self, Cause, MAX_AGE, complaint, innermost, redirection};
use crate::net::names::{self, Lookup, is_loopback};
use crate::net::proxy::Proxying;
use crate::net::tls::{self, Tls};
use nix::unistd::{Gid, Group};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN};
use reqwest::tls::TlsInfo;
use reqwest::{Client, Method, Request, Response};
use rustls::ClientConfig;
use rustls::client::Resumption;
use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};

/// Longest wait for a whole page unless `timeout_seconds` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of all pages that are read at a time.
const MOST_BYTES: usize = 32 << 20;
/// Most pages that are asked for at a time.
const AT_ONCE: usize = 64;
/// Most bytes of a page that is read while it comes, and of a line of it.
const STREAM_BYTES: usize = 128 << 20;
const LINE_BYTES: usize = 1 << 20;
/// Connections that are kept from tick to tick.
const SPARE: usize = 4;
/// Most bytes of a page that a probe keeps.
const PROBE_BYTES: usize = MOST_BYTES / AT_ONCE;
/// Most bytes of an answer that refuses, which may say why.
const REFUSAL_BYTES: usize = 4096;
/// Most bytes of a file that holds a token.
const TOKEN_BYTES: u64 = 64 << 10;
const UNSENDABLE: &str = "has letters that cannot be sent";
/// Most letters that an error shows of a page.
const SHOWN: usize = 60;
/// What the URLs of requests over a unix socket begin with.
const OVER_SOCKET: &str = "http://localhost";

/// A server as the section of a check names it.
#[derive(Clone)]
pub struct Endpoint {
    base: Url,
    /// The socket where the server is not reached over TCP.
    socket: Option<PathBuf>,
    authorization: Option<HeaderValue>,
    /// The keys of that.
    login: &'static str,
    /// Whether requests say that they come from a page of this server.
    has_origin: bool,
    /// Whether the server itself is what is asked for, see [`Endpoint::probed`].
    is_probed: bool,
    /// Statuses of refusals that are answers, see [`Endpoint::hearing`].
    heard: &'static [u16],
    token: Option<(HeaderName, Token)>,
    tls: Tls,
    timeout: Duration,
}

/// The secret in a header of each request.
#[derive(Clone)]
enum Token {
    Text(HeaderValue),
    /// Read at each request: who writes such files writes them anew before the token in them ends.
    File(PathBuf),
}

impl Token {
    fn value(&self) -> Result<HeaderValue, String> {
        let path = match self {
            Token::Text(value) => return Ok(value.clone()),
            Token::File(path) => path,
        };
        let mut text = String::new();
        // A pipe would be waited for.
        let file = match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(format!("token_file {} is no file", path.display())),
            _ => fs::File::open(path),
        };
        file.and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
            .map_err(|error| format!("cannot read token_file {}: {}", path.display(), plain(&error)))?;
        secret(text.trim()).ok_or_else(|| format!("token_file {} holds no token", path.display()))
    }
}

/// As the value of a header; `None` for what cannot be one.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// The keys that [`Endpoint::with_token`] reads.
pub const TOKEN_KEYS: &[&str] = &["token", "token_file"];

/// The keys that [`Endpoint::read`] reads beside those of the address.
pub const KEYS: &[&str] = &["auth", "user", "pass", "verify", "ca_file", "client_cert", "client_key"];

impl Endpoint {
    /// The address under the first key, with the paths under the others behind it. Reads `auth`, `user`, `pass`, the keys
    /// of TLS and `timeout_seconds`, too.
    pub fn read(section: &Section, keys: &[&str]) -> Result<Endpoint> {
        let (key, more) = keys.split_first().map_or(("", keys), |(key, more)| (*key, more));
        let text = section.required(key, "http://127.0.0.1:8080")?;
        let socket = text.strip_prefix("unix://").map(PathBuf::from);
        if socket.as_ref().is_some_and(|socket| !socket.is_absolute()) {
            return Err(section.wrong(key, "expected the whole path of a socket, as unix:///var/run/docker.sock"));
        }
        let address = if socket.is_some() { OVER_SOCKET } else { text };
        let mut base = parse_address(address).map_err(|problem| section.problem(key, &problem))?;
        for key in more {
            base = below(&base, section.required(key, "/status")?);
        }
        let authorization = credentials(section, &base, true)?.map(|(user, password)| basic(&user, &password));
        let tls = if base.scheme() == "https" { Tls::of_check(section)? } else { Tls::default() };
        let timeout = section.timeout(TIMEOUT)?;
        let base = without_credentials(base);
        let login = "user and password";
        Ok(Endpoint {
            base,
            socket,
            authorization,
            login,
            has_origin: false,
            is_probed: false,
            heard: &[],
            token: None,
            tls,
            timeout,
        })
    }

    /// The same server, shown the secret under that key where there is one, as `SCHEME SECRET` and instead of user and password.
    /// `login` names the keys of all ways to log in.
    pub fn with_secret(mut self, section: &Section, key: &str, scheme: &str, login: &'static str) -> Result<Endpoint> {
        self.login = login;
        if let Some(text) = section.text(key).filter(|text| !text.is_empty()) {
            let value = secret(&format!("{scheme} {text}"));
            self.authorization = Some(value.ok_or_else(|| section.problem(key, UNSENDABLE))?);
        }
        Ok(self)
    }

    /// The same server, not for what is on a page: any status is an answer, a new connection is made each time, and of a long
    /// page the beginning is kept.
    pub fn probed(mut self) -> Endpoint {
        self.is_probed = true;
        self
    }

    /// The same server, whose answers of these statuses are no failures: the check knows what they mean.
    pub fn hearing(mut self, statuses: &'static [u16]) -> Endpoint {
        self.heard = statuses;
        self
    }

    /// The same server, shown in that header what `token` says, or the file that `token_file` names, where one of them is set.
    ///
    /// # Errors
    /// A token that no header can carry.
    pub fn with_token(mut self, section: &Section, header: &'static str) -> Result<Endpoint> {
        let written = |key| section.text(key).filter(|text| !text.is_empty());
        let token = match (written("token"), written("token_file")) {
            (Some(text), _) => {
                let problem = || section.problem("token", UNSENDABLE);
                Some(Token::Text(secret(text).ok_or_else(problem)?))
            }
            (None, file) => file.map(|path| Token::File(path.into())),
        };
        self.token = token.map(|token| (HeaderName::from_static(header), token));
        Ok(self)
    }

    /// Whether it is shown a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Its name or address, without brackets, and its port.
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.base.host_str().unwrap_or_default();
        (host.trim_matches(['[', ']']), self.base.port_or_known_default().unwrap_or_default())
    }

    /// The path of its address.
    pub fn path(&self) -> &str {
        self.base.path()
    }

    /// The same server, told at each request that a page of its own asks: some answer nobody else.
    pub fn with_origin(mut self) -> Endpoint {
        self.has_origin = true;
        self
    }

    /// The same server without that last part of the path.
    pub fn above(mut self, last: &str) -> Endpoint {
        let path = self.base.path().trim_end_matches('/');
        if let Some(above) = path.strip_suffix(last).filter(|above| above.ends_with('/')).map(String::from) {
            self.base.set_path(&above);
        }
        self
    }

    /// Whether the server is reached on this host.
    pub fn is_local(&self) -> bool {
        self.socket.is_some() || self.base.host_str().is_some_and(is_loopback)
    }

    /// As it may be shown: without user, password and query.
    pub fn shown(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        match &self.socket {
            Some(socket) => format!("unix://{}{path}", socket.display()),
            None => show(&below(&self.base, path)),
        }
    }
}

/// A page and how long it took to come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Where it came from, as it may be shown.
    pub address: String,
    /// As the server calls it, `text/html`; empty where it does not.
    pub content_type: String,
    /// Bytes that are not UTF-8 are U+FFFD.
    pub text: String,
    /// Bytes of the whole page.
    pub size: usize,
    /// Until its first byte came, and until its last.
    pub first_byte: Duration,
    pub took: Duration,
    /// Until when the server's certificate is valid, in Unix seconds; known of servers that are probed.
    pub valid_until: Option<u64>,
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which of several servers.
    server: usize,
    /// Path and query below the server's address; `""` for the address itself.
    pub path: String,
    /// A body, sent by POST; `None`: GET.
    pub json: Option<String>,
}

impl Question {
    pub fn get(path: &str) -> Question {
        Question { server: 0, path: path.into(), json: None }
    }

    pub fn post(path: &str, json: String) -> Question {
        Question { server: 0, path: path.into(), json: Some(json) }
    }

    /// For the address itself of that one of several servers.
    pub fn of_server(server: usize) -> Question {
        Question { server, ..Question::get("") }
    }
}

impl Answer {
    /// Goes on where that is true.
    ///
    /// # Errors
    /// It is another page than was wanted: says what came instead.
    pub fn must(&self, is_right: bool, wanted: &str) -> Result<()> {
        if is_right {
            return Ok(());
        }
        let begin: String = self.text.trim_start().chars().take(SHOWN).collect();
        let kind = if self.content_type.is_empty() { "a page of no type" } else { &self.content_type };
        let status = if self.status >= 300 { format!("HTTP {} with ", self.status) } else { String::new() };
        let problem = format!("expected {wanted}; answered {status}{kind}: {}", quote(&begin));
        Err(Error::Fetch { address: self.address.clone(), problem })
    }

    /// The error of an answer that could not be understood, with where it came from.
    pub fn unread(&self, error: &Error) -> Error {
        let problem = match error {
            Error::Fetch { problem, .. } => problem.clone(),
            other => other.to_string(),
        };
        Error::Fetch { address: self.address.clone(), problem }
    }
}

/// The conversation with a server, or with several at the same time. Belongs to the check that asks, has its own connections,
/// and starts no thread.
pub struct Http(Vec<Server>);

struct Server {
    endpoint: Endpoint,
    client: Option<Made>,
    /// The last page did not come: certificates may have been exchanged since they were read.
    has_failed: bool,
}

impl Server {
    /// All that asking it takes.
    fn asking(
        &mut self,
        common: &Common,
        question: &Question,
        limit: usize,
        deadline: Instant,
    ) -> Result<Asking, String> {
        let token = match &self.endpoint.token {
            Some((name, token)) => Some((name.clone(), token.value()?)),
            None => None,
        };
        let client = self.client(common)?;
        Ok(Asking { token, ..Asking::new(&self.endpoint, client, question, limit, deadline) })
    }

    /// Its client, made anew when there is none or it is too old.
    fn client(&mut self, common: &Common) -> Result<Client, String> {
        if let Some(made) = self.client.as_ref().filter(|made| made.born.elapsed() < MAX_AGE) {
            return Ok(made.client.clone());
        }
        let made = self.endpoint.client(common, self.has_failed)?;
        self.has_failed = false;
        Ok(self.client.insert(made).client.clone())
    }
}

/// A client, and when it or what it trusts was made.
struct Made {
    client: Client,
    born: Instant,
}

/// What all conversations have in common.
struct Common {
    /// Driven by those who wait on it, one at a time; each waits for no other than its own pages.
    runtime: Runtime,
    lookup: Lookup,
    /// By the keys of TLS; `None` is for plain HTTP.
    trusts: Mutex<HashMap<Option<Tls>, SharedTrust>>,
}

/// `None` until somebody has read it.
type SharedTrust = Arc<Mutex<Option<Trust>>>;

/// Whom servers with the same keys of TLS trust.
#[derive(Clone)]
struct Trust {
    config: ClientConfig,
    born: Instant,
}

impl Trust {
    fn read(tls: Option<&Tls>) -> Result<Trust, String> {
        let config = tls.map_or_else(Tls::none, Tls::config).map_err(|error| error.to_string())?;
        Ok(Trust { config, born: Instant::now() })
    }

    fn is_fresh(&self) -> bool {
        self.born.elapsed() < MAX_AGE
    }
}

/// Made at the first request: before the daemon forks there must be none.
static COMMON: OnceLock<Common> = OnceLock::new();

impl Common {
    fn get() -> Result<&'static Common, String> {
        if let Some(common) = COMMON.get() {
            return Ok(common);
        }
        let runtime = names::runtime().map_err(|error| plain(&error))?;
        Ok(COMMON.get_or_init(|| Common { runtime, lookup: names::system(), trusts: Mutex::default() }))
    }

    /// Lets connections notice that the server has closed them, or that nobody here wants them any more.
    fn tidy(&self) {
        self.runtime.block_on(async {
            yield_now().await;
            yield_now().await;
        });
    }

    /// As one of those read it who have the same keys, and wait for it: files may hang. With `is_anew` it is read now, for the one
    /// who asks alone: what is wrong with one server changes no other.
    fn trust(&self, tls: Option<&Tls>, is_anew: bool) -> Result<Trust, String> {
        if is_anew && tls.is_some() {
            return Trust::read(tls);
        }
        let shared = {
            let mut trusts = lock(&self.trusts);
            trusts.retain(|_, trust| is_worth_keeping(trust));
            Arc::clone(trusts.entry(tls.cloned()).or_default())
        };
        let mut trust = lock(&shared);
        match &*trust {
            Some(trust) if trust.is_fresh() => Ok(trust.clone()),
            _ => Ok(trust.insert(Trust::read(tls)?).clone()),
        }
    }
}

/// One that is being read, or is not too old.
fn is_worth_keeping(trust: &SharedTrust) -> bool {
    trust.try_lock().map_or(true, |trust| trust.as_ref().is_some_and(Trust::is_fresh))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Http {
    pub fn new(endpoint: Endpoint) -> Http {
        Http::of(vec![endpoint])
    }

    /// With several servers, see [`Question::of_server`].
    pub fn of(endpoints: Vec<Endpoint>) -> Http {
        let server = |endpoint| Server { endpoint, client: None, has_failed: false };
        Http(endpoints.into_iter().map(server).collect())
    }

    /// The server's address, as it may be shown.
    pub fn address(&self) -> String {
        self.0.first().map_or_else(String::new, |server| server.endpoint.shown(""))
    }

    /// The page of that path and query below the server's address; `""` for the address itself.
    ///
    /// # Errors
    /// [`Error::Fetch`] where there is no whole page in time, [`Error::Status`] where the server has another answer.
    pub fn ask(&mut self, question: Question, deadline: Instant) -> Result<Answer> {
        let mut got = Err(self.failure("no answer"));
        self.ask_all(&[question], deadline, |_, answer| got = answer);
        got
    }

    /// Many pages at once: `tell` is given each with its place in `questions` as soon as it is there or has failed.
    pub fn ask_all(&mut self, questions: &[Question], deadline: Instant, mut tell: impl FnMut(usize, Result<Answer>)) {
        let common = match Common::get() {
            Ok(common) => common,
            Err(problem) => return (0..questions.len()).for_each(|at| tell(at, Err(self.failure(&problem)))),
        };
        common.tidy();
        let limit = MOST_BYTES / questions.len().clamp(1, AT_ONCE);
        let mut waiting = questions.iter().enumerate();
        let mut running = JoinSet::new();
        let mut lost = Vec::new();
        loop {
            while running.len() < AT_ONCE
                && let Some((at, question)) = waiting.next()
            {
                let place = question.server;
                let Some(server) = self.0.get_mut(place) else { continue };
                match server.asking(common, question, limit, deadline) {
                    Ok(asking) => {
                        running.spawn_on(async move { (at, place, asking.ask().await) }, common.runtime.handle());
                    }
                    Err(problem) => tell(at, Err(Error::Fetch { address: server.endpoint.shown(""), problem })),
                }
            }
            match common.runtime.block_on(running.join_next()) {
                Some(Ok((at, place, answer))) => {
                    lost.extend(matches!(answer, Err(Error::Fetch { .. })).then_some(place));
                    // While no other check waits for this one: what is told of a page may take its time.
                    tell(at, answer);
                }
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => {}
                None => break,
            }
        }
        if lost.is_empty() {
            return;
        }
        for place in lost {
            if let Some(server) = self.0.get_mut(place) {
                (server.client, server.has_failed) = (None, true);
            }
        }
        common.tidy();
    }

    /// The page of that path, given to `read` while it comes: of a long one, nothing is kept but what `read` keeps. It is read to
    /// its end in any case: some servers take it for a failure of theirs when nobody does.
    ///
    /// # Errors
    /// As of [`Http::ask`]; what `read` says where the whole page came.
    pub fn stream<T>(
        &mut self,
        question: Question,
        deadline: Instant,
        read: impl FnOnce(&mut Body) -> Result<T>,
    ) -> Result<T> {
        let nobody = self.failure("no answer");
        let common = Common::get().map_err(|problem| self.failure(&problem))?;
        common.tidy();
        let Some(server) = self.0.get_mut(question.server) else { return Err(nobody) };
        let asking = server.asking(common, &question, STREAM_BYTES, deadline);
        let asking = asking.map_err(|problem| Error::Fetch { address: server.endpoint.shown(""), problem })?;
        let told = Body::begin(asking, common).and_then(|mut body| {
            let told = read(&mut body);
            body.end().map(|()| told)
        });
        if matches!(told, Err(Error::Fetch { .. })) {
            (server.client, server.has_failed) = (None, true);
            common.tidy();
        }
        told?
    }

    fn failure(&self, problem: &str) -> Error {
        Error::Fetch { address: self.address(), problem: problem.into() }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.0.clear();
        if let Some(common) = COMMON.get() {
            common.tidy();
        }
    }
}

impl Endpoint {
    fn client(&self, common: &Common, is_anew: bool) -> Result<Made, String> {
        let is_near = self.socket.is_some() || is_loopback(self.base.host_str().unwrap_or_default());
        let env = |name: &str| std::env::var(name).ok();
        let proxy = if is_near { None } else { Proxying::choose(None, self.base.scheme(), &env) };
        let is_plain = self.base.scheme() == "http" && proxy.as_ref().is_none_or(|proxy| !proxy.is_https());
        let Trust { config: mut tls, born } = common.trust((!is_plain).then_some(&self.tls), is_anew)?;
        if self.is_probed {
            // The certificate that is in use, not the one that was.
            tls.resumption = Resumption::disabled();
        }
        let mut headers = HeaderMap::new();
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let origin = HeaderValue::from_str(&self.base.origin().ascii_serialization()).ok();
        headers.extend(origin.filter(|_| self.has_origin).map(|value| (ORIGIN, value)));
        let spare = if self.is_probed { 0 } else { SPARE };
        let mut builder =
            http::builder(tls, common.lookup.clone()).default_headers(headers).pool_max_idle_per_host(spare);
        builder = builder.tls_info(self.is_probed);
        if let Some(socket) = &self.socket {
            builder = builder.unix_socket(socket.clone());
        }
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.build()?);
        }
        let client = builder.build().map_err(|error| innermost(&error.without_url()))?;
        Ok(Made { client, born })
    }
}

/// One page that is asked for.
struct Asking {
    client: Client,
    url: Url,
    json: Option<String>,
    token: Option<(HeaderName, HeaderValue)>,
    /// Of the server, and of the page on it.
    server: String,
    page: String,
    login: &'static str,
    socket: Option<PathBuf>,
    is_probe: bool,
    heard: &'static [u16],
    /// Most bytes, and those of them that are kept.
    limit: usize,
    kept: usize,
    /// Longest wait.
    patience: Duration,
}

impl Asking {
    fn new(endpoint: &Endpoint, client: Client, question: &Question, limit: usize, deadline: Instant) -> Asking {
        Asking {
            client,
            url: below(&endpoint.base, &question.path),
            json: question.json.clone(),
            token: None,
            server: endpoint.shown(""),
            page: endpoint.shown(&question.path),
            login: endpoint.login,
            socket: endpoint.socket.clone(),
            is_probe: endpoint.is_probed,
            heard: endpoint.heard,
            limit: if endpoint.is_probed { MOST_BYTES } else { limit },
            kept: if endpoint.is_probed { PROBE_BYTES } else { limit },
            patience: endpoint.timeout.min(deadline.saturating_duration_since(Instant::now())),
        }
    }

    async fn ask(&self) -> Result<Answer> {
        self.in_time(Instant::now(), self.converse(Instant::now())).await
    }

    /// What comes of that as long as there is patience.
    async fn in_time<T>(&self, begun: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.patience.is_zero() {
            return Err(self.failure("no time was left to ask before the tick was over".into()));
        }
        tokio::time::timeout_at((begun + self.patience).into(), work).await.unwrap_or_else(|_| {
            let seconds = (self.patience.as_secs_f64() * 10.0).round() / 10.0;
            Err(self.failure(format!("no whole answer within {seconds} s")))
        })
    }

    async fn converse(&self, begun: Instant) -> Result<Answer> {
        let (response, head) = self.begin(begun).await?;
        let (body, size) = read(response, self.limit, self.kept).await.map_err(|cut| self.cut(cut))?;
        let text =
            String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let text = if head.status >= 300 { self.without_token(text) } else { text };
        Ok(Answer { text, size, took: begun.elapsed(), ..head })
    }

    /// The answer without its body, which is to come.
    async fn begin(&self, begun: Instant) -> Result<(Response, Answer)> {
        let response = self.response().await?;
        let first_byte = begun.elapsed();
        let status = response.status().as_u16();
        if status >= 300 && !self.is_probe && !self.heard.contains(&status) {
            return Err(self.refusal(status, response).await);
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_string();
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        let valid_until = certificate.and_then(tls::valid_until);
        let address = self.page.clone();
        Ok((response, Answer { address, status, content_type, first_byte, valid_until, ..Answer::default() }))
    }

    fn cut(&self, cut: Cut) -> Error {
        self.failure(match cut {
            Cut::TooLong => format!("the answer is longer than {}", size(self.limit)),
            Cut::Broken(why) => format!("the answer broke off: {why}"),
        })
    }

    /// A connection that was kept may have died unseen: then the page is asked for at once on a new one.
    async fn response(&self) -> Result<Response> {
        let request = || {
            let method = if self.json.is_some() { Method::POST } else { Method::GET };
            let mut request = Request::new(method, self.url.clone());
            request.headers_mut().extend(self.token.clone());
            if let Some(json) = &self.json {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *request.body_mut() = Some(json.clone().into());
            }
            request
        };
        let mut came = self.client.execute(request()).await;
        if let Err(error) = &came
            && !self.is_probe
            && http::why(error, self.patience).0 == Cause::Closed
        {
            came = self.client.execute(request()).await;
        }
        came.map_err(|error| match http::why(&error, self.patience) {
            (Cause::Connect, why) => Error::Fetch { address: self.server.clone(), problem: self.unreached(why) },
            (Cause::Refused | Cause::Setup, problem) => Error::Fetch { address: self.server.clone(), problem },
            (_, why) => self.failure(why),
        })
    }

    /// Adds what helps where a socket cannot be used.
    fn unreached(&self, why: String) -> String {
        let Some(socket) = &self.socket else { return why };
        let remedy = match why.rsplit(": ").next() {
            Some("permission denied") => allowed(socket),
            Some("no such file or directory" | "connection refused") => "is the server running?".into(),
            _ => return why,
        };
        format!("{why}; {remedy}")
    }

    async fn refusal(&self, status: u16, response: Response) -> Error {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(String::from);
        let json = read(response, REFUSAL_BYTES, REFUSAL_BYTES)
            .await
            .ok()
            .and_then(|(body, _)| serde_json::from_slice(&body).ok());
        let said = json.as_ref().and_then(complaint).map(|said| format!(": {}", quote(&self.without_token(said))));
        let problem = match status {
            401 | 403 => format!("; check {}", self.login),
            300..=399 => format!(": redirected{}, name the final place", redirection(location.as_deref())),
            _ => String::new(),
        };
        let problem = format!("HTTP {status}{}{problem}", said.unwrap_or_default());
        Error::Status { address: self.page.clone(), status, problem }
    }

    /// A refusal, of which some repeat what they were shown.
    fn without_token(&self, text: String) -> String {
        let token = self.token.as_ref().and_then(|(_, token)| token.to_str().ok());
        token.map(|token| text.replace(token, "***")).unwrap_or(text)
    }

    fn failure(&self, problem: String) -> Error {
        Error::Fetch { address: self.page.clone(), problem }
    }
}

/// A page while it comes.
pub struct Body<'c> {
    /// What is known of the page before it is there; its text is the first letters.
    pub head: Answer,
    asking: Asking,
    begun: Instant,
    response: Response,
    common: &'c Common,
    /// What came last, and where in it what nobody has read begins.
    came: Vec<u8>,
    at: usize,
    is_whole: bool,
    failed: Option<Error>,
}

impl<'c> Body<'c> {
    fn begin(asking: Asking, common: &'c Common) -> Result<Body<'c>> {
        let begun = Instant::now();
        let (response, head) = common.runtime.block_on(asking.in_time(begun, asking.begin(begun)))?;
        if response.content_length().is_some_and(|length| length > asking.limit as u64) {
            return Err(asking.cut(Cut::TooLong));
        }
        let (came, at, is_whole, failed) = (Vec::new(), 0, false, None);
        Ok(Body { head, asking, begun, response, common, came, at, is_whole, failed })
    }

    /// The next line, its end included; `false` behind the last.
    ///
    /// # Errors
    /// The page broke off, or the line is too long.
    pub fn line(&mut self, line: &mut Vec<u8>) -> Result<bool> {
        line.clear();
        let count = self.by_ref().take(LINE_BYTES as u64).read_until(b'\n', line);
        let count = count.map_err(|error| self.asking.failure(error.to_string()))?;
        if count == LINE_BYTES && !line.ends_with(b"\n") {
            return Err(self.asking.failure(format!("a line of it is longer than {}", size(LINE_BYTES))));
        }
        Ok(count > 0)
    }

    /// Reads on until something is there, or all was.
    fn advance(&mut self) -> Result<()> {
        let Body { asking, response, .. } = self;
        let next = async {
            let chunk = response.chunk().await;
            chunk.map_err(|error| asking.cut(Cut::Broken(innermost(&error.without_url()))))
        };
        let chunk = self.common.runtime.block_on(asking.in_time(self.begun, next))?;
        let Some(chunk) = chunk else {
            self.is_whole = true;
            return Ok(());
        };
        self.head.size += chunk.len();
        if self.head.size > asking.limit {
            return Err(asking.cut(Cut::TooLong));
        }
        if self.head.text.len() < SHOWN {
            let first = chunk.get(..4 * SHOWN).unwrap_or(&chunk);
            self.head.text.push_str(&String::from_utf8_lossy(first));
        }
        self.came.clear();
        self.came.extend_from_slice(&chunk);
        self.at = 0;
        Ok(())
    }

    /// Reads what nobody wants.
    fn end(mut self) -> Result<()> {
        while self.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
            self.at = self.came.len();
        }
        self.failed.map_or(Ok(()), Err)
    }
}

impl BufRead for Body<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.came.len() && !self.is_whole && self.failed.is_none() {
            self.failed = self.advance().err();
        }
        if self.failed.is_some() {
            return Err(io::Error::other("the answer broke off"));
        }
        Ok(self.came.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Body<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

/// Why there is no whole body.
enum Cut {
    TooLong,
    Broken(String),
}

/// The first bytes of the body, and how many it has.
async fn read(mut response: Response, limit: usize, kept: usize) -> Result<(Vec<u8>, usize), Cut> {
    let promised = response.content_length().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if promised > limit {
        return Err(Cut::TooLong);
    }
    let (mut body, mut size) = (Vec::with_capacity(promised.min(kept)), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| Cut::Broken(innermost(&error.without_url())))? {
        if chunk.len() > limit - size {
            return Err(Cut::TooLong);
        }
        size += chunk.len();
        body.extend_from_slice(chunk.get(..kept - body.len()).unwrap_or(&chunk));
    }
    Ok((body, size))
}

fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

/// How the daemon comes to be allowed to use the socket.
fn allowed(socket: &Path) -> String {
    const GROUP_MAY_WRITE: u32 = 0o020;
    let group = fs::metadata(socket).ok().filter(|socket| socket.permissions().mode() & GROUP_MAY_WRITE != 0);
    let group = group.and_then(|socket| Group::from_gid(Gid::from_raw(socket.gid())).ok().flatten());
    match group.filter(|group| group.gid.as_raw() != 0) {
        Some(group) => format!("the daemon's user must be in the group {}", group.name),
        None => "the daemon's user must be allowed to use the socket".into(),
    }
}
