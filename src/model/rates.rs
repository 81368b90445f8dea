//! Counters into change: per second, or since the previous sample.
//!
//! Four honest answers: a number, "not yet" on the first sample, "it restarted" when the counter went back, "impossible" when
//! it grew faster than it can.

use std::time::{Duration, Instant};

/// A counter as read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// Exact over the whole range; differences are taken before anything becomes a float.
    Whole(u64),
    /// For sources that count in fractions.
    Real(f64),
}

/// What it means when a counter is smaller than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backward {
    /// The source restarted: no point.
    Reset,
    /// The source counts in 32 bits and passed its end. Only for counters that are declared so.
    Wrap32,
    /// The kernel documents small steps back (idle, iowait): no change.
    Clamp,
}

/// How late a counter may be brought up to date, or its reading be stamped: it may seem to have grown for so much longer than
/// the time between two samples. The kernel brings its pressure counters up to date every two seconds.
const LATE: Duration = Duration::from_millis(2500);

/// The answer to "by how much did it change?".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Number(f64),
    /// First sample of this series, or no time has passed since the last.
    NotYet,
    /// The counter started anew; the next sample gives a number again.
    Restarted,
    /// More than can be in that time.
    Impossible,
}

impl Change {
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

/// The previous sample of a counter, none before the first, and the one that it replaced.
#[derive(Default)]
pub struct Before {
    last: Option<Sample>,
    earlier: Option<Sample>,
}

impl Before {
    /// Change per second of real elapsed time since the previous sample. Never negative, never infinite.
    pub fn per_second(&mut self, count: Count, at: Instant, rule: Backward) -> Change {
        match self.step(count, at, rule) {
            (Change::Number(difference), elapsed) => Change::Number(difference / elapsed.as_secs_f64()),
            (other, _) => other,
        }
    }

    /// The same of a counter that cannot grow by more than `most` a second: a little more, which comes of late samples, is `most`.
    pub fn per_second_up_to(&mut self, most: f64, count: Count, at: Instant, rule: Backward) -> Change {
        match self.step(count, at, rule) {
            (Change::Number(difference), elapsed) if difference <= most * (elapsed + LATE).as_secs_f64() => {
                Change::Number((difference / elapsed.as_secs_f64()).min(most))
            }
            (Change::Number(_), _) => Change::Impossible,
            (other, _) => other,
        }
    }

    /// Change since the previous sample, whatever time has passed.
    pub fn delta(&mut self, count: Count, at: Instant, rule: Backward) -> Change {
        self.step(count, at, rule).0
    }

    /// Takes the last sample back: the next one stands for it.
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
