//! One SNMP agent: its socket, the objects to request, and retries.

use super::codec::Codec;
use super::message::{Answer, Ask, Received, status};
use super::portion::Portion;
use super::{Access, Asked, RetryPolicy, Value, Walked, random};
use crate::fetch::host::Host;
use crate::model::error::plain;
use crate::model::parse::oid::Oid;
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Maximum size of a UDP datagram.
const DATAGRAM: usize = 65_507;
/// Maximum number of bytes for the objects of a request. With headers, and with numbers in the answer, the datagrams
/// stay below 1400 bytes.
const REQUEST: usize = 1100;
/// Bytes that an answer needs for each object besides its name.
const BESIDE: usize = 16;
/// Maximum number of objects in a request; [`REQUEST`] limits it further.
const OBJECTS: usize = 1000;
/// Number of rows that a request of a walk asks for at most.
const REPETITIONS: usize = 25;
/// Maximum number of rows of a walk.
const MOST_ROWS: usize = 10_000;
/// Maximum number of times in a row that an agent may report another engine id or clock.
const CHANGES: usize = 4;

/// An agent; kept from tick to tick.
pub struct Agent {
    host: Host,
    codec: Codec,
    retry_policy: RetryPolicy,
    gets: Vec<Oid>,
    walks: Vec<Oid>,
    /// The socket for the address that answered. The answer may come from another address.
    line: Option<Line>,
    /// How many objects to put into a request.
    objects: Portion,
    /// How many rows to ask for in a walk; 0 means one row by GETNEXT instead of GETBULK.
    rows: Portion,
    /// Whether it has answered in this tick.
    answered: bool,
    /// Number of timeouts in a row, and the reason of the last one.
    silences: u32,
    trouble: Option<Trouble>,
    /// When the last failed tick started; `None` if the last tick succeeded.
    failed: Option<Instant>,
    deadline: Instant,
    buffer: Vec<u8>,
}

/// A socket, and the address to send to.
struct Line {
    socket: UdpSocket,
    address: SocketAddr,
}

/// Why there is no answer.
enum Trouble {
    /// Port unreachable: nothing listens there.
    Nobody,
    /// A timeout. `strays`: other datagrams arrived. `is_known`: the agent had answered the discovery of its engine.
    Silence { waited: Duration, strays: bool, is_known: bool },
    /// The deadline of the tick had passed before the request.
    Late,
    /// Any other reason, for which a retry is pointless.
    Said(String),
}

