//! The previous samples of all series of a check, and the limit on their number.
//!
//! Each check has its own table, keyed by series, so neither two disks nor two checks share their history.

use crate::model::point::{Series, Tags, Text};
use crate::model::rates::SampleHistory;
use foldhash::{HashMap, HashSet};
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A series that is missing in more runs than this is forgotten.
const FORGET_AFTER: u32 = 10;

/// The place of a series without a point; no batch is that long.
const NO_PLACE: u32 = u32::MAX;

/// All series of a check. Beyond the limit `most`, new series are refused and counted; known ones continue.
pub struct KnownSeries {
    most: usize,
    /// What many series have in common, so that each of them keeps a number for it.
    families: HashMap<Family, FamilyState>,
    /// The number of the next family.
    next: u32,
    known: HashMap<Member, Known>,
    /// Counters identified by a device that can be renamed, not by their series.
    devices: HashMap<Box<str>, DeviceCounters>,
    /// Counters that are parts of a sum: by metric, then by the fingerprint of the identity.
    parts: HashMap<Text, HashMap<u64, Counter>>,
    run: u32,
    refused: usize,
}

/// The identity of a series without its tags.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Family {
    name: Text,
    check_type: Text,
    host: Option<Arc<str>>,
}

struct FamilyState {
    number: u32,
    /// The last run that had it.
    seen: u32,
}

/// The identity of a series: the number of its family, and its tags in any order.
struct Member {
    tags: Tags,
    family: u32,
}

impl PartialEq for Member {
    fn eq(&self, other: &Member) -> bool {
        self.family == other.family && self.tags.are_those_of(&other.tags)
    }
}

impl Eq for Member {}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.family);
        state.write_u64(self.tags.hash_in_any_order());
    }
}

/// The state of one series.
struct Known {
    /// Its samples; `None` if it was never told as a counter. Boxed because most series are none.
    counter: Option<Box<Counter>>,
    /// Index of its last point in the batch of this run, or [`NO_PLACE`].
    place: u32,
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

/// The counters of one device, each with the number of its family. They are few, and there may be thousands of devices.
#[derive(Default)]
struct DeviceCounters(Vec<(u32, Counter)>);

impl DeviceCounters {
    /// The counter of this family; a new one if there was none.
    fn of(&mut self, family: u32) -> Option<&mut Counter> {
        let DeviceCounters(counters) = self;
        let place = counters.iter().position(|(own, _)| *own == family).unwrap_or(counters.len());
        if place == counters.len() {
            counters.reserve_exact(1);
            counters.push((family, Counter::default()));
        }
        counters.get_mut(place).map(|(_, counter)| counter)
    }
}

/// The counters of one metric that have identities of their own.
pub struct Parts<'a> {
    counters: &'a mut HashMap<u64, Counter>,
    run: u32,
}

impl Parts<'_> {
    /// Calls `of` with the previous samples of the counter with this fingerprint. `time` is the timestamp of the new
    /// sample.
    pub fn change<T>(&mut self, counter: u64, time: i64, of: impl FnOnce(&mut SampleHistory) -> T) -> T {
        of(self.counters.entry(counter).or_default().new_sample(self.run, time))
    }
}

/// The state of a series while its point is computed.
pub struct SeriesState<'a> {
    /// `None` if the series is no counter.
    pub history: Option<&'a mut SampleHistory>,
    /// Index of its last point in the batch of this run; of no point if it has none yet.
    pub place: &'a mut u32,
}

impl KnownSeries {
    /// `most`: the maximum number of series.
    pub fn new(most: usize) -> KnownSeries {
        KnownSeries {
            most,
            families: HashMap::default(),
            next: 0,
            known: HashMap::default(),
            devices: HashMap::default(),
            parts: HashMap::default(),
            run: 0,
            refused: 0,
        }
    }

    /// Must be called at the start of every run.
    pub fn begin_run(&mut self) {
        self.run = self.run.wrapping_add(1);
        self.refused = 0;
    }

