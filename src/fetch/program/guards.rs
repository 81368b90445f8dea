//! The guards that this process has started, and an end to what is left of programs whose guard was lost.

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

/// Why no other copy of a program is started now.
const ENDING: &str = "an earlier copy is still ending; it is started when that has ended";
const STUCK: &str = "processes of an earlier run can be neither ended nor killed; it is not started again";

#[derive(Debug, Default)]
pub struct Guards {
    list: Mutex<Vec<Guard>>,
    /// What was there before the first.
    before: OnceLock<nix::Result<Before>>,
    /// Orphans that were killed and not yet told of.
    killed: AtomicUsize,
}

#[derive(Debug)]
struct Before {
    /// No children may come but those of our programs.
    has_only_ours: bool,
    earlier: Earlier,
}

#[derive(Debug)]
struct Guard {
    process: Pid,
    path: PathBuf,
    words: Vec<String>,
    stopper: Stopper,
    /// Why no other copy is started while this one is there.
    refusal: Option<&'static str>,
    /// Nobody waits for its end any more.
    is_left: bool,
}

impl Guard {
    fn is_there(&self) -> bool {
        !self.is_left || !has_ended(self.process)
    }
}

impl Guards {
    /// Before a program is started: whether it may be, and whatever is needed so that nothing of it is lost.
    ///
    /// # Errors
    /// An earlier copy lives; or the kernel is too old.
    pub fn prepare(&self, program: &Program) -> Result<()> {
        let find = || Ok(Before { has_only_ours: orphans::adopt()?, earlier: Earlier::find() });
        let before = self.before.get_or_init(find).as_ref();
        let before = before.map_err(|errno| Error::daemon(format!("cannot adopt what programs leave: {errno}")))?;
        if before.earlier.guards(program) {
            return Err(Error::daemon(ENDING));
        }
        let is_same = |guard: &&Guard| guard.path == program.path && guard.words == program.words;
        match self.list().iter().filter(is_same).find_map(|guard| guard.refusal) {
            Some(refusal) => Err(Error::daemon(refusal)),
            None => Ok(()),
        }
    }

    /// Has every copy of that program ended.
    pub fn stop(&self, path: &Path) {
        for guard in self.list().iter_mut().filter(|guard| guard.path == path) {
            guard.refusal.get_or_insert(ENDING);
            guard.stopper.stop();
        }
    }

    /// Whether there is a copy of that program whose guard has not ended.
    pub fn is_running(&self, path: &Path) -> bool {
        self.list().iter().any(|guard| guard.path == path)
    }

    /// Ends what lost guards have left, collects it, and says how many processes were killed since it was last asked.
    pub fn sweep(&self) -> usize {
        if self.before.get().is_some() || orphans::is_first() {
            self.sweep_orphans();
        }
        self.killed.swap(0, Ordering::Relaxed)
    }

    fn sweep_orphans(&self) {
        let has_only_ours = |before: &nix::Result<Before>| before.as_ref().is_ok_and(|b| b.has_only_ours);
        let has_only_ours = self.before.get().is_some_and(has_only_ours);
        let is_guard = |process: Pid| self.list().iter().any(|guard| guard.process == process);
        self.killed.fetch_add(orphans::sweep(is_guard, has_only_ours), Ordering::Relaxed);
    }

    /// All that have not ended.
    fn list(&self) -> MutexGuard<'_, Vec<Guard>> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(Guard::is_there);
        list
    }
}

fn has_ended(process: Pid) -> bool {
    waitpid(process, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive)
}

/// Has a program ended: when its end of the socket closes, a guard ends what it guards.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<UnixStream>);

impl Stopper {
    pub fn stop(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// A guard for whose end somebody waits. Dropped before, it is told to end its program, and no other copy of that is
/// started until it has.
pub struct Awaited {
    guards: Arc<Guards>,
    process: Pid,
    pub stopper: Stopper,
}

impl Awaited {
    /// `socket` is the standard input of that process.
    pub fn new(guards: &Arc<Guards>, program: &Program, process: Pid, socket: UnixStream) -> Awaited {
        let (path, words, stopper) = (program.path.clone(), program.words.clone(), Stopper(Arc::new(socket)));
        guards.list().push(Guard { process, path, words, stopper: stopper.clone(), refusal: None, is_left: false });
        Awaited { guards: Arc::clone(guards), process, stopper }
    }

    /// Waits for the end of one that has said its last word.
    pub fn wait(self) {
        self.collect();
    }

    /// For one that has let go of the socket without a last word: somebody has killed it. What it has left is ended.
    pub fn clear_up(self) {
        self.collect();
        self.guards.sweep_orphans();
    }

    /// For one that says nothing: somebody may have stopped it.
    pub fn urge(self) {
        let _ = kill(self.process, Signal::SIGCONT);
    }

    /// No other copy is started until this one, which cannot be ended, has ended after all.
    pub fn give_up(self) {
        self.note(|guard| guard.refusal = Some(STUCK));
    }

    fn collect(&self) {
        while waitpid(self.process, None) == Err(Errno::EINTR) {}
    }

    fn note(&self, change: impl FnOnce(&mut Guard)) {
        let mut list = self.guards.list();
        list.iter_mut().find(|guard| Arc::ptr_eq(&guard.stopper.0, &self.stopper.0)).map(change);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.stopper.stop();
        self.note(|guard| {
            guard.is_left = true;
            guard.refusal.get_or_insert(ENDING);
        });
        // One that has been waited for leaves the list at once.
        drop(self.guards.list());
    }
}
