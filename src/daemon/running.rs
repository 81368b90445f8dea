//! Commands for a running daemon: status, reload, stop.

use super::asking::{self, Answer};
use super::pidfile::{Daemon, look};
use super::word::Word;
use super::{sockets, threads};
use crate::config::settings::{SelfConfig, Settings};
use crate::model::error::{Error, Result, plain};
use crate::sys::clock;
use crate::web;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long an answer is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for the end of a reload.
const RELOAD_LIMIT: Duration = Duration::from_secs(30);
/// The lock is released shortly before the process ends. If the process then hangs in the kernel, we do not wait
/// longer.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// The state of a daemon, seen from outside.
pub enum Found {
    /// No daemon runs. `line` is about its log, if there is one.
    Gone { line: Option<String> },
    /// The daemon has answered: `document` is that of `/api/status` without the page's data.
    Told { line: String, document: Value },
    /// The daemon does not answer properly; the reason.
    Ailing { line: String, why: String },
    /// This user may not ask.
    Closed { line: String, why: String },
}

/// The state of the daemon with these settings; each variant has a line that identifies the daemon.
///
/// # Errors
/// Another program holds the lock, or it cannot be known whether the daemon runs.
pub fn status(own: &SelfConfig) -> Result<Found> {
    let (socket, log) = (asking::socket_of(own), own.log_file.display());
    let closed = |group: &str, place: &Path| {
        let place = place.display();
        format!("only root and the group {group} may ask how it is ({place}): sudo, or become a member")
    };
    let pid = match running(own) {
        Err(Error::File { path, source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            let why = closed(&asking::group_of(&path), &path);
            return Ok(Found::Closed { line: format!("log {log}"), why });
        }
        pid => pid?,
    };
    let line = |pid: Option<i32>| {
        let since = pid.and_then(started).map(|since| format!(" since {since}")).unwrap_or_default();
        let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
        format!("running{pid}{since}, log {log}")
    };
    Ok(match asking::ask(&socket, "status", pid, ANSWER_LIMIT) {
        Answer::Document(document) => {
            let told = document.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
            Found::Told { line: line(pid.or(told)), document }
        }
        Answer::Silent => Found::Ailing { line: line(pid), why: hanging(&socket, pid) },
        // With a pid file its lock decides, so the socket was left behind by a killed daemon.
        Answer::Closed { .. } | Answer::Nobody(_) if pid.is_none() && own.pid_file.is_some() => gone(own),
        Answer::Closed { group } => Found::Closed { line: line(pid), why: closed(&group, &socket) },
        Answer::Nobody(_) if pid.is_none() => gone(own),
        Answer::Nobody(error) => {
            let (place, error) = (socket.display(), plain(&error));
            let why = format!(
                "nobody answers at {place}: {error}; it starts or stops just now: ask again soon, and if it stays so `puypuy restart`"
            );
            Found::Ailing { line: line(pid), why }
        }
    })
}

fn gone(own: &SelfConfig) -> Found {
    let log = own.log_file.display();
    let line = fs::metadata(&own.log_file)
        .ok()
        .map(|about| format!("log {log}, last written {}: its end says why", clock::local(about.mtime())));
    Found::Gone { line }
}

/// The address of the daemon's page; `None` if no daemon runs or it does not listen.
pub fn page(settings: &Settings) -> Option<String> {
    let web = web::configure(settings.web.as_ref()?).ok()?;
    let sockets = sockets::of(running(&settings.own).ok()??);
    web.page(|address| sockets.listen(address))
}

/// Stops the daemon and waits until its lock is free; returns a message. It is no error if none runs.
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

/// Makes the daemon read its configuration again, and waits for the result; returns its notes.
///
/// # Errors
/// No daemon runs; or its reasons for not reloading, a line each; or it does not answer.
pub fn reload(own: &SelfConfig) -> Result<Vec<String>> {
    let path = pid_file(own)?;
    let pid = match look(path)? {
        Daemon::Gone => return Err(Error::daemon("not running; `puypuy start` starts it with this configuration")),
        Daemon::Unknown(who) => return Err(foreign(path, &who)),
        Daemon::Running(pid) => pid,
    };
    let of_another = || Error::daemon(format!("pid {pid} belongs to another user: reload it as that user or as root"));
    let socket = asking::socket_of(own);
    let ask = || asking::ask(&socket, "reload", Some(pid), ANSWER_LIMIT);
    // The number of the last reload that has begun: a later one reads the present files.
    let last = match ask() {
        Answer::Document(document) => match Word::from_json(&document) {
            Some(word) => word.number,
            None => {
                return Err(Error::daemon(format!("pid {pid} runs another version of this program: `puypuy restart`")));
            }
        },
        Answer::Closed { .. } => return Err(of_another()),
        Answer::Silent => return Err(Error::daemon(hanging(&socket, Some(pid)))),
        Answer::Nobody(error) => {
            let (place, error) = (socket.display(), plain(&error));
            return Err(Error::daemon(format!(
                "{place}: pid {pid} does not answer there: {error}; tmpdir in [SelfConfig] was changed, which takes effect at the next \
                 restart, or somebody removed it; `kill -HUP {pid}` reloads all else, and the log says what came of it"
            )));
        }
    };
    match kill(Pid::from_raw(pid), Signal::SIGHUP) {
        Err(nix::Error::EPERM) => return Err(of_another()),
        Err(error) => return Err(Error::daemon(format!("cannot reach pid {pid}: {error}"))),
        Ok(()) => {}
    }
    let begun = Instant::now();
    while begun.elapsed() < RELOAD_LIMIT {
        let word = match ask() {
            Answer::Document(document) => Word::from_json(&document).filter(|word| word.number > last),
            _ if !lives(pid) => return Err(Error::daemon(format!("pid {pid} ended meanwhile; its log says why"))),
            _ => None,
        };
        match word.and_then(|word| word.ended) {
            Some(Ok(lines)) => return Ok(lines),
            Some(Err(lines)) => {
                let lines = lines.join("\n");
                return Err(Error::daemon(format!("{lines}\nnothing was reloaded; pid {pid} goes on as before")));
            }
            None => sleep(Duration::from_millis(10)),
        }
    }
    let (limit, log) = (RELOAD_LIMIT.as_secs(), own.log_file.display());
    Err(Error::daemon(format!("pid {pid} did not say within {limit} s what came of it; see {log}")))
}

/// The message about a daemon that does not answer.
fn hanging(socket: &Path, pid: Option<i32>) -> String {
    let (place, limit) = (socket.display(), ANSWER_LIMIT.as_secs());
    let threads = pid.map(|pid| format!("; its threads: {}", threads::describe(&pid.to_string())));
    format!("it hangs: no answer at {place} within {limit} s{}", threads.unwrap_or_default())
}

/// The environment with which the daemon was started, from /proc; `None` if none runs or it belongs to another user.
pub fn environment(own: &SelfConfig) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{}/environ", running(own).ok()??)).ok()
}

/// The process id of the daemon of that pid file; `None` if none runs, or without a pid file.
///
/// # Errors
/// Another program holds the lock.
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

/// Whether that process runs, and is not a zombie.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

/// When that process was started, in local time.
fn started(pid: i32) -> Option<String> {
    let about = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain spaces and parentheses; the 20th word after it is the start in ticks since
    // boot.
    let ticks: i64 = about.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let kernel = fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = kernel.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(clock::local(boot + ticks / per_second.max(1)))
}
