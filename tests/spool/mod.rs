//! `puypuy spool` with the real program: batches are listed, verified, shown, dropped, queued again and imported.

mod cached;

use crate::support::{Home, Said};
use proptest::prelude::*;
use puypuy::delivery::disk::Folder;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::shipment::Refusal;
use puypuy::delivery::spool::{Bounds, Read, Spool};
use puypuy::delivery::{Moment, codec};
use puypuy::model::point::{Batch, HealthEvent, Kind, Level, Point, Tags, Value};
use std::fs;
use std::time::Instant;

fn point(name: &str, value: Value) -> Point {
    Point {
        name: name.to_string().into(),
        value,
        kind: Kind::Rate,
        time: 1_600_000_000,
        check_type: "system".into(),
        tags: Tags::one("drive", "sda"),
        host: None,
        reaction: -3,
    }
}

fn batch(names: &[&str]) -> Batch {
    Batch { points: names.iter().map(|name| point(name, Value::Float(5.0))).collect(), events: Vec::new() }
}

/// A home whose spool has these batches.
fn home(batches: &[Batch]) -> Home {
    let home = Home::new().with("hostname", "web1");
    let mut spool = spool(&home);
    batches.iter().for_each(|batch| spool.store(batch.clone(), 1_600_000_100, now()).1.unwrap());
    home
}

/// A moment at which the wall clock shows the time of the batches.
fn now() -> Moment {
    Moment { at: Instant::now(), wall: 1_600_000_100 }
}

fn spool(home: &Home) -> Spool {
    let bounds = Bounds { entries: 100, bytes: 1 << 20, age: None };
    Spool::open(Box::new(Folder::new(home.path("tmp/spool"))), bounds, now()).unwrap()
}

/// The names of the waiting points, in order.
fn waiting(home: &Home) -> Vec<String> {
    let mut spool = spool(home);
    let mut names = Vec::new();
    let entries: Vec<u64> = spool.ready(now().at).collect();
    for entry in entries {
        if let Read::Batch(batch, _) = spool.take(entry, now().at) {
            names.extend(batch.points.iter().map(|point| point.name.to_string()));
            spool.done(entry);
        }
    }
    names
}

fn fine(home: &Home, words: &[&str]) -> String {
    let Said { code, out, err } = home.puypuy(&[&["spool"], words].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

const FIRST: &str = "00000000000000000001.batch";
const SECOND: &str = "00000000000000000002.batch";

#[test]
fn an_empty_spool_says_so() {
    let home = Home::new();
    assert_eq!(fine(&home, &["ls"]), "nothing waits in the spool\n");
    assert_eq!(fine(&home, &["verify"]), "0 files are whole, 0 damaged\n");
    assert_eq!(fine(&home, &["export"]), "");
    assert_eq!(fine(&home, &["drop", "--all"]), "0 files dropped, with 0 points\n");
    assert_eq!(fine(&home, &["requeue"]), "0 points wait in the spool again\n");
    assert!(!home.path("tmp/rejected").exists());
}

#[test]
fn waiting_batches_are_listed_and_shown() {
    let event = HealthEvent {
        name: "Disk-Usage".into(),
        level: Level::Error,
        message: "full".into(),
        reaction: -1,
        time: 1_600_000_001,
        check_type: "system".into(),
    };
    let home = home(&[batch(&["a", "b"]), Batch { events: vec![event], ..batch(&["c"]) }]);
    fs::write(home.path("tmp/x1.cached"), "12345").unwrap();
    let listed = fine(&home, &["ls"]);
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["FILE", "STORED", "AGE", "POINTS", "BYTES", "FIRST", "LAST"]);
    assert_eq!((lines[1][0], lines[1][4], lines[2][0], lines[2][4]), (FIRST, "2", SECOND, "2"), "{listed}");
    assert!(lines[1][1].starts_with("2020-09-13") && lines[1][3].ends_with('d'), "{listed}");
    assert!(listed.contains("1 old *.cached files (5 bytes); `puypuy spool import` takes them over"), "{listed}");

    let shown = fine(&home, &["show", SECOND]);
    let rows: Vec<serde_json::Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&rows[0]["event"], &rows[0]["level"], &rows[0]["host"]),
        (&"Disk-Usage".into(), &"ERROR".into(), &"web1".into())
    );
    assert_eq!((&rows[1]["name"], &rows[1]["tags"]["drive"], rows.len()), (&"c".into(), &"sda".into(), 2));
    let path = home.path("tmp/spool").join(SECOND);
    assert_eq!(fine(&home, &["show", path.to_str().unwrap()]), shown);
    assert_eq!(fine(&home, &["export"]).lines().count(), 4);
    assert!(fine(&home, &["export"]).ends_with(&shown));
    let said = home.puypuy(&["spool", "show", "nothing.batch"]);
    assert!(said.code == 1 && said.err.contains("nothing.batch"), "{said:?}");
}

