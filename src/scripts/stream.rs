//! A script that runs for ever (`mode = stream`).
//!
//! A thread reads its output as it comes, and each tick takes what has come since the last one.

use crate::fetch::program::guards::Stopper;
use crate::fetch::program::run::{RunOutput, Running, STDERR_BYTES};
use crate::fetch::program::{Program, Programs};
use crate::model::error::{Error, Result};
use crate::model::point::Identity;
use crate::sys::clock::unix_now;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Practically never, and still within the range of the clock.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Enough for a thread that reads lines.
const STACK: usize = 128 << 10;

/// Complete lines that came at the same time.
pub struct Chunk {
    /// Unix seconds.
    pub wall: i64,
    pub at: Instant,
    pub text: Vec<u8>,
}

/// What has come since the last [`Stream::take`].
#[derive(Default)]
pub struct Received {
    pub chunks: Vec<Chunk>,
    pub stderr: Vec<u8>,
    /// It wrote more than is allowed between two ticks: the rest was not read, and it was ended.
    pub is_cut: bool,
    /// How it ended; `None` while it runs.
    pub ended: Option<RunOutput>,
}

/// A running script.
pub struct Stream {
    received: Arc<Mutex<Received>>,
    stopper: Stopper,
    version: Version,
    /// The identity that it was started with.
    identity: Arc<Identity>,
    pub begun: Instant,
}

/// Identifies a file: device, inode and modification time. `None` if there is no file.
pub type Version = Option<(u64, u64, i64, i64)>;

impl Stream {
    /// Starts the script.
    ///
    /// # Errors
    /// See [`Running::start`]; or the thread could not be started.
    pub fn start(program: &Program, programs: &Programs) -> Result<Stream> {
        let script = &program.path;
        let (version, identity) = (version(script), programs.identity());
        let running = Running::start(program, programs, NEVER)?;
        let received = Arc::new(Mutex::new(Received::default()));
        let (inbox, most) = (Arc::clone(&received), program.max_output);
        let stopper = running.stopper();
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let thread = thread::Builder::new().name(name).stack_size(STACK);
        thread.spawn(move || listen(running, &inbox, most)).map_err(Error::file("read from", script))?;
        Ok(Stream { received, stopper, version, identity, begun: Instant::now() })
    }

    /// Takes what has come.
    pub fn take(&self) -> Received {
        std::mem::take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file has been replaced, or the daemon's identity has changed.
    pub fn is_outdated(&self, script: &Path, programs: &Programs) -> bool {
        self.version != version(script) || !Arc::ptr_eq(&self.identity, &programs.identity())
    }

    /// Ends the script. Its end is reported by a later [`Stream::take`].
    pub fn stop(&self) {
        self.stopper.stop();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The version of the file that is there now.
pub fn version(script: &Path) -> Version {
    let about = script.metadata().ok()?;
    Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec()))
}

/// Reads until the script ends.
fn listen(mut running: Running, inbox: &Mutex<Received>, most: usize) {
    let mut waiting = 0;
    while !running.is_over() {
        running.read(Instant::now() + NEVER);
        let mut received = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if received.chunks.is_empty() {
            waiting = 0;
        }
        let end = running.out.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        waiting += end;
        if running.out.is_full || waiting > most {
            received.is_cut = true;
            running.stop();
        } else if end > 0 {
            let rest = running.out.bytes.split_off(end);
            received.chunks.push(chunk(std::mem::replace(&mut running.out.bytes, rest)));
        }
        received.stderr.append(&mut running.err.bytes);
        received.stderr.truncate(STDERR_BYTES);
    }
    let mut ran = running.end();
    let mut received = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    // A last line without a newline.
    if !received.is_cut && !ran.stdout.is_empty() {
        received.chunks.push(chunk(std::mem::take(&mut ran.stdout)));
    }
    received.stderr.append(&mut ran.stderr);
    received.ended = Some(ran);
}

fn chunk(text: Vec<u8>) -> Chunk {
    Chunk { wall: unix_now(), at: Instant::now(), text }
}
