//! The crew in the daemon: a thread for each check that can block, and one for all others.

use super::clock::Moment;
use super::links;
use super::prepared::{Folder, Key, Prepared};
use super::timetable::{Begin, Crew, Id, Notice, RunId};
use super::worker::{Job, Surroundings, Unit, Worker};
use crate::check::{Check, Runs};
use crate::model::point::{Batch, Tick};
use crate::state::Entry;
use crate::sys::logging::Complaint;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The shared thread, in the log and in the kernel.
const KERNEL: &str = "kernel checks";

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
    fn job(&self, run: RunId, tick: Tick) -> Job {
        Job { run, tick, unit: Arc::clone(&self.unit), entry: Arc::clone(&self.entry) }
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

    fn start_shared(&mut self) -> io::Result<()> {
        if self.kernel.is_none() {
            self.kernel = Some(Worker::start(KERNEL, &self.around)?);
        }
        Ok(())
    }
}

impl Crew<Box<dyn Check>> for Threads {
    fn is_clear(&mut self, key: &Key) -> bool {
        self.program(key).is_none_or(|path| !self.around.world.programs.is_running(&path))
    }

    fn hire(&mut self, id: Id, prepared: Prepared, entry: &Arc<Entry>, now: Moment) -> Option<Prepared> {
        let own = match prepared.runs {
            Runs::Own => Worker::start(&prepared.key.name, &self.around).map(Some),
            Runs::Kernel => self.start_shared().map(|()| None),
        };
        let Ok(own) = own else { return Some(prepared) };
        prepared.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let unit = Arc::new(Unit::new(prepared, now.at, self.period, self.tells_errors));
        self.members.insert(id, Member { unit, entry: Arc::clone(entry), own });
        None
    }

    fn dismiss(&mut self, id: Id, key: &Key, ends_run: bool) -> bool {
        let own = self.members.remove(&id).and_then(|member| member.own);
        let withdrawn = own.as_ref().or(self.kernel.as_ref()).and_then(|worker| worker.withdraw(id));
        if let Some(Job { run, .. }) = &withdrawn {
            self.around.assembly.add(run.number, Batch::default());
        }
        if let Some(path) = self.program(key).filter(|_| ends_run) {
            self.around.world.programs.stop(&path);
        }
        withdrawn.is_some()
    }

    fn begin(&mut self, Begin { tick, number, checks }: Begin) {
        // The loop itself adds the last part, with the own metrics.
        self.around.assembly.open(number, checks.len() + 1);
        let members = || checks.iter().filter_map(|id| Some((*id, self.members.get(id)?)));
        let job = |id, member: &Member| member.job(RunId { check: id, number }, tick);
        if let Some(kernel) = &self.kernel {
            kernel.send(members().filter(|(_, member)| member.own.is_none()).map(|(id, member)| job(id, member)));
        }
        for (id, member) in members() {
            member.own.iter().for_each(|worker| worker.send([job(id, member)]));
        }
        let own = self.own_batch(tick);
        self.around.assembly.add(number, own);
    }

    fn waiting(&mut self) -> Vec<Id> {
        self.kernel.as_ref().map(Worker::waiting).unwrap_or_default()
    }

    fn replace_thread(&mut self, Moment { at, .. }: Moment) {
        match self.kernel.as_ref().map_or(Ok(()), Worker::replace_thread) {
            Ok(()) => self.complaint.recovered(KERNEL, at),
            Err(error) => {
                let what = format!("one of them keeps the others waiting, and no other thread is to be had: {error}");
                self.complaint.complain(KERNEL, &what, at);
            }
        }
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
