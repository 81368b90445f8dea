//! A script that goes on for ever (`mode = stream`): a thread of its own reads what it writes as it comes, and each tick
//! takes over what has come since the last.

use crate::fetch::program::guards::Stopper;
use crate::fetch::program::run::{Ran, Running, STDERR_BYTES};
use crate::fetch::program::{Program, Programs};
use crate::model::error::{Error, Result};
use crate::model::point::Identity;
use crate::sys::clock::unix_now;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// As good as never, and still within the range of the clock.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Enough to read lines with.
const STACK: usize = 128 << 10;

/// Whole lines that came at the same time.
pub struct Chunk {
    /// Unix seconds.
    pub wall: i64,
    pub at: Instant,
    pub text: Vec<u8>,
}

/// What has come since it was last asked for.
#[derive(Default)]
pub struct News {
    pub chunks: Vec<Chunk>,
    pub stderr: Vec<u8>,
    /// It wrote more than it may between two ticks; the rest was not read, and it was ended.
    pub is_cut: bool,
    /// What became of it, when it has ended.
    pub ended: Option<Ran>,
}

/// A running script.
pub struct Stream {
    news: Arc<Mutex<News>>,
    stopper: Stopper,
    version: Version,
    /// What it was told of this daemon.
    identity: Arc<Identity>,
    pub begun: Instant,
}

/// Tells one file from another that is later put in its place.
pub type Version = Option<(u64, u64, i64, i64)>;

impl Stream {
    /// Starts the script.
    ///
    /// # Errors
    /// As [`Running::start`]; or the system has no thread to give.
    pub fn start(program: &Program, programs: &Programs) -> Result<Stream> {
        let script = &program.path;
        let (version, identity) = (version(script), programs.identity());
        let running = Running::start(program, programs, NEVER)?;
        let news = Arc::new(Mutex::new(News::default()));
        let (inbox, most) = (Arc::clone(&news), program.max_output);
        let stopper = running.stopper();
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let thread = thread::Builder::new().name(name).stack_size(STACK);
        thread.spawn(move || listen(running, &inbox, most)).map_err(Error::file("read from", script))?;
        Ok(Stream { news, stopper, version, identity, begun: Instant::now() })
    }

    /// What has come.
    pub fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether another file stands in its place by now, or it was told other names of this daemon.
    pub fn is_outdated(&self, script: &Path, programs: &Programs) -> bool {
        self.version != version(script) || !Arc::ptr_eq(&self.identity, &programs.identity())
    }

    /// Has it ended; the news will tell when it is.
    pub fn stop(&self) {
        self.stopper.stop();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Of the file that is there now.
pub fn version(script: &Path) -> Version {
    let about = script.metadata().ok()?;
    Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec()))
}

/// Reads until the end of the script.
fn listen(mut running: Running, inbox: &Mutex<News>, most: usize) {
    let mut waiting = 0;
    while !running.is_over() {
        running.read(Instant::now() + NEVER);
        let mut news = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if news.chunks.is_empty() {
            waiting = 0;
        }
        let end = running.out.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        waiting += end;
        if running.out.is_full || waiting > most {
            news.is_cut = true;
            running.stop();
        } else if end > 0 {
            let rest = running.out.bytes.split_off(end);
            news.chunks.push(chunk(std::mem::replace(&mut running.out.bytes, rest)));
        }
        news.stderr.append(&mut running.err.bytes);
        news.stderr.truncate(STDERR_BYTES);
    }
    let mut ran = running.end();
    let mut news = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    // A last line without its end.
    if !news.is_cut && !ran.stdout.is_empty() {
        news.chunks.push(chunk(std::mem::take(&mut ran.stdout)));
    }
    news.stderr.append(&mut ran.stderr);
    news.ended = Some(ran);
}

fn chunk(text: Vec<u8>) -> Chunk {
    Chunk { wall: unix_now(), at: Instant::now(), text }
}
