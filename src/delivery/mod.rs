//! Delivery as a state machine: takes new batches, spools those that must wait, and says what to send next.
//!
//! [`Delivery::turn`] is one step. It waits neither for the sink nor for a clock, so that a test can drive it through
//! thousands of schedules. `run.rs` is the thread that drives it, `load.rs` builds what is sent together, and
//! `settle.rs` decides what happens to it after the answer.
//!
//! *Invariant:* a batch that was handed over is delivered, on disk, refused with a reason, or counted as dropped.
//! *Invariant:* a batch that is in memory for longer than a period is on disk, too, whatever the sink does.
//! *Invariant:* nothing here knows a check, and collection never waits for delivery.

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
use queue::{Queue, SizedBatch};
use rejected::Rejected;
use reporter::{Reporter, Waiting};
use settle::Proof;
use spool::{Bounds, Spool};
use status::Status;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use throttle::Throttle;

/// What may wait in memory for the sink, in points and bytes; the rest goes to the spool.
pub const MAX_POINTS: usize = 20_000;
const MAX_BYTES: usize = 16 << 20;
/// A batch may wait at least this long in memory, however short the period is.
const MIN_PATIENCE: Duration = Duration::from_secs(1);
/// Time limit of an exchange, whatever the sink's own limits are.
const MAX_EXCHANGE: Duration = Duration::from_secs(60);
/// Time limit of an exchange with a suspect that failed once, or the period if that is longer; doubled with each
/// further failure.
const SUSPECT_EXCHANGE: Duration = Duration::from_secs(2);
/// After an answer that took this long, several requests are sent at once if the sink supports it.
const SLOW: Duration = Duration::from_millis(200);
/// How often the spool's memory is flushed to the disk again while no batch comes.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
const FLUSH_AT_THE_END: Duration = Duration::from_millis(250);

/// The time, by the monotonic clock and by the wall clock.
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

/// What the caller does next.
pub enum Turn {
    /// Perform this exchange on another thread, and pass its answer to a later turn.
    Send(Exchange),
    /// Wait until something happens, or until this instant.
    Wait(Option<Instant>),
    /// Stop: delivery has ended.
    Over,
}

/// Requests for the sink, with the sink itself: it moves to the thread that talks to it, and comes back with the
/// answer.
pub struct Exchange {
    sink: Box<dyn Sink>,
    requests: Vec<Request>,
    points: Arc<Vec<Point>>,
    identity: Arc<Identity>,
    wall: i64,
    until: Instant,
}

impl Exchange {
    /// Sends the requests and waits for their answers.
    pub fn perform(mut self) -> Answer {
        let attempt = Attempt { identity: &self.identity, wall: self.wall, until: self.until };
        let verdicts = self.sink.send_all(&self.requests, &self.points, &attempt);
        Answer { sink: self.sink, verdicts }
    }

    /// When the exchange has to be over.
    pub fn until(&self) -> Instant {
        self.until
    }
}

/// The result of an [`Exchange`].
pub struct Answer {
    sink: Box<dyn Sink>,
    verdicts: Vec<Verdict>,
}

/// A changed configuration.
pub struct Renewal {
    /// The new sink; `None` if it is unchanged.
    pub sink: Option<Box<dyn Sink>>,
    pub identity: Identity,
    pub period: Duration,
    pub bounds: Bounds,
    pub rejected_max_bytes: u64,
}

/// A new batch, waiting in memory.
struct Live {
    batch: Batch,
    /// Estimated memory.
    bytes: usize,
    since: Instant,
}

/// An exchange that is in flight.
struct InFlight {
    kind: LoadKind,
    since: Instant,
    until: Instant,
    points: usize,
}

/// The last finished exchange.
struct LastExchange {
    kind: LoadKind,
    took: Duration,
    ended: Instant,
}

/// Decides what is sent, spooled, refused or dropped.
pub struct Delivery {
    /// `None` while an exchange is in flight.
    sink: Option<Box<dyn Sink>>,
    takes_events: bool,
    identity: Arc<Identity>,
    queue: Arc<Queue>,
    spool: Spool,
    rejected: Rejected,
    /// The daemon's period.
    period: Duration,
    line: Line,
    throttle: Throttle,
    live: VecDeque<Live>,
    live_load: Option<Load>,
    backlog_load: Option<Load>,
    in_flight: Option<InFlight>,
    proof: Proof,
    last: Option<LastExchange>,
    /// Nothing is sent until then, so that a fleet that was restarted together does not send in the same second. `None`
    /// after that.
    quiet: Option<Instant>,
    /// When the last flush to the disk was tried.
    flushed: Instant,
    random: Random,
    reporter: Reporter,
    status: Status,
    published: Arc<Mutex<Status>>,
}

