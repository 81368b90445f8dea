//! Runs checks: the memory of a check, a run guarded against panics, and the thread that does the runs.

use super::assembly::Assembly;
use super::errors::Errors;
use super::prepared::{Folder, Prepared};
use super::timetable::{Id, RunId};
use crate::check::{Check, CommonSettings, Fault, Faults, Out, ServerRun, World};
use crate::model::error::Error;
use crate::model::point::{Batch, Text, Tick};
use crate::state::{Entry, Run};
use crate::sys::logging::Folding;
use log::Level;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Large enough for any parser; only pages that are used cost memory.
const STACK: usize = 512 << 10;

/// An enabled check with its memory and its rates. A run holds the lock of its state from start to end.
pub struct Unit {
    name: Text,
    /// The name of events about its errors: its name, for a Python module without the extension.
    event: Text,
    check_type: Text,
    common: CommonSettings,
    is_dismissed: AtomicBool,
    /// Whether its errors are health events, too.
    tells_errors: AtomicBool,
    state: Mutex<State>,
}

struct State {
    check: Box<dyn Check>,
    out: Out,
    folding: Folding,
    /// Folds messages that are no faults.
    said: Folding,
    /// The subjects that had a fault in the last run, as the log names them.
    failing: Vec<String>,
    errors: Errors,
}

/// The result of a run.
pub struct RunResult {
    pub batch: Batch,
    /// For the log: new faults, recoveries and messages.
    pub lines: Vec<(Level, String)>,
    /// Why the run failed as a whole, as for the log, but without the log's limit on repeats; `None` if it did not
    /// fail.
    pub failure: Option<String>,
    /// The numbers of the run.
    pub run: Run,
    /// All faults of the run; the failure of the whole run is the first.
    pub faults: Vec<Fault>,
    /// The results for further servers of the check.
    pub servers: Vec<ServerRun>,
    /// How many of the batch's events are judgements of the check; the others are about its own errors.
    pub judged: usize,
}

impl Unit {
    /// With `tells_errors` an error of the check is a health event, too. `at` and `period` are those of the first tick.
    pub fn new(prepared: Prepared, at: Instant, period: Duration, tells_errors: bool) -> Unit {
        let Prepared { key, check_type, common, work, .. } = prepared;
        let tick = Tick { wall: 0, at, deadline: at, period };
        let state = State {
            check: work,
            out: Out::new(check_type.clone(), common.max_series, tick),
            folding: Folding::default(),
            said: Folding::default(),
            failing: Vec::new(),
            errors: Errors::default(),
        };
        let event = key.name.strip_suffix(".py").filter(|_| key.folder == Folder::Checks).unwrap_or(&key.name);
        let event = Text::Owned(event.into());
        let name = key.name.into();
        let (is_dismissed, tells_errors) = (AtomicBool::new(false), AtomicBool::new(tells_errors));
        Unit { name, event, check_type, common, is_dismissed, tells_errors, state: Mutex::new(state) }
    }

    /// Whether its errors are health events from the next run on.
    pub fn tell_errors(&self, tells: bool) {
        self.tells_errors.store(tells, Ordering::Relaxed);
    }

    /// Starts no further run.
    pub fn dismiss(&self) {
        self.is_dismissed.store(true, Ordering::Release);
    }

    /// The daemon's tick with this check's own period and deadline.
    fn own_tick(&self, tick: Tick) -> Tick {
        let deadline = tick.at + self.common.limit(tick.period);
        Tick { deadline, period: self.common.period.unwrap_or(tick.period), ..tick }
    }

