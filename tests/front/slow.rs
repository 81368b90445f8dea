//! A slow server: points that it does not accept in time wait in the spool, and nothing is dropped.

use super::{Front, within};
use crate::support::server::Step;
use std::time::Duration;

/// Ten thousand points per tick, and a response takes nearly the whole tick.
fn overflows(answer: u64) {
    const POINTS: i64 = 10_000;
    let front = Front::influx(&[]);
    front.judge(move |_| Step::status(204).after(Duration::from_millis(answer)));
    front.counts(POINTS, 5);
    let pid = front.home.start();
    front.wait_for_tick(5);
    assert!(front.term(pid) < Duration::from_secs(5));
    assert_eq!(front.missing(POINTS, 5), [], "{}", front.home.log());
    assert!(front.told("ERROR").is_empty(), "{}", front.home.log());
}

#[test]
fn nothing_is_dropped_when_an_answer_takes_most_of_a_tick() {
    overflows(800);
}

#[test]
fn nothing_is_dropped_when_an_answer_takes_nearly_all_of_a_tick() {
    overflows(950);
}

#[test]
fn a_tick_of_forty_thousand_points_arrives_whole() {
    const POINTS: i64 = 41_000;
    let front = Front::influx(&[]).every("4");
    front.counts(POINTS, 1);
    front.home.start();
    within(15, "all of it", || front.stored().len() as i64 == POINTS);
    assert!(front.told("ERROR").is_empty() && front.told("check_counts.sh: ").len() == 1, "{}", front.home.log());
}

/// The backlog of a slow server is delivered while ticks continue.
#[test]
fn a_backlog_is_delivered_although_responses_are_slow() {
    const POINTS: i64 = 100;
    let mut front = Front::influx(&[]).every("0.5");
    front.server.down();
    front.counts(POINTS, 12);
    front.home.start();
    front.wait_for_tick(4);
    front.judge(|_| Step::status(204).after(Duration::from_millis(450)));
    front.server.up();
    within(20, "all twelve ticks", || front.stored() == Front::all(POINTS, 12));
}

/// Ten scripts that are ended at their deadline: their results arrive one by one, and are sent together.
#[test]
fn late_results_make_few_requests() {
    let front = Front::influx(&[]);
    for number in 0..10 {
        front.script(
            &format!("check_late_{number}.sh"),
            &format!("#!/bin/sh\necho m 1 x stack i={number}\nexec sleep 100\n"),
        );
    }
    front.home.start();
    within(10, "all ten", || front.stored().len() == 10);
    let begun = front.requests().len();
    let at = std::time::Instant::now();
    within(10, "three seconds", || at.elapsed() >= Duration::from_secs(3));
    let requests = front.requests().len() - begun;
    assert!(requests <= 7, "{requests} requests in three seconds");
}
