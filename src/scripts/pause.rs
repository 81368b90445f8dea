//! The wait before a program that should run for ever is started again.

use std::time::{Duration, Instant};

/// The first wait, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// After a program that ran for this long, the wait is the first again.
const LASTING: Duration = Duration::from_secs(60);

/// A wait, which doubles each time.
#[derive(Default)]
pub struct Pause {
    length: Duration,
    end: Option<Instant>,
}

impl Pause {
    /// Starts the wait after a program that ran from `begun` until now; returns its length.
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
