//! From root to the user of `run_user`, for good.

use crate::config::settings::SelfConfig;
use crate::model::error::{Error, Result};
use crate::sys::users::become_user;
use nix::unistd::{AccessFlags, User, access, chown, fchown, geteuid};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The user to become; `None`: stay who we are.
pub type Target = Option<User>;

/// Looks `run_user` up. The second value is a warning. Fails when root is to become a user that does not exist.
pub fn target(own: &SelfConfig) -> Result<(Target, Option<String>)> {
    let Some(name) = &own.run_user else { return Ok((None, None)) };
    let unknown = || Error::daemon(format!("[SelfConfig] run_user: there is no user {name} on this host"));
    let found = User::from_name(name)
        .map_err(|error| Error::daemon(format!("[SelfConfig] run_user: cannot look up user {name}: {error}")))?;
    match found {
        Some(user) if user.uid == geteuid() => Ok((None, None)),
        found if !geteuid().is_root() => {
            let warning = format!(
                "[SelfConfig] run_user: only root can become {}{name}; running as the user that started it",
                if found.is_none() { "the unknown user " } else { "" }
            );
            Ok((None, Some(warning)))
        }
        found => found.map(|user| (Some(user), None)).ok_or_else(unknown),
    }
}

/// Makes the folders of pid file, log, spool and local store that are missing and gives them to the user. Folders that
/// were there stay whose they are: `/var/log` belongs to everybody.
pub fn prepare(own: &SelfConfig, home: &Path, target: &Target) -> Result<()> {
    if let Some(folder) = own.pid_file.as_deref().and_then(Path::parent) {
        make_folders(folder, 0o755, target)?;
    }
    if let Some(folder) = own.log_file.parent() {
        make_folders(folder, 0o750, target)?;
    }
    make_folders(&own.tmpdir, 0o750, target)?;
    if let Some(user) = target {
        make_folders(&home.join("var"), 0o750, target)?;
        hand_over_log(&own.log_file, user)?;
    }
    Ok(())
}

/// Gives an open file to the user.
pub fn hand_over(file: &File, path: &Path, target: &Target) -> Result<()> {
    let Some(user) = target else { return Ok(()) };
    fchown(file, Some(user.uid), Some(user.gid)).map_err(|error| Error::file("change the owner", path)(error.into()))
}

/// Becomes the user for good. Fails also when the spool's folder is not the user's to write.
pub fn drop_to(target: Target, own: &SelfConfig) -> Result<()> {
    let Some(user) = target else { return Ok(()) };
    become_user(&user)?;
    let (name, folder) = (&user.name, own.tmpdir.display());
    access(&own.tmpdir, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
        Error::daemon(format!("{folder}: not writable for user {name} ({error}): chown -R {name} {folder}"))
    })
}

/// Every level that is missing, topmost first.
fn make_folders(folder: &Path, mode: u32, target: &Target) -> Result<()> {
    let missing: Vec<PathBuf> = folder.ancestors().take_while(|level| !level.exists()).map(PathBuf::from).collect();
    for level in missing.iter().rev() {
        match DirBuilder::new().mode(mode).create(level) {
            // Another start was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            made => made.map_err(Error::file("make the folder", level))?,
        }
        fs::set_permissions(level, Permissions::from_mode(mode)).map_err(Error::file("make the folder", level))?;
        if let Some(user) = target {
            chown(level, Some(user.uid), Some(user.gid))
                .map_err(|error| Error::file("change the owner", level)(error.into()))?;
        }
    }
    Ok(())
}

/// The log may lie in a folder where only root can make files, and may be root's from an earlier run. Nothing but a
/// plain file is handed over: the user could have put a link in its place.
fn hand_over_log(path: &Path, user: &User) -> Result<()> {
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(()),
        Err(error) => return Err(Error::file("open the log file", path)(error)),
    };
    let plain = file.metadata().is_ok_and(|about| about.is_file() && about.nlink() == 1);
    if plain { hand_over(&file, path, &Some(user.clone())) } else { Ok(()) }
}
