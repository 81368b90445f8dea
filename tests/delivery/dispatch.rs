//! Every verdict leads to where it should, point by point.

use super::{identity, points};
use proptest::prelude::*;
use puypuy::delivery::dispatch::{Outcome, Setback, dispatch};
use puypuy::point::{Identity, Point, Value};
use puypuy::sink::{Encoded, Patience, Refused, Request, Sink, Verdict};
use std::ops::ControlFlow;

type Script = Box<dyn FnMut(&[i64]) -> Verdict + Send>;

/// A sink that judges the numbers in a request by a script. Requests hold `size` points; 13 cannot be encoded.
struct Judge {
    size: usize,
    script: Script,
    requests: usize,
    stored: Vec<i64>,
}

fn judge(size: usize, script: impl FnMut(&[i64]) -> Verdict + Send + 'static) -> Judge {
    Judge { size, script: Box::new(script), requests: 0, stored: Vec::new() }
}

fn number(point: &Point) -> i64 {
    match point.value {
        Value::Int(n) => n,
        Value::Float(_) => panic!("these tests send integers"),
    }
}

impl Sink for Judge {
    fn name(&self) -> &'static str {
        "Judge"
    }

    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        let starts = (0..points.len()).step_by(self.size);
        let requests =
            starts.map(|start| Request { body: Vec::new(), points: start..(start + self.size).min(points.len()) });
        let unlucky = points.iter().enumerate().filter(|(_, point)| number(point) == 13);
        let refused = unlucky.map(|(index, _)| Refused { index, status: 0, why: "unlucky".into() });
        Encoded { requests: requests.collect(), refused: refused.collect() }
    }

    fn send(&mut self, request: &Request, points: &[Point], _: Patience) -> Verdict {
        self.requests += 1;
        let numbers: Vec<i64> = points[request.points.clone()].iter().map(number).filter(|n| *n != 13).collect();
        let verdict = (self.script)(&numbers);
        match &verdict {
            Verdict::Delivered => self.stored.extend(&numbers),
            Verdict::Part { refused, again, later } => {
                let named: Vec<usize> =
                    refused.iter().map(|r| r.index).chain(again.clone()).chain(later.clone()).collect();
                let stored = request.points.clone().filter(|index| !named.contains(index));
                self.stored.extend(stored.map(|index| number(&points[index])).filter(|n| *n != 13));
            }
            _ => {}
        }
        verdict
    }
}

fn run(sink: &mut Judge, points: Vec<Point>, blame_content: bool) -> Outcome {
    dispatch(sink, &identity(), points, blame_content, &mut || ControlFlow::Continue(()))
}

fn reject(why: &str) -> Verdict {
    Verdict::Reject { status: 400, why: why.into() }
}

fn lost(outcome: &Outcome) -> Vec<i64> {
    let mut lost: Vec<i64> = outcome.lost.iter().map(|lost| number(&lost.point)).collect();
    lost.sort();
    lost
}

#[test]
fn what_is_delivered_is_counted() {
    let mut sink = judge(3, |_| Verdict::Delivered);
    let outcome = run(&mut sink, points(0..10), false);
    assert_eq!((outcome.delivered, sink.requests), (10, 4));
    assert_eq!(outcome, Outcome { delivered: 10, ..Outcome::default() });
}

#[test]
fn one_bad_point_among_a_thousand_is_found_and_the_rest_stored() {
    let mut sink = judge(5000, |numbers| if numbers.contains(&700) { reject("bad") } else { Verdict::Delivered });
    let outcome = run(&mut sink, points(0..1000), false);
    assert_eq!((outcome.delivered, lost(&outcome)), (999 - 1, vec![13, 700]));
    assert_eq!(sink.stored.len(), 998);
    assert!(sink.requests <= 22, "{} requests", sink.requests);
}

#[test]
fn the_search_for_culprits_is_bounded_and_the_remainder_refused() {
    let mut sink = judge(5000, |_| reject("all bad"));
    let outcome = run(&mut sink, points(0..1000), false);
    assert_eq!(outcome.lost.len(), 1000);
    assert!(sink.requests <= 65, "{} requests", sink.requests);
}

