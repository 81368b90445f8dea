//! What is remembered of each series of a check from run to run, and how many there may be.
//!
//! One table per check, keyed by series, so that neither two disks nor two checks share history.

use crate::model::point::{Series, Tags, Text};
use crate::model::rates::Before;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Runs in which a series may be missing until it is forgotten.
const FORGET_AFTER: u32 = 10;

/// All series of a check. Known ones keep flowing; new ones beyond the bound are refused and counted.
pub struct KnownSeries {
    most: usize,
    known: HashMap<Series, Known>,
    /// Counters that have another name than their series, as that of a device, by metric and name.
    parts: HashMap<Text, HashMap<Box<str>, Counter>>,
    run: u32,
    refused: usize,
}

/// What is remembered of a series.
#[derive(Default)]
struct Known {
    counter: Counter,
    /// Where the last point of this run is in the batch.
    place: Option<u32>,
    /// The run it was last seen in.
    seen: u32,
}

/// What is remembered of a counter.
#[derive(Default)]
struct Counter {
    before: Before,
    /// The run in which it was told last, and the time that was told with it.
    told: Option<(u32, i64)>,
}

impl Counter {
    /// What was before, when it is told in that run for that time. One that is told again has its sample taken back.
    fn told_in(&mut self, run: u32, time: i64) -> &mut Before {
        if self.told.replace((run, time)) == Some((run, time)) {
            self.before.take_back();
        }
        &mut self.before
    }
}

/// The counters of one metric that have names of their own.
pub struct Parts<'a> {
    counters: &'a mut HashMap<Box<str>, Counter>,
    run: u32,
}

impl Parts<'_> {
    /// What that makes of what was before of the one with that name, which is told now for that time.
    pub fn change<T>(&mut self, name: &str, time: i64, of: impl FnOnce(&mut Before) -> T) -> T {
        // Nearly all are known: only a new one needs a copy of its name.
        match self.counters.get_mut(name) {
            Some(counter) => of(counter.told_in(self.run, time)),
            None => of(self.counters.entry(name.into()).or_default().told_in(self.run, time)),
        }
    }
}

/// What is remembered of a series that is told now.
pub struct Remembered<'a> {
    pub before: &'a mut Before,
    pub place: &'a mut Option<u32>,
}

impl KnownSeries {
    pub fn new(most: usize) -> KnownSeries {
        KnownSeries { most, known: HashMap::new(), parts: HashMap::new(), run: 0, refused: 0 }
    }

    pub fn begin_run(&mut self) {
        self.run = self.run.wrapping_add(1);
        self.refused = 0;
    }

    /// Forgets what was not seen for long, and of parts what was not seen in this run: one that comes back starts anew. With
    /// the bound, how many series were refused in this run.
    pub fn end_run(&mut self) -> (usize, usize) {
        let is_seen = |counter: &Counter| counter.told.is_some_and(|(run, _)| run == self.run);
        self.parts.retain(|_, counters| {
            counters.retain(|_, counter| is_seen(counter));
            !counters.is_empty()
        });
        self.known.retain(|_, known| self.run.wrapping_sub(known.seen) <= FORGET_AFTER);
        (self.most, self.refused)
    }

    /// Whether a new one would be refused.
    pub fn is_full(&self) -> bool {
        self.known.len() >= self.most
    }

    /// Whether this one would be.
    pub fn refuses(&self, series: &Series) -> bool {
        self.is_full() && !self.known.contains_key(series)
    }

    /// What was before of the counters of that metric which have names of their own.
    pub fn parts(&mut self, metric: &Text) -> Parts<'_> {
        let run = self.run;
        Parts { counters: self.parts.entry(metric.clone()).or_default(), run }
    }

    /// What is remembered of it, or of that device's counter of its name; `None`: refused. A counter that is told again in this
    /// run, for the same time, has its sample taken back.
    pub fn of(&mut self, series: &Series, device: Option<&str>, time: i64) -> Option<Remembered<'_>> {
        let is_full = self.is_full();
        let known = match self.known.entry(series.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if is_full => {
                self.refused += 1;
                return None;
            }
            Entry::Vacant(entry) => entry.insert(Known::default()),
        };
        if known.seen != self.run {
            (known.seen, known.place) = (self.run, None);
        }
        let counter = match device {
            Some(device) => self.parts.entry(series.name.clone()).or_default().entry(device.into()).or_default(),
            None => &mut known.counter,
        };
        Some(Remembered { before: counter.told_in(self.run, time), place: &mut known.place })
    }

    /// Lets every series of that host start anew, and every device.
    pub fn begin_anew(&mut self, host: Option<&str>) {
        let own = self.known.iter_mut().filter(|(series, _)| series.host.as_deref() == host);
        own.for_each(|(_, known)| known.counter = Counter::default());
        self.parts.clear();
    }

    /// Lets every series start anew that has all tags of one of these.
    pub fn forget(&mut self, gone: &[Tags]) {
        // By their first tags: thousands may leave at once.
        let mut by_first: HashMap<_, Vec<&Tags>> = HashMap::new();
        for tags in gone {
            by_first.entry(tags.iter().next()).or_default().push(tags);
        }
        let is_gone = |series: &Series| {
            let firsts = series.tags.iter().map(Some).chain([None]).filter_map(|first| by_first.get(&first));
            firsts.flatten().any(|tags| tags.iter().all(|tag| series.tags.iter().any(|own| own == tag)))
        };
        if !by_first.is_empty() {
            let left = self.known.iter_mut().filter(|(series, _)| is_gone(series));
            left.for_each(|(_, known)| known.counter = Counter::default());
        }
    }
}
