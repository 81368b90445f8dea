//! When the last tick began, and how late it was. The tick loop writes it; status and health queries read it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ticks count as overdue when the last one is older than this many periods and older than [`LEAST`].
const FRESH: u32 = 3;
const LEAST: Duration = Duration::from_secs(3);

/// Shared between the tick loop and those who ask for its state.
pub struct Beat(Mutex<Tick>);

struct Tick {
    at: Instant,
    lateness: Duration,
    /// When the present period began to hold.
    from: Instant,
}

impl Beat {
    /// `begun`: start of the daemon, used as the time of the last tick until the first one.
    pub fn new(begun: Instant) -> Beat {
        Beat(Mutex::new(Tick { at: begun, lateness: Duration::ZERO, from: begun }))
    }

    /// Records a tick that begins at `at`, `lateness` after it was due.
    pub fn tick(&self, at: Instant, lateness: Duration) {
        let tick = &mut *self.lock();
        (tick.at, tick.lateness) = (at, lateness);
    }

    /// Another period holds from now on: ticks of the earlier one are not overdue by it.
    pub fn renew(&self, from: Instant) {
        self.lock().from = from;
    }

    /// How late the last tick began.
    pub fn lateness(&self) -> Duration {
        self.lock().lateness
    }

    /// Age of the last tick.
    pub fn age(&self) -> Duration {
        self.lock().at.elapsed()
    }

    /// Age of the last tick if it is overdue; `None` while ticks come as expected.
    pub fn silence(&self, period: Duration) -> Option<Duration> {
        let Tick { at, from, .. } = *self.lock();
        let is_overdue = at.max(from).elapsed() > (period * FRESH).max(LEAST);
        is_overdue.then(|| at.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Tick> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