#[test]
fn too_large_is_halved_until_it_fits_and_a_single_one_is_refused() {
    let too_large = || Verdict::Split { status: 413, why: "too large".into() };
    let mut sink =
        judge(
            5000,
            move |numbers| if numbers.len() > 10 || numbers.contains(&5) { too_large() } else { Verdict::Delivered },
        );
    let outcome = run(&mut sink, points(100..200), false);
    assert_eq!((outcome.delivered, outcome.lost.len()), (100, 0));
    let outcome = run(&mut sink, points(0..8), false);
    assert_eq!((outcome.delivered, lost(&outcome)), (7, vec![5]));
}

#[test]
fn a_setback_keeps_this_and_everything_behind_it() {
    let down = || Verdict::Retry { why: "refused".into(), after: None, server_error: false };
    let mut sink = judge(4, move |numbers| if numbers.contains(&5) { down() } else { Verdict::Delivered });
    let outcome = run(&mut sink, points(0..20), false);
    assert_eq!(outcome.delivered, 4);
    assert_eq!(outcome.left, points(4..20).into_iter().filter(|p| number(p) != 13).collect::<Vec<_>>());
    assert_eq!(sink.requests, 2);
    assert!(matches!(outcome.setback, Some(Setback::Retry { .. })));

    let mut sink = judge(4, |_| Verdict::Pause { why: "wrong password".into() });
    let outcome = run(&mut sink, points(0..8), false);
    assert_eq!(outcome.left, points(0..8));
    assert_eq!(outcome.setback, Some(Setback::Pause { why: "wrong password".into() }));
}

#[test]
fn a_part_is_taken_apart() {
    let mut first = true;
    let mut sink = judge(100, move |_| {
        if !std::mem::take(&mut first) {
            return Verdict::Delivered;
        }
        Verdict::Part {
            refused: vec![Refused { index: 1, status: 400, why: "unable to parse".into() }],
            again: vec![2, 3],
            later: vec![4],
        }
    });
    let outcome = run(&mut sink, points(0..6), false);
    assert_eq!((outcome.delivered, lost(&outcome)), (4, vec![1]));
    assert_eq!(outcome.left, points(4..5));
    assert_eq!(sink.stored, [0, 5, 2, 3]);
}

#[test]
fn points_are_not_sent_again_without_end() {
    let mut sink = judge(100, |numbers| Verdict::Part {
        refused: Vec::new(),
        again: (0..numbers.len()).collect(),
        later: Vec::new(),
    });
    let outcome = run(&mut sink, points(0..3), false);
    assert_eq!((outcome.lost.len(), sink.requests), (3, 9));
}

#[test]
fn a_server_that_stumbles_over_one_point_is_relieved_of_it() {
    let script = |numbers: &[i64]| match numbers.contains(&7) {
        true => Verdict::Retry { why: "500 Should never be here".into(), after: None, server_error: true },
        false => Verdict::Delivered,
    };
    let outcome = run(&mut judge(100, script), points(0..10), false);
    assert_eq!((outcome.delivered, outcome.left.len()), (0, 10));
    let outcome = run(&mut judge(100, script), points(0..10), true);
    assert_eq!((outcome.delivered, lost(&outcome)), (9, vec![7]));
}

proptest! {
    /// Whatever the sink says, every point ends in exactly one place, and what the sink stored is what is counted.
    #[test]
    fn no_point_is_lost_or_counted_twice(
        count in 1i64..60,
        size in 1usize..20,
        verdicts in proptest::collection::vec((0u8..6, any::<[bool; 3]>()), 1..80),
        blame in any::<bool>(),
    ) {
        let mut verdicts = verdicts.into_iter().cycle();
        let mut sink = judge(size, |_| Verdict::Delivered);
        // The script needs to know where its request begins, which the numbers tell: the judge hands absolute indices.
        sink.script = Box::new(move |_| {
            let (which, flags) = verdicts.next().unwrap();
            match which {
                0 | 1 => Verdict::Delivered,
                2 => reject("no"),
                3 => Verdict::Split { status: 413, why: "large".into() },
                4 => Verdict::Retry { why: "500".into(), after: None, server_error: flags[0] },
                _ => Verdict::Pause { why: "no such database".into() },
            }
        });
        let outcome = run(&mut sink, points(0..count), blame);
        let mut seen: Vec<i64> = lost(&outcome);
        seen.extend(outcome.left.iter().map(number));
        seen.extend(&sink.stored);
        seen.sort();
        prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        prop_assert_eq!(outcome.delivered, sink.stored.len());
    }
}
