//! A shipment: every verdict leads to the right state of each point.

use super::{identity, points};
use proptest::prelude::*;
use puypuy::delivery::shipment::{Kind, PointState, Refusal, Shipment, Stop, Trust};
use puypuy::model::point::{Identity, Point, Value};
use puypuy::sink::{Attempt, Encoded, Refused, Request, Sink, Verdict};
use std::time::{Duration, Instant};

type Script = Box<dyn FnMut(&[i64]) -> Verdict + Send>;

/// A sink that gives verdicts on the numbers in a request by a script. A request holds `size` points; the number 13
/// cannot be encoded.
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

    fn full_request(&self) -> usize {
        self.size
    }

    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        let starts = (0..points.len()).step_by(self.size);
        let requests =
            starts.map(|start| Request { body: Vec::new(), points: start..(start + self.size).min(points.len()) });
        let unlucky = points.iter().enumerate().filter(|(_, point)| number(point) == 13);
        let refused = unlucky.map(|(index, _)| Refused { index, status: 0, why: "unlucky".into() });
        Encoded { requests: requests.collect(), refused: refused.collect() }
    }

    fn send(&mut self, request: &Request, points: &[Point], _: &Attempt) -> Verdict {
        self.requests += 1;
        let numbers: Vec<i64> = points[request.points.clone()].iter().map(number).filter(|n| *n != 13).collect();
        let verdict = (self.script)(&numbers);
        match &verdict {
            Verdict::Delivered => self.stored.extend(&numbers),
            Verdict::Part { refused, again, later } => {
                let named: Vec<usize> =
                    refused.iter().map(|r| r.index).chain(again.clone()).chain(later.iter().map(|r| r.index)).collect();
                let stored = request.points.clone().filter(|index| !named.contains(index));
                self.stored.extend(stored.map(|index| number(&points[index])).filter(|n| *n != 13));
            }
            _ => {}
        }
        verdict
    }
}

/// The final state of a shipment.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    delivered: usize,
    lost: Vec<Refusal>,
    /// Points that were alone and refused while others were accepted.
    isolated: Vec<i64>,
    left: Vec<Point>,
    stop: Option<Stop>,
}

fn run(sink: &mut Judge, points: Vec<Point>, trust: Trust) -> Outcome {
    let mut shipment = Shipment::new(points, trust);
    let mut outcome = Outcome::default();
    while let Some((requests, points)) = shipment.next(sink, &identity(), 3) {
        let attempt =
            Attempt { identity: &identity(), wall: 1_500_000_000, until: Instant::now() + Duration::from_secs(1) };
        shipment.answered(sink.send_all(&requests, &points, &attempt));
    }
    outcome.delivered = shipment.take_delivered();
    outcome.lost = shipment.take_refusals();
    outcome.stop = shipment.stop().cloned();
    for (state, point) in shipment.states().iter().zip(shipment.points()) {
        match state {
            PointState::Later(reason) if reason.kind == Kind::Isolated => outcome.isolated.push(number(point)),
            PointState::Open | PointState::Later(_) => outcome.left.push(point.clone()),
            _ => {}
        }
    }
    outcome
}

fn reject(why: &str) -> Verdict {
    Verdict::Reject { status: 400, why: why.into() }
}

/// Points refused by name, or alone.
fn lost(outcome: &Outcome) -> Vec<i64> {
    let mut lost: Vec<i64> = outcome.lost.iter().map(|lost| number(&lost.point)).collect();
    lost.extend(&outcome.isolated);
    lost.sort();
    lost
}

#[test]
fn delivered_points_are_counted() {
    let mut sink = judge(3, |_| Verdict::Delivered);
    let outcome = run(&mut sink, points(0..10), Trust::Unknown);
    assert_eq!((outcome.delivered, sink.requests), (10, 4));
    assert_eq!(outcome, Outcome { delivered: 10, ..Outcome::default() });
}

#[test]
fn one_bad_point_among_a_thousand_is_found_and_the_others_are_stored() {
    let mut sink = judge(5000, |numbers| if numbers.contains(&700) { reject("bad") } else { Verdict::Delivered });
    let outcome = run(&mut sink, points(0..1000), Trust::Unknown);
    assert_eq!((outcome.delivered, lost(&outcome)), (999 - 1, vec![13, 700]));
    assert_eq!(sink.stored.len(), 998);
    assert!(sink.requests <= 22, "{} requests", sink.requests);
}

