//! A number in place of a text that identifies something.

use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::LazyLock;

/// Seeded randomly, so a server cannot choose texts that collide.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The number holds for this process. That two of a million texts have the same is as likely as one in thirty million.
pub fn fingerprint(identity: impl Hash) -> u64 {
    HASHES.hash_one(identity)
}
