//! Scripts that run forever: their lines arrive with the time at which they were written, and they are restarted.

use super::{Scripts, children};
use crate::support::{signal, wait_for};
use std::fs;

fn streams() -> Scripts {
    let scripts = Scripts::new();
    fs::create_dir(scripts.home.path("conf")).unwrap();
    fs::write(scripts.home.path("conf/scripts.ini"), "[scripts]\nmode = stream\n").unwrap();
    scripts
}

#[test]
fn the_lines_of_a_stream_arrive_as_they_are_written() {
    let scripts = streams();
    let slow = scripts.home.read("config.ini").replace("check_period_seconds = 1\n", "check_period_seconds = 3\n");
    fs::write(scripts.home.path("config.ini"), slow).unwrap();
    scripts.script(
        "check_counts.sh",
        "#!/bin/sh\necho $$ >> starts\nn=0\nwhile :; do n=$((n+10)); echo level $n x stack; echo speed $n x rate; sleep 1; done\n",
    );
    scripts.script(
        "check_exporter",
        "#!/bin/sh\nwhile :; do echo '# TYPE jobs counter'; echo 'jobs{a=\"b\"} 1'; sleep 1; done\n",
    );
    scripts.home.start();
    scripts.wait_for("level", 7);
    scripts.wait_for("jobs", 2);
    let values = scripts.values("level");
    let times: Vec<i64> = values.keys().copied().collect();
    assert!(times.windows(2).all(|pair| (1..=2).contains(&(pair[1] - pair[0]))), "{values:?}");
    let speeds = scripts.values("speed");
    assert!(speeds.len() >= 5, "{speeds:?}");
    for speed in speeds.values() {
        let speed: f64 = speed.parse().unwrap();
        assert!((5.0..20.0).contains(&speed), "{speeds:?}");
    }
    assert_eq!(scripts.home.read("starts").lines().count(), 1);
    // Lines written since the last tick are not lost.
    let last = scripts.values("level").len();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(scripts.home.puypuy(&["stop"]).code, 0);
    assert!(scripts.values("level").len() > last, "{:?}", scripts.values("level"));
    wait_for("everything to be gone", || scripts.home.processes().is_empty());
}

#[test]
fn a_stream_that_ends_or_changes_is_started_again() {
    let scripts = streams();
    scripts.script("check_ends.sh", "#!/bin/sh\necho a 1 x stack\necho -n b 2 x stack\necho c >&2\nexit 4\n");
    scripts.script("check_stays.sh", "#!/bin/sh\nwhile :; do echo old 1 x stack; sleep 1; done\n");
    let daemon = scripts.home.start();
    scripts.wait_for("a", 2);
    scripts.wait_for("b", 2);
    scripts.wait_for("old", 2);
    let log = scripts.home.log();
    assert!(log.contains("check_ends.sh: exited with code 4; it is started again in 1 s"), "{log}");
    assert!(log.contains("check_ends.sh: it says \"c\""), "{log}");
    scripts.script("check_stays.sh", "#!/bin/sh\nwhile :; do echo new 1 x stack; sleep 1; done\n");
    scripts.wait_for("new", 2);
    for name in ["check_ends.sh", "check_stays.sh"] {
        fs::remove_file(scripts.home.path("scripts_enabled").join(name)).unwrap();
    }
    wait_for("both to be gone", || scripts.home.processes() == [daemon] && children(daemon).is_empty());
}

#[test]
fn a_stream_that_writes_too_much_or_whose_daemon_dies_is_ended() {
    let scripts = streams();
    scripts.script("check_flood.sh", "#!/bin/sh\nyes flood 1 x stack\n");
    scripts.script("check_line", "#!/bin/sh\nhead -c 100000000 /dev/zero; sleep 1000\n");
    scripts.script("check_stays.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do echo well 1 x stack; sleep 1; done\n");
    let daemon = scripts.home.start();
    let told = |name: &str| format!("{name}: wrote more than 1048576 bytes and was ended; the rest is lost");
    for name in ["check_flood.sh", "check_line"] {
        wait_for(name, || scripts.home.log().contains(&told(name)));
    }
    scripts.wait_for("flood", 1);
    let floods = scripts.lines().iter().filter(|line| line.starts_with("flood,")).count();
    assert!(floods < 20, "one for each second: {floods}");
    scripts.wait_for("well", 4);
    signal(daemon, "KILL");
    wait_for("everything to be gone", || scripts.home.processes().is_empty());
}
