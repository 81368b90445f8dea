//! The file operations of the spool and the rejected area: on a real folder, or on a test's substitute.
//!
//! *Invariant:* after [`Disk::write`] and then [`Disk::sync`] have returned `Ok`, the file survives a crash of the
//! machine.

use crate::model::error::{Error, Result};
use crate::sys::{locks, process};
use nix::unistd::{Uid, fchown};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Space left free for others on the file system, in bytes: this, or 5 % of the file system where that is less.
const KEEP_FREE: u64 = 100 << 20;

/// Names are relative to the folder. A name may have one subfolder, which is made if it is missing.
pub trait Disk: Send {
    /// The folder's path, for messages.
    fn path(&self) -> &Path;

    /// Makes the folder and takes its lock, unless that was done and the folder is still the same. `true` if the lock
    /// was taken anew: then the folder's content has to be listed again.
    ///
    /// # Errors
    /// [`Error::Daemon`] if another process holds the lock, [`Error::File`] if the system refuses.
    fn hold(&mut self) -> Result<bool>;

    /// Names and sizes in bytes of the files in the folder.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Writes a file and syncs it to the disk. Its name is on the disk only after [`Disk::sync`].
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Replaces a file that has the name `to`.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Syncs the folder: created, renamed and removed names.
    fn sync(&mut self) -> io::Result<()>;

    /// In bytes; `None` if there is no such file.
    fn size(&self, name: &str) -> Option<u64>;

    /// Bytes that may still be used, without the reserve for others; negative where part of the reserve is used.
    fn free(&self) -> io::Result<i64>;
}

/// A real folder.
pub struct Folder {
    path: PathBuf,
    /// Locked while it is open.
    lock: Option<File>,
}

impl Folder {
    /// Touches nothing on the disk yet.
    pub fn new(path: PathBuf) -> Folder {
        Folder { path, lock: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        missing.iter().rev().try_for_each(|made| give_to_owner(&File::open(made)?, made))
    }

    fn open(&self, name: &str, options: &mut OpenOptions) -> io::Result<File> {
        let path = self.at(name);
        path.parent().map_or(Ok(()), |folder| self.make(folder))?;
        // A link that somebody put there is not followed, and opening a pipe does not block.
        let file = options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path)?;
        give_to_owner(&file, &path)?;
        Ok(file)
    }

    /// Whether our lock file is still the one at that path.
    fn is_held(&self) -> bool {
        let Some(held) = self.lock.as_ref().and_then(|lock| lock.metadata().ok()) else { return false };
        fs::metadata(self.at(LOCK)).is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()))
    }
}

const LOCK: &str = "lock";

/// Fails if a process other than `pid` holds the spool's lock, or if the lock is not a plain file.
pub fn free_for(spool: &Path, pid: Option<i32>) -> Result<()> {
    let path = spool.join(LOCK);
    let Ok(about) = fs::symlink_metadata(&path) else { return Ok(()) };
    if !about.is_file() {
        return Err(not_plain(&path));
    }
    let holder = locks::holder(&about);
    if holder == pid || holder.is_none() { Ok(()) } else { Err(in_use(spool, holder)) }
}

fn not_plain(lock: &Path) -> Error {
    Error::daemon(format!("{}: not a plain file; remove it", lock.display()))
}

fn in_use(spool: &Path, holder: Option<i32>) -> Error {
    let holder = match holder {
        Some(pid) => format!("process {pid} ({})", process::command_name(pid)),
        None => "another daemon".into(),
    };
    let spool = spool.display();
    Error::daemon(format!(
        "the spool {spool} is in use by {holder}: stop that, or give each its own tmpdir in [SelfConfig]"
    ))
}

/// Gives a file that root made to the owner of its folder: the daemon that uses it later may run as that user.
fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let Some(folder) = path.parent() else { return Ok(()) };
    let (owner, ours) = (fs::metadata(folder)?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (ours.uid(), ours.gid()) {
        return Ok(());
    }
    fchown(file.as_fd(), Some(owner.uid().into()), Some(owner.gid().into())).map_err(io::Error::from)
}

impl Disk for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn hold(&mut self) -> Result<bool> {
        if self.is_held() {
            return Ok(false);
        }
        self.lock = None;
        self.make(&self.path).map_err(Error::file("make", &self.path))?;
        let path = self.at(LOCK);
        let lock =
            self.open(LOCK, OpenOptions::new().create(true).truncate(false).write(true)).map_err(
                |error| match error.raw_os_error() {
                    Some(libc::ELOOP | libc::ENXIO) => not_plain(&path),
                    _ => Error::file("open", &path)(error),
                },
            )?;
        if !lock.metadata().is_ok_and(|about| about.is_file()) {
            return Err(not_plain(&path));
        }
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(in_use(&self.path, lock.metadata().ok().as_ref().and_then(locks::holder)));
            }
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
        }
        self.lock = Some(lock);
        Ok(true)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let entries = fs::read_dir(&self.path)?.flatten();
        let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?)));
        Ok(named.filter(|(_, meta)| meta.is_file()).map(|(name, meta)| (name, meta.len())).collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.at(name))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.open(name, OpenOptions::new().create(true).truncate(true).write(true))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.open(name, OpenOptions::new().create(true).append(true))?.write_all(bytes)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let to = self.at(to);
        to.parent().map_or(Ok(()), |folder| self.make(folder))?;
        fs::rename(self.at(from), to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn size(&self, name: &str) -> Option<u64> {
        fs::metadata(self.at(name)).ok().map(|meta| meta.len())
    }

    fn free(&self) -> io::Result<i64> {
        let stat = nix::sys::statvfs::statvfs(&self.path)?;
        #[allow(clippy::unnecessary_cast)] // the width of these fields differs between platforms
        let (free, size, unit) = (stat.blocks_available() as u64, stat.blocks() as u64, stat.fragment_size() as u64);
        let keep = KEEP_FREE.min(size.saturating_mul(unit) / 20);
        Ok(free.saturating_mul(unit).min(i64::MAX as u64) as i64 - keep as i64)
    }
}
