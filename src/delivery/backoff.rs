//! When the sink may be tried again after failures: exponential backoff with jitter. Pure.

use std::time::{Duration, Instant};

/// The first wait and the longest: after a transient failure (`RETRY`), and after a refusal that a person has to
/// resolve (`PAUSE`).
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
const PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// The longest wait that a server may ask for with `Retry-After`.
const MAX_ASKED: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Transient: the server is unreachable or overloaded.
    Down,
    /// Misconfigured: the server refuses everything.
    Paused,
}

/// `None` while the last attempt succeeded.
#[derive(Clone, Debug, Default)]
pub struct Backoff(Option<Waiting>);

#[derive(Clone, Debug)]
struct Waiting {
    trouble: Trouble,
    since: Instant,
    wait: Duration,
    until: Instant,
}

impl Backoff {
    /// Whether the last attempt succeeded.
    pub fn is_up(&self) -> bool {
        self.0.is_none()
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.0.as_ref().map(|waiting| waiting.trouble)
    }

    /// When the next attempt may be made; `None` while up.
    pub fn probe_at(&self) -> Option<Instant> {
        self.0.as_ref().map(|waiting| waiting.until)
    }

    /// An attempt succeeded. Returns how long the sink was down, `None` if it was up.
    pub fn success(&mut self, now: Instant) -> Option<Duration> {
        self.0.take().map(|waiting| now.saturating_duration_since(waiting.since))
    }

    /// An attempt failed. `asked` is the wait that the server asked for; `random` in 0..1 spreads a fleet's attempts
    /// over time. Returns the wait before the next attempt.
    pub fn failure(&mut self, trouble: Trouble, asked: Option<Duration>, now: Instant, random: f64) -> Duration {
        let (first, cap) = match trouble {
            Trouble::Down => RETRY,
            Trouble::Paused => PAUSE,
        };
        let (wait, since) = match &self.0 {
            Some(old) if old.trouble == trouble => ((old.wait * 2).min(cap), old.since),
            Some(old) => (first, old.since),
            None => (first, now),
        };
        let jittered = wait.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        let actual = jittered.max(asked.unwrap_or_default().min(MAX_ASKED));
        self.0 = Some(Waiting { trouble, since, wait, until: now + actual });
        actual
    }
}
