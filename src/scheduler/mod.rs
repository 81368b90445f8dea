//! The tick loop: when a check is due, who runs it, and what happens when it does not come back in time.
//!
//! *Invariant:* the loop never waits for a check. One that is busy at its next tick misses it, counted and told; the
//! shared worker of the kernel checks is left behind with the check that holds it, and a fresh one takes the others.

pub mod assembly;
pub mod clock;
pub mod errors;
pub mod families;
pub mod links;
pub mod worker;

use crate::check::{Pace, Runs, Spec, World};
use crate::checks;
use crate::config::spelling;
use crate::fetch::program::Programs;
use crate::model::error::Result;
use crate::model::point::Tick;
use crate::model::roots::Roots;
use crate::scripts::manner::Mode;
use crate::scripts::{self, Manner, Places, Script};
use crate::sys::logging::Complaint;
use crate::sys::{clock as system_clock, memory};
use assembly::Assembly;
use clock::{Stamps, next_due};
use links::{Link, Watch};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use worker::{Job, Unit, Worker};

/// Ticks after which everything has run once, connecting included, and what only that needed is given back.
const WARM_UP: u32 = 4;
/// How long the end waits for checks that are in a run.
const LAST_RUNS: Duration = Duration::from_secs(2);

/// Runs the enabled checks, period by period.
pub struct Scheduler {
    home: PathBuf,
    period: Duration,
    world: Arc<World>,
    assembly: Arc<Assembly>,
    epoch: Instant,
    stamps: Stamps,
    watch: Watch,
    scripts_watch: Watch,
    /// Of scripts; made when there is one.
    places: Option<Arc<Places>>,
    slots: Vec<Slot>,
    kernel: Option<Worker>,
    complaint: Complaint,
    /// Knows the check of a name.
    find: fn(&str) -> Option<&'static Spec>,
    tells_errors: bool,
    /// Stems already told about: unknown ones, and links in the original's spelling.
    told: BTreeSet<String>,
}

/// An enabled check and when it is due.
struct Slot {
    unit: Arc<Unit>,
    /// Its own thread; `None` for a kernel check, which runs on the shared one.
    own: Option<Worker>,
    due: Instant,
    is_script: bool,
    /// What it has gathered is asked for once more at the end.
    is_stream: bool,
}

impl Scheduler {
    /// With `tells_errors` the errors of checks are health events too.
    pub fn new(
        programs: Arc<Programs>,
        period: Duration,
        roots: Roots,
        assembly: Arc<Assembly>,
        find: fn(&str) -> Option<&'static Spec>,
        tells_errors: bool,
    ) -> Scheduler {
        Scheduler {
            watch: Watch::new(&programs.home.join(links::ENABLED)),
            scripts_watch: Watch::new(&programs.home.join(scripts::ENABLED)),
            places: None,
            home: programs.home.clone(),
            world: Arc::new(World { roots, programs }),
            period,
            assembly,
            epoch: Instant::now(),
            stamps: Stamps::new(),
            slots: Vec::new(),
            kernel: None,
            complaint: Complaint::default(),
            find,
            tells_errors,
            told: BTreeSet::new(),
        }
    }

    /// Ticks until something arrives on `stop`.
    pub fn run(mut self, stop: &Receiver<()>) {
        let mut base = self.epoch;
        let mut ticks = 0u32;
        loop {
            let now = Instant::now();
            let next = self.slots.iter().map(|slot| slot.due).min().map_or(base, |due| due.min(base));
            match stop.recv_timeout(next.saturating_duration_since(now)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if base <= now {
                base = next_due(self.epoch, self.period, now);
                self.follow_links(now);
                self.follow_scripts(now);
                self.sweep_orphans(now);
                ticks = ticks.saturating_add(1);
                if ticks == WARM_UP {
                    memory::trim();
                }
            }
            self.tick(now);
        }
        self.finish();
    }

    /// Starts a run of every check that is due.
    fn tick(&mut self, now: Instant) {
        let (epoch, period) = (self.epoch, self.period);
        let mut due: Vec<usize> = Vec::with_capacity(self.slots.len());
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if slot.due <= now {
                slot.due = next_due(epoch, slot.unit.pace.period.unwrap_or(period), now);
                due.push(place);
            }
        }
        if !due.is_empty() {
            self.begin_runs(due, now);
        }
    }

