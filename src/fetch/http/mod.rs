//! HTTP requests over TCP, TLS or a Unix socket: the only HTTP client of the checks.
//!
//! *Invariant:* nothing here waits past its deadline, buffers more than its limit, follows a redirect, or shows a
//! credential in a message.

mod asking;
mod body;
mod endpoint;
mod shared;

use self::asking::Asking;
pub use self::body::Body;
pub use self::endpoint::{Endpoint, KEYS, TOKEN_KEYS};
use self::shared::{Common, Made};
use crate::model::error::{Error, Result, quote};
pub use crate::model::percent::encode as percent_encode;
use crate::net::http::MAX_AGE;
use reqwest::Client;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Maximum total size of the pages that are read at the same time, in bytes.
const MOST_BYTES: usize = 32 << 20;
/// Maximum number of requests at the same time.
const AT_ONCE: usize = 64;
/// Maximum size of a page that is read while it arrives, in bytes.
const STREAM_BYTES: usize = 128 << 20;
/// Maximum number of characters that an error shows of a page.
const SHOWN: usize = 60;

/// A page and how long it took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Its address, without credentials, for messages.
    pub address: String,
    /// The media type, such as `text/html`; empty if the server sends none.
    pub content_type: String,
    /// Invalid UTF-8 is replaced by U+FFFD.
    pub text: String,
    /// Size of the whole page in bytes.
    pub size: usize,
    /// Time until the first byte, and until the last.
    pub first_byte: Duration,
    pub took: Duration,
    /// End of the certificate's validity in Unix seconds; only known for servers that are probed.
    pub valid_until: Option<u64>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Question {
    /// Index of the server, if there are several.
    server: usize,
    /// Path and query, appended to the server's address; empty for the address itself.
    pub path: String,
    /// A JSON body, sent by POST; `None`: GET.
    pub json: Option<String>,
}

impl Question {
    pub fn get(path: &str) -> Question {
        Question { server: 0, path: path.into(), json: None }
    }

    pub fn post(path: &str, json: String) -> Question {
        Question { server: 0, path: path.into(), json: Some(json) }
    }

    /// A request for the address of one of several servers, by index.
    pub fn of_server(server: usize) -> Question {
        Question { server, ..Question::get("") }
    }
}

impl Answer {
    /// Checks that this is the expected page.
    ///
    /// # Errors
    /// `is_right` is false: the error shows the start of the page instead of which `wanted` was expected.
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

    /// The error for an answer that cannot be parsed, with its address.
    pub fn unread(&self, error: &Error) -> Error {
        let problem = match error {
            Error::Fetch { problem, .. } => problem.clone(),
            other => other.to_string(),
        };
        Error::Fetch { address: self.address.clone(), problem }
    }
}

/// The HTTP client of one check, for one or several servers. It has its own connections; one thread drives those of all checks.
pub struct Http(Vec<Server>);

struct Server {
    endpoint: Endpoint,
    client: Option<Made>,
    /// The last request failed. Certificates may have been replaced since they were read, so they are read again.
    has_failed: bool,
}

impl Server {
    /// Prepares a request.
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

    /// The server's client; a new one is built if there is none, or if it is older than [`MAX_AGE`].
    fn client(&mut self, common: &Common) -> Result<Client, String> {
        if let Some(made) = self.client.as_ref().filter(|made| made.born.elapsed() < MAX_AGE) {
            return Ok(made.client.clone());
        }
        let made = self.endpoint.client(common, self.has_failed)?;
        self.has_failed = false;
        Ok(self.client.insert(made).client.clone())
    }
}

impl Http {
    pub fn new(endpoint: Endpoint) -> Http {
        Http::of(vec![endpoint])
    }

    /// A client for several servers, see [`Question::of_server`].
    pub fn of(endpoints: Vec<Endpoint>) -> Http {
        let server = |endpoint| Server { endpoint, client: None, has_failed: false };
        Http(endpoints.into_iter().map(server).collect())
    }

    /// The first server's address, for messages.
    pub fn address(&self) -> String {
        self.0.first().map_or_else(String::new, |server| server.endpoint.shown(""))
    }

    /// Sends one request and waits for the answer.
    ///
    /// # Errors
    /// [`Error::Fetch`] if the page is not received completely in time, [`Error::Status`] if the server answers with
    /// another status.
    pub fn ask(&mut self, question: Question, deadline: Instant) -> Result<Answer> {
        let mut got = Err(self.failure("no answer"));
        self.ask_all(&[question], deadline, |_, answer| got = answer);
        got
    }

    /// Sends several requests at the same time. `tell` gets each answer or error with its index in `questions`, as soon
    /// as it is complete.
    pub fn ask_all(&mut self, questions: &[Question], deadline: Instant, mut tell: impl FnMut(usize, Result<Answer>)) {
        let common = match Common::get() {
            Ok(common) => common,
            Err(problem) => return (0..questions.len()).for_each(|at| tell(at, Err(self.failure(&problem)))),
        };
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
                match server.asking(&common, question, limit, deadline) {
                    Ok(asking) => {
                        // Boxed, because the future is moved several times on the stack of each check.
                        let asked = Box::pin(async move { (at, place, asking.ask().await) });
                        running.spawn_on(asked, &common.runtime);
                    }
                    Err(problem) => tell(at, Err(Error::Fetch { address: server.endpoint.shown(""), problem })),
                }
            }
            match common.runtime.block_on(running.join_next()) {
                Some(Ok((at, place, answer))) => {
                    lost.extend(matches!(answer, Err(Error::Fetch { .. })).then_some(place));
                    tell(at, answer);
                }
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => {}
                None => break,
            }
        }
        for place in lost {
            if let Some(server) = self.0.get_mut(place) {
                (server.client, server.has_failed) = (None, true);
            }
        }
    }

    /// Requests a page and lets `read` consume it while it arrives. Nothing is buffered but the current chunk. The rest
    /// that `read` leaves is read and discarded, because some servers log an error if a client closes early.
    ///
    /// # Errors
    /// As for [`Http::ask`]; and the error of `read`, if the page was received completely.
    pub fn stream<T>(
        &mut self,
        question: Question,
        deadline: Instant,
        read: impl FnOnce(&mut Body) -> Result<T>,
    ) -> Result<T> {
        let nobody = self.failure("no answer");
        let common = Common::get().map_err(|problem| self.failure(&problem))?;
        let Some(server) = self.0.get_mut(question.server) else { return Err(nobody) };
        let asking = server.asking(&common, &question, STREAM_BYTES, deadline);
        let asking = asking.map_err(|problem| Error::Fetch { address: server.endpoint.shown(""), problem })?;
        let told = Body::begin(asking, &common.runtime).and_then(|mut body| {
            let told = read(&mut body);
            body.end().map(|()| told)
        });
        if matches!(told, Err(Error::Fetch { .. })) {
            (server.client, server.has_failed) = (None, true);
        }
        told?
    }

    fn failure(&self, problem: &str) -> Error {
        Error::Fetch { address: self.address(), problem: problem.into() }
    }
}
