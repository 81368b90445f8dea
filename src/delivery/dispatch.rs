//! Brings points through a sink until each of them is decided: delivered, refused for good, or left for later.
//!
//! Acts on verdicts alone: halves what is too large, bisects what is refused without a name, sends the rest of a partly
//! stored request once more, and stops at the first sign that the sink as a whole is away.

use crate::point::{Identity, Point};
use crate::sink::{Patience, Refused, Sink, Verdict};
use std::time::Duration;

/// Requests spent at most on finding the culprits of one batch; what is then undecided is refused.
const SEARCH_REQUESTS: usize = 64;
/// How often points may be sent once more because the sink learned something about them.
const ROUNDS: u32 = 8;

/// A point that is refused for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    pub point: Point,
    pub status: u16,
    pub why: String,
}

/// Why it ended early: nothing more can be delivered now.
#[derive(Clone, Debug, PartialEq)]
pub enum Setback {
    Retry { why: String, after: Option<Duration>, server_error: bool },
    Pause { why: String },
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub delivered: usize,
    pub lost: Vec<Lost>,
    /// Undecided, to be kept.
    pub left: Vec<Point>,
    pub setback: Option<Setback>,
}

/// A batch or a part of one, still to be sent.
struct Piece {
    points: Vec<Point>,
    /// How often its points were sent before because of what the sink learned.
    round: u32,
}

/// Sends `points`, which are normalised. With `blame_content` a failure of the server (5xx) counts as a refusal of
/// what was sent: the way to find the one point that a server stumbles over again and again.
pub fn dispatch(
    sink: &mut dyn Sink,
    identity: &Identity,
    points: Vec<Point>,
    blame_content: bool,
    patience: Patience,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut search_left = SEARCH_REQUESTS;
    let mut work = vec![Piece { points, round: 0 }];
    while let Some(piece) = work.pop() {
        if outcome.setback.is_some() {
            outcome.left.extend(piece.points);
            continue;
        }
        let encoded = sink.encode(&piece.points, identity);
        let unwritable: Vec<usize> = encoded.refused.iter().map(|refused| refused.index).collect();
        outcome.lose(&piece, encoded.refused);
        for request in &encoded.requests {
            let open: Vec<usize> = request.points.clone().filter(|index| !unwritable.contains(index)).collect();
            if outcome.setback.is_some() {
                outcome.left.extend(piece.pick(&open));
                continue;
            }
            match sink.send(request, &piece.points, &mut *patience) {
                Verdict::Delivered => outcome.delivered += open.len(),
                Verdict::Retry { why, server_error: true, .. } if blame_content => {
                    search(&piece, open, 500, why, &mut search_left, &mut work, &mut outcome);
                }
                Verdict::Reject { status, why } => {
                    search(&piece, open, status, why, &mut search_left, &mut work, &mut outcome);
                }
                Verdict::Split { status, why } => halve(&piece, open, status, why, &mut work, &mut outcome),
                Verdict::Part { refused, again, later } => {
                    let decided_elsewhere = refused.len() + again.len() + later.len();
                    outcome.delivered += open.len().saturating_sub(decided_elsewhere);
                    outcome.lose(&piece, refused);
                    outcome.left.extend(piece.pick(&later));
                    if piece.round < ROUNDS {
                        work.push(Piece { points: piece.pick(&again), round: piece.round + 1 });
                    } else {
                        outcome.lose_all(&piece, &again, 0, &format!("still refused after {ROUNDS} attempts"));
                    }
                }
                Verdict::Retry { why, after, server_error } => {
                    outcome.left.extend(piece.pick(&open));
                    outcome.setback = Some(Setback::Retry { why, after, server_error });
                }
                Verdict::Pause { why } => {
                    outcome.left.extend(piece.pick(&open));
                    outcome.setback = Some(Setback::Pause { why });
                }
            }
        }
    }
    outcome.left.sort_by_key(|point| point.time);
    outcome
}

/// One step of the search for culprits: halves, while requests are left for it.
fn search(
    piece: &Piece,
    open: Vec<usize>,
    status: u16,
    why: String,
    search_left: &mut usize,
    work: &mut Vec<Piece>,
    outcome: &mut Outcome,
) {
    match search_left.checked_sub(2) {
        Some(left) => {
            *search_left = left;
            halve(piece, open, status, why, work, outcome);
        }
        None => outcome.lose_all(piece, &open, status, &why),
    }
}

/// Both halves are sent by themselves; what cannot be halved is refused.
fn halve(piece: &Piece, open: Vec<usize>, status: u16, why: String, work: &mut Vec<Piece>, outcome: &mut Outcome) {
    match open.split_at_checked(open.len() / 2) {
        Some((first, second)) if !first.is_empty() => {
            let parts = [second, first].map(|half| Piece { points: piece.pick(half), round: piece.round });
            work.extend(parts);
        }
        _ => outcome.lose_all(piece, &open, status, &why),
    }
}

impl Piece {
    fn pick(&self, indices: &[usize]) -> Vec<Point> {
        indices.iter().filter_map(|index| self.points.get(*index)).cloned().collect()
    }
}

impl Outcome {
    fn lose(&mut self, piece: &Piece, refused: Vec<Refused>) {
        let lost = refused.into_iter().filter_map(|Refused { index, status, why }| {
            piece.points.get(index).map(|point| Lost { point: point.clone(), status, why })
        });
        self.lost.extend(lost);
    }

    fn lose_all(&mut self, piece: &Piece, indices: &[usize], status: u16, why: &str) {
        let refused = indices.iter().map(|index| Refused { index: *index, status, why: why.into() });
        self.lose(piece, refused.collect());
    }
}
