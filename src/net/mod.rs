//! What sinks and checks share on their way to other machines: names, addresses, proxies, trust, and why it failed.

pub mod address;
pub mod http;
pub mod names;
pub mod proxy;
pub mod tls;

use std::hash::{BuildHasher, Hasher, RandomState};

/// A random number, good enough to spread a fleet over time and addresses.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
