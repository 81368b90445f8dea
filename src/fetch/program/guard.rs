//! The guard: a process of its own between the daemon and a script or another program. It ends when nothing is left of the script, and sees
//! to that: at the deadline, or when the daemon says so or is gone.
//!
//! Being the reaper of all that the script leaves behind, it finds them all below itself, whatever sessions they made.
//! Its standard input is a socket to the daemon: the end of it is the order to stop, and what became of the script goes
//! back over it as one line (see [`Fate`]).

use crate::model::error::Error;
use crate::sys::{process, users};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, User, dup2_stderr, dup2_stdout, geteuid, getpid, setsid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// From TERM to KILL.
pub const GRACE: Duration = Duration::from_secs(2);
/// After KILL, what is still there cannot be killed.
const LAST: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(20);

/// What became of a script, as the guard says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// It, or something it had started, was still there at the deadline.
    Late,
    /// The daemon, or a signal to the guard, wanted it ended.
    Stopped,
    /// It could not be started.
    Failed(String),
    /// These processes can be neither ended nor killed.
    Stuck(String),
}

impl fmt::Display for Fate {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fate::Exited(code) => write!(to, "exited {code}"),
            Fate::Signalled(signal) => write!(to, "signalled {signal}"),
            Fate::Late => write!(to, "late"),
            Fate::Stopped => write!(to, "stopped"),
            Fate::Failed(why) => write!(to, "failed {why}"),
            Fate::Stuck(pids) => write!(to, "stuck {pids}"),
        }
    }
}

impl Fate {
    /// What [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(line: &str) -> Option<Fate> {
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match word {
            "exited" => rest.parse().ok().map(Fate::Exited),
            "signalled" => rest.parse().ok().map(Fate::Signalled),
            "late" => Some(Fate::Late),
            "stopped" => Some(Fate::Stopped),
            "failed" => Some(Fate::Failed(rest.into())),
            "stuck" => Some(Fate::Stuck(rest.into())),
            _ => None,
        }
    }
}

impl Fate {
    /// What was wrong with it, as said of the program; `None`: nothing.
    pub fn complaint(&self) -> Option<String> {
        Some(match self {
            Fate::Exited(0) | Fate::Stopped => return None,
            Fate::Exited(code) => format!("exited with code {code}"),
            Fate::Signalled(signal) => format!("was ended by signal {signal}"),
            Fate::Late => "was not done in time and was ended, with all that it had started".into(),
            Fate::Failed(why) => format!("cannot be run: {why}"),
            Fate::Stuck(pids) => format!("was not done in time; its processes {pids} can be neither ended nor killed"),
        })
    }
}

/// The whole life of a guard: runs the script, waits until nothing is left of it, and says what became of it.
///
/// # Errors
/// The system refuses what a guard needs; nothing was started then.
pub fn guard(script: &Path, words: &[String], limit: Duration, standing: &Standing) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    if let Some(level) = standing.nice {
        process::set_nice(level)?;
    }
    prctl::set_child_subreaper(true)?;
    let _ = setsid();
    // The script starts with no signal blocked or ignored, whatever the daemon's threads and whoever started it do.
    SigSet::all().thread_unblock()?;
    process::heed_signals();
    // Handlers, which exec takes away, and before there is a script: at no time does an order to end find one without
    // the other.
    let (deaths, orders) = (told(&[SIGCHLD])?, told(&[SIGTERM, SIGINT, SIGHUP])?);
    let fate = match start(script, words, standing.user.as_deref()) {
        Ok(main) => Family { main, ended: None, deaths, orders, is_ending: false }.outlive(deadline)?,
        Err(error) => Fate::Failed(refusal(script, &error)),
    };
    say(&fate);
    if let Fate::Stuck(_) = fate {
        // No second copy is started while this one waits.
        while waitpid(None, None) != Err(Errno::ECHILD) {}
    }
    Ok(())
}

/// What a script is to the system.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Standing {
    /// Whom it runs as; nobody else without this
    #[arg(long)]
    pub user: Option<String>,
    /// Its priority, from -20, the highest, to 19
    #[arg(long, allow_negative_numbers = true)]
    pub nice: Option<i8>,
}

