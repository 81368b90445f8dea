//! Carbon, the receiver of Graphite: points as pickle frames over TCP; delivered when all of them are read.
//!
//! ```text
//! frame = length:u32 (big-endian) pickle
//! pickle = protocol 2, [(path, (time, value)), ...]
//! ```

use super::claims::{Claims, describe_series};
use super::cutter::Limits;
use super::http_post::{no_answer, seconds};
use super::{Attempt, Encoded, Reached, Refused, Request, Sink, Verdict};
use crate::config::section::Section;
use crate::model::error::{Result, plain};
use crate::model::point::{Identity, Point};
use crate::net::names::{self, Lookup, is_loopback};
use crate::sys::tcp;
use serde_pickle::SerOptions;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const PORT: u16 = 2004;
const EXAMPLE: &str = "server:2004";
/// Limits of one frame. Receivers accept 1 MiB by default, and close the connection on more.
const LIMITS: Limits = Limits { points: 500, bytes: 512 << 10 };
/// Longest node of a path in bytes: each node is a file name, with an extension added.
const NODE: usize = 240;
const PATH: usize = 4_000;
/// Bytes of a point beside its path, and of a frame beside its points, at most.
const POINT: usize = 29;
const FRAME: usize = 10;
/// Time limit for writing a batch to a receiver that reads slowly.
const WHOLE_WRITE: Duration = Duration::from_secs(45);
/// Time limit for reading what the peer said before it closed the connection.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most bytes that are quoted of an answer. A Carbon receiver never answers.
const QUOTED: usize = 40;
const NOTE: &str = "never says that it stored anything: a point counts as delivered when the receiver has read it";

/// The sink for `tsdtype = Carbon`.
pub struct Carbon {
    host: String,
    port: u16,
    limits: Limits,
    connect_timeout: Duration,
    timeout: Duration,
    confirms: bool,
    lookup: Lookup,
    notes: Vec<String>,
    /// Which series has each path. Another series with the same path is written under another path.
    claims: RefCell<Claims>,
    /// Created at the first request: before the daemon forks there must be no threads or sockets.
    runtime: Option<Runtime>,
}

/// Reads the configuration; opens no connection.
pub fn configure(tsdb: &Section) -> Result<Carbon> {
    let address = tsdb.required("address", EXAMPLE)?;
    let (host, port) = parse_address(address)
        .ok_or_else(|| tsdb.wrong("address", &format!("expected host:port, such as {EXAMPLE}")))?;
    let mut notes = vec![NOTE.to_string()];
    let confirms = tsdb.flag("carbon_confirm", true)?;
    if !confirms {
        notes.push("carbon_confirm is off: points that the receiver had not read when it died are lost".into());
    }
    Ok(Carbon {
        host,
        port,
        limits: LIMITS.configure(tsdb)?,
        connect_timeout: seconds(tsdb, "connect_timeout", 5)?,
        timeout: seconds(tsdb, "timeout", 10)?,
        confirms,
        lookup: names::system(),
        notes,
        claims: RefCell::default(),
        runtime: None,
    })
}

/// Parses `host`, `host:port` or `[v6]:port`, each optionally after `tcp://` or `http://`, as old installers wrote it.
fn parse_address(text: &str) -> Option<(String, u16)> {
    let text = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let text = text.trim_end_matches('/');
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None if text.parse::<IpAddr>().is_ok() => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
    let is_host = !host.is_empty() && !host.contains(|letter: char| letter.is_whitespace() || letter == '/');
    is_host.then(|| (host.into(), port))
}

