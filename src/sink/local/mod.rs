//! Local: an embedded SQLite store ordered by time, with rollups per minute and per quarter of an hour.
//!
//! This file is the sink: the file's place, batches, and damaged files. `store.rs` writes points, `events.rs` health
//! events, `reader.rs` reads, and `schema.rs` has what all share about the tables. Nothing here knows a check or the
//! network.

mod events;
mod reader;
mod schema;
mod store;

pub use reader::{Change, Figures, Grain, Reader, Series, Summary};

use super::{Attempt, Encoded, Reached, Refused, Request, Sink, Verdict};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::{Identity, Point, Value};
use crate::sys::clock;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use store::{Retention, Store, Trouble};

/// The write-ahead log and its index first, then the database: a log that was left behind would be applied to the next
/// database of that name.
const FILES: [&str; 3] = ["-wal", "-shm", ""];

/// The path of the store: `file` of `[TSDB]`, relative to the home folder.
pub fn file(tsdb: &Section, home: &Path) -> PathBuf {
    home.join(tsdb.text("file").filter(|name| !name.is_empty()).unwrap_or("var/puypuy.db"))
}

/// The sink as configured in `[TSDB]`. Touches no file.
pub fn configure(tsdb: &Section, home: &Path) -> Result<Local> {
    let hours = tsdb.within("retention_hours", 168, 1..=1_000_000, "hours")?;
    let megabytes = tsdb.within("retention_mb", 256, 1..=1_000_000, "megabytes")?;
    let keep = Retention { seconds: hours * 3600, bytes: megabytes << 20 };
    Ok(Local { path: file(tsdb, home), keep, store: None, notes: Vec::new() })
}

/// The embedded store as a sink. One transaction per batch; what is acknowledged survives the end of the process.
pub struct Local {
    path: PathBuf,
    keep: Retention,
    /// Opened by the first `send`, and again after an error.
    store: Option<Store>,
    notes: Vec<String>,
}

/// Most points of the backlog in one transaction.
const FULL_REQUEST: usize = 5_000;

impl Local {
    /// The path, as configured.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, points: &[Point], attempt: &Attempt) -> Result<(), Trouble> {
        if self.store.as_ref().is_some_and(|store| !store.is_at(&self.path)) {
            self.notes.push(format!("{}: was removed or replaced while in use: opened anew", self.path.display()));
            self.store = None;
        }
        let mut store = match self.store.take() {
            Some(store) => store,
            None => Store::open(&self.path, self.keep)?,
        };
        let host = &attempt.identity.host;
        let gap = store.write(points, host, attempt.wall).map_err(|error| store::explain(&self.path, &error))?;
        self.store = Some(store);
        if let Some(seconds) = gap {
            let (hours, keep) = (seconds / 3600, self.keep.seconds / 3600);
            self.notes.push(format!(
                "{}: the clock is {hours} hours ahead of what is stored: these make nothing older, \
                 what is stored goes when points of {keep} hours have come after it",
                self.path.display()
            ));
        }
        Ok(())
    }

    /// Renames a damaged store, so that the next `write` makes a new one; nothing is deleted.
    fn set_aside(&mut self, why: &str) -> Result<(), Trouble> {
        let now = clock::wall().as_secs();
        let aside =
            (now..).map(|second| with_suffix(&self.path, &format!(".damaged-{second}"))).find(|to| !to.exists());
        let aside = aside.unwrap_or_default();
        for file in FILES {
            let from = with_suffix(&self.path, file);
            match fs::rename(&from, with_suffix(&aside, file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(store::refusal(&from, &format!("set aside this damaged store ({why})"), &error));
                }
                _ => (),
            }
        }
        self.notes.push(format!(
            "{}: damaged ({why}): set aside as {}, a fresh store is begun; `sqlite3 {1} .recover` may save its contents",
            self.path.display(),
            aside.display(),
        ));
        Ok(())
    }
}

impl Sink for Local {
    fn name(&self) -> &'static str {
        "Local"
    }

    /// Requests have no body, because nothing is sent. Each run of finite numbers is one request, and one transaction.
    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        let mut encoded = Encoded::default();
        let mut start = 0;
        for run in points.chunk_by(|a, b| is_finite(a) == is_finite(b)) {
            let range = start..start + run.len();
            start = range.end;
            match run.first() {
                Some(point) if is_finite(point) => {
                    encoded.requests.push(Request { body: Vec::new(), points: range });
                }
                _ => {
                    encoded.refused.extend(range.map(|index| Refused { index, status: 0, why: "not a number".into() }))
                }
            }
        }
        encoded
    }

    fn send(&mut self, request: &Request, points: &[Point], attempt: &Attempt) -> Verdict {
        let points = points.get(request.points.clone()).unwrap_or_default();
        let outcome = self.write(points, attempt).or_else(|trouble| match trouble {
            Trouble::Damaged(why) => {
                self.set_aside(&why)?;
                self.write(points, attempt)
            }
            other => Err(other),
        });
        match outcome {
            Ok(()) => Verdict::Delivered,
            Err(Trouble::Later(why)) => Verdict::Retry { why, after: None, is_suspect: false },
            Err(Trouble::Refused(why)) => Verdict::Pause { why },
            Err(Trouble::Damaged(why)) => Verdict::Retry {
                why: format!(
                    "{}: the fresh store is damaged as well ({why}): is the disk failing?",
                    self.path.display()
                ),
                after: None,
                is_suspect: false,
            },
        }
    }

    fn probe(&mut self, _: Instant) -> std::result::Result<Reached, String> {
        let path = self.path.display();
        let who = match Reader::open(&self.path).map_err(|error| error.to_string())? {
            Some(_) => format!("{path} can be read"),
            None => format!("{path} is made with the first points"),
        };
        Ok(Reached { who, ahead: None })
    }

    fn full_request(&self) -> usize {
        FULL_REQUEST
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// To get the messages of events, which numbers do not have.
    fn takes_events(&self) -> bool {
        true
    }

    fn takes_errors(&self) -> bool {
        false
    }

    fn is_remote(&self) -> bool {
        false
    }
}

fn is_finite(point: &Point) -> bool {
    !matches!(point.value, Value::Float(number) if !number.is_finite())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
