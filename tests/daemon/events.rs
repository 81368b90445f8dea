//! Health events in words: a log line at each change of level, `puypuy show events`, and the current ones in `status`.

use crate::support::server::Server;
use crate::support::{Home, mode, wait_for};
use puypuy::model::point::{HealthEvent, Level};
use puypuy::state::{Board, Change, Entry, Kind};
use puypuy::sys::record::{self, Record};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A Nagios plugin in `scripts_enabled` whose result is the content of `verdict` in the home.
fn plugin(home: &Home) {
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::create_dir_all(home.path("scripts_enabled")).unwrap();
    fs::write(home.path("conf/scripts.ini"), "[scripts]\nformat = nagios\n").unwrap();
    let unfinished = home.path("unfinished");
    fs::write(&unfinished, "#!/bin/sh\nread code words < verdict\necho \"$words|a=1\"\nexit $code\n").unwrap();
    fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).unwrap();
    fs::rename(unfinished, home.path("scripts_enabled/check_plugin.sh")).unwrap();
}

fn judge(home: &Home, verdict: &str) {
    fs::write(home.path("next"), format!("{verdict}\n")).unwrap();
    fs::rename(home.path("next"), home.path("verdict")).unwrap();
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn told(home: &Home) -> Vec<String> {
    let log = home.log();
    log.lines().filter(|line| line.contains(": event ")).map(str::to_string).collect()
}

fn open(home: &Home) -> Value {
    let said = home.puypuy(&["status", "--json"]);
    serde_json::from_str::<Value>(&said.out).unwrap_or_else(|_| panic!("{said:?}"))["events"].clone()
}

/// Changes the plugin's result three times, each in another second, because the local store keeps one change per
/// second.
fn judge_three_times(home: &Home) {
    plugin(home);
    judge(home, "0 OK - cool");
    home.start();
    assert_eq!(home.puypuy(&["show", "events"]).out, "no event has changed its level in the last 24 h\n");
    let verdicts = [
        ("2 CRITICAL - on\tfire", " ERROR ", " is ERROR: ", vec!["ERROR"]),
        ("1 WARNING - smoke", " WARN ", " is WARNING: ", vec!["WARNING"]),
        ("0 OK - cool again", " INFO ", " is OK (it was not for ", vec![]),
    ];
    for (number, (verdict, grade, words, levels)) in verdicts.into_iter().enumerate() {
        let second = unix_now();
        wait_for("another second", || unix_now() > second + 1);
        judge(home, verdict);
        wait_for(&format!("{verdict}\n{}", home.log()), || told(home).len() > number);
        let line = told(home).remove(number);
        assert!(line.contains(grade) && line.contains("check_plugin.sh: event ") && line.contains(words), "{line}");
        wait_for("it to be shown as open", || {
            let open = open(home);
            open.as_array().unwrap().iter().map(|event| event["level"].as_str().unwrap()).collect::<Vec<_>>() == levels
        });
    }
    wait_for("three changes", || home.puypuy(&["show", "events", "--last", "1h"]).out.lines().count() == 4);
    let said = home.puypuy(&["show", "events", "--last", "1h"]).out;
    let rows: Vec<Vec<&str>> = said.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!([rows[0][2], rows[1][2], rows[2][2]], ["ERROR", "WARNING", "OK"], "{said}");
    assert!(
        said.contains("fire\n") && !said.contains('\t') && said.contains("smoke\n") && said.ends_with("cool again\n"),
        "{said}"
    );
    // An unchanged level is no line, although the plugin reports it at each tick.
    assert_eq!(told(home).len(), 3, "{}", home.log());
}

#[test]
fn each_change_of_level_is_a_line_and_is_in_the_store() {
    let home = Home::new();
    judge_three_times(&home);
    assert!(!home.path("tmp/events.jsonl").exists());
}

#[test]
fn with_another_sink_each_change_is_recorded() {
    let server = Server::always(204);
    let url = server.url();
    let influx = [("tsdtype", "InfluxDB"), ("address", url.as_str()), ("database", "d")];
    let home = Home::new().to(&influx);
    judge_three_times(&home);
    assert_eq!(mode(home.path("tmp/events.jsonl")), 0o640);
    // A truncated line is ignored.
    let record = home.read("tmp/events.jsonl");
    fs::write(home.path("tmp/events.jsonl"), format!("{record}{{\"time\":")).unwrap();
    assert_eq!(home.puypuy(&["show", "events"]).out.lines().count(), 4);
}

#[test]
fn a_flapping_event_does_not_fill_the_log() {
    let server = Server::always(204);
    let url = server.url();
    let influx = [("tsdtype", "InfluxDB"), ("address", url.as_str()), ("database", "d")];
    let home = Home::new().to(&influx).with("check_period_seconds", "0.1");
    plugin(&home);
    let script = home.path("scripts_enabled/check_plugin.sh");
    let text = "#!/bin/sh\nif [ -e odd ]; then rm odd; echo 'OK - fine|a=1'; exit 0; fi\n: > odd\necho 'CRITICAL - bad|a=1'\nexit 2\n";
    fs::write(home.path("unfinished"), text).unwrap();
    fs::set_permissions(home.path("unfinished"), Permissions::from_mode(0o755)).unwrap();
    fs::rename(home.path("unfinished"), script).unwrap();
    home.start();
    wait_for(&format!("the last line\n{}", home.log()), || home.log().contains(" changes too often: "));
    wait_for("more changes", || home.puypuy(&["show", "events"]).out.lines().count() > 18);
    assert_eq!(told(&home).len(), 13, "{}", home.log());
}

fn event(name: &'static str, level: Level, time: i64) -> HealthEvent {
    let message = format!("{} at {time}", level.word());
    HealthEvent { name: name.into(), level, message, reaction: 0, time, check_type: "x".into() }
}

#[test]
fn the_worst_level_of_one_time_counts_and_late_events_change_nothing() {
    let entry = Entry::new(Duration::from_secs(10), 0);
    let levels =
        |changes: Vec<Change>| changes.into_iter().map(|change| (change.event, change.level)).collect::<Vec<_>>();
    let is = |level| vec![("a".to_string(), level)];
    assert_eq!(levels(entry.judge(&[event("a", Level::Ok, 10), event("b", Level::Ok, 10)])), []);
    let several = [event("a", Level::Ok, 20), event("a", Level::Error, 20), event("a", Level::Warning, 20)];
    assert_eq!(levels(entry.judge(&several)), is(Level::Error));
    assert_eq!(levels(entry.judge(&several)), []);
    assert_eq!(levels(entry.judge(&[event("a", Level::Ok, 19)])), []);
    assert_eq!(
        levels(entry.judge(&[event("a", Level::Error, 30), event("a", Level::Warning, 40)])),
        is(Level::Warning)
    );
    let over = entry.judge(&[event("a", Level::Ok, 50)]);
    assert_eq!((over[0].level, over[0].lasted), (Level::Ok, Some(10)));
    // Thousands of names whose events never end are bounded.
    let flood: Vec<HealthEvent> = (0..2_000)
        .map(|number| HealthEvent { name: format!("e{number}").into(), ..event("", Level::Error, 60) })
        .collect();
    assert_eq!(entry.judge(&flood).len(), 1_000);
    assert_eq!(entry.judge(&[HealthEvent { name: "late".into(), ..event("", Level::Error, 60 + 4 * 3_600) }]).len(), 0);
    assert_eq!(entry.judge(&[HealthEvent { name: "late".into(), ..event("", Level::Error, 60 + 4 * 3_600) }]).len(), 1);
}

#[test]
fn an_event_is_open_for_three_intervals_of_its_judgements() {
    let entry = Arc::new(Entry::new(Duration::from_secs(10), 0));
    for time in (0..=600).step_by(10) {
        let mut events = vec![event("Disk", if time < 400 { Level::Warning } else { Level::Error }, time)];
        events.push(event("Load", if time < 300 { Level::Warning } else { Level::Ok }, time));
        if time <= 200 {
            events.push(event("Unmounted", Level::Error, time));
        }
        if time % 300 == 0 {
            events.push(event("Seldom", Level::Warning, time));
        }
        entry.judge(&events);
    }
    let board = Board::default();
    board.put(Kind::Check, "disks", &entry);
    let open = |now| -> Vec<(String, Level, i64)> {
        let all = board.states().remove(0).open.into_iter().filter(|open| open.holds(now, 10));
        all.map(|open| (open.event, open.level, open.since)).collect()
    };
    let (disk, seldom) = (("Disk".to_string(), Level::Error, 400), ("Seldom".to_string(), Level::Warning, 0));
    assert_eq!(open(600), [disk.clone(), seldom.clone()]);
    assert_eq!(open(630), [disk, seldom.clone()]);
    assert_eq!(open(631), [seldom]);
    assert_eq!(open(1_501), []);
}

#[test]
fn the_record_stays_small_and_keeps_the_newest() {
    let home = Home::new();
    let file = home.path("record");
    let record = Record::at(file.clone());
    for number in 0..4_000 {
        record.append(&format!("{number:0100}")).unwrap();
    }
    assert!(fs::metadata(&file).unwrap().len() <= 256 << 10);
    let lines = record::lines(&file).unwrap();
    assert!(lines.len() > 1_000 && lines.iter().all(|line| line.len() == 100), "{}", lines.len());
    assert_eq!(lines.last().unwrap().trim_start_matches('0'), "3999");
    assert!(record::lines(&home.path("none")).unwrap().is_empty());
}
