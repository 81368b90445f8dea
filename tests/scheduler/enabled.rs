//! Enabled entries with the real daemon: links that appear, disappear, dangle, hang and change, and the messages about
//! them.

use crate::checks::dead_mount::FuseMount;
use crate::support::server::Server;
use crate::support::{Home, PROGRAM, install, is_root, signal, skip, wait_for};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const WELL: &str = "#!/bin/sh\necho well 1 x stack\n";

/// A home with both folders, and one check in each.
fn home() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    fs::create_dir(home.path("scripts_enabled")).unwrap();
    script(&home, "scripts_enabled/check_well.sh", WELL);
    assert_eq!(home.puypuy(&["enable", "memory"]).code, 0);
    home
}

fn script(home: &Home, name: &str, text: &str) {
    let unfinished = home.path("unfinished");
    fs::write(&unfinished, text).unwrap();
    fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).unwrap();
    fs::rename(unfinished, home.path(name)).unwrap();
}

fn lines(home: &Home, part: &str) -> usize {
    home.log().lines().filter(|line| line.contains(part)).count()
}

fn wait_for_line(home: &Home, part: &str) {
    let begun = Instant::now();
    while lines(home, part) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(15), "no line with {part:?}\n{}", home.log());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_link_to_a_dead_mount_only_affects_itself() {
    // The mount is in a namespace of this thread and of the processes that it starts.
    thread::spawn(|| {
        let home = home();
        let Some(mut dead) = FuseMount::at(&home.path("dead")) else { return skip("no FUSE") };
        for number in 1..=3 {
            symlink("../dead/script", home.path(&format!("scripts_enabled/check_a{number}.sh"))).unwrap();
        }
        symlink("../dead/descriptor", home.path("checks_enabled/check_load_average.ini")).unwrap();
        let listed = home.puypuy(&["list"]);
        assert!(listed.out.contains("?    check_a1.sh"), "{listed:?}");
        let begun = Instant::now();
        home.start();
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        for name in ["check_memory", "check_load_average", "check_well.sh"] {
            wait_for_line(&home, &format!("{name}: switched on"));
        }
        wait_for_line(&home, "3 entries stay off until that is mended: does not answer");
        // A link that hangs can be removed, and does not prevent others from being created.
        assert_eq!(home.puypuy(&["enable", "cpustats"]).code, 0);
        assert_eq!(home.puypuy(&["disable", "check_a3.sh"]).out, "check_a3.sh: switched off\n");
        script(&home, "scripts_enabled/check_later.sh", WELL);
        wait_for_line(&home, "check_later.sh: switched on");
        wait_for("numbers", || home.puypuy(&["show", "mem_total"]).code == 0);
        assert_eq!(lines(&home, "does not answer"), 1, "{}", home.log());
        dead.die();
        wait_for_line(&home, "2 entries stay off until that is mended: cannot be looked at: ");
        assert_eq!(home.puypuy(&["stop"]).code, 0);
        assert_eq!(lines(&home, "left behind"), 0, "{}", home.log());
    })
    .join()
    .unwrap();
}

#[test]
fn the_daemon_stops_while_a_link_hangs_and_serves_when_the_folder_does() {
    thread::spawn(|| {
        let home = home();
        let Some(_dead) = FuseMount::at(&home.path("dead")) else { return skip("no FUSE") };
        symlink("../dead/script", home.path("scripts_enabled/check_dead.sh")).unwrap();
        home.start();
        wait_for_line(&home, "does not answer");
        let begun = Instant::now();
        assert_eq!(home.puypuy(&["stop"]).code, 0);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        // The folder itself hangs.
        fs::rename(home.path("scripts_enabled"), home.path("before")).unwrap();
        symlink("dead/folder", home.path("scripts_enabled")).unwrap();
        home.start();
        wait_for_line(&home, "is one of them on a mount that does not answer? All else goes on");
        assert_eq!(home.puypuy(&["stop"]).code, 0);
    })
    .join()
    .unwrap();
}

