//! Root runs nothing that others can change: no program, and no program that a file of theirs names.
//!
//! Every step of the way from `/` on is looked at, links included, in the order in which the kernel takes them. What lies in
//! a folder that only root can write stays what it is between this look and the start, so a program is started by its path:
//! by a descriptor, scripts would lose the name by which they find what lies beside them.

use crate::model::error::{Error, Result};
use nix::unistd::geteuid;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// As the kernel has it.
const MOST_LINKS: usize = 40;
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this bit nobody removes or renames what is not theirs.
const STICKY: u32 = 0o1000;

/// Whether root may run that program. Anybody else may run what they like.
///
/// # Errors
/// Others can change it, or a folder or link on the way to it; the message says which, and what to do.
pub fn check_program(path: &Path) -> Result<()> {
    let remedy = "chown root and chmod go-w, or set run_user";
    walk(path, |place| {
        let what = if place == path { "it" } else { "what is found by it" };
        format!("{} can be changed by others than root, who runs {what}; {remedy}", place.display())
    })
}

/// Whether root may run the programs that this file names. A file that is not there names none.
///
/// # Errors
/// As [`check_program`].
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

/// The steps of a path, the last one first. One that begins at `/` begins with that.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().filter(|step| *step != Component::CurDir);
    let mut steps: Vec<OsString> = steps.map(|step| OsStr::to_os_string(step.as_os_str())).collect();
    steps.reverse();
    steps
}
