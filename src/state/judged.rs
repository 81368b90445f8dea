//! The health events of a check: which are not `ok`, and when a level changes. Pure: the times come with the events.

use crate::model::point::{HealthEvent, Level};
use std::collections::BTreeMap;

/// Most events of one check that are not `ok`. Further events are ignored until there is room.
const MOST: usize = 1_000;
/// An event is forgotten after this many seconds without a judgement.
const FORGOTTEN: i64 = 3 * 3_600;
/// A judgement is valid for this many times the interval between the last two judgements.
const FRESH: i64 = 3;

/// An event that is not `ok`.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    pub event: String,
    pub level: Level,
    pub message: String,
    /// Since when it has this level, in Unix seconds.
    pub since: i64,
    /// When it was judged last, and the seconds between the last two judgements.
    last: i64,
    distance: i64,
}

impl Open {
    /// Whether the judgement is still valid. `period` is the check's, in seconds.
    pub fn holds(&self, now: i64, period: i64) -> bool {
        now.saturating_sub(self.last) <= self.distance.max(period).saturating_mul(FRESH)
    }
}

/// A change of an event's level.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Unix seconds.
    pub time: i64,
    pub event: String,
    pub level: Level,
    pub message: String,
    /// Seconds for which it was not `ok`, if it is `ok` again.
    pub lasted: Option<i64>,
}

/// Open events by name. Before its first judgement an event counts as `ok`.
#[derive(Default)]
pub(super) struct Judged(BTreeMap<String, Open>);

impl Judged {
    /// Takes the judgements of a run. Of several judgements of one event the newest counts, of several at the same time
    /// the worst.
    pub fn take(&mut self, events: &[HealthEvent]) -> Vec<Change> {
        let mut newest: BTreeMap<&str, &HealthEvent> = BTreeMap::new();
        for event in events {
            let known = newest.entry(&event.name).or_insert(event);
            if (event.time, event.level) > (known.time, known.level) {
                *known = event;
            }
        }
        let changes = newest.into_values().filter_map(|event| self.judge(event)).collect();
        if let Some(now) = events.iter().map(|event| event.time).max() {
            self.0.retain(|_, open| now.saturating_sub(open.last) < FORGOTTEN);
        }
        changes
    }

    fn judge(&mut self, event: &HealthEvent) -> Option<Change> {
        let HealthEvent { name, level, message, time, .. } = event;
        let change = |lasted| {
            let (event, message) = (name.to_string(), message.clone());
            Some(Change { time: *time, event, level: *level, message, lasted })
        };
        let is_full = self.0.len() >= MOST;
        match (self.0.get_mut(name.as_ref()), level) {
            (None, Level::Ok) => None,
            (Some(open), _) if *time < open.last => None,
            (Some(open), Level::Ok) => {
                let lasted = time.saturating_sub(open.since);
                self.0.remove(name.as_ref());
                change(Some(lasted))
            }
            (Some(open), _) => {
                (open.distance, open.last) = (time.saturating_sub(open.last), *time);
                open.message.clone_from(message);
                if open.level == *level {
                    return None;
                }
                (open.level, open.since) = (*level, *time);
                change(None)
            }
            (None, _) if is_full => None,
            (None, _) => {
                let (event, message) = (name.to_string(), message.clone());
                let open = Open { event, level: *level, message, since: *time, last: *time, distance: 0 };
                self.0.insert(name.to_string(), open);
                change(None)
            }
        }
    }

    /// The events that are not `ok`.
    pub fn open(&self) -> Vec<Open> {
        self.0.values().cloned().collect()
    }
}
