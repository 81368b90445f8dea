//! The guards started by this process, and the end of processes whose guard was killed.

use super::earlier::Earlier;
use super::{Program, orphans};
use crate::model::error::{Error, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Why no other copy of the program is started now.
const ENDING: &str = "an earlier copy is still ending; it is started when that has ended";
const STUCK: &str = "processes of an earlier run can be neither ended nor killed; it is not started again";

/// The guards that this process has started.
#[derive(Debug, Default)]
pub struct Guards {
    list: Mutex<Vec<Guard>>,
    /// What was found before the first program was started.
    initial: OnceLock<nix::Result<InitialState>>,
    /// Orphans that were killed and not yet returned by [`Guards::sweep`].
    killed: AtomicUsize,
}

#[derive(Debug)]
struct InitialState {
    /// Whether all later children of this process can only come from our programs.
    has_only_ours: bool,
    earlier: Earlier,
}

#[derive(Debug)]
struct Guard {
    process: Pid,
    path: PathBuf,
    words: Vec<String>,
    stopper: Stopper,
    /// Why no other copy of its program may be started; `None`: it may.
    refusal: Option<&'static str>,
    /// Its [`GuardHandle`] was dropped.
    is_left: bool,
}

impl Guard {
    fn is_there(&self) -> bool {
        !self.is_left || !has_ended(self.process)
    }
}

impl Guards {
    /// Prepares the start of a program: checks that it may be started, and makes this process inherit orphans of guards
    /// that are killed.
    ///
    /// # Errors
    /// An earlier copy is still running, or the kernel is too old.
    pub fn prepare(&self, program: &Program) -> Result<()> {
        let find = || Ok(InitialState { has_only_ours: orphans::adopt()?, earlier: Earlier::find() });
        let initial = self.initial.get_or_init(find).as_ref();
        let initial = initial.map_err(|errno| Error::daemon(format!("cannot adopt what programs leave: {errno}")))?;
        if initial.earlier.guards(program) {
            return Err(Error::daemon(ENDING));
        }
        let is_same = |guard: &&Guard| guard.path == program.path && guard.words == program.words;
        match self.list().iter().filter(is_same).find_map(|guard| guard.refusal) {
            Some(refusal) => Err(Error::daemon(refusal)),
            None => Ok(()),
        }
    }

    /// Requests the end of every copy of the program.
    pub fn stop(&self, path: &Path) {
        for guard in self.list().iter_mut().filter(|guard| guard.path == path) {
            guard.refusal.get_or_insert(ENDING);
            guard.stopper.stop();
        }
    }

    /// Whether a copy of the program has a guard that has not ended.
    pub fn is_running(&self, path: &Path) -> bool {
        self.list().iter().any(|guard| guard.path == path)
    }

    /// Ends and reaps the processes left by killed guards. Returns how many processes were killed since the last call.
    pub fn sweep(&self) -> usize {
        if self.initial.get().is_some() || orphans::is_first() {
            self.sweep_orphans();
        }
        self.killed.swap(0, Ordering::Relaxed)
    }

    fn sweep_orphans(&self) {
        let has_only_ours =
            |initial: &nix::Result<InitialState>| initial.as_ref().is_ok_and(|state| state.has_only_ours);
        let has_only_ours = self.initial.get().is_some_and(has_only_ours);
        let is_guard = |process: Pid| self.list().iter().any(|guard| guard.process == process);
        self.killed.fetch_add(orphans::sweep(is_guard, has_only_ours), Ordering::Relaxed);
    }

    /// All guards that have not ended.
    fn list(&self) -> MutexGuard<'_, Vec<Guard>> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(Guard::is_there);
        list
    }
}

fn has_ended(process: Pid) -> bool {
    waitpid(process, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive)
}

/// Requests the end of a program: the guard sees end-of-file on its socket and ends the program.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<UnixStream>);

impl Stopper {
    /// Requests the end; does not wait.
    pub fn stop(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// A guard whose result the caller waits for. Dropping it requests the end of the program, and blocks other copies
/// until the guard has ended.
pub struct GuardHandle {
    guards: Arc<Guards>,
    process: Pid,
    pub stopper: Stopper,
}

impl GuardHandle {
    /// `socket` is our end of the guard's standard input.
    pub fn new(guards: &Arc<Guards>, program: &Program, process: Pid, socket: UnixStream) -> GuardHandle {
        let (path, words, stopper) = (program.path.clone(), program.words.clone(), Stopper(Arc::new(socket)));
        guards.list().push(Guard { process, path, words, stopper: stopper.clone(), refusal: None, is_left: false });
        GuardHandle { guards: Arc::clone(guards), process, stopper }
    }

    /// Reaps the guard after it has reported the result.
    pub fn wait(self) {
        self.collect();
    }

    /// The guard closed its socket without a result, so it was killed. Reaps it and ends the processes that it left.
    pub fn clear_up(self) {
        self.collect();
        self.guards.sweep_orphans();
    }

    /// The guard reports nothing, perhaps because it was stopped by a signal: continues it.
    pub fn urge(self) {
        let _ = kill(self.process, Signal::SIGCONT);
    }

    /// The guard cannot end its program. No other copy is started until it has.
    pub fn give_up(self) {
        self.update(|guard| guard.refusal = Some(STUCK));
    }

    fn collect(&self) {
        while waitpid(self.process, None) == Err(Errno::EINTR) {}
    }

    fn update(&self, change: impl FnOnce(&mut Guard)) {
        let mut list = self.guards.list();
        list.iter_mut().find(|guard| Arc::ptr_eq(&guard.stopper.0, &self.stopper.0)).map(change);
    }
}

impl Drop for GuardHandle {
    fn drop(&mut self) {
        self.stopper.stop();
        self.update(|guard| {
            guard.is_left = true;
            guard.refusal.get_or_insert(ENDING);
        });
        // If the guard was waited for, this removes it from the list at once.
        drop(self.guards.list());
    }
}
