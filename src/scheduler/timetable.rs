//! Decides what is due, what is running, and what begins now. Pure.
//!
//! Clocks, differences and ended runs are arguments; actions go to a [`Crew`], which is threads in the daemon and a
//! mock in the simulation. The state is published on the [`Board`].

use super::clock::{Moment, Stamps, next_due};
use super::difference::{Broken, Difference};
use super::prepared::{Key, Prepared};
use crate::check::{CommonSettings, Runs};
use crate::model::point::Tick;
use crate::state::{Board, Entry};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest time between two turns, so that differences are applied soon even with a long period.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A run that waits for longer than this in the queue of the shared thread gets another thread; it waits for at most a
/// quarter of the time until its check is due again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a check does not run if no thread can be started for it.
pub const NO_THREAD: &str = "no thread to be had; tried again at each tick";

/// Identifies one activation of a check: switched off and on again, it gets another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// Identifies one run of a check. The same check has another number each time it is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    pub check: Id,
    /// That of its [`Begin`].
    pub number: u64,
}

/// Runs the checks.
pub trait Crew<W> {
    /// Whether no process of an earlier activation is left.
    fn is_clear(&mut self, key: &Key) -> bool;
    /// Prepares to run it, on a thread of its own if it needs one. Its runs are published in `entry`. Gives it back if
    /// no thread can be started.
    fn hire(&mut self, id: Id, prepared: Prepared<W>, entry: &Arc<Entry>, now: Moment) -> Option<Prepared<W>>;
    /// Removes it, and its run if that has not begun; returns whether there was such a run. With `ends_run` a run under
    /// way is ended; otherwise that may finish.
    fn dismiss(&mut self, id: Id, key: &Key, ends_run: bool) -> bool;
    /// Starts these runs: each on its check's own thread, or one after another on the shared thread.
    fn begin(&mut self, runs: Begin);
    /// The checks whose runs wait in the queue of the shared thread.
    fn waiting(&mut self) -> Vec<Id>;
    /// Leaves the shared thread to the run that blocks it; a new one goes on with the queue.
    fn replace_thread(&mut self, now: Moment);
    /// Logs a notice.
    fn tell(&mut self, notice: Notice, now: Moment);
}

/// Runs that start at the same moment.
pub struct Begin {
    pub tick: Tick,
    pub number: u64,
    pub checks: Vec<Id>,
}

