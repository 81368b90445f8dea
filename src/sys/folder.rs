//! Folders that may be missing, which counts as empty; and whether a folder is safe from other users.

use super::users::name_of;
use crate::model::error::{Error, Result};
use nix::unistd::Uid;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// The entries of the folder, in no order.
///
/// # Errors
/// [`Error::File`]: it exists but cannot be listed.
pub fn entries(folder: &Path) -> Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file("list", folder)(error)),
    }
}

/// The names of the entries, sorted. Names that are not UTF-8 are left out.
///
/// # Errors
/// As [`entries`].
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let names = entries(folder)?.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// Fails if users other than this one and root could create files in the folder, because we read, write and delete
/// files there. A missing folder is fine.
///
/// # Errors
/// The message names the remedy.
pub fn trust(folder: &Path) -> Result<()> {
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("look at", folder)(error)),
    };
    let (shown, own) = (folder.display(), Uid::effective());
    if !about.is_dir() {
        return Err(Error::daemon(format!("{shown}: not a folder; remove it, or set tmpdir in [SelfConfig]")));
    }
    if about.uid() != 0 && about.uid() != own.as_raw() {
        let (owner, own) = (name_of(about.uid().into()), name_of(own));
        return Err(Error::daemon(format!(
            "{shown}: belongs to {owner}, who could put anything there: chown -R {own} {shown}, \
             or set tmpdir in [SelfConfig] to another place"
        )));
    }
    match about.mode() & 0o1022 {
        0o1000.. | 0 => Ok(()),
        _ => Err(Error::daemon(format!(
            "{shown}: others than its owner may write there: chmod go-w {shown}, or set tmpdir in [SelfConfig] to another place"
        ))),
    }
}

/// The names of checks and scripts in the folder, sorted; backup copies of editors and compiled Python files are left
/// out.
///
/// # Errors
/// As [`entries`].
pub fn check_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = names(folder)?;
    names.retain(|name| name.starts_with("check_") && !name.ends_with(['~', '#']) && !name.ends_with(".pyc"));
    Ok(names)
}

/// Makes a link `enabled/name` to `available/name`; both folders are below home.
pub fn link(home: &Path, enabled: &str, available: &str, name: &str) -> Result<()> {
    let folder = home.join(enabled);
    fs::create_dir_all(&folder).map_err(Error::file("make", &folder))?;
    let link = folder.join(name);
    let target = Path::new("..").join(available).join(name);
    symlink(target, &link).map_err(Error::file("make the link", &link))
}

/// Checks that [`remove`] can be called: the path is a symbolic link, or a file that may be moved to a free name in
/// `elsewhere`.
///
/// # Errors
/// It is a file that may not or cannot be moved; the message names the remedy.
pub fn check_removal(path: &Path, elsewhere: &Path, moves: bool) -> Result<()> {
    if path.is_symlink() {
        return Ok(());
    }
    let target = elsewhere.join(path.file_name().unwrap_or_default());
    let (path, elsewhere) = (path.display(), elsewhere.display());
    if !moves {
        return Err(Error::daemon(format!(
            "{path} is no link but a file, and might be lost; disable --move moves it to {elsewhere}, rm removes it"
        )));
    }
    match target.symlink_metadata() {
        Ok(_) => {
            Err(Error::daemon(format!("{path} cannot be moved: {} is there already; rename one", target.display())))
        }
        Err(_) => Ok(()),
    }
}

/// Removes a link; moves a file to `elsewhere`.
pub fn remove(path: &Path, elsewhere: &Path) -> Result<()> {
    if path.is_symlink() {
        return fs::remove_file(path).map_err(Error::file("remove", path));
    }
    fs::create_dir_all(elsewhere).map_err(Error::file("make", elsewhere))?;
    fs::rename(path, elsewhere.join(path.file_name().unwrap_or_default())).map_err(Error::file("move", path))
}
