//! Replaces a file atomically: readers see the old content or the new one; owner and mode stay the same.

use crate::model::error::{Error, Result};
use nix::unistd::{Gid, Uid, fchown};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of a new file; the shipped files have the same.
const MODE: u32 = 0o644;

/// Writes the new content beside the old file and renames it over that. Makes the file and its folder if they are
/// missing.
///
/// # Errors
/// It is a link, or not a plain file, or cannot be written; the old file is unchanged.
pub fn rewrite(path: &Path, content: &[u8]) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::daemon(format!("{}: no name of a file", path.display())));
    };
    let old = match path.symlink_metadata() {
        Ok(about) if about.is_file() => Some(about),
        Ok(_) => {
            let sentence = "is a link or no file, and is left alone: change what it leads to by hand";
            return Err(Error::daemon(format!("{}: {sentence}", path.display())));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Error::file("look at", path)(error)),
    };
    fs::create_dir_all(folder).map_err(Error::file("make", folder))?;
    let mut unfinished = name.to_os_string();
    unfinished.push(format!(".{}.new", std::process::id()));
    let unfinished = folder.join(unfinished);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(content)?;
        if let Some(old) = &old {
            let about = file.metadata()?;
            if (about.uid(), about.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())))?;
            }
        }
        let mode = old.as_ref().map_or(MODE, |old| old.mode() & 0o7777);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        Error::file("write", path)(error)
    })
}
