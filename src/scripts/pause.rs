//! How long a program that goes on for ever rests between its end and its next start.

use std::time::{Duration, Instant};

/// The first time, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// After a program that has lasted so long it is the first again.
const LASTING: Duration = Duration::from_secs(60);

/// A rest, which doubles with each.
#[derive(Default)]
pub struct Pause {
    length: Duration,
    end: Option<Instant>,
}

impl Pause {
    /// Of a program that has begun then and ended now; how long it rests.
    pub fn begin(&mut self, begun: Instant) -> Duration {
        let has_lasted = begun.elapsed() >= LASTING;
        self.length = if has_lasted { FIRST } else { (self.length * 2).clamp(FIRST, LONGEST) };
        self.end = Some(Instant::now() + self.length);
        self.length
    }

    pub fn is_over(&self) -> bool {
        self.end.is_none_or(|end| Instant::now() >= end)
    }
}
