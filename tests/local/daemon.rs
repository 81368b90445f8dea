//! The daemon with its local store: killed at any time, nothing acknowledged is lost and the file stays intact.

use super::integrity;
use crate::support::{Home, signal, wait_for};
use puypuy::sink::local::{Grain, Reader};
use std::fs;

fn points(home: &Home) -> usize {
    let file = home.path("var/puypuy.db");
    let Ok(Some(reader)) = Reader::open(&file) else { return 0 };
    let mut ids: Vec<i64> = reader.series().unwrap().iter().map(|series| series.id).collect();
    ids.sort_unstable();
    let mut count = 0;
    reader.read(Grain::Raw, &ids, i64::MIN..=i64::MAX, |_| count += 1).unwrap();
    count
}

#[test]
fn kill_9_leaves_an_intact_store() {
    let home = Home::new().with("check_period_seconds", "0.1");
    home.puypuy(&["enable", "cpustats", "memory", "load_average"]);
    let mut before = 0;
    for _ in 0..5 {
        let pid = home.start();
        wait_for("new points", || points(&home) > before);
        signal(pid, "KILL");
        wait_for("the end of it", || !crate::support::lives(pid));
        let stored = points(&home);
        assert!(stored >= before, "{before} points were there, now {stored}");
        before = stored;
    }
    assert_eq!(integrity(&home.path("var/puypuy.db")), "ok");
    assert!(!home.log().contains("damaged"), "{}", home.log());
}

#[test]
fn a_damaged_store_is_logged_and_costs_no_tick() {
    let home = Home::new();
    fs::create_dir_all(home.path("var")).unwrap();
    fs::write(home.path("var/puypuy.db"), "rubbish".repeat(1000)).unwrap();
    home.puypuy(&["enable", "memory"]);
    home.start();
    wait_for("points", || points(&home) > 0);
    wait_for("the line", || {
        let log = home.log();
        log.contains("WARN Local: ") && log.contains("set aside as ")
    });
}
