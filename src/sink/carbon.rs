//! Carbon, Graphite's receiver: points as pickle frames over TCP, delivered when the receiver has read them to the end.
//!
//! ```text
//! frame  = length:u32 (big-endian) pickle
//! pickle = PROTO 2, EMPTY_LIST, MARK, (path text, (time int, value float) TUPLE2) TUPLE2 ..., APPENDS, STOP
//! ```
//! Only these opcodes are read alike by every carbon under Python 2 and 3.

use super::cutter::Limits;
use super::http_post::seconds;
use super::patience::{Impatient, no_answer, patient};
use super::{Encoded, Patience, Refused, Request, Sink, Verdict};
use crate::config::section::Section;
use crate::error::{Result, plain};
use crate::net::names::{self, Lookup, is_loopback};
use crate::point::{Identity, Point};
use crate::sys;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const PORT: u16 = 2004;
/// Of one frame. Receivers take 1 MiB unless told otherwise, and hang up on more.
const LIMITS: Limits = Limits { points: 500, bytes: 512 << 10 };
/// Each node of a path is the name of a file, which has an end besides.
const NODE: usize = 240;
const PATH: usize = 4_000;
/// Bytes of a point beside its path.
const POINT: usize = 21;
/// APPENDS, STOP.
const END: &[u8] = b"e.";
/// For a receiver that reads, but slowly.
const WHOLE_WRITE: Duration = Duration::from_secs(45);
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
    /// Made at the first request: before the daemon forks there must be none.
    runtime: Option<Runtime>,
}

/// Reads its keys; opens no connection.
pub fn configure(tsdb: &Section) -> Result<Carbon> {
    let address = tsdb.required("address")?;
    let (host, port) = parse_address(address).ok_or_else(|| tsdb.wrong("address", "expected host:port"))?;
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
    async fn deliver(&self, frames: &[u8], patience: Patience<'_>) -> std::result::Result<(), String> {
        let mut stream = self.connect(&mut *patience).await?;
        self.write(&mut stream, frames, &mut *patience).await?;
        stream.shutdown().await.map_err(|error| plain(&error))?;
        if !self.confirms {
            return Ok(());
        }
        // The receiver closes when it has read all up to our end. Unread bytes would make that a reset.
        let mut rest = [0; 512];
        let end = Instant::now() + self.timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let read = async {
                stream.readable().await?;
                stream.try_read(&mut rest)
            };
            match self.bounded(read, left, &mut *patience).await {
                Ok(0) if is_acknowledged(&stream) => return Ok(()),
                Ok(0) => return Err("the receiver hung up before it had read everything".into()),
                Ok(_) => {}
                Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(Trouble::Io(error)) => {
                    return Err(format!("connection lost before everything was read: {}", plain(&error)));
                }
                Err(Trouble::Wait(why)) => return Err(format!("not read to the end: {why}")),
            }
        }
    }

    /// Every address in turn, within one limit.
    async fn connect(&self, patience: Patience<'_>) -> std::result::Result<TcpStream, String> {
        let end = Instant::now() + self.connect_timeout;
        let addresses = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => names::addresses(self.lookup.clone(), &self.host).await.map_err(|error| error.to_string())?,
        };
        let mut last = String::new();
        for address in addresses {
            let left = end.saturating_duration_since(Instant::now());
            let connecting = TcpStream::connect(SocketAddr::new(address, self.port));
            match self.bounded(connecting, left, &mut *patience).await {
                Ok(stream) => return Ok(stream),
                Err(Trouble::Io(error)) => last = plain(&error),
                Err(Trouble::Wait(why)) => last = why,
            }
        }
        Err(format!("cannot connect: {last}"))
    }

    /// All of it, or an error: some progress within each span of patience.
    async fn write(
        &self,
        stream: &mut TcpStream,
        frames: &[u8],
        patience: Patience<'_>,
    ) -> std::result::Result<(), String> {
        let mut left = frames;
        let end = Instant::now() + WHOLE_WRITE;
        while !left.is_empty() {
            let limit = self.timeout.min(end.saturating_duration_since(Instant::now()));
            match self.bounded(stream.write(left), limit, &mut *patience).await {
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(Trouble::Io(error)) => return Err(format!("connection lost: {}", plain(&error))),
                Err(Trouble::Wait(why)) => return Err(format!("the receiver does not read: {why}")),
            }
        }
        Ok(())
    }

    async fn bounded<T>(
        &self,
        work: impl Future<Output = io::Result<T>>,
        limit: Duration,
        patience: Patience<'_>,
    ) -> std::result::Result<T, Trouble> {
        match patient(work, limit, patience).await {
            Ok(done) => done.map_err(Trouble::Io),
            Err(Impatient::TooLong) => Err(Trouble::Wait(no_answer(limit))),
            Err(Impatient::GaveUp) => Err(Trouble::Wait("gave up waiting".into())),
        }
    }
}

