//! Pages of a server, over TCP, TLS or a unix socket: the only HTTP client of the checks.
//!
//! *Invariant:* nothing here waits past its deadline, keeps more than its limit, follows a redirect, or shows a credential.

mod asking;
mod body;
mod endpoint;
mod shared;

use self::asking::Asking;
pub use self::body::Body;
pub use self::endpoint::{Endpoint, KEYS, TOKEN_KEYS};
use self::shared::{Common, Made};
use crate::model::error::{Error, Result, quote};
pub use crate::net::address::percent_encode;
use crate::net::http::MAX_AGE;
use reqwest::Client;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Most bytes of all pages that are read at a time.
const MOST_BYTES: usize = 32 << 20;
/// Most pages that are asked for at a time.
const AT_ONCE: usize = 64;
/// Most bytes of a page that is read while it comes.
const STREAM_BYTES: usize = 128 << 20;
/// Most letters that an error shows of a page.
const SHOWN: usize = 60;

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
        Common::tidy_if_made();
    }
}
