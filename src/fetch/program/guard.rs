//! The guard: a process between the daemon and a script or other program. It ends the script and all its descendants,
//! at the deadline, when the daemon requests it, or when the daemon is gone, and exits only when none of them is left.
//!
//! The guard is the reaper (child subreaper) of the script's descendants, so it finds them even if they have left its
//! session. Its standard input is a socket to the daemon: end-of-file on it is the request to stop, and the guard sends
//! the result back over it as one line (see [`ProgramEnd`]).

use super::end::ProgramEnd;
use super::order::{self, Order};
use super::{Privileges, descendants};
use crate::model::error::{Error, plain};
use crate::sys::descriptors::close_inherited;
use crate::sys::{process, users};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, geteuid, getpid, setsid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use std::ffi::{CString, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Time between TERM and KILL.
pub const GRACE: Duration = Duration::from_secs(2);
/// Processes that survive the first KILL by this time are reported as stuck.
const LAST: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(20);
/// Interval between attempts to kill processes that are stuck.
const AGAIN: Duration = Duration::from_secs(1);

/// Executes an order. The process exits afterwards.
pub fn obey(order: Order) -> ExitCode {
    match order {
        Order::Guard { limit, descriptors, privileges, interpreter, path, words } => {
            let run = Run { script: &path, interpreter: interpreter.as_deref(), words: &words };
            guard(&run, limit, descriptors, &privileges);
            ExitCode::SUCCESS
        }
        Order::RunAs { user, path, words } => {
            let error = run_as(&user, &path, &words);
            let _ = writeln!(io::stderr(), "puypuy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command line of the script.
struct Run<'a> {
    script: &'a Path,
    /// See [`super::Program::interpreter`].
    interpreter: Option<&'a Path>,
    words: &'a [OsString],
}

impl Run<'_> {
    /// The file to execute.
    fn file(&self) -> &Path {
        self.interpreter.unwrap_or(self.script)
    }

    /// The script's standard input. With an interpreter it is the socket that the guard has as standard output, over
    /// which the daemon sends requests; else it is empty.
    fn stdin(&self) -> io::Result<Stdio> {
        match self.interpreter {
            Some(_) => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            None => Ok(Stdio::null()),
        }
    }
}

/// Runs the script, waits until none of its processes is left, and reports how it ended.
fn guard(run: &Run, limit: Duration, descriptors: Option<u64>, privileges: &Privileges) {
    let deadline = Instant::now() + limit;
    let begun = prepare(run.script, descriptors, privileges).and_then(|(deaths, orders)| {
        let main = start(run, privileges.user.as_deref()).map_err(|error| refusal(run.file(), &error))?;
        Ok(ProcessTree { main, ended: None, deaths, orders, is_ending: false })
    });
    let mut tree = match begun {
        Ok(tree) => tree,
        Err(why) => return report(&ProgramEnd::Failed(why)),
    };
    let end = tree.wait_for_end(deadline);
    report(&end);
    if let ProgramEnd::Stuck(_) = end {
        // The guard stays as long as they do, so no second copy is started.
        while !tree.is_gone_by(Instant::now() + AGAIN) {
            tree.kill(Instant::now() + AGAIN);
        }
    }
}

/// Sets up this process as a guard. Returns a stream that is readable when a child has died, and one for signals that
/// request the end.
fn prepare(
    script: &Path,
    descriptors: Option<u64>,
    privileges: &Privileges,
) -> Result<(UnixStream, UnixStream), String> {
    close_inherited(None);
    // The name in ps and top. The kernel keeps 15 bytes of it.
    if let Ok(name) = CString::new(script.file_name().unwrap_or_default().as_bytes()) {
        let _ = prctl::set_name(&name);
    }
    if let Some(level) = privileges.nice {
        process::set_nice(level).map_err(|error| format!("its priority cannot be {level}: {}", plain(&error)))?;
    }
    if let Some(most) = descriptors {
        // If the limit cannot be lowered, the program works as well.
        let _ = process::set_descriptors(most);
    }
    if let Some(most) = privileges.memory {
        // The guard itself needs far less than the minimum that can be configured.
        process::set_memory(most).map_err(|errno| format!("its memory cannot be bounded: {}", plain(&errno.into())))?;
    }
    let failed = |error: io::Error| format!("there can be no guard for it: {}", plain(&error));
    prctl::set_child_subreaper(true).map_err(|errno| failed(errno.into()))?;
    let _ = setsid();
    // The script may have stopped its guard. This signal continues it when the daemon ends, so that it can end the
    // script.
    let _ = prctl::set_pdeathsig(Signal::SIGCONT);
    // The script starts with no signal blocked or ignored, whatever the daemon inherited or its threads have set.
    SigSet::all().thread_unblock().map_err(|errno| failed(errno.into()))?;
    process::heed_signals();
    // Handlers are reset by exec, so the script does not inherit them. They are installed before the script starts, so
    // a signal never finds a script without a handler.
    let deaths = signal_pipe(&[SIGCHLD]).map_err(failed)?;
    Ok((deaths, signal_pipe(&[SIGTERM, SIGINT, SIGHUP]).map_err(failed)?))
}

/// Changes to the user and executes the script. Returns only if that fails.
pub fn run_as(user: &str, script: &Path, words: &[OsString]) -> Error {
    let found = match users::find(user) {
        Ok(found) => found,
        Err(error) => return Error::daemon(format!("run_user: {}", error.why())),
    };
    if found.uid != geteuid() {
        if !geteuid().is_root() {
            return Error::daemon(format!("run_user: only a daemon that is root can become {user}"));
        }
        if let Err(error) = users::become_user(&found) {
            return error;
        }
    }
    let exec = |mut command: Command| command.args(words).env("HOME", &found.dir).env("USER", user).exec();
    let error = match exec(Command::new(script)) {
        error if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("--").arg(script);
            exec(shell)
        }
        error => error,
    };
    Error::daemon(format!("user {user}: {}", refusal(script, &error)))
}

/// A stream that becomes readable when one of these signals arrives.
fn signal_pipe(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

/// Starts the script in a process group of its own, and closes the guard's copies of the script's output pipes.
fn start(run: &Run, user: Option<&str>) -> io::Result<Pid> {
    let script = run.file();
    let spawn = |command: &mut Command| command.args(run.words).stdin(run.stdin()?).process_group(0).spawn();
    let first = match user {
        Some(user) => spawn(Command::new("/proc/self/exe").args(order::run_as(user, script.as_os_str()))),
        None => spawn(&mut Command::new(script)),
    };
    let started = match first {
        // A script without `#!` line: run it with sh, as a shell would.
        Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            spawn(Command::new("/bin/sh").arg("--").arg(script))
        }
        other => other,
    }?;
    // If that fails, the reader only sees the end of the output later.
    if let Ok(nowhere) = fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stdout(&nowhere).and_then(|()| dup2_stderr(&nowhere));
    }
    // The child is reaped together with all others.
    Ok(Pid::from_raw(started.id() as i32))
}

fn refusal(script: &Path, error: &io::Error) -> String {
    let why = plain(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{why}: make it executable with chmod +x"),
        io::ErrorKind::NotFound if script.exists() => "its interpreter, named in its first line, is not there".into(),
        _ => why,
    }
}

fn report(end: &ProgramEnd) {
    if let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = writeln!(fs::File::from(socket), "{end}");
    }
}

