//! Commands to MongoDB over a connection that is kept open, because a login at every tick would cost the server more
//! than the command (MongoDB manual, "Wire Protocol", OP_MSG; servers from 3.6 on).

mod scram;

use super::tcp::{self, Connection};
use crate::config::section::Section;
use crate::model::error::{Error, Result, quote};
use crate::model::parse::bson::{Document, Item, written};
use scram::Scram;
use std::time::Instant;

/// The keys that [`Server::read`] reads besides those of [`tcp::KEYS`].
pub const KEYS: &[&str] = &["auth", "user", "pass", "auth_mechanism", "auth_source"];

const PORT: u16 = 27017;
const MESSAGE: i32 = 2013;
/// Maximum size of an answer in bytes. A large server's answer has about 200 kB.
const MOST_BYTES: usize = 4 << 20;
const HEAD: usize = 16;

/// Error code: the account lacks the privilege, or has not logged in.
pub const UNAUTHORIZED: u16 = 13;
const LOGIN_FAILED: u16 = 18;

/// A server from the section of a check.
pub struct Server {
    place: tcp::Server,
    login: Option<Login>,
    /// The open connection, logged in.
    kept: Option<Connection>,
    number: i32,
    /// The server is an arbiter, which has no accounts, so a login is impossible.
    is_arbiter: bool,
}

struct Login {
    user: String,
    pass: String,
    /// Authentication mechanism; empty: chosen by what the server offers for the account.
    mechanism: String,
    source: String,
}

impl Server {
    /// Reads the keys of [`tcp::KEYS`] and [`KEYS`].
    ///
    /// # Errors
    /// A mistake in the section.
    pub fn read(section: &Section) -> Result<Server> {
        let text = |key| section.text(key).unwrap_or_default().to_string();
        let host = section.required("host", "127.0.0.1")?;
        if host.starts_with("mongodb") && host.contains("://") {
            return Err(section.problem("host", "write the parts of the URI into host, port, auth, user and pass"));
        }
        let place = tcp::Server::read(section, PORT)?;
        let source = Some(text("auth_source")).filter(|source| !source.is_empty()).unwrap_or("admin".into());
        let login = match section.flag("auth", false)? {
            true => Some(Login { user: text("user"), pass: text("pass"), mechanism: text("auth_mechanism"), source }),
            false => None,
        };
        if let Some(Login { user, pass, mechanism, .. }) = login.as_ref().filter(|login| !login.mechanism.is_empty()) {
            Scram::new(mechanism, user, pass).map_err(|problem| section.problem("auth_mechanism", &problem))?;
        }
        Ok(Server { place, login, kept: None, number: 0, is_arbiter: false })
    }

    /// Sends a command without arguments and returns the answer.
    ///
    /// # Errors
    /// [`Error::Status`] with the server's code if it refuses, [`Error::Fetch`] if it does not answer in time,
    /// [`Error::Absent`] for an arbiter, where no login is possible.
    pub fn ask(&mut self, command: &str, deadline: Instant) -> Result<Document> {
        if self.is_arbiter {
            return Err(Error::Absent(format!("{}: an arbiter: no login is possible there", self.place.address())));
        }
        let question = written(&[(command, Item::Int(1)), ("$db", Item::Text("admin"))]);
        if let Some(mut kept) = self.kept.take() {
            kept.renew(&self.place, deadline);
            match self.converse(&mut kept, &question) {
                Ok(answer) => {
                    self.kept = Some(kept);
                    return self.judged(answer);
                }
                Err(problem) if Instant::now() >= deadline => return Err(self.failed(problem)),
                // The server closed the connection since the last tick.
                Err(_) => {}
            }
        }
        let mut new = self.place.open(deadline).map_err(|problem| self.failed(problem))?;
        self.greet(&mut new)?;
        let answer = self.converse(&mut new, &question).map_err(|problem| self.failed(problem))?;
        self.kept = Some(new);
        self.judged(answer)
    }

    fn failed(&self, problem: impl Into<String>) -> Error {
        Error::Fetch { address: self.place.address(), problem: problem.into() }
    }

    /// The answer, or an error if it says that the command failed.
    fn judged(&self, answer: Document) -> Result<Document> {
        if answer.number("ok") == Some(1.0) {
            return Ok(answer);
        }
        let status = answer.number("code").map_or(0, |code| code as u16);
        let problem = match status {
            UNAUTHORIZED => "error 13, not authorized: auth: True, and the role clusterMonitor for the account".into(),
            LOGIN_FAILED => "error 18, the login was refused: see user, pass, auth_source and auth_mechanism".into(),
            _ => format!("error {status}: {}", quote(answer.text("errmsg").unwrap_or("without a word"))),
        };
        Err(Error::Status { address: self.place.address(), status, problem })
    }

