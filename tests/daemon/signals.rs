//! TERM, a second TERM, HUP, and the end after 5 s whatever hangs.

use crate::support::{Home, signal, wait_for};
use puypuy::daemon::pidfile::PidFile;
use puypuy::daemon::signals;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn term_and_int_end_it_with_code_0() {
    for name in ["TERM", "INT"] {
        let home = Home::new();
        let mut child = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
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
    let mut child = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id() as i32;
    let has_hup = |line: &str| u64::from_str_radix(line.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap() & 1 == 1;
    wait_for("the program to look after HUP", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().any(|line| (line.starts_with("SigBlk:") || line.starts_with("SigCgt:")) && has_hup(line))
    });
    wait_for("the daemon to be ready", || {
        (0..50).for_each(|_| signal(pid, "HUP"));
        home.log().contains("INFO ready\n")
    });
    signal(pid, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Runs in a process of its own, started by the tests below: obeys signals, but never stops by itself.
#[test]
#[ignore = "hangs on purpose"]
fn hanging() {
    let path = std::env::var_os("PID_FILE").unwrap();
    signals::hold();
    let file = Arc::new(PidFile::acquire(path.as_ref()).unwrap());
    let stop = signals::listen(Some(&file), || eprintln!("asked")).unwrap();
    eprintln!("listening");
    stop.recv().unwrap();
    loop {
        std::thread::park();
    }
}

fn hang(home: &Home) -> Child {
    let said = fs::File::create(home.path("said")).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["daemon::signals::hanging", "--exact", "--ignored", "--nocapture"])
        .env("PID_FILE", home.path("x.pid"))
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .unwrap();
    wait_for("the process to listen", || home.read("said").contains("listening"));
    child
}

#[test]
fn whatever_hangs_it_ends_within_5_s() {
    let home = Home::new();
    let mut child = hang(&home);
    let begun = Instant::now();
    signal(child.id() as i32, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_millis(5500), "{took:?}");
    assert!(!home.path("x.pid").exists());
}

#[test]
fn a_second_term_ends_it_at_once() {
    let home = Home::new();
    let mut child = hang(&home);
    let begun = Instant::now();
    signal(child.id() as i32, "TERM");
    wait_for("the first one to arrive", || home.read("said").contains("asked"));
    signal(child.id() as i32, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!home.path("x.pid").exists());
}
