//! The space of mounted file systems. A file system whose server is dead blocks one helper thread and nothing else.
//!
//! A file system that answers from memory is queried directly with [`space`]. Any other is a [`Volume`] and queried
//! through [`Volumes`]: one call starts the query in a thread, another one collects the answer, and the caller decides
//! how long to wait.
//!
//! *Invariant:* a volume never has more than one query in progress, in the whole process.

use crate::model::error::{Error, Result};
use crate::model::parse::procfs::Device;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The values of statvfs(3), unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Total size in bytes, including the space reserved for root; 0 for a virtual file system.
    pub total: u64,
    /// Free bytes, including those reserved for root.
    pub free: u64,
    /// Free bytes that users other than root can use.
    pub available: u64,
    /// Total number of inodes; 0 if it is not fixed (Btrfs, FAT).
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
    /// Mounted read-only, or read-only after an error.
    pub read_only: bool,
}

/// Calls statvfs; blocks as long as the file system does.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] is true if it was unmounted.
pub fn space(path: &Path) -> Result<Space> {
    let stat = statvfs(path).map_err(|errno| Error::file("ask for space", path)(errno.into()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    Ok(Space {
        total: bytes(stat.blocks()),
        free: bytes(stat.blocks_free()),
        available: bytes(stat.blocks_available()),
        inodes: stat.files(),
        inodes_free: stat.files_free(),
        read_only: stat.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// A mounted file system that may block. Another file system mounted later at the same path is another volume, so it
/// does not wait for this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Volume {
    /// Source of the mount, and the device number of the file system if known.
    pub source: Vec<u8>,
    pub number: Option<Device>,
    /// Its mount point, below the root of the watched machine.
    pub path: PathBuf,
}

/// The state of a query.
#[derive(Debug)]
pub enum Answer {
    Space(Space),
    Failed(Error),
    /// Started in this tick and not answered yet.
    NotYet,
    /// Started in an earlier tick and still not answered.
    Stuck,
}

/// Stack size of a thread that makes one system call.
const STACK_BYTES: usize = 64 << 10;

/// If the last answer took longer than this, the next one is not waited for.
const PROMPT: Duration = Duration::from_secs(1);

/// The volumes with a query in progress. Global, so that also after a reload of the configuration no second thread is
/// started for a volume.
static OUT: Mutex<BTreeSet<Arc<Volume>>> = Mutex::new(BTreeSet::new());

fn out() -> MutexGuard<'static, BTreeSet<Arc<Volume>>> {
    OUT.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reply {
    volume: Arc<Volume>,
    took: Duration,
    answer: Result<Space>,
}

struct Slot {
    /// Whether [`Volumes::wait`] waits for this query.
    awaited: bool,
    stuck: bool,
    /// Whether the last answer came within [`PROMPT`].
    prompt: bool,
    answer: Option<Result<Space>>,
}

/// The volumes of one check.
pub struct Volumes {
    slots: HashMap<Arc<Volume>, Slot>,
    sender: Sender<Reply>,
    replies: Receiver<Reply>,
}

impl Default for Volumes {
    fn default() -> Volumes {
        let (sender, replies) = channel();
        Volumes { slots: HashMap::new(), sender, replies }
    }
}

impl Volumes {
    /// Starts a query in a thread, unless one is in progress.
    ///
    /// # Errors
    /// The system could not start a thread; the next call tries again.
    pub fn ask(&mut self, volume: &Arc<Volume>) -> Result<()> {
        self.take_replies();
        let new = || Slot { awaited: false, stuck: false, prompt: true, answer: None };
        let slot = self.slots.entry(volume.clone()).or_insert_with(new);
        slot.stuck = !out().insert(volume.clone());
        if slot.stuck {
            return Ok(());
        }
        let (volume, sender) = (volume.clone(), self.sender.clone());
        let path = volume.path.clone();
        let asked = volume.clone();
        let ask = move || {
            let start = Instant::now();
            let answer = space(&volume.path);
            out().remove(&volume);
            // The receiver is gone if the configuration was reloaded meanwhile.
            let _ = sender.send(Reply { volume, took: start.elapsed(), answer });
        };
        match thread::Builder::new().name("puypuy-statvfs".into()).stack_size(STACK_BYTES).spawn(ask) {
            Ok(_) => slot.awaited = slot.prompt,
            Err(error) => {
                out().remove(&asked);
                return Err(Error::file("start a thread to ask for space", path)(error));
            }
        }
        Ok(())
    }

    /// Waits for the queries just started, at most until `until`. Volumes whose last answer was slow are not waited
    /// for.
    pub fn wait(&mut self, until: Instant) {
        while self.slots.values().any(|slot| slot.awaited) {
            match self.replies.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(reply) => self.keep(reply),
                Err(_) => break,
            }
        }
        self.slots.values_mut().for_each(|slot| slot.awaited = false);
        self.take_replies();
    }

    /// The latest answer, unless it was returned before. An answer that came late is returned in a later tick.
    pub fn answer(&mut self, volume: &Arc<Volume>) -> Answer {
        match self.slots.get_mut(volume) {
            Some(slot) if slot.stuck => Answer::Stuck,
            Some(slot) => match slot.answer.take() {
                Some(Ok(space)) => Answer::Space(space),
                Some(Err(error)) => Answer::Failed(error),
                None => Answer::NotYet,
            },
            None => Answer::NotYet,
        }
    }

    /// Forgets volumes that are no longer mounted.
    pub fn retain(&mut self, mounted: impl Fn(&Arc<Volume>) -> bool) {
        self.slots.retain(|volume, _| mounted(volume));
    }

    fn take_replies(&mut self) {
        while let Ok(reply) = self.replies.try_recv() {
            self.keep(reply);
        }
    }

    fn keep(&mut self, reply: Reply) {
        if let Some(slot) = self.slots.get_mut(&reply.volume) {
            slot.awaited = false;
            slot.stuck = false;
            slot.prompt = reply.took <= PROMPT;
            slot.answer = Some(reply.answer);
        }
    }
}
