//! The tick loop: applies differences of the folders, starts what is due, and sleeps until the next due time.
//!
//! *Invariant:* the loop never waits for a check and touches no folder. A check that is still running at its next tick
//! misses that tick, which is counted and logged. A check that blocks the shared thread of the kernel checks keeps that
//! thread, and a new one runs the others.

pub mod assembly;
pub mod changes;
pub mod clock;
mod crew;
pub mod difference;
pub mod enabled;
pub mod errors;
pub mod families;
pub mod links;
pub mod lookups;
pub mod prepared;
pub mod timetable;
mod wake;
pub mod worker;

use crate::check::{Check, World};
use crate::fetch::program::Programs;
use crate::model::beat::Beat;
use crate::model::error::Result;
use crate::model::roots::Roots;
use crate::scripts;
use crate::state::Board;
use crate::sys::logging::Complaint;
use crate::sys::{clock as system_clock, memory};
use assembly::Assembly;
use clock::Moment;
use crew::{OwnMetrics, Threads};
use difference::Taken;
use enabled::{Enabled, Reloads};
use links::Find;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use timetable::{RunId, Timetable};
use worker::Surroundings;

/// After this many ticks everything has run once, connecting included, and memory that only the start needed is given
/// back.
const WARM_UP: u32 = 4;
/// How long shutdown waits for running checks.
const LAST_RUNS: Duration = Duration::from_secs(2);
/// How long the first tick waits for the first look at the folders; anything later is taken up later.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// A look at the folders that takes longer is logged.
const LONG_LOOK: Duration = Duration::from_secs(20);

/// A changed configuration.
pub struct Renewal {
    pub period: Duration,
    /// Whether errors of checks are health events, too.
    pub tells_errors: bool,
}

/// A message to the tick loop, which acts on it at once.
pub enum Order {
    Stop,
    Renew(Renewal),
}

/// Runs the enabled checks, each by its period.
pub struct Scheduler {
    world: Arc<World>,
    enabled: Enabled,
    /// The first look has finished.
    has_looked: bool,
    ended: Receiver<RunId>,
    table: Timetable<Box<dyn Check>>,
    crew: Threads,
    complaint: Complaint,
    /// That no check is on was logged.
    is_idle_told: bool,
    taken: Taken,
}

impl Scheduler {
    /// Reads what is switched on. With `tells_errors`, errors of checks are health events, too. The state of each check
    /// is published on the `board` from then on.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn start(
        programs: Arc<Programs>,
        period: Duration,
        roots: Roots,
        assembly: Arc<Assembly>,
        find: Find,
        tells_errors: bool,
        board: Arc<Board>,
    ) -> Result<Scheduler> {
        let enabled = Enabled::start(&programs.home, find, period)?;
        let world = Arc::new(World { roots, programs });
        let (sender, ended) = channel();
        let around = Surroundings { world: Arc::clone(&world), assembly, ended: sender };
        let first = enabled.first(FIRST_LOOK);
        let taken = Taken::of(&first);
        let mut scheduler = Scheduler {
            world,
            enabled,
            has_looked: false,
            ended,
            table: Timetable::new(Instant::now(), period, board),
            crew: Threads::new(around, period, tells_errors),
            complaint: Complaint::default(),
            is_idle_told: false,
            taken,
        };
        scheduler.follow(first, now());
        if !scheduler.has_looked {
            scheduler.complain_of_look(FIRST_LOOK, Instant::now());
        }
        Ok(scheduler)
    }

    /// The result of the first look.
    pub fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Adds these own metrics to the batch at each tick of the daemon's own period.
    pub fn set_own_metrics(&mut self, own: OwnMetrics) {
        self.crew.set_own_metrics(own);
    }

    /// How a reload has checks taken up.
    pub fn reloads(&self) -> Reloads {
        self.enabled.reloads()
    }

    /// Ticks until it is told to stop, or nobody can tell it any more.
    pub fn run(mut self, orders: &Receiver<Order>, beat: &Beat) {
        let mut next = Instant::now();
        let mut ticks = 0u32;
        loop {
            let order = orders.recv_timeout(next.saturating_duration_since(Instant::now()));
            let now = now();
            match order {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Order::Renew(Renewal { period, tells_errors })) => {
                    self.table.set_period(period, now.at);
                    self.crew.set(period, tells_errors);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.ended.try_iter().for_each(|run| self.table.ended(run));
            let differences = self.enabled.differences();
            self.follow(differences, now);
            if let Some(lateness) = self.table.base_lateness(now.at) {
                beat.tick(now.at, lateness);
                self.watch_look(now.at);
                self.sweep_orphans(now.at);
                ticks = ticks.saturating_add(1);
                if ticks == WARM_UP {
                    memory::trim();
                }
            }
            next = self.table.turn(now, &mut self.crew);
        }
        self.finish();
    }

    /// Applies differences of the folders.
    fn follow(&mut self, differences: Vec<difference::Difference>, now: Moment) {
        for difference in differences {
            self.has_looked |= difference.is_whole;
            self.table.apply(difference, now, &mut self.crew);
        }
        let is_idle = self.has_looked && self.table.is_empty();
        if is_idle && !self.is_idle_told {
            log::warn!(
                "no check is switched on; `puypuy enable check_cpustats` or a link in {} does that",
                links::ENABLED
            );
        }
        self.is_idle_told = is_idle;
    }

    /// Logs when the folders do not answer, and when they do again.
    fn watch_look(&mut self, now: Instant) {
        match self.enabled.begun().map(|begun| now.saturating_duration_since(begun)) {
            Some(taken) if taken > LONG_LOOK => self.complain_of_look(taken, now),
            // A slow first look was logged at the start.
            Some(_) if !self.has_looked => {}
            _ => self.complaint.recovered(links::ENABLED, now),
        }
    }

    fn complain_of_look(&mut self, taken: Duration, now: Instant) {
        let what = format!(
            "it, {} or conf was not read within {} s: is one of them on a mount that does not answer? All else goes on",
            scripts::ENABLED,
            taken.as_secs()
        );
        self.complaint.complain_once(links::ENABLED, &what, now);
    }

    /// Kills processes that a program left behind when its guard was killed.
    fn sweep_orphans(&mut self, now: Instant) {
        let killed = self.world.programs.sweep();
        if killed > 0 {
            let what = format!("{killed} processes had lost the guard of their script and were killed");
            self.complaint.complain(scripts::ENABLED, &what, now);
        }
    }

    /// Starts no new ticks, and lets running checks finish, within a time limit.
    fn finish(mut self) {
        self.ended.try_iter().for_each(|run| self.table.ended(run));
        self.table.ask_streams(now(), &mut self.crew);
        let until = Instant::now() + LAST_RUNS;
        while self.table.running().next().is_some() {
            let Ok(run) = self.ended.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
            self.table.ended(run);
        }
        for key in self.table.running() {
            log::warn!("{}: still in a run, left behind", key.name);
        }
        self.crew.flush();
    }
}

/// The only place where the loop reads its clocks.
fn now() -> Moment {
    let (at, wall) = system_clock::both();
    Moment { at, wall }
}
