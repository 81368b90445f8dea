//! A number in place of what identifies something: names, labels, series.

use foldhash::quality::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::LazyLock;

/// Seeded randomly, so a server cannot choose texts that collide.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The number holds for this process. Among a hundred thousand identities, two have the same in one of a thousand million
/// processes.
pub fn fingerprint(identity: impl Hash) -> u64 {
    HASHES.hash_one(identity)
}