/// Events to be logged.
pub enum Notice<'a> {
    On(&'a Key),
    Off(&'a Key),
    Changed(&'a Key),
    Broken(&'a Broken),
    /// It starts when the last run of an earlier activation has ended.
    Waits(&'a Key),
    /// No thread can be started for it.
    NoThread(&'a Key),
    /// Its last run has not ended within this time, so it misses this tick.
    Missed(&'a Key, Duration),
    /// It runs again after it had missed ticks.
    Returned(&'a Key),
    /// The wall clock was changed by that many seconds.
    ClockSet(f64),
}

/// An active check.
struct Slot {
    id: Id,
    key: Key,
    common: CommonSettings,
    runs: Runs,
    is_stream: bool,
    entry: Arc<Entry>,
    due: Instant,
    /// The number of its newest run.
    number: u64,
    /// When that was begun.
    begun: Instant,
    /// That has not ended; it may still wait for the shared thread.
    is_running: bool,
    has_missed: bool,
}

impl Slot {
    /// Its newest run.
    fn run(&self) -> RunId {
        RunId { check: self.id, number: self.number }
    }
}

/// All checks, and when each is due.
pub struct Timetable<W> {
    epoch: Instant,
    period: Duration,
    /// The next tick of the daemon's own period.
    base: Instant,
    stamps: Stamps,
    slots: Vec<Slot>,
    /// When the shared thread was replaced last.
    replaced: Instant,
    /// To be activated as soon as possible.
    waiting: Vec<Waiting<W>>,
    /// Deactivated while a run was under way.
    leaving: Vec<(RunId, Key)>,
    last: Id,
    /// The number of the last [`Begin`].
    begun: u64,
    board: Arc<Board>,
}

struct Waiting<W> {
    prepared: Prepared<W>,
    entry: Arc<Entry>,
    /// Replaces another activation of the same name.
    is_change: bool,
}

impl<W> Timetable<W> {
    pub fn new(epoch: Instant, period: Duration, board: Arc<Board>) -> Timetable<W> {
        Timetable {
            epoch,
            period,
            base: epoch,
            stamps: Stamps::new(),
            slots: Vec::new(),
            replaced: epoch,
            waiting: Vec::new(),
            leaving: Vec::new(),
            last: Id(0),
            begun: 0,
            board,
        }
    }

    /// How late the due tick of the daemon's own period is; `None` if none is due.
    pub fn base_lateness(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.base)
    }

    /// Changes the daemon's own period. Checks with a period of their own are not affected.
    pub fn set_period(&mut self, period: Duration, now: Instant) {
        if period == self.period {
            return;
        }
        self.period = period;
        let next = next_due(self.epoch, period, now);
        // What is due already stays so.
        let renew = |due: &mut Instant| *due = if *due > now { next } else { *due };
        renew(&mut self.base);
        for slot in self.slots.iter_mut().filter(|slot| slot.common.period.is_none()) {
            renew(&mut slot.due);
            slot.entry.set_period(period);
        }
        for waiting in self.waiting.iter().filter(|waiting| waiting.prepared.common.period.is_none()) {
            waiting.entry.set_period(period);
        }
        self.board.set_period(period);
    }

    /// Whether nothing is active or waiting.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.waiting.is_empty()
    }

    /// A run has ended.
    pub fn ended(&mut self, run: RunId) {
        self.leaving.retain(|(leaving, _)| *leaving != run);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.run() == run) {
            slot.is_running = false;
        }
    }

    /// Applies a difference.
    pub fn apply(&mut self, difference: Difference<W>, now: Moment, crew: &mut dyn Crew<W>) {
        let wall = seconds(now);
        for broken in &difference.broken {
            crew.tell(Notice::Broken(broken), now);
        }
        for key in &difference.gone {
            self.board.remove(key.kind(), &key.name);
            let before = self.waiting.len();
            self.waiting.retain(|waiting| waiting.prepared.key != *key);
            if self.let_go(key, true, crew) || self.waiting.len() < before {
                crew.tell(Notice::Off(key), now);
            }
        }
        for key in &difference.mended {
            self.board.mended(key.kind(), &key.name);
        }
        for broken in &difference.broken {
            let of = |key: &Key| self.board.broken(key.kind(), &key.name, &broken.reason, self.period, wall);
            broken.keys.iter().for_each(of);
        }
        for prepared in difference.added {
            self.await_turn(prepared, false, wall);
        }
        for prepared in difference.changed {
            let of_key = |waiting: &Waiting<W>| waiting.prepared.key == prepared.key;
            let was_change = self.waiting.iter().any(|waiting| of_key(waiting) && waiting.is_change);
            self.waiting.retain(|waiting| !of_key(waiting));
            let is_change = self.let_go(&prepared.key, false, crew) || was_change;
            self.await_turn(prepared, is_change, wall);
        }
    }

    /// Activates it at the next turn, or as soon as that is possible.
    fn await_turn(&mut self, prepared: Prepared<W>, is_change: bool, wall: i64) {
        let entry = Arc::new(Entry::new(prepared.common.period.unwrap_or(self.period), wall));
        self.board.put(prepared.key.kind(), &prepared.key.name, &entry);
        self.waiting.push(Waiting { prepared, entry, is_change });
    }

    /// Deactivates it; `false` if it was not active.
    fn let_go(&mut self, key: &Key, ends_run: bool, crew: &mut dyn Crew<W>) -> bool {
        let Some(place) = self.slots.iter().position(|slot| slot.key == *key) else { return false };
        let slot = self.slots.remove(place);
        let had_not_begun = crew.dismiss(slot.id, key, ends_run);
        if slot.is_running && !had_not_begun {
            self.leaving.push((slot.run(), slot.key));
        }
        true
    }

    /// Activates what waits, and starts what is due. Returns when the next turn is due.
    pub fn turn(&mut self, now: Moment, crew: &mut dyn Crew<W>) -> Instant {
        if self.base <= now.at {
            self.base = next_due(self.epoch, self.period, now.at);
        }
        self.take_up(now, crew);
        let (epoch, period) = (self.epoch, self.period);
        let mut due = Vec::with_capacity(self.slots.len());
        for (place, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.due <= now.at) {
            slot.due = next_due(epoch, slot.common.period.unwrap_or(period), now.at);
            due.push(place);
        }
        self.begin(due, now, crew);
        let look = self.watch_queue(now, crew);
        self.slots.iter().map(|slot| slot.due).chain(look).fold(self.base.min(now.at + LONGEST_WAIT), Instant::min)
    }

    /// Has the shared thread replaced if one of its runs keeps another waiting for too long. Returns when to look again;
    /// `None` if nothing waits.
    fn watch_queue(&mut self, now: Moment, crew: &mut dyn Crew<W>) -> Option<Instant> {
        let waiting = crew.waiting();
        let waits = |slot: &&Slot| slot.is_running && slot.runs == Runs::Kernel && waiting.contains(&slot.id);
        let patience = |slot: &Slot| PATIENCE.min(slot.due.saturating_duration_since(slot.begun) / 4);
        let slots = self.slots.iter().filter(waits);
        let until = |replaced: Instant| slots.clone().map(|slot| slot.begun.max(replaced) + patience(slot)).min();
        if until(self.replaced)? <= now.at {
            crew.replace_thread(now);
            self.replaced = now.at;
        }
        until(self.replaced)
    }

    fn take_up(&mut self, now: Moment, crew: &mut dyn Crew<W>) {
        let wall = seconds(now);
        for Waiting { prepared, entry, is_change } in std::mem::take(&mut self.waiting) {
            let key = prepared.key.clone();
            if self.leaving.iter().any(|(_, leaving)| *leaving == key) || !crew.is_clear(&key) {
                crew.tell(Notice::Waits(&key), now);
                entry.wait("an earlier run has not ended", wall);
                self.waiting.push(Waiting { prepared, entry, is_change });
                continue;
            }
            self.last.0 += 1;
            let (id, common, runs, is_stream) = (self.last, prepared.common, prepared.runs, prepared.is_stream);
            if let Some(prepared) = crew.hire(id, prepared, &entry, now) {
                crew.tell(Notice::NoThread(&key), now);
                entry.wait(NO_THREAD, wall);
                self.waiting.push(Waiting { prepared, entry, is_change });
                continue;
            }
            crew.tell(if is_change { Notice::Changed(&key) } else { Notice::On(&key) }, now);
            entry.wait("", wall);
            let due = now.at;
            self.slots.push(Slot {
                id,
                key,
                common,
                runs,
                is_stream,
                entry,
                due,
                number: 0,
                begun: due,
                is_running: false,
                has_missed: false,
            });
        }
    }

    /// Starts runs of these slots, except of those that are running.
    fn begin(&mut self, due: Vec<usize>, now: Moment, crew: &mut dyn Crew<W>) {
        if due.is_empty() {
            return;
        }
        let period = self.period;
        let (wall, step) = self.stamps.stamp(now);
        step.into_iter().for_each(|step| crew.tell(Notice::ClockSet(step), now));
        self.begun += 1;
        let (number, mut checks) = (self.begun, Vec::with_capacity(due.len()));
        for place in due {
            let Some(slot) = self.slots.get_mut(place) else { continue };
            if slot.is_running {
                slot.has_missed = true;
                let limit = slot.common.limit(period);
                crew.tell(Notice::Missed(&slot.key, limit), now);
                slot.entry.miss(limit, seconds(now));
                continue;
            }
            if std::mem::take(&mut slot.has_missed) {
                crew.tell(Notice::Returned(&slot.key), now);
            }
            (slot.is_running, slot.number, slot.begun) = (true, number, now.at);
            slot.entry.begin();
            checks.push(slot.id);
        }
        let tick = Tick { wall, at: now.at, deadline: now.at + period, period };
        crew.begin(Begin { tick, number, checks });
    }

    /// At shutdown: asks streams for what they have collected since their last tick.
    pub fn ask_streams(&mut self, now: Moment, crew: &mut dyn Crew<W>) {
        let streams = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_stream).map(|(place, _)| place);
        self.begin(streams.collect(), now, crew);
    }

    /// The checks that are running.
    pub fn running(&self) -> impl Iterator<Item = &Key> {
        self.slots.iter().filter(|slot| slot.is_running).map(|slot| &slot.key)
    }
}

fn seconds(now: Moment) -> i64 {
    i64::try_from(now.wall.as_secs()).unwrap_or(i64::MAX)
}
