//! Sends points request by request, until each point is decided: delivered, refused, or left for later.
//!
//! Acts on verdicts only: halves what is too large; searches for the bad points of a request that was refused without
//! naming any, in the largest part first; and sends the rest of a partly stored request again. *Invariant:* a point is
//! refused here only if the sink named it. A point that was refused when sent alone is reported as [`Kind::Isolated`],
//! and `settle.rs` decides. Pure.

use crate::model::point::{Identity, Point};
use crate::sink::{Refused, Request, Sink, Verdict};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The search for bad points stops after this many refused requests, and goes on later.
const SEARCH: usize = 64;
/// The same while the sink has stored nothing of the shipment.
const SEARCH_UNPROVED: usize = 16;
/// How often points may be sent again because the sink learned something about them.
const ROUNDS: u32 = 8;

/// A point that is refused for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub point: Point,
    pub status: u16,
    pub why: String,
}

/// What is known about a point.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PointState {
    /// Not sent yet, or its request said nothing about it.
    #[default]
    Open,
    Delivered,
    Refused,
    /// To be sent later, for this reason.
    Later(Arc<Reason>),
}

/// Why a point is left for later.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub status: u16,
    pub why: String,
    pub kind: Kind,
}

/// What a reason says about the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The sink named it, or the search among it and others was stopped.
    Named,
    /// It was refused when sent alone, and others of the shipment were accepted.
    Isolated,
    /// The request as a whole failed, and its content may be the cause.
    Suspect,
}

/// Why nothing more of the shipment can be sent now.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    Retry {
        why: String,
        after: Option<Duration>,
        is_suspect: bool,
    },
    Pause {
        why: String,
    },
    /// Everything was refused, nothing stored and no point named: the sink as a whole may be wrong.
    AllRefused {
        why: String,
    },
}

/// What is known about the sink before a shipment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Unknown,
    /// It is down or paused, and this attempt finds out whether it still is: there is no search after a refusal.
    Probe,
}

/// Points that are sent by themselves.
struct Part {
    points: Arc<Vec<Point>>,
    /// Their positions in the shipment.
    places: Vec<usize>,
    /// How often they were sent again because of what the sink learned.
    round: u32,
}

/// The part that is being sent, with its remaining requests.
struct Current {
    part: Part,
    /// In reverse: the next one is the last.
    requests: Vec<Request>,
}

/// A shipment under way.
pub struct Shipment {
    points: Arc<Vec<Point>>,
    states: Vec<PointState>,
    current: Option<Current>,
    /// A single point that is sent ahead of the others; `None` once it is sent.
    scout: Option<Part>,
    /// The scout is in flight.
    is_scouting: bool,
    /// The points of the requests in flight, by position in the current part.
    in_flight: Vec<Range<usize>>,
    parts: Vec<Part>,
    /// Halves of parts that were too large. They are sent first, the smallest at the end of the list, so that a sink
    /// that accepts no size is found soon.
    too_large: Vec<Part>,
    trust: Trust,
    /// Number of requests that were refused without a named point.
    searched: usize,
    /// The sink stored something of the shipment, or named a point.
    is_proved: bool,
    /// Points that were refused when sent alone: position in the shipment, status, reason.
    held: Vec<(usize, u16, String)>,
    /// The last refusal without a named point.
    refusal: Option<(u16, String)>,
    refusals: Vec<Refusal>,
    delivered: usize,
    stop: Option<Stop>,
}

impl Shipment {
    /// `points` have to be normalised.
    pub fn new(points: Vec<Point>, trust: Trust) -> Shipment {
        let points = Arc::new(points);
        let whole = Part { points: Arc::clone(&points), places: (0..points.len()).collect(), round: 0 };
        Shipment {
            states: vec![PointState::Open; points.len()],
            points,
            current: None,
            scout: None,
            is_scouting: false,
            in_flight: Vec::new(),
            parts: vec![whole],
            too_large: Vec::new(),
            trust,
            searched: 0,
            is_proved: false,
            held: Vec::new(),
            refusal: None,
            refusals: Vec::new(),
            delivered: 0,
            stop: None,
        }
    }

    /// Sends the point at that position ahead of the others: a point that is probably good shows whether the sink
    /// works, whatever the other points are. If it fails, that says nothing about any point.
    pub fn with_scout(mut self, place: usize) -> Shipment {
        if let Some(point) = self.points.get(place).filter(|_| self.points.len() > 1) {
            self.scout = Some(Part { points: Arc::new(vec![point.clone()]), places: vec![place], round: 0 });
            let others: Vec<usize> = (0..self.points.len()).filter(|other| *other != place).collect();
            let points = others.iter().filter_map(|other| self.points.get(*other).cloned()).collect();
            self.parts = vec![Part { points: Arc::new(points), places: others, round: 0 }];
        }
        self
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }

