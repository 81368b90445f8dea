//! Points given up because a bound was reached: how many, and by which bound.

use std::collections::BTreeMap;

/// Why points were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Of the queue, by what came in one tick.
    Tick,
    /// Of the queue, by what waited in it already.
    Queue,
    /// Of memory, while the disk refused.
    Memory,
    Entries,
    Bytes,
    Age,
    Disk,
    /// None: somebody removed their files.
    Removed,
    /// The end came, and the disk had refused.
    End,
}

impl Bound {
    /// What was reached, and what can be done about it.
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

/// Points by the bound that was reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dropped(BTreeMap<Bound, usize>);

impl Dropped {
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
