//! Runs a program through its guard and collects its output, within limits of time and size.

use super::end::ProgramEnd;
use super::guard::GRACE;
use super::guards::{GuardHandle, Stopper};
use super::{Program, Programs, order, orphans};
use crate::fetch::trace::Note;
use crate::model::error::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Extra time that a guard may need after the deadline and [`GRACE`], to kill the processes.
const OVERTIME: Duration = Duration::from_secs(3);
/// Maximum number of programs that [`run_all`] runs at the same time.
const AT_ONCE: usize = 8;
/// Stack size of a thread that waits for a program.
const STACK: usize = 128 << 10;
/// Maximum number of bytes kept of a program's standard error.
pub const STDERR_BYTES: usize = 4096;
/// Interval between attempts to send to a program that does not read.
const BEAT: Duration = Duration::from_millis(2);
/// Search path for programs, independent of the daemon's environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The path of the program with this name, from the search path; a path is returned as it is. `None` if it does not
/// exist.
pub fn find(name: &str) -> Option<PathBuf> {
    let whole = |folder: &str| Path::new(folder).join(name);
    match name.contains('/') {
        true => Some(PathBuf::from(name)).filter(|path| path.exists()),
        false => PATH.split(':').map(whole).find(|path| path.is_file()),
    }
}

/// The result of a run.
pub struct RunOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: ProgramEnd,
    /// It wrote more than the maximum: it was ended, and the rest was not read.
    pub is_cut: bool,
}

impl RunOutput {
    /// What is wrong with the program, as the end of a sentence; `None` if nothing is.
    pub fn complaint(&self, program: &Program) -> Option<String> {
        let most = program.max_output;
        match self.is_cut {
            true => Some(format!("wrote more than {most} bytes and was ended; the rest is lost")),
            false => self.end.complaint(),
        }
    }
}

/// Runs the program until it ends; after `deadline` it is ended, which takes at most a few seconds.
///
/// # Errors
/// As for [`Running::start`].
pub fn run(program: &Program, programs: &Programs, deadline: Instant) -> Result<RunOutput> {
    let limit = deadline.saturating_duration_since(Instant::now());
    let mut running = Running::start(program, programs, limit)?;
    let last = deadline + GRACE + OVERTIME;
    while !running.is_over() && Instant::now() < last {
        running.read(last);
        if running.out.is_full {
            running.stop();
        }
    }
    Ok(running.end())
}

