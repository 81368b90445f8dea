//! Carbon, Graphite's receiver: points as pickle frames over TCP, delivered when the receiver has read them to the end.
//!
//! ```text
//! frame = length:u32 (big-endian) pickle
//! pickle, of protocol 2 = [(path, (time, value)), ...]
//! ```

use super::claims::{Claims, describe};
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
/// Of one frame. Receivers take 1 MiB unless told otherwise, and hang up on more.
const LIMITS: Limits = Limits { points: 500, bytes: 512 << 10 };
/// Each node of a path is the name of a file, which has an end besides.
const NODE: usize = 240;
const PATH: usize = 4_000;
/// Most bytes of a point beside its path, and of a frame beside its points.
const POINT: usize = 29;
const FRAME: usize = 10;
/// For a receiver that reads, but slowly.
const WHOLE_WRITE: Duration = Duration::from_secs(45);
/// For what is left to be read of somebody who hung up.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most bytes that are quoted of somebody who is no receiver.
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
    /// Who came first under each path: what meets later is written under another one.
    claims: RefCell<Claims>,
    /// Made at the first request: before the daemon forks there must be none.
    runtime: Option<Runtime>,
}

/// Reads its keys; opens no connection.
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

/// `host`, `host:port`, `[v6]:port`, each also with the scheme that old installers wrote before it.
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
    /// Asks this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.lookup = lookup;
    }

    /// One connection a batch: the end of it is the only acknowledgement there is, and a name that moved is noticed.
    async fn deliver(&self, frames: &[u8], until: Instant) -> std::result::Result<(), Failure> {
        let mut stream = self.connect(until).await.map_err(Failure::NotConnected)?;
        let sent = match self.write(&stream, frames, until).await {
            Ok(()) => stream.shutdown().await.map_err(|error| lost(&error)),
            failed => failed,
        };
        if matches!(sent, Err(Failure::Broken(_))) {
            // What it said before it hung up is still there to be read.
            self.listen(&stream, LAST_WORDS, until).await?;
        }
        sent?;
        if !self.confirms {
            return self.listen(&stream, Duration::ZERO, until).await.map(|_| ());
        }
        // The receiver closes when it has read all up to our end. Unread bytes would make that a reset.
        match self.listen(&stream, self.timeout, until).await? {
            Heard::End if is_acknowledged(&stream) => Ok(()),
            Heard::End => Err(Failure::Broken("the receiver hung up before it had read everything".into())),
            Heard::Trouble(Trouble::Io(error)) => {
                Err(Failure::Broken(format!("connection lost before everything was read: {}", plain(&error))))
            }
            Heard::Trouble(Trouble::Wait(why)) => Err(Failure::Broken(format!("not read to the end: {why}"))),
        }
    }

    /// Waits for the other side's end. A receiver never says a word, so whoever does is none.
    async fn listen(&self, stream: &TcpStream, limit: Duration, until: Instant) -> std::result::Result<Heard, Failure> {
        let end = Instant::now() + limit;
        loop {
            let mut words = [0; 512];
            let left = end.saturating_duration_since(Instant::now());
            let read = async {
                stream.readable().await?;
                stream.try_read(&mut words)
            };
            match self.bounded(read, left, until).await {
                Ok(0) => return Ok(Heard::End),
                Ok(count) => return Err(Failure::Stranger(quoted(words.get(..count).unwrap_or_default()))),
                Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(trouble) => return Ok(Heard::Trouble(trouble)),
            }
        }
    }

    /// Every address in turn, within one limit.
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

    /// All of it, or an error: some progress within each span of patience.
    async fn write(&self, stream: &TcpStream, frames: &[u8], until: Instant) -> std::result::Result<(), Failure> {
        let mut left = frames;
        let mut interest = Interest::WRITABLE | Interest::READABLE;
        let end = Instant::now() + WHOLE_WRITE;
        while !left.is_empty() {
            let limit = self.timeout.min(end.saturating_duration_since(Instant::now()));
            let mut words = [0; 512];
            let step = async {
                let ready = stream.ready(interest).await?;
                let heard = if ready.is_readable() { stream.try_read(&mut words) } else { would_block() };
                let written = if ready.is_writable() { stream.try_write(left) } else { would_block() };
                Ok((heard, written))
            };
            let (heard, written) = match self.bounded(step, limit, until).await {
                Ok(done) => done,
                Err(Trouble::Io(error)) => return Err(lost(&error)),
                Err(Trouble::Wait(why)) => return Err(Failure::Broken(format!("the receiver does not read: {why}"))),
            };
            match heard {
                // It never had anything to say, and may read all the same.
                Ok(0) => interest = Interest::WRITABLE,
                Ok(count) => return Err(Failure::Stranger(quoted(words.get(..count).unwrap_or_default()))),
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

/// Whether the other side's end came after it had all of ours: it may have hung up before, and its kernel thrown away
/// what came later.
fn is_acknowledged(stream: &TcpStream) -> bool {
    matches!(stream.take_error(), Ok(None)) && tcp::unacknowledged(stream).is_ok_and(|bytes| bytes == 0)
}

enum Trouble {
    Io(io::Error),
    Wait(String),
}

/// How listening ended, where not a word was said.
enum Heard {
    End,
    Trouble(Trouble),
}

/// Why a batch was not delivered.
enum Failure {
    NotConnected(String),
    /// Some of it was on its way.
    Broken(String),
    /// What was said by something that is no receiver.
    Stranger(String),
}

fn lost(error: &io::Error) -> Failure {
    Failure::Broken(format!("connection lost: {}", plain(error)))
}

fn would_block() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// The begin of what was said, as far as it can be printed.
fn quoted(words: &[u8]) -> String {
    let printable = words.iter().take(QUOTED).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' });
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
        // All paths in one text, so that a point costs no allocation.
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

    /// Connects and hangs up: a receiver says nothing that could be asked for.
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
    /// As it is shown.
    fn place(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    fn verdict(&self, failure: Failure, attempt: &Attempt) -> Verdict {
        let place = self.place();
        let retry = |why, is_suspect| Verdict::Retry { why: format!("{place}: {why}"), after: None, is_suspect };
        match failure {
            Failure::NotConnected(why) => retry(why, false),
            // Who is not given the time says nothing of the points.
            Failure::Broken(why) => retry(why, Instant::now() < attempt.until),
            Failure::Stranger(words) => Verdict::Pause {
                why: format!(
                    "{place}: something else than a Carbon pickle receiver answered ({words:?}): \
                     check `address` in [TSDB], the usual port is {PORT}"
                ),
            },
        }
    }
}

impl Drop for Carbon {
    fn drop(&mut self) {
        // A lookup that hangs must not keep the daemon from stopping.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Path, time and value, as a receiver reads them.
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
        // Writing into a vector cannot fail.
        let _ = serde_pickle::to_writer(&mut body, &frame, SerOptions::new().proto_v2());
        let length = body.len() - start - 4;
        if let Some(place) = body.get_mut(start..start + 4) {
            place.copy_from_slice(&(length as u32).to_be_bytes());
        }
    }
    body
}

/// The nodes that all paths of this host begin with.
fn base(identity: &Identity) -> String {
    let mut text = String::new();
    push_component(&mut text, identity.cluster.trim());
    push_component(&mut text, identity.group.trim());
    push_component(&mut text, &identity.host.trim().replace('.', "_"));
    push_component(&mut text, identity.location.trim());
    text
}

/// A guess at the bytes of its path.
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
    out.pop(); // The dot behind the last node.
    let path = out.get(start..).unwrap_or_default();
    if path.len() > PATH {
        return Err(format!("the path takes {} bytes, the limit is {PATH}", path.len()));
    }
    let other = claims.settle(point, path, |_, number| {
        let sum = crc32fast::hash(describe(point).as_bytes()).wrapping_add(number - 1);
        format!("{path}_{sum:08x}")
    });
    if let Some(other) = other {
        out.truncate(start);
        out.push_str(&other);
    }
    Ok(())
}

/// The nodes of a text, each with a dot behind it; nodes without a letter are left out.
pub fn push_component(out: &mut String, text: &str) {
    // Looks at every byte without stopping: a few wide instructions for a usual text.
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
