//! Who has counted: the process behind a server's numbers, as its answers name it. Numbers of another process are no change of
//! those before, even where they are larger.

use std::time::{Duration, Instant};

/// By how much the time that a process has run may lag behind the clock, at least.
const LAG: f64 = 2.0;

/// The process that answered last.
#[derive(Debug, Default)]
pub struct Origin {
    name: Option<String>,
    /// When it said for how many seconds it had run.
    uptime: Option<(Instant, f64)>,
}

impl Origin {
    /// Takes the name of the process: a pid, the id of a run. Whether it is another than the last.
    pub fn is_new_by_name(&mut self, name: &str) -> bool {
        let is_new = self.name.as_ref().is_some_and(|known| known != name);
        if is_new || self.name.is_none() {
            self.name = Some(name.into());
        }
        is_new
    }

    /// Takes for how many seconds the process has run. Whether it must be another than the last: it has run for less, or
    /// has not grown older by at least half of the time that has passed.
    pub fn is_new_by_uptime(&mut self, seconds: f64, at: Instant) -> bool {
        let Some((before, old)) = self.uptime.replace((at, seconds)) else { return false };
        let elapsed: Duration = at.saturating_duration_since(before);
        seconds < old || seconds + LAG.max(elapsed.as_secs_f64() / 2.0) < old + elapsed.as_secs_f64()
    }
}
