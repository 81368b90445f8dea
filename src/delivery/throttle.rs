//! The speed of the backlog: full requests, at most half of the time, and less if answers become slow. Pure.

use std::time::{Duration, Instant};

/// Most points per second: a fleet that comes back at once shares one server.
const POINTS_A_SECOND: f64 = 6_000.0;
/// The longest rest, as a multiple of the time that the answer took.
const MAX_SLOWDOWN: f64 = 8.0;
/// The shortest recent answer time counts as at least this.
const QUICK: Duration = Duration::from_millis(20);

/// When the next request of the backlog may go.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    next: Option<Instant>,
    /// The shortest recent answer time.
    quickest: Option<Duration>,
}

impl Throttle {
    /// When the next request may be sent; `None` means now.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// A backlog request of `points` points was answered after `took`.
    pub fn sent(&mut self, points: usize, took: Duration, now: Instant) {
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took)).max(QUICK);
        let slower = (took.as_secs_f64() / quickest.as_secs_f64()).clamp(1.0, MAX_SLOWDOWN);
        // Counted from the start of the request.
        let share = Duration::from_secs_f64(points as f64 / POINTS_A_SECOND).saturating_sub(took);
        self.next = Some(now + took.mul_f64(slower).max(share));
        // Rises slowly, so that old quick answers lose their weight.
        self.quickest = Some(quickest + quickest / 20);
    }

    /// A backlog request failed after `took`. Its points wait as their history says; the failure says nothing about
    /// answer times.
    pub fn failed(&mut self, took: Duration, now: Instant) {
        self.next = Some(now + took);
    }
}