/// Runs all programs, [`AT_ONCE`] at a time, each at most until `deadline`. Returns results and run times, in the order
/// of `all`.
pub fn run_all(all: &[&Program], programs: &Programs, deadline: Instant) -> Vec<(Result<RunOutput>, Duration)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(all.len())));
    let work = || {
        while let Some((place, program)) = {
            let place = next.fetch_add(1, Ordering::Relaxed);
            all.get(place).map(|program| (place, program))
        } {
            let begun = Instant::now();
            let ran = run(program, programs, deadline);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, (ran, begun.elapsed())));
        }
    };
    thread::scope(|scope| {
        for _ in 1..all.len().min(AT_ONCE) {
            // A thread that cannot be started is no error: the others, including this one, do its work.
            let _ = thread::Builder::new().name("plugins".into()).stack_size(STACK).spawn_scoped(scope, work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, ran)| ran).collect()
}

/// A running program and its output so far.
pub struct Running {
    guard: GuardHandle,
    pub out: Pipe,
    pub err: Pipe,
    /// The result line of the guard.
    result: Pipe,
    note: Note,
}

impl Running {
    /// Starts the program. The guard ends it after `limit`.
    ///
    /// # Errors
    /// The program may not be run: other users can change something that root would run, or an earlier copy is running.
    /// Or the system could not provide a process or pipe.
    pub fn start(program: &Program, programs: &Programs, limit: Duration) -> Result<Running> {
        let Program { path, max_output, .. } = program;
        let mut note = Note::begin(|| format!("run {}", path.display()));
        if let Err(error) = programs.admit(program) {
            note.ended(|| error.to_string());
            return Err(error);
        }
        let identity = programs.identity();
        let begun = (|| {
            let (socket, theirs) = UnixStream::pair()?;
            socket.set_nonblocking(true)?;
            let result = Pipe::new(Some(socket.try_clone()?.into()), STDERR_BYTES);
            let talk = program.interpreter.is_some().then(UnixStream::pair).transpose()?;
            let (talk, their_talk) = talk.unzip();
            let stdout = their_talk.map_or_else(Stdio::piped, |theirs| Stdio::from(OwnedFd::from(theirs)));
            let mut guard = Command::new(&programs.guard)
                .arg0(format!("puypuy: {}", path.file_name().unwrap_or_default().to_string_lossy()))
                .args(order::guard(program, limit))
                .current_dir(&programs.home)
                .env_clear()
                .envs([("PATH", PATH), ("LANG", "C.UTF-8"), (orphans::MARK, &process::id().to_string())])
                .envs([("HOME", &programs.home), ("PUYPUY_HOME", &programs.home)])
                .envs([
                    ("PUYPUY_HOSTNAME", &*identity.host),
                    ("PUYPUY_CLUSTER", &identity.cluster),
                    ("PUYPUY_GROUP", &identity.group),
                    ("PUYPUY_LOCATION", &identity.location),
                ])
                .stdin(Stdio::from(OwnedFd::from(theirs)))
                .stdout(stdout)
                .stderr(Stdio::piped())
                .spawn()?;
            let (stdout, stderr) = (guard.stdout.take().map(OwnedFd::from), guard.stderr.take().map(OwnedFd::from));
            let stdout = stdout.or(talk.map(OwnedFd::from));
            let guard = GuardHandle::new(&programs.guards, program, Pid::from_raw(guard.id() as i32), socket);
            Ok(Running {
                guard,
                out: Pipe::new(stdout, *max_output),
                err: Pipe::new(stderr, STDERR_BYTES),
                result,
                note,
            })
        })();
        begun.map_err(Error::file("run", path))
    }

    /// Whether the guard has reported the result; then no process is left to write anything.
    pub fn is_over(&self) -> bool {
        self.result.is_over || self.result.bytes.contains(&b'\n')
    }

    /// Waits for output, at most until `until`, and reads it.
    pub fn read(&mut self, until: Instant) {
        let Running { out, err, result, note, .. } = self;
        wait([&*out, err, result], until);
        read(out, note);
        [err, result].into_iter().for_each(Pipe::read);
    }

    /// Sends a request to a program with an interpreter, at most until `until`.
    ///
    /// # Errors
    /// The program does not read, or has ended.
    pub fn ask(&mut self, mut question: &[u8], until: Instant) -> io::Result<()> {
        while !question.is_empty() {
            match self.out.write(question) {
                Ok(count) => question = question.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                    thread::sleep(BEAT);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Requests the end of the program; the guard reports when it has ended.
    pub fn stop(&self) {
        self.guard.stopper.stop();
    }

    /// A handle with which another thread can request the end.
    pub fn stopper(&self) -> Stopper {
        self.guard.stopper.clone()
    }

    /// The rest of the output, and how the program ended.
    pub fn end(self) -> RunOutput {
        let Running { guard, mut out, mut err, result, mut note } = self;
        read(&mut out, &mut note);
        err.read();
        let end = match ProgramEnd::parse(&String::from_utf8_lossy(&result.bytes)) {
            Some(end @ ProgramEnd::Stuck(_)) => {
                guard.give_up();
                end
            }
            Some(end) => {
                guard.wait();
                end
            }
            None if result.is_over => {
                guard.clear_up();
                ProgramEnd::Failed("its guard was killed, and then all that it had started".into())
            }
            None => {
                guard.urge();
                ProgramEnd::Ending
            }
        };
        note.ended(|| end.complaint().unwrap_or_else(|| "exit code 0".into()));
        RunOutput { is_cut: out.is_full, stdout: out.bytes, stderr: err.bytes, end }
    }
}

/// Reads the program's output and records it in the trace.
fn read(out: &mut Pipe, note: &mut Note) {
    let before = out.bytes.len();
    out.read();
    note.heard(out.bytes.get(before..).unwrap_or_default());
}

/// Waits until one of the pipes is readable or the time is over.
fn wait(pipes: [&Pipe; 3], until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let mut watched: Vec<PollFd> = pipes
        .into_iter()
        .filter(|pipe| !pipe.is_over)
        .filter_map(|pipe| pipe.end.as_ref())
        .map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN))
        .collect();
    let _ = poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
}

/// Our end of a pipe, read without blocking and up to a maximum size.
pub struct Pipe {
    end: Option<std::fs::File>,
    pub bytes: Vec<u8>,
    most: usize,
    /// There was more output than the maximum.
    pub is_full: bool,
    is_over: bool,
}

impl Pipe {
    fn new(end: Option<OwnedFd>, most: usize) -> Pipe {
        if let Some(end) = &end {
            let _ = fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        }
        let is_over = end.is_none();
        Pipe { end: end.map(std::fs::File::from), bytes: Vec::new(), most, is_full: false, is_over }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.end.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |end| end.write(bytes))
    }

    fn read(&mut self) {
        let Some(end) = self.end.as_mut().filter(|_| !self.is_over) else { return };
        let mut buffer = [0; 8192];
        // Bounded, so that a program which writes endlessly does not keep the other pipes from being read.
        for _ in 0..16 {
            match end.read(&mut buffer) {
                Ok(0) => return self.is_over = true,
                Ok(count) => {
                    let room = self.most.saturating_sub(self.bytes.len()).min(count);
                    self.bytes.extend_from_slice(buffer.get(..room).unwrap_or_default());
                    self.is_full |= room < count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.is_over = true,
            }
        }
    }
}
