//! Delivery, turn by turn: takes in what is new, keeps what may not stay in memory alone, and says what is sent next.
//!
//! [`Delivery::turn`] is all of it. It waits neither for the sink nor for a clock, so that a test can drive it through
//! thousands of schedules; `run.rs` is the thread that drives it. `load.rs` makes what is sent as one, `settle.rs` decides what
//! becomes of it after the answer.
//!
//! *Invariant:* a batch handed over is delivered, or on disk, or refused with a reason, or counted as dropped.
//! *Invariant:* what is in memory longer than a period is on disk, too, whatever the sink does.
//! *Invariant:* nothing here knows a check; collection never waits for anything here.

pub mod backoff;
pub mod cached;
pub mod codec;
pub mod disk;
pub mod dropped;
pub mod files;
pub mod history;
mod line;
mod load;
pub mod normalise;
pub mod queue;
pub mod rejected;
mod reporter;
mod run;
mod settle;
pub mod shipment;
pub mod spool;
pub mod status;
mod throttle;

use crate::model::point::{Batch, Identity, Point};
use crate::sink::{Attempt, Request, Sink, Verdict};
use crate::sys::clock::unix_now;
use dropped::{Bound, Dropped};
use line::{Gate, Line};
use load::{Load, LoadKind};
use queue::{Queue, Weighed};
use rejected::Rejected;
use reporter::{Reporter, Waiting};
use settle::Proof;
use spool::{Bounds, Spool};
use status::Status;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use throttle::Throttle;

/// What may wait in memory for the sink; the rest goes to the spool.
pub const MAX_POINTS: usize = 20_000;
const MAX_BYTES: usize = 16 << 20;
/// A batch may always wait this long in memory, however short the daemon's period is.
const MIN_PATIENCE: Duration = Duration::from_secs(1);
/// Limit of an exchange, whatever the sink's own limits are.
const MAX_EXCHANGE: Duration = Duration::from_secs(60);
/// Limit of an exchange with a suspect that failed once, where the period is not longer; doubled with each further failure.
const SUSPECT_EXCHANGE: Duration = Duration::from_secs(2);
/// After an answer that took this long, several requests are sent at once, where the sink can.
const SLOW: Duration = Duration::from_millis(200);
/// How often the disk is tried again while nothing new comes.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
const FLUSH_AT_THE_END: Duration = Duration::from_millis(250);

/// Now, by the monotonic clock and by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    pub at: Instant,
    /// Unix seconds.
    pub wall: i64,
}

impl Moment {
    pub fn now() -> Moment {
        Moment { at: Instant::now(), wall: unix_now() }
    }
}

/// What is to be done next.
pub enum Turn {
    /// Perform this exchange, on another thread, and hand its answer to a turn when it has come.
    Send(Exchange),
    /// Nothing, until something happens or this moment comes.
    Wait(Option<Instant>),
    /// Nothing any more: delivery has ended.
    Over,
}

/// Requests for the sink, with the sink: it travels to the thread that speaks with it and back.
pub struct Exchange {
    sink: Box<dyn Sink>,
    requests: Vec<Request>,
    points: Arc<Vec<Point>>,
    identity: Arc<Identity>,
    wall: i64,
    until: Instant,
}

impl Exchange {
    /// Sends and waits for the answers.
    pub fn perform(mut self) -> Answer {
        let attempt = Attempt { identity: &self.identity, wall: self.wall, until: self.until };
        let verdicts = self.sink.send_all(&self.requests, &self.points, &attempt);
        Answer { sink: self.sink, verdicts }
    }

    /// When the answer has to be there.
    pub fn until(&self) -> Instant {
        self.until
    }
}

/// What became of an [`Exchange`].
pub struct Answer {
    sink: Box<dyn Sink>,
    verdicts: Vec<Verdict>,
}

/// What delivery goes on with when the configuration has changed.
pub struct Renewal {
    /// In the place of the one that it has, where it is another.
    pub sink: Option<Box<dyn Sink>>,
    pub identity: Identity,
    pub period: Duration,
    pub bounds: Bounds,
    pub rejected_max_bytes: u64,
}

