//! Builds loads: which batches are sent together, with their points normalised.

use super::history::History;
use super::line::{Gate, Probe};
use super::shipment::{Refusal, Shipment, Trust};
use super::spool::{Read, Spool};
use super::{Delivery, Live, MAX_POINTS, Moment, normalise};
use crate::model::point::{Batch, Point};
use std::ops::Range;
use std::time::Instant;

/// The two kinds of load: new batches, and batches from the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    Live,
    Backlog,
}

/// What is sent together: the shipment, and the batches that its points come from.
pub struct Load {
    pub shipment: Shipment,
    pub sources: Vec<Source>,
}

/// A batch that is part of a load.
pub struct Source {
    /// Its spool entries; `None` while its points are in memory only.
    pub entries: Option<Vec<u64>>,
    /// Number of points in these entries.
    pub kept: usize,
    /// Where its points are in the shipment.
    pub range: Range<usize>,
    /// When it was first stored, see [`Spool::stamp`].
    pub born: i64,
    /// When it came into memory.
    pub since: Instant,
    pub history: Option<History>,
}

impl Load {
    /// The highest [`History::blame`] of its batches.
    pub fn blame(&self) -> u32 {
        let histories = self.sources.iter().filter_map(|source| source.history.as_ref());
        histories.map(|history| history.blame).max().unwrap_or(0)
    }

    /// Whether its content may be why it failed before.
    pub fn is_suspect(&self) -> bool {
        self.blame() > 0
    }

    /// Since when points of it are in memory only; `None` if all are in the spool.
    pub fn in_memory_since(&self) -> Option<Instant> {
        self.sources.iter().find(|source| source.entries.is_none()).map(|source| source.since)
    }

    /// Number of undecided points that are in memory only.
    pub fn memory_points(&self) -> usize {
        let in_memory = self.sources.iter().filter(|source| source.entries.is_none());
        in_memory.map(|source| self.shipment.undecided(source.range.clone()).count()).sum()
    }
}

impl Delivery {
    /// Builds a load of that kind; `None` if nothing could be read from the spool.
    pub(super) fn load(&mut self, kind: LoadKind, now: Moment) -> Option<Load> {
        match kind {
            LoadKind::Live => Some(self.load_live(now)),
            LoadKind::Backlog => self.load_backlog(now),
        }
    }

    /// Takes the new batches, oldest first, as many as fit.
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

    fn load_backlog(&mut self, now: Moment) -> Option<Load> {
        let probe = (self.line.gate(now.at) == Gate::Probe).then(|| self.line.next_probe());
        let trust = if probe.is_some() { Trust::Probe } else { Trust::Unknown };
        let mut batches = Vec::new();
        for entry in choose_entries(&self.spool, self.room(), probe, now.at) {
            if let Read::Batch(batch, born) = self.spool.take(entry, now.at) {
                batches.push((entry, batch, born));
            }
        }
        // A half that was split off its batch has a higher number than newer batches; in a request no series may go
        // back in time.
        batches.sort_by_key(|(_, batch, _)| batch.points.first().map(|point| point.time));
        let (mut points, mut sources) = (Vec::new(), Vec::new());
        for (entry, batch, born) in batches {
            let kept = batch.len();
            let range = self.append(&mut points, batch, now);
            let history = self.spool.history(entry).cloned();
            sources.push(Source { entries: Some(vec![entry]), kept, range, born, since: now.at, history });
        }
        (!sources.is_empty()).then(|| Load { shipment: self.scouted(Shipment::new(points, trust)), sources })
    }

    /// How many points are sent together.
    fn room(&self) -> usize {
        self.sink.as_ref().map_or(0, |sink| sink.full_request().saturating_mul(sink.lanes()).min(MAX_POINTS))
    }

    /// Appends the normalised points of a batch and returns their range. Points that no sink can take are refused.
    fn append(&mut self, points: &mut Vec<Point>, batch: Batch, now: Moment) -> Range<usize> {
        let (own, unusable, merged) = normalise::points_of(batch, self.takes_events);
        self.status.merged += merged as u64;
        let unusable = unusable.into_iter().map(|(point, why)| Refusal { point, status: 0, why });
        self.refuse(unusable.collect(), now);
        let start = points.len();
        match points.is_empty() {
            true => *points = own,
            false => points.extend(own),
        }
        start..points.len()
    }

    /// While the line is not well, one point, chosen at random, is sent ahead: if a single series made every request
    /// fail, the sink would look unreachable for ever.
    fn scouted(&mut self, shipment: Shipment) -> Shipment {
        if self.line.is_well() {
            return shipment;
        }
        let place = self.random.next() * shipment.points().len() as f64;
        shipment.with_scout(place as usize)
    }
}

/// The spool entries of the next load: the oldest, as many as fit into `room`. A suspect is sent alone, and a probe is
/// a single entry.
fn choose_entries(spool: &Spool, room: usize, probe: Option<Probe>, now: Instant) -> Vec<u64> {
    // When a suspect may be sent again; `None` for all other entries.
    let due =
        |entry: &u64| spool.history(*entry).filter(|history| history.is_suspect()).map(|history| history.not_before);
    let ready = || spool.ready(now);
    // They do not wait behind suspects; and a probe with a suspect would prove nothing.
    let others = || ready().filter(|entry| due(entry).is_none());
    let first = if probe == Some(Probe::Newest) { others().next_back() } else { others().next() };
    let Some(first) = first else {
        // Ordered by due time, not by age: after a batch was halved, its good points would wait behind all the bad
        // ones.
        return ready().filter(|entry| due(entry).is_some()).min_by_key(due).into_iter().collect();
    };
    let mut chosen = vec![first];
    if probe.is_some() {
        return chosen;
    }
    let mut size = spool.size(first);
    for next in others().filter(|next| *next > first) {
        // A batch that does not fit would make a small request of its own.
        if size + spool.size(next) > room {
            break;
        }
        size += spool.size(next);
        chosen.push(next);
    }
    chosen
}
