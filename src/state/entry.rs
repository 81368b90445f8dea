//! The published state of one activation of a check, script or own module; the tick loop and a worker write it.

use super::judged::{Change, Judged};
use super::{Condition, Kind, Run, State};
use crate::model::point::HealthEvent;
use std::fmt::{self, Display, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest reason in bytes; a longer one is cut.
const LONGEST: usize = 1000;

/// One activation. Its lock is held only while a few numbers are written or read.
pub struct Entry {
    now: Mutex<Now>,
}

/// The present state.
struct Now {
    period: Duration,
    health: Health,
    is_running: bool,
    missed: u64,
    /// The further servers of a check, in the order of its sections.
    servers: Vec<Server>,
    judged: Judged,
}

/// The state of a check as a whole, or of one of its servers.
struct Health {
    condition: Condition,
    why: BoundedLine,
    since: i64,
    last: Option<Run>,
    faults: u64,
}

struct Server {
    name: String,
    health: Health,
}

impl Entry {
    /// An entry that has not run yet. `wall` is always the present time in Unix seconds.
    pub fn new(period: Duration, wall: i64) -> Entry {
        let now = Now {
            period,
            health: Health::new(wall),
            is_running: false,
            missed: 0,
            servers: Vec::new(),
            judged: Judged::default(),
        };
        Entry { now: Mutex::new(now) }
    }

    /// Sets its period.
    pub fn set_period(&self, period: Duration) {
        self.lock().period = period;
    }

    /// It cannot start yet for that reason; with an empty reason it is only waiting for its first tick.
    pub fn wait(&self, why: &str, wall: i64) {
        let now = &mut *self.lock();
        now.is_running = false;
        now.health.enter(Condition::Waiting, wall);
        now.health.why.set(&why);
    }

    /// A run begins.
    pub fn begin(&self) {
        self.lock().is_running = true;
    }

    /// It misses a tick, because its run has not ended within `limit`.
    pub fn miss(&self, limit: Duration, wall: i64) {
        let now = &mut *self.lock();
        now.missed += 1;
        // The run may have ended meanwhile.
        if now.is_running && now.health.enter(Condition::Late, wall) {
            now.health.why.set(&format_args!("has not come back after {} s", limit.as_secs_f64()));
        }
    }

    /// A run has ended. `why` describes its faults.
    pub fn ran(&self, run: Run, why: Option<&dyn Display>) {
        let now = &mut *self.lock();
        now.is_running = false;
        now.health.ran(run, why);
    }

    /// The result of the current run for that further server.
    pub fn server_ran(&self, name: &str, run: Run, why: Option<&dyn Display>) {
        let servers = &mut self.lock().servers;
        let place = servers.iter().position(|server| server.name == name).unwrap_or(servers.len());
        if place == servers.len() {
            servers.push(Server { name: name.into(), health: Health::new(run.tick) });
        }
        servers.iter_mut().skip(place).take(1).for_each(|server| server.health.ran(run, why));
    }

    /// Takes the judgements of a run; returns the events whose level has changed.
    pub fn judge(&self, events: &[HealthEvent]) -> Vec<Change> {
        if events.is_empty() { Vec::new() } else { self.lock().judged.take(events) }
    }

    /// Copies of its state, and of those of its servers.
    pub(super) fn states(&self, kind: Kind, name: &str) -> Vec<State> {
        let now = &*self.lock();
        let state = |server: Option<&String>, health: &Health| State {
            kind,
            name: name.into(),
            server: server.cloned(),
            condition: health.condition,
            why: Some(&health.why.0).filter(|why| !why.is_empty()).cloned(),
            since: health.since,
            period: now.period,
            last: health.last,
            faults: health.faults,
            missed: now.missed,
            open: if server.is_none() { now.judged.open() } else { Vec::new() },
        };
        let servers = now.servers.iter().map(|server| state(Some(&server.name), &server.health));
        std::iter::once(state(None, &now.health)).chain(servers).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn new(wall: i64) -> Health {
        Health { condition: Condition::Waiting, why: BoundedLine::default(), since: wall, last: None, faults: 0 }
    }

    /// Returns `false` if it is in that condition already.
    fn enter(&mut self, condition: Condition, wall: i64) -> bool {
        let is_new = self.condition != condition;
        if is_new {
            (self.condition, self.since) = (condition, wall);
        }
        is_new
    }

    fn ran(&mut self, run: Run, why: Option<&dyn Display>) {
        let took = i64::try_from(run.took.as_secs()).unwrap_or(i64::MAX);
        let condition = if run.faults == 0 { Condition::Ok } else { Condition::Fault };
        self.enter(condition, run.tick.saturating_add(took));
        self.last = Some(run);
        self.faults = self.faults.saturating_add(run.faults as u64);
        self.why.set(why.unwrap_or(&""));
    }
}

/// A line of bounded length that reuses its memory. Control characters become spaces, because reasons quote other
/// programs.
#[derive(Default)]
struct BoundedLine(String);

impl BoundedLine {
    fn set(&mut self, text: &dyn Display) {
        self.0.clear();
        // Writing stops when the limit is reached.
        let _ = write!(self, "{text}");
    }
}

impl Write for BoundedLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if self.0.len() >= LONGEST {
                self.0.push('…');
                return Err(fmt::Error);
            }
            self.0.push(if letter.is_control() { ' ' } else { letter });
        }
        Ok(())
    }
}
