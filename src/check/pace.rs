//! How often something is asked for that may take long.

use std::time::Duration;

/// At every tick, unless the last time took more than a third of a period: then it may take a tenth of all the time.
#[derive(Debug)]
pub struct Pace {
    every: u32,
    /// Ticks until the next.
    wait: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { every: 1, wait: 0 }
    }
}

impl Pace {
    /// Whether it is asked for in this tick.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
        is_due
    }

    /// It was asked for, and took so long.
    pub fn took(&mut self, took: Duration, period: Duration) {
        let share = took.as_secs_f64() / period.as_secs_f64().max(0.1);
        self.every = if share > 1.0 / 3.0 { (share * 10.0).ceil() as u32 } else { 1 };
        self.wait = self.every - 1;
    }

    /// What is to be told where it is not asked for at every tick; `whose` and what they do, "the broker is slow to list them".
    pub fn slowness(&self, whose: &str) -> Option<String> {
        (self.every > 1).then(|| format!("{whose}: they are told at every tick number {}", self.every))
    }
}
