//! What delivery says in the log: each thing once when it happens, and then no more than a reader wants.
//!
//! A sink that goes and comes again and again has its first pair of lines, and then at most one line in ten minutes.

use super::dropped::{Bound, Dropped};
use super::line::Change;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often a lasting state is told again.
const REMIND: Duration = Duration::from_secs(3600);
/// How often a line about the same thing comes.
const FOLD: Duration = Duration::from_secs(600);
/// Reasons of refusals that are told apart between two lines.
const REASONS: usize = 20;

/// What waits in the spool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    pub batches: usize,
    pub bytes: u64,
}

pub struct Reporter {
    sink: &'static str,
    /// When a line last said how the sink is, and whether it said that it is away.
    told: Option<(Instant, bool)>,
    /// The sink is away since then, and why.
    away: Option<(Instant, String)>,
    /// Times that it went since the last line.
    unsaid: usize,
    suspects: Option<Instant>,
    dropped: Dropped,
    dropped_told: BTreeMap<Bound, Instant>,
    /// Refused points by the server's words, and when each was told.
    refused: BTreeMap<String, usize>,
    refused_told: BTreeMap<String, Instant>,
    disk_refuses: bool,
}

impl Reporter {
    pub fn new(sink: &'static str) -> Reporter {
        Reporter {
            sink,
            told: None,
            away: None,
            unsaid: 0,
            suspects: None,
            dropped: Dropped::default(),
            dropped_told: BTreeMap::new(),
            refused: BTreeMap::new(),
            refused_told: BTreeMap::new(),
            disk_refuses: false,
        }
    }

    /// The line to the sink has changed, for that reason.
    pub fn line(&mut self, change: &Change, why: &str, waiting: Waiting, now: Instant) {
        let name = self.sink;
        match change {
            Change::None => {}
            Change::Lost(wait) => {
                self.away = Some((self.away.take().map_or(now, |(since, _)| since), why.into()));
                if self.is_quiet(now) {
                    self.unsaid += 1;
                    log::debug!("{name}: {why}");
                    return;
                }
                let again = self.take_unsaid();
                let seconds = wait.as_secs_f64();
                log::error!("{name}: {why}; points are kept in the spool, next attempt in {seconds:.0} s{again}");
                self.told = Some((now, true));
            }
            Change::Still(wait) => {
                if let Some((_, known)) = &mut self.away {
                    *known = why.into();
                }
                log::debug!("{name}: {why}; next attempt in {:.0} s", wait.as_secs_f64());
            }
            Change::Back(after) => {
                self.away = None;
                if let Some((at, is_away @ true)) = &mut self.told {
                    (*at, *is_away) = (now, false);
                    let (seconds, batches) = (after.as_secs(), waiting.batches);
                    log::info!("{name}: works again after {seconds} s, {batches} batches wait in the spool");
                }
            }
        }
    }

    /// Says what has lasted, and what was not said for a while.
    pub fn remind(&mut self, waiting: Waiting, now: Instant) {
        let Some((since, why)) = &self.away else { return };
        let is_told = matches!(self.told, Some((_, true)));
        let wait = if is_told { REMIND } else { FOLD };
        if self.told.is_none_or(|(at, _)| now.saturating_duration_since(at) < wait) {
            return;
        }
        let (name, seconds) = (self.sink, now.saturating_duration_since(*since).as_secs());
        let line =
            format!("{name}: away for {seconds} s: {why}; {} batches ({} bytes) wait", waiting.batches, waiting.bytes);
        log::error!("{line}{}", self.take_unsaid());
        self.told = Some((now, true));
    }

    /// When [`Reporter::remind`] may have something to say.
    pub fn next(&self) -> Option<Instant> {
        self.away.as_ref()?;
        self.told.map(|(at, is_away)| at + if is_away { REMIND } else { FOLD })
    }

    /// Whether a pair of lines was there not long ago.
    fn is_quiet(&self, now: Instant) -> bool {
        self.told.is_some_and(|(at, is_away)| !is_away && now.saturating_duration_since(at) < FOLD)
    }

    fn take_unsaid(&mut self) -> String {
        match std::mem::take(&mut self.unsaid) {
            0 | 1 => String::new(),
            times => format!(" ({times} times since the last line)"),
        }
    }

    /// Points do not get through while others do.
    pub fn suspects(&mut self, points: usize, why: &str, wait: Duration, now: Instant) {
        if self.suspects.is_some_and(|told| now.saturating_duration_since(told) < FOLD) {
            return log::debug!("{}: {points} points are not taken while others are: {why}", self.sink);
        }
        self.suspects = Some(now);
        let (name, seconds) = (self.sink, wait.as_secs_f64());
        log::warn!(
            "{name}: {points} points are not taken while others are: {why}; they wait in the spool and are tried again in {seconds:.0} s"
        );
    }

    /// Whether the disk took what was to be kept.
    pub fn disk<E: std::fmt::Display>(&mut self, kept: &Result<(), E>) {
        match kept {
            Err(error) if !self.disk_refuses => log::error!("{error}; points are kept in memory as far as that goes"),
            Ok(()) if self.disk_refuses => log::info!("the spool can be written again"),
            _ => {}
        }
        self.disk_refuses = kept.is_err();
    }

    /// Points were given up.
    pub fn dropped(&mut self, dropped: Dropped) {
        self.dropped.add(dropped);
    }

    /// A point was refused with these words.
    pub fn refused(&mut self, why: &str) {
        let known = self.refused.len() < REASONS;
        let why: String = if known { why.chars().take(200).collect() } else { "other reasons".into() };
        *self.refused.entry(why).or_default() += 1;
    }

    /// Tells what was dropped and refused: the first of a kind at once, and then at most every ten minutes, or all of it `at_the_end`.
    pub fn tell_losses(&mut self, rejected: impl Fn() -> PathBuf, at_the_end: bool, now: Instant) {
        let is_due =
            |told: Option<&Instant>| at_the_end || told.is_none_or(|told| now.saturating_duration_since(*told) >= FOLD);
        let mut later = Dropped::default();
        for (bound, points) in std::mem::take(&mut self.dropped).iter() {
            if is_due(self.dropped_told.get(&bound)) {
                self.dropped_told.insert(bound, now);
                let end = if bound == Bound::End { "are lost" } else { "dropped" };
                log::error!("{points} points {end}: {}", bound.sentence());
            } else {
                later.drop(bound, points);
            }
        }
        self.dropped = later;
        if self.refused_told.len() > REASONS {
            self.refused_told.retain(|_, told| now.saturating_duration_since(*told) < FOLD);
        }
        for (why, points) in std::mem::take(&mut self.refused) {
            if is_due(self.refused_told.get(&why)) {
                let (name, file) = (self.sink, rejected());
                log::error!("{name}: {points} points refused for good: {why}; see {}", file.display());
                self.refused_told.insert(why, now);
            } else {
                self.refused.insert(why, points);
            }
        }
    }
}
