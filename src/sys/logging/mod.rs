//! The log: one line a message in local time, into a file that is rotated by age and reopened on demand.
//!
//! `rotating.rs` is the file, `complaint.rs` keeps what happens again and again from filling it.

mod complaint;
mod rotating;

pub use complaint::{Complaint, FaultKind, Folding};
pub use rotating::{RotatingFile, Rotation};

use crate::model::error::{Error, Result};
use crate::sys::clock;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Longer messages are cut: a line is one write, and nobody reads more.
const LONGEST: usize = 8 * 1024;

static REOPEN: AtomicBool = AtomicBool::new(false);
/// What takes the place of the file at the next line.
static NEXT: Mutex<Option<RotatingFile>> = Mutex::new(None);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Opens the log file, missing folders included, and makes it the log of this process. With `echo` every line also goes
/// to stderr. Fails when the file cannot be opened or the process has a log already.
pub fn start(file: &Path, rotation: Rotation, level: LevelFilter, echo: bool) -> Result<()> {
    let file = RotatingFile::open(file, rotation, echo)?;
    // The line is made here; simplelog adds nothing but its end.
    let bare = ConfigBuilder::new()
        .set_max_level(LevelFilter::Off)
        .set_time_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    log::set_boxed_logger(Box::new(Lines(WriteLogger::new(LevelFilter::Debug, bare, file))))
        .map_err(|_| Error::daemon("this process has a log already"))?;
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("thread {} panicked at {place}: {}", thread.name().unwrap_or("?"), said(panic.payload()));
    }));
    Ok(())
}

/// What a panic said, as far as it said it in words.
fn said(payload: &dyn std::any::Any) -> &str {
    match payload.downcast_ref::<&str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("no message", String::as_str),
    }
}

/// Has the log go on in another file, or with another rotation, from the next line on.
pub fn go_on_in(file: RotatingFile) {
    *NEXT.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
}

/// Makes the next line open the file anew: for logrotate, by SIGHUP.
pub fn reopen() {
    REOPEN.store(true, Ordering::Relaxed);
}

/// Lines that could not be written, for example to a full disk, since the start.
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// A line without its end. Everything that could begin another line or move a terminal's cursor becomes a blank, since
/// messages quote what foreign servers answered.
pub fn line(seconds: i64, level: Level, message: &str) -> String {
    let mut line = clock::local(seconds);
    line.push(' ');
    line.push_str(level.as_str());
    line.push(' ');
    for letter in message.chars() {
        if line.len() >= LONGEST {
            line.push('…');
            break;
        }
        line.push(if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') { ' ' } else { letter });
    }
    line
}

/// Makes the lines before simplelog takes its lock, so that a `Display` that panics cannot poison the log for all
/// threads, and keeps the chatter of libraries out.
struct Lines<L>(L);

impl<L: Log> Log for Lines<L> {
    fn enabled(&self, metadata: &Metadata) -> bool {
        let ours = metadata.target().split("::").next() == Some("puypuy");
        (ours || metadata.level() <= Level::Warn) && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(clock::unix_now(), record.level(), &record.args().to_string());
        self.0.log(&Record::builder().metadata(record.metadata().clone()).args(format_args!("{line}")).build());
    }

    fn flush(&self) {
        self.0.flush();
    }
}
