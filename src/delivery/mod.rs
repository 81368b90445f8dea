//! Delivery: from a finished batch to the sink, the spool or the rejected area.
//!
//! Turn by turn: [`Delivery::turn`] looks at what came, what is due and what the sink answered, moves what may not stay in
//! memory to the spool, and says what to do next: send this, or wait until then. It never waits itself, neither for the sink
//! nor for a clock, so that a test can drive it through thousands of schedules. `run.rs` is the thread that drives it.
//!
//! *Invariant:* a batch handed over is delivered, or on disk, or refused with a reason, or counted as dropped.
//! *Invariant:* what is in memory longer than a period is on disk, too, whatever the sink does.
//! *Invariant:* nothing here knows a check; collection never waits for anything here.

pub mod backoff;
pub mod cached;
pub mod codec;
pub mod disk;
pub mod dropped;
pub mod history;
mod line;
pub mod normalise;
mod pace;
pub mod queue;
pub mod rejected;
mod run;
pub mod shipment;
pub mod spool;
pub mod status;
mod voice;

use crate::model::point::{Batch, Identity, Kind, Point};
use crate::sink::{Attempt, Request, Sink, Verdict};
use crate::sys::clock::unix_now;
use backoff::Trouble;
use dropped::{Bound, Dropped};
use history::{Cause, Consequence, History};
use line::{Gate, Line, Probe};
use pace::Pace;
use queue::{Queue, Weighed};
use rejected::Rejected;
use shipment::{Fate, Kind as Why, Reason, Refusal, Shipment, Stop, Trust};
use spool::{Read, Spool};
use status::Status;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use voice::{Voice, Waiting};

/// What may wait in memory for the sink; the rest goes to the spool.
pub const MAX_POINTS: usize = 20_000;
const MAX_BYTES: usize = 16 << 20;
/// Nothing goes to the spool sooner than this only because it waits.
const SOON: Duration = Duration::from_secs(1);
/// No request takes longer, whatever a sink's own limits are.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a batch that may be why the sink did not answer is waited for when it is tried the second time; doubled each time.
const SUSPECT: Duration = Duration::from_secs(2);
/// Requests without any suspect that were taken since one of them last failed while the sink was not well, before a point is
/// refused because it fails at it: one that fails at random fails at any point in the end.
const STEADY: u32 = 16;
/// Answers slower than this are worth sending several requests at once, where the sink can.
const SLOW: Duration = Duration::from_millis(200);
/// How often the disk is tried again while nothing new comes.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
const FLUSH_AT_THE_END: Duration = Duration::from_millis(250);

/// A point in time by both clocks.
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
    /// To be performed, and its answer handed to the next turn. The turns meanwhile have none.
    Send(Exchange),
    /// Nothing, until something happens or the moment comes.
    Wait(Option<Instant>),
    /// Nothing any more.
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

/// The two things that are sent: what is new, and what waited in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Live,
    Backlog,
}

/// A batch that waits in memory.
struct Live {
    batch: Batch,
    bytes: usize,
    since: Instant,
}

/// A shipment under way, and where its points come from.
struct Load {
    shipment: Shipment,
    sources: Vec<Source>,
}

impl Load {
    /// Whether something in it may be why it failed before.
    fn is_suspect(&self) -> bool {
        self.sources.iter().any(|source| source.history.as_ref().is_some_and(History::is_suspect))
    }

    /// Points that are nowhere else.
    fn in_memory(&self) -> usize {
        let places =
            self.sources.iter().filter(|source| source.entries.is_none()).flat_map(|source| source.range.clone());
        places.filter(|place| !self.shipment.is_decided(*place)).count()
    }
}

/// A batch that is part of a load.
struct Source {
    /// Where its points lie in the spool; `None` while they are in memory alone.
    entries: Option<Vec<u64>>,
    /// How many points lie there.
    kept: usize,
    /// Its points in the shipment.
    range: Range<usize>,
    /// When it was stored first, see [`Spool::stamp`].
    born: i64,
    since: Instant,
    history: Option<History>,
}

