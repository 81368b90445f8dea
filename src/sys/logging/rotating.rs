//! The log file: each line in a single write, rotated like Python's TimedRotatingFileHandler.

use super::{LOST, NEXT, REOPEN};
use crate::model::error::{Error, Result};
use crate::sys::clock;
use log::Level;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

/// When a new file is begun, and how many old ones are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// `None`: never.
    pub every: Option<Duration>,
    /// Number of old files kept; 0: all of them.
    pub backups: usize,
}

/// A `Write` that collects bytes up to a newline and then writes the line at once. It never fails: lines that the disk
/// refuses are counted, and the next line that can be written says how many are missing.
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    /// Seconds; 0: never.
    every: i64,
    backups: usize,
    /// When the next rotation is due, in seconds since 1970.
    due: i64,
    line: Vec<u8>,
    echo: bool,
    /// Lines lost since the last one that was written.
    lost: u64,
    /// The last write wrote only a part of its line.
    torn: bool,
    rotation_failed: bool,
}

impl RotatingFile {
    /// Opens or makes the file (mode 0640) and the folders above it. With `echo` lines also go to stderr. The age of an
    /// existing file counts from its last change.
    pub fn open(path: &Path, rotation: Rotation, echo: bool) -> Result<RotatingFile> {
        let file = open(path).map_err(Error::file("open the log file", path))?;
        let every = rotation.every.map_or(0, |every| i64::try_from(every.as_secs().max(1)).unwrap_or(i64::MAX));
        let about = file.metadata().map_err(Error::file("open the log file", path))?;
        let changed =
            about.modified().ok().filter(|_| about.len() > 0).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let from = changed.and_then(|at| i64::try_from(at.as_secs()).ok()).unwrap_or_else(clock::unix_now);
        Ok(RotatingFile {
            path: path.into(),
            file,
            every: if about.is_file() { every } else { 0 },
            backups: rotation.backups,
            due: from.saturating_add(every),
            line: Vec::with_capacity(256),
            echo,
            lost: 0,
            torn: false,
            rotation_failed: false,
        })
    }

    fn put_line(&mut self) {
        let now = clock::unix_now();
        if let Some(next) = NEXT.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *self = RotatingFile { line: std::mem::take(&mut self.line), echo: self.echo, ..next };
        }
        if REOPEN.swap(false, Ordering::Relaxed) {
            self.reopen(now);
        }
        if self.every > 0 {
            if now >= self.due {
                self.rotate(now);
            } else if now.saturating_add(self.every) < self.due {
                // The clock was set back.
                self.due = now.saturating_add(self.every);
            }
        }
        if self.echo {
            let _ = io::stderr().write_all(&self.line);
        }
        if self.torn || self.lost > 0 {
            let mut before = if self.torn { String::from("\n") } else { String::new() };
            before.push_str(&super::line(
                now,
                Level::Warn,
                &format!("{} log lines lost: the disk did not take them", self.lost),
            ));
            before.push('\n');
            self.line.splice(..0, before.into_bytes());
        }
        match write_once(&self.file, &self.line) {
            Ok(written) if written == self.line.len() => {
                self.torn = false;
                self.lost = 0;
            }
            Ok(0) | Err(_) => self.missed(),
            Ok(_) => {
                self.torn = true;
                self.missed();
            }
        }
    }

    fn missed(&mut self) {
        self.lost += 1;
        LOST.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes a line about the log itself, bypassing the log, whose lock is held here.
    fn remark(&self, now: i64, message: &str) {
        let mut line = super::line(now, Level::Warn, message);
        line.push('\n');
        let _ = write_once(&self.file, line.as_bytes());
    }

    fn reopen(&mut self, now: i64) {
        match open(&self.path) {
            Ok(file) => {
                self.file = file;
                self.torn = false;
                self.due = now.saturating_add(self.every);
            }
            Err(error) => {
                self.remark(now, &format!("{}: cannot open the log file again: {error}", self.path.display()))
            }
        }
    }

    /// Renames the file after the start of its interval. If that fails, the log stays in the current file.
    fn rotate(&mut self, now: i64) {
        let begun = self.due.saturating_sub(self.every);
        self.due = now.saturating_add(self.every);
        match self.set_aside(begun).and_then(|()| open(&self.path)) {
            Ok(file) => {
                self.file = file;
                self.torn = false;
                self.rotation_failed = false;
                self.prune();
            }
            Err(error) if !self.rotation_failed => {
                self.rotation_failed = true;
                let path = self.path.display();
                self.remark(
                    now,
                    &format!(
                        "{path}: cannot rotate: {error}; put log_file into a folder that the daemon's user may write to"
                    ),
                );
            }
            Err(_) => {}
        }
    }

    fn set_aside(&self, begun: i64) -> io::Result<()> {
        match fs::rename(&self.path, self.backup_name(begun)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// A free name: when daylight saving ends, two hours have the same one.
    fn backup_name(&self, begun: i64) -> io::Result<PathBuf> {
        for seconds in begun..begun.saturating_add(100) {
            let mut name = OsString::from(&self.path);
            name.push(".");
            name.push(clock::local_time(seconds, c"%Y-%m-%d_%H-%M-%S"));
            if !Path::new(&name).try_exists()? {
                return Ok(name.into());
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn prune(&self) {
        if self.backups == 0 {
            return;
        }
        let Some((folder, name)) = self.path.parent().zip(self.path.file_name()) else { return };
        let prefix = format!("{}.", name.to_string_lossy());
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut old: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().strip_prefix(&prefix).is_some_and(is_stamp))
            .map(|entry| entry.path())
            .collect();
        old.sort_unstable();
        for path in old.iter().rev().skip(self.backups) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            self.put_line();
            self.line.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// A single write(2), so that neither a crash nor another writer can split a line.
fn write_once(mut file: &File, line: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(line) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether the text has the form `2026-01-31_12-00-00`.
fn is_stamp(text: &str) -> bool {
    text.len() == 19
        && text.bytes().zip(b"0000-00-00_00-00-00").all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}
