//! Encodes requests to an agent and decodes its answers, by its version: the community-based SNMPv1 and v2c here, SNMPv3
//! in `usm`.

use super::Access;
use super::message::{Ask, Received, answer, pdu};
use super::usm::Usm;
use crate::model::parse::ber::{self, Reader};

/// Version numbers in a message.
const V1: u32 = 0;
const V2C: u32 = 1;

/// Encodes requests to one agent and decodes its answers.
pub enum Codec {
    Community {
        version: u32,
        community: Vec<u8>,
        /// The version is not known yet, so both are tried until the agent answers.
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

    /// Whether the version has GETBULK.
    pub fn has_bulk(&self) -> bool {
        !matches!(self, Codec::Community { version: V1, .. })
    }

    /// Encodes a request; `None` for SNMPv3 while the agent is not discovered.
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

    /// Decodes a datagram received after the request with this id.
    pub fn read(&mut self, id: u32, bytes: &[u8]) -> Received {
        match self {
            Codec::Community { version, community, is_open } => {
                let answer = of_community(bytes, *version, community).and_then(|pdu| answer(pdu, id));
                *is_open &= answer.is_none();
                answer.map_or(Received::Stray, Received::Answer)
            }
            Codec::User(usm) => usm.read(id, bytes),
        }
    }

    /// The SNMPv3 state, if the agent must be discovered first.
    pub fn undiscovered(&mut self) -> Option<&mut Usm> {
        match self {
            Codec::User(usm) if usm.needs_discovery() => Some(usm),
            _ => None,
        }
    }

    /// Requires a new discovery: the agent may have been replaced or restarted.
    pub fn require_discovery(&mut self) {
        if let Codec::User(usm) = self {
            usm.require_discovery();
        }
    }

    /// Switches between SNMPv1 and v2c, if the version is not known yet.
    pub fn try_other_version(&mut self) {
        if let Codec::Community { version, is_open: true, .. } = self {
            *version = if *version == V1 { V2C } else { V1 };
        }
    }
}

/// The PDU in a message with this version and community.
fn of_community<'a>(bytes: &'a [u8], version: u32, community: &[u8]) -> Option<(u8, &'a [u8])> {
    let mut message = Reader(Reader(bytes).tagged(ber::SEQUENCE)?);
    message.count().filter(|own| *own == version)?;
    message.tagged(ber::OCTETS).filter(|own| *own == community)?;
    message.part()
}
