//! SNMPv3 with the user-based security model: signed and encrypted messages, discovery of the agent's engine, and
//! reports (RFC 3412, 3414).

use super::keys::{Keys, is_same};
use super::message::{Ask, Received, answer, pdu};
use super::{Security, User, random};
use crate::model::parse::ber::{self, Reader};
use std::time::Instant;

const VERSION: u32 = 3;
/// The user-based security model.
const MODEL: u32 = 3;
/// Maximum size of a UDP datagram.
const MOST_BYTES: u32 = 65_507;

/// Message flags.
const SIGNED: u8 = 1;
const ENCRYPTED: u8 = 2;
const REPORTABLE: u8 = 4;

/// PDU type of a report.
const REPORT: u8 = 0xa8;

/// A user, and the state of the agent's engine.
pub struct Usm {
    user: User,
    /// `None` until the engine is discovered for the first time.
    engine: Option<Engine>,
    needs_discovery: bool,
}

struct Engine {
    id: Vec<u8>,
    /// `None` for a user without signing.
    keys: Option<Keys>,
    boots: u32,
    /// The engine's time in seconds, and when it was received.
    time: u32,
    received_at: Instant,
}

impl Usm {
    pub fn new(user: User) -> Usm {
        Usm { user, engine: None, needs_discovery: true }
    }

    /// Whether the engine must be discovered before the next request.
    pub fn needs_discovery(&self) -> bool {
        self.needs_discovery
    }

    /// The next request must be preceded by a discovery.
    pub fn require_discovery(&mut self) {
        self.needs_discovery = true;
    }

    /// The request to which an agent answers with its engine id and clock.
    pub fn discovery(&self, id: u32) -> Vec<u8> {
        let nobody = Header { id, flags: REPORTABLE, ..Header::default() };
        nobody.message(&[], &scoped(&[], &pdu(id, Ask::Get(&[]))))
    }

    /// Reads the answer to a discovery. Keys are computed only for a new engine id, because that takes milliseconds.
    pub fn discover(&mut self, id: u32, bytes: &[u8]) -> Received {
        let Some(header) = Header::read(bytes).filter(|header| header.id == id) else { return Received::Stray };
        if !(1..=64).contains(&header.engine.len()) || header.plain().and_then(report).is_none() {
            return Received::Stray;
        }
        let known = self.engine.take().filter(|known| known.id == header.engine);
        let keys = known.map_or_else(|| Keys::new(&self.user.security, header.engine), |known| known.keys);
        if keys.is_none() && !matches!(self.user.security, Security::Plain) {
            return Received::Refused("no keys can be made of the passphrases".into());
        }
        let Header { boots, time, .. } = header;
        self.engine = Some(Engine { id: header.engine.into(), keys, boots, time, received_at: Instant::now() });
        self.needs_discovery = false;
        Received::Again
    }

    /// Encodes a request; `None` before the first discovery, or if encryption fails.
    pub fn request(&self, id: u32, pdu: &[u8]) -> Option<Vec<u8>> {
        let engine = self.engine.as_ref()?;
        let (boots, time) = (engine.boots, engine.now());
        let mut header = Header { id, flags: REPORTABLE, engine: &engine.id, boots, time, ..Header::default() };
        header.user = self.user.name.as_bytes();
        let plain = scoped(&engine.id, pdu);
        let Some(keys) = &engine.keys else { return Some(header.message(&[], &plain)) };
        header.flags |= SIGNED;
        let (salt, encrypted);
        let data = if keys.encrypts() {
            header.flags |= ENCRYPTED;
            (encrypted, salt) = keys.encrypt(&plain, boots, time, random())?;
            header.salt = &salt;
            ber::part(ber::OCTETS, &encrypted)
        } else {
            plain
        };
        // The signature is computed over the message with zeros in its place.
        let zeros = header.message(&vec![0; keys.digest.signature_bytes()], &data);
        Some(header.message(&keys.sign(&[&zeros])?, &data))
    }

