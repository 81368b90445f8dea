//! What happens to a load after an answer: its points are delivered, spooled with a history, or refused.

use super::backoff::Trouble;
use super::history::{Cause, Consequence, History};
use super::load::{Load, LoadKind, Source};
use super::shipment::{Kind, PointState, Reason, Refusal, Shipment, Stop};
use super::spool::Read;
use super::{Delivery, Moment};
use crate::model::point::{Batch, Point};
use crate::sink::Verdict;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// How steady a sink has to be, see [`Proof::steady`], before a point is refused because requests fail with it. Without
/// this, a sink that fails at random would get every point refused in the end.
const STEADY: u32 = 16;

/// Recent behaviour of the sink, as far as it proves which points are the cause of failures.
#[derive(Default)]
pub struct Proof {
    /// Accepted requests without a suspect, since such a request last failed while the line was in doubt or down.
    steady: u32,
    /// Spool entries with a single point that was refused: the point is the cause if the sink accepts the next request.
    isolated: Vec<u64>,
}

/// Points of a batch that become one spool entry.
struct Group {
    points: Vec<Point>,
    /// How long they wait and why; `None` if they may be sent at once.
    history: Option<History>,
    /// A single point that was sent alone and refused.
    is_isolated: bool,
}

impl Delivery {
    /// Applies the verdicts to the load that was in flight, and to the line.
    pub(super) fn decide(&mut self, kind: LoadKind, verdicts: Vec<Verdict>, now: Moment) {
        let Some(mut load) = self.load_mut(kind).take() else { return };
        let has_part = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Part { .. }));
        load.shipment.answered(verdicts);
        let delivered = load.shipment.take_delivered();
        let refusals = load.shipment.take_refusals();
        self.status.delivered += delivered as u64;
        if delivered > 0 {
            self.proof.steady = self.proof.steady.saturating_add(u32::from(!load.is_suspect()));
            self.status.last_success = Some(now.wall);
            if kind == LoadKind::Live {
                let since = load.sources.iter().map(|source| source.since).min();
                self.status.waited = since.map(|since| now.at.saturating_duration_since(since));
            }
            self.decide_isolated(now);
        }
        if delivered > 0 || has_part {
            let back = self.line.success(now.at);
            self.reporter.line(&back, "", self.waiting(), now.at);
            self.status.line(&back, "", now.wall);
        }
        self.refuse(refusals, now);
        match load.shipment.stop() {
            Some(_) => self.settle(load, now),
            None => *self.load_mut(kind) = Some(load),
        }
        // Points that wait for their next request wait in the spool until the line is up again.
        if !self.line.is_up() {
            self.settle_all(now);
        }
    }

    /// Settles the loads in progress.
    pub(super) fn settle_all(&mut self, now: Moment) {
        for load in [self.live_load.take(), self.backlog_load.take()].into_iter().flatten() {
            self.settle(load, now);
        }
    }

    /// Ends a load: its undecided points go (back) to the spool.
    pub(super) fn settle(&mut self, mut load: Load, now: Moment) {
        self.refuse(load.shipment.take_refusals(), now);
        let was_well = self.line.is_well();
        if let Some(stop) = load.shipment.stop().cloned() {
            self.proof.isolated.clear();
            if !was_well && !load.is_suspect() {
                self.proof.steady = 0;
            }
            // In doubt, a scout shows whether the sink or the content fails; a load of a single point has no scout.
            let is_single = self.line.is_up() && load.shipment.points().len() == 1;
            let is_excused = load.is_suspect() && (was_well || is_single);
            self.set_back(stop, is_excused, now);
        }
        for source in load.sources {
            self.settle_source(&load.shipment, source, was_well, now);
        }
    }

    /// A failure sets the line back. It does not if the load's content explains it (`is_excused`), unless the sink
    /// reports that the failure is its own.
    fn set_back(&mut self, stop: Stop, is_excused: bool, now: Moment) {
        let random = self.random.next();
        let (change, why) = match stop {
            Stop::Retry { is_suspect: true, .. } | Stop::AllRefused { .. } if is_excused => return,
            Stop::Retry { why, is_suspect: true, .. } => (self.line.doubt(Trouble::Down, now.at, random), why),
            Stop::Retry { why, after, .. } => (self.line.failure(Trouble::Down, after, now.at, random), why),
            Stop::Pause { why } => (self.line.failure(Trouble::Paused, None, now.at, random), why),
            Stop::AllRefused { why } => {
                if let Some(sink) = &mut self.sink {
                    sink.forget_sizes();
                }
                let why = format!("refuses all that is sent: {why}");
                (self.line.doubt(Trouble::Paused, now.at, random), why)
            }
        };
        self.reporter.line(&change, &why, self.waiting(), now.at);
        self.status.line(&change, &why, now.wall);
    }

    fn settle_source(&mut self, shipment: &Shipment, source: Source, was_well: bool, now: Moment) {
        let mut groups = Vec::new();
        for (reason, points) in left(shipment, source.range.clone()) {
            match reason {
                None => groups.push(Group { points, history: None, is_isolated: false }),
                Some(reason) => {
                    let cause = cause(&reason, points.len(), source.history.as_ref(), was_well);
                    groups.extend(self.consequence(points, &source, &reason, cause, now));
                }
            }
        }
        self.put_groups(source, groups, now);
    }

    /// What happens to points that were not delivered: they wait as one group or as two halves, or are refused.
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
        let is_proved = consequence == Consequence::Refuse && self.proof.steady >= STEADY;
        if is_proved || is_too_old {
            let refusal = |point| Refusal { point, status: reason.status, why: reason.why.clone() };
            self.refuse(points.into_iter().map(refusal).collect(), now);
            return Vec::new();
        }
        let is_isolated = cause == Cause::Isolated;
        if history.blame > 1 && !is_isolated {
            let wait = history.not_before.saturating_duration_since(now.at);
            self.reporter.suspects(points.len(), &reason.why, wait, now.at);
        }
        if consequence == Consequence::Divide {
            let second = points.split_off(points.len() / 2);
            let history = history.of_half(now.at);
            let half = |points| Group { points, history: Some(history.clone()), is_isolated };
            return vec![half(points), half(second)];
        }
        vec![Group { points, history: Some(history), is_isolated }]
    }

    /// Puts what is left of a batch into the spool: the first group replaces the batch's first entry, the others become
    /// new entries. The new entries are written before the old ones change.
    fn put_groups(&mut self, source: Source, mut groups: Vec<Group>, now: Moment) {
        let batch = |points| Batch { points, events: Vec::new() };
        let entries = source.entries.unwrap_or_default();
        let stays = entries.first().filter(|_| !groups.is_empty()).map(|entry| (*entry, groups.remove(0)));
        let mut new = Vec::new();
        for Group { points, history, is_isolated } in groups {
            let numbers = self.spool_batch(batch(points), source.born, now);
            new.extend(numbers.into_iter().map(|entry| (entry, history.clone(), is_isolated)));
        }
        let is_kept = stays.is_some();
        if let Some((entry, Group { points, history, is_isolated })) = stays {
            let is_changed = (points.len(), 1) != (source.kept, entries.len());
            if is_changed && let Err(error) = self.spool.shrink(entry, batch(points), source.born, now) {
                log::warn!("{error}; that batch will be sent whole again");
                // The old entries still hold all of it.
                let gravest = new.last().map_or(history, |(_, history, _)| history.clone());
                new.iter().for_each(|(entry, ..)| self.spool.done(*entry));
                return entries.iter().for_each(|entry| self.spool.put_back(*entry, gravest.clone()));
            }
            new.push((entry, history, is_isolated));
        }
        entries.iter().skip(usize::from(is_kept)).for_each(|entry| self.spool.done(*entry));
        for (entry, history, is_isolated) in new {
            self.spool.put_back(entry, history);
            if is_isolated {
                self.proof.isolated.push(entry);
            }
        }
    }

    /// The sink accepted something after single points had been refused alone. Each of them is sent once more; one that
    /// was refused twice is refused for good.
    fn decide_isolated(&mut self, now: Moment) {
        for entry in std::mem::take(&mut self.proof.isolated) {
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

    /// Writes points that are refused for good to the rejected area.
    pub(super) fn refuse(&mut self, refusals: Vec<Refusal>, now: Moment) {
        if refusals.is_empty() {
            return;
        }
        if let Err(error) = self.rejected.keep(&refusals, &self.identity.host, now.wall) {
            log::warn!("{error}; {} refused points are not kept there", refusals.len());
        }
        self.status.refused += refusals.len() as u64;
        refusals.iter().for_each(|refusal| self.reporter.refused(&refusal.why));
    }
}

/// The undecided points of that range, one group for each kind of reason; the group without a reason is first.
fn left(shipment: &Shipment, range: Range<usize>) -> Vec<(Option<Arc<Reason>>, Vec<Point>)> {
    let mut groups = BTreeMap::new();
    for place in range {
        let reason = match shipment.states().get(place) {
            Some(PointState::Open) => None,
            Some(PointState::Later(reason)) => Some(reason),
            Some(PointState::Delivered | PointState::Refused) | None => continue,
        };
        let (_, points) =
            groups.entry(reason.map(|reason| reason.kind)).or_insert_with(|| (reason.cloned(), Vec::new()));
        points.extend(shipment.points().get(place).cloned());
    }
    groups.into_values().collect()
}

/// What the failure of `count` points proves about them. `was_well`: the request before was accepted.
fn cause(reason: &Reason, count: usize, before: Option<&History>, was_well: bool) -> Cause {
    let is_refused_again = reason.status > 0 && before.is_some_and(History::was_alone);
    match reason.kind {
        Kind::Named => Cause::Named,
        Kind::Isolated => Cause::Isolated,
        Kind::Suspect if was_well && is_refused_again && count == 1 => Cause::Isolated,
        Kind::Suspect if was_well => Cause::Blamed,
        Kind::Suspect => Cause::Outage,
    }
}
