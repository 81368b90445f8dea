//! The health events of a check as they stand: which are not well, and when a level changes. Pure: times come in with the events.

use crate::model::point::{HealthEvent, Level};
use std::collections::BTreeMap;

/// Events of one check that are not well and known at once. Further ones are told when there is room.
const MOST: usize = 1_000;
/// Seconds without a judgement after which an event is not known any more.
const FORGOTTEN: i64 = 3 * 3_600;
/// Times that a judgement may be as old as two judgements lie apart, and still hold.
const FRESH: i64 = 3;

/// An event that is not well.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    pub event: String,
    pub level: Level,
    pub message: String,
    /// Unix seconds since when it has this level.
    pub since: i64,
    /// When it was judged last, and how long after the time before.
    last: i64,
    distance: i64,
}

impl Open {
    /// Whether that judgement holds still; periods are of the check, in seconds.
    pub fn holds(&self, now: i64, period: i64) -> bool {
        now.saturating_sub(self.last) <= self.distance.max(period).saturating_mul(FRESH)
    }
}

/// An event that has another level than before.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Unix seconds.
    pub time: i64,
    pub event: String,
    pub level: Level,
    pub message: String,
    /// Seconds for which it was not well, where it is well again.
    pub lasted: Option<i64>,
}

/// By the name of the event. Before its first judgement all was well.
#[derive(Default)]
pub(super) struct Judged(BTreeMap<String, Open>);

impl Judged {
    /// Takes in the judgements of a run: of several of one event the newest counts, and of several of one time the worst.
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

    /// Those that are not well.
    pub fn open(&self) -> Vec<Open> {
        self.0.values().cloned().collect()
    }
}
