//! Requests of SNMP to bytes, and bytes to answers: the part that all versions have in common, and the communities of SNMPv1 and v2c.

use super::usm::Usm;
use super::{Access, Value};
use crate::model::parse::ber::{self, Reader};
use crate::model::parse::oid::Oid;

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

/// Versions as they are in a message.
const V1: u32 = 0;
const V2C: u32 = 1;

/// What is asked, and how that is answered (RFC 3416).
const GET: u8 = 0xa0;
const NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const BULK: u8 = 0xa5;

/// Types of SNMP (RFC 2578), and the one that only RFC 1442 has.
const IP_ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE32: u8 = 0x42;
const TIME_TICKS: u8 = 0x43;
const OPAQUE: u8 = 0x44;
const COUNTER64: u8 = 0x46;
const UINTEGER32: u8 = 0x47;
/// What there is instead of a value (RFC 3416).
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_MIB_VIEW: u8 = 0x82;

/// Bytes of a text that may be a number.
const LONGEST: usize = 100;

/// How requests to one agent are made, and its answers read.
pub enum Codec {
    Community {
        version: u32,
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
            Access::V1 { community } => of_community(V1, community, false),
            Access::V2c { community } => of_community(V2C, community, false),
            Access::V2cOrV1 { community } => of_community(V2C, community, true),
            Access::V3(user) => Codec::User(Box::new(Usm::new(user))),
        }
    }

    /// Whether there is GETBULK.
    pub fn has_bulk(&self) -> bool {
        !matches!(self, Codec::Community { version: V1, .. })
    }

    /// The request; `None` for a user whose agent is not discovered.
    pub fn request(&self, id: u32, ask: Ask) -> Option<Vec<u8>> {
        let pdu = pdu(id, ask);
        match self {
            Codec::Community { version, community, .. } => {
                let message = [ber::integer(*version), ber::part(ber::OCTETS, community), pdu];
                Some(ber::part(ber::SEQUENCE, &message.concat()))
            }
            Codec::User(usm) => usm.request(id, &pdu),
        }
    }

    /// What the datagram says to the request of that number.
    pub fn read(&mut self, id: u32, bytes: &[u8]) -> Heard {
        match self {
            Codec::Community { version, community, is_open } => {
                let answer = of_community(bytes, *version, community).and_then(|pdu| answer(pdu, id));
                *is_open &= answer.is_none();
                answer.map_or(Heard::Stray, Heard::Answer)
            }
            Codec::User(usm) => usm.read(id, bytes),
        }
    }

    /// The user's part, where that has to discover the agent first.
    pub fn undiscovered(&mut self) -> Option<&mut Usm> {
        match self {
            Codec::User(usm) if usm.is_lost() => Some(usm),
            _ => None,
        }
    }

    /// The agent may be another than before, or have forgotten itself.
    pub fn lose(&mut self) {
        if let Codec::User(usm) = self {
            usm.lose();
        }
    }

    /// The agent may speak another version, where that is left open.
    pub fn try_other_version(&mut self) {
        if let Codec::Community { version, is_open: true, .. } = self {
            *version = if *version == V1 { V2C } else { V1 };
        }
    }
}

/// What a message of that version and community holds.
fn of_community<'a>(bytes: &'a [u8], version: u32, community: &[u8]) -> Option<(u8, &'a [u8])> {
    let mut message = Reader(Reader(bytes).tagged(ber::SEQUENCE)?);
    message.count().filter(|own| *own == version)?;
    message.tagged(ber::OCTETS).filter(|own| *own == community)?;
    message.part()
}

/// A question: its kind, its number, and what is asked for, each with nothing as its value.
pub(super) fn pdu(id: u32, ask: Ask) -> Vec<u8> {
    // In a GETBULK the third number is how many are wanted.
    let (kind, oids, repetitions) = match ask {
        Ask::Get(oids) => (GET, oids, 0),
        Ask::Next(oid) => (NEXT, std::slice::from_ref(oid), 0),
        Ask::Bulk(oid, repetitions) => (BULK, std::slice::from_ref(oid), repetitions),
    };
    let line = |oid: &Oid| {
        let pair = [ber::part(ber::OBJECT, &oid.to_ber()), ber::part(ber::NULL, &[])];
        ber::part(ber::SEQUENCE, &pair.concat())
    };
    let list = ber::part(ber::SEQUENCE, &oids.iter().flat_map(line).collect::<Vec<u8>>());
    ber::part(kind, &[ber::integer(id), ber::integer(0), ber::integer(repetitions), list].concat())
}

/// The answer to the request of that number. What cannot be read of it costs itself.
pub(super) fn answer((kind, content): (u8, &[u8]), id: u32) -> Option<Answer> {
    let mut pdu = Reader(content);
    let is_meant = kind == RESPONSE && pdu.count()? == id;
    let (status, place) = (pdu.count().filter(|_| is_meant)?, pdu.count()?);
    let mut list = Reader(pdu.tagged(ber::SEQUENCE)?);
    let mut values = Vec::new();
    while let Some(pair) = list.tagged(ber::SEQUENCE) {
        let mut pair = Reader(pair);
        let oid = pair.tagged(ber::OBJECT).and_then(Oid::from_ber);
        let value = pair.part().map_or(Value::None("bytes that cannot be read"), |(tag, content)| typed(tag, content));
        values.extend(oid.map(|oid| (oid, value)));
    }
    Some(Answer { status, place, values })
}

fn typed(tag: u8, content: &[u8]) -> Value {
    let unsigned = |bits| ber::unsigned(content, bits);
    let number = match tag {
        ber::INTEGER => ber::signed(content).map(|number| Value::Level(number as f64)),
        GAUGE32 | TIME_TICKS | UINTEGER32 => unsigned(32).map(|number| Value::Level(number as f64)),
        COUNTER32 => unsigned(32).map(|count| Value::Count32(count as u32)),
        COUNTER64 => unsigned(64).map(Value::Count64),
        ber::OCTETS => Some(text(content)),
        OPAQUE => Some(wrapped(content).map_or(Value::None("opaque bytes"), Value::Level)),
        ber::NULL => Some(Value::None("nothing")),
        ber::OBJECT => Some(Value::None("an object identifier")),
        IP_ADDRESS => Some(Value::None("an IP address")),
        NO_SUCH_OBJECT => Some(Value::None("no such object")),
        NO_SUCH_INSTANCE => Some(Value::None("no such instance")),
        END_OF_MIB_VIEW => Some(Value::End),
        _ => Some(Value::None("of a type that SNMP does not have")),
    };
    number.unwrap_or(Value::None("a number that its type cannot have"))
}

/// A text up to the zero byte that ends it where the agent sends the whole of a buffer.
fn text(content: &[u8]) -> Value {
    let text = content.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    match text.len() {
        0..=LONGEST => Value::Text(String::from_utf8_lossy(text).into()),
        _ => Value::None("a long text"),
    }
}

/// The numbers that net-snmp wraps into an Opaque: a byte 0x9f, then tag, length and content.
fn wrapped(content: &[u8]) -> Option<f64> {
    let [0x9f, rest @ ..] = content else { return None };
    match Reader(rest).part()? {
        (0x78, number) => Some(f32::from_be_bytes(number.try_into().ok()?).into()),
        (0x79, number) => Some(f64::from_be_bytes(number.try_into().ok()?)),
        (0x7a, number) => Some(ber::signed(number)? as f64),
        // Counter64 and Unsigned64.
        (0x76 | 0x7b, number) => Some(ber::unsigned(number, 64)? as f64),
        _ => None,
    }
}
