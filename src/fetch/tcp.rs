//! Requests to servers that speak their own protocol, over TCP, TLS or a Unix socket.
//!
//! *Invariant:* nothing here waits past its deadline or buffers more than its limit.

use super::host::Host;
use super::trace::Note;
use crate::config::section::Section;
use crate::model::error::{Error, Result, plain};
use crate::net::http::why_broken;
use crate::net::tls::Tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Default of `timeout_seconds`, the longest time for a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of an answer in bytes.
const MOST_BYTES: usize = 8 << 20;

/// The keys that [`Server::read`] reads.
pub const KEYS: &[&str] = &["host", "port", "tls", "verify", "ca_file", "client_cert", "client_key"];

/// A server from the section of a check.
pub struct Server {
    place: Place,
    tls: Option<Tls>,
    timeout: Duration,
}

enum Place {
    Host { name: String, host: Host },
    Socket(PathBuf),
}

impl Server {
    /// Reads `host`, which may be the path of a Unix socket, `port`, `tls`, the TLS keys, and `timeout_seconds`.
    ///
    /// # Errors
    /// A mistake in the section.
    pub fn read(section: &Section, default_port: u16) -> Result<Server> {
        let name = section.required("host", "127.0.0.1")?;
        let port = section.number("port", default_port)?;
        let place = match name.strip_prefix("unix://").unwrap_or(name) {
            path if path.starts_with('/') => Place::Socket(path.into()),
            name => Place::Host { name: name.into(), host: Host::new(name, port) },
        };
        let tls = if section.flag("tls", false)? { Some(Tls::of_check(section)?) } else { None };
        let timeout = section.timeout(TIMEOUT)?;
        Ok(Server { place, tls, timeout })
    }

    /// The address for messages.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Host { host, .. } => host.shown(),
            Place::Socket(path) => path.display().to_string(),
        }
    }

    /// Opens a connection, sends the question and reads until `is_whole` accepts the answer or the server closes. What
    /// the server has sent before closing is a valid answer.
    ///
    /// # Errors
    /// [`Error::Fetch`] if the answer is not complete in time or too long.
    pub fn ask(&mut self, question: &[u8], deadline: Instant, is_whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let deadline = self.limited(deadline);
        let mut note = self.note();
        let answer = self.connect(deadline, &mut note).and_then(|mut wire| {
            let is_whole = |answer: &[u8], count: usize| {
                note.heard(answer.get(answer.len() - count..).unwrap_or_default());
                is_whole(answer)
            };
            converse(&mut *wire, question, deadline, is_whole)
        });
        note.ended(|| answer.as_ref().map_or_else(Clone::clone, |_| ANSWERED.into()));
        answer.map_err(|problem| Error::Fetch { address: self.address(), problem })
    }

    /// Opens a connection for an exchange of several messages, with this deadline.
    ///
    /// # Errors
    /// There is no connection; the text says why.
    pub fn open(&mut self, deadline: Instant) -> Result<Connection, String> {
        let (deadline, mut note) = (self.limited(deadline), self.note());
        match self.connect(deadline, &mut note) {
            Ok(wire) => {
                note.ended(|| ANSWERED.into());
                Ok(Connection { wire, deadline, read: Vec::new(), note })
            }
            Err(why) => {
                note.ended(|| why.clone());
                Err(why)
            }
        }
    }

    /// The trace of an exchange.
    fn note(&self) -> Note {
        Note::begin(|| format!("{}{}", if self.tls.is_some() { "TLS " } else { "" }, self.address()))
    }

    fn limited(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.timeout)
    }

    /// Whether the address is a Unix socket.
    pub fn is_socket(&self) -> bool {
        matches!(self.place, Place::Socket(_))
    }

    fn connect(&mut self, deadline: Instant, note: &mut Note) -> Result<Box<dyn Wire>, String> {
        let wire = self.reach(deadline)?;
        note.connected();
        Ok(wire)
    }

    fn reach(&mut self, deadline: Instant) -> Result<Box<dyn Wire>, String> {
        match &mut self.place {
            Place::Socket(path) => match UnixStream::connect(path) {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(format!("cannot connect: {}", plain(&error))),
            },
            Place::Host { name, host } => {
                let mut last = Err("no time was left to ask before the tick was over".into());
                for address in host.addresses(deadline)? {
                    let Some(left) = left(deadline) else { break };
                    match TcpStream::connect_timeout(&address, left) {
                        Ok(stream) => return wrapped(Box::new(stream), name, self.tls.as_ref()),
                        Err(error) => last = Err(format!("cannot connect: {}", plain(&error))),
                    }
                }
                last
            }
        }
    }
}

