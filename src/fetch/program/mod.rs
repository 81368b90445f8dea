//! Programs of others, scripts and plugins, run so that nothing of them is left: no process, no pipe, no zombie.

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

/// Most that a program may write unless its section says otherwise.
pub const MAX_OUTPUT: usize = 1 << 20;
/// How long the end waits for what lost guards have left.
const LAST_SWEEP: Duration = Duration::from_millis(500);

/// A program, and how it is run.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// What is run instead, with the words, which name the path among them. Such a program is asked over its standard input, a
    /// socket, and answers the same way, see [`run::Running::ask`].
    pub interpreter: Option<PathBuf>,
    pub words: Vec<String>,
    pub privileges: Privileges,
    /// Most bytes that are read of it.
    pub max_output: usize,
}

/// The user that a program runs as, its priority, and the memory that it may have.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// Whom it runs as; nobody else without this.
    pub user: Option<String>,
    /// Its priority, from -20, the highest, to 19.
    pub nice: Option<i8>,
    /// Most bytes that each process of it may have of memory.
    pub memory: Option<u64>,
}

impl Privileges {
    /// Whether it has all the rights of whoever runs it.
    fn keeps_rights(&self) -> bool {
        let may_be_root =
            |name: &String| users::find(name).map_or_else(users::NotFound::is_unknown, |user| user.uid.is_root());
        self.user.as_ref().is_none_or(may_be_root)
    }
}

/// What every program finds around it, and those that run.
#[derive(Debug)]
pub struct Programs {
    pub home: PathBuf,
    identity: Mutex<Arc<Identity>>,
    /// The daemon's configuration file.
    pub config: PathBuf,
    /// What own Python modules are run with: a path, or a name.
    pub python: String,
    /// The program that guards them: this one.
    guard: PathBuf,
    guards: Arc<Guards>,
}

impl Programs {
    pub fn new(home: PathBuf, identity: Identity) -> Programs {
        let (config, python) = (home.join("config.ini"), "python3".into());
        let identity = Mutex::new(Arc::new(identity));
        Programs { home, identity, config, python, guard: "/proc/self/exe".into(), guards: Arc::default() }
    }

    /// With that configuration file, and that Python.
    pub fn with_python(self, python: String, config: PathBuf) -> Programs {
        Programs { python, config, ..self }
    }

    /// What programs are told of this daemon: its host and tags.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells other names to programs that are started from now on.
    pub fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// The same of a program that knows no orders, as that of the tests: PuyPuy itself is there.
    pub fn guarded_by(mut self, puypuy: &str) -> Programs {
        self.guard = puypuy.into();
        self
    }

    /// Whether that program may be started.
    ///
    /// # Errors
    /// It is not safe, or an earlier copy of it lives that could not be ended, or is not yet.
    fn admit(&self, program: &Program) -> Result<()> {
        if program.privileges.keeps_rights() {
            safety::check_program(&program.path)?;
            if let Some(interpreter) = &program.interpreter {
                safety::check_program(interpreter)?;
                // What it imports before anything else.
                safety::check_conf(&self.home.join("lib"))?;
            }
        }
        self.guards.prepare(program)
    }

    /// Has every running copy of that program ended, and all that it has started: TERM at once, after [`guard::GRACE`] KILL.
    /// Waits for nothing.
    pub fn stop(&self, path: &Path) {
        self.guards.stop(path);
    }

    /// Whether a copy of that program runs, or is still ending.
    pub fn is_running(&self, path: &Path) -> bool {
        self.guards.is_running(path)
    }

    /// To be called again and again: ends what programs have left that had lost their guards, and says how many processes
    /// were killed. Waits for nothing.
    pub fn sweep(&self) -> usize {
        self.guards.sweep()
    }

    /// The last sweep of all, until nothing is there to be killed.
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