    /// Forgets series that were missing for [`FORGET_AFTER`] runs, and counters with their own identity that were
    /// missing in this run. Returns the limit, and how many series were refused in this run.
    pub fn end_run(&mut self) -> (usize, usize) {
        let run = self.run;
        let is_seen = |counter: &Counter| counter.last_sample.is_some_and(|(seen, _)| seen == run);
        self.devices.retain(|_, DeviceCounters(counters)| {
            counters.retain(|(_, counter)| is_seen(counter));
            !counters.is_empty()
        });
        self.parts.retain(|_, counters| {
            counters.retain(|_, counter| is_seen(counter));
            !counters.is_empty()
        });
        self.known.retain(|_, known| run.wrapping_sub(known.seen) <= FORGET_AFTER);
        self.families.retain(|_, family| run.wrapping_sub(family.seen) <= FORGET_AFTER);
        (self.most, self.refused)
    }

    /// Whether a new series would be refused.
    pub fn is_full(&self) -> bool {
        self.known.len() >= self.most
    }

    /// Whether this series would be refused.
    pub fn refuses(&self, series: &Series) -> bool {
        if !self.is_full() {
            return false;
        }
        let Series { name, check_type, host, tags } = series.clone();
        let family = self.families.get(&Family { name, check_type, host }).map(|family| family.number);
        family.is_none_or(|family| !self.known.contains_key(&Member { tags, family }))
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
        let run = self.run;
        let is_full = self.is_full();
        let Series { name, check_type, host, tags } = series;
        // Looked up by reference first: nearly all are known, and only a new one needs a copy of its name.
        let family = Family { name, check_type, host };
        let number = match self.families.get_mut(&family) {
            Some(known) => {
                known.seen = run;
                known.number
            }
            None if is_full => {
                self.refused += 1;
                return None;
            }
            None => {
                let number = self.next;
                self.next = number.wrapping_add(1);
                self.families.insert(family.clone(), FamilyState { number, seen: run });
                number
            }
        };
        // The point shares the tags with the remembered series, so that a batch needs no memory for them.
        let (tags, known) = match self.known.entry(Member { tags, family: number }) {
            Entry::Occupied(known) => (known.key().tags.clone(), known.into_mut()),
            Entry::Vacant(_) if is_full => {
                self.refused += 1;
                return None;
            }
            Entry::Vacant(new) => {
                let known = Known { counter: None, place: NO_PLACE, seen: run };
                (new.key().tags.clone(), new.insert(known))
            }
        };
        if known.seen != run {
            (known.seen, known.place) = (run, NO_PLACE);
        }
        let counter = match device {
            _ if !is_counter => None,
            Some(device) => match self.devices.get_mut(device) {
                Some(counters) => counters.of(number),
                None => self.devices.entry(device.into()).or_default().of(number),
            },
            None => Some(&mut **known.counter.get_or_insert_default()),
        };
        let history = counter.map(|counter| counter.new_sample(run, time));
        let Family { name, check_type, host } = family;
        let series = Series { name, check_type, host, tags };
        Some(tell(series, SeriesState { history, place: &mut known.place }))
    }

    /// Forgets the samples of all series of that host, and of all devices.
    pub fn begin_anew(&mut self, host: Option<&str>) {
        let own = self.families.iter().filter(|(family, _)| family.host.as_deref() == host);
        let own: HashSet<u32> = own.map(|(_, family)| family.number).collect();
        let own = self.known.iter_mut().filter(|(member, _)| own.contains(&member.family));
        own.for_each(|(_, known)| known.counter = None);
        self.devices.clear();
        self.parts.clear();
    }

    /// Forgets the samples of every series that has all tags of one entry of `gone`.
    pub fn forget(&mut self, gone: &[Tags]) {
        // Indexed by first tag, because thousands of devices may leave at once.
        let mut by_first: HashMap<_, Vec<&Tags>> = HashMap::default();
        for tags in gone {
            by_first.entry(tags.iter().next()).or_default().push(tags);
        }
        let is_gone = |own: &Tags| {
            let firsts = own.iter().map(Some).chain([None]).filter_map(|first| by_first.get(&first));
            firsts.flatten().any(|tags| tags.iter().all(|tag| own.iter().any(|own| own == tag)))
        };
        if !by_first.is_empty() {
            let left = self.known.iter_mut().filter(|(member, _)| is_gone(&member.tags));
            left.for_each(|(_, known)| known.counter = None);
        }
    }
}
