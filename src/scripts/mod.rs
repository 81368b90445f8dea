//! Programs of others, each a check: `scripts_enabled/check_*` of any language, and own Python modules.

pub mod config;
pub mod line;
pub mod module;
mod pause;
pub mod plugins;
pub mod reader;
mod script;
mod stream;

use crate::model::error::{Error, Result, plain};
use crate::sys::folder;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub use config::{Permits, ScriptConfig};
pub use script::Script;

/// Folder of the scripts that run, below home, and of those that may be linked from there.
pub const ENABLED: &str = "scripts_enabled";
pub const AVAILABLE: &str = "scripts_available";
/// Their settings: a section for each, and one for all.
pub const CONF: &str = "conf/scripts.ini";
pub const COMMON: &str = "scripts";
/// Keys of a section, beside those of every check.
pub const KEYS: &[&str] = &["format", plugins::JUDGE, "max_memory_mb", "max_output", "mode", "nice", "run_user"];
/// Keys of the section for all, beside the others.
pub const COMMON_KEYS: &[&str] = &["max_parallel"];
/// Value of the `type` tag where nothing else is said.
pub const TYPE: &str = "script";

/// The names of all scripts of a folder below home, sorted, whatever they are links to. A missing folder holds none.
pub fn names(home: &Path, folder: &str) -> Result<Vec<String>> {
    folder::check_names(&home.join(folder))
}

/// That there is a file to run.
///
/// # Errors
/// There is none, or it cannot be looked at or run. The sentence has no subject: many may share it.
pub fn check_file(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() && about.permissions().mode() & 0o111 == 0 => {
            Err(Error::daemon("is not executable, so it cannot be run: chmod +x it"))
        }
        Ok(about) if about.is_file() => Ok(()),
        Ok(_) => Err(Error::daemon("is no file; expected a program, or a link to one")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::daemon("is a link to a file that is not there; remove it, or put the file there"))
        }
        Err(error) => Err(Error::daemon(format!("cannot be looked at: {}", plain(&error)))),
    }
}

/// Switches a script of [`AVAILABLE`] on by a link. `Ok(false)`: it is on already.
pub fn enable(home: &Path, name: &str) -> Result<bool> {
    if home.join(ENABLED).join(name).symlink_metadata().is_ok() {
        return Ok(false);
    }
    folder::link(home, ENABLED, AVAILABLE, name).map(|()| true)
}

/// Switches a script off by removing its link.
///
/// # Errors
/// It is no link but a file, which may be the only copy of somebody's work: with `moves` it goes to [`AVAILABLE`].
pub fn disable(home: &Path, name: &str, moves: bool) -> Result<()> {
    let (path, elsewhere) = (home.join(ENABLED).join(name), home.join(AVAILABLE));
    folder::check_removal(&path, &elsewhere, moves)?;
    folder::remove(&path, &elsewhere)
}
