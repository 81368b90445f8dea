//! All that is switched on, each with its state. Its lock is taken when something is switched on or off, breaks or is mended, and
//! when somebody reads; a run does not touch it.

use super::{Condition, Entry, Kind, State};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by the tick loop, which writes it, and whoever reads it.
#[derive(Default)]
pub struct Board(Mutex<BTreeMap<(Kind, String), Place>>);

/// Of one name: what is taken up, what is wrong with its entry in the folder, or both.
#[derive(Default)]
struct Place {
    entry: Option<Arc<Entry>>,
    broken: Option<Broken>,
}

struct Broken {
    why: String,
    since: i64,
    /// Of the daemon: its own is not known.
    period: Duration,
}

impl Board {
    /// That is taken up, in place of what was before.
    pub fn put(&self, kind: Kind, name: &str, entry: &Arc<Entry>) {
        self.lock().entry((kind, name.into())).or_default().entry = Some(Arc::clone(entry));
    }

    /// It is switched on no more.
    pub fn remove(&self, kind: Kind, name: &str) {
        self.lock().remove(&(kind, name.into()));
    }

    /// It cannot be taken up as it is now; what was taken up before goes on.
    pub fn broken(&self, kind: Kind, name: &str, why: &str, period: Duration, wall: i64) {
        let mut places = self.lock();
        let broken = &mut places.entry((kind, name.into())).or_default().broken;
        let since = broken.as_ref().map_or(wall, |broken| broken.since);
        *broken = Some(Broken { why: why.into(), since, period });
    }

    /// Nothing is wrong with its entry any more.
    pub fn mended(&self, kind: Kind, name: &str) {
        if let Some(place) = self.lock().get_mut(&(kind, name.into())) {
            place.broken = None;
        }
    }

    /// Of the daemon, from now on.
    pub fn set_period(&self, period: Duration) {
        self.lock().values_mut().filter_map(|place| place.broken.as_mut()).for_each(|broken| broken.period = period);
    }

    /// Copies of all states, by kind and name.
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
