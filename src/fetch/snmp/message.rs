//! Requests of SNMP to bytes, and bytes to answers, with the user-based security of version 3 (RFC 3414). The only user of
//! snmp2, which signs and encrypts.

use super::{Access, Cipher, Digest, Security, User, Value};
use crate::model::parse::ber::{self, Reader};
use crate::model::parse::oid::Oid;
use snmp2::v3::{self, Auth, AuthErrorKind, AuthProtocol, KeyExtension};
use snmp2::{MessageType, Pdu, Varbinds};
use std::time::Instant;

/// What is asked of an agent.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    Get(&'a [Oid]),
    /// The one behind that.
    Next(&'a Oid),
    /// As many behind that.
    Bulk(&'a Oid, u32),
}

/// What a datagram turned out to be.
#[derive(Debug)]
pub enum Heard {
    Answer(Answer),
    /// No answer to that request, or one that cannot be read.
    Stray,
    /// The agent's clock was not known well enough: to be asked again.
    Again,
    /// The agent is another than before, or has forgotten itself: to be discovered, then asked again.
    Lost,
    /// Why the agent does not answer.
    Refused(String),
}

/// An answer as the agent gave it; a nonzero `status` says why there are no values, and `place`, from 1 on, whose fault it is.
#[derive(Debug)]
pub struct Answer {
    pub status: u32,
    pub place: u32,
    pub values: Vec<(Oid, Value)>,
}

/// Words for `status` (RFC 3416).
pub mod status {
    pub const TOO_BIG: u32 = 1;
    pub const NO_SUCH_NAME: u32 = 2;
    pub const NOT_AUTHORIZED: u32 = 16;
}

/// Messages with nothing in them, for snmp2 to begin with: a request of community and of user.
const OF_COMMUNITY: [u8; 20] = [
    0x30, 0x12, 0x02, 0x01, 0x01, 0x04, 0x00, 0xa0, 0x0b, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x30,
    0x00,
];
/// Where [`OF_COMMUNITY`] has the version: 0 is SNMPv1, 1 is SNMPv2c.
const VERSION_AT: usize = 4;
const OF_USER: [u8; 56] = [
    0x30, 0x36, 0x02, 0x01, 0x03, 0x30, 0x0c, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x04, 0x01, 0x00, 0x02, 0x01, 0x03,
    0x04, 0x10, 0x30, 0x0e, 0x04, 0x00, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00, 0x04, 0x00, 0x30,
    0x11, 0x04, 0x00, 0x04, 0x00, 0xa0, 0x0b, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x30, 0x00,
];

/// Bytes of a text that may be a number.
const LONGEST: usize = 100;

/// A report instead of an answer (RFC 3412), and the flags of a message.
const REPORT: u8 = 0xa8;
const SIGNED: u8 = 1;
const ENCRYPTED: u8 = 2;

/// How requests to one agent are made, and its answers read.
pub enum Codec {
    Community {
        version: u8,
        community: Vec<u8>,
        /// Both versions may be tried until one is answered.
        is_open: bool,
    },
    User(Box<Usm>),
}

impl Codec {
    pub fn new(access: Access) -> Codec {
        let of_community = |version, community: String, is_open| {
            let community = community.into();
            Codec::Community { version, community, is_open }
        };
        match access {
            Access::V1 { community } => of_community(0, community, false),
            Access::V2c { community } => of_community(1, community, false),
            Access::V2cOrV1 { community } => of_community(1, community, true),
            Access::V3(user) => Codec::User(Box::new(Usm { user, security: None, clock: None, is_lost: true })),
        }
    }

    /// Whether there is GETBULK.
    pub fn has_bulk(&self) -> bool {
        !matches!(self, Codec::Community { version: 0, .. })
    }

    /// The request; `None` where snmp2 cannot make it.
    pub fn request(&self, id: i32, ask: Ask) -> Option<Vec<u8>> {
        match self {
            Codec::Community { version, community, .. } => {
                let mut message = OF_COMMUNITY;
                *message.get_mut(VERSION_AT)? = *version;
                let list = list(ask);
                let mut pdu = Pdu::from_bytes(&message).ok()?;
                fill(&mut pdu, id, ask, &list);
                pdu.community = community;
                pdu.to_bytes().ok()
            }
            Codec::User(usm) => signed(&usm.now()?, id, ask),
        }
    }

    /// What the datagram says to the request of that number.
    pub fn read(&mut self, id: i32, bytes: &[u8]) -> Heard {
        match self {
            Codec::Community { version, community, is_open } => {
                let Ok(pdu) = Pdu::from_bytes(bytes) else { return Heard::Stray };
                let is_of = |version: u8| pdu.version().is_ok_and(|own| own as i64 == i64::from(version));
                let answer = answer(&pdu, id).filter(|_| is_of(*version) && pdu.community == community);
                *is_open &= answer.is_none();
                answer.map_or(Heard::Stray, Heard::Answer)
            }
            Codec::User(usm) => usm.read(id, bytes),
        }
    }

    /// The user's part, where that has to discover the agent first.
    pub fn undiscovered(&mut self) -> Option<&mut Usm> {
        match self {
            Codec::User(usm) if usm.is_lost => Some(usm),
            _ => None,
        }
    }

    /// The agent may be another than before, or have forgotten itself.
    pub fn lose(&mut self) {
        if let Codec::User(usm) = self {
            usm.is_lost = true;
        }
    }

    /// The agent may speak another version, where that is left open.
    pub fn try_other_version(&mut self) {
        if let Codec::Community { version, is_open: true, .. } = self {
            *version ^= 1;
        }
    }
}

/// Kind and numbers of a request.
fn fill<'a>(pdu: &mut Pdu<'a>, id: i32, ask: Ask, list: &'a [u8]) {
    let (kind, repetitions) = match ask {
        Ask::Get(_) => (MessageType::GetRequest, 0),
        Ask::Next(_) => (MessageType::GetNextRequest, 0),
        Ask::Bulk(_, repetitions) => (MessageType::GetBulkRequest, repetitions),
    };
    pdu.message_type = kind;
    pdu.req_id = id;
    // In a GETBULK the third number is how many are wanted.
    (pdu.error_status, pdu.error_index) = (0, repetitions);
    pdu.varbinds = Varbinds::from_bytes(list);
}

