//! Programs of others, scripts and plugins, run so that nothing of them is left: no process, no pipe, no zombie.

pub mod guard;
pub mod orphans;
pub mod run;

use crate::point::Identity;
use guard::Standing;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most that a program may write unless its section says otherwise.
pub const MAX_OUTPUT: usize = 1 << 20;

/// A program, and how it is run.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub words: Vec<String>,
    pub standing: Standing,
    /// Most bytes that are read of it.
    pub max_output: usize,
}

/// What every program finds around it.
#[derive(Debug)]
pub struct Programs {
    pub home: PathBuf,
    pub identity: Identity,
    has_run: AtomicBool,
}

impl Programs {
    pub fn new(home: PathBuf, identity: Identity) -> Programs {
        Programs { home, identity, has_run: AtomicBool::new(false) }
    }

    /// Whether there may be orphans of any.
    pub fn has_run(&self) -> bool {
        self.has_run.load(Ordering::Relaxed)
    }
}
