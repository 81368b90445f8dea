//! Answers whoever asks the running daemon over a socket: a request is one line with a word, the answer one JSON document.
//!
//! *Invariant:* a thread of its own serves one at a time, each within a bound, so that nobody who asks holds up anything else.

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

/// For its owner and the owner's group.
const MODE: u32 = 0o660;
/// From the first byte of a request to the last of its answer, but for the time that the answer takes to be made.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest request.
const WORD: usize = 64;
const STACK: usize = 512 << 10;
/// Before a socket that gives nobody is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket; gone with this.
pub struct Answering(PathBuf);

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Answers from now on, in a thread. The socket is made anew where somebody removes it: that is looked at `every` so often. To be
/// called by the one daemon of that place alone: whatever lies there is removed.
///
/// # Errors
/// There is no socket to be had there, or no thread.
pub fn start(path: PathBuf, every: Duration, answer: impl Fn(&str) -> Value + Send + 'static) -> io::Result<Answering> {
    let mut door = Door::open(&path)?;
    let kept = Answering(path);
    let serve = move || {
        loop {
            door.wait(every);
            if !door.is_there() {
                match Door::open(&door.path) {
                    Ok(anew) => door = anew,
                    // Told when somebody asks in vain.
                    Err(_) => thread::sleep(PAUSE),
                }
            }
            match door.listener.accept() {
                // Whoever leaves before the end needs no answer.
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

    /// Until somebody asks, or that time is over.
    fn wait(&self, every: Duration) {
        let timeout = PollTimeout::try_from(every).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)], timeout);
    }
}

/// One request and its answer.
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

/// Time until then.
///
/// # Errors
/// There is none left.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
