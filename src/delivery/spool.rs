//! The spool: undelivered batches on disk; their order, bounds and waits.
//!
//! Each entry has a number, in the order of creation, and a file, see `files.rs`. While the disk refuses, batches are
//! kept in memory, up to a bound.
//!
//! *Invariant:* a file is set aside only if its content is damaged; after any other read error it stays and is tried
//! again.
//! *Invariant:* an entry that is in flight to the sink is never dropped.

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
/// The first number while the folder cannot be listed: higher than those of the files in it.
const UNSEEN: u64 = 1 << 40;
/// Wait after a file could not be read: the first, doubled each time, and the longest.
const UNREADABLE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How much the spool may hold; beyond that the oldest entry is dropped first.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: u64,
    /// `None`: no limit.
    pub age: Option<Duration>,
}

impl Bounds {
    /// As configured.
    pub fn configured(own: &SelfConfig, tsdb: &Tsdb) -> Bounds {
        Bounds { entries: own.max_cache, bytes: tsdb.spool_max_bytes, age: tsdb.spool_max_age }
    }
}

/// The spool of this daemon.
pub struct Spool {
    files: Files,
    bounds: Bounds,
    /// When it was opened: ages are counted from here by the monotonic clock.
    opened: Moment,
    /// The number of the next entry.
    next: u64,
    /// Whether the folder has been listed.
    is_known: bool,
    /// What the disk refused so far, by number, so the oldest is first.
    memory: BTreeMap<u64, Batch>,
    /// When entries of this run were first stored, see [`Spool::stamp`]; filled only if there is a maximum age.
    born: BTreeMap<u64, i64>,
    /// Failures of entries, where they matter.
    histories: BTreeMap<u64, History>,
    /// Entries whose file could not be read: how often, and until when they wait.
    unreadable: BTreeMap<u64, (u32, Instant)>,
    /// Entries in flight to the sink.
    in_flight: BTreeSet<u64>,
    memory_points: usize,
    dropped: Dropped,
    /// Damaged files set aside since it was opened.
    set_aside: u64,
    notes: Vec<String>,
}

/// The result of reading an entry.
#[derive(Debug)]
pub enum Read {
    /// The batch, and when it was first stored, see [`Spool::stamp`].
    Batch(Batch, i64),
    /// The entry is gone: too old, set aside, or removed by somebody.
    Gone,
    /// The system refuses to read it for now.
    NotNow,
}

impl Spool {
    /// Takes over the folder, and makes it if it is missing. A folder that cannot be used now is tried again with each
    /// batch: neither a full disk nor anything in the folder keeps the daemon from starting.
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
            in_flight: BTreeSet::new(),
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

    /// Makes sure that we hold the folder's lock, and lists the folder if the lock was taken anew.
    fn hold(&mut self) -> Result<()> {
        match self.files.hold()? {
            false if self.is_known => Ok(()),
            _ => self.look_again(),
        }
    }

    /// Lists the folder again.
    fn look_again(&mut self) -> Result<()> {
        let memory = &self.memory;
        let gone = self.files.look(|sequence| memory.contains_key(sequence))?;
        if !gone.is_empty() {
            let (path, batches) = (self.files.path().display(), gone.len());
            self.notes.push(format!("{path}: somebody removed {batches} batches that waited there"));
            self.dropped.drop(Bound::Removed, gone.into_iter().sum());
        }
        let last = self.files.numbers().next_back().copied().unwrap_or(0);
        // A number is never reused: it may still be in use, for an entry in flight.
        let begin = if self.is_known || !self.memory.is_empty() { self.next } else { 1 };
        self.next = begin.max(last.saturating_add(1));
        self.is_known = true;
        Ok(())
    }

    /// Applies from the next batch on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Forgets all failures: the entries will be sent to another sink.
    pub fn forget_failures(&mut self) {
        self.histories.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.files() == 0 && self.memory.is_empty()
    }

    /// Number of entries in files.
    pub fn files(&self) -> usize {
        self.files.count()
    }

    /// Points in memory, because the disk did not take them.
    pub fn memory_points(&self) -> usize {
        self.memory_points
    }

    /// Points that would be lost now if the process ended: those in memory without a file.
    pub fn lost_with_memory(&self) -> usize {
        let lost = self.memory.iter().filter(|(sequence, _)| !self.is_half_written(**sequence));
        lost.map(|(_, batch)| batch.len()).sum()
    }

    /// Whether an entry in memory has a file that was written but maybe not synced. While the folder is not listed, a
    /// file of that number belongs to another batch.
    fn is_half_written(&self, sequence: u64) -> bool {
        self.is_known && self.files.lies_there(sequence)
    }

    /// Bytes in files.
    pub fn bytes(&self) -> u64 {
        self.files.bytes()
    }

    /// Unix seconds when the oldest entry was first stored; for entries in memory only, the time of their first point.
    /// `None` if the spool is empty or that cannot be read.
    pub fn oldest(&mut self) -> Option<i64> {
        let in_memory = || self.memory.first_key_value()?.1.points.first().map(|point| point.time);
        self.files.oldest().or_else(in_memory)
    }

    /// Takes the counts of points dropped since the last call.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// How many damaged files were set aside since it was opened.
    pub fn were_set_aside(&self) -> u64 {
        self.set_aside
    }

