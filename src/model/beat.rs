//! When the newest tick began, and how late: written by the tick loop, read by whoever asks whether it goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ticks come while the newest is no older than so many periods, and this.
const FRESH: u32 = 3;
const LEAST: Duration = Duration::from_secs(3);

pub struct Beat(Mutex<Tick>);

struct Tick {
    at: Instant,
    lateness: Duration,
}

impl Beat {
    /// Before the first tick, the moment at which it is waited for.
    pub fn new(begun: Instant) -> Beat {
        Beat(Mutex::new(Tick { at: begun, lateness: Duration::ZERO }))
    }

    /// A tick begins, so long after it was due.
    pub fn tick(&self, at: Instant, lateness: Duration) {
        *self.lock() = Tick { at, lateness };
    }

    /// How long after it was due the newest tick began.
    pub fn lateness(&self) -> Duration {
        self.lock().lateness
    }

    /// Age of the newest tick.
    pub fn age(&self) -> Duration {
        self.lock().at.elapsed()
    }

    /// Age of the newest tick where it is too old: ticks do not come any more.
    pub fn silence(&self, period: Duration) -> Option<Duration> {
        Some(self.age()).filter(|age| *age > (period * FRESH).max(LEAST))
    }

    fn lock(&self) -> MutexGuard<'_, Tick> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
