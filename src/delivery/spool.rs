//! The spool: batches that could not be delivered yet, one file each, on disk before they count as kept.
//!
//! `{tmpdir}/spool/{20 digits}.batch`, numbered in the order of their making: written under another name, synced, renamed,
//! and the folder synced. While the disk refuses, batches are kept in memory within a bound.
//!
//! *Invariant:* a file is set aside only when its content is damaged; whatever else keeps it from being read is waited for.
//! *Invariant:* what is on its way to the sink is never dropped under its sender.

use super::Moment;
use super::codec;
use super::disk::Disk;
use super::dropped::{Bound, Dropped};
use super::history::History;
use crate::config::settings::{SelfConfig, Tsdb};
use crate::model::error::{Error, Result};
use crate::model::point::Batch;
use crate::sys::folder;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where damaged files go, within the folder of the spool.
pub const QUARANTINE: &str = "quarantine";
/// Points kept in memory while the disk refuses.
pub const MEMORY_POINTS: usize = 20_000;
/// Where numbers begin while nobody knows what lies in the folder: behind all that can.
const UNSEEN: u64 = 1 << 40;
/// Wait after a file could not be read, doubled each time.
const UNREADABLE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How much the spool may hold; beyond it the oldest goes first.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: u64,
    /// `None`: as long as it takes.
    pub age: Option<Duration>,
}

impl Bounds {
    /// As the settings say.
    pub fn configured(own: &SelfConfig, tsdb: &Tsdb) -> Bounds {
        Bounds { entries: own.max_cache, bytes: tsdb.spool_max_bytes, age: tsdb.spool_max_age }
    }
}

pub struct Spool {
    disk: Box<dyn Disk>,
    bounds: Bounds,
    /// When it was opened: ages count from here by a clock that nobody can set.
    opened: Moment,
    next: u64,
    /// By sequence number, so oldest first.
    files: BTreeMap<u64, Size>,
    /// What lay in the folder when it was taken over is in `files`.
    is_known: bool,
    /// What the disk refused so far.
    memory: BTreeMap<u64, Batch>,
    /// When the batches of this run were stored first, see [`Spool::stamp`]; kept where ages matter.
    born: BTreeMap<u64, i64>,
    /// Of the entries that are to wait, what became of them when they were last tried.
    histories: BTreeMap<u64, History>,
    /// Entries whose file could not be read, how often, and until when they wait.
    unreadable: BTreeMap<u64, (u32, Instant)>,
    /// Entries on their way to the sink.
    out: BTreeSet<u64>,
    bytes: u64,
    memory_points: usize,
    dropped: Dropped,
    notes: Vec<String>,
}

/// Of a file.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    /// Points in it, where that is known.
    points: Option<u32>,
}

impl Size {
    /// Points in it, about.
    fn points(&self) -> usize {
        const POINT: u64 = 90;
        self.points.map_or((self.bytes / POINT) as usize, |points| points as usize)
    }
}

/// What reading an entry brought.
#[derive(Debug)]
pub enum Read {
    /// The batch, and when it was first stored, see [`Spool::stamp`].
    Batch(Batch, i64),
    /// It is not there any more: past its age, set aside, or removed by somebody.
    Gone,
    /// The system refuses it for now.
    NotNow,
}

