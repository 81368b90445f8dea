//! Daemonizes, and returns to the terminal only once the daemon really serves.
//!
//! `execute()` of daemonize forks twice, starts a session and redirects the streams to `/dev/null`. A pipe made before
//! that tells the parent the result: `ready` with further lines, or an error. If the daemon dies, the pipe is closed.

use super::signals;
use crate::model::error::{Error, Result};
use crate::scheduler::difference::Taken;
use crate::sys::descriptors::close_inherited;
use daemonize::{Daemonize, Outcome};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::cell::RefCell;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::exit;
use std::time::{Duration, Instant};

/// What the parent waits for. A daemon that is not ready in time finds the pipe closed later, and exits.
pub struct Awaited {
    pub limit: Duration,
    /// Errors: the time limit has passed; the process has ended without a message.
    pub late: &'static str,
    pub dead: &'static str,
}

/// The settings for a daemon that is to serve.
pub const DAEMON: Awaited = Awaited {
    limit: Duration::from_secs(60),
    late: "the daemon is not ready after 60 s and was given up: see its log",
    dead: "the daemon died before it was ready: see its log",
};

/// The message of a daemon that is ready.
#[derive(Debug)]
pub struct Ready {
    pub pid: String,
    pub taken: Taken,
}

impl Ready {
    /// The message of this process.
    pub fn new(taken: Taken) -> Ready {
        Ready { pid: std::process::id().to_string(), taken }
    }

    /// A line with the process id and the number of checks that run, and a line for each check that stays off.
    fn write(&self) -> String {
        let mut text = format!("ready {} {}", self.pid, self.taken.on);
        for sentence in &self.taken.off {
            text.push('\n');
            text.push_str(&sentence.replace('\n', " "));
        }
        text
    }

    /// Parses the message; `None` if the text is not one.
    fn read(text: &str) -> Option<Ready> {
        let mut lines = text.lines();
        let (pid, on) = lines.next()?.strip_prefix("ready ")?.split_once(' ')?;
        let taken = Taken { on: on.parse().ok()?, off: lines.map(String::from).collect() };
        Some(Ready { pid: pid.into(), taken })
    }
}

/// The daemon's end of the pipe. The first message closes it; later ones are dropped.
pub struct Report(RefCell<Option<PipeWriter>>);

impl Report {
    /// Fails if the parent does not wait any more: it has given up the start.
    pub fn ready(&self, ready: &Ready) -> Result<()> {
        let said = self.0.take().map_or(Ok(()), |mut pipe| pipe.write_all(ready.write().as_bytes()));
        said.map_err(|_| Error::daemon("whoever started the daemon does not wait for it any more"))
    }

    /// Sends an error instead of `ready`.
    pub fn failed(&self, error: &Error) {
        let _ = self.0.take().map(|mut pipe| pipe.write_all(error.to_string().as_bytes()));
    }
}

/// Runs `serve` in a daemon with `home` as its working directory; returns the daemon's message when it is ready. Only
/// the calling process returns; the daemon exits with the code that `serve` returns.
pub fn daemonize(home: &Path, awaited: &Awaited, serve: impl FnOnce(&Report) -> i32) -> Result<Ready> {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() != 1) {
        return Err(Error::daemon("cannot go into the background: threads run already, and they would be lost"));
    }
    let (reader, writer) = io::pipe().map_err(|error| Error::daemon(format!("cannot make a pipe: {error}")))?;
    let _ = io::stdout().flush();
    signals::hold();
    match Daemonize::new().working_directory(home).umask(0o027).execute() {
        Outcome::Parent(forked) => {
            signals::let_go();
            drop(writer);
            forked.map_err(|error| Error::daemon(format!("cannot go into the background: {error}")))?;
            wait(reader, awaited)
        }
        Outcome::Child(forked) => {
            drop(reader);
            close_inherited(Some(writer.as_raw_fd()));
            let report = Report(RefCell::new(Some(writer)));
            exit(match forked {
                Ok(_) => serve(&report),
                Err(error) => {
                    let home = home.display();
                    report.failed(&Error::daemon(format!("cannot go into the background in {home}: {error}")));
                    1
                }
            })
        }
    }
}

fn wait(mut pipe: PipeReader, awaited: &Awaited) -> Result<Ready> {
    let begun = Instant::now();
    let mut said = Vec::new();
    let mut part = [0; 1024];
    loop {
        let left = PollTimeout::try_from(awaited.limit.saturating_sub(begun.elapsed())).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(Error::daemon(awaited.late)),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(Error::daemon(format!("cannot wait for the daemon: {error}"))),
        }
        match pipe.read(&mut part) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::daemon(format!("cannot wait for the daemon: {error}"))),
        }
    }
    let said = String::from_utf8_lossy(&said);
    match Ready::read(&said) {
        Some(ready) => Ok(ready),
        None if said.is_empty() => Err(Error::daemon(awaited.dead)),
        None => Err(Error::daemon(said)),
    }
}