/// Points of a batch that share a fate.
struct Group {
    points: Vec<Point>,
    /// Why they wait; `None` for those that may be sent at once.
    history: Option<History>,
    is_isolated: bool,
}

/// An exchange that is out.
struct Out {
    lane: Lane,
    since: Instant,
    until: Instant,
    points: usize,
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
    /// Requests without any suspect that were taken since one last failed while the sink was not well.
    steady: u32,
    pace: Pace,
    live: VecDeque<Live>,
    live_load: Option<Load>,
    backlog_load: Option<Load>,
    out: Option<Out>,
    /// Entries of points that were alone and refused: when the sink takes something next, that was their fault.
    isolated: Vec<u64>,
    /// The lane, the length and the end of the last exchange.
    last: Option<(Lane, Duration, Instant)>,
    /// At the start, until when nothing is sent: a fleet that was restarted together does not write in the same second.
    quiet: Option<Instant>,
    flushed: Instant,
    chance: Chance,
    voice: Voice,
    status: Status,
    published: Arc<Mutex<Status>>,
}

impl Delivery {
    /// `chance` is where its random numbers begin.
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
        if !spool.is_empty() {
            log::info!("{} batches of earlier are in the spool ({} bytes)", spool.files(), spool.bytes());
        }
        Delivery {
            takes_events: sink.takes_events(),
            quiet: sink.is_remote().then(|| now.at + period.mul_f64(chance.next())),
            voice: Voice::new(sink.name()),
            sink: Some(sink),
            identity: Arc::new(identity),
            queue,
            spool,
            rejected,
            period,
            line: Line::default(),
            steady: 0,
            pace: Pace::default(),
            live: VecDeque::new(),
            live_load: None,
            backlog_load: None,
            out: None,
            isolated: Vec::new(),
            last: None,
            flushed: now.at,
            chance,
            status: Status::default(),
            published: Arc::default(),
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

    /// What the workers handed over.
    fn take_in(&mut self, now: Moment) {
        for Weighed { batch, bytes } in self.queue.take() {
            self.status.collected += batch.len() as u64;
            // Where a check is faster than the daemon, nobody waits for the daemon's period.
            if let (Some(quiet), Some(first)) = (&mut self.quiet, self.live.back()) {
                let gap = now.at.saturating_duration_since(first.since);
                *quiet = (*quiet).min(now.at + gap.mul_f64(self.chance.next()));
            }
            self.live.push_back(Live { batch, bytes, since: now.at });
        }
        let mut dropped = Dropped::default();
        dropped.drop(Bound::Queue, self.queue.take_dropped());
        // They never came here.
        self.status.collected += dropped.points() as u64;
        self.drop_points(dropped);
    }

    /// Everything that is in memory alone goes to the spool.
    fn keep_all(&mut self, now: Moment) {
        while let Some(live) = self.live.pop_front() {
            self.keep(live.batch, self.spool.stamp(live.since), now);
        }
        self.keep_load(now);
        self.flush(now);
    }

    /// Tries the disk again, now and then.
    fn flush(&mut self, now: Moment) {
        if self.spool.wants_disk() && now.at >= self.next_flush() {
            self.flushed = now.at;
            let flushed = self.spool.flush(now);
            self.voice.disk(&flushed);
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
            let Some(live) = self.live.pop_front() else { break };
            self.keep(live.batch, self.spool.stamp(live.since), now);
        }
        let since = self.live_load.as_ref().and_then(|load| load.sources.first()).map(|source| source.since);
        if since.is_some_and(|since| now.at.saturating_duration_since(since) >= patience) {
            self.keep_load(now);
        }
        self.flush(now);
    }

    /// How long a batch may be in memory alone.
    fn patience(&self) -> Duration {
        self.period.max(SOON)
    }

    /// What is on its way and not decided is kept, too: the answer may never come.
    fn keep_load(&mut self, now: Moment) {
        let Some(mut load) = self.live_load.take() else { return };
        for source in load.sources.iter_mut().filter(|source| source.entries.is_none()) {
            let open = source.range.clone().filter(|place| !load.shipment.is_decided(*place));
            let points: Vec<Point> = open.filter_map(|place| load.shipment.points().get(place).cloned()).collect();
            source.kept = points.len();
            let entries = self.keep(Batch { points, events: Vec::new() }, source.born, now);
            entries.iter().for_each(|entry| self.spool.take_out(*entry));
            source.entries = Some(entries);
        }
        self.live_load = Some(load);
    }

    /// Into the spool; the numbers there.
    fn keep(&mut self, batch: Batch, born: i64, now: Moment) -> Vec<u64> {
        if batch.is_empty() {
            return Vec::new();
        }
        self.status.spooled += batch.len() as u64;
        let (entries, kept) = self.spool.store(batch, born, now);
        self.voice.disk(&kept);
        entries
    }

    /// The next requests, where something may be sent and is there.
    fn next_exchange(&mut self, now: Moment) -> Option<Exchange> {
        loop {
            let lane = self.choose(now)?;
            let mut load = match self.load_mut(lane).take() {
                Some(load) => load,
                None => match lane {
                    Lane::Live => self.load_live(now),
                    Lane::Backlog => match self.load_backlog(now) {
                        Some(load) => load,
                        None => continue,
                    },
                },
            };
            let sink = self.sink.take()?;
            let is_slow = self.last.is_some_and(|(_, took, _)| took >= SLOW);
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
            self.out = Some(Out { lane, since: now.at, until, points: count });
            *self.load_mut(lane) = Some(load);
            let identity = Arc::clone(&self.identity);
            return Some(Exchange { sink, requests, points, identity, wall: now.wall, until });
        }
    }

    fn load_mut(&mut self, lane: Lane) -> &mut Option<Load> {
        match lane {
            Lane::Live => &mut self.live_load,
            Lane::Backlog => &mut self.backlog_load,
        }
    }

    /// How long the answer may take. What may be why the sink did not answer keeps all else waiting no longer than it must.
    fn until(&self, load: &Load, now: Moment) -> Instant {
        let blame = load.sources.iter().filter_map(|source| source.history.as_ref()).map(|history| history.blame).max();
        let most = match blame {
            Some(blame @ 1..) => self.patience().max(SUSPECT).saturating_mul(1 << (blame - 1).min(5)).min(LONGEST),
            _ => LONGEST,
        };
        let until = now.at + most;
        self.queue.closing().map_or(until, |deadline| deadline.min(until))
    }

    /// What is to be sent now: what is new, unless the backlog has a turn.
    fn choose(&mut self, now: Moment) -> Option<Lane> {
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
        let is_ready = is_closing || gate == Gate::Probe || self.pace.is_ready(now.at);
        let is_backlog = is_ready && (self.backlog_load.is_some() || self.spool.ready(now.at).next().is_some());
        match (is_live, is_backlog) {
            (true, true) if self.has_turn(now) => Some(Lane::Backlog),
            (true, _) => Some(Lane::Live),
            (false, true) => Some(Lane::Backlog),
            (false, false) => None,
        }
    }

    /// Whether the backlog goes before a live batch: where the sink is so slow that one always waits. Then they take turns, as
    /// long as no live batch waits a period for it that could be sent within one.
    fn has_turn(&self, now: Moment) -> bool {
        let Some((Lane::Live, took, ended)) = self.last else { return false };
        let Some(since) = self.live.front().map(|live| live.since) else { return false };
        let waited = now.at.saturating_duration_since(since);
        since <= ended && (took >= self.period || waited + took <= self.period)
    }

    /// All that is new, as far as it fits.
    fn load_live(&mut self, now: Moment) -> Load {
        let room = self.room();
        let (mut points, mut sources) = (Vec::new(), Vec::new());
        while let Some(live) = self.live.front() {
            if !sources.is_empty() && points.len() + live.batch.len() > room {
                break;
            }
            let Some(Live { batch, since, .. }) = self.live.pop_front() else { break };
            let born = self.spool.stamp(since);
            let range = self.append(&mut points, batch, now);
            sources.push(Source { entries: None, kept: 0, range, born, since, history: None });
        }
        Load { shipment: self.scouted(Shipment::new(points, Trust::Unknown)), sources }
    }

    /// While the line is in doubt or down, one point goes ahead: were it a whole batch, one series that the sink stumbles over
    /// would look like a sink that is away, for ever.
    fn scouted(&mut self, shipment: Shipment) -> Shipment {
        if self.line.is_well() {
            return shipment;
        }
        let place = self.chance.next() * shipment.points().len() as f64;
        shipment.with_scout(place as usize)
    }

    /// Points that fill what is sent at once.
    fn room(&self) -> usize {
        self.sink.as_ref().map_or(0, |sink| sink.full_request().saturating_mul(sink.lanes()).min(MAX_POINTS))
    }

    /// The oldest batches of the spool, as many as fit into what is sent at once; what may be why it failed alone, and for a probe just one.
    /// `None` where what was there cannot be had.
    fn load_backlog(&mut self, now: Moment) -> Option<Load> {
        let is_probe = self.line.gate(now.at) == Gate::Probe;
        let first = match is_probe && self.line.next_probe() == Probe::Newest {
            true => self.spool.ready(now.at).next_back(),
            false => self.spool.ready(now.at).next(),
        }?;
        // Of those that may be why they failed, the one that waited longest for its turn: the good half of what was divided is
        // not behind all of the bad.
        let suspects = |entry: &u64| self.spool.history(*entry).filter(|history| history.is_suspect());
        let since = |entry: &u64| suspects(entry).map(|history| history.not_before);
        let first = match since(&first) {
            Some(_) => {
                self.spool.ready(now.at).filter(|entry| since(entry).is_some()).min_by_key(since).unwrap_or(first)
            }
            None => first,
        };
        let trust = if is_probe { Trust::Probe } else { Trust::Unknown };
        let mut chosen = vec![first];
        if since(&first).is_none() && !is_probe {
            let room = self.room();
            let mut size = self.spool.size(first);
            for next in self.spool.ready(now.at).filter(|next| *next > first) {
                // What does not fill it would go as a small request of its own.
                if size + self.spool.size(next) > room {
                    break;
                }
                if since(&next).is_none() {
                    size += self.spool.size(next);
                    chosen.push(next);
                }
            }
        }
        let (mut points, mut sources) = (Vec::new(), Vec::new());
        for entry in chosen {
            let Read::Batch(batch, born) = self.spool.take(entry, now.at) else { continue };
            let kept = batch.len();
            let range = self.append(&mut points, batch, now);
            let history = self.spool.history(entry).cloned();
            sources.push(Source { entries: Some(vec![entry]), kept, range, born, since: now.at, history });
        }
        (!sources.is_empty()).then(|| Load { shipment: self.scouted(Shipment::new(points, trust)), sources })
    }

    /// The points of the batch as every sink may rely on, behind those that are there.
    fn append(&mut self, points: &mut Vec<Point>, batch: Batch, now: Moment) -> Range<usize> {
        let Batch { points: mut own, events } = batch;
        if !self.takes_events {
            // Events that were spooled for a sink that took them.
            let specials = own.iter_mut().filter(|point| point.kind == Kind::Special);
            specials.for_each(|point| *point = normalise::plain(point.clone()));
        }
        // Before the numbers: people wait for them.
        own.splice(0..0, normalise::event_points(&events, self.takes_events));
        let (own, unusable, merged) = normalise::normalise(own);
        self.status.merged += merged as u64;
        let unusable = unusable.into_iter().map(|(point, why)| Refusal { point, status: 0, why });
        self.refuse(unusable.collect(), now);
        let start = points.len();
        points.extend(own);
        start..points.len()
    }

    /// The exchange that was out has its answer.
    fn answered(&mut self, answer: Answer, now: Moment) {
        let Answer { mut sink, mut verdicts } = answer;
        for note in sink.notes() {
            log::warn!("{}: {note}", sink.name());
        }
        self.sink = Some(sink);
        let Some(Out { lane, since, until, points }) = self.out.take() else { return };
        let took = now.at.saturating_duration_since(since);
        self.last = Some((lane, took, now.at));
        if lane == Lane::Backlog {
            match verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })) {
                true => self.pace.failed(took, now.at),
                false => self.pace.sent(points, took, now.at),
            }
        }
        if now.at >= until {
            // It was not answered in the time that was given: to the sink that says nothing, here it does.
            let in_vain = verdicts.iter_mut().filter_map(|verdict| match verdict {
                Verdict::Retry { is_suspect, .. } => Some(is_suspect),
                _ => None,
            });
            in_vain.for_each(|is_suspect| *is_suspect = true);
        }
        let Some(mut load) = self.load_mut(lane).take() else { return };
        let is_told = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Part { .. }));
        load.shipment.answered(verdicts);
        let delivered = load.shipment.take_delivered();
        let refusals = load.shipment.take_refusals();
        self.status.delivered += delivered as u64;
        if delivered > 0 {
            self.steady = self.steady.saturating_add(u32::from(!load.is_suspect()));
            self.status.last_success = Some(now.wall);
            self.refuse_isolated(now);
        }
        if delivered > 0 || is_told {
            let back = self.line.success(now.at);
            self.voice.line(&back, "", self.waiting(), now.at);
        }
        self.refuse(refusals, now);
        match load.shipment.stop() {
            Some(_) => self.settle(load, now),
            None => *self.load_mut(lane) = Some(load),
        }
        // What was begun and waits for its next request is on disk; it is taken up again when the line is.
        if !self.line.is_up() {
            for load in [self.live_load.take(), self.backlog_load.take()].into_iter().flatten() {
                self.settle(load, now);
            }
        }
    }

    /// Nothing more of the load is sent now: what of it is not decided goes (back) to the spool.
    fn settle(&mut self, mut load: Load, now: Moment) {
        self.refuse(load.shipment.take_refusals(), now);
        let was_well = self.line.is_well();
        // In doubt, a single point that is suspect has no scout: its failure says nothing of the line, either.
        let is_alone = self.line.is_up() && load.shipment.points().len() == 1;
        let is_mute = load.is_suspect() && (was_well || is_alone);
        if let Some(stop) = load.shipment.stop().cloned() {
            // Nothing is proved by what comes now; they are tried again.
            self.isolated.clear();
            self.steady = if was_well || load.is_suspect() { self.steady } else { 0 };
            self.set_back(stop, is_mute, now);
        }
        for source in load.sources {
            self.settle_source(&load.shipment, source, was_well, now);
        }
    }

    /// What a failure says of the line: nothing with `is_mute`, where the content was suspected before.
    fn set_back(&mut self, stop: Stop, is_mute: bool, now: Moment) {
        let chance = self.chance.next();
        let (change, why) = match stop {
            Stop::Retry { is_suspect: true, .. } | Stop::AllRefused { .. } if is_mute => return,
            Stop::Retry { why, is_suspect: true, .. } => (self.line.doubt(Trouble::Down, now.at, chance), why),
            Stop::Retry { why, after, .. } => (self.line.failure(Trouble::Down, after, now.at, chance), why),
            Stop::Pause { why } => (self.line.failure(Trouble::Paused, None, now.at, chance), why),
            Stop::AllRefused { why } => {
                if let Some(sink) = &mut self.sink {
                    sink.forget_sizes();
                }
                let why = format!("refuses all that is sent: {why}");
                (self.line.doubt(Trouble::Paused, now.at, chance), why)
            }
        };
        self.voice.line(&change, &why, self.waiting(), now.at);
    }

    fn settle_source(&mut self, shipment: &Shipment, source: Source, was_well: bool, now: Moment) {
        let (mut open, mut later) = (Vec::new(), BTreeMap::<Why, (Vec<Point>, Arc<Reason>)>::new());
        for place in source.range.clone() {
            let Some(point) = shipment.points().get(place) else { continue };
            match shipment.fates().get(place) {
                Some(Fate::Open) => open.push(point.clone()),
                Some(Fate::Later(reason)) => {
                    let of_kind = later.entry(reason.kind).or_insert_with(|| (Vec::new(), Arc::clone(reason)));
                    of_kind.0.push(point.clone());
                }
                _ => {}
            }
        }
        // What may be sent at once goes before what has to wait.
        let mut groups = Vec::new();
        if !open.is_empty() {
            groups.push(Group { points: open, history: None, is_isolated: false });
        }
        for (why, (points, reason)) in later {
            let was_alone = source.history.as_ref().is_some_and(History::was_alone) && reason.status > 0;
            let cause = match why {
                Why::Named => Cause::Named,
                Why::Isolated => Cause::Isolated,
                Why::Suspect if was_well && was_alone && points.len() == 1 => Cause::Isolated,
                Why::Suspect if was_well => Cause::Blamed,
                Why::Suspect => Cause::Outage,
            };
            groups.extend(self.consequence(points, &source, &reason, cause, now));
        }
        self.put_groups(source, groups, now);
    }

    /// What becomes of points that did not get through: as one, as halves, or refused.
    fn consequence(
        &mut self,
        mut points: Vec<Point>,
        source: &Source,
        reason: &Reason,
        cause: Cause,
        now: Moment,
    ) -> Vec<Group> {
        let said = (reason.status, &*reason.why);
        let (history, consequence) = History::after(source.history.as_ref(), points.len(), cause, said, now.at);
        let is_too_old = history.has_reason() && self.spool.is_too_old(source.born, now.at);
        let is_proved = consequence == Consequence::Refuse && self.steady >= STEADY;
        if is_proved || is_too_old {
            let refusal = |point| Refusal { point, status: reason.status, why: reason.why.clone() };
            self.refuse(points.into_iter().map(refusal).collect(), now);
            return Vec::new();
        }
        let is_isolated = cause == Cause::Isolated;
        if history.blame > 1 && !is_isolated {
            let wait = history.not_before.saturating_duration_since(now.at);
            self.voice.suspects(points.len(), &reason.why, wait, now.at);
        }
        if consequence == Consequence::Divide {
            let behind = points.split_off(points.len() / 2);
            let history = history.of_half(now.at);
            let half = |points| Group { points, history: Some(history.clone()), is_isolated };
            return vec![half(points), half(behind)];
        }
        vec![Group { points, history: Some(history), is_isolated }]
    }

    /// Puts what is left of a batch into the spool. What is new there is written before what it replaces is gone.
    fn put_groups(&mut self, source: Source, mut groups: Vec<Group>, now: Moment) {
        let batch = |points| Batch { points, events: Vec::new() };
        let entries = source.entries.unwrap_or_default();
        let stays = entries.first().filter(|_| !groups.is_empty()).map(|entry| (*entry, groups.remove(0)));
        let mut new = Vec::new();
        for Group { points, history, is_isolated } in groups {
            let numbers = self.keep(batch(points), source.born, now);
            new.extend(numbers.into_iter().map(|entry| (entry, history.clone(), is_isolated)));
        }
        let is_kept = stays.is_some();
        if let Some((entry, Group { points, history, is_isolated })) = stays {
            let is_changed = (points.len(), 1) != (source.kept, entries.len());
            let shrunk = if is_changed { self.spool.shrink(entry, batch(points), source.born, now) } else { Ok(()) };
            if let Err(error) = &shrunk {
                log::warn!("{error}; that batch will be sent whole again");
                // All of it is there still.
                let gravest = new.last().map_or(history, |(_, history, _)| history.clone());
                new.drain(..).for_each(|(number, ..)| self.spool.done(number));
                self.spool.put_back(entry, gravest);
            } else {
                new.push((entry, history, is_isolated));
            }
        }
        entries.iter().skip(usize::from(is_kept)).for_each(|entry| self.spool.done(*entry));
        for (entry, history, is_isolated) in new {
            self.put(entry, history, is_isolated);
        }
    }

    fn put(&mut self, entry: u64, history: Option<History>, is_isolated: bool) {
        self.spool.put_back(entry, history);
        if is_isolated {
            self.isolated.push(entry);
        }
    }

    /// The sink takes others: what was alone and refused is tried once more, or refused for good when that was done.
    fn refuse_isolated(&mut self, now: Moment) {
        for entry in std::mem::take(&mut self.isolated) {
            let Some(history) = self.spool.history(entry).cloned() else { continue };
            let (status, why) = (history.status, history.why.clone());
            if let Some(history) = history.after_a_success(now.at) {
                self.spool.put_back(entry, Some(history));
            } else if let Read::Batch(batch, _) = self.spool.take(entry, now.at) {
                let refusal = |point| Refusal { point, status, why: why.clone() };
                self.refuse(batch.points.into_iter().map(refusal).collect(), now);
                self.spool.done(entry);
            }
        }
    }

    /// Points refused for good.
    fn refuse(&mut self, refusals: Vec<Refusal>, now: Moment) {
        if refusals.is_empty() {
            return;
        }
        if let Err(error) = self.rejected.keep(&refusals, &self.identity.host, now.wall) {
            log::warn!("{error}; {} refused points are not kept there", refusals.len());
        }
        self.status.refused += refusals.len() as u64;
        refusals.iter().for_each(|refusal| self.voice.refused(&refusal.why));
    }

    fn drop_points(&mut self, dropped: Dropped) {
        self.status.dropped += dropped.points() as u64;
        self.voice.dropped(dropped);
    }

    /// When to look again although nothing happens.
    fn wake(&self, now: Moment) -> Option<Instant> {
        let patience = self.patience();
        let loaded =
            self.live_load.as_ref().and_then(|load| load.sources.iter().find(|source| source.entries.is_none()));
        let memory = loaded.map(|source| source.since).into_iter().chain(self.live.front().map(|live| live.since));
        let disk = self.spool.wants_disk().then(|| self.next_flush());
        let always =
            memory.map(|since| since + patience).chain(disk).chain(self.queue.closing()).chain(self.voice.next());
        if self.out.is_some() {
            return always.min();
        }
        let backlog = match self.line.gate(now.at) {
            Gate::Shut(until) => Some(until).filter(|_| !self.spool.is_empty()),
            _ if self.backlog_load.is_some() || self.spool.ready(now.at).next().is_some() => self.pace.next(),
            _ => self.spool.next_ready(),
        };
        always.chain(self.quiet).chain(backlog).min()
    }

    /// The last turn: what is begun is left with what is not decided, and what the disk did not take is lost.
    fn end(&mut self, now: Moment) {
        for load in [self.live_load.take(), self.backlog_load.take()].into_iter().flatten() {
            self.settle(load, now);
        }
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

    /// Tells the log and whoever looks from outside how it is.
    fn tell(&mut self, now: Moment, at_the_end: bool) {
        let dropped = self.spool.take_dropped();
        self.drop_points(dropped);
        for note in self.spool.take_notes() {
            log::error!("spool: {note}");
        }
        self.voice.tell_fates(|| self.rejected.file(), at_the_end, now.at);
        self.voice.remind(self.waiting(), now.at);
        let status = &mut self.status;
        status.is_up = self.line.is_up();
        let wait = self.line.probe_at().map(|probe| probe.saturating_duration_since(now.at));
        status.backoff = wait.unwrap_or_default();
        (status.spool_batches, status.spool_bytes) = (self.spool.files(), self.spool.bytes());
        let live = self.live.iter().map(|live| live.batch.len()).sum::<usize>();
        let loaded = self.live_load.iter().map(Load::in_memory).sum::<usize>();
        status.memory_points = (live + loaded + self.spool.memory_points()) as u64;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = *status;
    }

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
