//! Changes of the level of health events: logged, and written to a record file if the sink keeps none that we can read.

use crate::model::point::{Level, without_level};
use crate::state::Change;
use crate::sys::logging::Complaint;
use crate::sys::record::Record;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most log lines about one event per hour, so that an event that keeps changing does not fill the log.
const LINES: usize = 12;
const HOUR: Duration = Duration::from_secs(3600);
/// Most events whose lines are counted; changes of further events are not logged.
const EVENTS: usize = 1_000;
const TOO_MANY: usize = usize::MAX;
/// Most changes that wait to be written to the record.
const WAITING: usize = 1_000;
/// Most characters of a message that are recorded.
const LONGEST: usize = 1_000;
const STACK: usize = 128 << 10;

/// Shared by all workers.
#[derive(Default)]
pub struct Changes {
    record: Option<SyncSender<String>>,
    counts: Mutex<LineCounts>,
}

/// The log lines within the last hour.
#[derive(Default)]
struct LineCounts {
    lines: HashMap<String, VecDeque<Instant>>,
    complaint: Complaint,
}

impl Changes {
    /// Also writes the changes to that record, on a thread of its own.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn recorded(record: Record) -> io::Result<Changes> {
        let (sender, lines) = sync_channel(WAITING);
        thread::Builder::new().name("events".into()).stack_size(STACK).spawn(move || write(&record, lines))?;
        Ok(Changes { record: Some(sender), counts: Mutex::default() })
    }

    /// A check has judged an event differently than before.
    pub fn tell(&self, check: &str, change: &Change, now: Instant) {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Change { event, level, message, lasted, .. } = change;
        match counts.count(event, now) {
            ..LINES => {
                let lasted = lasted.map(|seconds| format!(" (it was not for {seconds} s)")).unwrap_or_default();
                let (level, grade) = (level.word(), grade(*level));
                log::log!(grade, "{check}: event {event} is {level}{lasted}: {}", without_level(level, message));
            }
            LINES => {
                log::warn!(
                    "{check}: event {event} changes too often: further changes within the hour are not told here, but by `puypuy show events`"
                )
            }
            TOO_MANY => {
                let what =
                    format!("{EVENTS} have changed within an hour: others are told by `puypuy show events` alone");
                counts.complaint.complain("health events", &what, now);
            }
            _ => {}
        }
        if self.record.as_ref().is_some_and(|record| record.try_send(line(check, change)).is_err()) {
            let what = "its disk does not keep up: changes are not recorded";
            counts.complaint.complain("record of health events", what, now);
        }
    }
}

/// Writes lines as they come. The disk may block it.
fn write(record: &Record, lines: Receiver<String>) {
    let (subject, mut complaint) = ("record of health events", Complaint::default());
    for line in lines {
        match record.append(&line) {
            Ok(()) => complaint.recovered(subject, Instant::now()),
            Err(error) => complaint.complain(subject, &error.to_string(), Instant::now()),
        }
    }
}

impl LineCounts {
    /// Number of log lines about that event within the last hour, before this one.
    fn count(&mut self, event: &str, now: Instant) -> usize {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= HOUR;
        if self.lines.len() >= EVENTS {
            self.lines.retain(|_, lines| lines.back().is_some_and(|at| !is_old(at)));
        }
        if self.lines.len() >= EVENTS && !self.lines.contains_key(event) {
            return TOO_MANY;
        }
        let lines = self.lines.entry(event.into()).or_default();
        while lines.front().is_some_and(is_old) {
            lines.pop_front();
        }
        let count = lines.len();
        if count <= LINES {
            lines.push_back(now);
        }
        count
    }
}

fn grade(level: Level) -> log::Level {
    match level {
        Level::Ok => log::Level::Info,
        Level::Warning => log::Level::Warn,
        Level::Error => log::Level::Error,
    }
}

/// The change as a line of the record.
fn line(check: &str, Change { time, event, level, message, .. }: &Change) -> String {
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let (event, message) = (short(event), short(message));
    serde_json::json!({ "time": time, "check": check, "event": event, "level": level.word(), "message": message })
        .to_string()
}