/// The script and all its descendants.
struct ProcessTree {
    main: Pid,
    ended: Option<ProgramEnd>,
    /// Readable when a child has died.
    deaths: UnixStream,
    /// Readable when a signal requested the end.
    orders: UnixStream,
    /// The end has begun, so further requests are ignored.
    is_ending: bool,
}

impl ProcessTree {
    /// Waits until all processes have ended. At the deadline, or on request, ends them.
    fn wait_for_end(&mut self, deadline: Instant) -> ProgramEnd {
        let why = loop {
            if self.reap(deadline) {
                return self.ended.clone().unwrap_or(ProgramEnd::Exited(0));
            }
            if Instant::now() >= deadline {
                break ProgramEnd::Late;
            }
            if self.wait(deadline) {
                break ProgramEnd::Stopped;
            }
        };
        self.is_ending = true;
        // Raise the priority if permitted: hundreds of forking processes would leave the guard hardly any CPU time.
        let _ = process::set_nice(-20);
        let end = Instant::now() + GRACE;
        descendants::ask_to_end(descendants::children(getpid()), end);
        if self.is_gone_by(end) {
            return why;
        }
        let end = Instant::now() + LAST;
        while Instant::now() < end {
            self.kill(end);
            if self.is_gone_by(Instant::now() + BEAT) {
                return why;
            }
        }
        let left = descendants::with_all_below(descendants::children(getpid()));
        ProgramEnd::Stuck(left.iter().map(Pid::to_string).collect::<Vec<_>>().join(" "))
    }

    /// Kills all descendants, for at most this long if they keep forking.
    fn kill(&self, until: Instant) {
        descendants::kill_all(|| descendants::children(getpid()), until);
    }

    /// Waits until all have ended; `false` if some are left at `end`.
    fn is_gone_by(&mut self, end: Instant) -> bool {
        loop {
            if self.reap(end) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            self.wait(end);
        }
    }

    /// Waits until a child has died or the time is over; `true` if the end was requested.
    fn wait(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let stdin = io::stdin();
        let mut watched = vec![PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN)];
        if !self.is_ending {
            // The daemon never sends anything over standard input, so readable means end-of-file.
            watched.extend([self.orders.as_fd(), stdin.as_fd()].map(|from| PollFd::new(from, PollFlags::POLLIN)));
        }
        if poll(&mut watched, timeout).is_err_and(|errno| errno != Errno::EINTR) {
            // The kernel is out of memory: end the script rather than poll without pause.
            thread::sleep(BEAT);
            return true;
        }
        let is_over = watched.iter().skip(1).any(|source| source.any().unwrap_or(false));
        while matches!((&self.deaths).read(&mut [0; 64]), Ok(1..)) {}
        is_over
    }

    /// Reaps ended children, at most until `until`; `true` if no child is left.
    fn reap(&mut self, until: Instant) -> bool {
        loop {
            let end = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ProgramEnd::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, ProgramEnd::Signalled(signal as i32)),
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return true,
            };
            if end.0 == self.main {
                self.ended = Some(end.1);
            }
            // If processes keep forking, there is always another one to reap.
            if Instant::now() >= until {
                return false;
            }
        }
    }
}
