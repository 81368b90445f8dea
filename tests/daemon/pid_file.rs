//! The lock of the pid file decides, not the number in it.

use crate::support::{Home, Said, lives, signal, wait_for};
use puypuy::daemon::pidfile::{Daemon, PidFile, look};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

#[test]
fn a_second_start_says_who_runs() {
    let home = Home::new();
    let pid = home.start();
    for word in ["start", "run"] {
        let said = home.puypuy(&[word]);
        let file = home.pid_file();
        assert_eq!(said.code, 1);
        assert_eq!(said.err, format!("puypuy: already running, pid {pid} (pid file {})\n", file.display()));
    }
    assert_eq!(home.processes(), [pid]);
    assert_eq!(home.pid(), pid);
}

#[test]
fn eight_starts_at_once_give_one_daemon() {
    let home = Home::new();
    let starts: Vec<_> = (0..8)
        .map(|_| home.command(&["start"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let said: Vec<Said> = starts.into_iter().map(|start| start.wait_with_output().unwrap().into()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = said.iter().partition(|said| said.code == 0);
    assert_eq!(won.len(), 1, "{said:?}");
    let pid = home.pid();
    assert!(
        lost.iter().all(|said| said.code == 1 && said.err.contains(&format!("already running, pid {pid} "))),
        "{said:?}"
    );
    wait_for("the losers to end", || home.processes() == [pid]);
}

#[test]
fn the_content_of_the_file_never_prevents_a_start() {
    let own = std::process::id().to_string();
    for text in ["", "1\n", &own, "rubbish", "-1", "0", "99999999999999999999", "4194304\n", "\0\0\0"] {
        let home = Home::new();
        fs::create_dir(home.path("run")).unwrap();
        fs::write(home.pid_file(), text).unwrap();
        assert_eq!(home.puypuy(&["status"]).code, 3, "{text:?}");
        assert_eq!(home.puypuy(&["stop"]).out, "not running\n", "{text:?}");
        let pid = home.start();
        assert!(lives(pid));
        assert_eq!(home.puypuy(&["stop"]).code, 0);
    }
}

#[test]
fn after_kill_9_it_starts_again() {
    let home = Home::new();
    let first = home.start();
    signal(first, "KILL");
    wait_for("the daemon to die", || !lives(first));
    assert!(home.pid_file().exists());
    // The lock is released by its last thread.
    wait_for("the lock", || home.puypuy(&["status"]).code == 3);
    assert_ne!(home.start(), first);
}

#[test]
fn an_overwritten_number_does_no_harm() {
    let home = Home::new();
    let pid = home.start();
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(home.pid_file(), format!("{}\n", bystander.id())).unwrap();
    assert!(home.puypuy(&["status"]).out.contains(&format!("running, pid {pid} since")));
    assert_eq!(home.puypuy(&["stop"]).out, format!("stopped, pid {pid}\n"));
    assert!(!lives(pid));
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_lock_of_another_program_is_left_alone() {
    let home = Home::new();
    fs::create_dir(home.path("run")).unwrap();
    let file = File::create(home.pid_file()).unwrap();
    file.lock().unwrap();
    let me = format!("locked by process {} (", std::process::id());
    for word in ["stop", "status", "start", "restart"] {
        let said = home.puypuy(&[word]);
        assert_eq!(said.code, 1, "{word}: {said:?}");
        assert!(said.err.contains(&me), "{word}: {said:?}");
    }
    drop(file);
    home.start();
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let home = Home::new();
    fs::create_dir(home.path("run")).unwrap();
    fs::write(home.path("victim"), "precious").unwrap();
    symlink(home.path("victim"), home.pid_file()).unwrap();
    let said = home.puypuy(&["start"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("puypuy.pid: cannot open the pid file"), "{said:?}");
    assert_eq!(home.read("victim"), "precious");
}

#[test]
fn a_file_that_replaced_ours_is_not_removed() {
    let home = Home::new();
    let path = home.path("x.pid");
    let ours = PidFile::acquire(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let theirs = PidFile::acquire(&path).unwrap();
    ours.release();
    assert!(path.exists());
    theirs.release();
    assert!(!path.exists());
    assert_eq!(look(&path).unwrap(), Daemon::Gone);
}

#[test]
fn reading_the_status_does_not_disturb_a_start() {
    let home = Home::new();
    let path = home.path("x.pid");
    fs::write(&path, "").unwrap();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| (0..20_000).for_each(|_| drop(look(&path).unwrap())));
        while !looking.is_finished() {
            let file = PidFile::acquire(&path).unwrap();
            // Released without removing the file, so that there is always a file to look at.
            fs::rename(&path, home.path("aside")).unwrap();
            fs::write(&path, "").unwrap();
            file.release();
        }
    });
}

#[test]
fn a_removed_file_is_created_again() {
    let home = Home::new().with("check_period_seconds", "0.2");
    let pid = home.start();
    for round in 1..=2 {
        fs::remove_file(home.pid_file()).unwrap();
        wait_for("the file to be there again", || home.read("run/puypuy.pid") == format!("{pid}\n"));
        wait_for("a line", || home.log().matches("somebody removed the pid file; it is there again").count() == round);
    }
    let said = home.puypuy(&["start"]);
    assert!(said.err.contains(&format!("already running, pid {pid}")), "{said:?}");
    assert_eq!(home.puypuy(&["stop"]).out, format!("stopped, pid {pid}\n"));
    assert!(!home.pid_file().exists());
}

#[test]
fn the_process_that_holds_the_spool_is_named() {
    let home = Home::new();
    let pid = home.start();
    let home = home.with("pid_file", "other.pid");
    let said = home.puypuy(&["start"]);
    let expected = format!("is in use by process {pid} (puypuy): stop that");
    assert!(said.code == 1 && said.err.contains(&expected), "{said:?}");
    assert!(lives(pid) && !home.path("other.pid").exists());
}

#[test]
fn a_killed_run_is_reported_by_the_next_and_a_stopped_one_is_not() {
    let home = Home::new();
    let told = |home: &Home| home.log().matches("was not stopped but ended abruptly").count();
    let first = home.start();
    signal(first, "KILL");
    wait_for("the daemon to die", || !lives(first));
    home.start();
    let expected = format!(
        "the last run, pid {first}, was not stopped but ended abruptly: killed, or the machine went down; it was last seen alive at 20"
    );
    assert!(told(&home) == 1 && home.log().contains(&expected), "{}", home.log());
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    home.start();
    assert_eq!(told(&home), 1, "{}", home.log());
}
