//! Delivery: from a finished batch to the sink, the spool or the rejected area. One thread, and the only one that asks the sink.
//!
//! *Invariant:* a batch handed over is delivered, or on disk, or refused with a reason, or counted as dropped.
//! *Invariant:* nothing here knows a check; collection never waits for anything here.

pub mod backoff;
pub mod cached;
pub mod codec;
pub mod dispatch;
pub mod normalise;
pub mod queue;
pub mod rejected;
pub mod spool;
pub mod status;

use crate::net::random;
use crate::point::{Batch, HealthEvent, Identity, Kind, Point};
use crate::sink::Sink;
use crate::sys;
use backoff::{Backoff, Trouble};
use dispatch::{Lost, Setback, dispatch};
use queue::{Queue, Taken};
use rejected::Rejected;
use spool::{Place, Spool};
use status::Status;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Spooled batches sent behind each live one: a returning server is not flooded, fresh numbers are not delayed.
const SPOOLED_PER_LIVE: usize = 4;
/// Failures of the server at the same batch before its content is suspected.
const POISON_AFTER: u32 = 3;
/// How often a lasting state is told again.
const REMIND: Duration = Duration::from_secs(3600);
/// How often losses are told.
const LOSSES_EVERY: Duration = Duration::from_secs(600);
/// Live batches after which everything has run once, connecting included, and what only that needed is given back.
const WARM_UP: u32 = 3;

/// Everything that the delivery thread owns.
pub struct Delivery {
    sink: Box<dyn Sink>,
    identity: Identity,
    queue: Arc<Queue>,
    spool: Spool,
    rejected: Rejected,
    /// Longest wait between two looks at the spool while no live batch comes.
    pace: Duration,
    backoff: Backoff,
    reminded: Instant,
    /// The oldest spooled batch and how often the server failed at it in a row.
    stumbled: Option<(Place, u32)>,
    losses: Losses,
    losses_told: Option<Instant>,
    spool_refuses: bool,
    status: Status,
    published: Arc<Mutex<Status>>,
}

/// Losses that were not told yet.
#[derive(Debug, Default)]
struct Losses {
    dropped: usize,
    /// By the server's words.
    refused: BTreeMap<String, usize>,
}

impl Delivery {
    pub fn new(
        sink: Box<dyn Sink>,
        identity: Identity,
        queue: Arc<Queue>,
        spool: Spool,
        rejected: Rejected,
        pace: Duration,
    ) -> Delivery {
        Delivery {
            sink,
            identity,
            queue,
            spool,
            rejected,
            pace,
            backoff: Backoff::default(),
            reminded: Instant::now(),
            stumbled: None,
            losses: Losses::default(),
            losses_told: None,
            spool_refuses: false,
            status: Status::default(),
            published: Arc::default(),
        }
    }

    /// Where its state can be read from outside while it runs.
    pub fn status(&self) -> Arc<Mutex<Status>> {
        Arc::clone(&self.published)
    }

    /// Works until the queue is closed and empty; what cannot be delivered by its deadline goes to the spool.
    pub fn run(mut self) {
        if !self.spool.is_empty() {
            log::info!("{} batches of earlier are in the spool ({} bytes)", self.spool.len(), self.spool.bytes());
        }
        if self.sink.is_remote() {
            // A fleet that was restarted together does not write in the same second.
            self.queue.idle(Instant::now() + self.pace.mul_f64(chance()));
        }
        let mut batches = 0u32;
        loop {
            match self.queue.take(self.wake()) {
                Taken::Batch(batch) => {
                    self.status.collected += (batch.points.len() + batch.events.len()) as u64;
                    if batches == WARM_UP {
                        sys::trim();
                    }
                    batches = batches.saturating_add(1);
                    self.probe();
                    self.live(batch);
                    self.drain(SPOOLED_PER_LIVE);
                }
                Taken::Nothing => {
                    self.probe();
                    self.drain(SPOOLED_PER_LIVE);
                }
                Taken::Closed => break,
            }
            self.tell_losses(false);
            self.publish();
        }
        self.tell_losses(true);
        log::info!(
            "delivery ends: {} points delivered, {} spooled on the way, {} batches wait in the spool",
            self.status.delivered,
            self.status.spooled,
            self.spool.len()
        );
    }

