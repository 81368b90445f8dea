//! The failures of a spooled batch: how long it waits now, and what they prove about its content. Pure.

use std::time::{Duration, Instant};

/// Wait after a failure: the first and the longest.
const WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// A batch is halved after this many failures while other requests were accepted.
const DIVIDED_AT: u32 = 2;
/// A single point is refused after this many such failures. A half starts with one failure counted.
const REFUSED_AT: u32 = 6;

/// The failures of a batch in the spool.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The batch is not sent before this.
    pub not_before: Instant,
    /// Number of waits so far, outages not counted.
    rounds: u32,
    /// Failures of the whole request while others were accepted: this content may be the cause.
    pub blame: u32,
    /// How often the point was sent alone and refused between others that were accepted.
    alone: u32,
    /// The last answer of the sink.
    pub status: u16,
    pub why: String,
}

/// Why points were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The sink named them, or the search for the refused points among them was stopped.
    Named,
    /// The whole request failed while others were accepted.
    Blamed,
    /// A point was sent alone and refused, and others of its shipment were accepted. It counts as proof once the sink
    /// accepts something again; otherwise the point is tried again after the longest wait.
    Isolated,
    /// The whole request failed, and others failed too: this says nothing about the points.
    Outage,
}

/// What happens to points that were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// They are sent again after the wait.
    Wait,
    /// They are halved, and each half is sent by itself.
    Divide,
    /// The single point is refused: it is proved to be the cause.
    Refuse,
}

impl History {
    /// The history after one more failure of `points` points, and its consequence.
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
            // The wait does not grow during an outage, so that sending resumes soon after it.
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

    /// For one half of the batch: it has failed once, as its whole did, and waits the shortest time.
    pub fn of_half(self, now: Instant) -> History {
        History { not_before: now + WAIT.0, rounds: 0, blame: DIVIDED_AT - 1, ..self }
    }

    /// Whether it was sent alone and refused before.
    pub fn was_alone(&self) -> bool {
        self.alone > 0
    }

    /// The sink accepted something after the point was refused alone. `None` if that proves the point to be the cause;
    /// otherwise it is sent once more, now.
    pub fn after_a_success(self, now: Instant) -> Option<History> {
        if self.alone < 2 { Some(History { not_before: now, ..self }) } else { None }
    }

    /// Whether the sink objected to these points, rather than only being unreachable.
    pub fn has_reason(&self) -> bool {
        self.rounds > 0 || self.blame > 0
    }

    /// Whether its content may be why it failed. Such a batch is sent by itself.
    pub fn is_suspect(&self) -> bool {
        self.blame > 0
    }
}