/// A new batch, which waits in memory.
struct Live {
    batch: Batch,
    /// Of memory, about.
    bytes: usize,
    since: Instant,
}

/// An exchange that is out.
struct Out {
    kind: LoadKind,
    since: Instant,
    until: Instant,
    points: usize,
}

/// An exchange that is over.
struct Past {
    kind: LoadKind,
    took: Duration,
    ended: Instant,
}

/// Decides what is sent, kept, refused or given up.
pub struct Delivery {
    /// Away while an exchange is out.
    sink: Option<Box<dyn Sink>>,
    takes_events: bool,
    identity: Arc<Identity>,
    queue: Arc<Queue>,
    spool: Spool,
    rejected: Rejected,
    /// Of the daemon.
    period: Duration,
    line: Line,
    throttle: Throttle,
    live: VecDeque<Live>,
    live_load: Option<Load>,
    backlog_load: Option<Load>,
    out: Option<Out>,
    proof: Proof,
    last: Option<Past>,
    /// At the start, until when nothing is sent: a fleet that was restarted together does not write in the same second.
    quiet: Option<Instant>,
    /// When the disk was last tried again.
    flushed: Instant,
    chance: Chance,
    reporter: Reporter,
    status: Status,
    published: Arc<Mutex<Status>>,
}

impl Delivery {
    /// `chance` is the seed of its random numbers.
    pub fn new(
        sink: Box<dyn Sink>,
        identity: Identity,
        queue: Arc<Queue>,
        spool: Spool,
        rejected: Rejected,
        period: Duration,
        (now, chance): (Moment, u64),
    ) -> Delivery {
        let mut chance = Chance(chance | 1);
        let status = Status { is_up: true, since: now.wall, ..Status::default() };
        if !spool.is_empty() {
            log::info!("{} batches of earlier are in the spool ({} bytes)", spool.files(), spool.bytes());
        }
        Delivery {
            takes_events: sink.takes_events(),
            quiet: sink.is_remote().then(|| now.at + period.mul_f64(chance.next())),
            reporter: Reporter::new(sink.name()),
            sink: Some(sink),
            identity: Arc::new(identity),
            queue,
            spool,
            rejected,
            period,
            line: Line::default(),
            throttle: Throttle::default(),
            live: VecDeque::new(),
            live_load: None,
            backlog_load: None,
            out: None,
            proof: Proof::default(),
            last: None,
            flushed: now.at,
            chance,
            status: status.clone(),
            published: Arc::new(Mutex::new(status)),
        }
    }

    /// Where its state can be read from outside while it runs.
    pub fn status(&self) -> Arc<Mutex<Status>> {
        Arc::clone(&self.published)
    }

    /// Where its batches come from.
    pub fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// What is to be done now. `answer` is that of the exchange that is out, when it has come.
    pub fn turn(&mut self, now: Moment, answer: Option<Answer>) -> Turn {
        if let Some(answer) = answer {
            self.answered(answer, now);
        }
        self.take_in(now);
        if self.out.is_none()
            && let Some(renewal) = self.queue.take_renewal()
        {
            self.renew(renewal, now);
        }
        let closing = self.queue.closing();
        match closing {
            Some(_) => self.keep_all(now),
            None => self.keep_what_waits(now),
        }
        let turn = match closing {
            Some(deadline) if deadline <= now.at => Turn::Over,
            _ if self.out.is_some() => Turn::Wait(self.wake(now)),
            _ => match self.next_exchange(now) {
                Some(exchange) => Turn::Send(exchange),
                None if closing.is_some() => Turn::Over,
                None => Turn::Wait(self.wake(now)),
            },
        };
        match turn {
            Turn::Over => self.end(now),
            _ => self.tell(now, false),
        }
        turn
    }