    pub fn states(&self) -> &[PointState] {
        &self.states
    }

    /// The points of that range that are neither delivered nor refused.
    pub fn undecided(&self, range: Range<usize>) -> impl Iterator<Item = &Point> {
        let is_undecided =
            |place: &usize| matches!(self.states.get(*place), Some(PointState::Open | PointState::Later(_)));
        range.filter(is_undecided).filter_map(|place| self.points.get(place))
    }

    /// Takes the points that were refused since the last call.
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// Takes the number of points delivered since the last call.
    pub fn take_delivered(&mut self) -> usize {
        std::mem::take(&mut self.delivered)
    }

    /// Why it ended early, if it did.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// The next requests, at most `most`, and the points that their ranges refer to. `None` when the shipment is over.
    pub fn next(
        &mut self,
        sink: &dyn Sink,
        identity: &Identity,
        most: usize,
    ) -> Option<(Vec<Request>, Arc<Vec<Point>>)> {
        while self.stop.is_none() {
            if let Some(current) = self.current.as_mut().filter(|current| !current.requests.is_empty()) {
                let most = if self.searched > 0 || self.trust == Trust::Probe { 1 } else { most.max(1) };
                let kept = current.requests.len().saturating_sub(most);
                let mut requests = current.requests.split_off(kept);
                requests.reverse();
                self.in_flight = requests.iter().map(|request| request.points.clone()).collect();
                return Some((requests, Arc::clone(&current.part.points)));
            }
            self.current = None;
            let Some(part) = self.next_part() else { break };
            let encoded = sink.encode(&part.points, identity);
            for Refused { index, status, why } in encoded.refused {
                self.refuse(part.places.get(index).copied(), status, why);
            }
            let mut requests = encoded.requests;
            requests.reverse();
            self.current = Some(Current { part, requests });
        }
        self.conclude();
        None
    }

    /// Halves of what was too large come first, then the largest part: so most good points are delivered before the
    /// search stops.
    fn next_part(&mut self) -> Option<Part> {
        if self.is_search_over() {
            return None;
        }
        if let Some(part) = self.scout.take() {
            self.is_scouting = true;
            return Some(part);
        }
        if let Some(part) = self.too_large.pop() {
            return Some(part);
        }
        let sizes = self.parts.iter().enumerate().map(|(place, part)| (part.places.len(), usize::MAX - place));
        let (_, place) = sizes.max()?;
        Some(self.parts.remove(usize::MAX - place))
    }

    fn is_search_over(&self) -> bool {
        self.searched >= if self.is_proved { SEARCH } else { SEARCH_UNPROVED }
    }

    /// Takes the verdicts on the requests that were in flight, in their order.
    pub fn answered(&mut self, verdicts: Vec<Verdict>) {
        for (range, verdict) in std::mem::take(&mut self.in_flight).into_iter().zip(verdicts) {
            self.answer(range, verdict);
        }
        self.is_scouting = false;
        if self.stop.is_some() {
            self.conclude();
        }
    }

    fn answer(&mut self, range: Range<usize>, verdict: Verdict) {
        let open: Vec<usize> = range.filter(|index| self.state(*index) == Some(&PointState::Open)).collect();
        match verdict {
            Verdict::Delivered => self.deliver(&open),
            Verdict::Part { refused, again, later } => self.part(open, refused, again, later),
            Verdict::Split { status, why } => self.halve(open, status, why, true),
            Verdict::Reject { status, why } => self.halve(open, status, why, false),
            Verdict::Retry { why, after, is_suspect } => {
                if is_suspect && !self.is_scouting {
                    let reason = Arc::new(Reason { status: 0, why: why.clone(), kind: Kind::Suspect });
                    open.iter().for_each(|index| self.set(*index, PointState::Later(Arc::clone(&reason))));
                }
                self.stop.get_or_insert(Stop::Retry { why, after, is_suspect });
            }
            Verdict::Pause { why } => {
                self.stop.get_or_insert(Stop::Pause { why });
            }
        }
    }