/// Becomes the user, and then the script. Comes back with what kept it from that.
pub fn run_as(user: &str, script: &Path, words: &[String]) -> Error {
    let found = match User::from_name(user) {
        Ok(Some(found)) => found,
        Ok(None) => return Error::daemon(format!("run_user: there is no user {user} on this host")),
        Err(error) => return Error::daemon(format!("run_user: cannot look up user {user}: {error}")),
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
fn start(script: &Path, words: &[String], user: Option<&str>) -> io::Result<Pid> {
    let spawn = |command: &mut Command| command.args(words).stdin(Stdio::null()).process_group(0).spawn();
    let first = match user {
        Some(user) => spawn(Command::new("/proc/self/exe").args(["run-as", user]).arg(script)),
        None => spawn(&mut Command::new(script)),
    };
    let started = match first {
        // Without a line that names its interpreter: what a shell would do.
        Err(error) if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            spawn(Command::new("/bin/sh").arg("--").arg(script))
        }
        other => other,
    };
    let nowhere = fs::OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&nowhere)?;
    dup2_stderr(&nowhere)?;
    // Reaped with everything else.
    started.map(|child| Pid::from_raw(child.id() as i32))
}

fn refusal(script: &Path, error: &io::Error) -> String {
    let why = crate::model::error::plain(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{why}: make it executable with chmod +x"),
        io::ErrorKind::NotFound if script.exists() => "its interpreter, named in its first line, is not there".into(),
        _ => why,
    }
}

fn say(fate: &Fate) {
    if let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = writeln!(fs::File::from(socket), "{fate}");
    }
}

/// The script and all that came of it.
struct Family {
    main: Pid,
    ended: Option<Fate>,
    /// Of children.
    deaths: UnixStream,
    /// To end.
    orders: UnixStream,
    /// Nothing more can be ordered.
    is_ending: bool,
}

impl Family {
    fn outlive(mut self, deadline: Instant) -> io::Result<Fate> {
        let why = loop {
            if self.reap() {
                return Ok(self.ended.unwrap_or(Fate::Exited(0)));
            }
            if Instant::now() >= deadline {
                break Fate::Late;
            }
            if self.wait(deadline)? {
                break Fate::Stopped;
            }
        };
        self.is_ending = true;
        for (signal, patience) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, LAST)] {
            let end = Instant::now() + patience;
            while Instant::now() < end {
                // Again and again: more of them may come while these are told.
                if signal == Signal::SIGKILL || end - Instant::now() > patience - BEAT {
                    for pid in descendants(getpid()) {
                        let _ = kill(pid, signal);
                    }
                }
                self.wait(Instant::now() + BEAT)?;
                if self.reap() {
                    return Ok(why);
                }
            }
        }
        let left: Vec<String> = descendants(getpid()).iter().map(Pid::to_string).collect();
        Ok(Fate::Stuck(left.join(" ")))
    }

    /// Until a child has ended or the time has come; `true` when somebody wants an end.
    fn wait(&mut self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let stdin = io::stdin();
        let mut watched = vec![PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN)];
        if !self.is_ending {
            // Nothing is ever sent over standard input: whatever there is to read is its end.
            watched.extend([self.orders.as_fd(), stdin.as_fd()].map(|from| PollFd::new(from, PollFlags::POLLIN)));
        }
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_over = watched.iter().skip(1).any(|source| source.any().unwrap_or(false));
        while matches!((&self.deaths).read(&mut [0; 64]), Ok(1..)) {}
        Ok(is_over)
    }

    /// Collects those that have ended; `true` when nobody is left.
    fn reap(&mut self) -> bool {
        loop {
            let fate = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Fate::Exited(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Fate::Signalled(signal as i32)),
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return true,
            };
            if fate.0 == self.main {
                self.ended = Some(fate.1);
            }
        }
    }
}

/// All processes below that one, as the kernel lists them in `/proc/<pid>/task/<tid>/children`.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw));
            open.extend(children.clone());
            found.extend(children);
        }
    }
    found
}
