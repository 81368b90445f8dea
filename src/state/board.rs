//! The states of everything that is switched on.
//!
//! Its lock is taken when something is switched on or off, breaks or is repaired, and when the states are read; not by
//! a run.

use super::{Condition, Entry, Kind, State};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by the tick loop, which writes it, and by its readers.
#[derive(Default)]
pub struct Board(Mutex<BTreeMap<(Kind, String), Place>>);

/// For one name: its activation, the error of its entry in the folder, or both.
#[derive(Default)]
struct Place {
    entry: Option<Arc<Entry>>,
    broken: Option<Broken>,
}

struct Broken {
    why: String,
    since: i64,
    /// The daemon's period, because the period of a broken entry is not known.
    period: Duration,
}

impl Board {
    /// Publishes an activation, which replaces an earlier one.
    pub fn put(&self, kind: Kind, name: &str, entry: &Arc<Entry>) {
        self.lock().entry((kind, name.into())).or_default().entry = Some(Arc::clone(entry));
    }

    /// It is not switched on any more.
    pub fn remove(&self, kind: Kind, name: &str) {
        self.lock().remove(&(kind, name.into()));
    }

    /// Its entry is broken now. If it runs, it goes on as configured before.
    pub fn broken(&self, kind: Kind, name: &str, why: &str, period: Duration, wall: i64) {
        let mut places = self.lock();
        let broken = &mut places.entry((kind, name.into())).or_default().broken;
        let since = broken.as_ref().map_or(wall, |broken| broken.since);
        *broken = Some(Broken { why: why.into(), since, period });
    }

    /// Its entry is not broken any more.
    pub fn mended(&self, kind: Kind, name: &str) {
        if let Some(place) = self.lock().get_mut(&(kind, name.into())) {
            place.broken = None;
        }
    }

    /// Sets the daemon's period for broken entries.
    pub fn set_period(&self, period: Duration) {
        self.lock().values_mut().filter_map(|place| place.broken.as_mut()).for_each(|broken| broken.period = period);
    }

    /// Copies of all states, ordered by kind and name.
    pub fn states(&self) -> Vec<State> {
        self.lock().iter().flat_map(|((kind, name), place)| place.states(*kind, name)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Kind, String), Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn states(&self, kind: Kind, name: &str) -> Vec<State> {
        let mut states = self.entry.as_ref().map(|entry| entry.states(kind, name)).unwrap_or_default();
        let Some(Broken { why, since, period }) = &self.broken else { return states };
        match states.first_mut() {
            Some(state) if state.condition == Condition::Ok => {
                state.condition = Condition::Fault;
                state.since = *since;
                state.why = Some(format!("{why}; it goes on as before"));
            }
            Some(_) => {}
            None => states.push(State {
                kind,
                name: name.into(),
                server: None,
                condition: Condition::Off,
                why: Some(why.clone()),
                since: *since,
                period: *period,
                last: None,
                faults: 0,
                missed: 0,
                open: Vec::new(),
            }),
        }
        states
    }
}
