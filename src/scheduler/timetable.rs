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
    /// Removes it. With `ends_run` its current run is ended; otherwise that may finish.
    fn dismiss(&mut self, id: Id, key: &Key, ends_run: bool);
    /// Starts these runs.
    fn begin(&mut self, runs: Begin);
    /// Logs a notice.
    fn tell(&mut self, notice: Notice, now: Moment);
}

/// Runs that start at the same moment.
pub struct Begin {
    pub tick: Tick,
    pub number: u64,
    /// Each on its own thread.
    pub own: Vec<Id>,
    /// One after another, in this order, on the shared thread.
    pub kernel: Vec<Id>,
    /// A check blocks the shared thread: it is abandoned, and a new one does these runs.
    pub is_anew: bool,
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
    is_running: bool,
    has_missed: bool,
}

impl Slot {
    /// Its newest run.
    fn run(&self) -> RunId {
        RunId { check: self.id, number: self.number }
    }

    /// Whether a run of it is under way. On the shared thread only the first of the queue has begun.
    fn has_begun(&self, shared: &[RunId]) -> bool {
        self.is_running && (shared.first() == Some(&self.run()) || !shared.contains(&self.run()))
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
    /// Queued runs of the shared thread; the first is under way.
    shared: Vec<RunId>,
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
            shared: Vec::new(),
            waiting: Vec::new(),
            leaving: Vec::new(),
            last: Id(0),
            begun: 0,
            board,
        }
    }

    /// When the next tick of the daemon's own period is due.
    pub fn base(&self) -> Instant {
        self.base
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
        (self.period, self.base) = (period, next_due(self.epoch, period, now));
        for slot in self.slots.iter_mut().filter(|slot| slot.common.period.is_none()) {
            slot.due = self.base;
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

    /// A run has ended, or will never begin because its thread was abandoned before.
    pub fn ended(&mut self, run: RunId) {
        self.shared.retain(|shared| *shared != run);
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
        if slot.has_begun(&self.shared) {
            self.leaving.push((slot.run(), slot.key));
        }
        crew.dismiss(slot.id, key, ends_run);
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
        let next = self.slots.iter().map(|slot| slot.due).min().map_or(self.base, |due| due.min(self.base));
        next.min(now.at + LONGEST_WAIT)
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
        let (mut own, mut kernel) = (Vec::new(), Vec::new());
        self.begun += 1;
        let number = self.begun;
        for place in due {
            let Some(slot) = self.slots.get_mut(place) else { continue };
            if slot.has_begun(&self.shared) {
                slot.has_missed = true;
                let limit = slot.common.limit(period);
                crew.tell(Notice::Missed(&slot.key, limit), now);
                slot.entry.miss(limit, seconds(now));
                continue;
            }
            if std::mem::take(&mut slot.has_missed) {
                crew.tell(Notice::Returned(&slot.key), now);
            }
            (slot.is_running, slot.number) = (true, number);
            slot.entry.begin();
            match slot.runs {
                Runs::Own => own.push(slot.id),
                Runs::Kernel => kernel.push(slot.id),
            }
        }
        let is_anew = !kernel.is_empty() && !self.shared.is_empty();
        if is_anew {
            // Runs queued behind the one that blocks the thread, and not due now, are dropped.
            let shared = std::mem::take(&mut self.shared);
            let behind = shared.iter().skip(1).filter(|run| !kernel.contains(&run.check)).collect::<Vec<_>>();
            self.slots.iter_mut().for_each(|slot| slot.is_running &= !behind.contains(&&slot.run()));
        }
        self.shared.extend(kernel.iter().map(|check| RunId { check: *check, number }));
        let tick = Tick { wall, at: now.at, deadline: now.at + period, period };
        crew.begin(Begin { tick, number, own, kernel, is_anew });
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
