//! Paths that the daemon writes to: makes missing folders, and checks permissions before anything depends on them.

use super::pidfile;
use crate::config::settings::{SelfConfig, Settings};
use crate::model::error::{Error, Result};
use crate::sink;
use crate::sys::{folder, users};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, Uid, access};
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Whether something is done, or only checked whether it could be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    Real,
    Trial,
}

/// The folders, with the modes of new ones.
pub fn folders(settings: &Settings) -> Vec<(PathBuf, u32)> {
    let own = &settings.own;
    let above = |file: Option<&Path>, mode| Some((file?.parent()?.to_path_buf(), mode));
    let mut folders = vec![(own.tmpdir.clone(), 0o750)];
    folders.extend(above(own.pid_file.as_deref(), 0o755));
    folders.extend(above(Some(&own.log_file), 0o750));
    folders.extend(above(store(settings).as_deref(), 0o750));
    folders
}

/// Pid file and log, with the modes of new ones.
pub fn files(own: &SelfConfig) -> impl Iterator<Item = (&Path, u32)> {
    let pid_file = own.pid_file.as_deref().map(|path| (path, 0o644));
    pid_file.into_iter().chain([(own.log_file.as_path(), 0o640)])
}

/// The path of the local store; `None` if another sink is configured.
pub fn store(settings: &Settings) -> Option<PathBuf> {
    sink::local_file(&settings.tsdb, &settings.home).ok()
}

/// Turns an error about a path into an error about the configuration key that names the path.
fn of_key(settings: &Settings, place: &Path, error: Error) -> Error {
    let (own, tsdb) = (&settings.own, &settings.tsdb.section);
    let keys = [
        (&own.section, "tmpdir", Some(own.tmpdir.clone())),
        (&own.section, "pid_file", own.pid_file.clone()),
        (&own.section, "log_file", Some(own.log_file.clone())),
        (tsdb, "file", store(settings)),
    ];
    let is_named = |path: &PathBuf| path.starts_with(place) || place.starts_with(path);
    match keys.iter().find(|(.., path)| path.as_ref().is_some_and(is_named)) {
        Some((section, key, _)) => section.problem(key, &error.to_string()),
        None => error,
    }
}

/// Makes every missing folder, topmost first.
pub fn make(settings: &Settings) -> Result<()> {
    for (folder, mode) in folders(settings) {
        make_folder(&folder, mode).map_err(|error| of_key(settings, &folder, error))?;
    }
    Ok(())
}

fn make_folder(folder: &Path, mode: u32) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|level| !level.exists()).collect();
    for level in missing.iter().rev() {
        match DirBuilder::new().mode(mode).create(level) {
            // Another start made it first.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => made.map_err(Error::file("make the folder", level))?,
        }
        fs::set_permissions(level, Permissions::from_mode(mode)).map_err(Error::file("make the folder", level))?;
    }
    Ok(())
}

/// Whether this user can write to all these paths; changes nothing. `seen_to`: root takes care of these paths and
/// everything below them. On trial, missing folders are made and removed again.
///
/// # Errors
/// A path is not what it should be, or other users could create files there; or all paths that this user cannot use, in
/// one message with one command to run.
pub fn check(settings: &Settings, seen_to: &[PathBuf], attempt: Attempt) -> Result<()> {
    let own = &settings.own;
    let of_key = |place: &Path, error: Error| of_key(settings, place, error);
    let mut found =
        Found { seen_to, attempt, missing_folders: Vec::new(), missing_files: Vec::new(), closed: Vec::new() };
    for (place, _) in folders(settings) {
        found.way(&settings.home, &place).map_err(|error| of_key(&place, error))?;
    }
    if !found.closed.is_empty() {
        return found.verdict(of_key);
    }
    let work = [own.tmpdir.clone(), own.tmpdir.join("spool"), own.tmpdir.join("rejected")];
    if !found.is_seen_to(&own.tmpdir) {
        work.iter().try_for_each(|place| folder::trust(place).map_err(|error| of_key(place, error)))?;
    }
    for place in work.into_iter().chain(folders(settings).into_iter().map(|(folder, _)| folder)) {
        found.folder(&place).map_err(|error| of_key(&place, error))?;
    }
    for place in ["spool", "rejected"].map(|name| own.tmpdir.join(name)) {
        found.inner(&place);
    }
    if let Some(path) = own.pid_file.as_deref() {
        let opened = found.file(path, "open the pid file", libc::O_NOFOLLOW);
        let plain = opened.and_then(|()| pidfile::must_be_plain(fs::symlink_metadata(path).ok().as_ref(), path));
        plain.map_err(|error| of_key(path, error))?;
    }
    found.file(&own.log_file, "open the log file", 0).map_err(|error| of_key(&own.log_file, error))?;
    if let Some(path) = store(settings) {
        if fs::metadata(&path).is_ok_and(|about| !about.is_file()) {
            let place = path.display();
            let wrong = Error::daemon(format!("{place}: not a plain file; set `file` in [TSDB] to another place"));
            return Err(of_key(&path, wrong));
        }
        let opened = found.file(&path, "open the local store", 0);
        // SQLite's write-ahead log is beside it.
        let writable = opened.and_then(|()| path.parent().map_or(Ok(()), |folder| found.writable(folder)));
        writable.map_err(|error| of_key(&path, error))?;
    }
    found.verdict(of_key)
}

/// Paths that this user cannot use.
struct Found<'a> {
    seen_to: &'a [PathBuf],
    attempt: Attempt,
    missing_folders: Vec<PathBuf>,
    missing_files: Vec<PathBuf>,
    closed: Vec<PathBuf>,
}

