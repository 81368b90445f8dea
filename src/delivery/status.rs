//! How delivery is: numbers for whoever looks from outside, published after each step.

use std::time::Duration;

/// Totals since the start, and the state now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
    /// Wait before the next attempt; zero while it is up.
    pub backoff: Duration,
    /// Points in memory alone: on their way, or not taken by the disk of the spool.
    pub memory_points: u64,
    pub spool_batches: usize,
    pub spool_bytes: u64,
    /// Unix seconds when the sink last took points.
    pub last_success: Option<i64>,
}