/// What is asked for, each with nothing as its value.
fn list(ask: Ask) -> Vec<u8> {
    let asked = match ask {
        Ask::Get(oids) => oids,
        Ask::Next(oid) | Ask::Bulk(oid, _) => std::slice::from_ref(oid),
    };
    let line = |oid: &Oid| {
        let pair = [ber::part(ber::OBJECT, &oid.to_ber()), ber::part(ber::NULL, &[])];
        ber::part(ber::SEQUENCE, &pair.concat())
    };
    asked.iter().flat_map(line).collect()
}

fn signed(security: &v3::Security, id: i32, ask: Ask) -> Option<Vec<u8>> {
    let mut nobody = v3::Security::new(b"", b"").with_auth(Auth::NoAuthNoPriv).with_engine_id(&[0]).ok()?;
    let list = list(ask);
    let mut pdu = Pdu::from_bytes_with_security(&OF_USER, Some(&mut nobody)).ok()?;
    fill(&mut pdu, id, ask, &list);
    pdu.to_bytes_with_security(Some(security)).ok()
}

fn answer(pdu: &Pdu, id: i32) -> Option<Answer> {
    if pdu.message_type != MessageType::Response || pdu.req_id != id {
        return None;
    }
    let value = |(oid, value): (snmp2::Oid, snmp2::Value)| Some((Oid::from_ber(oid.as_bytes())?, typed(&value)));
    let values = pdu.varbinds.clone().map_while(value).collect();
    Some(Answer { status: pdu.error_status, place: pdu.error_index, values })
}

fn typed(value: &snmp2::Value) -> Value {
    use snmp2::Value as Ber;
    match *value {
        Ber::Integer(number) => Value::Level(number as f64),
        Ber::Unsigned32(number) | Ber::Timeticks(number) => Value::Level(number.into()),
        Ber::Counter32(count) => Value::Count32(count),
        Ber::Counter64(count) => Value::Count64(count),
        Ber::OctetString(text) if text.len() > LONGEST => Value::None("a long text"),
        Ber::OctetString(text) => Value::Text(String::from_utf8_lossy(text).into()),
        Ber::Opaque(content) => wrapped(content).map_or(Value::None("opaque bytes"), Value::Level),
        Ber::Null => Value::None("nothing"),
        Ber::ObjectIdentifier(_) => Value::None("an object identifier"),
        Ber::IpAddress(_) => Value::None("an IP address"),
        Ber::NoSuchObject => Value::None("no such object"),
        Ber::NoSuchInstance => Value::None("no such instance"),
        Ber::EndOfMibView => Value::End,
        _ => Value::None("of a type that SNMP does not have"),
    }
}

