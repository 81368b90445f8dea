//! Whether the sink may be asked now: up, or waiting with growing, jittered gaps. Pure: time and chance come in.

use std::time::{Duration, Instant};

/// First wait and its cap, after a transient failure and after a refusal that needs a person.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
const PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// What a server may ask for at most by `Retry-After`.
const MAX_ASKED: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Transient: the server is away or overloaded.
    Down,
    /// Misconfigured or refused as a whole.
    Paused,
}

/// The state of the line to the sink.
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
    /// The last word of the sink was a success.
    pub fn is_up(&self) -> bool {
        self.0.is_none()
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.0.as_ref().map(|waiting| waiting.trouble)
    }

    /// When one probe may be made; `None` while up.
    pub fn probe_at(&self) -> Option<Instant> {
        self.0.as_ref().map(|waiting| waiting.until)
    }

    /// Something was delivered or decided. How long it had been waiting, if it had.
    pub fn success(&mut self, now: Instant) -> Option<Duration> {
        self.0.take().map(|waiting| now.saturating_duration_since(waiting.since))
    }

    /// It failed. `asked` is the server's own wish, `chance` a random number of 0..1 that spreads a fleet.
    /// Returns how long is waited now.
    pub fn failure(&mut self, trouble: Trouble, asked: Option<Duration>, now: Instant, chance: f64) -> Duration {
        let (first, cap) = match trouble {
            Trouble::Down => RETRY,
            Trouble::Paused => PAUSE,
        };
        let (wait, since) = match &self.0 {
            Some(old) if old.trouble == trouble => ((old.wait * 2).min(cap), old.since),
            Some(old) => (first, old.since),
            None => (first, now),
        };
        let jittered = wait.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        let actual = jittered.max(asked.unwrap_or_default().min(MAX_ASKED));
        self.0 = Some(Waiting { trouble, since, wait, until: now + actual });
        actual
    }
}
