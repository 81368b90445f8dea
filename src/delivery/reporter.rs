//! Log lines of delivery: each event when it first happens, and repeats at most every ten minutes.
//!
//! A sink that goes down and up again and again gets one pair of lines, and then at most one line in ten minutes.

use super::dropped::{Bound, Dropped};
use super::line::Change;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often a lasting state is logged again.
const REMIND_AFTER: Duration = Duration::from_secs(3600);
/// The shortest time between two lines about the same thing.
const REPEAT_AFTER: Duration = Duration::from_secs(600);
/// How many different reasons of refusals are kept apart between two lines.
const REASONS: usize = 20;

/// What waits in the spool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    pub batches: usize,
    pub bytes: u64,
}

/// Decides which events of delivery are logged, and when.
pub struct Reporter {
    sink: &'static str,
    /// When the sink's state was last logged, and whether that line said that it is down.
    logged: Option<(Instant, bool)>,
    /// Since when the sink is down, and why; `None` while it is up.
    away: Option<(Instant, String)>,
    /// How often it went down since the last line.
    unlogged: usize,
    suspects: Option<Instant>,
    dropped: Dropped,
    dropped_logged: BTreeMap<Bound, Instant>,
    /// Refused points by the server's message, and when each message was last logged.
    refused: BTreeMap<String, usize>,
    refused_logged: BTreeMap<String, Instant>,
    disk_refuses: bool,
}

impl Reporter {
    pub fn new(sink: &'static str) -> Reporter {
        Reporter {
            sink,
            logged: None,
            away: None,
            unlogged: 0,
            suspects: None,
            dropped: Dropped::default(),
            dropped_logged: BTreeMap::new(),
            refused: BTreeMap::new(),
            refused_logged: BTreeMap::new(),
            disk_refuses: false,
        }
    }

    /// The line to the sink has changed; `why` is the reason.
    pub fn line(&mut self, change: &Change, why: &str, waiting: Waiting, now: Instant) {
        let name = self.sink;
        match change {
            Change::None => {}
            Change::Lost(wait) => {
                self.away = Some((self.away.take().map_or(now, |(since, _)| since), why.into()));
                if self.is_quiet(now) {
                    self.unlogged += 1;
                    log::debug!("{name}: {why}");
                    return;
                }
                let again = self.take_unlogged();
                let seconds = wait.as_secs_f64();
                log::error!("{name}: {why}; points are kept in the spool, next attempt in {seconds:.0} s{again}");
                self.logged = Some((now, true));
            }
            Change::Still(wait) => {
                if let Some((_, known)) = &mut self.away {
                    *known = why.into();
                }
                log::debug!("{name}: {why}; next attempt in {:.0} s", wait.as_secs_f64());
            }
            Change::Back(after) => {
                self.away = None;
                if let Some((at, is_away @ true)) = &mut self.logged {
                    (*at, *is_away) = (now, false);
                    let (seconds, batches) = (after.as_secs(), waiting.batches);
                    log::info!("{name}: works again after {seconds} s, {batches} batches wait in the spool");
                }
            }
        }
    }

    /// Logs an outage that lasts, and failures that were not logged for a while.
    pub fn remind(&mut self, waiting: Waiting, now: Instant) {
        let Some((since, why)) = &self.away else { return };
        let is_logged = matches!(self.logged, Some((_, true)));
        let wait = if is_logged { REMIND_AFTER } else { REPEAT_AFTER };
        if self.logged.is_none_or(|(at, _)| now.saturating_duration_since(at) < wait) {
            return;
        }
        let (name, seconds) = (self.sink, now.saturating_duration_since(*since).as_secs());
        let line =
            format!("{name}: away for {seconds} s: {why}; {} batches ({} bytes) wait", waiting.batches, waiting.bytes);
        log::error!("{line}{}", self.take_unlogged());
        self.logged = Some((now, true));
    }

    /// When [`Reporter::remind`] may have something to log.
    pub fn next(&self) -> Option<Instant> {
        self.away.as_ref()?;
        self.logged.map(|(at, is_away)| at + if is_away { REMIND_AFTER } else { REPEAT_AFTER })
    }

    /// Whether a pair of lines was logged less than ten minutes ago.
    fn is_quiet(&self, now: Instant) -> bool {
        self.logged.is_some_and(|(at, is_away)| !is_away && now.saturating_duration_since(at) < REPEAT_AFTER)
    }

    fn take_unlogged(&mut self) -> String {
        match std::mem::take(&mut self.unlogged) {
            0 | 1 => String::new(),
            times => format!(" ({times} times since the last line)"),
        }
    }

    /// Points are not accepted while others are.
    pub fn suspects(&mut self, points: usize, why: &str, wait: Duration, now: Instant) {
        if self.suspects.is_some_and(|told| now.saturating_duration_since(told) < REPEAT_AFTER) {
            return log::debug!("{}: {points} points are not taken while others are: {why}", self.sink);
        }
        self.suspects = Some(now);
        let (name, seconds) = (self.sink, wait.as_secs_f64());
        log::warn!(
            "{name}: {points} points are not taken while others are: {why}; they wait in the spool and are tried again in {seconds:.0} s"
        );
    }

    /// Whether the disk took what was to be spooled.
    pub fn disk<E: std::fmt::Display>(&mut self, kept: &Result<(), E>) {
        match kept {
            Err(error) if !self.disk_refuses => log::error!("{error}; points are kept in memory as far as that goes"),
            Ok(()) if self.disk_refuses => log::info!("the spool can be written again"),
            _ => {}
        }
        self.disk_refuses = kept.is_err();
    }

    /// Points were dropped.
    pub fn dropped(&mut self, dropped: Dropped) {
        self.dropped.add(dropped);
    }

    /// A point was refused with this message.
    pub fn refused(&mut self, why: &str) {
        let known = self.refused.len() < REASONS;
        let why: String = if known { why.chars().take(200).collect() } else { "other reasons".into() };
        *self.refused.entry(why).or_default() += 1;
    }

    /// Logs dropped and refused points: the first of a kind at once, then at most every ten minutes; all of them
    /// `at_the_end`.
    pub fn log_losses(&mut self, rejected: impl Fn() -> PathBuf, at_the_end: bool, now: Instant) {
        let is_due = |told: Option<&Instant>| {
            at_the_end || told.is_none_or(|told| now.saturating_duration_since(*told) >= REPEAT_AFTER)
        };
        let mut later = Dropped::default();
        for (bound, points) in std::mem::take(&mut self.dropped).iter() {
            if is_due(self.dropped_logged.get(&bound)) {
                self.dropped_logged.insert(bound, now);
                let end = if bound == Bound::End { "are lost" } else { "dropped" };
                log::error!("{points} points {end}: {}", bound.sentence());
            } else {
                later.drop(bound, points);
            }
        }
        self.dropped = later;
        if self.refused_logged.len() > REASONS {
            self.refused_logged.retain(|_, told| now.saturating_duration_since(*told) < REPEAT_AFTER);
        }
        for (why, points) in std::mem::take(&mut self.refused) {
            if is_due(self.refused_logged.get(&why)) {
                let (name, file) = (self.sink, rejected());
                log::error!("{name}: {points} points refused for good: {why}; see {}", file.display());
                self.refused_logged.insert(why, now);
            } else {
                self.refused.insert(why, points);
            }
        }
    }
}
