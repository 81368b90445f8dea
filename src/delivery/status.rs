//! How delivery is: numbers for whoever looks from outside, published after each step.

use super::line::Change;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Totals since the start, and the state now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Points that came from the checks, health events included.
    pub collected: u64,
    pub delivered: u64,
    /// Points that went to the spool on their way.
    pub spooled: u64,
    /// Points replaced by a later one of the same series and time.
    pub merged: u64,
    /// Points given up because a bound was reached.
    pub dropped: u64,
    /// Points that lie in the rejected area.
    pub refused: u64,
    pub is_up: bool,
    /// Unix seconds since when it is up, or not.
    pub since: i64,
    /// Why it is not up, as the log says it.
    pub why: Option<Arc<str>>,
    /// `None` while it is up.
    pub next_attempt: Option<Instant>,
    /// Points in memory alone: on their way, or not taken by the disk of the spool.
    pub memory_points: u64,
    pub spool_batches: usize,
    pub spool_bytes: u64,
    /// Unix seconds since when the oldest batch waits.
    pub spool_oldest: Option<i64>,
    /// Damaged files of the spool that were set aside.
    pub set_aside: u64,
    /// Unix seconds when the sink last took points.
    pub last_success: Option<i64>,
    /// How long the newest live points waited until the sink took them.
    pub waited: Option<Duration>,
}

impl Status {
    /// Wait before the next attempt; `None` while it is up.
    pub fn backoff(&self, now: Instant) -> Option<Duration> {
        self.next_attempt.map(|at| at.saturating_duration_since(now))
    }

    /// How long live points wait until the sink takes them; `None` while it takes none.
    pub fn lateness(&self) -> Option<Duration> {
        self.waited.filter(|_| self.is_up)
    }

    /// The line to the sink has changed, for that reason. `wall` is the time now.
    pub(super) fn line(&mut self, change: &Change, why: &str, wall: i64) {
        match change {
            Change::None => {}
            Change::Lost(_) | Change::Still(_) => {
                if self.why.is_none() {
                    self.since = wall;
                }
                self.why = Some(why.into());
            }
            Change::Back(_) => (self.why, self.since) = (None, wall),
        }
    }
}