    /// Goes on with another sink, other names and bounds. What waits stays where it is; what was encoded for the sink before goes to
    /// the spool, points as they are.
    fn renew(&mut self, renewal: Renewal, now: Moment) {
        let Renewal { sink, identity, period, bounds, rejected_max_bytes } = renewal;
        (self.identity, self.period) = (Arc::new(identity), period);
        self.spool.set_bounds(bounds);
        self.rejected.set_bound(rejected_max_bytes);
        let Some(sink) = sink else { return };
        self.settle_all(now);
        self.takes_events = sink.takes_events();
        self.reporter = Reporter::new(sink.name());
        self.rejected.set_sink(sink.name());
        (self.line, self.throttle, self.proof, self.last) = Default::default();
        (self.status.is_up, self.status.why, self.status.since) = (true, None, now.wall);
        self.spool.forgive();
        self.sink = Some(sink);
    }

    /// Takes what the workers handed over.
    fn take_in(&mut self, now: Moment) {
        for Weighed { batch, bytes } in self.queue.take() {
            self.status.collected += batch.len() as u64;
            // Where batches come more often than once a period, the wait at the start is a part of their interval instead.
            if let (Some(quiet), Some(previous)) = (&mut self.quiet, self.live.back()) {
                let gap = now.at.saturating_duration_since(previous.since);
                *quiet = (*quiet).min(now.at + gap.mul_f64(self.chance.next()));
            }
            self.live.push_back(Live { batch, bytes, since: now.at });
        }
        let dropped = self.queue.take_dropped();
        // They count as collected, too.
        self.status.collected += dropped.points() as u64;
        self.drop_points(dropped);
    }

    /// Everything that is in memory alone goes to the spool.
    fn keep_all(&mut self, now: Moment) {
        // What is on its way is older.
        self.keep_load(now);
        while let Some(live) = self.live.pop_front() {
            self.keep(live.batch, self.spool.stamp(live.since), now);
        }
        self.flush(now);
    }

    /// Tries the disk again, now and then.
    fn flush(&mut self, now: Moment) {
        if self.spool.wants_disk() && now.at >= self.next_flush() {
            self.flushed = now.at;
            let flushed = self.spool.flush(now);
            self.reporter.disk(&flushed);
        }
    }

    fn next_flush(&self) -> Instant {
        self.flushed + if self.queue.closing().is_some() { FLUSH_AT_THE_END } else { FLUSH_EVERY }
    }

    /// What may not stay in memory goes to the spool: all while the sink is away, what waits longer than a period, and what is
    /// too much.
    fn keep_what_waits(&mut self, now: Moment) {
        let patience = self.patience();
        let (mut points, mut bytes) = (0usize, 0usize);
        for live in &self.live {
            points += live.batch.len();
            bytes += live.bytes;
        }
        while let Some(oldest) = self.live.front() {
            let is_late = now.at.saturating_duration_since(oldest.since) >= patience;
            if self.line.is_up() && !is_late && points <= MAX_POINTS && bytes <= MAX_BYTES {
                break;
            }
            points = points.saturating_sub(oldest.batch.len());
            bytes = bytes.saturating_sub(oldest.bytes);
            self.keep_load(now);
            let Some(live) = self.live.pop_front() else { break };
            self.keep(live.batch, self.spool.stamp(live.since), now);
        }
        let since = self.live_load.as_ref().and_then(Load::in_memory_since);
        if since.is_some_and(|since| now.at.saturating_duration_since(since) >= patience) {
            self.keep_load(now);
        }
        self.flush(now);
    }

    /// How long a batch may be in memory alone.
    fn patience(&self) -> Duration {
        self.period.max(MIN_PATIENCE)
    }

    /// What is on its way to the sink and not decided goes to the spool, too: the answer may never come.
    fn keep_load(&mut self, now: Moment) {
        let Some(mut load) = self.live_load.take() else { return };
        for source in load.sources.iter_mut().filter(|source| source.entries.is_none()) {
            let points: Vec<Point> = load.shipment.undecided(source.range.clone()).cloned().collect();
            source.kept = points.len();
            let entries = self.keep(Batch { points, events: Vec::new() }, source.born, now);
            entries.iter().for_each(|entry| self.spool.take_out(*entry));
            source.entries = Some(entries);
        }
        self.live_load = Some(load);
    }

