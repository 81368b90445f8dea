//! start, status, stop, restart, run: exit codes, messages, and the properties of the started process.

use crate::support::{Home, PROGRAM, lives, mode, signal, wait_for};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn start_status_restart_stop() {
    let home = Home::new();
    let said = home.puypuy(&["status"]);
    assert_eq!((said.code, said.out.as_str()), (3, "not running; `puypuy start` starts it\n"));
    let said = home.puypuy(&["stop"]);
    assert_eq!((said.code, said.out.as_str()), (0, "not running\n"));

    let said = home.puypuy(&["start"]);
    let first = home.pid();
    let log = home.path("log/puypuy.log");
    assert_eq!(said.code, 0, "{said:?}");
    let nothing = "no check is switched on; `puypuy list` shows all, `puypuy enable NAME` switches one on";
    assert_eq!(said.out, format!("started, pid {first}, log {}\n{nothing}\n", log.display()));
    let said = home.puypuy(&["status"]);
    assert_eq!(said.code, 0);
    assert!(said.out.starts_with(&format!("all is well\nrunning, pid {first} since 20")), "{said:?}");
    assert!(said.out.contains(&format!(", log {}\n", log.display())), "{said:?}");

    let said = home.puypuy(&["restart"]);
    let second = home.pid();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with(&format!("stopped, pid {first}\nstarted, pid {second}")), "{said:?}");
    assert_ne!(first, second);
    assert_eq!(home.processes(), [second]);

    let said = home.puypuy(&["stop"]);
    assert_eq!((said.code, said.out), (0, format!("stopped, pid {second}\n")));
    assert!(!home.pid_file().exists());
    assert_eq!(home.puypuy(&["status"]).code, 3);
}

