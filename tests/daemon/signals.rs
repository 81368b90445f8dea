//! TERM, a second TERM, HUP, and the end within 5 s whatever hangs.

use crate::checks::dead_mount::FuseMount;
use crate::support::{Home, signal, wait_for};
use nix::sys::stat::Mode;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

#[test]
fn term_and_int_end_it_with_code_0() {
    for name in ["TERM", "INT"] {
        let home = Home::new();
        let mut child = run(&home);
        wait_for("the daemon to be ready", || home.log().contains("INFO ready\n"));
        let begun = Instant::now();
        signal(child.id() as i32, name);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(!home.pid_file().exists());
        assert!(home.log().contains(&format!("INFO SIG{name}: stopping\n")), "{}", home.log());
        assert!(home.log().ends_with("INFO stopped\n"), "{}", home.log());
    }
}

fn run(home: &Home) -> Child {
    home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn hup_opens_the_log_again() {
    let home = Home::new();
    let pid = home.start();
    fs::rename(home.path("log"), home.path("old")).unwrap();
    signal(pid, "HUP");
    wait_for("a new log", || home.log().contains("INFO SIGHUP: log file opened again\n"));
    assert!(!home.read("old/puypuy.log").contains("SIGHUP"));
    assert_eq!(home.puypuy(&["status"]).code, 0);
}

#[test]
fn a_storm_of_hups_at_the_start_kills_nothing() {
    let home = Home::new();
    let mut child = run(&home);
    let pid = child.id() as i32;
    wait_for("the program to hold HUP", || blocked(pid, pid) & OURS == OURS);
    wait_for("the daemon to be ready", || {
        (0..50).for_each(|_| signal(pid, "HUP"));
        home.log().contains("INFO ready\n")
    });
    signal(pid, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// HUP, INT and TERM as bits of a mask.
const OURS: u64 = 1 | 1 << 1 | 1 << 14;

/// The blocked signals of a thread, as a bit mask.
fn blocked(pid: i32, thread: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap())
}

fn threads(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.map(|task| task.file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn no_thread_is_interrupted_and_no_program_inherits_that() {
    let home = Home::new();
    fs::create_dir(home.path("scripts_enabled")).unwrap();
    let script = home.path("scripts_enabled/check_mask");
    let text = format!("#!/bin/sh\ngrep SigBlk /proc/self/status > {}\n", home.path("mask").display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let pid = home.start();
    wait_for("the script to have run", || home.read("mask").ends_with('\n'));
    assert_eq!(home.read("mask"), "SigBlk:\t0000000000000000\n");
    assert!(threads(pid).len() > 3);
    wait_for("all threads to hold them back", || {
        threads(pid).iter().all(|thread| blocked(pid, *thread) & OURS == OURS)
    });
}

/// A daemon whose log is a pipe that nobody reads any more: every thread that logs hangs.
fn hanging(home: &Home) -> (Child, File) {
    fs::create_dir(home.path("log")).unwrap();
    let log = home.path("log/puypuy.log");
    nix::unistd::mkfifo(&log, Mode::S_IRWXU).unwrap();
    let both = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&log).unwrap();
    while (&both).write(&[b'\n'; 4096]).is_ok() {}
    let child = run(home);
    wait_for("the daemon to hold its lock", || home.read("run/puypuy.pid").ends_with('\n'));
    wait_for("the main thread to hang", || {
        fs::read_to_string(format!("/proc/{}/wchan", child.id())).is_ok_and(|place| place.contains("pipe"))
    });
    (child, both)
}

#[test]
fn it_ends_within_5_s_whatever_hangs() {
    let home = Home::new();
    let (mut child, _log) = hanging(&home);
    let begun = Instant::now();
    signal(child.id() as i32, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_millis(5500), "{took:?}");
    assert!(!home.pid_file().exists());
}

#[test]
fn a_second_term_ends_it_at_once() {
    let home = Home::new();
    let (mut child, _log) = hanging(&home);
    let pid = child.id() as i32;
    let begun = Instant::now();
    // Two pending signals of the same kind are merged into one.
    signal(pid, "TERM");
    signal(pid, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!home.pid_file().exists());
}

/// The main thread waits for a file system that never responds, so a signal handler would never run in it.
#[test]
fn an_uninterruptible_main_thread_does_not_delay_the_end() {
    let home = Home::new().with("log_file", "dead/puypuy.log");
    // Dropped before the home, because removing its folders would hang.
    let Some(_dead) = FuseMount::at(&home.path("dead")) else { return };
    let mut child = run(&home);
    let pid = child.id() as i32;
    wait_for("the main thread to hang", || {
        fs::read_to_string(format!("/proc/{pid}/wchan"))
            .is_ok_and(|place| place.contains("fuse") || place == "request_wait_answer")
    });
    let begun = Instant::now();
    signal(pid, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_millis(5500), "{:?}", begun.elapsed());
}
