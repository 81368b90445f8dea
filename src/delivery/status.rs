//! The state of delivery, published after each step for other threads.

use super::line::Change;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Totals since the start, and the present state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Points from the checks, health events included.
    pub collected: u64,
    pub delivered: u64,
    /// Points that went to the spool before they were delivered.
    pub spooled: u64,
    /// Points replaced by a later one of the same series and time.
    pub merged: u64,
    /// Points dropped because a bound was reached.
    pub dropped: u64,
    /// Points that the sink refused for good.
    pub refused: u64,
    pub is_up: bool,
    /// Since when it is up, or down, in Unix seconds.
    pub since: i64,
    /// Why it is down, as in the log.
    pub why: Option<Arc<str>>,
    /// `None` while it is up.
    pub next_attempt: Option<Instant>,
    /// Points in memory only: not sent yet, in flight, or not taken by the spool's disk.
    pub memory_points: u64,
    pub spool_batches: usize,
    pub spool_bytes: u64,
    /// Unix seconds when the oldest waiting batch was first stored; `None` if none waits.
    pub spool_oldest: Option<i64>,
    /// Damaged spool files that were set aside.
    pub set_aside: u64,
    /// Unix seconds when the sink last accepted points; `None` if it never did.
    pub last_success: Option<i64>,
    /// How long the newest delivered live points had waited.
    pub waited: Option<Duration>,
}

impl Status {
    /// Time left until the next attempt; `None` while it is up.
    pub fn backoff(&self, now: Instant) -> Option<Duration> {
        self.next_attempt.map(|at| at.saturating_duration_since(now))
    }

    /// How long live points wait until they are delivered; `None` while the sink is down.
    pub fn lateness(&self) -> Option<Duration> {
        self.waited.filter(|_| self.is_up)
    }

    /// The line has changed for the reason `why`. `wall` is the present time in Unix seconds.
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
