//! One agent: its socket, what is asked of it, and how it is asked again.

use super::message::{Answer, Ask, Codec, Heard, status};
use super::{Access, Asked, Patience, Value, Walked};
use crate::fetch::host::Host;
use crate::model::error::plain;
use crate::model::parse::oid::Oid;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The most that UDP can bring.
const DATAGRAM: usize = 65_507;
/// Bytes of objects in one request; with its head, and with numbers for answers, it stays below 1400.
const REQUEST: usize = 1100;
/// What an answer has beside the name of an object.
const BESIDE: usize = 16;
/// Rows that one request of a walk asks for.
const REPETITIONS: u32 = 25;
/// Rows after which a walk is ended.
const MOST_ROWS: usize = 10_000;
/// Times in a row that an agent may say something else about its engine.
const CHANGES: usize = 4;

/// An agent from tick to tick.
pub struct Agent {
    host: Host,
    codec: Codec,
    patience: Patience,
    gets: Vec<Oid>,
    walks: Vec<Oid>,
    /// Connected to the address that answers.
    socket: Option<UdpSocket>,
    /// In this tick.
    answered: bool,
    /// When it was asked in vain, unless it has answered since.
    failed: Option<Instant>,
    deadline: Instant,
    buffer: Vec<u8>,
}

/// Why there is no answer.
enum Trouble {
    /// Nobody listens there.
    Nobody,
    /// Nothing came, or only strays. A known engine has answered when it was asked for itself.
    Silence { waited: Duration, strays: bool, is_known: bool },
    /// The deadline of the tick came before the question.
    Late,
    /// In words, and asking again would not help.
    Said(String),
}