impl Delivery {
    /// `seed` is for the random numbers.
    pub fn new(
        sink: Box<dyn Sink>,
        identity: Identity,
        queue: Arc<Queue>,
        spool: Spool,
        rejected: Rejected,
        period: Duration,
        (now, seed): (Moment, u64),
    ) -> Delivery {
        let mut random = Random(seed | 1);
        let status = Status { is_up: true, since: now.wall, ..Status::default() };
        if !spool.is_empty() {
            log::info!("{} batches of earlier are in the spool ({} bytes)", spool.files(), spool.bytes());
        }
        Delivery {
            takes_events: sink.takes_events(),
            quiet: sink.is_remote().then(|| now.at + period.mul_f64(random.next())),
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
            in_flight: None,
            proof: Proof::default(),
            last: None,
            flushed: now.at,
            random,
            status: status.clone(),
            published: Arc::new(Mutex::new(status)),
        }
    }

    /// Its state, for other threads to read.
    pub fn status(&self) -> Arc<Mutex<Status>> {
        Arc::clone(&self.published)
    }

    /// The queue that its batches come from.
    pub fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Makes one step. `answer` is that of the exchange in flight, once it is there.
    pub fn turn(&mut self, now: Moment, answer: Option<Answer>) -> Turn {
        if let Some(answer) = answer {
            self.answered(answer, now);
        }
        self.take_in(now);
        if self.in_flight.is_none()
            && let Some(renewal) = self.queue.take_renewal()
        {
            self.renew(renewal, now);
        }
        let closing = self.queue.closing();
        match closing {
            Some(_) => self.spool_all(now),
            None => self.spool_excess(now),
        }
        let turn = match closing {
            Some(deadline) if deadline <= now.at => Turn::Over,
            _ if self.in_flight.is_some() => Turn::Wait(self.wake(now)),
            _ => match self.next_exchange(now) {
                Some(exchange) => Turn::Send(exchange),
                None if closing.is_some() => Turn::Over,
                None => Turn::Wait(self.wake(now)),
            },
        };
        match turn {
            Turn::Over => self.end(now),
            _ => self.publish(now, false),
        }
        turn
    }

