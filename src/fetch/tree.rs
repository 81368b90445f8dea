//! The trees of /proc and /sys: their folders, and files of them that are read too seldom or are too many to stay open.

use super::file::{Until, fill};
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::fs::{self, DirEntry, File};
use std::path::PathBuf;

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

/// Where that stands: what a check knows as `proc/net` may be the network of the host around a container. A copy of /proc,
/// which has a folder in place of the link, is told as it is.
pub fn place(roots: &Roots, path: &str) -> PathBuf {
    let of_host = roots.of_host(path).filter(|_| is_of_reader(roots));
    of_host.unwrap_or_else(|| roots.resolve(path))
}

/// Whether `proc/net` is the network of whoever reads it, who is not the one that is watched.
pub fn is_of_reader(roots: &Roots) -> bool {
    roots.is_of_others() && roots.resolve("proc/net").is_symlink()
}

/// Opens a file to read it.
///
/// # Errors
/// [`Error::File`] with the path; a sentence where the network of the host is hidden.
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

/// The whole file. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] tells one that is not there.
pub fn text(roots: &Roots, file: &str) -> Result<String> {
    let open = open(roots, file)?;
    let mut bytes = Vec::new();
    let filled = fill(&mut bytes, &open, Until::Short).map_err(Error::file("read", place(roots, file)))?;
    bytes.truncate(filled);
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Where a symbolic link points to; `None` for anything else, and where it may not be read.
pub fn target(roots: &Roots, link: &str) -> Option<String> {
    Some(fs::read_link(roots.resolve(link)).ok()?.to_string_lossy().into_owned())
}