    /// When to look at the spool although no live batch has come.
    fn wake(&self) -> Option<Instant> {
        match self.backoff.probe_at() {
            _ if self.spool.is_empty() => None,
            Some(probe) => Some(probe),
            None => Some(Instant::now() + self.pace),
        }
    }

    fn may_send(&self) -> bool {
        let now = Instant::now();
        self.queue.closing().is_none_or(|deadline| now < deadline)
            && self.backoff.probe_at().is_none_or(|probe| probe <= now)
    }

    fn live(&mut self, batch: Batch) {
        if !self.may_send() {
            return self.keep(batch);
        }
        let (left, _) = self.send(batch.points, &batch.events, false);
        if !left.is_empty() {
            self.keep(Batch { points: left, events: Vec::new() });
        }
    }

    /// One spooled batch, when the sink was away and it is time to try again.
    fn probe(&mut self) {
        if !self.backoff.is_up() && self.may_send() {
            self.send_oldest();
        }
    }

    fn drain(&mut self, batches: usize) {
        for _ in 0..batches {
            if !self.backoff.is_up() || !self.may_send() || !self.send_oldest() {
                return;
            }
        }
    }

    /// Sends the oldest batch of the spool. Whether there may be a next one.
    fn send_oldest(&mut self) -> bool {
        let Some(entry) = self.spool.oldest(unix_now()) else { return false };
        let place = entry.place;
        let poison = matches!(self.stumbled, Some((at, times)) if at == place && times >= POISON_AFTER)
            && self.sink.healthy() == Some(true);
        let whole = entry.batch.points.len() + entry.batch.events.len();
        let (left, stumble) = self.send(entry.batch.points.clone(), &entry.batch.events, poison);
        self.stumbled = match (stumble, self.stumbled) {
            (true, Some((at, times))) if at == place => Some((place, times + 1)),
            (true, _) => Some((place, 1)),
            (false, _) => None,
        };
        if left.is_empty() {
            self.spool.done(place);
        } else if left.len() >= whole {
            self.spool.put_back(entry);
            return false; // At once again would be no better.
        } else if let Err(error) = self.spool.shrink(place, Batch { points: left, events: Vec::new() }) {
            log::warn!("{error}; that batch will be sent whole again");
        }
        true
    }