    fn begin_runs(&mut self, due: Vec<usize>, now: Instant) {
        let period = self.period;
        let wall = system_clock::wall();
        let (wall, step) = self.stamps.stamp(now, wall);
        if let Some(step) = step {
            log::warn!("the system clock was set by {step:+.1} s, or the machine slept; points carry the new time");
        }
        let tick = Tick { wall, at: now, deadline: now + period, period };

        let mut kernel = Vec::new();
        let mut own = Vec::new();
        for place in due {
            let Some(slot) = self.slots.get(place) else { continue };
            let busy = slot.own.as_ref().map_or_else(|| slot.unit.is_busy(), Worker::is_busy);
            let name = &*slot.unit.name;
            if busy {
                let limit = slot.unit.limit(period).as_secs_f64();
                self.complaint.complain(
                    name,
                    &format!("has not come back after {limit} s, this tick goes without it"),
                    now,
                );
            } else {
                self.complaint.returned(name, now);
                match slot.own {
                    Some(_) => own.push(place),
                    None => kernel.push(Arc::clone(&slot.unit)),
                }
            }
        }
        let number = self.assembly.open(own.len() + usize::from(!kernel.is_empty()));
        if !kernel.is_empty() {
            match self.kernel_worker() {
                Some(worker) => worker.send(Job { number, tick, units: kernel }),
                None => self.assembly.add(number, Default::default()),
            }
        }
        for slot in own.into_iter().filter_map(|place| self.slots.get(place)) {
            if let Some(worker) = &slot.own {
                worker.send(Job { number, tick, units: vec![Arc::clone(&slot.unit)] });
            }
        }
    }

    /// The shared worker; a fresh one when the last is held up by a check.
    fn kernel_worker(&mut self) -> Option<&Worker> {
        if self.kernel.as_ref().is_none_or(Worker::is_busy) {
            self.kernel = self.start_worker("kernel checks");
        }
        self.kernel.as_ref()
    }

    fn start_worker(&self, name: &str) -> Option<Worker> {
        // The kernel keeps 15 bytes of a thread's name.
        let started = Worker::start(name, Arc::clone(&self.world), Arc::clone(&self.assembly));
        started.map_err(|error| log::error!("{name}: no thread to run in: {error}")).ok()
    }

    /// Takes up links that appeared and lets go of those that vanished.
    fn follow_links(&mut self, now: Instant) {
        if !self.watch.changed() {
            return;
        }
        let links = match links::read(&self.home) {
            Ok(links) => links,
            Err(error) => {
                self.complaint.complain(links::ENABLED, &error.to_string(), now);
                return;
            }
        };
        self.slots.retain(|slot| {
            let stays = slot.is_script || links.iter().any(|link| *link.stem == *slot.unit.name);
            if !stays {
                log::info!("{}: switched off", slot.unit.name);
            }
            stays
        });
        self.told.retain(|stem| links.iter().any(|link| link.stem == *stem));
        for link in links {
            if self.slots.iter().any(|slot| !slot.is_script && slot.unit.name == link.stem)
                || self.told.contains(&link.stem)
            {
                continue;
            }
            match self.take_up(&link, now) {
                Ok(Some(slot)) => {
                    log::info!("{}: switched on", slot.unit.name);
                    self.slots.push(slot);
                }
                Ok(None) => {
                    self.told.insert(link.stem);
                }
                Err(error) => {
                    log::error!("{}: {error}; it stays off until {} is linked anew", link.stem, link.file_name);
                    self.told.insert(link.stem);
                }
            }
        }
        if self.slots.is_empty() && self.told.insert(String::new()) {
            log::warn!(
                "no check is switched on; `puypuy enable check_cpustats` or a link in {} does that",
                links::ENABLED
            );
        }
    }

