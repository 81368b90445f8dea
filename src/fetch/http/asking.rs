//! One HTTP request of a check: sending it, receiving the answer in time, and the reasons for a failure in words.

use super::body::{Cut, read, size};
use super::{AT_ONCE, Answer, Endpoint, MOST_BYTES, Question};
use crate::fetch::trace::Note;
use crate::model::error::{Error, Result, quote};
use crate::net::address::{Url, below};
use crate::net::http::{self, Cause, complaint, redirection};
use crate::net::tls;
use nix::unistd::{Gid, Group};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::tls::TlsInfo;
use reqwest::{Client, Method, Request, Response};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Maximum number of bytes that a probe keeps of a page.
const PROBE_BYTES: usize = MOST_BYTES / AT_ONCE;
/// Maximum size of the body of an error response, which may say why.
const REFUSAL_BYTES: usize = 4096;

/// One request.
pub(super) struct Asking {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) json: Option<String>,
    pub(super) token: Option<(HeaderName, HeaderValue)>,
    /// Address of the server, and of the page on it, for messages.
    pub(super) server: String,
    pub(super) page: String,
    pub(super) login: &'static str,
    pub(super) socket: Option<PathBuf>,
    pub(super) is_probe: bool,
    pub(super) heard: &'static [u16],
    /// Maximum size of the page, and how much of it is kept.
    pub(super) limit: usize,
    pub(super) kept: usize,
    /// Timeout of the whole exchange.
    pub(super) patience: Duration,
}

impl Asking {
    pub(super) fn new(
        endpoint: &Endpoint,
        client: Client,
        question: &Question,
        limit: usize,
        deadline: Instant,
    ) -> Asking {
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

    /// Sends the request and reads the whole answer.\n\n# Errors\n[`Error::Fetch`] or [`Error::Status`].
    pub(super) async fn ask(&self) -> Result<Answer> {
        let (begun, mut note) = (Instant::now(), self.note());
        let came = self.in_time(begun, self.converse(begun, &mut note)).await;
        note.ended(|| outcome(came.as_ref().map(|answer| answer.status)));
        came
    }

    /// The trace of the exchange.
    pub(super) fn note(&self) -> Note {
        Note::begin(|| match &self.json {
            Some(json) => format!("POST {} with {} bytes of JSON", self.page, json.len()),
            None => format!("GET {}", self.page),
        })
    }

    /// Runs `work` until the timeout.
    pub(super) async fn in_time<T>(&self, begun: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.patience.is_zero() {
            return Err(self.failure("no time was left to ask before the tick was over".into()));
        }
        tokio::time::timeout_at((begun + self.patience).into(), work).await.unwrap_or_else(|_| {
            let seconds = (self.patience.as_secs_f64() * 10.0).round() / 10.0;
            Err(self.failure(format!("no whole answer within {seconds} s")))
        })
    }

    async fn converse(&self, begun: Instant, note: &mut Note) -> Result<Answer> {
        let (response, head) = self.begin(begun, note).await?;
        let (body, size) = read(response, self.limit, self.kept).await.map_err(|cut| self.cut(cut))?;
        note.heard(&body);
        let text =
            String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let text = if head.status >= 300 { self.without_token(text) } else { text };
        Ok(Answer { text, size, took: begun.elapsed(), ..head })
    }

    /// The answer without its body, which is still to be read.
    pub(super) async fn begin(&self, begun: Instant, note: &mut Note) -> Result<(Response, Answer)> {
        let response = self.response().await?;
        note.answered();
        let first_byte = begun.elapsed();
        let status = response.status().as_u16();
        if status >= 300 && !self.is_probe && !self.heard.contains(&status) {
            return Err(self.refusal(status, response, note).await);
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_string();
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        let valid_until = certificate.and_then(tls::valid_until);
        let address = self.page.clone();
        Ok((response, Answer { address, status, content_type, first_byte, valid_until, ..Answer::default() }))
    }

    pub(super) fn cut(&self, cut: Cut) -> Error {
        self.failure(match cut {
            Cut::TooLong => format!("the answer is longer than {}", size(self.limit)),
            Cut::Broken(why) => format!("the answer broke off: {why}"),
        })
    }

    /// Sends the request. If a kept connection turns out to be closed, the request is repeated at once on a new one.
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

    /// Adds a remedy if a Unix socket cannot be used.
    fn unreached(&self, why: String) -> String {
        let Some(socket) = &self.socket else { return why };
        let remedy = match why.rsplit(": ").next() {
            Some("permission denied") => allowed(socket),
            Some("no such file or directory" | "connection refused") => "is the server running?".into(),
            _ => return why,
        };
        format!("{why}; {remedy}")
    }

    async fn refusal(&self, status: u16, response: Response, note: &mut Note) -> Error {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(String::from);
        let body = read(response, REFUSAL_BYTES, REFUSAL_BYTES).await.map(|(body, _)| body).unwrap_or_default();
        note.heard(&body);
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let said = json.as_ref().and_then(complaint).map(|said| format!(": {}", quote(&self.without_token(said))));
        let problem = match status {
            401 | 403 => format!("; check {}", self.login),
            404 if said.is_none() => {
                "; nothing is at this address: check its path, and whether the server has this page switched on".into()
            }
            300..=399 => format!(": redirected{}, name the final place", redirection(location.as_deref())),
            _ => String::new(),
        };
        let problem = format!("HTTP {status}{}{problem}", said.unwrap_or_default());
        Error::Status { address: self.page.clone(), status, problem }
    }

    /// The text without the token: some servers repeat it in their error messages.
    fn without_token(&self, text: String) -> String {
        let token = self.token.as_ref().and_then(|(_, token)| token.to_str().ok());
        token.map(|token| text.replace(token, "***")).unwrap_or(text)
    }

    pub(super) fn failure(&self, problem: String) -> Error {
        Error::Fetch { address: self.page.clone(), problem }
    }
}

/// The status, or why there is none, in words.
pub(super) fn outcome(came: Result<u16, &Error>) -> String {
    match came {
        Ok(status) => format!("HTTP {status}"),
        Err(Error::Fetch { problem, .. } | Error::Status { problem, .. }) => problem.clone(),
        Err(error) => error.to_string(),
    }
}

/// How the daemon can be allowed to use the socket.
fn allowed(socket: &Path) -> String {
    const GROUP_MAY_WRITE: u32 = 0o020;
    let group = fs::metadata(socket).ok().filter(|socket| socket.permissions().mode() & GROUP_MAY_WRITE != 0);
    let group = group.and_then(|socket| Group::from_gid(Gid::from_raw(socket.gid())).ok().flatten());
    match group.filter(|group| group.gid.as_raw() != 0) {
        Some(group) => format!("the daemon's user must be in the group {}", group.name),
        None => "the daemon's user must be allowed to use the socket".into(),
    }
}
