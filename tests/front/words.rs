//! A server that refuses everything has no point refused permanently, and the log stays short.

use super::{Front, within};
use crate::support::Home;
use crate::support::server::Step;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const POINTS: i64 = 50;

/// The same response to everything, for five ticks; then everything works, and all points arrive.
fn pauses(front: Front, bad: Step, good: Step) {
    front.judge(move |_| bad.clone());
    front.counts(POINTS, 5);
    let pid = front.home.start();
    front.wait_for_tick(5);
    within(4, "the last tick in the spool", || front.spooled() == Front::all(POINTS, 5));
    let requests = front.requests().len();
    assert!(requests <= 60, "{requests} requests");
    assert_eq!(front.rejected().0, BTreeSet::new());
    assert!(front.term(pid) < Duration::from_secs(5));
    assert_eq!(front.spooled(), Front::all(POINTS, 5));
    let errors = front.told("ERROR");
    assert!((1..=2).contains(&errors.len()), "{}", front.home.log());
    // A start does not wait for the end of the pause.
    front.judge(move |_| good.clone());
    let before = front.requests().len();
    front.home.start();
    let came = || front.requests()[before..].iter().flat_map(|seen| seen.points.clone()).collect::<BTreeSet<_>>();
    within(10, "all of it", || came() == Front::all(POINTS, 5));
    within(5, "an empty spool", || front.spooled().is_empty());
    assert_eq!(front.rejected().0, BTreeSet::new());
}

#[test]
fn plain_http_for_https_is_no_refusal() {
    let said = "<html>The plain HTTP request was sent to HTTPS port</html>";
    pauses(Front::influx(&[]), Step::answer(400, &[], said), Step::status(204));
}

#[test]
fn a_400_to_everything_is_no_refusal() {
    pauses(Front::influx(&[]), Step::answer(400, &[], "whatever"), Step::status(204));
}

#[test]
fn a_413_to_everything_is_no_refusal() {
    pauses(Front::influx(&[]), Step::answer(413, &[], "too large"), Step::status(204));
}

#[test]
fn an_empty_response_of_oddeye_is_no_refusal() {
    let front = Front::of(&["OddEye", "url"], &[("uuid", "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f")]);
    pauses(front, Step::answer(200, &[], ""), Step::answer(200, &[], "{\"state\":OK}"));
}

/// Two requests succeed, two fail, again and again: three lines, not thirty.
#[test]
fn a_flapping_server_is_logged_in_few_lines() {
    let front = Front::influx(&[]).every("0.2");
    let (asked, away) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&away);
    front.judge(move |_| {
        if asked.fetch_add(1, Relaxed) % 4 < 2 {
            return Step::status(204);
        }
        seen.fetch_add(1, Relaxed);
        Step::status(503)
    });
    front.counts(5, 1_000);
    let pid = front.home.start();
    within(60, "six answers of a server that is away", || away.load(Relaxed) >= 6);
    let lines = front.told("InfluxDB: ");
    assert!((2..=3).contains(&lines.len()), "{}", front.home.log());
    front.term(pid);
    assert_eq!(front.missing(5, front.ticks()), []);
}

/// More points in one tick than memory may hold: the log names the tick as the reason, and not the disk.
#[test]
fn a_tick_that_is_too_large_is_reported_as_such() {
    let home = Home::new().with("check_period_seconds", "30").to(&[("tsdtype", "Prometheus")]);
    for folder in ["conf", "scripts_enabled"] {
        fs::create_dir(home.path(folder)).unwrap();
    }
    let settings = "[scripts]\nformat = lines\nmax_output = 10000000\nmax_series = 200000\n";
    fs::write(home.path("conf/scripts.ini"), settings).unwrap();
    let text = "#!/bin/sh\nseq -f 'm%.0f 1 t stack' 110000\n";
    let script = home.path("scripts_enabled/check_many.sh");
    fs::write(home.path("unfinished"), text).unwrap();
    fs::set_permissions(home.path("unfinished"), Permissions::from_mode(0o755)).unwrap();
    fs::rename(home.path("unfinished"), script).unwrap();
    let text = home.read("config.ini") + "webaddress = 127.0.0.1:0\n";
    fs::write(home.path("config.ini"), text).unwrap();
    home.start();
    let told =
        "10000 points dropped: more came in one tick than memory may hold, 100000 points or 64 MiB: lower max_series";
    within(40, "a log line about it", || home.log().contains(told));
}
