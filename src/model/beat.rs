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
}

impl Beat {
    /// `begun`: start of the daemon, used as the time of the last tick until the first one.
    pub fn new(begun: Instant) -> Beat {
        Beat(Mutex::new(Tick { at: begun, lateness: Duration::ZERO }))
    }

    /// Records a tick that begins at `at`, `lateness` after it was due.
    pub fn tick(&self, at: Instant, lateness: Duration) {
        *self.lock() = Tick { at, lateness };
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
        Some(self.age()).filter(|age| *age > (period * FRESH).max(LEAST))
    }

    fn lock(&self) -> MutexGuard<'_, Tick> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