    /// Decodes a datagram received after the request with this id.
    pub fn read(&mut self, id: u32, bytes: &[u8]) -> Received {
        let Some(header) = Header::read(bytes).filter(|header| header.id == id) else { return Received::Stray };
        let Some(engine) = &mut self.engine else { return Received::Lost };
        let is_signed = header.flags & SIGNED != 0;
        if let Some(report) = header.plain().and_then(report).filter(|_| !is_signed) {
            return self.reported(report, false);
        }
        if header.engine != engine.id {
            return Received::Lost;
        }
        if is_signed != engine.keys.is_some() || header.user != self.user.name.as_bytes() {
            return Received::Stray;
        }
        let decrypted;
        let plain = match &engine.keys {
            Some(keys) if !header.is_signed_by(keys) => return Received::Stray,
            Some(keys) if header.flags & ENCRYPTED != 0 => {
                decrypted = header.decrypted(keys);
                decrypted.as_deref()
            }
            _ => header.plain(),
        };
        let Some(content) = plain.and_then(content) else { return Received::Stray };
        // The answer is signed and has our random request id, so it is recent, and its clock can be trusted.
        (engine.boots, engine.time, engine.received_at) = (header.boots, header.time, Instant::now());
        let is_as_asked = header.flags & ENCRYPTED != 0 || !engine.keys.as_ref().is_some_and(Keys::encrypts);
        match content {
            (REPORT, _) => self.reported(plain.and_then(report).unwrap_or_default(), true),
            _ => answer(content, id).filter(|_| is_as_asked).map_or(Received::Stray, Received::Answer),
        }
    }

    /// How to react to a report (RFC 3414, 5).
    fn reported(&self, report: u32, is_signed: bool) -> Received {
        let name = &self.user.name;
        let refused = |words: String| Received::Refused(words);
        match report {
            1 => refused(format!(
                "the agent does not take user {name:?} at this security_level, or not with these protocols"
            )),
            2 if is_signed => Received::Again,
            2 | 4 => Received::Lost,
            3 => refused(format!("the agent knows no user {name:?}")),
            5 => refused(format!(
                "the agent refuses the signature of user {name:?}: the authentication passphrase or its protocol is wrong"
            )),
            6 => refused(format!(
                "the agent cannot decrypt what user {name:?} asks: the privacy passphrase or its protocol is wrong"
            )),
            _ => refused("the agent sends a report instead of an answer".into()),
        }
    }
}

impl Engine {
    /// The engine's time at this moment.
    fn now(&self) -> u32 {
        // Zeros mean that its clock is not known yet (RFC 3414, 4).
        let since = if self.boots == 0 { 0 } else { self.received_at.elapsed().as_secs() };
        u64::from(self.time).saturating_add(since).min(i32::MAX as u64) as u32
    }
}

