//! SNMP: requests objects from many agents at the same time.

mod agent;
pub mod codec;
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

/// Maximum number of agents that are asked at the same time.
const AT_ONCE: usize = 16;
const STACK_BYTES: usize = 256 << 10;

/// The SNMP version and the credentials for it.
pub enum Access {
    V1 {
        community: String,
    },
    V2c {
        community: String,
    },
    /// SNMPv2c, and SNMPv1 if the agent does not answer it.
    V2cOrV1 {
        community: String,
    },
    V3(User),
}

/// A user of SNMPv3.
pub struct User {
    pub name: String,
    pub security: Security,
}

/// The security level, with the passphrases it needs.
pub enum Security {
    /// noAuthNoPriv
    Plain,
    /// authNoPriv
    Signed(Digest, String),
    /// authPriv
    Encrypted(Digest, String, Cipher, String),
}

/// Algorithm of the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// If a digest is too short for a key of AES-192 or AES-256, the key is extended by the method of Blumenthal, or of
/// Reeder (used by Cisco).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Des,
    Aes128,
    Aes192,
    Aes256,
    Aes192Reeder,
    Aes256Reeder,
}

/// Timeout and retries of a request.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub timeout: Duration,
    /// How often a request without an answer is sent again.
    pub retries: u32,
}

/// The value of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Level(f64),
    Count32(u32),
    Count64(u64),
    Text(String),
    /// Why there is no number.
    None(&'static str),
    /// No such object, and none after it.
    End,
}

/// The outcome of asking one agent.
#[derive(Debug, Default)]
pub struct Asked {
    /// Time until the end, including timeouts.
    pub took: Duration,
    /// When the last answer arrived.
    pub at: Option<Instant>,
    /// Whether the agent has answered anything; `None` if there was no time to ask it.
    pub answered: Option<bool>,
    pub values: HashMap<Oid, Value>,
    /// In the order of the agent's walks. If one fails, those after it are missing.
    pub walks: Vec<Walked>,
    /// An error message if not everything was answered.
    pub trouble: Option<String>,
}

/// The rows below an object.
#[derive(Debug, Default)]
pub struct Walked {
    pub rows: Vec<(Oid, Value)>,
    /// Why the walk stopped early.
    pub broken: Option<String>,
}

/// Asks all agents. Those that answered the last time come first, so unreachable agents do not delay them.
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
            // A thread that cannot be started is no error: the others do its work.
            let _ = thread::Builder::new().name("snmp".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        }
    });
    let mut asked: Vec<Asked> = Vec::with_capacity(count);
    asked.resize_with(count, || Asked {
        trouble: Some("the system gives no thread to ask it".into()),
        ..Asked::default()
    });
    for (place, outcome) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if let Some(slot) = asked.get_mut(place) {
            *slot = outcome;
        }
    }
    asked
}

/// A random number, for request ids and salts.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