    /// Takes over a changed configuration. What waits stays where it is; points that were encoded for the previous sink
    /// go to the spool.
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
        self.spool.forget_failures();
        self.sink = Some(sink);
    }

    /// Takes the batches that the workers handed over.
    fn take_in(&mut self, now: Moment) {
        for SizedBatch { batch, bytes } in self.queue.take() {
            self.status.collected += batch.len() as u64;
            // If batches come more often than once a period, the initial delay is a part of their interval instead.
            if let (Some(quiet), Some(previous)) = (&mut self.quiet, self.live.back()) {
                let gap = now.at.saturating_duration_since(previous.since);
                *quiet = (*quiet).min(now.at + gap.mul_f64(self.random.next()));
            }
            self.live.push_back(Live { batch, bytes, since: now.at });
        }
        let dropped = self.queue.take_dropped();
        // They count as collected, too.
        self.status.collected += dropped.points() as u64;
        self.drop_points(dropped);
    }

    /// Everything that is in memory only goes to the spool.
    fn spool_all(&mut self, now: Moment) {
        // The load in progress is older than the waiting batches.
        self.spool_load(now);
        while let Some(live) = self.live.pop_front() {
            self.spool_batch(live.batch, self.spool.stamp(live.since), now);
        }
        self.flush(now);
    }

    /// Flushes the spool's memory to the disk, if it is time to try again.
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

    /// Spools what may not stay in memory: everything while the sink is down, batches that wait longer than a period,
    /// and the oldest ones beyond the bounds.
    fn spool_excess(&mut self, now: Moment) {
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
            self.spool_load(now);
            let Some(live) = self.live.pop_front() else { break };
            self.spool_batch(live.batch, self.spool.stamp(live.since), now);
        }
        let since = self.live_load.as_ref().and_then(Load::in_memory_since);
        if since.is_some_and(|since| now.at.saturating_duration_since(since) >= patience) {
            self.spool_load(now);
        }
        self.flush(now);
    }

    /// How long a batch may be in memory only.
    fn patience(&self) -> Duration {
        self.period.max(MIN_PATIENCE)
    }

    /// Spools the undecided points of the live load, too: the answer may never come.
    fn spool_load(&mut self, now: Moment) {
        let Some(mut load) = self.live_load.take() else { return };
        for source in load.sources.iter_mut().filter(|source| source.entries.is_none()) {
            let points: Vec<Point> = load.shipment.undecided(source.range.clone()).cloned().collect();
            source.kept = points.len();
            let entries = self.spool_batch(Batch { points, events: Vec::new() }, source.born, now);
            entries.iter().for_each(|entry| self.spool.mark_in_flight(*entry));
            source.entries = Some(entries);
        }
        self.live_load = Some(load);
    }

    /// Puts a batch into the spool and returns its entries.
    fn spool_batch(&mut self, batch: Batch, born: i64, now: Moment) -> Vec<u64> {
        if batch.is_empty() {
            return Vec::new();
        }
        self.status.spooled += batch.len() as u64;
        let (entries, kept) = self.spool.store(batch, born, now);
        self.reporter.disk(&kept);
        entries
    }

    /// The next exchange, if something may be sent and there is something to send.
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
            self.in_flight = Some(InFlight { kind, since: now.at, until, points: count });
            *self.load_mut(kind) = Some(load);
            let identity = Arc::clone(&self.identity);
            return Some(Exchange { sink, requests, points, identity, wall: now.wall, until });
        }
    }

    /// The load of that kind that is in progress.
    fn load_mut(&mut self, kind: LoadKind) -> &mut Option<Load> {
        match kind {
            LoadKind::Live => &mut self.live_load,
            LoadKind::Backlog => &mut self.backlog_load,
        }
    }

    /// When the exchange has to be over. A suspect gets less time, because everything else waits meanwhile.
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

    /// Which kind of load is sent now: new batches, unless it is the backlog's turn. `None` if nothing can be sent now.
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

    /// Whether the backlog goes before new batches. If the sink is so slow that a new batch always waits, the two take
    /// turns. They do not if the new batch would then not be sent within a period, nor in the middle of a live load:
    /// batches that came after it may be in the backlog by now.
    fn is_turn_of_backlog(&self, now: Moment) -> bool {
        let last = self.last.as_ref().filter(|_| self.live_load.is_none());
        let Some(&LastExchange { kind: LoadKind::Live, took, ended }) = last else { return false };
        let Some(since) = self.live.front().map(|live| live.since) else { return false };
        let waited = now.at.saturating_duration_since(since);
        since <= ended && (took >= self.period || waited + took <= self.period)
    }

    /// Handles the answer of the exchange that was in flight.
    fn answered(&mut self, answer: Answer, now: Moment) {
        let Answer { mut sink, mut verdicts } = answer;
        for note in sink.notes() {
            log::warn!("{}: {note}", sink.name());
        }
        self.sink = Some(sink);
        let Some(InFlight { kind, since, until, points }) = self.in_flight.take() else { return };
        let took = now.at.saturating_duration_since(since);
        self.last = Some(LastExchange { kind, took, ended: now.at });
        if kind == LoadKind::Backlog {
            match verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })) {
                true => self.throttle.failed(took, now.at),
                false => self.throttle.sent(points, took, now.at),
            }
        }
        if now.at >= until {
            // To the sink, a request is suspect if the sink's own time limit is over. Here it is also suspect if the
            // time limit of the exchange is over.
            for verdict in &mut verdicts {
                if let Verdict::Retry { is_suspect, .. } = verdict {
                    *is_suspect = true;
                }
            }
        }
        self.decide(kind, verdicts, now);
    }

    /// Counts dropped points.
    fn drop_points(&mut self, dropped: Dropped) {
        self.status.dropped += dropped.points() as u64;
        self.reporter.dropped(dropped);
    }

    /// When the next turn is due even if nothing happens.
    fn wake(&self, now: Moment) -> Option<Instant> {
        let patience = self.patience();
        let loaded = self.live_load.as_ref().and_then(Load::in_memory_since);
        let memory = loaded.into_iter().chain(self.live.front().map(|live| live.since));
        let disk = self.spool.wants_disk().then(|| self.next_flush());
        let always =
            memory.map(|since| since + patience).chain(disk).chain(self.queue.closing()).chain(self.reporter.next());
        if self.in_flight.is_some() {
            return always.min();
        }
        let backlog = match self.line.gate(now.at) {
            Gate::Shut(until) => Some(until).filter(|_| !self.spool.is_empty()),
            _ if self.backlog_load.is_some() || self.spool.ready(now.at).next().is_some() => self.throttle.next(),
            _ => self.spool.next_ready(),
        };
        always.chain(self.quiet).chain(backlog).min()
    }

    /// The last turn: undecided points stay in the spool, and what the disk did not take is lost.
    fn end(&mut self, now: Moment) {
        self.settle_all(now);
        let lost = self.spool.lost_with_memory();
        let mut dropped = Dropped::default();
        dropped.drop(Bound::End, lost);
        self.drop_points(dropped);
        self.publish(now, true);
        let Status { delivered, spooled, .. } = self.status;
        let (files, bytes) = (self.spool.files(), self.spool.bytes());
        let memory = if lost == 0 { "nothing in memory".into() } else { format!("{lost} points in memory are lost") };
        log::info!(
            "delivery ends: {delivered} points delivered, {spooled} spooled on the way; {files} batches ({bytes} bytes) \
             wait in files, {memory}"
        );
    }

    /// Logs what happened, and publishes the state for other threads.
    fn publish(&mut self, now: Moment, at_the_end: bool) {
        let dropped = self.spool.take_dropped();
        self.drop_points(dropped);
        for note in self.spool.take_notes() {
            log::error!("spool: {note}");
        }
        self.reporter.log_losses(|| self.rejected.file(), at_the_end, now.at);
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

/// Random numbers that spread a fleet; the same seed gives the same sequence.
struct Random(u64);

impl Random {
    /// The next number in 0..1, by Marsaglia's xorshift.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