    /// Puts a batch into the spool; the entries that it became.
    fn keep(&mut self, batch: Batch, born: i64, now: Moment) -> Vec<u64> {
        if batch.is_empty() {
            return Vec::new();
        }
        self.status.spooled += batch.len() as u64;
        let (entries, kept) = self.spool.store(batch, born, now);
        self.reporter.disk(&kept);
        entries
    }

    /// The next requests, where something may be sent and is there.
    fn next_exchange(&mut self, now: Moment) -> Option<Exchange> {
        loop {
            let kind = self.choose(now)?;
            let Some(mut load) = self.load_mut(kind).take().or_else(|| self.load(kind, now)) else { continue };
            let sink = self.sink.take()?;
            let is_slow = self.last.as_ref().is_some_and(|last| last.took >= SLOW);
            let most = if is_slow { sink.lanes() } else { 1 };
            let next = load.shipment.next(sink.as_ref(), &self.identity, most);
            self.refuse(load.shipment.take_refusals(), now);
            let Some((requests, points)) = next else {
                self.sink = Some(sink);
                self.settle(load, now);
                continue;
            };
            let until = self.until(&load, now);
            let count = requests.iter().map(|request| request.points.len()).sum();
            self.out = Some(Out { kind, since: now.at, until, points: count });
            *self.load_mut(kind) = Some(load);
            let identity = Arc::clone(&self.identity);
            return Some(Exchange { sink, requests, points, identity, wall: now.wall, until });
        }
    }

    /// The load of that kind that is under way.
    fn load_mut(&mut self, kind: LoadKind) -> &mut Option<Load> {
        match kind {
            LoadKind::Live => &mut self.live_load,
            LoadKind::Backlog => &mut self.backlog_load,
        }
    }

    /// When the answer has to be there. A suspect has less time: all else waits while the sink does not answer it.
    fn until(&self, load: &Load, now: Moment) -> Instant {
        let most = match load.blame() {
            0 => MAX_EXCHANGE,
            blame => {
                let first = self.patience().max(SUSPECT_EXCHANGE);
                first.saturating_mul(1 << (blame - 1).min(5)).min(MAX_EXCHANGE)
            }
        };
        let until = now.at + most;
        self.queue.closing().map_or(until, |deadline| deadline.min(until))
    }

    /// What is to be sent now: what is new, unless it is the turn of the backlog.
    fn choose(&mut self, now: Moment) -> Option<LoadKind> {
        let is_closing = self.queue.closing().is_some();
        if !is_closing && self.quiet.is_some_and(|until| now.at < until) {
            return None;
        }
        self.quiet = None;
        let gate = self.line.gate(now.at);
        if matches!(gate, Gate::Shut(_)) {
            return None;
        }
        let is_live = self.live_load.is_some() || !self.live.is_empty();
        let is_ready = is_closing || gate == Gate::Probe || self.throttle.is_ready(now.at);
        let is_backlog = is_ready && (self.backlog_load.is_some() || self.spool.ready(now.at).next().is_some());
        match (is_live, is_backlog) {
            (true, true) if self.is_turn_of_backlog(now) => Some(LoadKind::Backlog),
            (true, _) => Some(LoadKind::Live),
            (false, true) => Some(LoadKind::Backlog),
            (false, false) => None,
        }
    }

    /// Whether the backlog goes before what is new. Where the sink is so slow that a new batch always waits, they take turns; but
    /// not where this would cost the new batch its chance to be sent within a period, nor where a load of what is new is half
    /// sent: what came behind that may be in the backlog by now.
    fn is_turn_of_backlog(&self, now: Moment) -> bool {
        let last = self.last.as_ref().filter(|_| self.live_load.is_none());
        let Some(&Past { kind: LoadKind::Live, took, ended }) = last else { return false };
        let Some(since) = self.live.front().map(|live| live.since) else { return false };
        let waited = now.at.saturating_duration_since(since);
        since <= ended && (took >= self.period || waited + took <= self.period)
    }