    /// Runs the check once.
    pub fn run(&self, tick: Tick, world: &World) -> RunResult {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { check, out, folding, said, failing, errors } = &mut *state;
        let tells_errors = self.tells_errors.load(Ordering::Relaxed);
        let begun = Instant::now();
        out.begin(tick);
        let context = world.at(tick);
        let whole = match catch_unwind(AssertUnwindSafe(|| check.run(&context, out))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Fault::whole(&error)),
            Err(_) => Some(Fault::whole(&Error::daemon("panicked; this is a bug, please report it with the log"))),
        };
        let failure = whole.as_ref().map(|whole| format!("{}: {whole}", self.name));
        let (mut batch, mut faults) = out.finish();
        let (now, mut lines) = (Instant::now(), Vec::new());
        faults.splice(0..0, whole);
        let took = now.saturating_duration_since(begun);
        let (points, judged, has_failed) = (batch.len(), batch.events.len(), failure.is_some());
        let run = Run { tick: tick.wall, took, points, faults: faults.len(), has_failed };
        let before = std::mem::take(failing);
        for fault in &faults {
            let subject = match &*fault.item {
                "" => self.name.to_string(),
                item => format!("{}: {item}", self.name),
            };
            let line = folding.complain_of(fault.kind, &subject, &fault.text, now);
            lines.extend(line.map(|line| (Level::Warn, line)));
            failing.push(subject);
            let (called, told) = match fault.names_event {
                true => (Text::Owned(fault.item.clone()), fault.text.clone()),
                false => (self.event.clone(), fault.to_string()),
            };
            if tells_errors {
                batch.events.extend(errors.event(&called, &self.check_type, &told, tick));
            }
        }
        for subject in before.into_iter().filter(|subject| !failing.contains(subject)).collect::<Vec<_>>() {
            match has_failed {
                // After a failure as a whole, nothing is known about the single items.
                true => failing.push(subject),
                false => lines.extend(folding.recovered(&subject, now).map(|line| (Level::Info, line))),
            }
        }
        for text in out.take_messages() {
            lines.extend(said.complain(&self.name, &text, now).map(|line| (Level::Info, line)));
        }
        RunResult { batch, lines, failure, run, faults, servers: out.take_servers(), judged }
    }
}

/// The runs of a worker at a tick.
pub struct Job {
    /// Of the assembly.
    pub number: u64,
    /// The number of these runs.
    pub begun: u64,
    pub tick: Tick,
    pub tasks: Vec<Task>,
}

/// One run, and the entry where its result is published.
pub struct Task {
    pub id: Id,
    pub unit: Arc<Unit>,
    pub entry: Arc<Entry>,
}

/// What all workers share.
#[derive(Clone)]
pub struct Surroundings {
    pub world: Arc<World>,
    pub assembly: Arc<Assembly>,
    /// Gets each run that has ended, or will never begin.
    pub ended: Sender<RunId>,
}

/// The handle to a worker thread. Dropping it ends the thread after its current run.
pub struct Worker {
    jobs: Sender<Job>,
    is_left: Arc<AtomicBool>,
}

impl Worker {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(name: &str, surroundings: &Surroundings) -> io::Result<Worker> {
        let (jobs, inbox) = channel::<Job>();
        let is_left = Arc::new(AtomicBool::new(false));
        let (is_over, around) = (Arc::clone(&is_left), surroundings.clone());
        // The kernel keeps 15 bytes of a thread's name.
        let work = move || inbox.into_iter().for_each(|job| perform(job, &is_over, &around));
        thread::Builder::new().name(name.into()).stack_size(STACK).spawn(work)?;
        Ok(Worker { jobs, is_left })
    }

    /// Hands over a job. The worker must have ended the one before.
    pub fn send(&self, job: Job) {
        // This cannot fail: the thread only ends when the channel is closed.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.is_left.store(true, Ordering::Release);
    }
}

/// Does a job. The end of a run is reported only when its result has been handed over, because shutdown may wait for
/// it.
fn perform(job: Job, is_over: &AtomicBool, around: &Surroundings) {
    let (mut batch, mut done) = (Batch::default(), None);
    let tell = |done: Option<Id>| {
        // At shutdown nobody may receive it.
        let _ = done.map(|check| around.ended.send(RunId { check, number: job.begun }));
    };
    let mut tasks = job.tasks.iter();
    while let Some(Task { id, unit, entry }) = tasks.next() {
        tell(done.take());
        if is_over.load(Ordering::Acquire) {
            // The loop may take the first of them for the one that has blocked this thread.
            tell(Some(*id));
            tasks.for_each(|task| tell(Some(task.id)));
            break;
        }
        done = Some(*id);
        if unit.is_dismissed.load(Ordering::Acquire) {
            continue;
        }
        let ran = unit.run(unit.own_tick(job.tick), &around.world);
        for ServerRun { name, run, why } in &ran.servers {
            entry.server_ran(name, *run, why.as_ref().map(|why| why as &dyn Display));
        }
        entry.ran(ran.run, Some(&Faults(&ran.faults)));
        for change in entry.judge(ran.batch.events.get(..ran.judged).unwrap_or_default()) {
            around.assembly.changes.tell(&unit.name, &change, Instant::now());
        }
        ran.lines.iter().for_each(|(level, line)| log::log!(*level, "{line}"));
        batch.append(ran.batch);
    }
    around.assembly.add(job.number, batch);
    tell(done);
}
