//! Changes of the level of health events: lines of the log, and a record where the sink keeps none that can be read here.

use crate::model::point::Level;
use crate::state::Change;
use crate::sys::logging::Complaint;
use crate::sys::record::Record;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines about one event within an hour. One that goes to and fro fills no log.
const LINES: usize = 12;
const HOUR: Duration = Duration::from_secs(3600);
/// Events whose lines are counted.
const EVENTS: usize = 1_000;

/// Shared by all workers.
#[derive(Default)]
pub struct Changes {
    record: Option<Record>,
    told: Mutex<Told>,
}

/// What was told within the last hour.
#[derive(Default)]
struct Told {
    lines: HashMap<String, VecDeque<Instant>>,
    complaint: Complaint,
}

impl Changes {
    /// They are kept there, too.
    pub fn recorded(record: Record) -> Changes {
        Changes { record: Some(record), told: Mutex::default() }
    }

    /// A check has judged otherwise than before.
    pub fn tell(&self, check: &str, change: &Change, now: Instant) {
        let told = &mut *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Change { event, level, message, lasted, .. } = change;
        match told.count(event, now) {
            ..LINES => {
                let lasted = lasted.map(|seconds| format!(" (it was not for {seconds} s)")).unwrap_or_default();
                let line = format!("{check}: event {event} is {}{lasted}: {message}", level.word());
                log::log!(grade(*level), "{line}");
            }
            LINES => {
                log::warn!("{check}: event {event} changes too often: its changes of the next hour are not told here")
            }
            _ => {}
        }
        if let Some(record) = &self.record {
            match record.append(&line(check, change)) {
                Ok(()) => told.complaint.recovered("record of events", now),
                Err(error) => told.complaint.complain("record of events", &error.to_string(), now),
            }
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
            return usize::MAX;
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
    serde_json::json!({ "time": time, "check": check, "event": event, "level": level.word(), "message": message })
        .to_string()
}