impl Agent {
    /// `gets`: the objects to request. `walks`: the roots whose subtrees are requested.
    pub fn new(host: Host, access: Access, retry_policy: RetryPolicy, gets: Vec<Oid>, walks: Vec<Oid>) -> Agent {
        Agent {
            host,
            codec: Codec::new(access),
            retry_policy,
            gets,
            walks,
            line: None,
            objects: Portion::new(1, OBJECTS),
            rows: Portion::new(0, REPETITIONS),
            answered: false,
            silences: 0,
            trouble: None,
            failed: None,
            deadline: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Sort key for the order of agents: first those that answered, then the others, the one that failed earliest first.
    pub(super) fn turn(&self) -> Option<Instant> {
        self.failed
    }

    /// Requests everything, at most until the deadline.
    pub(super) fn ask(&mut self, deadline: Instant) -> Asked {
        let begun = Instant::now();
        if begun >= deadline {
            return Asked { trouble: Some(self.describe(&Trouble::Late)), ..Asked::default() };
        }
        self.deadline = deadline;
        self.answered = false;
        (self.silences, self.trouble) = (0, None);
        for portion in [&mut self.objects, &mut self.rows] {
            portion.begin(self.failed.is_some());
        }
        let mut asked = Asked::default();
        asked.trouble = self.ask_for_all(&mut asked).err();
        asked.answered = Some(self.answered);
        self.failed = asked.trouble.as_ref().map(|_| begun);
        if asked.trouble.is_some() {
            // The host name may have another address by now.
            self.line = None;
            self.codec.require_discovery();
        }
        self.buffer = Vec::new();
        asked.took = begun.elapsed();
        asked.at = Some(begun + asked.took);
        asked
    }

    fn ask_for_all(&mut self, asked: &mut Asked) -> Result<(), String> {
        self.get(&mut asked.values)?;
        for root in self.walks.clone() {
            let mut walked = Walked::default();
            let ended = self.walk(&root, &mut walked);
            asked.walks.push(walked);
            ended?;
        }
        Ok(())
    }

    fn get(&mut self, values: &mut HashMap<Oid, Value>) -> Result<(), String> {
        let mut waiting = chunks(&self.gets);
        while let Some(mut chunk) = waiting.pop_front() {
            if chunk.is_empty() {
                continue;
            }
            if chunk.len() > self.objects.now() {
                waiting.push_front(chunk.split_off(self.objects.now()));
            }
            let Some(answer) = self.answer(Ask::Get(&chunk))? else {
                self.objects.missed(chunk.len());
                waiting.push_front(chunk);
                continue;
            };
            let (asked, is_refused) = (chunk.len(), answer.status != 0);
            let is_least = self.objects.is_least(asked);
            values.extend(answer.values.into_iter().filter(|(oid, _)| !is_refused && chunk.contains(oid)));
            chunk.retain(|oid| !values.contains_key(oid));
            let culprit = usize::try_from(answer.place).ok().and_then(|place| place.checked_sub(1));
            match (answer.status, culprit.filter(|place| *place < asked)) {
                (status::NOT_AUTHORIZED, _) => return Err(self.describe(&Trouble::Said(UNAUTHORIZED.into()))),
                (0, _) if chunk.len() < asked => self.objects.got(asked - chunk.len(), asked),
                // A single object, and no value for it.
                (status, _) if is_least => {
                    values.extend(chunk.drain(..).map(|oid| (oid, Value::None(fault(status)))));
                }
                (0, _) => self.objects.got(asked / 2, asked),
                (status::TOO_BIG, _) => self.objects.too_much(asked),
                (status::NO_SUCH_NAME, Some(place)) => {
                    values.insert(chunk.remove(place), Value::None(fault(status::NO_SUCH_NAME)));
                }
                // The object named by the agent is requested alone, and the rest in halves. That shows whether the
                // object is the problem or the size.
                (_, culprit) => {
                    waiting.extend(culprit.map(|place| vec![chunk.remove(place)]));
                    waiting.push_front(chunk.split_off(chunk.len() / 2));
                }
            }
            waiting.push_front(chunk);
        }
        Ok(())
    }

    fn walk(&mut self, root: &Oid, walked: &mut Walked) -> Result<(), String> {
        let mut last = root.clone();
        loop {
            let asked = if self.codec.has_bulk() { self.rows.now() } else { 0 };
            let ask = if asked > 0 { Ask::Bulk(&last, asked as u32) } else { Ask::Next(&last) };
            let Some(answer) = self.answer(ask)? else {
                self.rows.missed(asked);
                continue;
            };
            match answer.status {
                0 if !answer.values.is_empty() => self.rows.got(asked, asked),
                status::NO_SUCH_NAME if asked == 0 => return Ok(()),
                status if asked == 0 => {
                    self.rows.begin(false);
                    walked.broken = Some(fault(status).into());
                    return Ok(());
                }
                status::TOO_BIG => {
                    self.rows.too_much(asked);
                    continue;
                }
                _ => {
                    self.rows.refused();
                    continue;
                }
            }
            for (oid, value) in answer.values {
                if value == Value::End || oid.index(root).is_none() {
                    return Ok(());
                }
                if oid <= last {
                    walked.broken = Some(format!("goes in circles: behind {last} the agent has {oid}"));
                    return Ok(());
                }
                if walked.rows.len() == MOST_ROWS {
                    walked.broken = Some(format!("has more than {MOST_ROWS} rows"));
                    return Ok(());
                }
                last = oid.clone();
                walked.rows.push((oid, value));
            }
        }
    }

    /// Sends one request. `None`: no answer, so the caller should retry, with a smaller request if the agent answers
    /// those.
    fn answer(&mut self, ask: Ask) -> Result<Option<Answer>, String> {
        let trouble = match self.attempt(ask) {
            Ok(answer) => {
                self.answered = true;
                (self.silences, self.trouble) = (0, None);
                return Ok(Some(answer));
            }
            Err(trouble) => trouble,
        };
        let is_least = match ask {
            Ask::Get(oids) => self.objects.is_least(oids.len()),
            Ask::Next(_) => true,
            Ask::Bulk(..) => false,
        };
        let is_final = matches!(trouble, Trouble::Said(_) | Trouble::Late);
        if !is_final {
            self.codec.require_discovery();
            self.codec.try_other_version();
        }
        // The error before is more informative than the passed deadline.
        let trouble = if matches!(trouble, Trouble::Late) { self.trouble.take().unwrap_or(trouble) } else { trouble };
        let is_at_end = self.silences == self.retry_policy.retries && (is_least || !self.answered);
        if is_final || is_at_end {
            return Err(self.describe(&trouble));
        }
        self.trouble = Some(trouble);
        self.silences = (self.silences + 1).min(self.retry_policy.retries);
        Ok(None)
    }

    /// Sends one request, to each address of the host until one answers. For SNMPv3, discovers the agent's engine first
    /// if necessary.
    fn attempt(&mut self, ask: Ask) -> Result<Answer, Trouble> {
        let mut addresses = VecDeque::new();
        if self.line.is_none() {
            let until = Instant::now().checked_add(self.retry_policy.timeout).unwrap_or(self.deadline);
            addresses.extend(self.host.addresses(until.min(self.deadline)).map_err(Trouble::Said)?);
        }
        let mut first = None;
        loop {
            let line = match (self.line.take(), addresses.pop_front()) {
                (Some(line), _) => line,
                (None, None) => return Err(first.unwrap_or(Trouble::Nobody)),
                (None, Some(address)) => match Line::new(address) {
                    Ok(line) => line,
                    Err(error) => {
                        first.get_or_insert(Trouble::Said(plain(&error)));
                        continue;
                    }
                },
            };
            match self.converse(&line, ask) {
                Ok(answer) => {
                    self.line = Some(line);
                    return Ok(answer);
                }
                Err(trouble @ (Trouble::Said(_) | Trouble::Late)) => return Err(trouble),
                Err(trouble) => _ = first.get_or_insert(trouble),
            }
        }
    }

    fn converse(&mut self, line: &Line, ask: Ask) -> Result<Answer, Trouble> {
        let mut is_known = false;
        for _ in 0..CHANGES {
            if let Some(usm) = self.codec.undiscovered() {
                let id = number();
                let request = Some(usm.discovery(id));
                let mut exchange = Exchange::new(line, self.retry_policy.timeout, self.deadline, &mut self.buffer);
                match exchange.hear(request, false, |bytes| usm.discover(id, bytes))? {
                    Received::Refused(words) => return Err(Trouble::Said(words)),
                    _ => is_known = true,
                }
            }
            let id = number();
            let request = self.codec.request(id, ask);
            let codec = &mut self.codec;
            let mut exchange = Exchange::new(line, self.retry_policy.timeout, self.deadline, &mut self.buffer);
            match exchange.hear(request, is_known, |bytes| codec.read(id, bytes))? {
                Received::Answer(answer) => return Ok(answer),
                Received::Refused(words) => return Err(Trouble::Said(words)),
                Received::Lost => self.codec.require_discovery(),
                Received::Again | Received::Stray => {}
            }
        }
        Err(Trouble::Said("the agent's engine id or clock is another in every answer".into()))
    }

    /// The error message, with the remedy.
    fn describe(&self, trouble: &Trouble) -> String {
        let words = match trouble {
            Trouble::Said(words) => words.clone(),
            Trouble::Late => "the deadline of the tick came before all was asked".into(),
            Trouble::Nobody => "nobody listens there; is the agent running, and are server and port right?".into(),
            Trouble::Silence { waited, is_known: true, .. } => format!(
                "the agent tells its engine id, but gives no answer within {:.1} s to what this user asks; with authPriv that \
                 is most often a wrong privacy passphrase or protocol",
                waited.as_secs_f64()
            ),
            Trouble::Silence { waited, strays, .. } => {
                let hint = match self.codec {
                    Codec::User(_) => "is the agent running, does it speak SNMPv3, and are server and port right?",
                    Codec::Community { version: 0, .. } | Codec::Community { is_open: true, .. } => {
                        "is the agent running, and are server, port and community right?"
                    }
                    Codec::Community { .. } => {
                        "is the agent running, are server, port and community right, and does it speak SNMPv2c \
                         (else set version: 1)?"
                    }
                };
                let strays = if *strays { ", but datagrams that are none" } else { "" };
                format!("no answer within {:.1} s{strays}; {hint}", waited.as_secs_f64())
            }
        };
        format!("{}: {words}", self.host.shown())
    }
}

/// Splits the objects into lists that fit into one request each.
fn chunks(oids: &[Oid]) -> VecDeque<Vec<Oid>> {
    let mut all: VecDeque<Vec<Oid>> = VecDeque::new();
    let mut size = REQUEST;
    for oid in oids {
        let own = oid.to_ber().len() + BESIDE;
        if size + own > REQUEST {
            all.push_back(Vec::new());
            size = 0;
        }
        size += own;
        if let Some(chunk) = all.back_mut() {
            chunk.push(oid.clone());
        }
    }
    all
}

/// What an error status means (RFC 3416).
fn fault(status: u32) -> &'static str {
    match status {
        0 => "nothing that can be read",
        status::TOO_BIG => "too big for an answer",
        status::NO_SUCH_NAME => "no such object",
        5 => "a general failure of the agent",
        6 => "no access",
        _ => "an error of the agent",
    }
}

/// A random request id of 31 bits. The answer must have the same id.
fn number() -> u32 {
    random() as u32 >> 1
}

impl Line {
    /// The socket accepts datagrams from any address, because a device with several addresses may answer from another
    /// one. IP_RECVERR still reports that the port is unreachable.
    fn new(address: SocketAddr) -> io::Result<Line> {
        let socket = match address {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
        };
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
        }
        Ok(Line { socket, address })
    }
}