#[test]
fn an_entry_that_cannot_run_is_logged_once_and_starts_when_it_can() {
    let home = home();
    fs::create_dir(home.path("scripts_available")).unwrap();
    for number in 1..=4 {
        symlink("../scripts_available/later", home.path(&format!("scripts_enabled/check_later{number}"))).unwrap();
    }
    fs::create_dir(home.path("scripts_enabled/check_folder")).unwrap();
    fs::write(home.path("conf/system.ini"), "[Load Average]\ncheck_period_seconds = soon\n").unwrap();
    let said = home.puypuy(&["enable", "load_average", "disks"]);
    assert!(said.err.contains("check_load_average.ini: conf/system.ini:2"), "{said:?}");
    assert!(said.out.contains("check_disks: switched on"), "{said:?}");
    assert_eq!(said.code, 1, "{said:?}");
    home.start();
    wait_for_line(
        &home,
        "scripts_enabled: 4 entries stay off until that is mended: is a link to a file that is not there",
    );
    wait_for_line(
        &home,
        "scripts_enabled/check_folder: is no file; expected a program, or a link to one; it stays off",
    );
    let listed = home.puypuy(&["list"]).out;
    assert!(listed.contains("?    check_folder") && listed.contains("?    check_later1"), "{listed}");
    assert!(listed.contains("?    check_load_average"), "{listed}");
    let tried = home.puypuy(&["check", "check_later1"]);
    let why = "puypuy: scripts_enabled/check_later1: is a link to a file that is not there";
    assert!(tried.code == 1 && tried.err.starts_with(why), "{tried:?}");
    let checked = home.puypuy(&["check-config"]).out;
    assert!(checked.contains("warning: scripts_enabled/check_folder: is no file"), "{checked}");
    script(&home, "scripts_available/later", WELL);
    fs::write(home.path("conf/system.ini"), "").unwrap();
    for name in ["check_later1", "check_later4", "check_load_average"] {
        wait_for_line(&home, &format!("{name}: switched on"));
    }
    assert_eq!(lines(&home, "stay off until"), 1, "{}", home.log());
    assert_eq!(lines(&home, "check_folder"), 1, "{}", home.log());
}

#[test]
fn five_thousand_unknown_links_are_one_line() {
    let home = home();
    for number in 0..5000 {
        symlink("nowhere", home.path(&format!("checks_enabled/check_nothing_{number}.py"))).unwrap();
    }
    home.start();
    wait_for_line(&home, "check_memory: switched on");
    wait_for_line(&home, "checks_enabled: 5000 entries stay off until that is mended: no check of that name");
    assert!(home.log().lines().count() < 20, "{}", home.log());
}

#[test]
fn folders_that_cannot_be_read_are_read_when_they_can() {
    if !is_root() {
        return skip("only root can give a folder to another user");
    }
    let home = home().with("run_user", "nobody");
    fs::set_permissions(home.path("checks_enabled"), Permissions::from_mode(0o700)).unwrap();
    chown(home.path("checks_enabled"), Some(0), Some(0)).unwrap();
    home.start();
    wait_for_line(&home, "checks_enabled: cannot list: permission denied");
    wait_for_line(&home, "check_well.sh: switched on");
    fs::set_permissions(home.path("checks_enabled"), Permissions::from_mode(0o755)).unwrap();
    wait_for_line(&home, "check_memory: switched on");
}

#[test]
fn disable_ends_a_run_and_enable_starts_no_second_copy() {
    let home = home();
    fs::create_dir(home.path("scripts_available")).unwrap();
    let deaf = "#!/bin/sh\ntrap '' TERM\necho >> runs\nwhile :; do sleep 0.2; done\n";
    script(&home, "scripts_available/check_deaf.sh", deaf);
    fs::write(home.path("conf/scripts.ini"), "[check_deaf.sh]\ncheck_period_seconds = 600\n").unwrap();
    assert_eq!(home.puypuy(&["enable", "check_deaf.sh"]).code, 0);
    home.start();
    // Without the script's own children, which look like it until they have called exec.
    let copies = || {
        let is_it = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.starts_with(b"/bin/sh\0") && words.ends_with(b"check_deaf.sh\0")
        };
        let all: Vec<i32> = home.processes().into_iter().filter(is_it).collect();
        let parent = |pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok())
        };
        all.iter().filter(|pid| parent(pid).is_some_and(|parent| !all.contains(&parent))).count()
    };
    wait_for("it to run", || home.read("runs").len() == 1 && copies() == 1);
    assert_eq!(home.puypuy(&["disable", "check_deaf.sh"]).code, 0);
    wait_for_line(&home, "check_deaf.sh: switched off");
    assert_eq!(home.puypuy(&["enable", "check_deaf.sh"]).code, 0);
    wait_for_line(&home, "an earlier run has not ended: check_deaf.sh is switched on when it has");
    wait_for("the second copy", || {
        assert!(copies() <= 1);
        home.read("runs").len() == 2
    });
    assert_eq!(home.puypuy(&["disable", "check_deaf.sh"]).code, 0);
    wait_for("the end of it", || copies() == 0);
}