    fn converse(&mut self, connection: &mut Connection, question: &[u8]) -> Result<Document, String> {
        self.number = self.number.wrapping_add(1);
        let length = i32::try_from(HEAD + 5 + question.len()).map_err(|_| "the question is too long")?;
        let head = [length, self.number, 0, MESSAGE, 0].map(i32::to_le_bytes).concat();
        connection.send(&[&head[..], &[0], question].concat())?;
        let head = connection.receive(HEAD)?;
        let part =
            |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| i32::from_le_bytes(*bytes));
        let length = part(0).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        if part(8) != Some(self.number) || part(12) != Some(MESSAGE) || !(HEAD..MOST_BYTES).contains(&length) {
            return Err("what answers is no MongoDB from 3.6 on".into());
        }
        // Four bytes of flags, and the kind of the section: 0, a single document.
        let body = connection.receive(length - HEAD)?;
        let document = body.get(4..).and_then(|body| body.strip_prefix(&[0]));
        Document::read(document.unwrap_or_default()).map_err(|error| error.to_string())
    }

    /// Identifies this client to the server and logs in.
    fn greet(&mut self, connection: &mut Connection) -> Result<()> {
        let name = |name| Item::Document(written(&[("name", Item::Text(name))]));
        let version = env!("CARGO_PKG_VERSION");
        let driver = written(&[("name", Item::Text("puypuy")), ("version", Item::Text(version))]);
        let system = written(&[("type", Item::Text("Linux"))]);
        let client = written(&[
            ("application", name("puypuy")),
            ("driver", Item::Document(driver)),
            ("os", Item::Document(system)),
        ]);
        let account = self.login.as_ref().map(|login| format!("{}.{}", login.source, login.user));
        let mut hello =
            vec![("isMaster", Item::Int(1)), ("client", Item::Document(client)), ("$db", Item::Text("admin"))];
        hello.extend(account.as_ref().map(|account| ("saslSupportedMechs", Item::Text(account))));
        let answer = self.converse(connection, &written(&hello)).map_err(|problem| self.failed(problem))?;
        let answer = self.judged(answer)?;
        let Some(login) = self.login.take() else { return Ok(()) };
        let result = if answer.is("arbiterOnly") {
            self.is_arbiter = true;
            Err(Error::Absent(format!("{}: an arbiter: no login is possible there", self.place.address())))
        } else {
            self.log_in(connection, &login, &answer)
        };
        self.login = Some(login);
        result
    }

    fn log_in(&mut self, connection: &mut Connection, login: &Login, hello: &Document) -> Result<()> {
        let offers = |kind: &str| (0..8).any(|at| hello.text(&format!("saslSupportedMechs.{at}")) == Some(kind));
        let mechanism = match &*login.mechanism {
            "" if offers(scram::SHA_256) => scram::SHA_256,
            "" => scram::SHA_1,
            named => named,
        };
        let mut scram = Scram::new(mechanism, &login.user, &login.pass).map_err(|problem| self.failed(problem))?;
        let database = || ("$db", Item::Text(&login.source));
        let first = scram.first();
        let start = [
            ("saslStart", Item::Int(1)),
            ("mechanism", Item::Text(mechanism)),
            ("payload", Item::Bytes(first.as_bytes())),
            database(),
        ];
        let mut answer = self.step(connection, &start)?;
        let id = answer.number("conversationId").unwrap_or(1.0) as i32;
        let said =
            |answer: &Document| String::from_utf8_lossy(answer.bytes("payload").unwrap_or_default()).into_owned();
        let proof = scram.last(&said(&answer)).ok_or_else(|| self.failed("the login makes no sense"))?;
        let go_on = |payload| {
            [("saslContinue", Item::Int(1)), ("conversationId", Item::Int(id)), ("payload", payload), database()]
        };
        answer = self.step(connection, &go_on(Item::Bytes(proof.as_bytes())))?;
        if !scram.is_proved(&said(&answer)) {
            return Err(self.failed("the server does not know the password itself: it is another one"));
        }
        if !answer.is("done") {
            self.step(connection, &go_on(Item::Bytes(&[])))?;
        }
        Ok(())
    }

    fn step(&mut self, connection: &mut Connection, items: &[(&str, Item)]) -> Result<Document> {
        let answer = self.converse(connection, &written(items)).map_err(|problem| self.failed(problem))?;
        self.judged(answer)
    }
}
