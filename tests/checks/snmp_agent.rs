//! An SNMP agent on loopback, with hand-written BER, that responds as a test requires.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub const GET: u8 = 0xa0;
pub const NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
pub const BULK: u8 = 0xa5;
const REPORT: u8 = 0xa8;

/// Objects in the order of their OIDs, each with its value as tag, length and content.
pub type Objects = BTreeMap<Vec<u32>, Vec<u8>>;

/// A received request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// As on the wire: 0, 1 or 3.
    pub version: i64,
    pub community: Vec<u8>,
    /// That of the message in version 3; otherwise that of the request.
    pub message: i64,
    /// Of version 3: flags, engine id, boots, time, user.
    pub engine: Vec<u8>,
    pub boots: i64,
    pub time: i64,
    pub user: Vec<u8>,
    pub kind: u8,
    pub id: i64,
    pub repetitions: i64,
    pub oids: Vec<Vec<u32>>,
    pub bytes: usize,
}

/// The datagrams to send, each after a pause.
pub type Reply = Vec<(Duration, Vec<u8>)>;

/// Ends when dropped.
pub struct Agent {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Agent {
        Agent::answering_from(None, answer)
    }

    /// An agent that responds from another address and port than those that it listens on.
    pub fn answering_from(address: Option<&str>, answer: impl Fn(&Request) -> Reply + Send + 'static) -> Agent {
        let other = address.map(|address| UdpSocket::bind((address, 0)).unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (requests, ending) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, end) = (requests.clone(), ending.clone());
        let serve = move || {
            let mut buffer = vec![0; 65536];
            while !end.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let request = read(&buffer[..length]).expect("a request that can be read");
                all.lock().unwrap().push(request.clone());
                for (pause, bytes) in answer(&request) {
                    thread::sleep(pause);
                    if end.load(Ordering::SeqCst) {
                        break;
                    }
                    let _ = other.as_ref().unwrap_or(&socket).send_to(&bytes, from);
                }
            }
        };
        Agent { port, requests, ending, thread: Some(thread::spawn(serve)) }
    }

    /// A correct agent, with objects that can be changed.
    pub fn of(objects: &Arc<Mutex<Objects>>) -> Agent {
        let objects = objects.clone();
        Agent::start(move |request| vec![(Duration::ZERO, honest(request, &objects.lock().unwrap()))])
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The response datagram of a correct agent.
pub fn honest(request: &Request, objects: &Objects) -> Vec<u8> {
    let mut found: Vec<(Vec<u32>, Vec<u8>)> = Vec::new();
    let is_old = request.version == 0;
    for (place, oid) in request.oids.iter().enumerate() {
        let mut behind = objects.range(oid.clone()..).filter(|(own, _)| *own != oid);
        let mut next = |end: &[u32]| match behind.next() {
            Some((oid, value)) => (oid.clone(), value.clone()),
            None => (end.to_vec(), vec![0x82, 0]),
        };
        let pairs = match request.kind {
            GET => vec![(oid.clone(), objects.get(oid).cloned().unwrap_or_else(|| vec![0x80, 0]))],
            NEXT => vec![next(oid)],
            _ => (0..request.repetitions).map(|_| next(oid)).collect(),
        };
        let is_missing = pairs.iter().any(|(_, value)| matches!(value[0], 0x80 | 0x82) || value[0] == 0x46);
        if is_old && is_missing {
            let asked: Vec<_> = request.oids.iter().map(|oid| (oid.clone(), tlv(5, &[]))).collect();
            return response(request, 2, place as i64 + 1, &asked);
        }
        found.extend(pairs);
    }
    response(request, 0, 0, &found)
}

/// An unsigned response to this request.
pub fn response(request: &Request, status: i64, place: i64, values: &[(Vec<u32>, Vec<u8>)]) -> Vec<u8> {
    let pdu = pdu(RESPONSE, request.id, status, place, values);
    match request.version {
        3 => message(request, &request.engine, request.boots, request.time, &pdu),
        _ => tlv(0x30, &[int(2, request.version), tlv(4, &request.community), pdu].concat()),
    }
}

/// A report of this counter below usmStats, from an engine with this id and clock.
pub fn report(request: &Request, number: u32, engine: &[u8], boots: i64, time: i64) -> Vec<u8> {
    let counter = (vec![1, 3, 6, 1, 6, 3, 15, 1, 1, number, 0], int(0x41, 1));
    message(request, engine, boots, time, &pdu(REPORT, request.id, 0, 0, &[counter]))
}

fn message(request: &Request, engine: &[u8], boots: i64, time: i64, pdu: &[u8]) -> Vec<u8> {
    let global = [int(2, request.message), int(2, 65507), tlv(4, &[0]), int(2, 3)].concat();
    let security =
        [tlv(4, engine), int(2, boots), int(2, time), tlv(4, &request.user), tlv(4, &[]), tlv(4, &[])].concat();
    let scoped = [&tlv(4, engine)[..], &tlv(4, &[]), pdu].concat();
    tlv(0x30, &[int(2, 3), tlv(0x30, &global), tlv(4, &tlv(0x30, &security)), tlv(0x30, &scoped)].concat())
}

pub fn pdu(kind: u8, id: i64, status: i64, place: i64, values: &[(Vec<u32>, Vec<u8>)]) -> Vec<u8> {
    let pair = |(name, value): &(Vec<u32>, Vec<u8>)| tlv(0x30, &[tlv(6, &oid(name)), value.clone()].concat());
    let list: Vec<u8> = values.iter().flat_map(pair).collect();
    tlv(kind, &[int(2, id), int(2, status), int(2, place), tlv(0x30, &list)].concat())
}

pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32;
    let head = match length {
        0..128 => vec![tag, length as u8],
        _ => [&[tag, 0x84][..], &length.to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// A number with this tag: 2 INTEGER, 0x41 Counter32, 0x42 Gauge32, 0x43 TimeTicks.
pub fn int(tag: u8, number: i64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let spare = |at: &usize| (bytes[*at] == 0 && bytes[at + 1] < 128) || (bytes[*at] == 255 && bytes[at + 1] > 127);
    let first = (0..7).find(|at| !spare(at)).unwrap_or(7);
    tlv(tag, &bytes[first..])
}

pub fn count64(number: u64) -> Vec<u8> {
    tlv(0x46, &[&[0][..], &number.to_be_bytes()].concat())
}

pub fn text(text: &str) -> Vec<u8> {
    tlv(4, text.as_bytes())
}

pub fn oid(numbers: &[u32]) -> Vec<u8> {
    let mut bytes = vec![(numbers[0] * 40 + numbers[1]) as u8];
    for number in &numbers[2..] {
        let digits: Vec<u8> = (0..5).rev().map(|place| (number >> (7 * place)) as u8 & 127).collect();
        let first = digits.iter().position(|digit| *digit != 0).unwrap_or(4);
        bytes.extend(digits[first..4].iter().map(|digit| digit | 128));
        bytes.push(digits[4]);
    }
    bytes
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (head, length) = match *rest.get(1)? {
        short @ 0..128 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 127);
            (2 + count, rest.get(2..2 + count)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    };
    let (tag, content) = (rest[0], rest.get(head..head + length)?);
    *rest = &rest[head + length..];
    Some((tag, content))
}

fn number(rest: &mut &[u8]) -> Option<i64> {
    let (_, content) = part(rest)?;
    let first = i64::from(*content.first()? as i8);
    Some(content[1..].iter().fold(first, |number, byte| number << 8 | i64::from(*byte)))
}

fn numbers(content: &[u8]) -> Vec<u32> {
    let mut all = vec![u32::from(content[0]) / 40, u32::from(content[0]) % 40];
    let mut number = 0;
    for byte in &content[1..] {
        number = number << 7 | u32::from(byte & 127);
        if byte & 128 == 0 {
            all.push(std::mem::take(&mut number));
        }
    }
    all
}

/// Parses a request of any version, except encrypted ones.
fn read(mut bytes: &[u8]) -> Option<Request> {
    let length = bytes.len();
    let (_, mut rest) = part(&mut bytes)?;
    let version = number(&mut rest)?;
    let (mut message, mut engine, mut boots, mut time, mut user) = (0, Vec::new(), 0, 0, Vec::new());
    let mut community = Vec::new();
    if version == 3 {
        message = number(&mut part(&mut rest)?.1)?;
        let (_, mut security) = part(&mut part(&mut rest)?.1)?;
        engine = part(&mut security)?.1.to_vec();
        (boots, time) = (number(&mut security)?, number(&mut security)?);
        user = part(&mut security)?.1.to_vec();
        rest = part(&mut rest)?.1;
        part(&mut rest)?;
        part(&mut rest)?;
    } else {
        community = part(&mut rest)?.1.to_vec();
    }
    let (kind, mut pdu) = part(&mut rest)?;
    let (id, _, repetitions) = (number(&mut pdu)?, number(&mut pdu)?, number(&mut pdu)?);
    let (_, mut list) = part(&mut pdu)?;
    let mut oids = Vec::new();
    while let Some((_, mut pair)) = part(&mut list) {
        oids.push(numbers(part(&mut pair)?.1));
    }
    Some(Request { version, community, message, engine, boots, time, user, kind, id, repetitions, oids, bytes: length })
}