#[test]
fn only_a_changed_section_is_reloaded_with_the_next_link() {
    let home = home();
    assert_eq!(home.puypuy(&["enable", "load_average"]).code, 0);
    home.start();
    wait_for_line(&home, "check_load_average: switched on");
    fs::write(home.path("conf/scripts.ini"), "[check_well.sh]\nmax_series = 7\n").unwrap();
    assert_eq!(home.puypuy(&["enable", "disks"]).code, 0);
    wait_for_line(&home, "check_well.sh: its section has changed; it goes on by the new one");
    wait_for_line(&home, "check_disks: switched on");
    // A mistake leaves the running check as it is.
    fs::write(home.path("conf/scripts.ini"), "[check_well.sh]\nmax_series = many\n").unwrap();
    assert_eq!(home.puypuy(&["disable", "disks"]).code, 0);
    wait_for_line(&home, "scripts_enabled/check_well.sh: conf/scripts.ini:2 [check_well.sh] max_series");
    wait_for_line(&home, "check_disks: switched off");
    assert_eq!((lines(&home, "switched off"), lines(&home, "has changed")), (1, 1), "{}", home.log());
    assert_eq!(lines(&home, "it goes on as before"), 1, "{}", home.log());
}

#[test]
fn that_nothing_is_enabled_is_logged_once_and_only_if_true() {
    let home = home();
    assert_eq!(home.puypuy(&["disable", "memory"]).code, 0);
    home.start();
    wait_for_line(&home, "check_well.sh: switched on");
    assert_eq!(lines(&home, "no check is switched on"), 0, "{}", home.log());
    fs::remove_file(home.path("scripts_enabled/check_well.sh")).unwrap();
    wait_for_line(&home, "no check is switched on");
    symlink("x", home.path("checks_enabled/check_nothing")).unwrap();
    wait_for_line(&home, "check_nothing: no check of that name");
    assert_eq!(lines(&home, "no check is switched on"), 1, "{}", home.log());
}

#[test]
fn a_missing_home_is_not_created() {
    let scratch = tempfile::tempdir().unwrap();
    let typo = scratch.path().join("hmoe");
    for words in [
        &["start"][..],
        &["stop"],
        &["restart"],
        &["status"],
        &["run"],
        &["check", "memory"],
        &["list"],
        &["enable", "memory"],
        &["disable", "memory"],
        &["check-config"],
        &["discover"],
        &["migrate", "/"],
        &["show"],
        &["spool", "ls"],
        &["quickstart"],
    ] {
        let said = Command::new(PROGRAM).arg("--home").arg(&typo).args(words).output().unwrap();
        let err = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{words:?}: {err}");
        assert!(err.contains("hmoe: there is no such folder"), "{words:?}: {err}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_lone_program_with_an_empty_file_beside_it_can_quickstart() {
    let home = Home::new();
    let lone = home.path("lone");
    fs::create_dir(&lone).unwrap();
    install(PROGRAM, lone.join("puypuy"));
    fs::write(lone.join("config.ini"), "[SelfConfig]\ncheck_period_seconds = 1\n").unwrap();
    let run = |word: &str| Command::new(lone.join("puypuy")).arg(word).env_remove("PUYPUY_HOME").output().unwrap();
    let said = run("quickstart");
    let stopped = run("stop");
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).contains("mem_total"), "{said:?}");
    assert!(stopped.status.success(), "{stopped:?}");
    let link = fs::read_link(lone.join("checks_enabled/check_memory.ini")).unwrap();
    assert_eq!(link, Path::new("../checks_available/check_memory.ini"));
}