#[test]
fn restart_starts_a_stopped_daemon() {
    let home = Home::new();
    let said = home.puypuy(&["restart"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("not running\nstarted, pid "), "{said:?}");
}

#[test]
fn restart_with_a_broken_file_leaves_the_old_one_running() {
    let home = Home::new();
    let pid = home.start();
    let home = home.with("check_period_seconds", "soon");
    let said = home.puypuy(&["restart"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("check_period_seconds"), "{said:?}");
    assert!(lives(pid));
    assert_eq!(home.processes(), [pid]);
}

#[test]
fn missing_folders_are_created() {
    let home = Home::new();
    let home = ["log_file", "pid_file", "tmpdir"].iter().fold(home, |home, key| {
        let path = home.path(&format!("deep/er/{key}"));
        home.with(key, &path.display().to_string())
    });
    assert_eq!(home.puypuy(&["start"]).code, 0);
    assert!(home.path("deep/er/log_file").is_file());
    assert!(home.path("deep/er/pid_file").is_file());
    assert!(home.path("deep/er/tmpdir").is_dir());
    assert_eq!(home.puypuy(&["stop"]).code, 0);
}

#[test]
fn relative_paths_are_below_the_home() {
    let home = Home::new().with("log_file", "here/own.log").with("pid_file", "here/own.pid");
    assert_eq!(home.puypuy(&["start"]).code, 0);
    assert!(home.path("here/own.log").is_file());
    assert!(home.path("here/own.pid").is_file());
}

#[test]
fn a_log_that_cannot_be_written_is_a_clear_error() {
    for (log, reason) in [("/proc/puypuy/x.log", "/proc/puypuy: "), ("checks_enabled", "log file")] {
        let home = Home::new().with("log_file", log);
        let said = home.puypuy(&["start"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.starts_with("puypuy: ") && said.err.contains(reason), "{said:?}");
        wait_for("the daemon to end", || home.processes().is_empty());
        assert!(!home.pid_file().exists());
    }
}

#[test]
fn a_daemon_that_dies_before_it_is_ready_has_not_started() {
    let home = Home::new();
    // Opening a FIFO without a reader blocks forever.
    fs::create_dir(home.path("log")).unwrap();
    nix::unistd::mkfifo(&home.path("log/puypuy.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let start = home.command(&["start"]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the daemon to hold its lock", || {
        fs::read_to_string(home.pid_file()).is_ok_and(|text| text.ends_with('\n'))
    });
    signal(home.pid(), "KILL");
    let said = crate::support::Said::from(start.wait_with_output().unwrap());
    assert_eq!(said.code, 1);
    assert_eq!(said.err, "puypuy: the daemon died before it was ready: see its log\n");
}

#[test]
fn a_start_that_hangs_can_be_stopped() {
    let home = Home::new();
    fs::create_dir(home.path("log")).unwrap();
    nix::unistd::mkfifo(&home.path("log/puypuy.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let start = home.command(&["start"]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the daemon to hold its lock", || home.read("run/puypuy.pid").ends_with('\n'));
    let pid = home.pid();
    assert_eq!(home.puypuy(&["stop"]).out, format!("stopped, pid {pid}\n"));
    assert_eq!(start.wait_with_output().unwrap().status.code(), Some(1));
}

#[test]
fn the_daemon_is_detached() {
    let home = Home::new();
    let pid = home.start();
    let proc = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
    let stat = fs::read_to_string(proc("stat")).unwrap();
    let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    // A test in this process that runs programs makes it a child subreaper, so orphans become its children.
    let is_reaper = nix::sys::prctl::get_child_subreaper().unwrap();
    assert!(is_reaper || words[1] != std::process::id().to_string(), "not our child");
    assert_ne!(words[3], std::process::id().to_string(), "a session of its own");
    assert_eq!(words[4], "0", "no terminal");
    assert_eq!(fs::read_link(proc("cwd")).unwrap(), home.path("").canonicalize().unwrap());
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(fs::read_link(proc(stream)).unwrap(), Path::new("/dev/null"));
    }
    let status = fs::read_to_string(proc("status")).unwrap();
    assert!(status.contains("Umask:\t0027\n"), "{status}");
    assert_eq!(mode(home.path("log/puypuy.log")), 0o640);
    assert_eq!(mode(home.pid_file()), 0o644);
    assert_eq!(mode(home.path("run")), 0o755);
    assert_eq!(mode(home.path("log")), 0o750);
    assert_eq!(mode(home.path("tmp")), 0o750);
}

#[test]
fn no_descriptor_is_lost_or_inherited() {
    let home = Home::new();
    let pid = home.start();
    let open = || -> BTreeSet<(String, PathBuf)> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        entries.filter_map(|fd| Some((fd.file_name().into_string().ok()?, fs::read_link(fd.path()).ok()?))).collect()
    };
    wait_for("the ready line", || home.log().contains(" INFO ready\n"));
    let pipes = |fds: &BTreeSet<(String, PathBuf)>| fds.iter().filter(|fd| fd.1.starts_with("pipe:")).count();
    let before = open();
    assert_eq!(pipes(&before), 0, "{before:?}");
    for round in 1..=20 {
        signal(pid, "HUP");
        wait_for("the log to be opened again", || home.log().matches("SIGHUP").count() >= round);
    }
    assert!(open().len() < before.len() + 10, "{:?}", open());
}

#[test]
fn no_descriptor_of_the_caller_stays_open() {
    let home = Home::new();
    fs::write(home.path("lock"), "").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec 9>"$1/lock"; exec "$2" --home "$1" start <&- >&- 2>&-"#, "sh"]);
    let status = command.arg(home.path("")).arg(crate::support::PROGRAM).status().unwrap();
    assert_eq!(status.code(), Some(0), "{}", home.log());
    let pid = home.pid();
    for fd in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let (number, target) = (fd.file_name().into_string().unwrap(), fs::read_link(fd.path()).unwrap());
        assert_ne!(target, home.path("lock"), "descriptor {number}");
        assert!(number.len() > 1 || number.as_str() > "2" || target == Path::new("/dev/null"), "{number}: {target:?}");
    }
}

#[test]
fn run_serves_in_the_foreground_and_logs_to_stderr_too() {
    let home = Home::new();
    for word in ["run", "systemd"] {
        let child = home.command(&[word]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        wait_for("the daemon to be ready", || home.log().contains("INFO ready\n"));
        assert_eq!(home.pid(), pid);
        let begun = Instant::now();
        signal(pid, "TERM");
        let said = crate::support::Said::from(child.wait_with_output().unwrap());
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!((said.code, said.out.as_str()), (0, ""));
        assert_eq!(said.err, home.log());
        assert!(said.err.contains(" INFO stopped\n"), "{said:?}");
        assert!(!home.pid_file().exists());
        fs::remove_file(home.path("log/puypuy.log")).unwrap();
    }
}

#[test]
fn systemd_is_notified() {
    let home = Home::new();
    let address = home.path("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = home.command(&["run"]);
    command.env("NOTIFY_SOCKET", &address).env("WATCHDOG_USEC", "400000").stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let receive = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let until = |text: &str| while receive() != text {};
    assert_eq!(receive(), "READY=1\n");
    until("WATCHDOG=1\n");
    until("STATUS=all is well: 0 checks, to Local\n");
    until("WATCHDOG=1\n");
    symlink("x", home.path("checks_enabled/check_nothing.ini")).unwrap();
    let told = |begin: &str| while !receive().starts_with(begin) {};
    told("STATUS=check_nothing is switched on and stays off since ");
    signal(child.id() as i32, "TERM");
    until("STOPPING=1\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The tick loop hangs, here because its log is a pipe that nobody reads; everything else continues, and status and
/// watchdog notice.
#[test]
fn the_watchdog_is_notified_only_while_ticks_come() {
    let home = Home::new();
    fs::create_dir(home.path("log")).unwrap();
    let log = home.path("log/puypuy.log");
    mkfifo(&log, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&log).unwrap();
    let address = home.path("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    let mut command = home.command(&["run"]);
    command.env("NOTIFY_SOCKET", &address).env("WATCHDOG_USEC", "400000").stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut text = [0; 256];
    let mut receive = || {
        let length = socket.recv(&mut text)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&text[..length]).into_owned())
    };
    while receive().unwrap() != "WATCHDOG=1\n" {}
    let line = [b'x'; 1000];
    while pipe.write(&line).is_ok() {}
    while pipe.write(b"x").is_ok() {}
    symlink("x", home.path("checks_enabled/check_memory.ini")).unwrap();
    while !receive().unwrap().starts_with("STATUS=the newest tick is ") {}
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert!(receive().is_err() || !receive().is_ok_and(|text| text == "WATCHDOG=1\n"));
    let said = home.puypuy(&["status"]);
    assert!(said.code == 1 && said.out.starts_with("the newest tick is "), "{said:?}");
    signal(child.id() as i32, "KILL");
    child.wait().unwrap();
}

#[test]
fn without_a_pid_file_stop_says_so() {
    let home = Home::new().with("pid_file", "");
    let mut child = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the daemon to be ready", || home.log().contains("INFO ready\n"));
    assert!(!home.path("run").exists());
    let said = home.puypuy(&["stop"]);
    assert!(said.code == 1 && said.err.contains("pid_file is empty"), "{said:?}");
    let said = home.puypuy(&["status"]);
    let running = format!("all is well\nrunning, pid {} since ", child.id());
    assert!(said.code == 0 && said.out.starts_with(&running), "{said:?}");
    signal(child.id() as i32, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(home.puypuy(&["status"]).code, 3);
}

#[test]
fn stop_says_what_hangs() {
    let home = Home::new();
    let pid = home.start();
    // A thread sets its name itself, some time after it was started.
    wait_for("the signal thread's name", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        tasks.into_iter().any(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "signals\n"))
    });
    signal(pid, "STOP");
    let said = home.puypuy(&["stop"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains(&format!("pid {pid} did not stop within 10 s")), "{said:?}");
    assert!(said.err.contains("signals (T stopped"), "{said:?}");
    signal(pid, "CONT");
    wait_for("the daemon to end", || !lives(pid));
}

#[test]
fn a_file_size_limit_is_treated_as_a_full_disk() {
    let tsdb = [("tsdtype", "InfluxDB"), ("address", "http://127.0.0.1:9"), ("database", "x")];
    let home = Home::new().to(&tsdb);
    fs::create_dir(home.path("scripts_enabled")).unwrap();
    let script = home.path("scripts_enabled/check_many");
    fs::write(&script, "#!/bin/sh\nfor i in $(seq 400); do echo \"a_metric_with_a_long_name_$i $i x stack\"; done\n")
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // 512 or 1,024 bytes each, depending on the shell: enough for the log and the pid file, too little for a batch.
    let line = format!("ulimit -f 8; exec {PROGRAM} --home {} run", home.path("").display());
    let mut daemon = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the sentence", || home.log().contains("points are kept in memory as far as that goes"));
    assert_eq!(daemon.try_wait().unwrap(), None, "{}", home.log());
    signal(daemon.id() as i32, "TERM");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn unverified_certificates_are_reported_at_the_start_by_section() {
    let home = Home::new().to(&[
        ("tsdtype", "InfluxDB"),
        ("address", "https://127.0.0.1:9"),
        ("database", "x"),
        ("insecure_skip_verify", "True"),
    ]);
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/docker.ini"), "[Docker]\nverify: False\n").unwrap();
    fs::write(home.path("checks_enabled/check_docker_stats.ini"), "").unwrap();
    home.start();
    for section in ["[TSDB] insecure_skip_verify: True: ", "conf/docker.ini:2 [Docker] verify: False: "] {
        let line = format!("{section}certificates are not verified, so anybody can pose as the server");
        wait_for("the sentence", || home.log().contains(&line));
        assert_eq!(home.log().matches(&line).count(), 1, "{}", home.log());
    }
}
