//! The pid file: the process that holds its lock is the daemon, whatever number is in it.
//!
//! The kernel releases a lock when its process ends. So a stale, empty or wrong number never keeps a daemon from
//! starting, and a process whose number somebody wrote into the file never gets a signal.

use crate::model::error::{Error, Result, plain};
use crate::sys::{locks, process};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for the lock: a process that only checks holds it for microseconds, a daemon for its whole life.
const PATIENCE: Duration = Duration::from_millis(200);

/// The lock of a serving process, held until it is released or the process ends.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    held: Mutex<Held>,
    /// The number that was in the file: the previous run was killed, not stopped.
    pub left: Option<i32>,
    /// Why the number could not be written.
    pub unwritten: Option<String>,
}

#[derive(Debug)]
struct Held {
    /// `None` once it is released.
    file: Option<File>,
    /// It was logged that the file cannot be made again.
    is_told: bool,
}

/// The result of checking the lock.
#[derive(Debug, PartialEq, Eq)]
pub enum Daemon {
    Gone,
    Running(i32),
    /// The lock is held by a process that is not visible or not ours; the text says what is known about it.
    Unknown(String),
}

impl PidFile {
    /// Takes the lock and writes the number of this process. To be called by the serving process itself, because the
    /// kernel reports the process that took the lock. Fails if a daemon runs already, and names it.
    pub fn acquire(path: &Path) -> Result<PidFile> {
        let mut file = lock(path)?;
        must_be_plain(file.metadata().ok().as_ref(), path)?;
        let mut number = String::new();
        let _ = Read::by_ref(&mut file).take(32).read_to_string(&mut number);
        let left = number.trim().parse().ok().filter(|pid| *pid > 0);
        let unwritten = fill(&mut file).err().map(|error| plain(&error));
        let held = Mutex::new(Held { file: Some(file), is_told: false });
        Ok(PidFile { path: path.into(), held, left, unwritten })
    }

    /// Makes the file again if somebody removed it; otherwise the daemon could not be found any more.
    pub fn renew(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.file.as_ref().is_none_or(|file| is_at(file, &self.path)) {
            return;
        }
        let made = lock(&self.path).and_then(|mut file| {
            fill(&mut file).map_err(Error::file("write the pid file", &self.path))?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                *held = Held { file: Some(file), is_told: false };
                log::warn!("{}: somebody removed the pid file; it is there again", self.path.display());
            }
            Err(error) if !held.is_told => {
                held.is_told = true;
                log::error!(
                    "somebody removed the pid file, and it cannot be made anew: {error}; until then stop and status do not \
                     find this daemon, pid {}",
                    std::process::id()
                );
            }
            Err(_) => {}
        }
    }

    /// Removes the file and releases the lock; a second call does nothing. If the file cannot be removed, it is
    /// emptied. The lock is not left to the end of the process, because that can take long when a thread hangs in the
    /// kernel.
    pub fn release(&self) {
        let Some(file) = self.held.lock().unwrap_or_else(PoisonError::into_inner).file.take() else { return };
        if is_at(&file, &self.path) && fs::remove_file(&self.path).is_err() {
            let _ = file.set_len(0);
        }
        let _ = file.unlock();
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.release();
    }
}

/// Fails if there is something that is not a plain file with a single link: writing to it would change something else.
pub fn must_be_plain(file: Option<&fs::Metadata>, path: &Path) -> Result<()> {
    if file.is_none_or(|file| file.is_file() && file.nlink() == 1) {
        return Ok(());
    }
    let why = "not a plain file, or one that has a second name elsewhere: it is left alone";
    Err(Error::daemon(format!("{}: {why}; remove it, or set pid_file in [SelfConfig]", path.display())))
}

/// Opens the file and takes its lock.
fn lock(path: &Path) -> Result<File> {
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
            // The previous holder may have removed the file between our opening and our locking it.
            Ok(()) if !is_at(&file, path) => {}
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(Error::file("lock the pid file", path)(error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Err(refusal(path)),
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(10)),
        }
    }
}

/// Writes the number of this process. This fails on a full disk; the lock is enough then.
fn fill(file: &mut File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

/// Whether a daemon holds the lock of that pid file. Fails only if the file exists and cannot be read.
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
    let about = file.metadata().map_err(Error::file("read the pid file", path))?;
    let mut number = String::new();
    let _ = Read::by_ref(&mut file).take(32).read_to_string(&mut number);
    Ok(match (locks::holder(&about), number.trim().parse().ok().filter(|pid| *pid > 0)) {
        (Some(pid), _) if is_ours(pid) => Daemon::Running(pid),
        (Some(other), _) => Daemon::Unknown(format!("process {other} ({})", process::command_name(other))),
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

/// Whether that process runs this program: by its executable, or by its name if the executable is not visible.
fn is_ours(pid: i32) -> bool {
    let program = |pid: &str| {
        let target = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let name = target.file_name()?.to_string_lossy().into_owned();
        // After an upgrade the executable of the running daemon is deleted.
        Some(name.strip_suffix(" (deleted)").map(String::from).unwrap_or(name))
    };
    match program(&pid.to_string()) {
        Some(name) => name == "puypuy" || Some(name) == program("self"),
        None => process::command_name(pid) == "puypuy",
    }
}

/// Whether that path still leads to that open file.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
    file.metadata().ok().zip(fs::symlink_metadata(path).ok()).is_some_and(|(open, there)| same(open, there))
}
