//! The HTTP server: small requests, one answer each, with limits so that no client can lock out others.
// Without the local store, the queue for its queries is not used.
#![cfg_attr(not(feature = "local"), allow(dead_code))]

use super::allowed::Allowed;
use super::answer::Answer;
use super::files::{FILES, File};
use super::hosts::Hosts;
use super::login::{Login, Proof};
use super::nag::{BODY_BYTES, Rules};
use super::query::{self, Question};
use super::{Figures, Pages, store};
use crate::model::gzip::zipped;
use crate::status::{health, numbers};
use crate::sys::clock::unix_now;
use crate::sys::logging::Complaint;
use crate::sys::memory;
use flate2::Compression;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

/// Most connections. If there is one more, the oldest one without a request is closed.
const CONNECTIONS: usize = 16;
/// Time for a request that has just arrived to be noticed.
const MOMENT: Duration = Duration::from_millis(2);
/// Time limit for reading a request.
const HEADERS: Duration = Duration::from_secs(3);
/// Time limit from accepting the connection to the last byte of the answer.
const WHOLE: Duration = Duration::from_secs(10);
/// Most bytes of a request that are read.
const REQUEST_BYTES: usize = 16 << 10;
/// Most plugins that run at the same time; a further request is refused for now.
const PLUGINS: usize = 4;
/// How long a plugin may need to end after its time limit.
const OVERTIME: Duration = Duration::from_secs(8);
/// Most queries of the store at the same time, and how long a further one waits.
const QUERIES: usize = 2;
const TURN: Duration = Duration::from_secs(2);
/// Time without a request after which the memory that queries needed is given back to the system.
const QUIET: Duration = Duration::from_secs(30);
/// Delay before a wrong password is refused.
const PAUSE: Duration = Duration::from_secs(1);
/// Shorter answers are not compressed.
const WORTH: usize = 1_000;
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Headers of every answer: a browser loads nothing from other sites into the page, and does not embed the page in
/// other sites.
const HEADERS_OF_ALL: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The access rules: client addresses, host names, login and key.
pub struct Doors {
    pub allowed: Allowed,
    pub hosts: Hosts,
    pub login: Login,
    pub nag: Rules,
}

/// New settings, for all later connections.
pub struct News {
    pub doors: Doors,
    pub pages: Pages,
    /// The new place to listen; `None` if it stays the same.
    pub place: Option<Elsewhere>,
}

/// Another place to listen.
pub enum Elsewhere {
    Listener(TcpListener),
    /// Addresses that can be bound only after the present listener is closed. If that fails, the old address is bound
    /// again. The result is sent to the caller.
    Instead(Vec<SocketAddr>, Sender<io::Result<()>>),
}

/// Serves until the sender of new settings is dropped.
pub fn serve(listener: TcpListener, doors: Doors, pages: Pages, news: UnboundedReceiver<Box<News>>) {
    let (plugins, queries) = (Arc::new(()), Arc::new(Semaphore::new(QUERIES)));
    let common = Common { plugins, queries, is_grown: AtomicBool::new(false) };
    let shared = Shared { doors, pages, common: Arc::new(common) };
    let built = Builder::new_current_thread().enable_all().max_blocking_threads(PLUGINS + QUERIES).build();
    let served = built.and_then(|runtime| {
        let served = runtime.block_on(async { accept(listen(listener)?, shared, news).await });
        // Nobody waits for plugins and queries that still run.
        runtime.shutdown_background();
        served
    });
    if let Err(error) = served {
        log::error!("web server: {error}; it does not listen any more");
    }
}