#[test]
fn periods_below_a_tenth_of_a_second_are_refused_everywhere() {
    let home = home();
    fs::write(home.path("conf/system.ini"), "[Memory Stats]\ncheck_period_seconds = 0.05\n").unwrap();
    fs::write(home.path("conf/scripts.ini"), "[check_well.sh]\ncheck_period_seconds = 0.05\n").unwrap();
    let said = home.puypuy(&["check-config"]);
    for file in ["conf/scripts.ini:2", "conf/system.ini:2"] {
        let line = said.out.lines().find(|line| line.contains(file));
        assert!(line.is_some_and(|line| line.contains("expected seconds from 0.1 to 86400")), "{file}: {said:?}");
    }
    let said = home.puypuy(&["check", "check_well.sh"]);
    assert!(said.code == 1 && said.err.contains("from 0.1 to 86400"), "{said:?}");
}

#[test]
fn a_section_in_a_hanging_place_only_affects_its_checks() {
    let home = home();
    nix::unistd::mkfifo(&home.path("conf/system.ini"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(home.puypuy(&["enable", "load_average", "disks"]).code, 1);
    home.start();
    wait_for_line(&home, "check_well.sh: switched on");
    wait_for_line(&home, "checks_enabled: 3 entries stay off until that is mended: does not answer");
    let pipe = home.path("pipe");
    fs::rename(home.path("conf/system.ini"), &pipe).unwrap();
    let names = ["check_memory", "check_load_average", "check_disks"];
    wait_for("all to be on", || {
        // A writer releases the readers that wait for one.
        let _ = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&pipe);
        names.iter().all(|name| lines(&home, &format!("{name}: switched on")) == 1)
    });
    assert_eq!(home.puypuy(&["stop"]).code, 0);
}

#[test]
fn without_a_thread_a_check_is_off_and_is_tried_again() {
    if !is_root() {
        return skip("only root can become another user");
    }
    // The limit counts all threads of a user: use one that no other run of this test has.
    let nobodys = 20_000 + std::process::id() % 40_000;
    let home = home();
    for number in 1..=9 {
        script(&home, &format!("scripts_enabled/check_s{number}.sh"), WELL);
    }
    for folder in ["log", "run", "tmp", "var"] {
        fs::create_dir(home.path(folder)).unwrap();
        chown(home.path(folder), Some(nobodys), Some(nobodys)).unwrap();
    }
    let limited = format!("ulimit -S -u 10; exec {PROGRAM} --home {} run", home.path("").display());
    let mut daemon = Command::new("setpriv");
    daemon.args(["--reuid", &nobodys.to_string(), "--clear-groups", "bash", "-c", &limited]);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_line(&home, "is not switched on yet; tried again at each tick");
    assert!(lines(&home, ": switched on") < 11, "{}", home.log());
    assert!(lines(&home, "is not switched on yet") <= 3, "{}", home.log());
    let mut raise = Command::new("setpriv");
    raise.args(["--reuid", &nobodys.to_string(), "--clear-groups", "prlimit", "--nproc=200:", "--pid"]);
    assert!(raise.arg(daemon.id().to_string()).status().unwrap().success());
    wait_for("all to be on", || lines(&home, ": switched on") == 11);
    signal(daemon.id() as i32, "TERM");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn the_folders_are_looked_at_when_they_change_and_not_at_every_tick() {
    let server = Server::always(204);
    let home = home().to(&[("tsdtype", "InfluxDB"), ("address", &server.url()), ("database", "d")]);
    fs::remove_dir_all(home.path("scripts_enabled")).unwrap();
    // After a change it looks several times, at growing intervals.
    File::open(home.path("checks_enabled")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let pid = home.start();
    let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().map(|task| task.path());
    let looks = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "enabled\n");
    let thread = tasks.find(looks).unwrap();
    let wakes = || -> u64 {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    };
    let ticks = || server.requests().len();
    wait_for("the first tick", || ticks() > 0);
    let (wakes_before, ticks_before) = (wakes(), ticks());
    wait_for("ticks", || ticks() >= ticks_before + 6);
    let wakes = wakes() - wakes_before;
    assert!(wakes <= 5, "{wakes}");
    fs::create_dir(home.path("scripts_enabled")).unwrap();
    script(&home, "scripts_enabled/check_late.sh", WELL);
    wait_for_line(&home, "check_late.sh: switched on");
    assert_eq!(home.puypuy(&["stop"]).code, 0);
}
