//! The line to the sink: up, in doubt, down or paused, and what may be sent over it now. Pure: time and chance come in.
//!
//! One failure that the content may have caused leaves it up, in doubt: whatever else is there is tried at once, a single
//! point of it first, and only when that fails, too, the sink is down. So neither a batch that the sink stumbles over stops
//! all others, nor a series that is in all of them, nor does a sink that is away get more than one attempt too many.

use super::backoff::{Backoff, Trouble};
use std::time::{Duration, Instant};

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// One attempt, and its outcome decides.
    Probe,
    Shut(Instant),
}

/// Whether a probe takes what waited longest or what is newest: they take turns, so that neither has to be good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    #[default]
    Oldest,
    Newest,
}

/// What an outcome made of the line.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    None,
    /// It was up and is not; the next attempt comes after this.
    Lost(Duration),
    /// It still is not.
    Still(Duration),
    /// It is up again after so long.
    Back(Duration),
}

/// The state of the line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    backoff: Backoff,
    in_doubt: bool,
    probe: Probe,
}

impl Line {
    pub fn gate(&self, now: Instant) -> Gate {
        match self.backoff.probe_at() {
            None => Gate::Open,
            Some(until) if until <= now => Gate::Probe,
            Some(until) => Gate::Shut(until),
        }
    }

    /// Whether the last thing sent was taken: what fails now fails where others do not.
    pub fn is_well(&self) -> bool {
        self.is_up() && !self.in_doubt
    }

    pub fn is_up(&self) -> bool {
        self.backoff.is_up()
    }

    /// When the next attempt may be made; `None` while up.
    pub fn probe_at(&self) -> Option<Instant> {
        self.backoff.probe_at()
    }

    /// What the next probe takes.
    pub fn next_probe(&mut self) -> Probe {
        let next = self.probe;
        self.probe = match next {
            Probe::Oldest => Probe::Newest,
            Probe::Newest => Probe::Oldest,
        };
        next
    }

    /// Something was taken or decided.
    pub fn success(&mut self, now: Instant) -> Change {
        self.in_doubt = false;
        self.backoff.success(now).map_or(Change::None, Change::Back)
    }

    /// Something failed that may have caused that itself.
    pub fn doubt(&mut self, trouble: Trouble, now: Instant, chance: f64) -> Change {
        if self.is_well() {
            self.in_doubt = true;
            return Change::None;
        }
        self.failure(trouble, None, now, chance)
    }

    /// The sink as a whole is away, or refuses. `asked` is its own wish for a wait.
    pub fn failure(&mut self, trouble: Trouble, asked: Option<Duration>, now: Instant, chance: f64) -> Change {
        let before = self.backoff.trouble();
        let wait = self.backoff.failure(trouble, asked, now, chance);
        if before == Some(trouble) { Change::Still(wait) } else { Change::Lost(wait) }
    }
}
