//! Answers requests over the daemon's Unix socket: one line with a word in, one JSON document out.
//!
//! *Invariant:* one thread serves one client at a time, each within a time limit, so that no client holds up anything
//! else.

use super::asking::within_reach;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Mode of the socket: for its owner and the owner's group.
const MODE: u32 = 0o660;
/// Time limit for reading a request, and again for sending its answer.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest request in bytes.
const WORD: usize = 64;
const STACK: usize = 512 << 10;
/// Wait after accepting a connection has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket. Dropping this removes it.
pub struct Answering(PathBuf);

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Starts a thread that answers requests. It checks `every` so often whether the socket has been removed, and then
/// makes it again. Only for the one daemon of that place: an existing file at the path is removed.
///
/// # Errors
/// The socket or the thread could not be made.
pub fn start(path: PathBuf, every: Duration, answer: impl Fn(&str) -> Value + Send + 'static) -> io::Result<Answering> {
    let mut door = Door::open(&path)?;
    let kept = Answering(path);
    let serve = move || {
        loop {
            door.wait(every);
            if !door.is_there() {
                match Door::open(&door.path) {
                    Ok(anew) => door = anew,
                    // Whoever asks then gets an error.
                    Err(_) => thread::sleep(PAUSE),
                }
            }
            match door.listener.accept() {
                // A client that closes the connection early needs no answer.
                Ok((stream, _)) => _ = serve(&stream, &answer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => thread::sleep(PAUSE),
            }
        }
    };
    thread::Builder::new().name("answers".into()).stack_size(STACK).spawn(serve)?;
    Ok(kept)
}

/// The socket as it was made.
struct Door {
    path: PathBuf,
    listener: UnixListener,
    inode: u64,
}

impl Door {
    fn open(path: &Path) -> io::Result<Door> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let near = within_reach(path)?;
        let listener = UnixListener::bind(&near.path)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        Ok(Door { path: path.into(), inode: fs::symlink_metadata(path)?.ino(), listener })
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|about| about.ino() == self.inode)
    }

    /// Waits until a client connects, at most for `every`.
    fn wait(&self, every: Duration) {
        let timeout = PollTimeout::try_from(every).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)], timeout);
    }
}

/// Serves one request.
fn serve(mut stream: &UnixStream, answer: &impl Fn(&str) -> Value) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let until = Instant::now() + LIMIT;
    let (mut request, mut byte) = (Vec::new(), [0]);
    while request.len() <= WORD {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut byte)? {
            0 => break,
            _ if byte == *b"\n" => break,
            _ => request.extend(byte),
        }
    }
    let text = answer(String::from_utf8_lossy(&request).trim()).to_string();
    let until = Instant::now() + LIMIT;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        let written = stream.write(rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The time left until `until`.
///
/// # Errors
/// The time is over.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