#[test]
fn damage_is_found_and_nothing_is_changed() {
    let home = home(&[batch(&["a"]), batch(&["b"])]);
    let path = home.path("tmp/spool").join(FIRST);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let said = home.puypuy(&["spool", "verify"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains(FIRST) && said.out.ends_with("1 files are whole, 1 damaged\n"), "{said:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(fine(&home, &["ls"]).contains("checksum"), "{}", fine(&home, &["ls"]));
}

#[test]
fn batches_are_dropped_by_name_and_nothing_else_is() {
    let home = home(&[batch(&["a", "b"]), batch(&["c"]), batch(&["d"])]);
    fs::write(home.path("precious"), "x").unwrap();
    for outside in ["precious", "../../precious", home.path("precious").to_str().unwrap(), "lock"] {
        let said = home.puypuy(&["spool", "drop", outside]);
        assert!(said.code == 1 && said.err.contains("no such file in the spool"), "{said:?}");
    }
    assert!(home.path("precious").exists());
    assert_eq!(fine(&home, &["drop", FIRST]), "1 files dropped, with 2 points\n");
    assert_eq!(home.puypuy(&["spool", "drop"]).code, 2);
    assert_eq!(fine(&home, &["drop", "--all"]), "2 files dropped, with 2 points\n");
    assert!(waiting(&home).is_empty());
}

#[test]
fn refused_and_damaged_points_are_queued_again() {
    let home = home(&[batch(&["a"])]);
    let lost = |name: &str, value| Refusal { point: point(name, value), status: 400, why: "no".into() };
    let mut rejected = Rejected::new(Box::new(Folder::new(home.path("tmp/rejected"))), "OpenTSDB", 1 << 20);
    rejected.keep(&[lost("r1", Value::Float(5.0)), lost("r2", Value::Int(5))], "web1", 0).unwrap();
    let file = home.path("tmp/rejected/opentsdb.ndjson");
    let older = home.path("tmp/rejected/opentsdb.ndjson.1");
    fs::write(
        &older,
        fs::read_to_string(&file).unwrap().replace("\"r1", "\"older_r1").replace("\"r2", "\"older_r2") + "{torn",
    )
    .unwrap();
    fs::create_dir(home.path("tmp/spool/quarantine")).unwrap();
    fs::write(home.path("tmp/spool/quarantine").join(SECOND), codec::write(&batch(&["q"]), 7)).unwrap();
    fs::write(home.path("tmp/spool/quarantine").join(FIRST), "garbage").unwrap();

    let said = fine(&home, &["requeue"]);
    assert!(said.starts_with("5 points wait in the spool again\n1 lines cannot be read and stay in "), "{said}");
    assert!(!file.exists());
    assert_eq!(fs::read_to_string(&older).unwrap(), "{torn\n");
    assert!(home.path("tmp/spool/quarantine").join(FIRST).exists());
    let exported = fine(&home, &["export"]);
    let values: Vec<String> = exported
        .lines()
        .filter(|line| line.contains("\"name\":\"r"))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].to_string())
        .collect();
    assert_eq!(values, ["5.0", "5"]);
    assert_eq!(waiting(&home), ["a", "older_r1", "older_r2", "r1", "r2", "q"]);
}

#[test]
fn a_running_daemon_is_not_disturbed() {
    let home = home(&[]);
    home.start();
    for words in [&["drop", "--all"][..], &["requeue"], &["import"]] {
        let said = home.puypuy(&[&["spool"], words].concat());
        assert!(said.code == 1 && said.err.contains("stop it first with `./puypuy.sh stop`"), "{said:?}");
    }
    assert_eq!(fine(&home, &["ls"]), "nothing waits in the spool\n");
    assert_eq!(fine(&home, &["verify"]), "0 files are whole, 0 damaged\n");
}

#[test]
fn old_files_are_reported_at_the_start_and_imported() {
    let home = Home::new().with("hostname", "web1").with("cluster_name", "c");
    fs::create_dir(home.path("tmp")).unwrap();
    let lines =
        "m,host=web1,cluster=c,group=test,location=,type=system,core=0 value=5i 1600000000123456789\n\nbroken\n";
    fs::write(home.path("tmp/b.cached"), lines).unwrap();
    fs::write(home.path("tmp/a.cached"), "what is this").unwrap();
    fs::write(home.path("tmp/notes.txt"), "mine").unwrap();
    home.start();
    assert!(home.log().contains("2 *.cached files of the Python original"), "{}", home.log());
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    assert!(home.path("tmp/b.cached").exists());

    let said = fine(&home, &["import"]);
    assert!(said.contains("a.cached: left alone, it holds no line that can be read"), "{said}");
    assert!(said.contains("b.cached: 1 lines cannot be read and stay"), "{said}");
    assert!(said.ends_with("1 points of 2 files wait in the spool; start the daemon to deliver them\n"), "{said}");
    assert_eq!(fs::read_to_string(home.path("tmp/b.cached")).unwrap(), "broken\n");
    assert!(home.path("tmp/a.cached").exists() && home.path("tmp/notes.txt").exists());
    assert_eq!(waiting(&home), ["m"]);
}

prop_compose! {
    fn any_point()(
        name in "\\PC{0,8}",
        value in prop_oneof![
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::Float),
            (-99..99i64).prop_map(|n| Value::Float(n as f64)),
        ],
        kind in prop::sample::select(vec![Kind::Gauge, Kind::Counter, Kind::Rate, Kind::Percent, Kind::Special]),
        time in any::<i64>(),
        check_type in "\\PC{0,8}",
        tags in prop::collection::btree_map("\\PC{0,5}", "\\PC{0,5}", 0..4),
        host in prop::option::of("[a-z]{1,5}"),
        reaction in any::<i8>(),
    ) -> Point {
        let tags = tags.iter().map(|(key, value)| (key.clone(), value.as_str())).collect::<Tags>();
        let host = host.filter(|host| host != "own").map(|host| host.as_str().into());
        Point { name: name.into(), value, kind, time, check_type: check_type.into(), tags, host, reaction }
    }
}

proptest! {
    #[test]
    fn a_point_survives_json(point in any_point()) {
        let text = point.to_json("own").to_string();
        prop_assert_eq!(Point::from_json(&serde_json::from_str(&text).unwrap(), "own"), Some(point));
    }
}
