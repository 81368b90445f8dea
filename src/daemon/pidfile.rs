//! The pid file: who holds its lock is the daemon, whatever number stands in it.
//!
//! A lock ends with its process, so a stale, empty or foreign number never keeps a daemon from starting, and a number
//! that somebody wrote over never gets a signal.

use crate::model::error::{Error, Result};
use nix::sys::stat::{major, minor};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Who only looks holds the lock for microseconds; a daemon holds it for ever.
const PATIENCE: Duration = Duration::from_millis(200);

/// The lock of a serving process, held until it is released or the process ends.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
    released: AtomicBool,
}

/// What the lock says.
#[derive(Debug, PartialEq, Eq)]
pub enum Daemon {
    Gone,
    Running(i32),
    /// The lock is held, but by a process that cannot be named or is not ours. The text says what is known about it.
    Unknown(String),
}

impl PidFile {
    /// Takes the lock and writes the number of this process. To be called by the process that serves, since the kernel
    /// names the one that took the lock. Fails with who runs when there is a daemon already.
    pub fn acquire(path: &Path) -> Result<PidFile> {
        let begun = Instant::now();
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .mode(0o644)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(path)
                .map_err(Error::file("open the pid file", path))?;
            match file.try_lock() {
                // The one before us may have removed the file between our opening and our locking it.
                Ok(()) if !is_at(&file, path) => {}
                Ok(()) => return PidFile::fill(path, file).map_err(Error::file("write the pid file", path)),
                Err(TryLockError::Error(error)) => return Err(Error::file("lock the pid file", path)(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Err(refusal(path)),
                Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(10)),
            }
        }
    }

    fn fill(path: &Path, mut file: File) -> io::Result<PidFile> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(PidFile { path: path.into(), file, released: AtomicBool::new(false) })
    }

    /// For handing the file to the user that the daemon becomes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Removes the file and gives the lock back; a second call does nothing. Where the file cannot be removed, it is
    /// left empty. Giving back the lock is not left to the end of the process: that can take long when a thread hangs
    /// in the kernel.
    pub fn release(&self) {
        if self.released.swap(true, Ordering::SeqCst) {
            return;
        }
        if is_at(&self.file, &self.path) && fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
        let _ = self.file.unlock();
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether a daemon holds the lock of that pid file. Fails only where the file is there and cannot be read.
pub fn look(path: &Path) -> Result<Daemon> {
    let mut file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Daemon::Gone);
        }
        Err(error) => return Err(Error::file("open the pid file", path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(Daemon::Gone),
        Err(TryLockError::Error(error)) => return Err(Error::file("lock the pid file", path)(error)),
        Err(TryLockError::WouldBlock) => {}
    }
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let about = file.metadata().map_err(Error::file("read the pid file", path))?;
    let mut number = String::new();
    let _ = Read::by_ref(&mut file).take(32).read_to_string(&mut number);
    Ok(match (holder(&locks, &about), number.trim().parse().ok().filter(|pid| *pid > 0)) {
        (Some(pid), _) if is_ours(pid) => Daemon::Running(pid),
        (Some(other), _) => Daemon::Unknown(format!("process {other} ({})", command_name(other))),
        (None, Some(pid)) if is_ours(pid) => Daemon::Running(pid),
        (None, _) => Daemon::Unknown("a process that cannot be seen from here".into()),
    })
}

fn refusal(path: &Path) -> Error {
    let known = look(path);
    let path = path.display();
    match known {
        Ok(Daemon::Running(pid)) => Error::daemon(format!("already running, pid {pid} (pid file {path})")),
        Ok(Daemon::Unknown(who)) => {
            Error::daemon(format!("{path}: locked by {who}; is it the pid file of another program?"))
        }
        Ok(Daemon::Gone) => Error::daemon(format!("{path}: another start is under way; try again")),
        Err(error) => error,
    }
}

/// The process that holds the exclusive lock of that file, from the text of `/proc/locks`. The device there differs from
/// the one that stat tells on btrfs and overlays: where none fits, the inode alone decides. `None` as well when the holder
/// lives in another pid namespace.
fn holder(locks: &str, file: &fs::Metadata) -> Option<i32> {
    let device = format!("{:02x}:{:02x}", major(file.dev()), minor(file.dev()));
    let held = locks.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, _, mode, pid, place) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let (found, inode) = place.rsplit_once(':')?;
        let pid: i32 = pid.parse().ok()?;
        let wanted = kind == "FLOCK" && mode == "WRITE" && inode.parse() == Ok(file.ino()) && pid > 0;
        wanted.then_some((found == device, pid))
    });
    held.max().map(|(_, pid)| pid)
}

/// Whether that process is this program: by the file it runs, and by its name where that may not be seen.
fn is_ours(pid: i32) -> bool {
    let program = |pid: &str| {
        let target = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let name = target.file_name()?.to_string_lossy().into_owned();
        // After an upgrade the file that runs has no name any more.
        Some(name.strip_suffix(" (deleted)").map(String::from).unwrap_or(name))
    };
    match program(&pid.to_string()) {
        Some(name) => name == "puypuy" || Some(name) == program("self"),
        None => command_name(pid) == "puypuy",
    }
}

/// The first 15 letters of what runs there; empty when nothing does.
fn command_name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().into()).unwrap_or_default()
}

/// Whether that path still leads to that open file.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
    file.metadata().ok().zip(fs::symlink_metadata(path).ok()).is_some_and(|(open, there)| same(open, there))
}
