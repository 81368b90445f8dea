//! Asks the running daemon over its Unix socket: sends a word, and receives one JSON document.

use crate::config::settings::SelfConfig;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use nix::unistd::{Gid, Group};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Size in bytes of a socket's path (unix(7)), the terminating NUL included.
const LONGEST: usize = 108;
/// Longest answer in bytes.
const MOST: usize = 64 << 20;

/// The result of a request.
pub enum Answer {
    Document(Value),
    /// Only root and this group may ask.
    Closed {
        group: String,
    },
    /// The daemon has not answered within the limit.
    Silent,
    /// No daemon answers there, for this reason.
    Nobody(io::Error),
}

/// The socket of the daemon with these settings: in its own folder, where no other user can create files.
pub fn socket_of(own: &SelfConfig) -> PathBuf {
    own.tmpdir.join("puypuy.sock")
}

/// The file in which changes of health events are recorded if the sink is not the local store.
pub fn record_of(own: &SelfConfig) -> PathBuf {
    own.tmpdir.join("events.jsonl")
}

/// Sends `word` to that socket. If `pid` is known, an answer of another process is an error.
pub fn ask(path: &Path, word: &str, pid: Option<i32>, limit: Duration) -> Answer {
    match converse(path, word, pid, limit) {
        Ok(document) => Answer::Document(document),
        Err(error) => match error.kind() {
            ErrorKind::PermissionDenied => Answer::Closed { group: group_of(path) },
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Answer::Silent,
            _ => Answer::Nobody(error),
        },
    }
}

fn converse(path: &Path, word: &str, pid: Option<i32>, limit: Duration) -> io::Result<Value> {
    let until = Instant::now() + limit;
    let near = within_reach(path)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let mut stream = UnixStream::from(socket);
    // This also limits connecting: a daemon that hangs stops accepting connections when its backlog is full.
    stream.set_write_timeout(Some(limit))?;
    connect(stream.as_raw_fd(), &UnixAddr::new(&near.path)?)?;
    let peer = getsockopt(&stream, PeerCredentials)?.pid();
    // 0: the daemon is in a container whose process ids are not visible here.
    if let Some(pid) = pid.filter(|pid| peer != 0 && peer != *pid) {
        return Err(io::Error::other(format!("process {peer} answers there, and the daemon is {pid}")));
    }
    stream.write_all(format!("{word}\n").as_bytes())?;
    let (mut text, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            length if text.len() < MOST => text.extend_from_slice(piece.get(..length).unwrap_or_default()),
            _ => return Err(io::Error::other("the answer has no end")),
        }
    }
    serde_json::from_slice(&text).map_err(|error| io::Error::other(format!("the answer cannot be read: {error}")))
}

/// The name of the group that may use that socket, or its number if it has no name.
pub fn group_of(path: &Path) -> String {
    let mut places = path.ancestors().filter_map(|place| fs::metadata(place).ok());
    let gid = Gid::from_raw(places.next().map_or(0, |about| about.gid()));
    Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

/// A path that is short enough for a socket's address.
pub struct Near {
    pub path: PathBuf,
    /// Its folder, which has to stay open while the path is used.
    _folder: Option<File>,
}

/// The path itself; if that is too long, a path through the descriptor of its folder.
///
/// # Errors
/// The folder does not exist.
pub fn within_reach(path: &Path) -> io::Result<Near> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(ErrorKind::NotFound.into()) };
    if path.as_os_str().len() < LONGEST {
        return Ok(Near { path: path.into(), _folder: None });
    }
    let folder = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder)?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok(Near { path, _folder: Some(folder) })
}
