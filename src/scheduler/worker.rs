//! A worker: one thread that runs the checks it is sent, each guarded against panics, and hands over what they told.

use super::assembly::Assembly;
use super::errors::Errors;
use crate::check::{Check, Fault, Out, Pace, World};
use crate::model::error::Error;
use crate::model::point::{Batch, Text, Tick};
use crate::sys::logging::Complaint;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// Enough for any parser here; only pages that are touched cost memory.
const STACK: usize = 512 << 10;

/// An enabled check with its memory and its rates. Whoever runs it holds the lock for the whole run.
pub struct Unit {
    pub name: Text,
    check_type: Text,
    pub pace: Pace,
    state: Mutex<State>,
}

struct State {
    check: Box<dyn Check>,
    out: Out,
    complaint: Complaint,
    /// What complained in the last run, as the log calls it.
    ailing: Vec<String>,
    /// `None` where errors are only logged.
    errors: Option<Errors>,
}

impl Unit {
    /// `label` is its name and its type. With `tells_errors` an error of the check is a health event too.
    pub fn new(label: (Text, Text), pace: Pace, check: Box<dyn Check>, tick: Tick, tells_errors: bool) -> Unit {
        let (name, check_type) = label;
        let out = Out::new(check_type.clone(), pace.max_series, tick);
        let errors = tells_errors.then(Errors::default);
        Unit {
            name,
            check_type,
            pace,
            state: Mutex::new(State { check, out, complaint: Complaint::default(), ailing: Vec::new(), errors }),
        }
    }

    /// How long a run may take when the daemon's period is `period`.
    pub fn limit(&self, period: Duration) -> Duration {
        let period = self.pace.period.unwrap_or(period);
        self.pace.timeout.map_or(period, |timeout| timeout.min(period))
    }

    /// Whether somebody runs it at this moment.
    pub fn is_busy(&self) -> bool {
        matches!(self.state.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// One run. Empty when another thread is still in the one before.
    fn run(&self, tick: Tick, world: &World) -> Batch {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Batch::default(),
        };
        let State { check, out, complaint, ailing, errors } = &mut *state;
        out.begin(tick);
        let context = world.at(tick);
        let whole = match catch_unwind(AssertUnwindSafe(|| check.run(&context, out))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((error.to_string(), matches!(error, Error::Absent(_)))),
            Err(_) => Some(("panicked; this is a bug, please report it with the log".into(), false)),
        };
        let whole = whole.map(|(text, is_lasting)| Fault { item: String::new(), text, is_lasting });
        let (mut batch, faults) = out.finish();
        let now = Instant::now();
        let before = std::mem::take(ailing);
        for fault in whole.iter().chain(&faults) {
            let subject = match &*fault.item {
                "" => self.name.to_string(),
                item => format!("{}: {item}", self.name),
            };
            match fault.is_lasting {
                true => complaint.complain_once(&subject, &fault.text, now),
                false => complaint.complain(&subject, &fault.text, now),
            }
            ailing.push(subject);
            let told = fault.to_string();
            let event = errors.as_mut().and_then(|errors| errors.event(&self.name, &self.check_type, &told, tick));
            batch.events.extend(event);
        }
        for subject in before.iter().filter(|subject| !ailing.contains(subject)) {
            complaint.recovered(subject, now);
        }
        batch
    }
}

/// What a worker is asked to do at a tick.
pub struct Job {
    pub number: u64,
    /// Time, number and length; the deadline is each unit's own.
    pub tick: Tick,
    pub units: Vec<Arc<Unit>>,
}

/// The handle to a worker thread. Dropping it ends the thread after the run it is in, and no other begins.
pub struct Worker {
    jobs: Sender<Job>,
    busy: Arc<AtomicBool>,
    left_behind: Arc<AtomicBool>,
}

impl Worker {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(name: &str, world: Arc<World>, assembly: Arc<Assembly>) -> io::Result<Worker> {
        let (jobs, inbox) = channel::<Job>();
        let busy = Arc::new(AtomicBool::new(false));
        let left_behind = Arc::new(AtomicBool::new(false));
        let (done, stop) = (Arc::clone(&busy), Arc::clone(&left_behind));
        thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
            for job in inbox {
                let mut batch = Batch::default();
                for unit in &job.units {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let deadline = job.tick.at + unit.limit(job.tick.period);
                    let period = unit.pace.period.unwrap_or(job.tick.period);
                    batch.append(unit.run(Tick { deadline, period, ..job.tick }, &world));
                }
                done.store(false, Ordering::Release);
                assembly.add(job.number, batch);
            }
        })?;
        Ok(Worker { jobs, busy, left_behind })
    }

    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Hands over a job; only to a worker that is not busy.
    pub fn send(&self, job: Job) {
        self.busy.store(true, Ordering::Release);
        // The thread lives as long as this handle: it ends by the channel's end alone.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.left_behind.store(true, Ordering::Release);
    }
}