impl Carbon {
    /// Uses this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.lookup = lookup;
    }

    /// Sends a batch over a connection of its own: the receiver's close is the only acknowledgement there is, and a
    /// changed address of the host is noticed.
    async fn deliver(&self, frames: &[u8], until: Instant) -> std::result::Result<(), Failure> {
        let mut stream = self.connect(until).await.map_err(Failure::NotConnected)?;
        let sent = match self.write(&stream, frames, until).await {
            Ok(()) => stream.shutdown().await.map_err(|error| lost(&error)),
            failed => failed,
        };
        if matches!(sent, Err(Failure::Broken(_))) {
            // What the peer said before it closed can still be read.
            self.listen(&stream, LAST_WORDS, until).await?;
        }
        sent?;
        if !self.confirms {
            return self.listen(&stream, Duration::ZERO, until).await.map(|_| ());
        }
        // The receiver closes after it has read everything up to our end. If bytes were unread, the kernel would send a
        // reset.
        match self.listen(&stream, self.timeout, until).await? {
            PeerEnd::End if is_acknowledged(&stream) => Ok(()),
            PeerEnd::End => Err(Failure::Broken("the receiver hung up before it had read everything".into())),
            PeerEnd::Trouble(Trouble::Io(error)) => {
                Err(Failure::Broken(format!("connection lost before everything was read: {}", plain(&error))))
            }
            PeerEnd::Trouble(Trouble::Wait(why)) => Err(Failure::Broken(format!("not read to the end: {why}"))),
        }
    }

    /// Waits until the peer closes. A receiver never sends a byte, so a peer that does is something else.
    async fn listen(
        &self,
        stream: &TcpStream,
        limit: Duration,
        until: Instant,
    ) -> std::result::Result<PeerEnd, Failure> {
        let end = Instant::now() + limit;
        loop {
            let mut bytes = [0; 512];
            let left = end.saturating_duration_since(Instant::now());
            let read = async {
                stream.readable().await?;
                stream.try_read(&mut bytes)
            };
            match self.bounded(read, left, until).await {
                Ok(0) => return Ok(PeerEnd::End),
                Ok(count) => return Err(Failure::NotCarbon(quoted(bytes.get(..count).unwrap_or_default()))),
                Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(trouble) => return Ok(PeerEnd::Trouble(trouble)),
            }
        }
    }

    /// Tries every address in turn, within one time limit.
    async fn connect(&self, until: Instant) -> std::result::Result<TcpStream, String> {
        let end = Instant::now() + self.connect_timeout;
        let addresses = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => names::addresses(self.lookup.clone(), &self.host).await.map_err(|error| error.to_string())?,
        };
        let mut last = String::new();
        for address in addresses {
            let left = end.saturating_duration_since(Instant::now());
            let connecting = TcpStream::connect(SocketAddr::new(address, self.port));
            match self.bounded(connecting, left, until).await {
                Ok(stream) => return Ok(stream),
                Err(Trouble::Io(error)) => last = plain(&error),
                Err(Trouble::Wait(why)) => last = why,
            }
        }
        Err(format!("cannot connect: {last}"))
    }

    /// Writes everything. Some progress has to be made within each `timeout`.
    async fn write(&self, stream: &TcpStream, frames: &[u8], until: Instant) -> std::result::Result<(), Failure> {
        let mut left = frames;
        let mut interest = Interest::WRITABLE | Interest::READABLE;
        let end = Instant::now() + WHOLE_WRITE;
        while !left.is_empty() {
            let limit = self.timeout.min(end.saturating_duration_since(Instant::now()));
            let mut bytes = [0; 512];
            let step = async {
                let ready = stream.ready(interest).await?;
                let heard = if ready.is_readable() { stream.try_read(&mut bytes) } else { would_block() };
                let written = if ready.is_writable() { stream.try_write(left) } else { would_block() };
                Ok((heard, written))
            };
            let (heard, written) = match self.bounded(step, limit, until).await {
                Ok(done) => done,
                Err(Trouble::Io(error)) => return Err(lost(&error)),
                Err(Trouble::Wait(why)) => return Err(Failure::Broken(format!("the receiver does not read: {why}"))),
            };
            match heard {
                // The peer closed its sending side; it may still read.
                Ok(0) => interest = Interest::WRITABLE,
                Ok(count) => return Err(Failure::NotCarbon(quoted(bytes.get(..count).unwrap_or_default()))),
                Err(_) => {}
            }
            match written {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(())
    }

    async fn bounded<T>(
        &self,
        work: impl Future<Output = io::Result<T>>,
        limit: Duration,
        until: Instant,
    ) -> std::result::Result<T, Trouble> {
        let limit = limit.min(until.saturating_duration_since(Instant::now()));
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done.map_err(Trouble::Io),
            Err(_) => Err(Trouble::Wait(no_answer(limit))),
        }
    }
}