    fn part(&mut self, open: Vec<usize>, refused: Vec<Refused>, again: Vec<usize>, later: Vec<Refused>) {
        self.is_proved |= !refused.is_empty() || again.len() + later.len() < open.len();
        for Refused { index, status, why } in refused {
            self.refuse(self.place(index), status, why);
        }
        for Refused { index, status, why } in later {
            self.set(index, PointState::Later(Arc::new(Reason { status, why, kind: Kind::Named })));
        }
        let stored: Vec<usize> = open
            .into_iter()
            .filter(|index| !again.contains(index) && self.state(*index) == Some(&PointState::Open))
            .collect();
        self.deliver(&stored);
        let round = self.current.as_ref().map_or(0, |current| current.part.round);
        if again.is_empty() {
            return;
        }
        if round < ROUNDS {
            let part = self.pick(&again, round + 1);
            self.parts.push(part);
        } else {
            self.halve(again, 0, format!("still refused after {ROUNDS} attempts"), false);
        }
    }

    /// Both halves are sent by themselves; a single point is held.
    fn halve(&mut self, open: Vec<usize>, status: u16, why: String, is_too_large: bool) {
        self.refusal = Some((status, why.clone()));
        if !self.is_proved || !is_too_large {
            self.searched += 1;
        }
        if !self.is_proved && self.trust == Trust::Probe {
            self.stop.get_or_insert(Stop::AllRefused { why: why.clone() });
        }
        match open.split_at_checked(open.len() / 2) {
            Some((first, second)) if !first.is_empty() => {
                let round = self.current.as_ref().map_or(0, |current| current.part.round);
                let [first, second] = [self.pick(first, round), self.pick(second, round)];
                let to = if is_too_large { &mut self.too_large } else { &mut self.parts };
                to.extend([second, first]);
            }
            _ => {
                let alone: Vec<usize> = open.iter().filter_map(|index| self.place(*index)).collect();
                self.held.extend(alone.into_iter().map(|place| (place, status, why.clone())));
                if is_too_large && !self.is_proved {
                    self.stop.get_or_insert(Stop::AllRefused { why });
                }
            }
        }
    }

    /// Nothing more is sent: what the search has not decided is left for later, with the reason.
    fn conclude(&mut self) {
        self.current = None;
        let held = std::mem::take(&mut self.held);
        let parts = std::mem::take(&mut self.parts).into_iter().chain(std::mem::take(&mut self.too_large));
        let unsent: Vec<usize> = parts.flat_map(|part| part.places).collect();
        let Some((status, why)) = self.refusal.take().filter(|_| !(held.is_empty() && unsent.is_empty())) else {
            return;
        };
        if !self.is_proved {
            self.stop.get_or_insert(Stop::AllRefused { why: why.clone() });
        }
        let all_refused = matches!(self.stop, Some(Stop::AllRefused { .. }));
        for (place, status, why) in held {
            let kind = if all_refused { Kind::Suspect } else { Kind::Isolated };
            self.leave(place, Arc::new(Reason { status, why, kind }));
        }
        let kind = if all_refused { Kind::Suspect } else { Kind::Named };
        let reason = Arc::new(Reason { status, why, kind });
        unsent.into_iter().for_each(|place| self.leave(place, Arc::clone(&reason)));
    }

    fn leave(&mut self, place: usize, reason: Arc<Reason>) {
        if let Some(state @ PointState::Open) = self.states.get_mut(place) {
            *state = PointState::Later(reason);
        }
    }

    fn deliver(&mut self, open: &[usize]) {
        self.is_proved |= !open.is_empty();
        self.delivered += open.len();
        open.iter().for_each(|index| self.set(*index, PointState::Delivered));
    }

    fn refuse(&mut self, place: Option<usize>, status: u16, why: String) {
        let Some(place) = place else { return };
        if let (Some(point), Some(state @ PointState::Open)) = (self.points.get(place), self.states.get_mut(place)) {
            *state = PointState::Refused;
            self.refusals.push(Refusal { point: point.clone(), status, why });
        }
    }

    /// The position in the shipment of a point of the current part.
    fn place(&self, index: usize) -> Option<usize> {
        self.current.as_ref()?.part.places.get(index).copied()
    }

    fn state(&self, index: usize) -> Option<&PointState> {
        self.states.get(self.place(index)?)
    }

    fn set(&mut self, index: usize, state: PointState) {
        if let Some(place) = self.place(index)
            && let Some(known @ PointState::Open) = self.states.get_mut(place)
        {
            *known = state;
        }
    }

    /// These points of the current part as a new part.
    fn pick(&self, indices: &[usize], round: u32) -> Part {
        let Some(current) = &self.current else { return Part { points: Arc::default(), places: Vec::new(), round } };
        let points = indices.iter().filter_map(|index| current.part.points.get(*index).cloned()).collect();
        let places = indices.iter().filter_map(|index| current.part.places.get(*index).copied()).collect();
        Part { points: Arc::new(points), places, round }
    }
}
