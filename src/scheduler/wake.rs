//! What wakes the thread that reads the enabled entries: a change of a watched folder (inotify(7)), a request, or the
//! time.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// A file was added, removed or renamed, or the folder itself was.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);
/// Changes come in groups; the first one waits this long for the others.
const GROUP: Duration = Duration::from_millis(50);

/// Wakes the waiting thread. Dropping it wakes that thread, too.
pub struct Waker(UnixStream);

/// Lets a thread wait for its [`Waker`] and for changes of these folders.
pub struct Waiter {
    folders: Vec<PathBuf>,
    /// `None` if the kernel grants no more of them (/proc/sys/fs/inotify/max_user_instances).
    inotify: Option<Inotify>,
    requests: UnixStream,
}

/// # Errors
/// No descriptors are left.
pub fn pair(folders: Vec<PathBuf>) -> io::Result<(Waker, Waiter)> {
    let (waker, requests) = UnixStream::pair()?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
    Ok((Waker(waker), Waiter { folders, inotify, requests }))
}

impl Waker {
    pub fn wake(&self) {
        // Fails only if nobody waits any more.
        let _ = (&self.0).write(&[0]);
    }
}

impl Waiter {
    /// Watches the folders; `false` if one of them cannot be. One that is missing is reported by the folder above it when
    /// it is created. A file system of another machine does not report what happens there.
    pub fn watch(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        // A folder that is watched already stays so.
        let is_watched = |folder: &PathBuf| matches!(inotify.add_watch(folder, CHANGES), Ok(_) | Err(Errno::ENOENT));
        self.folders.iter().filter(|folder| !is_watched(folder)).count() == 0
    }

    /// Returns after a change, one call of [`Waker::wake`], or this time.
    pub fn wait(&mut self, limit: Duration) {
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut sources = vec![PollFd::new(self.requests.as_fd(), PollFlags::POLLIN)];
        sources.extend(self.inotify.iter().map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut sources, limit);
        let has = |source: Option<&PollFd>| source.is_some_and(|source| source.any().unwrap_or(true));
        let (is_requested, is_changed) = (has(sources.first()), has(sources.get(1)));
        if is_requested {
            let _ = self.requests.read(&mut [0]);
        } else if is_changed && let Some(inotify) = &self.inotify {
            thread::sleep(GROUP);
            while inotify.read_events().is_ok() {}
        }
    }
}
