//! The previous samples of all series of a check, and the limit on their number.
//!
//! Each check has its own table, keyed by series, so neither two disks nor two checks share their history.

use crate::model::fingerprint::fingerprint;
use crate::model::point::{Series, Tags, Text};
use crate::model::rates::SampleHistory;
use foldhash::HashMap;

/// A series that is missing in more runs than this is forgotten.
const FORGET_AFTER: u32 = 10;

/// All series of a check. Beyond the limit `most`, new series are refused and counted; known ones continue.
pub struct KnownSeries {
    most: usize,
    known: HashMap<Series, Known>,
    /// Counters identified by something else than their series, such as the number of a device: by metric, then by
    /// the [`fingerprint`] of the identity.
    parts: HashMap<Text, HashMap<u64, Counter>>,
    run: u32,
    refused: usize,
}

/// The state of one series.
struct Known {
    /// Shared with all its points, so that a batch needs no memory for tags.
    tags: Tags,
    /// Its samples; `None` if it was never told as a counter. Boxed because most series are none.
    counter: Option<Box<Counter>>,
    /// Index of its last point in the batch of this run.
    place: Option<u32>,
    /// The last run that had it.
    seen: u32,
}

/// The state of one counter.
#[derive(Default)]
struct Counter {
    history: SampleHistory,
    /// Run and timestamp of the last sample.
    last_sample: Option<(u32, i64)>,
}

impl Counter {
    /// The previous samples, for a new sample in this run with this timestamp. If the run had a sample with that
    /// timestamp already, the new one replaces it.
    fn new_sample(&mut self, run: u32, time: i64) -> &mut SampleHistory {
        if self.last_sample.replace((run, time)) == Some((run, time)) {
            self.history.take_back();
        }
        &mut self.history
    }
}

/// The counters of one metric that have identities of their own.
pub struct Parts<'a> {
    counters: &'a mut HashMap<u64, Counter>,
    run: u32,
}

impl Parts<'_> {
    /// Calls `of` with the previous samples of the counter with this [`fingerprint`]. `time` is the timestamp of the new
    /// sample.
    pub fn change<T>(&mut self, counter: u64, time: i64, of: impl FnOnce(&mut SampleHistory) -> T) -> T {
        of(self.counters.entry(counter).or_default().new_sample(self.run, time))
    }
}

/// The state of a series while its point is computed.
pub struct SeriesState<'a> {
    /// `None` if the series is no counter.
    pub history: Option<&'a mut SampleHistory>,
    pub place: &'a mut Option<u32>,
}

impl KnownSeries {
    /// `most`: the maximum number of series.
    pub fn new(most: usize) -> KnownSeries {
        KnownSeries { most, known: HashMap::default(), parts: HashMap::default(), run: 0, refused: 0 }
    }

    /// Must be called at the start of every run.
    pub fn begin_run(&mut self) {
        self.run = self.run.wrapping_add(1);
        self.refused = 0;
    }

    /// Forgets series that were missing for [`FORGET_AFTER`] runs, and counters with their own identity that were
    /// missing in this run. Returns the limit, and how many series were refused in this run.
    pub fn end_run(&mut self) -> (usize, usize) {
        let is_seen = |counter: &Counter| counter.last_sample.is_some_and(|(run, _)| run == self.run);
        self.parts.retain(|_, counters| {
            counters.retain(|_, counter| is_seen(counter));
            !counters.is_empty()
        });
        self.known.retain(|_, known| self.run.wrapping_sub(known.seen) <= FORGET_AFTER);
        (self.most, self.refused)
    }

    /// Whether a new series would be refused.
    pub fn is_full(&self) -> bool {
        self.known.len() >= self.most
    }

    /// Whether this series would be refused.
    pub fn refuses(&self, series: &Series) -> bool {
        self.is_full() && !self.known.contains_key(series)
    }

    /// The counters of this metric that have identities of their own.
    pub fn parts(&mut self, metric: &Text) -> Parts<'_> {
        let run = self.run;
        Parts { counters: self.parts.entry(metric.clone()).or_default(), run }
    }

    /// Calls `tell` with the state of a series. With `is_counter` the state has the sample history: that of the device if
    /// `device` is given, else that of the series. `None`: the series is refused, and `tell` is not called. If the run had
    /// a sample with this timestamp already, the new one replaces it.
    pub fn of<T>(
        &mut self,
        series: Series,
        is_counter: bool,
        device: Option<&str>,
        time: i64,
        tell: impl FnOnce(Series, SeriesState) -> T,
    ) -> Option<T> {
        let is_full = self.is_full();
        // Looked up by reference first: nearly all series are known, and only a new one needs a copy of its name.
        let known = match self.known.get_mut(&series) {
            Some(known) => known,
            None if is_full => {
                self.refused += 1;
                return None;
            }
            None => {
                let new = Known { tags: series.tags.clone(), counter: None, place: None, seen: 0 };
                self.known.entry(series.clone()).or_insert(new)
            }
        };
        if known.seen != self.run {
            (known.seen, known.place) = (self.run, None);
        }
        let counter = match device {
            _ if !is_counter => None,
            Some(device) => {
                Some(self.parts.entry(series.name.clone()).or_default().entry(fingerprint(device)).or_default())
            }
            None => Some(&mut **known.counter.get_or_insert_default()),
        };
        let history = counter.map(|counter| counter.new_sample(self.run, time));
        let series = Series { tags: known.tags.clone(), ..series };
        Some(tell(series, SeriesState { history, place: &mut known.place }))
    }

    /// Forgets the samples of all series of that host, and of all devices.
    pub fn begin_anew(&mut self, host: Option<&str>) {
        let own = self.known.iter_mut().filter(|(series, _)| series.host.as_deref() == host);
        own.for_each(|(_, known)| known.counter = None);
        self.parts.clear();
    }

    /// Forgets the samples of every series that has all tags of one entry of `gone`.
    pub fn forget(&mut self, gone: &[Tags]) {
        // Indexed by first tag, because thousands of devices may leave at once.
        let mut by_first: HashMap<_, Vec<&Tags>> = HashMap::default();
        for tags in gone {
            by_first.entry(tags.iter().next()).or_default().push(tags);
        }
        let is_gone = |series: &Series| {
            let firsts = series.tags.iter().map(Some).chain([None]).filter_map(|first| by_first.get(&first));
            firsts.flatten().any(|tags| tags.iter().all(|tag| series.tags.iter().any(|own| own == tag)))
        };
        if !by_first.is_empty() {
            let left = self.known.iter_mut().filter(|(series, _)| is_gone(series));
            left.for_each(|(_, known)| known.counter = None);
        }
    }
}
