//! Runs a request that may be slow less often than every tick.

use std::time::Duration;

/// Runs the request at every tick, unless the last one took more than a third of the period. Then it may use a tenth of
/// the time.
#[derive(Debug)]
pub struct Pace {
    every: u32,
    /// Number of ticks until the next request.
    wait: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { every: 1, wait: 0 }
    }
}

impl Pace {
    /// Whether to send the request in this tick. Call it once per tick.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
        is_due
    }

    /// Records how long the request took.
    pub fn took(&mut self, took: Duration, period: Duration) {
        let share = took.as_secs_f64() / period.as_secs_f64().max(0.1);
        self.every = if share > 1.0 / 3.0 { (share * 10.0).ceil() as u32 } else { 1 };
        self.wait = self.every - 1;
    }

    /// A note for the user if the request is not sent at every tick. `whose` says whose fault that is: "the broker is
    /// slow to list them".
    pub fn slowness(&self, whose: &str) -> Option<String> {
        (self.every > 1).then(|| format!("{whose}: they are told at every tick number {}", self.every))
    }
}
