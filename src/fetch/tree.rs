//! Folders and links in /proc and /sys.

use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::fs::{self, DirEntry};

/// The names of all entries of a folder, sorted. Names that are not UTF-8 are left out.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] is true if the folder does not exist.
pub fn names(roots: &Roots, folder: &str) -> Result<Vec<String>> {
    list(roots, folder, |_| true)
}

/// The names of the subfolders of a folder, sorted. Names that are not UTF-8 are left out.
///
/// # Errors
/// As for [`names`].
pub fn folders(roots: &Roots, folder: &str) -> Result<Vec<String>> {
    list(roots, folder, |entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

fn list(roots: &Roots, folder: &str, is_wanted: fn(&DirEntry) -> bool) -> Result<Vec<String>> {
    let path = roots.resolve(folder);
    let entries = fs::read_dir(&path).map_err(Error::file("list", &path))?.flatten().filter(is_wanted);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// The target of a symbolic link; `None` if it is no link or cannot be read.
pub fn target(roots: &Roots, link: &str) -> Option<String> {
    Some(fs::read_link(roots.resolve(link)).ok()?.to_string_lossy().into_owned())
}