/// Whether the peer had received everything when it closed. It may have closed before, and then its kernel discarded
/// what came later.
fn is_acknowledged(stream: &TcpStream) -> bool {
    matches!(stream.take_error(), Ok(None)) && tcp::unacknowledged(stream).is_ok_and(|bytes| bytes == 0)
}

enum Trouble {
    Io(io::Error),
    Wait(String),
}

/// How waiting for the peer's close ended, if the peer sent no byte.
enum PeerEnd {
    End,
    Trouble(Trouble),
}

/// Why a batch was not delivered.
enum Failure {
    NotConnected(String),
    /// A part of it may have been received.
    Broken(String),
    /// Something that is no Carbon receiver answered this.
    NotCarbon(String),
}

fn lost(error: &io::Error) -> Failure {
    Failure::Broken(format!("connection lost: {}", plain(error)))
}

fn would_block() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// The start of an answer, unprintable bytes as spaces.
fn quoted(bytes: &[u8]) -> String {
    let printable = bytes.iter().take(QUOTED).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' });
    printable.collect::<String>().trim_end().into()
}

impl Sink for Carbon {
    fn name(&self) -> &'static str {
        "Carbon"
    }

    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded {
        let base = base(identity);
        let mut claims = self.claims.borrow_mut();
        claims.begin();
        let mut refused = Vec::new();
        // All paths are in one string, so that a point needs no allocation.
        let mut paths = String::with_capacity(points.iter().map(|point| room(point, &base)).sum());
        let mut kept = Vec::with_capacity(points.len());
        for (index, point) in points.iter().enumerate() {
            let start = paths.len();
            match push_path(&mut paths, point, &base, &mut claims) {
                Ok(()) => kept.push((start..paths.len(), (point.time, point.value.as_f64()))),
                Err(why) => {
                    paths.truncate(start);
                    refused.push(Refused { index, status: 0, why });
                }
            }
        }
        let row = |(path, number): (Range<usize>, _)| (paths.get(path).unwrap_or_default(), number);
        let rows: Vec<Row> = kept.into_iter().map(row).collect();
        let body = frames(&rows, self.limits);
        let request = Request { body, points: 0..points.len() };
        Encoded { requests: if rows.is_empty() { Vec::new() } else { vec![request] }, refused }
    }

    /// Connects and closes: a receiver answers nothing that could be checked.
    fn probe(&mut self, until: Instant) -> std::result::Result<Reached, String> {
        let place = self.place();
        let why = |why: String| format!("{place}: {why}");
        let runtime = names::runtime().map_err(|error| why(plain(&error)))?;
        let connected = runtime.block_on(self.connect(until));
        runtime.shutdown_background();
        connected.map_err(why)?;
        Ok(Reached { who: format!("{place} takes connections"), ahead: None })
    }

    fn send(&mut self, request: &Request, _: &[Point], attempt: &Attempt) -> Verdict {
        let runtime = match self.runtime.take().map_or_else(names::runtime, Ok) {
            Ok(runtime) => runtime,
            Err(error) => return self.verdict(Failure::NotConnected(plain(&error)), attempt),
        };
        let delivered = runtime.block_on(self.deliver(&request.body, attempt.until));
        self.runtime = Some(runtime);
        match delivered {
            Ok(()) => Verdict::Delivered,
            Err(failure) => self.verdict(failure, attempt),
        }
    }

    fn full_request(&self) -> usize {
        self.limits.points
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.append(&mut self.claims.borrow_mut().notes());
        notes
    }

    fn is_remote(&self) -> bool {
        !is_loopback(&self.host)
    }
}

