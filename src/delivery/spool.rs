//! The spool: batches that could not be delivered yet, on disk before they count as kept; their order, bounds and waits.
//!
//! Each has a number, in the order of their making, and a file, see `files.rs`. While the disk refuses, batches are kept in
//! memory within a bound.
//!
//! *Invariant:* a file is set aside only when its content is damaged; whatever else keeps it from being read is waited for.
//! *Invariant:* what is on its way to the sink is never dropped under its sender.

use super::Moment;
use super::codec;
use super::disk::Disk;
use super::dropped::{Bound, Dropped};
use super::files::Files;
use super::history::History;
use crate::config::settings::{SelfConfig, Tsdb};
use crate::model::error::{Error, Result};
use crate::model::point::Batch;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

/// Points kept in memory while the disk refuses.
pub const MEMORY_POINTS: usize = 20_000;
/// Where numbers begin while nobody knows what lies in the folder: higher than those of the files there.
const UNSEEN: u64 = 1 << 40;
/// Wait after a file could not be read: the first, doubled each time, and the longest.
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
    files: Files,
    bounds: Bounds,
    /// When it was opened: ages count from here by a clock that nobody can set.
    opened: Moment,
    /// The number of the next batch.
    next: u64,
    /// `files` knows what lay in the folder when it was taken over.
    is_known: bool,
    /// What the disk refused so far, by number, so oldest first.
    memory: BTreeMap<u64, Batch>,
    /// When the batches of this run were stored first, see [`Spool::stamp`]; kept where ages matter.
    born: BTreeMap<u64, i64>,
    /// Of the entries that are to wait, what became of them when they were last tried.
    histories: BTreeMap<u64, History>,
    /// Entries whose file could not be read, how often, and until when they wait.
    unreadable: BTreeMap<u64, (u32, Instant)>,
    /// Entries on their way to the sink.
    out: BTreeSet<u64>,
    memory_points: usize,
    dropped: Dropped,
    /// Damaged files since it was opened.
    set_aside: u64,
    notes: Vec<String>,
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
            files: Files::new(disk),
            bounds,
            opened: now,
            next: UNSEEN,
            is_known: false,
            memory: BTreeMap::new(),
            born: BTreeMap::new(),
            histories: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            out: BTreeSet::new(),
            memory_points: 0,
            dropped: Dropped::default(),
            set_aside: 0,
            notes: Vec::new(),
        };
        match spool.hold() {
            Err(Error::File { .. }) | Ok(()) => Ok(spool),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the folder is ours, and looks at what lies there when it was not.
    fn hold(&mut self) -> Result<()> {
        match self.files.hold()? {
            false if self.is_known => Ok(()),
            _ => self.look_again(),
        }
    }

    /// What lies in the folder now.
    fn look_again(&mut self) -> Result<()> {
        let memory = &self.memory;
        let gone = self.files.look(|sequence| memory.contains_key(sequence))?;
        if !gone.is_empty() {
            let (path, batches) = (self.files.path().display(), gone.len());
            self.notes.push(format!("{path}: somebody removed {batches} batches that waited there"));
            self.dropped.drop(Bound::Removed, gone.into_iter().sum());
        }
        let last = self.files.numbers().next_back().copied().unwrap_or(0);
        // A number is never given twice: somebody may still hold it.
        let begin = if self.is_known || !self.memory.is_empty() { self.next } else { 1 };
        self.next = begin.max(last.saturating_add(1));
        self.is_known = true;
        Ok(())
    }

    /// How much it may hold from the next batch on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// What became of its batches says nothing any more: they will be tried with another sink.
    pub fn forgive(&mut self) {
        self.histories.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.files() == 0 && self.memory.is_empty()
    }

    /// Batches in files.
    pub fn files(&self) -> usize {
        self.files.count()
    }

    /// Points that the disk did not take.
    pub fn memory_points(&self) -> usize {
        self.memory_points
    }

    /// Points that are lost when the process ends: those in memory that no file holds, either.
    pub fn lost_with_memory(&self) -> usize {
        let lost = self.memory.iter().filter(|(sequence, _)| !self.is_half_written(**sequence));
        lost.map(|(_, batch)| batch.len()).sum()
    }

    /// Whether a batch in memory has a file, although it was not certain that it is on the disk. While nobody knows what lies in
    /// the folder, a file of that number is another batch's.
    fn is_half_written(&self, sequence: u64) -> bool {
        self.is_known && self.files.lies_there(sequence)
    }

    /// Bytes in files.
    pub fn bytes(&self) -> u64 {
        self.files.bytes()
    }

    /// Unix seconds since when the oldest batch waits; of those in memory alone the time of the first point.
    pub fn oldest(&mut self) -> Option<i64> {
        let in_memory = || self.memory.first_key_value()?.1.points.first().map(|point| point.time);
        self.files.oldest().or_else(in_memory)
    }

    /// Points dropped since the last call, by the bound that was reached.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// How many damaged files were set aside since it was opened.
    pub fn were_set_aside(&self) -> u64 {
        self.set_aside
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
            self.files.write(sequence, &bytes, points)?;
            self.memory.remove(&sequence);
            self.memory_points = self.memory_points.saturating_sub(points);
        }
        Ok(())
    }

    /// Whether the disk is to be tried: something waits in memory, or nobody could look yet what lies there.
    pub fn wants_disk(&self) -> bool {
        !self.memory.is_empty() || !self.is_known
    }

    /// When the batch was stored first, for the header of its file: by the wall clock as it is now, which later runs go by.
    fn header_time(&self, sequence: u64, now: Moment) -> i64 {
        let age = self.born.get(&sequence).map_or(0, |born| self.stamp(now.at).saturating_sub(*born));
        now.wall.saturating_sub(age)
    }

    /// Drops the oldest files until one of `size` fits all bounds. To make room on the disk, files are dropped only where that
    /// gains enough: another program that fills the disk does not cost the backlog.
    fn make_room(&mut self, size: u64) -> Result<()> {
        while self.files() >= self.bounds.entries.max(1) && self.drop_oldest(Bound::Entries) {}
        while self.bytes().saturating_add(size) > self.bounds.bytes && self.drop_oldest(Bound::Bytes) {}
        // Below zero where others use part of the reserve.
        let free = self.files.free()?;
        let missing = (size as i64).saturating_sub(free).max(0) as u64;
        if missing > 0 && missing <= self.bytes() {
            let until = self.bytes().saturating_sub(missing);
            while self.bytes() > until && self.drop_oldest(Bound::Disk) {}
        }
        match self.files.free()? < size as i64 {
            true => Err(Error::file("write", self.files.path())(io::ErrorKind::StorageFull.into())),
            false => Ok(()),
        }
    }

    fn drop_oldest(&mut self, bound: Bound) -> bool {
        let Some(sequence) = self.files.numbers().find(|sequence| !self.out.contains(sequence)).copied() else {
            return false;
        };
        self.dropped.drop(bound, self.files.count_points(sequence));
        self.forget(sequence);
        true
    }

    fn forget(&mut self, sequence: u64) {
        self.histories.remove(&sequence);
        self.unreadable.remove(&sequence);
        self.out.remove(&sequence);
        self.born.remove(&sequence);
        let memory = self.memory.remove(&sequence);
        self.memory_points = self.memory_points.saturating_sub(memory.as_ref().map_or(0, Batch::len));
        if self.files.contains(sequence) || self.is_half_written(sequence) {
            self.files.remove(sequence);
        }
    }

    /// The entries that may be tried now, oldest first.
    pub fn ready(&self, now: Instant) -> impl DoubleEndedIterator<Item = u64> {
        // What lies in memory is newer than all files.
        self.files.numbers().chain(self.memory.keys()).copied().filter(move |sequence| {
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
        self.memory.get(&sequence).map_or_else(|| self.files.points(sequence), Batch::len)
    }

    /// Reads an entry that is to be sent; it counts as on its way until [`Spool::done`] or [`Spool::put_back`].
    pub fn take(&mut self, sequence: u64, now: Instant) -> Read {
        let born = self.born.get(&sequence).copied();
        let (batch, born) = match self.memory.get(&sequence) {
            Some(batch) => (batch.clone(), born.unwrap_or(self.stamp(now))),
            None if !self.files.contains(sequence) => return Read::Gone,
            None => match self.files.read(sequence) {
                Ok(bytes) => match codec::read(&bytes) {
                    Ok((header, batch)) => (batch, born.unwrap_or(header.stored)),
                    Err(why) => return self.set_aside(sequence, &why, now),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Perhaps the whole folder is gone: then all that is missing is told at once.
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
            self.notes.push(format!("{}: can be read again", self.files.path().display()));
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

    /// Unix seconds: by the wall clock when the spool was opened, and by the monotonic clock since. By it ages are counted, so
    /// that they do not change when somebody sets the wall clock; only between two runs it has to be trusted.
    pub fn stamp(&self, now: Instant) -> i64 {
        self.opened.wall.saturating_add(now.saturating_duration_since(self.opened.at).as_secs() as i64)
    }

    fn not_now(&mut self, sequence: u64, why: &str, now: Instant) -> Read {
        if self.unreadable.is_empty() {
            let path = self.files.path_of(sequence);
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
        match self.files.set_aside(sequence) {
            Ok(to) => {
                let from = self.files.path_of(sequence);
                self.notes.push(format!("{}: {why}; set aside as {}", from.display(), to.display()));
                self.forget(sequence);
                self.set_aside += 1;
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
        self.files.contains(sequence) || self.memory.contains_key(&sequence)
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
        if !self.files.contains(sequence) {
            return Ok(()); // Somebody removed it, and it is counted as dropped.
        }
        let age = self.stamp(now.at).saturating_sub(born);
        self.files.replace(sequence, &codec::write(&rest, now.wall.saturating_sub(age)), rest.len())
    }
}