    /// The exchange that was out has its answer.
    fn answered(&mut self, answer: Answer, now: Moment) {
        let Answer { mut sink, mut verdicts } = answer;
        for note in sink.notes() {
            log::warn!("{}: {note}", sink.name());
        }
        self.sink = Some(sink);
        let Some(Out { kind, since, until, points }) = self.out.take() else { return };
        let took = now.at.saturating_duration_since(since);
        self.last = Some(Past { kind, took, ended: now.at });
        if kind == LoadKind::Backlog {
            match verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })) {
                true => self.throttle.failed(took, now.at),
                false => self.throttle.sent(points, took, now.at),
            }
        }
        if now.at >= until {
            // To the sink a request is suspect when the sink's own limit is over; here that of the exchange is, which counts, too.
            for verdict in &mut verdicts {
                if let Verdict::Retry { is_suspect, .. } = verdict {
                    *is_suspect = true;
                }
            }
        }
        self.decide(kind, verdicts, now);
    }

    /// Points given up because a bound was reached.
    fn drop_points(&mut self, dropped: Dropped) {
        self.status.dropped += dropped.points() as u64;
        self.reporter.dropped(dropped);
    }

    /// When to look again although nothing happens.
    fn wake(&self, now: Moment) -> Option<Instant> {
        let patience = self.patience();
        let loaded = self.live_load.as_ref().and_then(Load::in_memory_since);
        let memory = loaded.into_iter().chain(self.live.front().map(|live| live.since));
        let disk = self.spool.wants_disk().then(|| self.next_flush());
        let always =
            memory.map(|since| since + patience).chain(disk).chain(self.queue.closing()).chain(self.reporter.next());
        if self.out.is_some() {
            return always.min();
        }
        let backlog = match self.line.gate(now.at) {
            Gate::Shut(until) => Some(until).filter(|_| !self.spool.is_empty()),
            _ if self.backlog_load.is_some() || self.spool.ready(now.at).next().is_some() => self.throttle.next(),
            _ => self.spool.next_ready(),
        };
        always.chain(self.quiet).chain(backlog).min()
    }

    /// The last turn: what is begun is left with what is not decided, and what the disk did not take is lost.
    fn end(&mut self, now: Moment) {
        self.settle_all(now);
        let lost = self.spool.lost_with_memory();
        let mut dropped = Dropped::default();
        dropped.drop(Bound::End, lost);
        self.drop_points(dropped);
        self.tell(now, true);
        let Status { delivered, spooled, .. } = self.status;
        let (files, bytes) = (self.spool.files(), self.spool.bytes());
        let memory = if lost == 0 { "nothing in memory".into() } else { format!("{lost} points in memory are lost") };
        log::info!(
            "delivery ends: {delivered} points delivered, {spooled} spooled on the way; {files} batches ({bytes} bytes) \
             wait in files, {memory}"
        );
    }

    /// Tells the log what happened, and publishes the state for other threads.
    fn tell(&mut self, now: Moment, at_the_end: bool) {
        let dropped = self.spool.take_dropped();
        self.drop_points(dropped);
        for note in self.spool.take_notes() {
            log::error!("spool: {note}");
        }
        self.reporter.tell_losses(|| self.rejected.file(), at_the_end, now.at);
        self.reporter.remind(self.waiting(), now.at);
        let status = &mut self.status;
        status.is_up = self.line.is_up();
        status.next_attempt = self.line.probe_at();
        status.spool_oldest = self.spool.oldest();
        status.set_aside = self.spool.were_set_aside();
        (status.spool_batches, status.spool_bytes) = (self.spool.files(), self.spool.bytes());
        let live = self.live.iter().map(|live| live.batch.len()).sum::<usize>();
        let loaded = self.live_load.as_ref().map_or(0, Load::memory_points);
        status.memory_points = (live + loaded + self.spool.memory_points()) as u64;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = status.clone();
    }

    /// What waits in the spool, for the log.
    fn waiting(&self) -> Waiting {
        Waiting { batches: self.spool.files(), bytes: self.spool.bytes() }
    }
}

/// Random numbers that spread a fleet; the same start gives the same numbers.
struct Chance(u64);

impl Chance {
    /// 0..1, by Marsaglia's xorshift.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