/// The float that net-snmp wraps into an Opaque: a tag of two bytes, the length, and the number as IEEE 754 has it.
fn wrapped(content: &[u8]) -> Option<f64> {
    match content {
        [0x9f, 0x78, 4, number @ ..] => Some(f32::from_be_bytes(number.try_into().ok()?).into()),
        [0x9f, 0x79, 8, number @ ..] => Some(f64::from_be_bytes(number.try_into().ok()?)),
        _ => None,
    }
}

/// A user, and what is known of the agent's engine.
pub struct Usm {
    user: User,
    /// `None` until the engine was discovered once.
    security: Option<v3::Security>,
    /// The engine's time in seconds, and when it was told.
    clock: Option<(i64, Instant)>,
    is_lost: bool,
}

impl Usm {
    /// The request to which an agent tells its engine.
    pub fn discovery(&self, id: i32) -> Option<Vec<u8>> {
        signed(&v3::Security::new(b"", b"").with_auth(Auth::NoAuthNoPriv), id, Ask::Get(&[]))
    }

    /// Takes the engine from the answer to that request. The keys are only made anew for another engine: that takes
    /// milliseconds.
    pub fn discover(&mut self, id: i32, bytes: &[u8]) -> Heard {
        let Some(header) = Header::read(bytes).filter(|header| header.id == i64::from(id)) else { return Heard::Stray };
        if !(1..=64).contains(&header.engine.len()) || header.report.is_none() {
            return Heard::Stray;
        }
        let known = self.security.take().filter(|known| known.engine_id() == header.engine);
        let Some(security) = known.map_or_else(|| keyed(&self.user, header.engine), Some) else {
            return Heard::Refused("no keys can be made of the passphrases".into());
        };
        self.keep(security.with_engine_boots_and_time(header.boots, header.time));
        self.is_lost = false;
        Heard::Again
    }

    fn keep(&mut self, security: v3::Security) {
        self.clock = Some((security.engine_time(), Instant::now()));
        self.security = Some(security);
    }

    /// With the engine's time as it should be at this moment.
    fn now(&self) -> Option<v3::Security> {
        let (security, (time, told)) = (self.security.clone()?, self.clock?);
        let boots = security.engine_boots();
        // An engine that has told nothing yet is asked with zeros (RFC 3414, 4).
        let since = if boots == 0 { 0 } else { told.elapsed().as_secs() as i64 };
        Some(security.with_engine_boots_and_time(boots, (time + since).min(i32::MAX.into())))
    }

    fn read(&mut self, id: i32, bytes: &[u8]) -> Heard {
        let Some(header) = Header::read(bytes).filter(|header| header.id == i64::from(id)) else { return Heard::Stray };
        let Some(mut trial) = self.now() else { return Heard::Lost };
        if header.report.is_some() && header.flags & SIGNED == 0 {
            return self.reported(header.report);
        }
        let is_of_late = header.boots < trial.engine_boots();
        let heard = match Pdu::from_bytes_with_security(bytes, Some(&mut trial)) {
            Ok(pdu) if pdu.message_type == MessageType::Report => self.reported(header.report),
            Ok(pdu) => answer(&pdu, id).map_or(Heard::Stray, Heard::Answer),
            Err(error) => match error {
                snmp2::Error::AuthUpdated => Heard::Again,
                snmp2::Error::AuthFailure(kind) => match kind {
                    AuthErrorKind::EngineIdMismatch => Heard::Lost,
                    // These are found out behind the signature, where there is one.
                    AuthErrorKind::EngineBootsMismatch | AuthErrorKind::ReplyNotEncrypted if is_of_late => Heard::Lost,
                    AuthErrorKind::EngineTimeMismatch if header.flags & SIGNED == 0 => Heard::Lost,
                    AuthErrorKind::EngineTimeMismatch => Heard::Again,
                    AuthErrorKind::ReplyNotEncrypted => self.reported(header.report),
                    _ => Heard::Stray,
                },
                _ => Heard::Stray,
            },
        };
        if matches!(heard, Heard::Answer(_) | Heard::Again) {
            self.keep(trial);
        }
        heard
    }

    /// What is to be done about a report (RFC 3414, 5), and what to be said.
    fn reported(&self, report: Option<u32>) -> Heard {
        let name = &self.user.name;
        let refused = |words: String| Heard::Refused(words);
        match report {
            Some(1) => refused(format!(
                "the agent does not take user {name:?} at this security_level, or not with these protocols"
            )),
            Some(2) => Heard::Again,
            Some(3) => refused(format!("the agent knows no user {name:?}")),
            Some(4) => Heard::Lost,
            Some(5) => refused(format!(
                "the agent refuses the signature of user {name:?}: the authentication passphrase or its protocol is wrong"
            )),
            Some(6) => refused(format!(
                "the agent cannot decrypt what user {name:?} asks: the privacy passphrase or its protocol is wrong"
            )),
            _ => refused("the agent sends a report instead of an answer".into()),
        }
    }
}

