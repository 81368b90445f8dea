//! Turns counter samples into rates (per second) and deltas (since the previous sample).
//!
//! There are four results: a number; "not yet" for the first sample; "restarted" if the counter went back; "impossible"
//! if it grew faster than it can.

use std::time::{Duration, Instant};

/// The value of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// Exact over the whole range: the difference is computed before the conversion to a float.
    Whole(u64),
    /// For sources that count in fractions.
    Real(f64),
}

/// What it means if a counter is smaller than its previous sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backward {
    /// The source restarted: no point.
    Reset,
    /// The counter has 32 bits and overflowed. Only for counters declared as such.
    Wrap32,
    /// The kernel documents that the counter may go back a little (idle, iowait): no change.
    Clamp,
}

/// A counter may have been updated, or its reading stamped, this much late, so it may seem to have grown for that much
/// longer than the time between two samples. The kernel updates its pressure counters every two seconds.
const LATE: Duration = Duration::from_millis(2500);

/// By how much a counter changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Number(f64),
    /// The first sample of the series, or no time has passed since the previous one.
    NotYet,
    /// The counter started again at 0; the next sample gives a number.
    Restarted,
    /// More than the counter can have grown in that time.
    Impossible,
}

impl Change {
    /// The number; `None` for every other result.
    pub fn number(self) -> Option<f64> {
        match self {
            Change::Number(number) => Some(number),
            Change::NotYet | Change::Restarted | Change::Impossible => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Sample {
    count: Count,
    at: Instant,
}

/// The last two samples of a counter. The older one is needed for [`SampleHistory::take_back`].
#[derive(Default)]
pub struct SampleHistory {
    last: Option<Sample>,
    earlier: Option<Sample>,
}

impl SampleHistory {
    /// Change per second of elapsed time since the previous sample; never negative or infinite.
    pub fn per_second(&mut self, count: Count, at: Instant, rule: Backward) -> Change {
        match self.step(count, at, rule) {
            (Change::Number(difference), elapsed) => Change::Number(difference / elapsed.as_secs_f64()),
            (other, _) => other,
        }
    }

    /// The same for a counter that grows by at most `most` per second. A slightly higher rate, caused by late samples
    /// (see [`LATE`]), is reported as `most`.
    pub fn per_second_up_to(&mut self, most: f64, count: Count, at: Instant, rule: Backward) -> Change {
        match self.step(count, at, rule) {
            (Change::Number(difference), elapsed) if difference <= most * (elapsed + LATE).as_secs_f64() => {
                Change::Number((difference / elapsed.as_secs_f64()).min(most))
            }
            (Change::Number(_), _) => Change::Impossible,
            (other, _) => other,
        }
    }

    /// Change since the previous sample, however long ago that was.
    pub fn delta(&mut self, count: Count, at: Instant, rule: Backward) -> Change {
        self.step(count, at, rule).0
    }

    /// Removes the last sample, so that the next one replaces it.
    pub fn take_back(&mut self) {
        self.last = self.earlier.take();
    }

    fn step(&mut self, count: Count, at: Instant, rule: Backward) -> (Change, Duration) {
        self.earlier = self.last.replace(Sample { count, at });
        let Some(old) = self.earlier else {
            return (Change::NotYet, Duration::ZERO);
        };
        let elapsed = at.saturating_duration_since(old.at);
        if elapsed.is_zero() {
            return (Change::NotYet, elapsed);
        }
        (difference(old.count, count, rule), elapsed)
    }
}

fn difference(old: Count, new: Count, rule: Backward) -> Change {
    const SPAN_32: u64 = 1 << 32;
    let forward = match (old, new) {
        (Count::Whole(old), Count::Whole(new)) => match new.checked_sub(old) {
            Some(step) => Some(step as f64),
            None if rule == Backward::Wrap32 && old < SPAN_32 => Some((SPAN_32 - old + new) as f64),
            None => None,
        },
        (old, new) => Some(real(new) - real(old)).filter(|step| *step >= 0.0),
    };
    match forward {
        Some(step) if step.is_finite() => Change::Number(step),
        None if rule == Backward::Clamp => Change::Number(0.0),
        _ => Change::Restarted,
    }
}

fn real(count: Count) -> f64 {
    match count {
        Count::Whole(count) => count as f64,
        Count::Real(count) => count,
    }
}