impl Spool {
    /// Takes over the folder, making it where it is missing. A folder that cannot be used now is tried again with each
    /// batch: neither a full disk nor anything in the folder keeps a daemon from starting.
    ///
    /// # Errors
    /// Another daemon holds the lock.
    pub fn open(disk: Box<dyn Disk>, bounds: Bounds, now: Moment) -> Result<Spool> {
        let mut spool = Spool {
            disk,
            bounds,
            opened: now,
            next: UNSEEN,
            files: BTreeMap::new(),
            is_known: false,
            memory: BTreeMap::new(),
            born: BTreeMap::new(),
            histories: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            out: BTreeSet::new(),
            bytes: 0,
            memory_points: 0,
            dropped: Dropped::default(),
            notes: Vec::new(),
        };
        match spool.hold() {
            Err(Error::File { .. }) | Ok(()) => Ok(spool),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the folder is ours, and looks at what lies there when it was not.
    fn hold(&mut self) -> Result<()> {
        match self.disk.hold()? {
            false if self.is_known => Ok(()),
            _ => self.look_again(),
        }
    }

    /// What lies in the folder now.
    fn look_again(&mut self) -> Result<()> {
        let there = self.disk.list().map_err(Error::file("list", self.disk.path()))?;
        let mut files = BTreeMap::new();
        for (name, bytes) in there {
            if name.ends_with(".tmp") {
                let _ = self.disk.remove(&name);
            } else if let Some(sequence) = sequence_of(&name) {
                let known = self.files.get(&sequence).filter(|size| size.bytes == bytes);
                files.insert(sequence, known.copied().unwrap_or(Size { bytes, points: None }));
            }
        }
        self.make_way(&mut files)?;
        let gone: Vec<usize> = self
            .files
            .iter()
            .filter(|(sequence, _)| !files.contains_key(sequence))
            .map(|(_, size)| size.points())
            .collect();
        if !gone.is_empty() {
            let (path, batches) = (self.disk.path().display(), gone.len());
            self.notes.push(format!("{path}: somebody removed {batches} batches that waited there"));
            self.dropped.drop(Bound::Removed, gone.into_iter().sum());
        }
        let last = files.last_key_value().map_or(0, |(last, _)| *last);
        // A number is never given twice: somebody may still hold it.
        let begin = if self.is_known || !self.memory.is_empty() { self.next } else { 1 };
        self.next = begin.max(last.saturating_add(1));
        self.bytes = files.values().map(|size| size.bytes).sum();
        self.files = files;
        self.is_known = true;
        Ok(())
    }

    /// Gives files that have the number of a batch in memory one of their own, before it.
    fn make_way(&mut self, files: &mut BTreeMap<u64, Size>) -> Result<()> {
        let in_the_way: Vec<u64> = files.keys().filter(|number| self.memory.contains_key(number)).copied().collect();
        for number in in_the_way {
            let is_free = |free: &u64| !files.contains_key(free) && !self.memory.contains_key(free);
            let Some(free) = (1..number).rev().find(is_free) else { continue };
            let path = self.disk.path().join(file_name(number));
            self.disk.rename(&file_name(number), &file_name(free)).map_err(Error::file("rename", &path))?;
            if let Some(size) = files.remove(&number) {
                files.insert(free, size);
            }
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.memory.is_empty()
    }

    /// Batches in files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Points that the disk did not take.
    pub fn memory_points(&self) -> usize {
        self.memory_points
    }

    /// The same without those that came as far as a file, though not for certain to the disk: the next run finds them.
    pub fn lost_with_memory(&self) -> usize {
        let lost = self.memory.iter().filter(|(sequence, _)| !self.is_half_written(**sequence));
        lost.map(|(_, batch)| batch.len()).sum()
    }

    /// Whether there is a file of a batch in memory. While nobody knows what lies in the folder it would be that of another.
    fn is_half_written(&self, sequence: u64) -> bool {
        self.is_known && self.disk.size(&file_name(sequence)).is_some()
    }

    /// Bytes in files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Points dropped since the last call, by the bound that was reached.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Sentences for the log since the last call: what was set aside, what cannot be read.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Keeps a batch as the newest, stored first at `born`. Its number, or numbers where it was too large for one entry, and
    /// whether the disk took it; what it did not take is kept in memory, within a bound.
    pub fn store(&mut self, batch: Batch, born: i64, now: Moment) -> (Vec<u64>, Result<()>) {
        let mut numbers = Vec::with_capacity(1);
        for piece in self.fitting(batch) {
            self.memory_points += piece.len();
            self.memory.insert(self.next, piece);
            numbers.push(self.next);
            if self.bounds.age.is_some() {
                self.born.insert(self.next, born);
            }
            self.next = self.next.saturating_add(1);
        }
        let flushed = self.flush(now);
        while self.memory_points > MEMORY_POINTS {
            let Some(oldest) = self.memory.keys().find(|sequence| !self.out.contains(sequence)).copied() else { break };
            self.dropped.drop(Bound::Memory, self.memory.get(&oldest).map_or(0, Batch::len));
            self.forget(oldest);
        }
        (numbers, flushed)
    }

    /// The batch in halves until none would fill a good part of the spool.
    fn fitting(&self, batch: Batch) -> Vec<Batch> {
        /// A point with four tags, each as long as a tag may be.
        const LARGE_POINT: u64 = 4_096;
        let most = self.bounds.bytes / 2;
        let is_large = |batch: &Batch| {
            let may_be = (batch.len() as u64).saturating_mul(LARGE_POINT) > most;
            batch.len() > MEMORY_POINTS / 4 || batch.len() > 1 && may_be && codec::write(batch, 0).len() as u64 > most
        };
        let (mut work, mut done) = (vec![batch], Vec::new());
        while let Some(mut batch) = work.pop() {
            if is_large(&batch) {
                let points = batch.points.split_off(batch.points.len() / 2);
                let events = batch.events.split_off(batch.events.len().div_ceil(2));
                work.extend([Batch { points, events }, batch]);
            } else if !batch.is_empty() {
                done.push(batch);
            }
        }
        done
    }

    /// Writes what lies in memory, oldest first, as far as the disk takes it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn flush(&mut self, now: Moment) -> Result<()> {
        if !self.wants_disk() {
            return Ok(());
        }
        self.hold()?;
        while let Some((sequence, batch)) = self.memory.first_key_value() {
            let (sequence, points) = (*sequence, batch.len());
            let bytes = codec::write(batch, self.header_time(sequence, now));
            self.make_room(bytes.len() as u64)?;
            self.write(sequence, &bytes, points)?;
            self.memory.remove(&sequence);
            self.memory_points = self.memory_points.saturating_sub(points);
        }
        Ok(())
    }

    /// Whether the disk is to be tried: something waits in memory, or nobody could look yet what lies there.
    pub fn wants_disk(&self) -> bool {
        !self.memory.is_empty() || !self.is_known
    }

    /// What the file says of when its batch was stored: Unix seconds, as later runs will understand it.
    fn header_time(&self, sequence: u64, now: Moment) -> i64 {
        let age = self.born.get(&sequence).map_or(0, |born| self.stamp(now.at).saturating_sub(*born));
        now.wall.saturating_sub(age)
    }

    /// Drops the oldest files until one of `size` fits all bounds. For the sake of the disk only where that is enough:
    /// another program that fills it does not cost the backlog.
    fn make_room(&mut self, size: u64) -> Result<()> {
        while self.files() >= self.bounds.entries.max(1) && self.drop_oldest(Bound::Entries) {}
        while self.bytes.saturating_add(size) > self.bounds.bytes && self.drop_oldest(Bound::Bytes) {}
        let free = |disk: &dyn Disk| disk.free().map_err(Error::file("ask the free space of", disk.path()));
        // What others took of the reserve would have to be won back first.
        let missing = (size as i64).saturating_sub(free(self.disk.as_ref())?).max(0) as u64;
        if missing > 0 && missing <= self.bytes {
            let until = self.bytes.saturating_sub(missing);
            while self.bytes > until && self.drop_oldest(Bound::Disk) {}
        }
        match free(self.disk.as_ref())? < size as i64 {
            true => Err(Error::file("write", self.disk.path())(io::ErrorKind::StorageFull.into())),
            false => Ok(()),
        }
    }

    fn drop_oldest(&mut self, bound: Bound) -> bool {
        let Some(sequence) = self.files.keys().find(|sequence| !self.out.contains(sequence)).copied() else {
            return false;
        };
        self.dropped.drop(bound, self.files.get(&sequence).map_or(0, |size| self.points(sequence, size)));
        self.forget(sequence);
        true
    }

    /// Points in that file: its header says it where it is one of an earlier run.
    fn points(&self, sequence: u64, size: &Size) -> usize {
        let header = || codec::read_header(&self.disk.read(&file_name(sequence)).ok()?).ok();
        match size.points {
            Some(points) => points as usize,
            None => header().map_or(size.points(), |header| header.records as usize),
        }
    }

    fn forget(&mut self, sequence: u64) {
        self.histories.remove(&sequence);
        self.unreadable.remove(&sequence);
        self.out.remove(&sequence);
        self.born.remove(&sequence);
        let memory = self.memory.remove(&sequence);
        self.memory_points = self.memory_points.saturating_sub(memory.as_ref().map_or(0, Batch::len));
        let file = self.files.remove(&sequence);
        self.bytes = self.bytes.saturating_sub(file.map_or(0, |size| size.bytes));
        // Of one in memory there may be a file whose name did not reach the disk for certain.
        if file.is_some() || self.is_half_written(sequence) {
            let _ = self.disk.remove(&file_name(sequence));
        }
    }

    /// The entries that may be tried now, oldest first.
    pub fn ready(&self, now: Instant) -> impl DoubleEndedIterator<Item = u64> {
        // What lies in memory is newer than all files.
        self.files.keys().chain(self.memory.keys()).copied().filter(move |sequence| {
            !self.out.contains(sequence) && self.waits_until(*sequence).is_none_or(|until| until <= now)
        })
    }

    /// When the first of those that wait may be tried again; `None` where none waits.
    pub fn next_ready(&self) -> Option<Instant> {
        let waiting =
            self.histories.keys().chain(self.unreadable.keys()).filter(|sequence| !self.out.contains(sequence));
        waiting.filter_map(|sequence| self.waits_until(*sequence)).min()
    }

    fn waits_until(&self, sequence: u64) -> Option<Instant> {
        let tried = self.histories.get(&sequence).map(|history| history.not_before);
        tried.max(self.unreadable.get(&sequence).map(|(_, until)| *until))
    }

    /// What became of the entry when it was last tried, where that matters.
    pub fn history(&self, sequence: u64) -> Option<&History> {
        self.histories.get(&sequence)
    }

    /// Points in it, about.
    pub fn size(&self, sequence: u64) -> usize {
        let in_file = || self.files.get(&sequence).map_or(0, Size::points);
        self.memory.get(&sequence).map_or_else(in_file, Batch::len)
    }

    /// Reads an entry that is to be sent; it counts as on its way until [`Spool::done`] or [`Spool::put_back`].
    pub fn take(&mut self, sequence: u64, now: Instant) -> Read {
        let born = self.born.get(&sequence).copied();
        let (batch, born) = match self.memory.get(&sequence) {
            Some(batch) => (batch.clone(), born.unwrap_or(self.stamp(now))),
            None if !self.files.contains_key(&sequence) => return Read::Gone,
            None => match self.disk.read(&file_name(sequence)) {
                Ok(bytes) => match codec::read(&bytes) {
                    Ok((header, batch)) => (batch, born.unwrap_or(header.stored)),
                    Err(why) => return self.set_aside(sequence, &why, now),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Perhaps the whole folder was: then it is taken over anew, and all that is gone is told at once.
                    return if self.look_again().is_ok() {
                        Read::Gone
                    } else {
                        self.not_now(sequence, "it is gone", now)
                    };
                }
                Err(error) => return self.not_now(sequence, &error.to_string(), now),
            },
        };
        if self.unreadable.remove(&sequence).is_some() && self.unreadable.is_empty() {
            self.notes.push(format!("{}: can be read again", self.disk.path().display()));
        }
        if self.is_too_old(born, now) && !self.histories.get(&sequence).is_some_and(History::has_reason) {
            self.dropped.drop(Bound::Age, batch.len());
            self.forget(sequence);
            return Read::Gone;
        }
        self.out.insert(sequence);
        Read::Batch(batch, born)
    }

    /// Whether a batch first stored then is past its age.
    pub fn is_too_old(&self, born: i64, now: Instant) -> bool {
        self.bounds.age.is_some_and(|age| self.stamp(now).saturating_sub(born) > age.as_secs() as i64)
    }

    /// Unix seconds as the wall clock would show them, had nobody set it since the spool was opened. By it ages are counted:
    /// between two runs it is for the wall clock to say how long it was, within this one it is the time that really passed.
    pub fn stamp(&self, now: Instant) -> i64 {
        self.opened.wall.saturating_add(now.saturating_duration_since(self.opened.at).as_secs() as i64)
    }

    fn not_now(&mut self, sequence: u64, why: &str, now: Instant) -> Read {
        if self.unreadable.is_empty() {
            let path = self.disk.path().join(file_name(sequence));
            self.notes.push(format!("{}: cannot be read: {why}; it stays and is tried again", path.display()));
        }
        let times = self.unreadable.get(&sequence).map_or(0, |(times, _)| *times);
        let (first, most) = UNREADABLE;
        let wait = first.saturating_mul(1 << times.min(10)).min(most);
        self.unreadable.insert(sequence, (times.saturating_add(1), now + wait));
        Read::NotNow
    }

    /// A damaged file goes where a person can look at it.
    fn set_aside(&mut self, sequence: u64, why: &str, now: Instant) -> Read {
        let name = file_name(sequence);
        let from = self.disk.path().join(&name);
        let free = |disk: &dyn Disk| {
            let numbered = (1..).map(|number| format!("{QUARANTINE}/{number}-{name}"));
            std::iter::once(format!("{QUARANTINE}/{name}")).chain(numbered).find(|to| disk.size(to).is_none())
        };
        let to = free(self.disk.as_ref()).unwrap_or_default();
        match self.disk.rename(&name, &to) {
            Ok(()) => {
                let to = self.disk.path().join(&to);
                self.notes.push(format!("{}: {why}; set aside as {}", from.display(), to.display()));
                self.forget(sequence);
                Read::Gone
            }
            Err(error) => self.not_now(sequence, &format!("{why}, and cannot be set aside: {error}"), now),
        }
    }

    /// Nothing of the entry is decided: it stays at its place, and waits as `history` says.
    pub fn put_back(&mut self, sequence: u64, history: Option<History>) {
        self.out.remove(&sequence);
        if let Some(history) = history
            && self.holds(sequence)
        {
            self.histories.insert(sequence, history);
        }
    }

    /// A batch that was just stored is on its way already.
    pub fn take_out(&mut self, sequence: u64) {
        if self.holds(sequence) {
            self.out.insert(sequence);
        }
    }

    fn holds(&self, sequence: u64) -> bool {
        self.files.contains_key(&sequence) || self.memory.contains_key(&sequence)
    }

    /// All of the entry is decided.
    pub fn done(&mut self, sequence: u64) {
        self.forget(sequence);
    }

    /// A part of the entry is decided: `rest` takes its place in the order.
    ///
    /// # Errors
    /// The disk refuses; the whole entry then stays, and a part of it will be sent again.
    pub fn shrink(&mut self, sequence: u64, rest: Batch, born: i64, now: Moment) -> Result<()> {
        if let Some(memory) = self.memory.get_mut(&sequence) {
            self.memory_points = self.memory_points.saturating_sub(memory.len()).saturating_add(rest.len());
            *memory = rest;
            return Ok(());
        }
        if !self.files.contains_key(&sequence) {
            return Ok(()); // Somebody removed it; what is left of it was its copy.
        }
        let age = self.stamp(now.at).saturating_sub(born);
        self.replace(sequence, &codec::write(&rest, now.wall.saturating_sub(age)), rest.len())?;
        // Should a crash undo it, the whole entry is there again.
        let _ = self.disk.sync();
        Ok(())
    }

    /// Puts bytes under that number: another name, synced, renamed, folder synced.
    fn write(&mut self, sequence: u64, bytes: &[u8], points: usize) -> Result<()> {
        let before = self.files.get(&sequence).copied();
        self.replace(sequence, bytes, points)?;
        self.disk.sync().map_err(|error| {
            // It counts as kept only when its name is on the disk, too.
            self.count(sequence, before);
            Error::file("write", &self.disk.path().join(file_name(sequence)))(error)
        })
    }

    /// The same, but for the last step.
    fn replace(&mut self, sequence: u64, bytes: &[u8], points: usize) -> Result<()> {
        let name = file_name(sequence);
        let unfinished = name.replace(".batch", ".tmp");
        let disk = &mut self.disk;
        if let Err(error) = disk.write(&unfinished, bytes).and_then(|()| disk.rename(&unfinished, &name)) {
            let _ = disk.remove(&unfinished);
            return Err(Error::file("write", &self.disk.path().join(name))(error));
        }
        self.count(sequence, Some(Size { bytes: bytes.len() as u64, points: u32::try_from(points).ok() }));
        Ok(())
    }

    fn count(&mut self, sequence: u64, size: Option<Size>) {
        let old = match size {
            Some(size) => self.files.insert(sequence, size),
            None => self.files.remove(&sequence),
        };
        let bytes = |size: Option<Size>| size.map_or(0, |size| size.bytes);
        self.bytes = self.bytes.saturating_sub(bytes(old)).saturating_add(bytes(size));
    }
}

/// The files of the batches in a folder, oldest first; none where there is no folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_batch = |name: &String| name.rsplit('-').next().and_then(sequence_of).is_some();
    let names = folder::names(folder)?.into_iter().filter(is_batch);
    Ok(names.map(|name| folder.join(name)).collect())
}

fn file_name(sequence: u64) -> String {
    format!("{sequence:020}.batch")
}

fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".batch")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}
