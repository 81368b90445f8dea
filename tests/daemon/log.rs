//! The log: line format, rotation, and the effect of hostile text and a full disk.

use crate::support::{Home, is_root, mode, skip};
use log::Level;
use puypuy::sys::logging::{RotatingFile, Rotation, line, lost_lines};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

const NEVER: Rotation = Rotation { every: None, backups: 0 };

fn is_line(line: &str) -> bool {
    let like = "0000-00-00 00:00:00 ";
    let (stamp, rest) = line.split_at_checked(like.len()).unwrap_or((line, ""));
    let stamped = stamp.len() == like.len()
        && stamp
            .bytes()
            .zip(like.bytes())
            .all(|(byte, like)| if like == b'0' { byte.is_ascii_digit() } else { byte == like });
    stamped && ["INFO ", "WARN ", "ERROR ", "DEBUG "].iter().any(|level| rest.starts_with(level))
}

#[test]
fn every_line_of_a_daemon_has_the_form() {
    let home = Home::new();
    home.start();
    home.puypuy(&["stop"]);
    let log = home.log();
    assert!(log.lines().count() >= 3 && log.lines().all(is_line), "{log}");
}

#[test]
fn text_from_outside_stays_on_its_line() {
    let hostile = "answer\n2026-01-01 00:00:00 INFO forged\r\x1b[2J\u{9b}31m\u{2028}end";
    let line = line(0, Level::Warn, hostile);
    assert!(is_line(&line), "{line}");
    assert_eq!(&line[20..], "WARN answer 2026-01-01 00:00:00 INFO forged  [2J 31m end");
    let long = puypuy::sys::logging::line(0, Level::Info, &"ü".repeat(100_000));
    assert!(long.len() < 9000 && long.ends_with('…'));
}

#[test]
fn local_time_follows_daylight_saving_time() {
    let child = |seconds: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["daemon::log::prints_a_stamp", "--exact", "--ignored", "--nocapture"])
            .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
            .env("SECONDS", seconds)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(child("1767265200").contains("2026-01-01 12:00:00 INFO x"), "{}", child("1767265200"));
    assert!(child("1782900000").contains("2026-07-01 12:00:00 INFO x"), "{}", child("1782900000"));
}

