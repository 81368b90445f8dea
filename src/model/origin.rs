//! Detects that a server was restarted, from the process id or uptime in its answers. Counters of another process must
//! not be compared with those of the one before, even if they are larger.

use std::time::{Duration, Instant};

/// Minimum tolerance between the reported uptime and the clock, in seconds.
const LAG: f64 = 2.0;

/// The identity of the process that answered last.
#[derive(Debug, Default)]
pub struct Origin {
    name: Option<String>,
    /// When it reported its uptime, and the uptime in seconds.
    uptime: Option<(Instant, f64)>,
}

impl Origin {
    /// Records an identity of the process: a pid, or an id of its run. Returns whether it differs from the last one.
    pub fn is_new_by_name(&mut self, name: &str) -> bool {
        let is_new = self.name.as_ref().is_some_and(|known| known != name);
        if is_new || self.name.is_none() {
            self.name = Some(name.into());
        }
        is_new
    }

    /// Records the uptime in seconds, read at `at`. Returns whether the process was restarted: its uptime went back, or
    /// grew by less than half of the time that has passed.
    pub fn is_new_by_uptime(&mut self, seconds: f64, at: Instant) -> bool {
        let Some((before, old)) = self.uptime.replace((at, seconds)) else { return false };
        let elapsed: Duration = at.saturating_duration_since(before);
        seconds < old || seconds + LAG.max(elapsed.as_secs_f64() / 2.0) < old + elapsed.as_secs_f64()
    }
}
