//! Due times on the monotonic clock and stamps on the wall clock, so that neither a step of the system clock nor a
//! suspended machine makes a burst, a stall or a double stamp. Pure: both clocks are handed in.

use std::time::{Duration, Instant};

/// How far the wall clock may stray from the monotonic one between two ticks before it counts as set.
const STEP: Duration = Duration::from_millis(250);

/// A moment on both clocks. They are read together, or a loop that was slow in between looks like a clock that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Instant,
    /// Since 1970.
    pub wall: Duration,
}

/// The next due time after `now` on the grid of `period` that begins at `epoch`: late ticks are dropped, never made up.
pub fn next_due(epoch: Instant, period: Duration, now: Instant) -> Instant {
    let passed = now.saturating_duration_since(epoch).as_nanos();
    let period = period.max(Duration::from_millis(1));
    let beats = passed / period.as_nanos() + 1;
    let offset = period.as_nanos().saturating_mul(beats);
    epoch + Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX))
}

/// Whole seconds for ticks. A tick that comes a little late or early keeps the second that belongs to it, so that
/// ticks a second apart never share a stamp and never leave one out.
#[derive(Debug)]
pub struct Stamps {
    last: Option<(Instant, Duration)>,
    /// Where within a second the ticks fall, in seconds of 0..1.
    phase: f64,
}

impl Stamps {
    pub fn new() -> Stamps {
        Stamps { last: None, phase: 0.0 }
    }

    /// The stamp of a tick, and by how many seconds the wall clock was set since the tick before (a suspended machine looks
    /// the same).
    pub fn stamp(&mut self, Moment { at, wall }: Moment) -> (i64, Option<f64>) {
        let step = self.last.and_then(|(last_at, last_wall)| {
            let step =
                (wall.as_secs_f64() - last_wall.as_secs_f64()) - at.saturating_duration_since(last_at).as_secs_f64();
            (step.abs() > STEP.as_secs_f64()).then_some(step)
        });
        if self.last.is_none() || step.is_some() {
            self.phase = wall.as_secs_f64().fract();
        }
        self.last = Some((at, wall));
        ((wall.as_secs_f64() - self.phase).round() as i64, step)
    }
}

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps::new()
    }
}
