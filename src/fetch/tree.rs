//! The trees of /proc and /sys: their folders, and files of them that are read too seldom or are too many to stay open.

use super::file::{Until, fill};
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::fs::{self, DirEntry, File};

/// The names in a folder, sorted. Those that are not UTF-8 are left out.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] tells one that is not there.
pub fn names(roots: &Roots, folder: &str) -> Result<Vec<String>> {
    list(roots, folder, |_| true)
}

/// The names of the folders in a folder, sorted. Those that are not UTF-8 are left out.
///
/// # Errors
/// As [`names`].
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

/// The whole file. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] tells one that is not there.
pub fn text(roots: &Roots, file: &str) -> Result<String> {
    let path = roots.resolve(file);
    let open = File::open(&path).map_err(Error::file("read", &path))?;
    let mut bytes = Vec::new();
    let filled = fill(&mut bytes, &open, Until::Short).map_err(Error::file("read", &path))?;
    bytes.truncate(filled);
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Where a symbolic link points to; `None` for anything else, and where it may not be read.
pub fn target(roots: &Roots, link: &str) -> Option<String> {
    Some(fs::read_link(roots.resolve(link)).ok()?.to_string_lossy().into_owned())
}