    fn take_up(&self, link: &Link, now: Instant) -> Result<Option<Slot>> {
        let Some(spec) = (self.find)(&link.stem) else {
            let near = spelling::hint(&link.stem, checks::all().map(|spec| spec.name));
            log::error!("{}/{}: no check of that name{near}", links::ENABLED, link.file_name);
            return Ok(None);
        };
        if link.file_name.ends_with(".py") {
            log::info!("{}: {} selects the built-in check; the Python file is not run", spec.name, link.file_name);
        }
        let section = families::section_for(&self.home, spec)?;
        let pace = Pace::read(&section)?;
        let check = (spec.build)(&section)?;
        let own = match spec.runs {
            Runs::Kernel => None,
            Runs::Own => match self.start_worker(spec.name) {
                Some(worker) => Some(worker),
                None => return Ok(None),
            },
        };
        let tick = Tick { wall: 0, at: now, deadline: now, period: self.period };
        let label = (spec.name.into(), spec.check_type.into());
        let unit = Arc::new(Unit::new(label, pace, check, tick, self.tells_errors));
        Ok(Some(Slot { unit, own, due: now, is_script: false, is_stream: false }))
    }

    /// Takes up scripts that appeared and lets go of those that vanished.
    fn follow_scripts(&mut self, now: Instant) {
        if !self.scripts_watch.changed() {
            return;
        }
        let names = match scripts::names(&self.home, scripts::ENABLED) {
            Ok(names) => names,
            Err(error) => {
                self.complaint.complain(scripts::ENABLED, &error.to_string(), now);
                return;
            }
        };
        self.slots.retain(|slot| {
            let stays = !slot.is_script || names.iter().any(|name| **name == *slot.unit.name);
            if !stays {
                self.world.programs.stop(&self.home.join(scripts::ENABLED).join(&*slot.unit.name));
                log::info!("{}: switched off", slot.unit.name);
            }
            stays
        });
        for name in names {
            if self.slots.iter().any(|slot| slot.is_script && slot.unit.name == name) {
                continue;
            }
            match self.take_up_script(&name, now) {
                Ok(slot) => {
                    self.told.remove(&name);
                    log::info!("{name}: switched on");
                    self.slots.extend(slot);
                }
                Err(error) if self.told.insert(name.clone()) => log::error!("{name}: {error}; it stays off"),
                Err(_) => {}
            }
        }
    }

    fn take_up_script(&mut self, name: &str, now: Instant) -> Result<Option<Slot>> {
        let manner = Manner::configure(&self.home, name)?;
        let places = match &self.places {
            Some(places) => Arc::clone(places),
            None => Arc::clone(self.places.insert(Arc::new(Places::configure(&self.home)?))),
        };
        let Some(own) = self.start_worker(name) else { return Ok(None) };
        let path = self.home.join(scripts::ENABLED).join(name);
        let (pace, is_stream) = (manner.pace, manner.mode == Mode::Stream);
        let script = Box::new(Script::new(path, manner, places));
        let tick = Tick { wall: 0, at: now, deadline: now, period: self.period };
        let label = (name.to_string().into(), scripts::TYPE.into());
        let unit = Arc::new(Unit::new(label, pace, script, tick, self.tells_errors));
        Ok(Some(Slot { unit, own: Some(own), due: now, is_script: true, is_stream }))
    }

    /// Ends what a program left behind when its guard was killed.
    fn sweep_orphans(&mut self, now: Instant) {
        let killed = self.world.programs.sweep();
        if killed > 0 {
            let what = format!("{killed} processes had lost the guard of their script and were killed");
            self.complaint.complain(scripts::ENABLED, &what, now);
        }
    }

    /// No new ticks; runs that are under way may finish, within a bound.
    fn finish(mut self) {
        let streams: Vec<usize> =
            self.slots.iter().enumerate().filter(|(_, slot)| slot.is_stream).map(|(place, _)| place).collect();
        if !streams.is_empty() {
            self.begin_runs(streams, Instant::now());
        }
        let until = Instant::now() + LAST_RUNS;
        let is_busy = |slot: &Slot| slot.unit.is_busy() || slot.own.as_ref().is_some_and(Worker::is_busy);
        let any_busy = || self.kernel.as_ref().is_some_and(Worker::is_busy) || self.slots.iter().any(is_busy);
        while any_busy() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        for slot in self.slots.iter().filter(|slot| is_busy(slot)) {
            log::warn!("{}: still in a run, left behind", slot.unit.name);
        }
        self.assembly.flush();
    }
}
