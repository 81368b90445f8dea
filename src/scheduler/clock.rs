//! Due times on the monotonic clock, and timestamps on the wall clock. Pure: both times are arguments.
//!
//! Neither a clock change nor a suspended machine causes a burst, a stall or a duplicate timestamp.

use std::time::{Duration, Instant};

/// If the clocks diverge by more than this between two ticks, the wall clock counts as changed.
const STEP: Duration = Duration::from_millis(250);

/// A moment on both clocks. They have to be read together; otherwise a delay between the readings looks like a clock
/// change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Instant,
    /// Since 1970.
    pub wall: Duration,
}

/// The next due time after `now` on the grid of `period` that starts at `epoch`. Missed ticks are dropped.
pub fn next_due(epoch: Instant, period: Duration, now: Instant) -> Instant {
    let passed = now.saturating_duration_since(epoch).as_nanos();
    let period = period.max(Duration::from_millis(1));
    let beats = passed / period.as_nanos() + 1;
    let offset = period.as_nanos().saturating_mul(beats);
    epoch + Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX))
}

/// Timestamps of ticks in whole seconds. A tick that is slightly early or late keeps its second, so that ticks a second
/// apart never share a timestamp or skip one.
#[derive(Debug)]
pub struct Stamps {
    last: Option<(Instant, Duration)>,
    /// Where within a second the ticks are, 0..1.
    phase: f64,
}

impl Stamps {
    pub fn new() -> Stamps {
        Stamps { last: None, phase: 0.0 }
    }

    /// The timestamp of a tick, and the seconds by which the wall clock was changed since the previous tick, if it was.
    /// A suspended machine looks like a clock change.
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
