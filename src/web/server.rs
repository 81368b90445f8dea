//! The HTTP server: few connections, small requests, one answer each, and nobody may dawdle or keep another out.

use super::allowed::Allowed;
use super::nag::{Answer, BODY_BYTES, Rules};
use super::{Pages, status};
use crate::sys::logging::Complaint;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

/// Connections at once. For one more the oldest that has not asked yet is closed.
const CONNECTIONS: usize = 16;
/// What a request that has just come needs until it is seen.
const MOMENT: Duration = Duration::from_millis(2);
/// Until the request is there.
const HEADERS: Duration = Duration::from_secs(3);
/// From accept to the last byte of the answer.
const WHOLE: Duration = Duration::from_secs(10);
/// Most of a request that is read.
const REQUEST_BYTES: usize = 16 << 10;
/// Plugins that run at the same time; who asks for more is told to come back.
const PLUGINS: usize = 4;
/// What a plugin may need beyond its limit until it is gone.
const OVERTIME: Duration = Duration::from_secs(8);
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until the process ends.
pub fn serve(listener: TcpListener, allowed: Allowed, rules: Rules, pages: Pages) {
    let shared = Shared { rules, pages, plugins: Arc::new(()) };
    let built = Builder::new_current_thread().enable_all().max_blocking_threads(PLUGINS).build();
    let served = built.and_then(|runtime| {
        let _context = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.block_on(accept(listener, allowed, Arc::new(shared)))
    });
    if let Err(error) = served {
        log::error!("web server: {error}; it does not listen any more");
    }
}

/// What every conversation needs.
struct Shared {
    rules: Rules,
    pages: Pages,
    /// Held once by each plugin that runs.
    plugins: Arc<()>,
}

async fn accept(listener: tokio::net::TcpListener, allowed: Allowed, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut complaint = Complaint::new();
    // The oldest first.
    let mut conversations: Vec<Conversation> = Vec::with_capacity(CONNECTIONS);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                complaint.complain("web server", &error.to_string(), Instant::now());
                // Out of descriptors, most likely: trying at once would only burn time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !allowed.admits(peer.ip()) {
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
        let task = tokio::spawn(converse(stream, Arc::clone(&shared), Arc::clone(&progress)));
        conversations.push(Conversation { task, progress });
    }
}

/// A connection, and the task that serves it.
struct Conversation {
    task: JoinHandle<()>,
    progress: Arc<Progress>,
}

/// How far a conversation has come.
#[derive(Default)]
struct Progress {
    /// The head of the request is there.
    is_asked: AtomicBool,
    /// Milliseconds that the answer may take beyond [`WHOLE`].
    more: AtomicU64,
}

async fn converse(stream: TcpStream, shared: Arc<Shared>, progress: Arc<Progress>) {
    let service = service_fn(|request| {
        progress.is_asked.store(true, Ordering::Relaxed);
        async { Ok::<_, Infallible>(answer(request, &shared, &progress.more).await) }
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

async fn answer(request: Request<Incoming>, shared: &Shared, more: &AtomicU64) -> Response<Full<Bytes>> {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/metrics" if is_get => {
            let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
            metrics(&shared.pages, takes_gzip(accepted))
        }
        "/metrics" => {
            let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, "GET is what this page takes\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            answer
        }
        "/nag" if *request.method() == Method::POST => {
            let Answer { status, json } = nag(request, shared, more).await.unwrap_or_else(|refused| refused);
            let mut answer = say(status, "");
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *answer.body_mut() = Full::new(format!("{json}\n").into());
            answer
        }
        "/nag" => {
            let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, "POST is what this page takes\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            answer
        }
        _ => say(StatusCode::NOT_FOUND, "there are /metrics and /nag\n"),
    }
}

/// The key is looked at before anything else, and the body before a plugin is.
async fn nag(request: Request<Incoming>, shared: &Shared, more: &AtomicU64) -> Result<Answer, Answer> {
    shared.rules.admit(request.headers().get("Apikey").map(HeaderValue::as_bytes))?;
    let body = Limited::new(request.into_body(), BODY_BYTES)
        .collect()
        .await
        .map_err(|_| Answer::wrong(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or did not arrive whole"))?;
    let programs = Arc::clone(&shared.pages.programs);
    let asked = shared.rules.choose(&body.to_bytes(), &programs)?;
    let place = Arc::clone(&shared.plugins);
    // One is the one in `Shared` itself.
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
    let now = *pages.status.lock().unwrap_or_else(PoisonError::into_inner);
    status::push(&mut page, &now);
    let mut answer = say(StatusCode::OK, "");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    let mut body = page.into_bytes();
    if is_zipped {
        let mut zipped = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 6), flate2::Compression::fast());
        // Writing into a vector cannot fail.
        let _ = zipped.write_all(&body);
        body = zipped.finish().unwrap_or_default();
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *answer.body_mut() = Full::new(body.into());
    answer
}

/// `gzip` in an Accept-Encoding, unless its weight is zero (RFC 9110, 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(|weight| weight.trim().parse::<f32>());
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight, Some(Ok(0.0)))
    })
}

fn say(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
