//! Changes of the level of health events: lines of the log, and a record where the sink keeps none that can be read here.

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

/// Lines about one event within an hour. One that goes to and fro fills no log.
const LINES: usize = 12;
const HOUR: Duration = Duration::from_secs(3600);
/// Events whose lines are counted; of more there are none.
const EVENTS: usize = 1_000;
const TOO_MANY: usize = usize::MAX;
/// Changes that wait for the disk of the record.
const WAITING: usize = 1_000;
/// Letters of a message that are recorded.
const LONGEST: usize = 1_000;
const STACK: usize = 128 << 10;

/// Shared by all workers.
#[derive(Default)]
pub struct Changes {
    record: Option<SyncSender<String>>,
    told: Mutex<Told>,
}

/// What was told within the last hour.
#[derive(Default)]
struct Told {
    lines: HashMap<String, VecDeque<Instant>>,
    complaint: Complaint,
}

impl Changes {
    /// They are kept there, too, by a thread of its own.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn recorded(record: Record) -> io::Result<Changes> {
        let (sender, lines) = sync_channel(WAITING);
        thread::Builder::new().name("events".into()).stack_size(STACK).spawn(move || write(&record, lines))?;
        Ok(Changes { record: Some(sender), told: Mutex::default() })
    }

    /// A check has judged otherwise than before.
    pub fn tell(&self, check: &str, change: &Change, now: Instant) {
        let told = &mut *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Change { event, level, message, lasted, .. } = change;
        match told.count(event, now) {
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
                told.complaint.complain("health events", &what, now);
            }
            _ => {}
        }
        if self.record.as_ref().is_some_and(|record| record.try_send(line(check, change)).is_err()) {
            let what = "its disk does not keep up: changes are not recorded";
            told.complaint.complain("record of health events", what, now);
        }
    }
}

/// Writes lines as they come; the disk may hang.
fn write(record: &Record, lines: Receiver<String>) {
    let (subject, mut complaint) = ("record of health events", Complaint::default());
    for line in lines {
        match record.append(&line) {
            Ok(()) => complaint.recovered(subject, Instant::now()),
            Err(error) => complaint.complain(subject, &error.to_string(), Instant::now()),
        }
    }
}

impl Told {
    /// Lines about that event within the last hour, but for this one.
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

/// As a line of the record.
fn line(check: &str, Change { time, event, level, message, .. }: &Change) -> String {
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let (event, message) = (short(event), short(message));
    serde_json::json!({ "time": time, "check": check, "event": event, "level": level.word(), "message": message })
        .to_string()
}
