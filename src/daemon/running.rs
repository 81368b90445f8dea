//! What can be done with a daemon that runs: ask how it is, and stop it.

use super::pidfile::{Daemon, look};
use super::{sockets, threads};
use crate::config::settings::{SelfConfig, Settings};
use crate::model::error::{Error, Result};
use crate::sys::clock;
use crate::web;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The lock is given back shortly before the process ends. One that hangs in the kernel then is nobody's concern any more.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// One line about the daemon of that pid file, and whether it runs.
pub fn status(own: &SelfConfig) -> Result<(bool, String)> {
    let path = pid_file(own)?;
    match look(path)? {
        Daemon::Gone => Ok((false, "not running".into())),
        Daemon::Unknown(who) => Err(foreign(path, &who)),
        Daemon::Running(pid) => {
            let since = started(pid).map(|since| format!(" since {since}")).unwrap_or_default();
            Ok((true, format!("running, pid {pid}{since}, log {}", own.log_file.display())))
        }
    }
}

/// Where the daemon of these settings shows its page; `None` where none runs, or it does not listen.
pub fn page(settings: &Settings) -> Option<String> {
    let web = web::configure(settings.web.as_ref()?).ok()?;
    let sockets = sockets::of(running(&settings.own).ok()??);
    web.page(|address| sockets.listen(address))
}

/// Stops the daemon and waits until its lock is free; returns what happened. Not running is no failure.
pub fn stop(own: &SelfConfig) -> Result<String> {
    let path = pid_file(own)?;
    let pid = match look(path)? {
        Daemon::Gone => return Ok("not running".into()),
        Daemon::Unknown(who) => return Err(foreign(path, &who)),
        Daemon::Running(pid) => pid,
    };
    match kill(Pid::from_raw(pid), Signal::SIGTERM) {
        Ok(()) | Err(nix::Error::ESRCH) => {}
        Err(nix::Error::EPERM) => {
            return Err(Error::daemon(format!("pid {pid} belongs to another user: stop it as that user or as root")));
        }
        Err(error) => return Err(Error::daemon(format!("cannot stop pid {pid}: {error}"))),
    }
    let begun = Instant::now();
    while begun.elapsed() < STOP_LIMIT {
        if look(path)? != Daemon::Running(pid) {
            let freed = Instant::now();
            while lives(pid) && freed.elapsed() < EXIT_LIMIT {
                sleep(Duration::from_millis(5));
            }
            return Ok(format!("stopped, pid {pid}"));
        }
        sleep(Duration::from_millis(20));
    }
    let (limit, threads) = (STOP_LIMIT.as_secs(), threads::describe(&pid.to_string()));
    Err(Error::daemon(format!(
        "pid {pid} did not stop within {limit} s, its threads: {threads}; kill -9 {pid} ends it"
    )))
}

/// The number of the daemon of that pid file, if one runs; `None` as well without a pid file.
///
/// # Errors
/// The lock is held by something else.
pub fn running(own: &SelfConfig) -> Result<Option<i32>> {
    let Some(path) = own.pid_file.as_deref() else { return Ok(None) };
    match look(path)? {
        Daemon::Gone => Ok(None),
        Daemon::Unknown(who) => Err(foreign(path, &who)),
        Daemon::Running(pid) => Ok(Some(pid)),
    }
}

fn pid_file(own: &SelfConfig) -> Result<&Path> {
    let none = "[SelfConfig] pid_file is empty: ask the service manager that started the daemon";
    own.pid_file.as_deref().ok_or_else(|| Error::daemon(none))
}

fn foreign(path: &Path, who: &str) -> Error {
    Error::daemon(format!("{}: locked by {who}, which is not known to be puypuy; nothing was done", path.display()))
}

/// Whether that process runs still, and does not just wait for its parent to notice its end.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

/// When that process began, in local time.
fn started(pid: i32) -> Option<String> {
    let about = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks and brackets; the 20th word behind it counts ticks since the boot.
    let ticks: i64 = about.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let kernel = fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = kernel.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(clock::local_time(boot + ticks / per_second.max(1), c"%Y-%m-%d %H:%M:%S"))
}
