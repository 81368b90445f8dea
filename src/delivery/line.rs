//! The state of the connection to the sink ("the line"), and what may be sent over it now. Pure.
//!
//! After one failure that the content may have caused, the line is up but in doubt: another load is tried at once, with
//! a single point of it ahead. Only if that fails, too, the line is down. So one bad batch does not block all others, a
//! bad series that is in every batch does not either, and a sink that is unreachable gets only one attempt more.

use super::backoff::{Backoff, Trouble};
use std::time::{Duration, Instant};

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// One attempt, whose outcome decides.
    Probe,
    Shut(Instant),
}

/// Which batch a probe sends. The two alternate, because either may be the bad one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    #[default]
    Oldest,
    Newest,
}

/// How an outcome changed the line.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    None,
    /// It was up, or had the other trouble, and now is down or paused. The wait before the next attempt.
    Lost(Duration),
    /// It is still down or paused. The wait before the next attempt.
    Still(Duration),
    /// It is up again, after this time.
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

    /// Whether the last request was accepted: then the next failure is not part of an outage.
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

    /// Which batch the next probe sends.
    pub fn next_probe(&mut self) -> Probe {
        let next = self.probe;
        self.probe = match next {
            Probe::Oldest => Probe::Newest,
            Probe::Newest => Probe::Oldest,
        };
        next
    }

    /// The sink accepted or decided something.
    pub fn success(&mut self, now: Instant) -> Change {
        self.in_doubt = false;
        self.backoff.success(now).map_or(Change::None, Change::Back)
    }

    /// A request failed, and its content may be the cause.
    pub fn doubt(&mut self, trouble: Trouble, now: Instant, random: f64) -> Change {
        if self.is_well() {
            self.in_doubt = true;
            return Change::None;
        }
        self.failure(trouble, None, now, random)
    }

    /// A request failed, and the sink itself is the cause. `asked` is the wait that the sink asked for.
    pub fn failure(&mut self, trouble: Trouble, asked: Option<Duration>, now: Instant, random: f64) -> Change {
        let before = self.backoff.trouble();
        let wait = self.backoff.failure(trouble, asked, now, random);
        if before == Some(trouble) { Change::Still(wait) } else { Change::Lost(wait) }
    }
}
