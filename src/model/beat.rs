//! When the newest tick began: written by the tick loop, read by whoever asks whether it goes on.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub struct Beat(Mutex<Instant>);

impl Beat {
    /// Before the first tick, the moment at which it is waited for.
    pub fn new(begun: Instant) -> Beat {
        Beat(Mutex::new(begun))
    }

    pub fn tick(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub fn newest(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