/// A message of version 3 without its PDU.
#[derive(Default)]
struct Header<'a> {
    id: u32,
    flags: u8,
    engine: &'a [u8],
    boots: u32,
    time: u32,
    user: &'a [u8],
    signature: &'a [u8],
    salt: &'a [u8],
    /// The signed bytes: the message before and after the signature.
    around: [&'a [u8]; 2],
    /// The scoped PDU, perhaps encrypted, with tag and content.
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// `None` for other versions, and for values that RFC 3412 and 3414 do not allow.
    fn read(bytes: &'a [u8]) -> Option<Header<'a>> {
        let clock = |reader: &mut Reader| reader.number().filter(|number| (0..=i32::MAX.into()).contains(number));
        let mut message = Reader(Reader(bytes).tagged(ber::SEQUENCE)?);
        message.count().filter(|version| *version == VERSION)?;
        let mut global = Reader(message.tagged(ber::SEQUENCE)?);
        let id = global.count()?;
        global.number()?;
        let flags = *global.tagged(ber::OCTETS)?.first()?;
        let mut security = Reader(Reader(message.tagged(ber::OCTETS)?).tagged(ber::SEQUENCE)?);
        let engine = security.tagged(ber::OCTETS)?;
        let (boots, time) = (clock(&mut security)? as u32, clock(&mut security)? as u32);
        let user = security.tagged(ber::OCTETS)?;
        let signature = security.tagged(ber::OCTETS)?;
        let salt = security.tagged(ber::OCTETS)?;
        let at = signature.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
        let (before, rest) = bytes.split_at_checked(at)?;
        let around = [before, rest.get(signature.len()..)?];
        Some(Header { id, flags, engine, boots, time, user, signature, salt, around, data: message.0 })
    }

    /// The scoped PDU if it is not encrypted.
    fn plain(&self) -> Option<&'a [u8]> {
        (self.flags & ENCRYPTED == 0).then_some(self.data)
    }

    fn decrypted(&self, keys: &Keys) -> Option<Vec<u8>> {
        let encrypted = Reader(self.data).tagged(ber::OCTETS)?;
        keys.decrypt(encrypted, self.boots, self.time, self.salt.try_into().ok()?)
    }

    fn is_signed_by(&self, keys: &Keys) -> bool {
        let [before, behind] = self.around;
        let signature = keys.sign(&[before, &vec![0; keys.digest.signature_bytes()], behind]);
        signature.is_some_and(|signature| is_same(&signature, self.signature))
    }

    /// Encodes the message with this signature and scoped PDU.
    fn message(&self, signature: &[u8], data: &[u8]) -> Vec<u8> {
        let octets = |content: &[u8]| ber::part(ber::OCTETS, content);
        let global = [ber::integer(self.id), ber::integer(MOST_BYTES), octets(&[self.flags]), ber::integer(MODEL)];
        let security = [
            octets(self.engine),
            ber::integer(self.boots),
            ber::integer(self.time),
            octets(self.user),
            octets(signature),
            octets(self.salt),
        ];
        let sequence = |parts: &[Vec<u8>]| ber::part(ber::SEQUENCE, &parts.concat());
        sequence(&[ber::integer(VERSION), sequence(&global), octets(&sequence(&security)), data.to_vec()])
    }
}

/// A PDU with its context: the engine id and an empty name.
fn scoped(engine: &[u8], pdu: &[u8]) -> Vec<u8> {
    ber::part(ber::SEQUENCE, &[&ber::part(ber::OCTETS, engine), &ber::part(ber::OCTETS, &[]), pdu].concat())
}

/// The PDU in a scoped PDU: its tag and content.
fn content(plain: &[u8]) -> Option<(u8, &[u8])> {
    let mut scoped = Reader(Reader(plain).tagged(ber::SEQUENCE)?);
    scoped.tagged(ber::OCTETS)?;
    scoped.tagged(ber::OCTETS)?;
    scoped.part()
}

/// The number of the reported counter below usmStats; 0 for any other object. `None` if it is no report.
fn report(plain: &[u8]) -> Option<u32> {
    /// The OID of usmStats. A counter in it is one more number and a 0.
    const STATS: &[u8] = &[0x2b, 0x06, 0x01, 0x06, 0x03, 0x0f, 0x01, 0x01];
    let (_, content) = content(plain).filter(|(tag, _)| *tag == REPORT)?;
    let mut pdu = Reader(content);
    // Request id, error status, error index.
    for _ in 0..3 {
        pdu.number()?;
    }
    let first =
        Reader(pdu.tagged(ber::SEQUENCE)?).tagged(ber::SEQUENCE).and_then(|pair| Reader(pair).tagged(ber::OBJECT));
    match first.and_then(|oid| oid.strip_prefix(STATS)) {
        Some([number, 0]) => Some((*number).into()),
        _ => Some(0),
    }
}
