//! How fast a backlog goes out: full requests, at most half of the time, gently where answers become slow. Pure.

use std::time::{Duration, Instant};

/// Points a second at most: a fleet that comes back at once shares one server.
const POINTS_A_SECOND: f64 = 6_000.0;
/// How many times longer than its answer took the sender rests at most, when answers become slow.
const GENTLEST: f64 = 8.0;
/// Answers quicker than this are all alike.
const QUICK: Duration = Duration::from_millis(20);

/// When the next request of the backlog may go.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    next: Option<Instant>,
    /// The quickest answer of late.
    quickest: Option<Duration>,
}

impl Throttle {
    /// `None`: now.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// A request of the backlog with so many points took so long.
    pub fn sent(&mut self, points: usize, took: Duration, now: Instant) {
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took)).max(QUICK);
        let slower = (took.as_secs_f64() / quickest.as_secs_f64()).clamp(1.0, GENTLEST);
        // Counted from the request's begin.
        let share = Duration::from_secs_f64(points as f64 / POINTS_A_SECOND).saturating_sub(took);
        self.next = Some(now + took.mul_f64(slower).max(share));
        // What was quick once need not be so for ever.
        self.quickest = Some(quickest + quickest / 20);
    }

    /// A request of the backlog was in vain after so long. How long what was in it waits is for its history to say, and it says
    /// nothing of how quick answers are.
    pub fn failed(&mut self, took: Duration, now: Instant) {
        self.next = Some(now + took);
    }
}