fn listen(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// Listens at the other place; if that fails, at the old one again.
fn go_on_at(place: Elsewhere, before: tokio::net::TcpListener) -> io::Result<tokio::net::TcpListener> {
    match place {
        Elsewhere::Listener(listener) => listen(listener),
        Elsewhere::Instead(addresses, heard) => {
            let old = before.local_addr()?;
            drop(before);
            let bound = TcpListener::bind(addresses.as_slice()).and_then(listen);
            let (listener, outcome) = match bound {
                Ok(listener) => (Ok(listener), Ok(())),
                Err(error) => (TcpListener::bind(old).and_then(listen), Err(error)),
            };
            // The caller may not wait any more.
            let _ = heard.send(outcome);
            listener
        }
    }
}

/// What every connection needs.
struct Shared {
    doors: Doors,
    pages: Pages,
    common: Arc<Common>,
}

/// The part that new settings do not change.
struct Common {
    /// Its reference count is the number of running plugins plus one.
    plugins: Arc<()>,
    /// A permit for each query that may run.
    queries: Arc<Semaphore>,
    /// Queries ran since their memory was last given back.
    is_grown: AtomicBool,
}

/// What ends a wait.
enum Event {
    Quiet,
    News(Option<Box<News>>),
    Connection(io::Result<(TcpStream, SocketAddr)>),
}

async fn accept(
    mut listener: tokio::net::TcpListener,
    shared: Shared,
    mut news: UnboundedReceiver<Box<News>>,
) -> io::Result<()> {
    let mut shared = Arc::new(shared);
    let mut complaint = Complaint::new();
    // The oldest is the first.
    let mut conversations: Vec<Conversation> = Vec::with_capacity(CONNECTIONS);
    let mut is_quiet = true;
    loop {
        let event = poll_fn(|context| match news.poll_recv(context) {
            Poll::Ready(news) => Poll::Ready(Event::News(news)),
            Poll::Pending => listener.poll_accept(context).map(Event::Connection),
        });
        let event = match is_quiet {
            true => event.await,
            false => tokio::time::timeout(QUIET, event).await.unwrap_or(Event::Quiet),
        };
        is_quiet = matches!(event, Event::Quiet);
        let (stream, peer) = match event {
            Event::Connection(Ok(accepted)) => accepted,
            Event::Quiet => {
                if shared.common.is_grown.swap(false, Ordering::Relaxed) {
                    memory::trim();
                }
                continue;
            }
            Event::News(None) => return Ok(()),
            Event::News(Some(news)) => {
                let News { doors, pages, place } = *news;
                shared = Arc::new(Shared { doors, pages, common: Arc::clone(&shared.common) });
                if let Some(place) = place {
                    listener = go_on_at(place, listener)?;
                }
                continue;
            }
            Event::Connection(Err(error)) => {
                complaint.complain("web server", &error.to_string(), Instant::now());
                // Probably out of descriptors: trying again at once would only use CPU time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !shared.doors.allowed.admits(peer.ip()) {
            let ip = peer.ip().to_canonical();
            let why = format!("{ip} may not ask; add it to allowedip in [WebServer] if it should");
            complaint.complain("web server", &why, Instant::now());
            continue;
        }
        conversations.retain(|conversation| !conversation.task.is_finished());
        if conversations.len() >= CONNECTIONS {
            tokio::time::sleep(MOMENT).await;
            match conversations.iter().position(|conversation| !conversation.progress.is_asked.load(Ordering::Relaxed))
            {
                Some(silent) => conversations.remove(silent).task.abort(),
                None => {
                    let why = format!("{CONNECTIONS} requests at once, others are closed");
                    complaint.complain("web server", &why, Instant::now());
                    continue;
                }
            }
        }
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(converse(stream, peer.ip(), Arc::clone(&shared), Arc::clone(&progress)));
        conversations.push(Conversation { task, progress });
    }
}

/// A connection, and the task that serves it.
struct Conversation {
    task: JoinHandle<()>,
    progress: Arc<Progress>,
}

/// The progress of a connection.
#[derive(Default)]
struct Progress {
    /// The head of the request was received.
    is_asked: AtomicBool,
    /// Milliseconds that the answer may take in addition to [`WHOLE`].
    more: AtomicU64,
}

async fn converse(stream: TcpStream, peer: IpAddr, shared: Arc<Shared>, progress: Arc<Progress>) {
    let service = service_fn(|request| {
        progress.is_asked.store(true, Ordering::Relaxed);
        async { Ok::<_, Infallible>(answer(request, peer, &shared, &progress.more).await) }
    });
    let mut served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(REQUEST_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if tokio::time::timeout(WHOLE, &mut served).await.is_err() {
        let more = Duration::from_millis(progress.more.load(Ordering::Relaxed));
        let _ = tokio::time::timeout(more, served).await;
    }
}

/// What a path leads to.
enum Place<'a> {
    File(&'static File),
    /// The path after `/api/`.
    Api(&'a str),
    Health,
    Metrics,
    Nag,
}

async fn answer(request: Request<Incoming>, peer: IpAddr, shared: &Shared, more: &AtomicU64) -> Response<Full<Bytes>> {
    let mut answer = respond(request, peer, shared, more).await.unwrap_or_else(said);
    answer.headers_mut().extend(HEADERS_OF_ALL.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

/// # Errors
/// The answer to a request that is refused.
async fn respond(
    request: Request<Incoming>,
    peer: IpAddr,
    shared: &Shared,
    more: &AtomicU64,
) -> Result<Response<Full<Bytes>>, Answer> {
    let path = request.uri().path().to_string();
    let place = match path.as_str() {
        "/health" => Place::Health,
        "/metrics" => Place::Metrics,
        "/nag" => Place::Nag,
        path => match (path.strip_prefix("/api/"), FILES.iter().find(|file| file.path == path)) {
            (Some(rest), _) => Place::Api(rest),
            (None, Some(file)) => Place::File(file),
            (None, None) => {
                shared.doors.hosts.admit(&request)?;
                return Err(Answer::wrong(StatusCode::NOT_FOUND, "there are /, /metrics, /health and /nag"));
            }
        },
    };
    let is_private = matches!(place, Place::File(_) | Place::Api(_));
    // Scrapers use all kinds of host names, but do not run in a browser on this machine.
    if is_private || peer.to_canonical().is_loopback() {
        shared.doors.hosts.admit(&request)?;
    }
    let (method, methods) = match place {
        Place::Nag => (*request.method() == Method::POST, "POST"),
        _ => (matches!(*request.method(), Method::GET | Method::HEAD), "GET, HEAD"),
    };
    if !method {
        let mut answer =
            said(Answer::wrong(StatusCode::METHOD_NOT_ALLOWED, &format!("{methods} is what it takes here")));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        return Ok(answer);
    }
    if is_private && let Some(refusal) = log_in(&request, &shared.doors.login).await {
        return Ok(refusal);
    }
    let accepted = header(&request, ACCEPT_ENCODING).unwrap_or_default();
    let is_zipped = takes_gzip(accepted);
    match place {
        Place::File(file) => Ok(of_file(file, header(&request, IF_NONE_MATCH), is_zipped)),
        Place::Api("status") => {
            let json = shared.pages.overview(figures(shared).await);
            Ok(told(Answer { status: StatusCode::OK, json }, is_zipped))
        }
        Place::Api(rest) => {
            let query = request.uri().query().unwrap_or_default();
            let Some(question) = query::question(rest, query, unix_now()) else {
                return Err(Answer::wrong(
                    StatusCode::NOT_FOUND,
                    "there are status, series, points and events below /api/",
                ));
            };
            ask_store(question?, shared, is_zipped).await
        }
        Place::Health => Ok(health(&shared.pages)),
        Place::Metrics => Ok(metrics(&shared.pages, is_zipped)),
        Place::Nag => nag(request, shared, more).await.map(said),
    }
}

fn header(request: &Request<Incoming>, name: HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The answer to a request without the right login; `None` if the login is right or not needed.
async fn log_in(request: &Request<Incoming>, login: &Login) -> Option<Response<Full<Bytes>>> {
    let proof = login.prove(request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes));
    let why = match proof {
        Proof::Fine => return None,
        Proof::Missing => "webuser and webpassword of [WebServer] are asked for",
        Proof::Wrong => {
            tokio::time::sleep(PAUSE).await;
            "the user or the password is wrong"
        }
    };
    let mut answer = said(Answer::wrong(StatusCode::UNAUTHORIZED, why));
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"PuyPuy\""));
    Some(answer)
}

fn of_file(file: &File, known: Option<&str>, is_zipped: bool) -> Response<Full<Bytes>> {
    let mut answer = match known.is_some_and(|tags| file.is_known(tags)) {
        true => say(StatusCode::NOT_MODIFIED, file.kind, Bytes::new()),
        false if is_zipped => zip(say(StatusCode::OK, file.kind, Bytes::from_static(file.zipped))),
        false => say(StatusCode::OK, file.kind, file.plain()),
    };
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.extend(HeaderValue::from_str(&file.tag()).map(|tag| (ETAG, tag)));
    answer
}

/// Queries the store in a blocking thread, as soon as a permit is free.
async fn ask_store(question: Question, shared: &Shared, is_zipped: bool) -> Result<Response<Full<Bytes>>, Answer> {
    let Some(file) = shared.pages.store.clone() else {
        let why = "the numbers go to the server named in [TSDB]; only tsdtype Local keeps any here";
        return Err(Answer::wrong(StatusCode::NOT_FOUND, why));
    };
    let turn = tokio::time::timeout(TURN, Arc::clone(&shared.common.queries).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let why = format!("{QUERIES} queries run already, and none ended within {} s: ask again", TURN.as_secs());
        return Err(Answer::wrong(StatusCode::SERVICE_UNAVAILABLE, &why));
    };
    shared.common.is_grown.store(true, Ordering::Relaxed);
    let (period, unit) = (shared.pages.period, shared.pages.unit);
    let open = if matches!(question, Question::Events(_)) { shared.pages.open() } else { Vec::new() };
    let asked = tokio::task::spawn_blocking(move || {
        let answer = told(store::ask(&file, question, unix_now(), period, unit, &open), is_zipped);
        drop(turn);
        answer
    });
    asked.await.map_err(|_| Answer::wrong(StatusCode::SERVICE_UNAVAILABLE, "the query could not be run"))
}

/// The size of the store; `None` if it does not answer in time.
async fn figures(shared: &Shared) -> Option<Figures> {
    let file = shared.pages.store.clone()?;
    let turn = tokio::time::timeout(TURN, Arc::clone(&shared.common.queries).acquire_owned()).await.ok()?.ok()?;
    let asked = tokio::task::spawn_blocking(move || {
        let figures = store::figures(&file, unix_now());
        drop(turn);
        figures
    });
    asked.await.ok()?
}

fn health(pages: &Pages) -> Response<Full<Bytes>> {
    match pages.sources.beat.silence(pages.period) {
        None => say(StatusCode::OK, TEXT, "ok\n".into()),
        Some(age) => {
            let why = format!("{}\n", health::silent(age, pages.period));
            say(StatusCode::SERVICE_UNAVAILABLE, TEXT, why.into())
        }
    }
}

/// The key is checked before the body is read.
async fn nag(request: Request<Incoming>, shared: &Shared, more: &AtomicU64) -> Result<Answer, Answer> {
    shared.doors.nag.admit(request.headers().get("Apikey").map(HeaderValue::as_bytes))?;
    let body = Limited::new(request.into_body(), BODY_BYTES)
        .collect()
        .await
        .map_err(|_| Answer::wrong(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or did not arrive whole"))?;
    let programs = Arc::clone(&shared.pages.programs);
    let asked = shared.doors.nag.choose(&body.to_bytes(), &programs)?;
    let place = Arc::clone(&shared.common.plugins);
    // `Common` itself holds one reference.
    if Arc::strong_count(&place) > PLUGINS + 1 {
        return Err(Answer::wrong(StatusCode::SERVICE_UNAVAILABLE, "too many plugins run at this moment"));
    }
    let needed = (asked.limit + OVERTIME).as_millis();
    more.store(u64::try_from(needed).unwrap_or(u64::MAX), Ordering::Relaxed);
    let run = tokio::task::spawn_blocking(move || {
        let answer = asked.run(&programs);
        drop(place);
        answer
    });
    run.await.map_err(|_| Answer::wrong(StatusCode::INTERNAL_SERVER_ERROR, "the plugin could not be run"))
}

fn metrics(pages: &Pages, is_zipped: bool) -> Response<Full<Bytes>> {
    let mut page = pages.exposition.as_ref().map(|exposition| exposition.page(Instant::now())).unwrap_or_default();
    numbers::push(&mut page, &pages.sources.now());
    match is_zipped {
        true => zip(say(StatusCode::OK, METRICS, zipped(page.as_bytes(), Compression::fast()).into())),
        false => say(StatusCode::OK, METRICS, page.into()),
    }
}

/// Whether an Accept-Encoding header contains `gzip` with a nonzero weight (RFC 9110, 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(|weight| weight.trim().parse::<f32>());
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight, Some(Ok(0.0)))
    })
}

/// A JSON response, compressed if it is long enough.
fn told(Answer { status, json }: Answer, is_zipped: bool) -> Response<Full<Bytes>> {
    let mut answer = match is_zipped && json.len() >= WORTH {
        true => zip(say(status, JSON, zipped(json.as_bytes(), Compression::fast()).into())),
        false => say(status, JSON, json.into()),
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn said(Answer { status, json }: Answer) -> Response<Full<Bytes>> {
    let mut answer = say(status, JSON, format!("{json}\n").into());
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn say(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Marks the body as compressed.
fn zip(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer
}