/// Requests, refused points, and points left after one visit of the search, of 5,000 points with this many bad ones.
fn search(culprits: i64) -> (usize, usize, usize) {
    let is_bad = move |number: i64| (number * 7919) % 5_000 < culprits;
    let mut sink = judge(5_000, move |numbers| match numbers.iter().any(|number| is_bad(*number)) {
        true => reject("bad"),
        false => Verdict::Delivered,
    });
    let outcome = run(&mut sink, points(1_000_000..1_005_000), Trust::Unknown);
    assert!(lost(&outcome).iter().all(|number| is_bad(*number)), "a good point was refused");
    assert_eq!(outcome.delivered + lost(&outcome).len() + outcome.left.len(), 5_000);
    (sink.requests, lost(&outcome).len(), outcome.left.len())
}

#[test]
fn the_search_takes_the_largest_part_first_and_leaves_the_undecided() {
    assert_eq!(search(1).1, 1);
    for (culprits, most) in [(4, 100), (6, 300), (10, 900)] {
        let (requests, _, left) = search(culprits);
        assert!(requests <= 130, "{requests} requests");
        assert!(left <= most, "{left} points left with {culprits} culprits");
    }
}

#[test]
fn a_sink_that_refuses_everything_costs_no_point_and_few_requests() {
    let mut sink = judge(5_000, |_| reject("400 The plain HTTP request was sent to HTTPS port"));
    let outcome = run(&mut sink, points(100..1_100), Trust::Unknown);
    assert_eq!((outcome.left.len(), outcome.lost.len()), (1_000, 0));
    assert!(matches!(outcome.stop, Some(Stop::AllRefused { .. })));
    assert!(sink.requests <= 16, "{} requests", sink.requests);
    let mut probed = judge(100, |_| reject("no"));
    assert_eq!(run(&mut probed, points(100..1_100), Trust::Probe).left.len(), 1_000);
    assert_eq!(probed.requests, 1);
}

#[test]
fn one_bad_point_is_distinguished_from_a_sink_that_accepts_nothing() {
    let outcome = run(&mut judge(10, |_| reject("bad")), points(1..2), Trust::Unknown);
    assert_eq!((lost(&outcome).len(), outcome.left.len()), (0, 1));
    let only =
        |bad: i64| judge(10, move |numbers| if numbers.contains(&bad) { reject("bad") } else { Verdict::Delivered });
    for bad in [1, 2] {
        let outcome = run(&mut only(bad), points(1..3), Trust::Unknown);
        assert_eq!((outcome.lost.len(), outcome.isolated), (0, vec![bad]));
    }
}

fn too_large() -> Verdict {
    Verdict::Split { status: 413, why: "too large".into() }
}

#[test]
fn too_large_is_halved_until_it_fits_and_a_single_one_is_refused() {
    let mut sink = judge(5_000, |numbers| match numbers.len() > 10 || numbers.contains(&5) {
        true => too_large(),
        false => Verdict::Delivered,
    });
    let outcome = run(&mut sink, points(100..200), Trust::Unknown);
    assert_eq!((outcome.delivered, lost(&outcome).len()), (100, 0));
    let outcome = run(&mut sink, points(0..8), Trust::Unknown);
    assert_eq!((outcome.delivered, lost(&outcome)), (7, vec![5]));
}

#[test]
fn a_sink_that_accepts_no_size_is_detected_soon() {
    let mut sink = judge(5_000, |_| too_large());
    let outcome = run(&mut sink, points(1_000..6_000), Trust::Unknown);
    assert_eq!((outcome.left.len(), outcome.lost.len()), (5_000, 0));
    assert!(matches!(outcome.stop, Some(Stop::AllRefused { .. })));
    assert!(sink.requests <= 16, "{} requests", sink.requests);
}

fn retry(is_suspect: bool) -> Verdict {
    Verdict::Retry { why: "refused".into(), after: None, is_suspect }
}

