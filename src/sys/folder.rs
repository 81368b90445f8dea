//! Folders that need not be there: a missing one is empty.

use crate::model::error::{Error, Result};
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::Path;

/// What is in the folder, in no order.
///
/// # Errors
/// [`Error::File`]: it is there and cannot be listed.
pub fn entries(folder: &Path) -> Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file("list", folder)(error)),
    }
}

/// The names of what is in the folder, sorted. Those that are not UTF-8 are left out.
///
/// # Errors
/// As [`entries`].
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let names = entries(folder)?.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}