impl Carbon {
    /// Host and port, for messages.
    fn place(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    fn verdict(&self, failure: Failure, attempt: &Attempt) -> Verdict {
        let place = self.place();
        let retry = |why, is_suspect| Verdict::Retry { why: format!("{place}: {why}"), after: None, is_suspect };
        match failure {
            Failure::NotConnected(why) => retry(why, false),
            // If the exchange ran out of time, that says nothing about the points.
            Failure::Broken(why) => retry(why, Instant::now() < attempt.until),
            Failure::NotCarbon(answer) => Verdict::Pause {
                why: format!(
                    "{place}: something else than a Carbon pickle receiver answered ({answer:?}): \
                     check `address` in [TSDB], the usual port is {PORT}"
                ),
            },
        }
    }
}

impl Drop for Carbon {
    fn drop(&mut self) {
        // A name lookup that hangs must not keep the daemon from stopping.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Path, time and value, in the order of the pickle format.
type Row<'a> = (&'a str, (i64, f64));

/// The rows as frames of bounded size, one after the other.
fn frames(rows: &[Row], limits: Limits) -> Vec<u8> {
    let size = |(path, _): &Row| POINT + path.len();
    let mut body = Vec::with_capacity(rows.iter().map(size).sum::<usize>() + FRAME);
    let mut left = rows;
    while !left.is_empty() {
        let mut bytes = FRAME;
        let fit = left.iter().take(limits.points).take_while(|row| {
            bytes += size(row);
            bytes <= limits.bytes
        });
        let (frame, rest) = left.split_at(fit.count().max(1));
        left = rest;
        let start = body.len();
        body.extend_from_slice(&[0; 4]);
        // Writing to a vector cannot fail.
        let _ = serde_pickle::to_writer(&mut body, &frame, SerOptions::new().proto_v2());
        let length = body.len() - start - 4;
        if let Some(place) = body.get_mut(start..start + 4) {
            place.copy_from_slice(&(length as u32).to_be_bytes());
        }
    }
    body
}

/// The nodes at the start of all paths of this host.
fn base(identity: &Identity) -> String {
    let mut text = String::new();
    push_component(&mut text, identity.cluster.trim());
    push_component(&mut text, identity.group.trim());
    push_component(&mut text, &identity.host.trim().replace('.', "_"));
    push_component(&mut text, identity.location.trim());
    text
}

/// The estimated length of the point's path in bytes.
fn room(point: &Point, base: &str) -> usize {
    base.len() + point.name.len() + point.check_type.len() + point.tags.len() * 24 + 2
}

fn push_path(out: &mut String, point: &Point, base: &str, claims: &mut Claims) -> std::result::Result<(), String> {
    let value = point.value.as_f64();
    if !value.is_finite() {
        return Err(format!("the value is {value}"));
    }
    if point.name.len() > PATH {
        return Err(format!("the name takes {} bytes, the limit of a path is {PATH}", point.name.len()));
    }
    let start = out.len();
    out.push_str(base);
    push_component(out, if point.check_type.is_empty() { "untyped" } else { &point.check_type });
    for (_, value) in point.tags.iter() {
        push_component(out, value);
    }
    let before = out.len();
    push_component(out, &point.name);
    if out.len() == before {
        return Err("the name of the metric is empty".into());
    }
    out.pop(); // Removes the dot after the last node.
    let path = out.get(start..).unwrap_or_default();
    if path.len() > PATH {
        return Err(format!("the path takes {} bytes, the limit is {PATH}", path.len()));
    }
    let other = claims.settle(point, path, |_, number| {
        let sum = crc32fast::hash(describe_series(&point.series()).as_bytes()).wrapping_add(number - 1);
        format!("{path}_{sum:08x}")
    });
    if let Some(other) = other {
        out.truncate(start);
        out.push_str(&other);
    }
    Ok(())
}

/// Appends the nodes of a text, each followed by a dot; empty nodes are left out.
pub fn push_component(out: &mut String, text: &str) {
    // Looks at every byte without an early exit, so that the compiler can use vector instructions.
    let is_one_node = text.bytes().fold(true, |kept, byte| kept & is_kept(byte) & (byte != b'.'));
    if is_one_node && !text.is_empty() && text.len() <= NODE {
        out.push_str(text);
        return out.push('.');
    }
    for node in text.split('.').filter(|node| !node.is_empty()) {
        let is_kept = |letter: &char| u8::try_from(*letter).is_ok_and(is_kept);
        out.extend(node.chars().take(NODE).map(|letter| if is_kept(&letter) { letter } else { '_' }));
        out.push('.');
    }
}

fn is_kept(byte: u8) -> bool {
    byte.is_ascii_graphic()
        & !matches!(
            byte,
            b'(' | b')' | b'{' | b'}' | b',' | b'\'' | b'"' | b'\\' | b'|' | b'[' | b']' | b'*' | b'?' | b';' | b'/'
        )
}
