//! The trees of /proc and /sys: their folders, and files of them that are read too seldom or are too many to stay open.

use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::fs;

/// The names in a folder, sorted. Those that are not UTF-8 are left out.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] tells one that is not there.
pub fn names(roots: &Roots, folder: &str) -> Result<Vec<String>> {
    let path = roots.resolve(folder);
    let entries = fs::read_dir(&path).map_err(Error::file("list", &path))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// The whole file. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] tells one that is not there.
pub fn text(roots: &Roots, file: &str) -> Result<String> {
    let path = roots.resolve(file);
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a symbolic link points to; `None` for anything else, and where it may not be read.
pub fn target(roots: &Roots, link: &str) -> Option<String> {
    Some(fs::read_link(roots.resolve(link)).ok()?.to_string_lossy().into_owned())
}