impl Found<'_> {
    fn is_seen_to(&self, path: &Path) -> bool {
        self.seen_to.iter().any(|place| path.starts_with(place))
    }

    /// The user must be able to pass through all folders above a path. A closed folder below `home` can be given to the
    /// user.
    fn way(&mut self, home: &Path, place: &Path) -> Result<()> {
        let is_closed =
            |path: &Path| fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        if self.is_seen_to(place) || !is_closed(place) {
            return Ok(());
        }
        let Some(closed) = place.ancestors().find(|above| !is_closed(above)) else { return Ok(()) };
        if closed.starts_with(home) && closed != home {
            self.closed.push(closed.into());
            return Ok(());
        }
        let (place, closed) = (place.display(), closed.display());
        let user = users::name_of(Uid::effective());
        Err(Error::daemon(format!(
            "{place}: user {user} may not pass through {closed}: chmod o+x {closed}, or name another place in config.ini"
        )))
    }

    /// An existing path must be a folder; a missing one must be possible to make.
    fn folder(&mut self, path: &Path) -> Result<()> {
        let Some(there) = path.ancestors().find(|level| fs::symlink_metadata(level).is_ok()) else { return Ok(()) };
        let about = fs::metadata(there).map_err(Error::file("use the folder", there))?;
        if !about.is_dir() {
            return Err(Error::daemon(format!("{}: not a folder; remove it, or name another place", there.display())));
        }
        if there == path || self.is_seen_to(path) {
            return Ok(());
        }
        if self.attempt == Attempt::Real {
            // It is made next, and another start may be doing the same.
            if !may(there, AccessFlags::W_OK | AccessFlags::X_OK) {
                self.missing_folders.push(path.into());
            }
            return Ok(());
        }
        let topmost = path.ancestors().take_while(|level| *level != there).last().unwrap_or(path);
        let made = DirBuilder::new().mode(0o700).create(topmost).and_then(|()| fs::remove_dir(topmost));
        match made {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists || is_full(&error) => Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.missing_folders.push(path.into());
                Ok(())
            }
            Err(error) => Err(Error::file("make the folder", topmost)(error)),
        }
    }

    /// Checks `tmpdir` and one of its subfolders; it does not matter what is in them.
    fn inner(&mut self, folder: &Path) {
        let Some(tmpdir) = folder.parent() else { return };
        if self.is_seen_to(tmpdir) || self.closed.iter().any(|closed| closed == tmpdir) {
            return;
        }
        for place in [tmpdir, folder] {
            if place.exists() && !may(place, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK) {
                self.closed.push(place.into());
                return;
            }
        }
    }

    /// An existing file must open; a missing one must be possible to make.
    fn file(&mut self, path: &Path, doing: &'static str, flags: i32) -> Result<()> {
        let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
        match OpenOptions::new().append(true).custom_flags(flags).open(path) {
            Ok(_) => Ok(()),
            // A named pipe without a reader: waiting for one may be intended.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let is_possible = self.is_seen_to(path)
                    || path.parent().is_none_or(|folder| !folder.exists() || may(folder, AccessFlags::W_OK));
                if !is_possible {
                    self.missing_files.push(path.into());
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                if !self.is_seen_to(path) {
                    self.closed.push(path.into());
                }
                Ok(())
            }
            Err(error) => Err(Error::file(doing, path)(error)),
        }
    }

    fn writable(&mut self, folder: &Path) -> Result<()> {
        match access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            Err(Errno::EACCES) if !self.is_seen_to(folder) => self.closed.push(folder.into()),
            Ok(()) | Err(Errno::EACCES | Errno::ENOENT) => {}
            Err(error) => return Err(Error::file("write into", folder)(error.into())),
        }
        Ok(())
    }

    /// An error that lists everything this user may not use; `of_key` turns it into one about the configuration key.
    fn verdict(mut self, of_key: impl Fn(&Path, Error) -> Error) -> Result<()> {
        // Giving the user a folder includes everything in it.
        let closed = std::mem::take(&mut self.closed);
        self.closed =
            closed.iter().filter(|path| !closed.iter().any(|a| a != *path && path.starts_with(a))).cloned().collect();
        let all = [&self.missing_folders, &self.missing_files, &self.closed].map(|paths| words(paths));
        let [folders, files, closed] = &all;
        let user = users::name_of(Uid::effective());
        let mut problems = Vec::new();
        let mut commands = Vec::new();
        if !closed.is_empty() {
            problems.push(format!("{closed}: not writable for user {user}"));
        }
        if !folders.is_empty() {
            problems.push(format!("{folders}: missing, and user {user} cannot make it"));
            commands.push(format!("mkdir -p {folders}"));
        }
        if !files.is_empty() {
            problems.push(format!("{files}: missing, and user {user} cannot make it"));
            commands.push(format!("touch {files}"));
        }
        if problems.is_empty() {
            return Ok(());
        }
        let every: Vec<&str> =
            [closed, folders, files].into_iter().map(String::as_str).filter(|words| !words.is_empty()).collect();
        commands.push(format!("chown -R {user} {}", every.join(" ")));
        let told = Error::daemon(format!("{}; as root: {}", problems.join("; "), commands.join(" && ")));
        match [&self.closed, &self.missing_folders, &self.missing_files].into_iter().flatten().next() {
            Some(first) => Err(of_key(first, told)),
            None => Err(told),
        }
    }
}

/// The paths, quoted for a shell.
fn words(paths: &[PathBuf]) -> String {
    let mut paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.sort();
    paths.dedup();
    shell_words::join(paths)
}

fn may(path: &Path, how: AccessFlags) -> bool {
    access(path, how) != Err(Errno::EACCES)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
