//! Runs checks: the memory of a check, a run guarded against panics, and a thread with its queue of runs.

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
use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
        let tells_errors = AtomicBool::new(tells_errors);
        Unit { name, event, check_type, common, tells_errors, state: Mutex::new(state) }
    }

    /// Whether its errors are health events from the next run on.
    pub fn tell_errors(&self, tells: bool) {
        self.tells_errors.store(tells, Ordering::Relaxed);
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

/// A run that is to be done, and the entry where its result is published.
pub struct Job {
    pub run: RunId,
    pub tick: Tick,
    pub unit: Arc<Unit>,
    pub entry: Arc<Entry>,
}

/// What all workers share.
#[derive(Clone)]
pub struct Surroundings {
    pub world: Arc<World>,
    pub assembly: Arc<Assembly>,
    /// Gets each run that has ended.
    pub ended: Sender<RunId>,
}

/// A queue of jobs, and the thread that does them in this order. Dropping it ends the thread after its current job.
pub struct Worker {
    name: String,
    around: Surroundings,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    /// The number of the thread that does them; those before it were abandoned.
    thread: u64,
    /// This thread does a job.
    is_busy: bool,
}

impl Worker {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(name: &str, around: &Surroundings) -> io::Result<Worker> {
        let worker = Worker { name: name.into(), around: around.clone(), queue: Arc::default() };
        worker.start_thread(0)?;
        Ok(worker)
    }

    fn start_thread(&self, number: u64) -> io::Result<()> {
        let (queue, around) = (Arc::clone(&self.queue), self.around.clone());
        let work = move || {
            while let Some(job) = queue.next(number) {
                job.perform(&around);
            }
        };
        // The kernel keeps 15 bytes of a thread's name.
        thread::Builder::new().name(self.name.clone()).stack_size(STACK).spawn(work).map(drop)
    }

    /// Adds jobs to the queue.
    pub fn send(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut inner = self.queue.lock();
        inner.jobs.extend(jobs);
        let has_jobs = !inner.jobs.is_empty();
        drop(inner);
        if has_jobs {
            self.queue.changed.notify_one();
        }
    }

    /// The checks whose runs are in the queue and have not begun.
    pub fn waiting(&self) -> Vec<Id> {
        self.queue.lock().jobs.iter().map(|job| job.run.check).collect()
    }

    /// Takes the job of that check out of the queue, if it has not begun.
    pub fn withdraw(&self, check: Id) -> Option<Job> {
        let jobs = &mut self.queue.lock().jobs;
        let place = jobs.iter().position(|job| job.run.check == check)?;
        jobs.remove(place)
    }

    /// Leaves the thread to its current job; a new thread goes on with the queue. A thread that does no job is kept,
    /// because another would not get to the queue sooner.
    ///
    /// # Errors
    /// The thread could not be started; then nothing has changed.
    pub fn replace_thread(&self) -> io::Result<()> {
        let mut inner = self.queue.lock();
        if inner.is_busy {
            let number = inner.thread + 1;
            self.start_thread(number)?;
            (inner.thread, inner.is_busy) = (number, false);
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.lock().thread += 1;
        self.queue.changed.notify_one();
    }
}

impl Queue {
    /// The next job for that thread, which has ended its last one. `None` if the thread was abandoned.
    fn next(&self, thread: u64) -> Option<Job> {
        let mut inner = self.lock();
        if inner.thread == thread {
            inner.is_busy = false;
        }
        let is_idle = |inner: &mut Inner| inner.thread == thread && inner.jobs.is_empty();
        inner = self.changed.wait_while(inner, is_idle).unwrap_or_else(PoisonError::into_inner);
        if inner.thread != thread {
            return None;
        }
        inner.is_busy = true;
        inner.jobs.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn perform(self, around: &Surroundings) {
        let Job { run, tick, unit, entry } = self;
        let ran = unit.run(unit.own_tick(tick), &around.world);
        for ServerRun { name, run, why } in &ran.servers {
            entry.server_ran(name, *run, why.as_ref().map(|why| why as &dyn Display));
        }
        entry.ran(ran.run, Some(&Faults(&ran.faults)));
        for change in entry.judge(ran.batch.events.get(..ran.judged).unwrap_or_default()) {
            around.assembly.changes.tell(&unit.name, &change, Instant::now());
        }
        ran.lines.iter().for_each(|(level, line)| log::log!(*level, "{line}"));
        around.assembly.add(run.number, ran.batch);
        // Only now, because shutdown may wait for it. At shutdown nobody may receive it.
        let _ = around.ended.send(run);
    }
}