const UNAUTHORIZED: &str = "the agent does not let this user see what is asked for; its security_level may be too low, or its view \
     too small";

/// One request and its answer.
struct Exchange<'a> {
    line: &'a Line,
    begun: Instant,
    until: Instant,
    buffer: &'a mut Vec<u8>,
}

impl<'a> Exchange<'a> {
    fn new(line: &'a Line, timeout: Duration, deadline: Instant, buffer: &'a mut Vec<u8>) -> Exchange<'a> {
        let begun = Instant::now();
        let until = begun.checked_add(timeout).unwrap_or(deadline).min(deadline);
        buffer.resize(DATAGRAM, 0);
        Exchange { line, begun, until, buffer }
    }

    /// Sends the request, and reads datagrams until one is no stray.
    fn hear(
        &mut self,
        request: Option<Vec<u8>>,
        is_known: bool,
        mut read: impl FnMut(&[u8]) -> Received,
    ) -> Result<Received, Trouble> {
        let request = request.ok_or_else(|| Trouble::Said("the question cannot be put into a message".into()))?;
        if self.begun >= self.until {
            return Err(Trouble::Late);
        }
        self.line.socket.send_to(&request, self.line.address).map_err(|error| refused(&error))?;
        let mut strays = false;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Trouble::Silence { waited: self.begun.elapsed(), strays, is_known });
            }
            self.line.socket.set_read_timeout(Some(left)).map_err(|error| refused(&error))?;
            let length = match self.line.socket.recv(self.buffer) {
                Ok(length) => length,
                Err(error) if is_wait(&error) => continue,
                Err(error) => return Err(refused(&error)),
            };
            match read(self.buffer.get(..length).unwrap_or_default()) {
                Received::Stray => strays = true,
                heard => return Ok(heard),
            }
        }
    }
}

/// Whether the error means that nothing has arrived yet. An unreachable network may recover before the timeout.
fn is_wait(error: &io::Error) -> bool {
    use ErrorKind::{HostUnreachable, Interrupted, NetworkUnreachable, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | HostUnreachable | NetworkUnreachable)
}

fn refused(error: &io::Error) -> Trouble {
    match error.kind() {
        ErrorKind::ConnectionRefused => Trouble::Nobody,
        _ => Trouble::Said(plain(error)),
    }
}
