//! What became of a spooled batch when it was tried: how long it waits now, and what that proves of its content. Pure.

use std::time::{Duration, Instant};

/// Waits of a batch that did not get through: the first and the longest.
const WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Failures, others being taken before each, after which a batch is taken apart.
const DIVIDED_AT: u32 = 2;
/// The same for a single point, which is refused then. A part of a batch begins with one failure on its account.
const REFUSED_AT: u32 = 6;

/// The past of a batch that waits in the spool.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// It is not tried before.
    pub not_before: Instant,
    /// How often it waited already.
    rounds: u32,
    /// Failures of the whole request while others were taken: what is in it may be the cause.
    pub blame: u32,
    /// How often it was alone and refused between others that were taken.
    alone: u32,
    /// What the sink said last.
    pub status: u16,
    pub why: String,
}

/// Why points did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The sink named them, or the search among them was broken off.
    Named,
    /// The whole request failed while others are taken.
    Blamed,
    /// They were alone and refused, after the sink took others. When it takes something next, that counts; else they are tried
    /// again much later.
    Isolated,
    /// The whole request failed, as others did: that says nothing of it.
    Outage,
}

/// What is to become of points that did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Tried again when its time has come.
    Wait,
    /// Its halves are tried, each by itself.
    Divide,
    /// A single point, proved to be what the sink stumbles over.
    Refuse,
}

impl History {
    /// After one more failure of `points` points.
    pub fn after(
        before: Option<&History>,
        points: usize,
        cause: Cause,
        (status, why): (u16, &str),
        now: Instant,
    ) -> (History, Consequence) {
        let (mut rounds, mut blame, mut alone) =
            before.map_or((0, 0, 0), |before| (before.rounds, before.blame, before.alone));
        let (first, most) = WAIT;
        let wait = first.saturating_mul(1 << rounds.min(16)).min(most);
        let wait = match cause {
            // No reason to wait longer when it is over.
            Cause::Outage => first,
            Cause::Isolated => most,
            Cause::Named | Cause::Blamed => wait,
        };
        rounds += u32::from(cause != Cause::Outage);
        blame += u32::from(matches!(cause, Cause::Blamed | Cause::Isolated));
        alone += u32::from(cause == Cause::Isolated);
        let consequence = match points {
            _ if cause != Cause::Blamed => Consequence::Wait,
            1 if blame >= REFUSED_AT => Consequence::Refuse,
            2.. if blame >= DIVIDED_AT => Consequence::Divide,
            _ => Consequence::Wait,
        };
        let history = History { not_before: now + wait, rounds, blame, alone, status, why: why.into() };
        (history, consequence)
    }

    /// Of a half: it has its own proof to give, and no time to lose.
    pub fn of_half(self, now: Instant) -> History {
        History { not_before: now + WAIT.0, rounds: 0, blame: DIVIDED_AT - 1, ..self }
    }

    /// Whether it was alone and refused before.
    pub fn was_alone(&self) -> bool {
        self.alone > 0
    }

    /// The sink took something after it was alone and refused: `None` when that proves enough, else it is tried once more, now.
    pub fn after_a_success(self, now: Instant) -> Option<History> {
        if self.alone < 2 { Some(History { not_before: now, ..self }) } else { None }
    }

    /// Whether the sink had something against these points, and not only was away.
    pub fn has_reason(&self) -> bool {
        self.rounds > 0 || self.blame > 0
    }

    /// Whether what is in it may be why it failed: then it is sent by itself.
    pub fn is_suspect(&self) -> bool {
        self.blame > 0
    }
}