/// Whether the other side's end came after it had all of ours: it may have hung up before, and its kernel thrown away
/// what came later.
fn is_acknowledged(stream: &TcpStream) -> bool {
    matches!(stream.take_error(), Ok(None)) && sys::unacknowledged(stream).is_ok_and(|bytes| bytes == 0)
}

enum Trouble {
    Io(io::Error),
    Wait(String),
}

impl Sink for Carbon {
    fn name(&self) -> &'static str {
        "Carbon"
    }

    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded {
        let base = Base::new(identity);
        let room = |point: &Point| POINT + base.text.len() + point.name.len() + point.check_type.len() + 2;
        let mut body =
            Vec::with_capacity(points.iter().map(|point| room(point) + point.tags.len() * 24).sum::<usize>() + 64);
        let mut refused = Vec::new();
        let mut frame = Frame::open(&mut body);
        for (index, point) in points.iter().enumerate() {
            if frame.points == self.limits.points {
                frame.close(&mut body);
                frame = Frame::open(&mut body);
            }
            let start = body.len();
            if let Err(why) = push_point(&mut body, point, &base) {
                body.truncate(start);
                refused.push(Refused { index, status: 0, why });
                continue;
            }
            if body.len() + END.len() - frame.start > self.limits.bytes && frame.points > 0 {
                let element = body.split_off(start);
                frame.close(&mut body);
                frame = Frame::open(&mut body);
                body.extend_from_slice(&element);
            }
            frame.points += 1;
        }
        frame.close(&mut body);
        let is_empty = refused.len() == points.len();
        let request = Request { body, points: 0..points.len() };
        Encoded { requests: if is_empty { Vec::new() } else { vec![request] }, refused }
    }

    fn send(&mut self, request: &Request, _: &[Point], patience: Patience) -> Verdict {
        let runtime = match self.runtime.take().map_or_else(names::runtime, Ok) {
            Ok(runtime) => runtime,
            Err(error) => return self.retry(&plain(&error)),
        };
        let delivered = runtime.block_on(self.deliver(&request.body, patience));
        self.runtime = Some(runtime);
        match delivered {
            Ok(()) => Verdict::Delivered,
            Err(why) => self.retry(&why),
        }
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn is_remote(&self) -> bool {
        !is_loopback(&self.host)
    }
}