/// An open connection for an exchange of several messages.
pub struct Connection {
    wire: Box<dyn Wire>,
    deadline: Instant,
    /// Bytes that were received but not returned yet.
    read: Vec<u8>,
    note: Note,
}

impl Connection {
    /// Sets a new deadline, for a connection that is kept from tick to tick.
    pub fn renew(&mut self, server: &Server, deadline: Instant) {
        self.deadline = server.limited(deadline);
    }

    /// Starts TLS on the connection, with a server of this name.
    ///
    /// # Errors
    /// TLS cannot be started; the text says why.
    pub fn secured(self, name: &str, tls: &Tls) -> Result<Connection, String> {
        match self.read.is_empty() {
            true => Ok(Connection { wire: wrapped(self.wire, name, Some(tls))?, ..self }),
            false => Err("the server goes on without TLS when it was asked for it".into()),
        }
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// They could not be sent in time; the text says why.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.wire.limit(left(self.deadline).ok_or(LATE)?).map_err(|error| plain(&error))?;
        self.wire.write_all(bytes).and_then(|()| self.wire.flush()).map_err(|error| why(&error))
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// They did not arrive in time; the text says why.
    pub fn receive(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let mut buffer = [0; 16 << 10];
        while self.read.len() < count {
            self.wire.limit(left(self.deadline).ok_or(LATE)?).map_err(|error| plain(&error))?;
            match self.wire.read(&mut buffer) {
                Ok(0) => return Err(CLOSED.into()),
                Ok(count) => {
                    let came = buffer.get(..count).unwrap_or_default();
                    self.note.heard(came);
                    self.read.extend_from_slice(came);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.note.ended(|| why(&error));
                    return Err(why(&error));
                }
            }
        }
        let rest = self.read.split_off(count);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    /// Sends the last message, even if the deadline has passed, and ignores errors.
    pub fn send_last(&mut self, bytes: &[u8]) {
        let _ = self
            .wire
            .limit(LAST_SEND_TIMEOUT)
            .and_then(|()| self.wire.write_all(bytes))
            .and_then(|()| self.wire.flush());
    }
}

const LATE: &str = "no whole answer in time";
const CLOSED: &str = "the server closed the connection without an answer";
const ANSWERED: &str = "answered";
const LAST_SEND_TIMEOUT: Duration = Duration::from_millis(50);

/// Why the connection failed; with TLS, which certificate is not trusted.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => LATE.into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CLOSED.into(),
        _ => why_broken(error),
    }
}

fn wrapped(stream: Box<dyn Wire>, name: &str, tls: Option<&Tls>) -> Result<Box<dyn Wire>, String> {
    let Some(tls) = tls else { return Ok(stream) };
    let config: Arc<ClientConfig> = Arc::new(tls.config().map_err(|error| error.to_string())?);
    let name = ServerName::try_from(name.to_string()).map_err(|_| format!("{name} is no name of a server"))?;
    let connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn left(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

/// Sends the question and reads the answer. `is_whole` gets all bytes received so far and the number of new ones.
fn converse(
    wire: &mut dyn Wire,
    question: &[u8],
    deadline: Instant,
    mut is_whole: impl FnMut(&[u8], usize) -> bool,
) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    wire.limit(left(deadline).ok_or(LATE)?).map_err(|error| plain(&error))?;
    // A busy server may send an error and close before it reads the question.
    let asked = wire.write_all(question).and_then(|()| wire.flush());
    loop {
        wire.limit(left(deadline).ok_or(LATE)?).map_err(|error| plain(&error))?;
        let last = match wire.read(&mut buffer) {
            Ok(0) if answer.is_empty() => return Err(asked.err().map_or(CLOSED.into(), |error| why(&error))),
            Ok(0) => return Ok(answer),
            Ok(count) => {
                answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
                count
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(LATE.into());
            }
            Err(_) if !answer.is_empty() => return Ok(answer),
            Err(error) => return Err(why(&error)),
        };
        if is_whole(&answer, last) {
            return Ok(answer);
        }
        if answer.len() > MOST_BYTES {
            return Err(format!("the answer is longer than {} MiB", MOST_BYTES >> 20));
        }
    }
}

/// A stream of any kind whose reads and writes can time out.
trait Wire: Read + Write + Send {
    /// Sets the timeout of each read and write.
    fn limit(&self, limit: Duration) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Wire for UnixStream {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Wire for StreamOwned<ClientConnection, Box<dyn Wire>> {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        self.sock.limit(limit)
    }
}
