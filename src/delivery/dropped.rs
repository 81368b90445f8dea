//! Counts of dropped points, by the bound that was reached.

use std::collections::BTreeMap;

/// Why points were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// The queue's bound, reached by one tick alone.
    Tick,
    /// The queue's bound, with batches that waited already.
    Queue,
    /// The spool's bound in memory, while the disk refuses.
    Memory,
    Entries,
    Bytes,
    Age,
    Disk,
    /// No bound: somebody removed the files.
    Removed,
    /// The daemon stopped while the disk refused.
    End,
}

impl Bound {
    /// For the log: what was reached, and what can be done about it.
    pub fn sentence(self) -> &'static str {
        match self {
            Bound::Tick => {
                "more came in one tick than memory may hold, 100000 points or 64 MiB: lower max_series, \
                 or let the largest checks run at other times by a check_period_seconds of their own"
            }
            Bound::Queue => {
                "more waited in memory than it may hold, 100000 points or 64 MiB: delivery was kept waiting, \
                 by the disk of the spool or for want of a processor"
            }
            Bound::Memory => {
                "the disk takes nothing, and 20000 points wait in memory; make room or let the daemon write in tmpdir"
            }
            Bound::Entries => "the spool holds max_cache batches, the oldest had to go",
            Bound::Bytes => "the spool holds spool_max_bytes, the oldest had to go",
            Bound::Age => "they waited longer than spool_max_age",
            Bound::Disk => "the disk of the spool is full but for its reserve, the oldest had to go",
            Bound::Removed => "somebody removed their files from the spool",
            Bound::End => "the disk did not take them before the end",
        }
    }
}

/// Dropped points by bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dropped(BTreeMap<Bound, usize>);

impl Dropped {
    /// Counts dropped points.
    pub fn drop(&mut self, bound: Bound, points: usize) {
        if points > 0 {
            *self.0.entry(bound).or_default() += points;
        }
    }

    pub fn add(&mut self, other: Dropped) {
        other.0.into_iter().for_each(|(bound, points)| self.drop(bound, points));
    }

    pub fn iter(&self) -> impl Iterator<Item = (Bound, usize)> {
        self.0.iter().map(|(bound, points)| (*bound, *points))
    }

    pub fn points(&self) -> usize {
        self.0.values().sum()
    }
}
