//! There are never two copies of a script: not after it is disabled and enabled, and not after a restart of the daemon.

use super::Scripts;
use crate::support::{lives, wait_for};
use std::fs;

const DEAF: &str = "#!/bin/sh\necho $$ >> starts\ntrap '' TERM\nwhile :; do sleep 0.1; done\n";

fn starts(scripts: &Scripts) -> Vec<i32> {
    scripts.home.read("starts").lines().filter_map(|pid| pid.parse().ok()).collect()
}

fn stream() -> Scripts {
    let scripts = Scripts::new();
    fs::create_dir(scripts.home.path("conf")).unwrap();
    fs::write(scripts.home.path("conf/scripts.ini"), "[scripts]\nmode = stream\n").unwrap();
    scripts.script("check_deaf.sh", DEAF);
    scripts
}

#[test]
fn a_new_daemon_waits_for_the_streams_of_the_old_one() {
    let scripts = stream();
    scripts.home.start();
    wait_for("the first copy", || starts(&scripts).len() == 1);
    assert_eq!(scripts.home.puypuy(&["stop"]).code, 0);
    scripts.home.start();
    wait_for("the second copy", || starts(&scripts).len() == 2);
    assert!(!lives(starts(&scripts)[0]), "two copies");
    assert!(scripts.home.log().contains("an earlier copy is still ending"), "{}", scripts.home.log());
    assert_eq!(scripts.home.puypuy(&["stop"]).code, 0);
    wait_for("everything to be gone", || scripts.home.processes().is_empty());
}

#[test]
fn a_disabled_script_ends_before_it_is_started_again() {
    let scripts = stream();
    // Beside the stream, a script in the middle of its run.
    let conf = "[check_deaf.sh]\nmode = stream\n[check_long.sh]\ncheck_period_seconds = 60\n";
    fs::write(scripts.home.path("conf/scripts.ini"), conf).unwrap();
    scripts.script("check_long.sh", &DEAF.replace("starts", "long"));
    let long = || -> Vec<i32> { scripts.home.read("long").lines().filter_map(|pid| pid.parse().ok()).collect() };
    scripts.home.start();
    wait_for("both", || starts(&scripts).len() == 1 && long().len() == 1);
    let (enabled, aside) = (scripts.home.path("scripts_enabled"), scripts.home.path("aside"));
    fs::rename(&enabled, &aside).unwrap();
    fs::create_dir(&enabled).unwrap();
    wait_for("the end", || !lives(starts(&scripts)[0]) && !lives(long()[0]));
    fs::remove_dir(&enabled).unwrap();
    fs::rename(&aside, &enabled).unwrap();
    wait_for("the second start", || starts(&scripts).len() == 2 && long().len() == 2);
}
