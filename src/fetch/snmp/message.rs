//! Requests and answers, and their PDUs, which all versions share.

use super::Value;
use crate::model::parse::ber::{self, Reader};
use crate::model::parse::oid::Oid;

/// A request to an agent.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    Get(&'a [Oid]),
    /// GETNEXT: the object after this one.
    Next(&'a Oid),
    /// GETBULK: this number of objects after this one.
    Bulk(&'a Oid, u32),
}

/// The meaning of a received datagram.
#[derive(Debug)]
pub enum Received {
    Answer(Answer),
    /// No answer to this request, or unreadable.
    Stray,
    /// The agent's clock was not known well enough: send the request again.
    Again,
    /// The agent has another engine id than before, or lost its state: discover it, then send the request again.
    Lost,
    /// Why the agent refuses to answer.
    Refused(String),
}

/// An answer. If `status` is not 0, it is the error code, and `place` is the position of the object at fault, counted
/// from 1.
#[derive(Debug)]
pub struct Answer {
    pub status: u32,
    pub place: u32,
    pub values: Vec<(Oid, Value)>,
}

/// Error codes (RFC 3416).
pub mod status {
    pub const TOO_BIG: u32 = 1;
    pub const NO_SUCH_NAME: u32 = 2;
    pub const NOT_AUTHORIZED: u32 = 16;
}

/// PDU types (RFC 3416).
const GET: u8 = 0xa0;
const NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const BULK: u8 = 0xa5;

/// Types of values (RFC 2578), and one that exists only in RFC 1442.
const IP_ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE32: u8 = 0x42;
const TIME_TICKS: u8 = 0x43;
const OPAQUE: u8 = 0x44;
const COUNTER64: u8 = 0x46;
const UINTEGER32: u8 = 0x47;
/// Markers in the place of a value (RFC 3416).
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_MIB_VIEW: u8 = 0x82;

/// Maximum length of a text that may be a number, in bytes.
const LONGEST: usize = 100;

/// A request PDU: type, id, and the object names, each with NULL as its value.
pub(super) fn pdu(id: u32, ask: Ask) -> Vec<u8> {
    // In a GETBULK the third integer is max-repetitions; elsewhere it is the error index.
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

/// The answer to the request with this id. Unreadable values become [`Value::None`].
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

/// Text up to the first zero byte: some agents send their whole buffer.
fn text(content: &[u8]) -> Value {
    let text = content.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    match text.len() {
        0..=LONGEST => Value::Text(String::from_utf8_lossy(text).into()),
        _ => Value::None("a long text"),
    }
}

/// Numbers that net-snmp wraps in an Opaque: a byte 0x9f, then tag, length and content.
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
