//! The guard: a process of its own between the daemon and a script or another program. It ends when nothing is left of the script, and sees
//! to that: at the deadline, or when the daemon says so or is gone.
//!
//! Being the reaper of all that the script leaves behind, it finds them all below itself, whatever sessions they made.
//! Its standard input is a socket to the daemon: the end of it is the order to stop, and what became of the script goes
//! back over it as one line (see [`ProgramEnd`]).

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

/// From TERM to KILL.
pub const GRACE: Duration = Duration::from_secs(2);
/// What is still there so long after the first KILL is told of.
const LAST: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(20);
/// From one attempt to kill what could not be killed to the next.
const AGAIN: Duration = Duration::from_secs(1);

/// Does what the order says, to the end of this process.
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

/// What is run.
struct Run<'a> {
    script: &'a Path,
    /// See [`super::Program::interpreter`].
    interpreter: Option<&'a Path>,
    words: &'a [OsString],
}

impl Run<'_> {
    /// What is started.
    fn file(&self) -> &Path {
        self.interpreter.unwrap_or(self.script)
    }

    /// What the script reads from: the socket that is the guard's standard output, where it is asked, else nothing.
    fn stdin(&self) -> io::Result<Stdio> {
        match self.interpreter {
            Some(_) => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            None => Ok(Stdio::null()),
        }
    }
}

/// The whole life of a guard: runs the script, waits until nothing is left of it, and says what became of it.
fn guard(run: &Run, limit: Duration, descriptors: Option<u64>, privileges: &Privileges) {
    let deadline = Instant::now() + limit;
    let begun = prepare(run.script, descriptors, privileges).and_then(|(deaths, orders)| {
        let main = start(run, privileges.user.as_deref()).map_err(|error| refusal(run.file(), &error))?;
        Ok(ProcessTree { main, ended: None, deaths, orders, is_ending: false })
    });
    let mut tree = match begun {
        Ok(tree) => tree,
        Err(why) => return say(&ProgramEnd::Failed(why)),
    };
    let end = tree.outlive(deadline);
    say(&end);
    if let ProgramEnd::Stuck(_) = end {
        // No second copy is started while this one goes on.
        while !tree.is_gone_by(Instant::now() + AGAIN) {
            tree.kill(Instant::now() + AGAIN);
        }
    }
}

/// Makes this process a guard, and says where it hears of the deaths of children, and of orders to end.
fn prepare(
    script: &Path,
    descriptors: Option<u64>,
    privileges: &Privileges,
) -> Result<(UnixStream, UnixStream), String> {
    close_inherited(None);
    // The name that ps and top show; the kernel keeps 15 bytes of it.
    if let Ok(name) = CString::new(script.file_name().unwrap_or_default().as_bytes()) {
        let _ = prctl::set_name(&name);
    }
    if let Some(level) = privileges.nice {
        process::set_nice(level).map_err(|error| format!("its priority cannot be {level}: {}", plain(&error)))?;
    }
    if let Some(most) = descriptors {
        // A program that cannot have fewer than the daemon works as well.
        let _ = process::set_descriptors(most);
    }
    if let Some(most) = privileges.memory {
        // The guard itself needs far less than the least that may be set.
        process::set_memory(most).map_err(|errno| format!("its memory cannot be bounded: {}", plain(&errno.into())))?;
    }
    let failed = |error: io::Error| format!("there can be no guard for it: {}", plain(&error));
    prctl::set_child_subreaper(true).map_err(|errno| failed(errno.into()))?;
    let _ = setsid();
    // At the daemon's end a guard that its script has stopped goes on, and ends it.
    let _ = prctl::set_pdeathsig(Signal::SIGCONT);
    // The script starts with no signal blocked or ignored, whatever the daemon's threads and whoever started it do.
    SigSet::all().thread_unblock().map_err(|errno| failed(errno.into()))?;
    process::heed_signals();
    // Handlers, which exec takes away, and before there is a script: at no time does an order to end find one without
    // the other.
    let deaths = told(&[SIGCHLD]).map_err(failed)?;
    Ok((deaths, told(&[SIGTERM, SIGINT, SIGHUP]).map_err(failed)?))
}

/// Becomes the user, and then the script. Comes back with what kept it from that.
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

/// Where there is something to read from when one of these signals has come.
fn told(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

/// Starts the script in a group of its own, and lets go of the pipes that it writes to.
fn start(run: &Run, user: Option<&str>) -> io::Result<Pid> {
    let script = run.file();
    let spawn = |command: &mut Command| command.args(run.words).stdin(run.stdin()?).process_group(0).spawn();
    let first = match user {
        Some(user) => spawn(Command::new("/proc/self/exe").args(order::run_as(user, script.as_os_str()))),
        None => spawn(&mut Command::new(script)),
    };
    let started = match first {
        // Without a line that names its interpreter: what a shell would do.
        Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            spawn(Command::new("/bin/sh").arg("--").arg(script))
        }
        other => other,
    }?;
    // A guard that keeps them only waits longer for its reader's sake.
    if let Ok(nowhere) = fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stdout(&nowhere).and_then(|()| dup2_stderr(&nowhere));
    }
    // Reaped with everything else.
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

fn say(end: &ProgramEnd) {
    if let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = writeln!(fs::File::from(socket), "{end}");
    }
}

/// The script and all that came of it.
struct ProcessTree {
    main: Pid,
    ended: Option<ProgramEnd>,
    /// Of children.
    deaths: UnixStream,
    /// To end.
    orders: UnixStream,
    /// Nothing more can be ordered.
    is_ending: bool,
}

impl ProcessTree {
    /// Waits for the end of all of them, and brings it about at the deadline or when somebody wants it.
    fn outlive(&mut self, deadline: Instant) -> ProgramEnd {
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
        // Beside hundreds that fork it would hardly have a turn; where the system lets it, it goes first.
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

    /// Kills whoever is there; that may take until then where they fork for ever.
    fn kill(&self, until: Instant) {
        descendants::kill_all(|| descendants::children(getpid()), until);
    }

    /// Whether all have ended by then.
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

    /// Until a child has ended or the time has come; `true` when somebody wants an end.
    fn wait(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let stdin = io::stdin();
        let mut watched = vec![PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN)];
        if !self.is_ending {
            // Nothing is ever sent over standard input: whatever there is to read is its end.
            watched.extend([self.orders.as_fd(), stdin.as_fd()].map(|from| PollFd::new(from, PollFlags::POLLIN)));
        }
        if poll(&mut watched, timeout).is_err_and(|errno| errno != Errno::EINTR) {
            // The kernel has no memory left: this is no time to go on.
            thread::sleep(BEAT);
            return true;
        }
        let is_over = watched.iter().skip(1).any(|source| source.any().unwrap_or(false));
        while matches!((&self.deaths).read(&mut [0; 64]), Ok(1..)) {}
        is_over
    }

    /// Collects those that have ended, at most until then; `true` when nobody is left.
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
            // Where they fork for ever there is always one more.
            if Instant::now() >= until {
                return false;
            }
        }
    }
}
