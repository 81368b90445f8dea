//! Programs of others, scripts and plugins, run so that nothing of them is left: no process, no pipe, no zombie.

pub mod guard;
pub mod orphans;
pub mod run;

use crate::model::error::{Error, Result};
use crate::model::point::Identity;
use guard::Standing;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
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

/// A daemon that is root runs nothing that others can change.
///
/// # Errors
/// Others can; the message says which of file and folder, and what to do.
pub fn check_safety(path: &Path) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let real = path.canonicalize().map_err(Error::file("find", path))?;
    for place in [Some(real.as_path()), real.parent(), path.parent()].into_iter().flatten() {
        let meta = fs::metadata(place).map_err(Error::file("look at", place))?;
        // A folder with the sticky bit lets nobody replace what is not theirs.
        let is_kept = meta.is_dir() && meta.permissions().mode() & 0o1000 != 0;
        let is_open = meta.permissions().mode() & 0o022 != 0 || meta.uid() != 0;
        if is_open && !is_kept {
            let place = place.display();
            return Err(Error::daemon(format!(
                "{place} can be changed by others than root, who runs it; chown root and chmod go-w, or set run_user"
            )));
        }
    }
    Ok(())
}