    /// Takes the messages for the log since the last call: files that were set aside or cannot be read.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Adds a batch as the newest entry; `born` says when it was first stored. Returns its number (several if it was
    /// too large for one entry), and whether the disk took it. What the disk did not take is kept in memory, up to a
    /// bound.
    pub fn store(&mut self, batch: Batch, born: i64, now: Moment) -> (Vec<u64>, Result<()>) {
        let mut numbers = Vec::with_capacity(1);
        for piece in self.split_to_fit(batch) {
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
            let Some(oldest) = self.memory.keys().find(|sequence| !self.in_flight.contains(sequence)).copied() else {
                break;
            };
            self.dropped.drop(Bound::Memory, self.memory.get(&oldest).map_or(0, Batch::len));
            self.forget(oldest);
        }
        (numbers, flushed)
    }

    /// Halves the batch until no piece would fill half of the spool.
    fn split_to_fit(&self, batch: Batch) -> Vec<Batch> {
        /// Bytes of a point with four tags of the greatest length.
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

    /// Writes the entries in memory to the disk, oldest first, until the disk refuses.
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

    /// Whether the disk is to be tried: entries wait in memory, or the folder is not listed yet.
    pub fn wants_disk(&self) -> bool {
        !self.memory.is_empty() || !self.is_known
    }

    /// When the entry was first stored, for its file's header: by the present wall clock, because later runs can only
    /// use that.
    fn header_time(&self, sequence: u64, now: Moment) -> i64 {
        let age = self.born.get(&sequence).map_or(0, |born| self.stamp(now.at).saturating_sub(*born));
        now.wall.saturating_sub(age)
    }

    /// Drops the oldest files until `size` more bytes are within all bounds. For space on the disk, files are dropped
    /// only if that gains enough: when another program fills the disk, the backlog is kept.
    fn make_room(&mut self, size: u64) -> Result<()> {
        while self.files() >= self.bounds.entries.max(1) && self.drop_oldest(Bound::Entries) {}
        while self.bytes().saturating_add(size) > self.bounds.bytes && self.drop_oldest(Bound::Bytes) {}
        // Negative where others use part of the reserve.
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
        let Some(sequence) = self.files.numbers().find(|sequence| !self.in_flight.contains(sequence)).copied() else {
            return false;
        };
        self.dropped.drop(bound, self.files.count_points(sequence));
        self.forget(sequence);
        true
    }

    fn forget(&mut self, sequence: u64) {
        self.histories.remove(&sequence);
        self.unreadable.remove(&sequence);
        self.in_flight.remove(&sequence);
        self.born.remove(&sequence);
        let memory = self.memory.remove(&sequence);
        self.memory_points = self.memory_points.saturating_sub(memory.as_ref().map_or(0, Batch::len));
        if self.files.contains(sequence) || self.is_half_written(sequence) {
            self.files.remove(sequence);
        }
    }

    /// The entries that may be sent now, oldest first.
    pub fn ready(&self, now: Instant) -> impl DoubleEndedIterator<Item = u64> {
        // Entries in memory are newer than all files.
        self.files.numbers().chain(self.memory.keys()).copied().filter(move |sequence| {
            !self.in_flight.contains(sequence) && self.waits_until(*sequence).is_none_or(|until| until <= now)
        })
    }

    /// When the first waiting entry may be sent again; `None` if none waits.
    pub fn next_ready(&self) -> Option<Instant> {
        let waiting =
            self.histories.keys().chain(self.unreadable.keys()).filter(|sequence| !self.in_flight.contains(sequence));
        waiting.filter_map(|sequence| self.waits_until(*sequence)).min()
    }

    fn waits_until(&self, sequence: u64) -> Option<Instant> {
        let tried = self.histories.get(&sequence).map(|history| history.not_before);
        tried.max(self.unreadable.get(&sequence).map(|(_, until)| *until))
    }

    /// Its failures, where they matter.
    pub fn history(&self, sequence: u64) -> Option<&History> {
        self.histories.get(&sequence)
    }

    /// Points in it; estimated if an earlier run wrote its file.
    pub fn size(&self, sequence: u64) -> usize {
        self.memory.get(&sequence).map_or_else(|| self.files.points(sequence), Batch::len)
    }

    /// Reads an entry to be sent; it counts as in flight until [`Spool::done`] or [`Spool::put_back`].
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
                    // If the whole folder is gone, everything missing is counted at once.
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
        self.in_flight.insert(sequence);
        Read::Batch(batch, born)
    }

    /// Whether a batch that was first stored at `born` is past the maximum age.
    pub fn is_too_old(&self, born: i64, now: Instant) -> bool {
        self.bounds.age.is_some_and(|age| self.stamp(now).saturating_sub(born) > age.as_secs() as i64)
    }

    /// Unix seconds: the wall clock at the opening of the spool plus the monotonic time since. Ages are counted with
    /// it, so that setting the wall clock does not change them; only between two runs the wall clock has to be trusted.
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

    /// Moves a damaged file to the quarantine, for a person to look at.
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

    /// The entry stays in the spool undecided, and waits as `history` says.
    pub fn put_back(&mut self, sequence: u64, history: Option<History>) {
        self.in_flight.remove(&sequence);
        if let Some(history) = history
            && self.holds(sequence)
        {
            self.histories.insert(sequence, history);
        }
    }

    /// An entry that was just stored is in flight already.
    pub fn mark_in_flight(&mut self, sequence: u64) {
        if self.holds(sequence) {
            self.in_flight.insert(sequence);
        }
    }

    fn holds(&self, sequence: u64) -> bool {
        self.files.contains(sequence) || self.memory.contains_key(&sequence)
    }

    /// The entry is decided completely.
    pub fn done(&mut self, sequence: u64) {
        self.forget(sequence);
    }

    /// A part of the entry is decided: `rest` replaces its content.
    ///
    /// # Errors
    /// The disk refuses. The whole entry then stays, and a part of it will be sent again.
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
