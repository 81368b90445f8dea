//! The crew in the daemon: a thread for each check that can block, and one for all others.

use super::clock::Moment;
use super::links;
use super::prepared::{Folder, Key, Prepared};
use super::timetable::{Begin, Crew, Id, NO_THREAD, Notice, RunId};
use super::worker::{Job, Surroundings, Task, Unit, Worker};
use crate::check::{Check, Runs};
use crate::model::point::{Batch, Tick};
use crate::state::Entry;
use crate::sys::logging::Complaint;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The daemon's own metrics at a tick. It only reads published state and waits for nothing.
pub type OwnMetrics = Box<dyn FnMut(Tick) -> Batch + Send>;

/// The threads, and what runs on them.
pub struct Threads {
    around: Surroundings,
    period: Duration,
    tells_errors: bool,
    members: HashMap<Id, Member>,
    /// The shared thread of the kernel checks.
    kernel: Option<Worker>,
    complaint: Complaint,
    own: Option<OwnMetrics>,
    /// When the own metrics were collected last.
    own_collected: Option<Instant>,
}

struct Member {
    unit: Arc<Unit>,
    entry: Arc<Entry>,
    /// Its own thread; `None` for a kernel check, which runs on the shared one.
    own: Option<Worker>,
}

impl Member {
    fn task(&self, id: Id) -> Task {
        Task { id, unit: Arc::clone(&self.unit), entry: Arc::clone(&self.entry) }
    }
}

impl Threads {
    pub fn new(around: Surroundings, period: Duration, tells_errors: bool) -> Threads {
        let (members, complaint) = (HashMap::new(), Complaint::default());
        Threads { around, period, tells_errors, members, kernel: None, complaint, own: None, own_collected: None }
    }

    /// Collects these own metrics from now on.
    pub fn set_own_metrics(&mut self, own: OwnMetrics) {
        self.own = Some(own);
    }

    /// The daemon's own metrics for that tick; empty for ticks between those of the daemon's own period.
    fn own_batch(&mut self, tick: Tick) -> Batch {
        // Half a period, because ticks of that period may be slightly less than a period apart.
        let is_early = self.own_collected.is_some_and(|last| tick.at.saturating_duration_since(last) < self.period / 2);
        match &mut self.own {
            Some(own) if !is_early => {
                self.own_collected = Some(tick.at);
                own(tick)
            }
            _ => Batch::default(),
        }
    }

    /// Sets the daemon's own period, and whether errors of checks are health events.
    pub fn set(&mut self, period: Duration, tells_errors: bool) {
        (self.period, self.tells_errors) = (period, tells_errors);
        self.members.values().for_each(|member| member.unit.tell_errors(tells_errors));
    }

    /// Hands over what was collected, at shutdown.
    pub fn flush(&self) {
        self.around.assembly.flush();
    }

    /// The path of a script or own module; `None` for a check.
    fn program(&self, key: &Key) -> Option<PathBuf> {
        let is_program = key.folder == Folder::Scripts || links::is_module(&key.name);
        is_program.then(|| self.around.world.programs.home.join(key.folder.name()).join(&key.name))
    }

    fn start_shared(&mut self) -> std::io::Result<&Worker> {
        Ok(self.kernel.insert(Worker::start("kernel checks", &self.around)?))
    }
}

impl Crew<Box<dyn Check>> for Threads {
    fn is_clear(&mut self, key: &Key) -> bool {
        self.program(key).is_none_or(|path| !self.around.world.programs.is_running(&path))
    }

    fn hire(&mut self, id: Id, prepared: Prepared, entry: &Arc<Entry>, now: Moment) -> Option<Prepared> {
        let own = match prepared.runs {
            Runs::Own => match Worker::start(&prepared.key.name, &self.around) {
                Ok(worker) => Some(worker),
                Err(_) => return Some(prepared),
            },
            Runs::Kernel if self.kernel.is_some() || self.start_shared().is_ok() => None,
            Runs::Kernel => return Some(prepared),
        };
        prepared.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let unit = Arc::new(Unit::new(prepared, now.at, self.period, self.tells_errors));
        self.members.insert(id, Member { unit, entry: Arc::clone(entry), own });
        None
    }

    fn dismiss(&mut self, id: Id, key: &Key, ends_run: bool) {
        if let Some(member) = self.members.remove(&id) {
            member.unit.dismiss();
        }
        if let Some(path) = self.program(key).filter(|_| ends_run) {
            self.around.world.programs.stop(&path);
        }
    }

    fn begin(&mut self, Begin { tick, number: begun, own, kernel, is_anew }: Begin) {
        if is_anew {
            self.kernel = None;
        }
        // The loop itself adds the last part, with the own metrics.
        let number = self.around.assembly.open(own.len() + usize::from(!kernel.is_empty()) + 1);
        if !kernel.is_empty() {
            let task = |id: &Id| self.members.get(id).map(|member| member.task(*id));
            let job = Job { number, begun, tick, tasks: kernel.iter().filter_map(task).collect() };
            let started = match self.kernel.is_some() {
                true => Ok(()),
                false => self.start_shared().map(drop),
            };
            match (&self.kernel, started) {
                (Some(worker), _) => {
                    self.complaint.recovered("kernel checks", tick.at);
                    worker.send(job);
                }
                (None, started) => {
                    let why = started.err().map(|error| error.to_string()).unwrap_or_default();
                    self.complaint.complain("kernel checks", &format!("no thread to run in: {why}"), tick.at);
                    for id in kernel {
                        self.members.get(&id).iter().for_each(|member| member.entry.wait(NO_THREAD, tick.wall));
                        // This cannot fail: we hold the receiver's sender ourselves.
                        let _ = self.around.ended.send(RunId { check: id, number: begun });
                    }
                    self.around.assembly.add(number, Batch::default());
                }
            }
        }
        for (id, member) in own.into_iter().filter_map(|id| Some((id, self.members.get(&id)?))) {
            if let Some(worker) = &member.own {
                worker.send(Job { number, begun, tick, tasks: vec![member.task(id)] });
            }
        }
        let own = self.own_batch(tick);
        self.around.assembly.add(number, own);
    }

    fn tell(&mut self, notice: Notice, Moment { at, .. }: Moment) {
        let complaint = &mut self.complaint;
        match notice {
            Notice::On(Key { name, .. }) => log::info!("{name}: switched on"),
            Notice::Changed(Key { name, .. }) => {
                log::info!("{name}: its section has changed; it goes on by the new one")
            }
            Notice::Off(Key { name, .. }) => log::info!("{name}: switched off"),
            Notice::Broken(broken) => log::error!("{}", broken.line()),
            // One subject for all, because thousands may wait.
            Notice::Waits(Key { name, .. }) => {
                complaint.complain("an earlier run has not ended", &format!("{name} is switched on when it has"), at);
            }
            Notice::NoThread(Key { name, .. }) => {
                let what = format!("{name} is not switched on yet; tried again at each tick");
                complaint.complain("no thread to be had", &what, at);
            }
            Notice::Missed(Key { name, .. }, limit) => {
                let limit = limit.as_secs_f64();
                complaint.complain(name, &format!("has not come back after {limit} s, this tick goes without it"), at);
            }
            Notice::Returned(Key { name, .. }) => complaint.returned(name, at),
            Notice::ClockSet(step) => {
                log::warn!("the system clock was set by {step:+.1} s, or the machine slept; points carry the new time");
            }
        }
    }
}
