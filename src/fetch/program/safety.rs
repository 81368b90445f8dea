//! Root runs no program that other users can change, and no program named by a file that other users can change.
//!
//! Every component of the path from `/` on is checked, including symbolic links, in the order in which the kernel
//! resolves them. In a folder that only root can write, nothing changes between this check and the start. So a program
//! can be started by its path; started by a descriptor, a script would not know its name, which it needs to find files
//! beside it.

use crate::model::error::{Error, Result};
use nix::unistd::geteuid;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Maximum number of symbolic links in a path, as in the kernel.
const MOST_LINKS: usize = 40;
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this bit, users can remove or rename only their own files.
const STICKY: u32 = 0o1000;

/// Checks that root may run this program. Does nothing for other users.
///
/// # Errors
/// Another user can change the program, or a folder or link on its path. The message says which, and the remedy.
pub fn check_program(path: &Path) -> Result<()> {
    let remedy = "chown root and chmod go-w, or set run_user";
    walk(path, |place| {
        let what = if place == path { "it" } else { "what is found by it" };
        format!("{} can be changed by others than root, who runs {what}; {remedy}", place.display())
    })
}

/// Checks that root may run the programs named in this file. A missing file names none.
///
/// # Errors
/// As for [`check_program`].
pub fn check_conf(path: &Path) -> Result<()> {
    let checked = walk(path, |place| {
        let remedy = "chown root and chmod go-w, then restart";
        format!("{} can be changed by others than root, who runs what it names; {remedy}", place.display())
    });
    checked.or_else(|error| if error.is_gone() { Ok(()) } else { Err(error) })
}

fn walk(path: &Path, complaint: impl Fn(&Path) -> String) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let whole = std::path::absolute(path).map_err(Error::file("find", path))?;
    let mut way = PathBuf::new();
    let mut steps = steps(&whole);
    let mut links = 0;
    while let Some(step) = steps.pop() {
        if step == ".." {
            way.pop();
            continue;
        }
        let place = way.join(&step);
        let about = fs::symlink_metadata(&place).map_err(Error::file("find", path))?;
        let mode = about.permissions().mode();
        let is_kept = about.is_dir() && mode & STICKY != 0;
        let is_open = !about.is_symlink() && !is_kept && mode & OTHERS_WRITE != 0;
        if about.uid() != 0 || is_open {
            return Err(Error::daemon(complaint(&place)));
        }
        if !about.is_symlink() {
            way = place;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Error::file("find", path)(io::Error::from_raw_os_error(libc::ELOOP)));
        }
        steps.extend(self::steps(&fs::read_link(&place).map_err(Error::file("read the link", &place))?));
    }
    Ok(())
}

/// The components of a path in reverse order. The root `/` is a component, too.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().filter(|step| *step != Component::CurDir);
    let mut steps: Vec<OsString> = steps.map(|step| OsStr::to_os_string(step.as_os_str())).collect();
    steps.reverse();
    steps
}
