//! The log: one line per message in local time, in a file that is rotated by age and reopened on demand.
//!
//! `rotating.rs` is the file; `complaint.rs` limits repeated lines.

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

/// Longest line in bytes; a longer message is cut, so that a line is always a single write.
const LONGEST: usize = 8 * 1024;

static REOPEN: AtomicBool = AtomicBool::new(false);
/// The file that replaces the current one at the next line.
static NEXT: Mutex<Option<RotatingFile>> = Mutex::new(None);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Opens the log file, makes missing folders, and installs it as the log of this process. With `echo` every line also
/// goes to stderr. Fails if the file cannot be opened or the process has a log already.
pub fn start(file: &Path, rotation: Rotation, level: LevelFilter, echo: bool) -> Result<()> {
    let file = RotatingFile::open(file, rotation, echo)?;
    // The whole line is made in [`line`]; simplelog only adds the newline.
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
        log::error!("thread {} panicked at {place}: {}", thread.name().unwrap_or("?"), panic_message(panic.payload()));
    }));
    Ok(())
}

/// The message of a panic, if it is text.
fn panic_message(payload: &dyn std::any::Any) -> &str {
    match payload.downcast_ref::<&str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("no message", String::as_str),
    }
}

/// Continues the log in another file, or with another rotation, from the next line on.
pub fn go_on_in(file: RotatingFile) {
    *NEXT.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
}

/// Reopens the file at the next line: for logrotate, by SIGHUP.
pub fn reopen() {
    REOPEN.store(true, Ordering::Relaxed);
}

/// Number of lines since the start that could not be written, for example because the disk was full.
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// A line without its newline. Characters that could begin another line or move a terminal's cursor become spaces,
/// because messages quote answers of other servers.
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

/// Formats lines before simplelog takes its lock, so that a `Display` that panics cannot poison the log for all
/// threads. Also drops info and debug messages of libraries.
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
