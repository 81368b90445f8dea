//! Runs external programs (scripts and plugins) so that nothing of them remains: no process, pipe or zombie.

mod descendants;
mod earlier;
pub mod end;
pub mod guard;
pub mod guards;
pub mod order;
mod orphans;
pub mod run;
pub mod safety;

use crate::model::error::Result;
use crate::model::point::Identity;
use crate::sys::users;
use guards::Guards;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Default of the maximum size of a program's output, in bytes.
pub const MAX_OUTPUT: usize = 1 << 20;
/// Longest wait at the daemon's end for the processes left by killed guards.
const LAST_SWEEP: Duration = Duration::from_millis(500);

/// A program and how to run it.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// The program that is executed instead of `path`, with `words`, which include the path. It gets requests over its
    /// standard input, a socket, and answers over it, see [`run::Running::ask`].
    pub interpreter: Option<PathBuf>,
    pub words: Vec<String>,
    pub privileges: Privileges,
    /// Maximum size of its output in bytes.
    pub max_output: usize,
}

/// The user, priority and memory limit of a program.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// The user to run as; `None`: the daemon's user.
    pub user: Option<String>,
    /// Nice level, from -20 (highest priority) to 19.
    pub nice: Option<i8>,
    /// Memory limit of each of its processes in bytes.
    pub memory: Option<u64>,
}

impl Privileges {
    /// Whether it keeps the rights of the daemon's user, or may have those of root.
    fn keeps_rights(&self) -> bool {
        let may_be_root =
            |name: &String| users::find(name).map_or_else(users::NotFound::is_unknown, |user| user.uid.is_root());
        self.user.as_ref().is_none_or(may_be_root)
    }
}

/// The environment of all programs, and the running ones.
#[derive(Debug)]
pub struct Programs {
    pub home: PathBuf,
    identity: Mutex<Arc<Identity>>,
    /// Path of the daemon's configuration file.
    pub config: PathBuf,
    /// The Python interpreter for Python modules: a path or a name.
    pub python: String,
    /// Whether the first run of a module waits for its import, up to `import_seconds`.
    pub waits_for_imports: bool,
    /// The executable that acts as guard: this one, except in tests.
    guard: PathBuf,
    guards: Arc<Guards>,
}

impl Programs {
    /// With `config.ini` in `home`, and `python3` from the search path.
    pub fn new(home: PathBuf, identity: Identity) -> Programs {
        let (config, python) = (home.join("config.ini"), "python3".into());
        let identity = Mutex::new(Arc::new(identity));
        let (guard, guards) = ("/proc/self/exe".into(), Arc::default());
        Programs { home, identity, config, python, waits_for_imports: false, guard, guards }
    }

    /// Sets the configuration file and the Python interpreter.
    pub fn with_python(self, python: String, config: PathBuf) -> Programs {
        Programs { python, config, ..self }
    }

    /// The same for a command that waits for each run.
    pub fn waiting_for_imports(self) -> Programs {
        Programs { waits_for_imports: true, ..self }
    }

    /// Host and tags of this daemon, which programs get in their environment.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes host and tags for programs started from now on.
    pub fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// Uses this PuyPuy executable as guard. For tests, whose own executable is no guard.
    pub fn guarded_by(mut self, puypuy: &str) -> Programs {
        self.guard = puypuy.into();
        self
    }

    /// Whether the program may be started.
    ///
    /// # Errors
    /// The program is not safe to be run by root, or an earlier copy of it is still running.
    fn admit(&self, program: &Program) -> Result<()> {
        if program.privileges.keeps_rights() {
            safety::check_program(&program.path)?;
            if let Some(interpreter) = &program.interpreter {
                safety::check_program(interpreter)?;
                // The interpreter imports modules from there.
                safety::check_conf(&self.home.join("lib"))?;
            }
        }
        self.guards.prepare(program)
    }

    /// Requests the end of every running copy of the program and of all its descendants: TERM at once, KILL after
    /// [`guard::GRACE`]. Does not wait.
    pub fn stop(&self, path: &Path) {
        self.guards.stop(path);
    }

    /// Whether a copy of the program is running or still ending.
    pub fn is_running(&self, path: &Path) -> bool {
        self.guards.is_running(path)
    }

    /// Ends the processes left by killed guards; returns how many were killed. Does not wait, and must be called
    /// regularly.
    pub fn sweep(&self) -> usize {
        self.guards.sweep()
    }

    /// Calls [`Programs::sweep`] until nothing is left to kill. For the daemon's end.
    pub fn sweep_to_the_end(&self) -> usize {
        let (until, mut all) = (Instant::now() + LAST_SWEEP, 0);
        loop {
            let killed = self.sweep();
            all += killed;
            if killed == 0 || Instant::now() >= until {
                return all;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