impl Carbon {
    fn retry(&self, why: &str) -> Verdict {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        Verdict::Retry { why: format!("{host}:{}: {why}", self.port), after: None, server_error: false }
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

/// A frame that is being written.
struct Frame {
    start: usize,
    points: usize,
}

impl Frame {
    fn open(body: &mut Vec<u8>) -> Frame {
        let start = body.len();
        body.extend_from_slice(b"\0\0\0\0\x80\x02](");
        Frame { start, points: 0 }
    }

    /// Ends it and writes its length at its begin; takes it back where it holds nothing.
    fn close(self, body: &mut Vec<u8>) {
        if self.points == 0 {
            return body.truncate(self.start);
        }
        body.extend_from_slice(END);
        let length = body.len() - self.start - 4;
        if let Some(place) = body.get_mut(self.start..self.start + 4) {
            place.copy_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// The nodes that all paths of this host begin with.
struct Base {
    text: Vec<u8>,
}

impl Base {
    fn new(identity: &Identity) -> Base {
        let mut text = Vec::new();
        push_component(&mut text, identity.cluster.trim());
        push_component(&mut text, identity.group.trim());
        push_component(&mut text, &identity.host.trim().replace('.', "_"));
        push_component(&mut text, identity.location.trim());
        Base { text }
    }
}

fn push_point(out: &mut Vec<u8>, point: &Point, base: &Base) -> std::result::Result<(), String> {
    let value = point.value.as_f64();
    if !value.is_finite() {
        return Err(format!("the value is {value}"));
    }
    if point.name.len() > PATH {
        return Err(format!("the name takes {} bytes, the limit of a path is {PATH}", point.name.len()));
    }
    out.extend_from_slice(b"X\0\0\0\0");
    let start = out.len();
    out.extend_from_slice(&base.text);
    let kind = if point.check_type.is_empty() { "untyped" } else { &point.check_type };
    push_component(out, kind);
    for (_, value) in point.tags.iter() {
        push_component(out, value);
    }
    let before = out.len();
    push_component(out, &point.name);
    if out.len() == before {
        return Err("the name of the metric is empty".into());
    }
    out.pop(); // The dot behind the last node.
    let length = out.len() - start;
    if length > PATH {
        return Err(format!("the path takes {length} bytes, the limit is {PATH}"));
    }
    if let Some(place) = out.get_mut(start - 4..start) {
        place.copy_from_slice(&(length as u32).to_le_bytes());
    }
    push_integer(out, point.time);
    out.push(b'G');
    out.extend_from_slice(&value.to_be_bytes());
    out.extend_from_slice(b"\x86\x86");
    Ok(())
}

/// The nodes of a text, each with a dot behind it; nodes without a letter are left out.
fn push_component(out: &mut Vec<u8>, text: &str) {
    // Looks at every byte without stopping: a few wide instructions for a usual text.
    let is_one_node = text.bytes().fold(true, |kept, byte| kept & is_kept(byte) & (byte != b'.'));
    if is_one_node && !text.is_empty() && text.len() <= NODE {
        out.extend_from_slice(text.as_bytes());
        return out.push(b'.');
    }
    for node in text.split('.').filter(|node| !node.is_empty()) {
        out.extend(
            node.chars()
                .take(NODE)
                .map(|letter| u8::try_from(letter).ok().filter(|byte| is_kept(*byte)).unwrap_or(b'_')),
        );
        out.push(b'.');
    }
}

fn is_kept(byte: u8) -> bool {
    byte.is_ascii_graphic()
        & !matches!(
            byte,
            b'(' | b')' | b'{' | b'}' | b',' | b'\'' | b'"' | b'\\' | b'|' | b'[' | b']' | b'*' | b'?' | b';' | b'/'
        )
}

/// BININT for 32 bits, LONG1 with the fewest bytes for more.
fn push_integer(out: &mut Vec<u8>, number: i64) {
    if let Ok(short) = i32::try_from(number) {
        out.push(b'J');
        return out.extend_from_slice(&short.to_le_bytes());
    }
    let bytes = number.to_le_bytes();
    // The sign bit of the last byte must be that of the number.
    let spare = if number < 0 { number.leading_ones() } else { number.leading_zeros() };
    let count = 8 - (spare as usize - 1) / 8;
    out.extend_from_slice(&[0x8a, count as u8]);
    out.extend_from_slice(bytes.get(..count).unwrap_or(&bytes));
}