fn keyed(user: &User, engine: &[u8]) -> Option<v3::Security> {
    let (digest, passphrase, privacy) = match &user.security {
        Security::Plain => (Digest::Md5, "", None),
        Security::Signed(digest, passphrase) => (*digest, passphrase.as_str(), None),
        Security::Encrypted(digest, passphrase, cipher, privacy) => {
            (*digest, passphrase.as_str(), Some((*cipher, privacy)))
        }
    };
    let auth = match (&user.security, privacy) {
        (Security::Plain, _) => Auth::NoAuthNoPriv,
        (_, None) => Auth::AuthNoPriv,
        (_, Some((cipher, privacy))) => {
            Auth::AuthPriv { cipher: cipher.into(), privacy_password: privacy.clone().into_bytes() }
        }
    };
    if passphrase.is_empty() && auth != Auth::NoAuthNoPriv || privacy.is_some_and(|(_, privacy)| privacy.is_empty()) {
        return None;
    }
    let extension = match privacy {
        Some((Cipher::Aes192Reeder | Cipher::Aes256Reeder, _)) => KeyExtension::Reeder,
        _ => KeyExtension::Blumenthal,
    };
    let security = v3::Security::new(user.name.as_bytes(), passphrase.as_bytes());
    let security = security.with_auth(auth).with_auth_protocol(digest.into()).with_key_extension_method(extension);
    security.with_engine_id(engine).ok()
}

impl From<Digest> for AuthProtocol {
    fn from(digest: Digest) -> AuthProtocol {
        match digest {
            Digest::Md5 => AuthProtocol::Md5,
            Digest::Sha1 => AuthProtocol::Sha1,
            Digest::Sha224 => AuthProtocol::Sha224,
            Digest::Sha256 => AuthProtocol::Sha256,
            Digest::Sha384 => AuthProtocol::Sha384,
            Digest::Sha512 => AuthProtocol::Sha512,
        }
    }
}

impl From<Cipher> for v3::Cipher {
    fn from(cipher: Cipher) -> v3::Cipher {
        match cipher {
            Cipher::Des => v3::Cipher::Des,
            Cipher::Aes128 => v3::Cipher::Aes128,
            Cipher::Aes192 | Cipher::Aes192Reeder => v3::Cipher::Aes192,
            Cipher::Aes256 | Cipher::Aes256Reeder => v3::Cipher::Aes256,
        }
    }
}

/// What stands in a message of version 3 for all to read.
struct Header<'a> {
    id: i64,
    flags: u8,
    engine: &'a [u8],
    boots: i64,
    time: i64,
    /// The number below usmStats of what is reported; 0 for anything else. `None` where it is no report.
    report: Option<u32>,
}

impl<'a> Header<'a> {
    /// `None` for other versions, and for numbers that RFC 3412 and 3414 do not allow.
    fn read(bytes: &'a [u8]) -> Option<Header<'a>> {
        let is_allowed = |number: &i64| (0..=i32::MAX.into()).contains(number);
        let mut message = Reader(Reader(bytes).tagged(ber::SEQUENCE)?);
        message.number().filter(|version| *version == 3)?;
        let mut global = Reader(message.tagged(ber::SEQUENCE)?);
        let id = global.number()?;
        global.number()?;
        let flags = *global.tagged(ber::OCTETS)?.first()?;
        let mut security = Reader(Reader(message.tagged(ber::OCTETS)?).tagged(ber::SEQUENCE)?);
        let engine = security.tagged(ber::OCTETS)?;
        let boots = security.number().filter(is_allowed)?;
        let time = security.number().filter(is_allowed)?;
        let report = if flags & ENCRYPTED == 0 { report(&mut message) } else { None };
        Some(Header { id, flags, engine, boots, time, report })
    }
}

/// What a plain message reports.
fn report(message: &mut Reader) -> Option<u32> {
    /// usmStats, of which each counter is below as one number and a 0.
    const STATS: &[u8] = &[0x2b, 0x06, 0x01, 0x06, 0x03, 0x0f, 0x01, 0x01];
    let mut scoped = Reader(message.tagged(ber::SEQUENCE)?);
    // The context: its engine and its name.
    scoped.tagged(ber::OCTETS)?;
    scoped.tagged(ber::OCTETS)?;
    let mut pdu = Reader(scoped.tagged(REPORT)?);
    // Number of the request, status, place.
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