impl Agent {
    /// An agent that is to be asked for `gets`, and for all below `walks`.
    pub fn new(host: Host, access: Access, patience: Patience, gets: Vec<Oid>, walks: Vec<Oid>) -> Agent {
        Agent {
            host,
            codec: Codec::new(access),
            patience,
            gets,
            walks,
            socket: None,
            answered: false,
            failed: None,
            deadline: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Where it stands in the row of those to be asked: behind those that answer, and behind those asked in vain before.
    pub(super) fn turn(&self) -> Option<Instant> {
        self.failed
    }

    /// Asks for everything, until the deadline at the latest.
    pub(super) fn ask(&mut self, deadline: Instant) -> Asked {
        let begun = Instant::now();
        if begun >= deadline {
            return Asked { trouble: Some(self.told(Trouble::Late)), ..Asked::default() };
        }
        self.deadline = deadline;
        self.answered = false;
        let mut asked = Asked::default();
        asked.trouble = self.ask_for_all(&mut asked).err();
        asked.answered = Some(self.answered);
        self.failed = asked.trouble.as_ref().map(|_| begun);
        if asked.trouble.is_some() {
            // The name may lead elsewhere by now.
            self.socket = None;
            self.codec.lose();
        }
        self.buffer = Vec::new();
        asked.took = begun.elapsed();
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
            let answer = self.answer(Ask::Get(&chunk))?;
            let is_refused = answer.status != 0;
            values.extend(answer.values.into_iter().filter(|(oid, _)| !is_refused && chunk.contains(oid)));
            let culprit = match answer.status {
                status::NOT_AUTHORIZED => return Err(self.told(Trouble::Said(UNAUTHORIZED.into()))),
                0 => chunk.iter().position(|oid| !values.contains_key(oid)),
                _ if chunk.len() == 1 => Some(0),
                _ => (answer.place as usize).checked_sub(1).filter(|place| *place < chunk.len()),
            };
            match culprit {
                Some(place) => {
                    values.insert(chunk.remove(place), Value::None(fault(answer.status)));
                    chunk.retain(|oid| !values.contains_key(oid));
                }
                None if is_refused => waiting.push_front(chunk.split_off(chunk.len() / 2)),
                None => continue,
            }
            if !chunk.is_empty() {
                waiting.push_front(chunk);
            }
        }
        Ok(())
    }

    fn walk(&mut self, root: &Oid, walked: &mut Walked) -> Result<(), String> {
        let mut last = root.clone();
        let mut repetitions = if self.codec.has_bulk() { REPETITIONS } else { 1 };
        loop {
            let ask = if self.codec.has_bulk() { Ask::Bulk(&last, repetitions) } else { Ask::Next(&last) };
            let answer = self.answer(ask)?;
            match answer.status {
                0 => {}
                status::NO_SUCH_NAME if !self.codec.has_bulk() => return Ok(()),
                status::TOO_BIG if repetitions > 1 => {
                    repetitions /= 5;
                    continue;
                }
                other => {
                    walked.broken = Some(fault(other).into());
                    return Ok(());
                }
            }
            if answer.values.is_empty() {
                walked.broken = Some(fault(0).into());
                return Ok(());
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

    /// Asks until there is an answer, or patience is at its end.
    fn answer(&mut self, ask: Ask) -> Result<Answer, String> {
        let mut addresses = Vec::new();
        let mut trouble = Trouble::Late;
        for _ in 0..=self.patience.retries {
            if self.socket.is_none() && addresses.is_empty() {
                let until = Instant::now().checked_add(self.patience.timeout).unwrap_or(self.deadline);
                let found = self.host.addresses(until.min(self.deadline));
                addresses = found.map_err(|words| self.told(Trouble::Said(words)))?;
            }
            match self.attempt(ask, &mut addresses) {
                Ok(answer) => {
                    self.answered = true;
                    return Ok(answer);
                }
                // What was found out before says more.
                Err(Trouble::Late) => break,
                Err(found) => trouble = found,
            }
            if matches!(trouble, Trouble::Said(_)) {
                break;
            }
            self.codec.lose();
            self.codec.try_other_version();
        }
        Err(self.told(trouble))
    }

    /// Asks once at each address, until one answers. What an agent of version 3 says of itself is followed on the way.
    fn attempt(&mut self, ask: Ask, addresses: &mut Vec<SocketAddr>) -> Result<Answer, Trouble> {
        let mut first = None;
        loop {
            let socket = match self.socket.take() {
                Some(socket) => socket,
                None if addresses.is_empty() => return Err(first.unwrap_or(Trouble::Nobody)),
                None => match connected(addresses.remove(0)) {
                    Ok(socket) => socket,
                    Err(error) => {
                        first.get_or_insert(Trouble::Said(plain(&error)));
                        continue;
                    }
                },
            };
            match self.converse(&socket, ask) {
                Ok(answer) => {
                    self.socket = Some(socket);
                    return Ok(answer);
                }
                Err(trouble @ (Trouble::Said(_) | Trouble::Late)) => return Err(trouble),
                Err(trouble) => _ = first.get_or_insert(trouble),
            }
        }
    }

    fn converse(&mut self, socket: &UdpSocket, ask: Ask) -> Result<Answer, Trouble> {
        let mut is_known = false;
        for _ in 0..CHANGES {
            if let Some(usm) = self.codec.undiscovered() {
                let id = random();
                let request = usm.discovery(id);
                let mut exchange = Exchange::new(socket, self.patience.timeout, self.deadline, &mut self.buffer);
                match exchange.hear(request, false, |bytes| usm.discover(id, bytes))? {
                    Heard::Refused(words) => return Err(Trouble::Said(words)),
                    _ => is_known = true,
                }
            }
            let id = random();
            let request = self.codec.request(id, ask);
            let codec = &mut self.codec;
            let mut exchange = Exchange::new(socket, self.patience.timeout, self.deadline, &mut self.buffer);
            match exchange.hear(request, is_known, |bytes| codec.read(id, bytes))? {
                Heard::Answer(answer) => return Ok(answer),
                Heard::Refused(words) => return Err(Trouble::Said(words)),
                Heard::Lost => self.codec.lose(),
                Heard::Again | Heard::Stray => {}
            }
        }
        Err(Trouble::Said("the agent's engine id or clock is another in every answer".into()))
    }

    /// The whole sentence, with the remedy.
    fn told(&self, trouble: Trouble) -> String {
        let words = match trouble {
            Trouble::Said(words) => words,
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
                let strays = if strays { ", but datagrams that are none" } else { "" };
                format!("no answer within {:.1} s{strays}; {hint}", waited.as_secs_f64())
            }
        };
        format!("{}: {words}", self.host.shown())
    }
}

/// Objects in lists that fit into a request each.
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

/// Why there is no value (RFC 3416).
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

/// A number that nobody else can know.
fn random() -> i32 {
    (RandomState::new().build_hasher().finish() & 0x7fff_ffff) as i32
}

fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(address)?;
    Ok(socket)
}

const UNAUTHORIZED: &str = "the agent does not let this user see what is asked for; its security_level may be too low, or its view \
     too small";

/// One question on the wire, and its answer.
struct Exchange<'a> {
    socket: &'a UdpSocket,
    begun: Instant,
    until: Instant,
    buffer: &'a mut Vec<u8>,
}

impl<'a> Exchange<'a> {
    fn new(socket: &'a UdpSocket, timeout: Duration, deadline: Instant, buffer: &'a mut Vec<u8>) -> Exchange<'a> {
        let begun = Instant::now();
        let until = begun.checked_add(timeout).unwrap_or(deadline).min(deadline);
        buffer.resize(DATAGRAM, 0);
        Exchange { socket, begun, until, buffer }
    }

    /// Sends the request, and reads until something is no stray.
    fn hear(
        &mut self,
        request: Option<Vec<u8>>,
        is_known: bool,
        mut read: impl FnMut(&[u8]) -> Heard,
    ) -> Result<Heard, Trouble> {
        let request = request.ok_or_else(|| Trouble::Said("the question cannot be put into a message".into()))?;
        if self.begun >= self.until {
            return Err(Trouble::Late);
        }
        self.socket.send(&request).map_err(|error| refused(&error))?;
        let mut strays = false;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Trouble::Silence { waited: self.begun.elapsed(), strays, is_known });
            }
            self.socket.set_read_timeout(Some(left)).map_err(|error| refused(&error))?;
            let length = match self.socket.recv(self.buffer) {
                Ok(length) => length,
                Err(error) if is_wait(&error) => continue,
                Err(error) => return Err(refused(&error)),
            };
            match read(self.buffer.get(..length).unwrap_or_default()) {
                Heard::Stray => strays = true,
                heard => return Ok(heard),
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn refused(error: &io::Error) -> Trouble {
    match error.kind() {
        ErrorKind::ConnectionRefused => Trouble::Nobody,
        _ => Trouble::Said(plain(error)),
    }
}
