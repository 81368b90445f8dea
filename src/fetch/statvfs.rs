//! Space of mounted file systems, asked so that a dead server can hold up one helper thread and nothing else.
//!
//! A file system that answers from memory is asked with [`space`], on the spot. Every other is a [`Volume`] and asked
//! through [`Volumes`]: question and answer are two calls, with a thread in between that nobody waits for longer than
//! he wants to.
//!
//! *Invariant:* no volume ever has more than one question out, whoever asks and however often.

use crate::model::error::{Error, Result};
use crate::model::parse::procfs::Device;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a file system says about itself, from statvfs(3), be it possible or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all, those reserved for root included; 0 for a file system that stores nothing.
    pub total: u64,
    /// Bytes not taken.
    pub free: u64,
    /// Those of them that anybody but root can take.
    pub available: u64,
    /// Inodes in all; 0 where their number is not fixed (Btrfs, FAT).
    pub inodes: u64,
    /// Inodes not in use.
    pub inodes_free: u64,
    /// Nobody can write: mounted so, or made so after an error.
    pub read_only: bool,
}

/// Asks here and now, and blocks for as long as the file system does.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] tells a mount that has left.
pub fn space(path: &Path) -> Result<Space> {
    let told = statvfs(path).map_err(|errno| Error::file("ask for space", path)(errno.into()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.fragment_size());
    Ok(Space {
        total: bytes(told.blocks()),
        free: bytes(told.blocks_free()),
        available: bytes(told.blocks_available()),
        inodes: told.files(),
        inodes_free: told.files_free(),
        read_only: told.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// A mounted file system that may not answer: another one on the same path is another volume, and need not wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Volume {
    /// What was mounted, and the number of the file system where that is known.
    pub source: Vec<u8>,
    pub number: Option<Device>,
    /// Where it is mounted, below the root that is watched.
    pub path: PathBuf,
}

/// What has come of a question.
#[derive(Debug)]
pub enum Answer {
    Space(Space),
    Failed(Error),
    /// Asked in this tick and not answered within it.
    NotYet,
    /// Asked in an earlier tick and still not answered.
    Stuck,
}

/// Stack of a thread that does one system call.
const STACK_BYTES: usize = 64 << 10;

/// The longest that an answer may have taken for the next one to be waited for.
const PROMPT: Duration = Duration::from_secs(1);

/// The volumes whose thread has not come back: known to the whole process, so that not even a second asker, after the
/// configuration was read anew, sends another thread after the first.
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
    /// The answer is worth waiting for.
    awaited: bool,
    stuck: bool,
    /// The last answer came quickly.
    prompt: bool,
    answer: Option<Result<Space>>,
}

/// All volumes of one asker.
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
    /// Sends a thread to ask the volume, unless one is still on its way.
    ///
    /// # Errors
    /// The system gave no thread; the volume can be asked again later.
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
            // Nobody listens any more after a reload; that is fine.
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

    /// Waits until every volume that was asked just now, and was prompt the last time, has answered; at most until then.
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

    /// What the volume said last, if it was not taken before: an answer that came late is given a tick later.
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

    /// Forgets the volumes that are not mounted any more.
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
