//! Walks down a path for root, by descriptor, so that no link of another user is followed.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, User, fchown, fchownat, unlinkat};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

/// Most symbolic links in one path, the kernel's own limit.
const MOST_LINKS: usize = 40;
const LEVEL: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The result of a descent.
pub enum Descent {
    /// The folder exists, and only root can change its entries and those of the folders above it.
    There(OwnedFd),
    /// The last existing folder, which only root can change, and the first missing name below it.
    Missing(OwnedFd, OsString),
    /// Another user can change something on the way: root must not write there.
    Foreign,
}

/// Walks down to the folder. A link is followed only if root alone can have made it, as with `/var/run`.
pub fn descend(folder: &Path) -> io::Result<Descent> {
    let top = || openat(nix::fcntl::AT_FDCWD, "/", LEVEL, Mode::empty());
    let mut at = top()?;
    let mut open: VecDeque<OsString> = names(folder);
    let mut links = 0;
    while let Some(name) = open.pop_front() {
        let about = fstat(&at)?;
        if !is_only_roots(&about) {
            return Ok(Descent::Foreign);
        }
        match openat(&at, name.as_os_str(), LEVEL, Mode::empty()) {
            Ok(next) => at = next,
            Err(Errno::ENOENT) => return Ok(Descent::Missing(at, name)),
            Err(Errno::ENOTDIR | Errno::ELOOP) if links < MOST_LINKS => {
                links += 1;
                let link = fstatat(&at, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                if link.st_uid != 0 {
                    return Ok(Descent::Foreign);
                }
                let target = readlinkat(&at, name.as_os_str()).map_err(|_| Errno::ENOTDIR)?;
                if Path::new(&target).is_absolute() {
                    at = top()?;
                }
                names(Path::new(&target)).into_iter().rev().for_each(|name| open.push_front(name));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(if is_only_roots(&fstat(&at)?) { Descent::There(at) } else { Descent::Foreign })
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// Whether only root can replace entries of that folder.
fn is_only_roots(folder: &FileStat) -> bool {
    let others = Mode::S_IWGRP | Mode::S_IWOTH;
    let mode = Mode::from_bits_truncate(folder.st_mode);
    folder.st_uid == 0 && (!mode.intersects(others) || mode.contains(Mode::S_ISVTX))
}

/// Makes a folder in a folder of root's, and gives it to the user.
pub fn make_for(user: &User, parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<()> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        // Another start made it first.
        Err(Errno::EEXIST) => return Ok(()),
        made => made?,
    }
    let made = openat(parent, name, FOLDER, Mode::empty())?;
    fchmod(&made, Mode::from_bits_truncate(mode))?;
    Ok(fchown(&made, Some(user.uid), Some(user.gid))?)
}

/// Whether a folder could be made there: makes it and removes it.
pub fn try_to_make(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Err(Errno::EEXIST) => Ok(()),
        made => Ok(made.and_then(|()| unlinkat(parent, name, UnlinkatFlags::RemoveDir))?),
    }
}

/// Opens a file for the user in a folder of root's, and makes it if it is missing. `None` if there is anything but a
/// plain file with a single link that belongs to root or to the user; it is not changed.
pub fn file_for(user: &User, folder: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<Option<File>> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = match openat(folder, name, flags | OFlag::O_CREAT, Mode::from_bits_truncate(mode)) {
        Ok(file) => file,
        Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(is_for(user, &fstat(&file)?).then(|| file.into()))
}

/// Whether root may give that file to the user.
fn is_for(user: &User, file: &FileStat) -> bool {
    let kind = SFlag::from_bits_truncate(file.st_mode & SFlag::S_IFMT.bits());
    kind == SFlag::S_IFREG && file.st_nlink == 1 && (file.st_uid == 0 || file.st_uid == user.uid.as_raw())
}

/// Whether [`file_for`] would succeed; makes and changes nothing.
pub fn has_for(user: &User, folder: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(is_for(user, &about)),
        Err(Errno::ENOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Gives the user a folder of root's with everything below it that is root's. The innermost entries come first, so that
/// nothing is given away inside a folder that others can change already. Links, and files with several links, are left
/// as they are.
pub fn give_all(user: &User, folder: &OwnedFd) -> io::Result<()> {
    let owner = (Some(user.uid), Some(user.gid));
    let mut list = Dir::openat(folder, ".", FOLDER, Mode::empty())?;
    for entry in list.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        let about = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_folder = entry.file_type() == Some(Type::Directory)
            || SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
        if is_folder && is_only_roots(&about) {
            give_all(user, &openat(folder, name, FOLDER, Mode::empty())?)?;
        } else if is_for(user, &about) && about.st_uid == 0 {
            fchownat(folder.as_fd(), name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(fchown(&list, owner.0, owner.1)?)
}