#[test]
fn a_failure_keeps_this_request_and_all_later_ones() {
    let mut sink = judge(4, |numbers| if numbers.contains(&105) { retry(false) } else { Verdict::Delivered });
    let mut shipment = Shipment::new(points(100..120), Trust::Unknown);
    let mut rounds = 0;
    while let Some((requests, points)) = shipment.next(&sink, &identity(), 1) {
        let until = Instant::now();
        let attempt = Attempt { identity: &identity(), wall: 0, until };
        shipment.answered(sink.send_all(&requests, &points, &attempt));
        rounds += 1;
    }
    assert_eq!((shipment.take_delivered(), rounds), (4, 2));
    assert!(shipment.states().iter().skip(4).all(|state| *state == PointState::Open));
    assert!(matches!(shipment.stop(), Some(Stop::Retry { is_suspect: false, .. })));

    let mut sink = judge(4, |_| Verdict::Pause { why: "wrong password".into() });
    let outcome = run(&mut sink, points(0..8), Trust::Unknown);
    assert_eq!(outcome.left, points(0..8));
    assert_eq!(outcome.stop, Some(Stop::Pause { why: "wrong password".into() }));
}

#[test]
fn only_the_request_that_failed_is_suspect() {
    let mut sink = judge(4, |numbers| if numbers.contains(&105) { retry(true) } else { Verdict::Delivered });
    let mut shipment = Shipment::new(points(100..112), Trust::Unknown);
    let (requests, all) = shipment.next(&sink, &identity(), 2).unwrap();
    let attempt = Attempt { identity: &identity(), wall: 0, until: Instant::now() };
    shipment.answered(sink.send_all(&requests, &all, &attempt));
    assert!(shipment.next(&sink, &identity(), 2).is_none());
    let kinds: Vec<u8> = shipment
        .states()
        .iter()
        .map(|state| match state {
            PointState::Delivered => b'd',
            PointState::Later(reason) if reason.kind == Kind::Suspect => b's',
            PointState::Open => b'o',
            _ => b'?',
        })
        .collect();
    assert_eq!(String::from_utf8(kinds).unwrap(), "ddddssssoooo");
}

#[test]
fn a_partly_refused_request_is_split_by_point() {
    let mut first = true;
    let refused = |index, why: &str| Refused { index, status: 400, why: why.into() };
    let mut sink = judge(100, move |_| {
        if !std::mem::take(&mut first) {
            return Verdict::Delivered;
        }
        Verdict::Part {
            refused: vec![refused(1, "unable to parse")],
            again: vec![2, 3],
            later: vec![refused(4, "Storage exception")],
        }
    });
    let outcome = run(&mut sink, points(0..6), Trust::Unknown);
    assert_eq!((outcome.delivered, lost(&outcome)), (4, vec![1]));
    assert_eq!((outcome.left, outcome.stop), (points(4..5), None));
    assert_eq!(sink.stored, [0, 5, 2, 3]);
}

#[test]
fn points_resent_endlessly_are_searched_for_the_bad_one() {
    let mut sink = judge(100, |numbers| match numbers.contains(&7) {
        true => Verdict::Part { refused: Vec::new(), again: (0..numbers.len()).collect(), later: Vec::new() },
        false => Verdict::Delivered,
    });
    let outcome = run(&mut sink, points(0..10), Trust::Unknown);
    assert_eq!((outcome.delivered, lost(&outcome)), (9, vec![7]));
}

proptest! {
    /// Whatever the sink answers, every point ends in exactly one state, and the count of stored points is right.
    #[test]
    fn no_point_is_lost_or_counted_twice(
        count in 1i64..60,
        size in 1usize..20,
        verdicts in proptest::collection::vec((0u8..6, any::<[bool; 3]>()), 1..80),
        trust in prop_oneof![Just(Trust::Unknown), Just(Trust::Probe)],
    ) {
        let mut verdicts = verdicts.into_iter().cycle();
        let mut sink = judge(size, move |_| {
            let (which, flags) = verdicts.next().unwrap();
            match which {
                0 | 1 => Verdict::Delivered,
                2 => reject("no"),
                3 => too_large(),
                4 => retry(flags[0]),
                _ => Verdict::Pause { why: "no such database".into() },
            }
        });
        let outcome = run(&mut sink, points(0..count), trust);
        let mut seen: Vec<i64> = lost(&outcome);
        seen.extend(outcome.left.iter().map(number));
        seen.extend(&sink.stored);
        seen.sort();
        prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        prop_assert_eq!(outcome.delivered, sink.stored.len());
    }
}
