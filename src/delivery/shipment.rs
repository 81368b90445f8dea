//! Points on their way through the sink, request by request, until each of them is decided: delivered, refused, or left.
//!
//! Acts on verdicts alone: halves what is too large, looks for what is refused without a name among the largest part first,
//! and sends the rest of a partly stored request once more. *Invariant:* a point is refused here only when the sink named it;
//! of one that was alone and refused that is said, for delivery to prove. Pure.

use crate::model::point::{Identity, Point};
use crate::sink::{Refused, Request, Sink, Verdict};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Refused requests after which the search for culprits is broken off, to be taken up later.
const SEARCH: usize = 64;
/// The same while the sink has stored nothing of the shipment.
const SEARCH_UNPROVED: usize = 16;
/// How often points may be sent once more because the sink learned something about them.
const ROUNDS: u32 = 8;

/// A point that is refused for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub point: Point,
    pub status: u16,
    pub why: String,
}

/// What is known of a point.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PointState {
    /// Nothing: it was not sent, or its request says nothing of it.
    #[default]
    Open,
    Delivered,
    Refused,
    /// To be tried later, for this reason.
    Later(Arc<Reason>),
}

/// Why a point is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub status: u16,
    pub why: String,
    pub kind: Kind,
}

/// What a reason says of the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The sink named it, or the search among it and others was broken off.
    Named,
    /// It was alone and refused, and others of the shipment were taken.
    Isolated,
    /// The request as a whole failed, and what was in it may be the cause.
    Suspect,
}

/// Why nothing more of it can be sent now.
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
    /// All that was sent was refused, nothing stored and nothing named: the sink as a whole may be wrong.
    AllRefused {
        why: String,
    },
}

/// What is known of the sink before a shipment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Unknown,
    /// It is down or paused, and this is the attempt to find out: a refusal is an answer, nothing is searched.
    Probe,
}

/// Points that are sent by themselves.
struct Part {
    points: Arc<Vec<Point>>,
    /// Their positions in the shipment.
    places: Vec<usize>,
    /// How often they were sent before because of what the sink learned.
    round: u32,
}

/// The part that is being sent, with the requests that are left of it.
struct Current {
    part: Part,
    /// The next one last.
    requests: Vec<Request>,
}

/// A shipment under way.
pub struct Shipment {
    points: Arc<Vec<Point>>,
    states: Vec<PointState>,
    current: Option<Current>,
    /// A single point that goes ahead of the others, until it is sent.
    scout: Option<Part>,
    /// It is out.
    is_scouting: bool,
    /// Points of the requests that are out, by position in the current part.
    out: Vec<Range<usize>>,
    parts: Vec<Part>,
    /// Parts of what was too large: they come first, the smallest at the end, so that a sink that takes no size is found soon.
    too_large: Vec<Part>,
    trust: Trust,
    /// Requests that were refused without a name.
    searched: usize,
    /// Something of it was stored, or named by the sink.
    is_proved: bool,
    /// Points that were alone and refused.
    held: Vec<(usize, u16, String)>,
    /// The last refusal without a name.
    refusal: Option<(u16, String)>,
    refusals: Vec<Refusal>,
    delivered: usize,
    stop: Option<Stop>,
}

impl Shipment {
    /// Of points that are normalised.
    pub fn new(points: Vec<Point>, trust: Trust) -> Shipment {
        let points = Arc::new(points);
        let whole = Part { points: Arc::clone(&points), places: (0..points.len()).collect(), round: 0 };
        Shipment {
            states: vec![PointState::Open; points.len()],
            points,
            current: None,
            scout: None,
            is_scouting: false,
            out: Vec::new(),
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

    /// The same with the point at that position ahead of the others: one that is most likely good tells whether the sink is
    /// well, whatever is among them. Where it fails, that says nothing of any.
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

    /// Points refused since the last call.
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// How many points were delivered since the last call.
    pub fn take_delivered(&mut self) -> usize {
        std::mem::take(&mut self.delivered)
    }

    /// Why it ended early.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// The next requests, at most `most` of them, and the points that their ranges count. `None` when it is over.
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
                self.out = requests.iter().map(|request| request.points.clone()).collect();
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

    /// What was too large comes first; then the largest part, so that most good points are through when the search is broken
    /// off.
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

    /// What became of the requests that were out, in their order.
    pub fn answered(&mut self, verdicts: Vec<Verdict>) {
        for (range, verdict) in std::mem::take(&mut self.out).into_iter().zip(verdicts) {
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

    /// Both halves are sent by themselves; what cannot be halved is held.
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

    /// Nothing more is sent: what a search has not decided is left, with the reason.
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

    /// Position in the shipment of a point of the current part.
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

    /// These points of the current part, as a part of their own.
    fn pick(&self, indices: &[usize], round: u32) -> Part {
        let Some(current) = &self.current else { return Part { points: Arc::default(), places: Vec::new(), round } };
        let points = indices.iter().filter_map(|index| current.part.points.get(*index).cloned()).collect();
        let places = indices.iter().filter_map(|index| current.part.places.get(*index).copied()).collect();
        Part { points: Arc::new(points), places, round }
    }
}