#[test]
#[ignore = "run by local_time_follows_daylight_saving_time in another time zone"]
fn prints_a_stamp() {
    println!("{}", line(std::env::var("SECONDS").unwrap().parse().unwrap(), Level::Info, "x"));
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_old_file_is_set_aside_and_the_oldest_removed() {
    let home = Home::new();
    let folder = home.path("log");
    let path = folder.join("puypuy.log");
    let hour = Rotation { every: Some(Duration::from_secs(3600)), backups: 2 };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let mut expected = vec!["puypuy.log".to_string(), "puypuy.log.mine".to_string()];
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("puypuy.log.mine"), "not of the rotation").unwrap();
    for round in 0..4 {
        let changed = now - 20_000 + 4000 * round;
        fs::write(&path, format!("round {round}\n")).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(changed as u64);
        File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
        let mut log = RotatingFile::open(&path, hour, false).unwrap();
        log.write_all(b"a line\n").unwrap();
        log.write_all(b"another\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a line\nanother\n");
        if round >= 2 {
            // The timestamp of a line and the file name use the same time.
            let stamp = line(changed, Level::Info, "")[..19].replace(' ', "_").replace(':', "-");
            expected.push(format!("puypuy.log.{stamp}"));
        }
    }
    expected.sort();
    assert_eq!(names(&folder), expected);
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_young_file_is_continued() {
    let home = Home::new();
    let path = home.path("young.log");
    fs::write(&path, "before\n").unwrap();
    let hour = Rotation { every: Some(Duration::from_secs(3600)), backups: 2 };
    RotatingFile::open(&path, hour, false).unwrap().write_all(b"after\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\nafter\n");
}

#[test]
fn a_running_file_rotates_by_its_age() {
    let home = Home::new();
    let path = home.path("log/x.log");
    let second = Rotation { every: Some(Duration::from_secs(1)), backups: 3 };
    let mut log = RotatingFile::open(&path, second, false).unwrap();
    crate::support::wait_for("three rotations", || {
        log.write_all(b"x\n").unwrap();
        names(&home.path("log")).len() == 4
    });
}

#[test]
fn a_failed_rotation_is_logged_once_and_loses_nothing() {
    let home = Home::new();
    // With the timestamp appended, the name would be too long for any file system.
    let path = home.path(&"x".repeat(240));
    fs::write(&path, "old\n").unwrap();
    File::options().append(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let second = Rotation { every: Some(Duration::from_secs(1)), backups: 1 };
    let mut log = RotatingFile::open(&path, second, false).unwrap();
    for line in ["kept\n", "kept, too\n"] {
        log.write_all(line.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
    }
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(is_line(lines[1]) && lines[1].contains(": cannot rotate: "), "{text}");
    assert_eq!((lines[0], lines[2], lines[3]), ("old", "kept", "kept, too"));
}

#[test]
fn a_full_disk_only_loses_lines() {
    let before = lost_lines();
    let mut log = RotatingFile::open(Path::new("/dev/full"), NEVER, false).unwrap();
    for _ in 0..3 {
        log.write_all(b"a line\n").unwrap();
    }
    assert!(lost_lines() >= before + 3);
}

#[test]
fn a_line_torn_by_a_full_disk_does_not_spoil_the_next() {
    let may = is_root() && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !may {
        skip("needs root and namespaces");
        return;
    }
    let home = Home::new();
    let script = r#"mount -t tmpfs -o size=4096 none "$1" && exec "$2" daemon::log::fills_a_disk --exact --ignored"#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(home.path("")).arg(std::env::current_exe().unwrap());
    let output = command.env("FOLDER", home.path("")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "run by a_line_torn_by_a_full_disk_does_not_spoil_the_next on a disk of 4 KiB"]
fn fills_a_disk() {
    let path = Path::new(&std::env::var("FOLDER").unwrap()).join("x.log");
    let mut log = RotatingFile::open(&path, NEVER, false).unwrap();
    let first = "x".repeat(4090) + "\n";
    for line in [first.as_str(), "torn line\n", "lost line\n"] {
        log.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), first + "torn ");
    File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
    log.write_all(b"whole line\n").unwrap();
    log.write_all(b"another\n").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2], lines[3]), (4, "xxx", "whole line", "another"), "{text}");
    assert!(is_line(lines[1]) && lines[1].ends_with("WARN 2 log lines lost: the disk did not take them"), "{text}");
}

#[test]
fn parts_become_one_write() {
    let home = Home::new();
    let path = home.path("x.log");
    let mut log = RotatingFile::open(&path, NEVER, false).unwrap();
    for part in ["one ", "line", " in", " parts"] {
        log.write_all(part.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
    log.write_all(b"\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one line in parts\n");
}

/// Runs in its own process, because a process has only one log.
#[test]
#[ignore = "run by a_display_that_panics_leaves_the_log_working"]
fn logs_and_panics() {
    struct Panicking;
    impl std::fmt::Display for Panicking {
        fn fmt(&self, _: &mut std::fmt::Formatter) -> std::fmt::Result {
            panic!("in Display")
        }
    }
    let path = std::env::var("LOG").unwrap();
    let rotation = Rotation { every: None, backups: 0 };
    puypuy::sys::logging::start(path.as_ref(), rotation, log::LevelFilter::Info, false).unwrap();
    assert!(std::panic::catch_unwind(|| log::error!(target: "puypuy::checks", "{Panicking}")).is_err());
    log::info!(target: "puypuy", "check_x: after it");
    log::debug!(target: "puypuy", "debug is off");
    log::info!(target: "hyper::client", "chatter");
    log::info!(target: "puypuyish", "chatter");
    log::warn!(target: "rustls", "a warning is kept");
    std::thread::Builder::new().name("check_y".into()).spawn(|| panic!("no {}", "luck")).unwrap().join().unwrap_err();
}

#[test]
fn a_display_that_panics_leaves_the_log_working() {
    let home = Home::new();
    let path = home.path("x.log");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["daemon::log::logs_and_panics", "--exact", "--ignored"])
        .env("LOG", &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let log = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = log.lines().map(|line| &line[20..]).collect();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(
        lines[0].starts_with("ERROR thread daemon::log::logs_and_panics panicked at tests/daemon/log.rs:"),
        "{log}"
    );
    assert!(lines[0].ends_with(": in Display"), "{log}");
    assert_eq!(lines[1..3], ["INFO check_x: after it", "WARN a warning is kept"]);
    assert!(lines[3].starts_with("ERROR thread check_y panicked at ") && lines[3].ends_with(": no luck"), "{log}");
}
