//! What sinks and checks need for connections to other machines: addresses, name resolution, proxies, TLS, errors in
//! words.

pub mod address;
pub mod http;
pub mod names;
pub mod proxy;
pub mod tls;

use std::hash::{BuildHasher, Hasher, RandomState};

/// A random number. Good enough to spread the load of many daemons over time and addresses, not for secrets.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