    /// Sends points as far as they go. Returns what is left undecided, and whether the server failed at them.
    fn send(&mut self, mut points: Vec<Point>, events: &[HealthEvent], poison: bool) -> (Vec<Point>, bool) {
        let takes_events = self.sink.takes_events();
        if !takes_events {
            // Events that were spooled for a sink that took them.
            let specials = points.iter_mut().filter(|point| point.kind == Kind::Special);
            specials.for_each(|point| *point = normalise::plain(point.clone()));
        }
        // Before the numbers: people wait for them.
        points.splice(0..0, normalise::event_points(events, takes_events));
        let (points, unusable, merged) = normalise::normalise(points);
        self.status.merged += merged as u64;
        let unusable = unusable.into_iter().map(|(point, why)| Lost { point, status: 0, why });
        self.lose(unusable.collect());
        if points.is_empty() {
            return (Vec::new(), false);
        }
        let Delivery { sink, identity, queue, spool, status, .. } = self;
        let mut patience = || {
            for batch in queue.overflow() {
                status.spooled += batch.points.len() as u64;
                // Told by `keep` with the next batch; meanwhile it is in the spool's memory.
                let _ = spool.store(batch, unix_now());
            }
            match queue.closing() {
                Some(deadline) if Instant::now() >= deadline => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let outcome = dispatch(sink.as_mut(), identity, points, poison, &mut patience);
        for note in self.sink.notes() {
            log::warn!("{}: {note}", self.sink.name());
        }
        self.status.delivered += outcome.delivered as u64;
        if outcome.delivered > 0 {
            self.status.last_success = Some(unix_now());
        }
        let decided = outcome.delivered + outcome.lost.len() > 0;
        self.lose(outcome.lost);
        let stumble = matches!(outcome.setback, Some(Setback::Retry { server_error: true, .. }));
        match outcome.setback {
            Some(setback) => self.set_back(setback),
            None if decided => self.well(),
            None => {}
        }
        (outcome.left, stumble)
    }

    fn set_back(&mut self, setback: Setback) {
        let (trouble, why, asked) = match setback {
            Setback::Retry { why, after, .. } => (Trouble::Down, why, after),
            Setback::Pause { why } => (Trouble::Paused, why, None),
        };
        let (before, now) = (self.backoff.trouble(), Instant::now());
        let wait = self.backoff.failure(trouble, asked, now, chance());
        let name = self.sink.name();
        let seconds = wait.as_secs_f64();
        if before != Some(trouble) {
            self.reminded = now;
            log::error!("{name}: {why}; points are kept in the spool, next attempt in {seconds:.0} s");
        } else if now.saturating_duration_since(self.reminded) >= REMIND {
            self.reminded = now;
            log::error!("{name}: still: {why}; {} batches ({} bytes) wait", self.spool.len(), self.spool.bytes());
        } else {
            log::debug!("{name}: {why}; next attempt in {seconds:.0} s");
        }
    }

    fn well(&mut self) {
        if let Some(away) = self.backoff.success(Instant::now()) {
            let name = self.sink.name();
            log::info!(
                "{name}: works again after {} s, {} batches wait in the spool",
                away.as_secs(),
                self.spool.len()
            );
        }
    }

    fn publish(&mut self) {
        self.status.is_up = self.backoff.is_up();
        let wait = self.backoff.probe_at().map(|probe| probe.saturating_duration_since(Instant::now()));
        self.status.backoff = wait.unwrap_or_default();
        (self.status.spool_batches, self.status.spool_bytes) = (self.spool.len(), self.spool.bytes());
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = self.status;
    }

    fn keep(&mut self, batch: Batch) {
        self.status.spooled += batch.points.len() as u64;
        let refused = self.spool.store(batch, unix_now());
        match &refused {
            Err(error) if !self.spool_refuses => log::error!("{error}; points are kept in memory as far as that goes"),
            Ok(()) if self.spool_refuses => log::info!("the spool can be written again"),
            _ => {}
        }
        self.spool_refuses = refused.is_err();
    }

    fn lose(&mut self, lost: Vec<Lost>) {
        if lost.is_empty() {
            return;
        }
        if let Err(error) = self.rejected.keep(&lost, &self.identity.host, unix_now()) {
            log::warn!("{error}; {} refused points are not kept there", lost.len());
        }
        self.status.refused += lost.len() as u64;
        for Lost { why, .. } in lost {
            let texts = self.losses.refused.len();
            let why: String = if texts < 20 { why.chars().take(200).collect() } else { "other reasons".into() };
            *self.losses.refused.entry(why).or_default() += 1;
        }
    }

    /// Points that are gone for good are told at once, and then at most every ten minutes.
    fn tell_losses(&mut self, at_the_end: bool) {
        for damage in self.spool.take_quarantined() {
            log::error!("spool: {damage}");
        }
        let dropped = self.spool.take_dropped() + self.queue.take_dropped();
        self.losses.dropped += dropped;
        self.status.dropped += dropped as u64;
        let now = Instant::now();
        let due = self.losses_told.is_none_or(|told| now.saturating_duration_since(told) >= LOSSES_EVERY);
        if !(due || at_the_end) || (self.losses.dropped == 0 && self.losses.refused.is_empty()) {
            return;
        }
        self.losses_told = Some(now);
        let dropped = std::mem::take(&mut self.losses.dropped);
        if dropped > 0 {
            log::error!(
                "spool: {dropped} points dropped, the oldest first: a bound was reached (max_cache, spool_max_bytes, spool_max_age or free disk space)"
            );
        }
        for (why, points) in std::mem::take(&mut self.losses.refused) {
            let file = self.rejected.file();
            log::error!("{}: {points} points refused for good: {why}; see {}", self.sink.name(), file.display());
        }
    }
}

/// A random number of 0..1.
fn chance() -> f64 {
    (random() >> 11) as f64 / (1u64 << 53) as f64
}

/// Unix seconds now.
pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
