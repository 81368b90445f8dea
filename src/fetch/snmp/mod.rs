//! SNMP, asked from the network: many agents at the same time, each within its own patience and the deadline of all.

mod agent;
mod keys;
pub mod message;
mod portion;
mod usm;

pub use agent::Agent;

use crate::model::parse::oid::Oid;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Agents that are asked at the same time.
const AT_ONCE: usize = 16;
const STACK_BYTES: usize = 256 << 10;

/// Which version an agent is spoken to in, and as whom.
pub enum Access {
    V1 {
        community: String,
    },
    V2c {
        community: String,
    },
    /// SNMPv2c, or SNMPv1 where that is not answered.
    V2cOrV1 {
        community: String,
    },
    V3(User),
}

pub struct User {
    pub name: String,
    pub security: Security,
}

/// The security level, with the passphrases that it needs.
pub enum Security {
    /// noAuthNoPriv
    Plain,
    /// authNoPriv
    Signed(Digest, String),
    /// authPriv
    Encrypted(Digest, String, Cipher, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Where a digest is too short for a key of AES-192 or AES-256, it is made longer as Blumenthal has it, or as Reeder (Cisco).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Des,
    Aes128,
    Aes192,
    Aes256,
    Aes192Reeder,
    Aes256Reeder,
}

/// How long an agent is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub timeout: Duration,
    /// Times that a question without an answer is asked again.
    pub retries: u32,
}

/// What an agent has for an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Level(f64),
    Count32(u32),
    Count64(u64),
    Text(String),
    /// What there is instead of a number.
    None(&'static str),
    /// Nothing, and nothing behind it.
    End,
}

/// What came of asking an agent.
#[derive(Debug, Default)]
pub struct Asked {
    /// How long it took, waiting in vain included.
    pub took: Duration,
    /// When it had told what there is of it.
    pub at: Option<Instant>,
    /// Whether it has answered something; `None` where there was no time to ask it.
    pub answered: Option<bool>,
    pub values: HashMap<Oid, Value>,
    /// In the order of the agent's walks; those behind a trouble are missing.
    pub walks: Vec<Walked>,
    /// What is to be said where the agent did not answer everything.
    pub trouble: Option<String>,
}

/// What stands below an object.
#[derive(Debug, Default)]
pub struct Walked {
    pub rows: Vec<(Oid, Value)>,
    /// Why the walk ended before its end.
    pub broken: Option<String>,
}

/// Asks all agents. Those that answered the last time come first, so that what is dead costs them nothing.
pub fn ask_all(agents: Vec<&mut Agent>, deadline: Instant) -> Vec<Asked> {
    let mut order: Vec<(usize, &mut Agent)> = agents.into_iter().enumerate().collect();
    order.sort_by_key(|(_, agent)| agent.turn());
    let count = order.len();
    let waiting: Vec<_> = order.into_iter().map(|agent| Mutex::new(Some(agent))).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    let work = || {
        while let Some(agent) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some((place, agent)) = agent.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let asked = agent.ask(deadline);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((place, asked));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..count.min(AT_ONCE) {
            // Fewer hands make it slower, not wrong.
            let _ = thread::Builder::new().name("snmp".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        }
    });
    let mut asked: Vec<Asked> = Vec::with_capacity(count);
    asked.resize_with(count, || Asked {
        trouble: Some("the system gives no thread to ask it".into()),
        ..Asked::default()
    });
    for (place, told) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if let Some(slot) = asked.get_mut(place) {
            *slot = told;
        }
    }
    asked
}

/// A number that nobody else can know.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
