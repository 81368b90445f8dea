//! Folders in /proc and /sys, and files that are read too seldom, or are too many, to be kept open.

use super::file::{Until, fill};
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::fs::{self, DirEntry, File};
use std::path::PathBuf;

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

/// The path of a file. In a container that watches its host, `proc/net` is replaced by the host's own. In a copy of
/// /proc, `proc/net` is a folder instead of a link and is used as it is.
pub fn place(roots: &Roots, path: &str) -> PathBuf {
    let of_host = roots.of_host(path).filter(|_| is_of_reader(roots));
    of_host.unwrap_or_else(|| roots.resolve(path))
}

/// Whether `proc/net` belongs to the network of this process instead of the watched one.
pub fn is_of_reader(roots: &Roots) -> bool {
    roots.has_other_proc() && roots.resolve("proc/net").is_symlink()
}

/// Opens a file for reading.
///
/// # Errors
/// [`Error::File`] with the path; a special message if the host's network is hidden from this user.
pub fn open(roots: &Roots, file: &str) -> Result<File> {
    let path = place(roots, file);
    File::open(&path).map_err(|error| match roots.of_host("proc/net").filter(|net| path.starts_with(net)) {
        Some(net) if !net.exists() => Error::daemon(format!(
            "{}: the network of the host is hidden from this user: run as root, or mount that proc without hidepid, or with the \
             gid of a group of this user",
            net.display()
        )),
        _ => Error::file("open", &path)(error),
    })
}

/// The text of a whole file. Invalid UTF-8 is replaced by U+FFFD.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] is true if the file does not exist.
pub fn text(roots: &Roots, file: &str) -> Result<String> {
    let open = open(roots, file)?;
    let mut bytes = Vec::new();
    let filled = fill(&mut bytes, &open, Until::Short).map_err(Error::file("read", place(roots, file)))?;
    bytes.truncate(filled);
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The target of a symbolic link; `None` if it is no link or cannot be read.
pub fn target(roots: &Roots, link: &str) -> Option<String> {
    Some(fs::read_link(roots.resolve(link)).ok()?.to_string_lossy().into_owned())
}
