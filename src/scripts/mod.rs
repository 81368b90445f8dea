//! Programs of users, each run as a check: `scripts_enabled/check_*` in any language, and own Python modules.

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

/// Folders below home: scripts that run, and scripts that can be enabled.
pub const ENABLED: &str = "scripts_enabled";
pub const AVAILABLE: &str = "scripts_available";
/// Their settings: one section per script, and one for all scripts.
pub const CONF: &str = "conf/scripts.ini";
pub const COMMON: &str = "scripts";
/// Keys of a script's section, in addition to those of every check.
pub const KEYS: &[&str] = &["format", plugins::JUDGE, "max_memory_mb", "max_output", "mode", "nice", "run_user"];
/// Keys of the section for all scripts, in addition to the above.
pub const COMMON_KEYS: &[&str] = &["max_parallel"];
/// Default of the `type` tag.
pub const TYPE: &str = "script";

/// The names of all scripts in a folder below home, sorted, whatever they are links to. A missing folder counts as
/// empty.
pub fn names(home: &Path, folder: &str) -> Result<Vec<String>> {
    folder::check_names(&home.join(folder))
}

/// Checks that there is a program that can be run.
///
/// # Errors
/// There is none, or it cannot be read or run. The text has no subject, so that one line can name several scripts.
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

/// Enables a script of [`AVAILABLE`] by a link. `Ok(false)`: it is enabled already.
pub fn enable(home: &Path, name: &str) -> Result<bool> {
    if home.join(ENABLED).join(name).symlink_metadata().is_ok() {
        return Ok(false);
    }
    folder::link(home, ENABLED, AVAILABLE, name).map(|()| true)
}

/// Disables a script by removing its link.
///
/// # Errors
/// It is not a link but a file, which may be the only copy of somebody's work. With `moves` it is moved to
/// [`AVAILABLE`] instead.
pub fn disable(home: &Path, name: &str, moves: bool) -> Result<()> {
    let (path, elsewhere) = (home.join(ENABLED).join(name), home.join(AVAILABLE));
    folder::check_removal(&path, &elsewhere, moves)?;
    folder::remove(&path, &elsewhere)
}
