//! Guards: arguments, names and environment of what they run; all processes of a program end, whatever happens to the
//! guard.

use super::{Scripts, children};
use crate::support::{Home, is_root, lives, signal, skip, wait_for};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A home with this script, and these settings for all scripts.
fn home_with(name: &str, text: &str, settings: &str) -> Home {
    let home = Home::new();
    for folder in ["scripts_enabled", "conf"] {
        fs::create_dir(home.path(folder)).unwrap();
    }
    fs::write(home.path("conf/scripts.ini"), format!("[scripts]\n{settings}\n")).unwrap();
    let path = home.path("scripts_enabled").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    home
}

/// The guards of this script.
fn guards(home: &Home, name: &str) -> Vec<i32> {
    let line = format!("puypuy: {name}\0");
    let is_guard = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.starts_with(line.as_bytes()));
    home.processes().into_iter().filter(is_guard).collect()
}

#[test]
fn a_plugin_gets_its_arguments_unchanged() {
    // They all run at the same time.
    let home = Home::new().with("check_period_seconds", "30");
    fs::create_dir(home.path("conf")).unwrap();
    symlink("../x", home.path("checks_enabled/check_nagios.ini")).unwrap();
    // One is started by the kernel; the other, without a `#!` line, by a shell.
    let text = "printf 'OK -'; for word; do printf ' <%s>' \"$word\"; done";
    for (name, text) in [("plugin", format!("#!/bin/sh\n{text}\n")), ("bare", format!("{text}\n"))] {
        fs::write(home.path(name), text).unwrap();
        fs::set_permissions(home.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    let firsts = [
        "--",
        "-h",
        "-V",
        "--help",
        "--version",
        "--home",
        "--config",
        "--samples",
        "--every",
        "--format",
        "--strict",
        "--last",
        "--all",
        "--user=nobody",
        "--user",
        "--nice=-20",
        "--nice",
        "guard",
        "run-as",
        "@guard",
        "@run-as",
        "check",
        "-",
    ];
    let mut conf = String::from("[Nagios]\n");
    for (number, first) in firsts.iter().enumerate() {
        for name in ["plugin", "bare"] {
            conf += &format!("{name}{number}: {} {first} /etc/x -w 1\n", home.path(name).display());
        }
    }
    fs::write(home.path("conf/nagios.ini"), conf).unwrap();
    let said = home.puypuy(&["check", "check_nagios", "--samples", "1"]);
    for (number, first) in firsts.iter().enumerate() {
        for name in ["plugin", "bare"] {
            let wanted = format!("event {name}{number}: OK - <{first}> </etc/x> <-w> <1>\n");
            assert!(said.out.contains(&wanted), "{wanted}: {said:?}");
        }
    }
}

#[test]
fn no_command_line_starts_a_guard() {
    let home = Home::new();
    for words in [
        &["guard", "1", "/bin/true"][..],
        &["run-as", "root", "/bin/true"],
        &["@guard"],
        &["@guard", "soon", "", "", "", "", "", "/bin/true"],
    ] {
        let mut command = Command::new(crate::support::PROGRAM);
        assert_eq!(command.args(words).output().unwrap().status.code(), Some(2), "{words:?}");
    }
    let help = home.puypuy(&["--help"]).out;
    assert!(!help.contains("guard") && !help.contains("run-as"), "{help}");
}

#[test]
fn a_guard_has_the_name_of_its_script() {
    let home = home_with("check_named.sh", "#!/bin/sh\nsleep 1000\n", "timeout_seconds = 60");
    let home = home.with("check_period_seconds", "60");
    home.start();
    wait_for("the guard", || !guards(&home, "check_named.sh").is_empty());
    let guard = guards(&home, "check_named.sh")[0];
    wait_for("its name", || {
        fs::read_to_string(format!("/proc/{guard}/comm")).is_ok_and(|comm| comm == "check_named.sh\n")
    });
}

#[test]
fn a_script_gets_no_descriptor_but_its_own() {
    let text = "#!/bin/sh\necho open 1 x stack numbers=$(ls /proc/self/fd | tr '\\n' +)\n";
    let home = home_with("check_open.sh", text, "");
    let check = home.command(&["check", "check_open.sh", "--samples", "1"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7</etc/passwd 9>&1; exec \"$@\"", "sh"]).arg(check.get_program()).args(check.get_args());
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    // The fourth is the folder that ls lists.
    assert!(said.contains("numbers=0+1+2+3+\n") || said.contains("numbers=0+1+2+3+ "), "{said}");
}

#[test]
fn orphans_of_a_killed_guard_are_ended_at_the_stop_too() {
    let text = "#!/bin/sh\nsetsid sh -c 'setsid sleep 1000 & sleep 1000' &\nsleep 1000\n";
    let home = home_with("check_leaves.sh", text, "timeout_seconds = 60").with("check_period_seconds", "60");
    home.start();
    wait_for("the script to run", || home.processes().len() >= 6);
    for guard in guards(&home, "check_leaves.sh") {
        signal(guard, "KILL");
    }
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    wait_for("all to be gone", || home.processes().is_empty());
}

#[test]
fn children_from_before_the_start_are_left_alone() {
    let scripts = Scripts::new();
    scripts.script("check_leaves.sh", "#!/bin/sh\nsetsid sleep 1000 &\nsleep 1000\n");
    let run = scripts.home.command(&["run"]);
    let mut shell = Command::new("sh");
    let born_with = "sh -c 'sleep 96 & exec sleep 97' & echo $! > \"$PUYPUY_HOME/stranger\"; exec \"$@\"";
    shell.args(["-c", born_with, "sh"]).arg(run.get_program()).args(run.get_args());
    shell.env("PUYPUY_HOME", scripts.home.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut daemon = shell.spawn().unwrap();
    wait_for("the script to run", || {
        guards(&scripts.home, "check_leaves.sh").len() == 1 && scripts.home.processes().len() >= 5
    });
    let stranger: i32 = scripts.home.read("stranger").trim().parse().unwrap();
    wait_for("the child of the foreign process", || children(stranger).len() == 1);
    let orphan: i32 = children(stranger)[0].parse().unwrap();
    // A process whose parent ends becomes a child of the daemon.
    signal(stranger, "KILL");
    fs::remove_file(scripts.home.path("scripts_enabled/check_leaves.sh")).unwrap();
    for guard in guards(&scripts.home, "check_leaves.sh") {
        signal(guard, "KILL");
    }
    wait_for("the orphans of the guard to be gone", || scripts.home.processes() == [daemon.id() as i32]);
    scripts.script("check_well.sh", "#!/bin/sh\necho well 1 x stack\n");
    scripts.wait_for("well", 2);
    let is_let_alone = lives(orphan);
    signal(daemon.id() as i32, "TERM");
    assert!(daemon.wait().unwrap().success());
    let outlives = lives(orphan);
    signal(orphan, "KILL");
    assert!(is_let_alone && outlives, "{}", scripts.home.log());
}

/// A cgroup with a limit of processes; at the end its processes are killed and it is removed.
struct LimitedGroup(PathBuf);

impl LimitedGroup {
    fn new(most: usize) -> Option<LimitedGroup> {
        let folder = PathBuf::from(format!("/sys/fs/cgroup/pids/puypuy-test-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let limited = LimitedGroup(folder);
        fs::write(limited.0.join("pids.max"), most.to_string()).ok()?;
        Some(limited)
    }

    fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|pid| pid.parse().ok()).collect()
    }
}

impl Drop for LimitedGroup {
    fn drop(&mut self) {
        for way in ["STOP", "KILL"] {
            for _ in 0..20 {
                self.processes().into_iter().for_each(|pid| signal(pid, way));
            }
        }
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_fork_bomb_is_ended() {
    let Some(limited) = LimitedGroup::new(100).filter(|_| is_root()) else {
        return skip("no cgroup with a limit of processes can be created here");
    };
    let group = limited.0.display();
    let text = format!(
        "#!/bin/sh\necho $$ > {group}/cgroup.procs\nexec perl -e '$SIG{{TERM}} = sub {{}}; while (1) {{ fork }}'\n"
    );
    let home = home_with("check_storm.sh", &text, "timeout_seconds = 0.3\nnice = 19");
    let said = home.puypuy(&["check", "check_storm.sh", "--samples", "1"]);
    assert!(said.code == 1 && said.err.contains("was not done in time and was ended"), "{said:?}");
    assert!(limited.processes().is_empty() && home.processes().is_empty(), "{:?}", limited.processes());
}

#[test]
fn a_stopped_guard_is_waited_for() {
    let scripts = Scripts::new();
    scripts.script("check_waits.sh", "#!/bin/sh\necho $$ >> starts\nsleep 1000\n");
    scripts.home.start();
    wait_for("the guard", || scripts.home.read("starts").lines().count() == 1);
    let guard = guards(&scripts.home, "check_waits.sh")[0];
    signal(guard, "STOP");
    // It is resumed in the end, and then ends what it guards; meanwhile there is no second copy.
    let first: i32 = scripts.home.read("starts").trim().parse().unwrap();
    wait_for("the second start", || scripts.home.read("starts").lines().count() == 2);
    assert!(!lives(first) && !lives(guard));
    assert!(scripts.home.log().contains("its guard has not ended it yet"), "{}", scripts.home.log());
    let guard = guards(&scripts.home, "check_waits.sh")[0];
    signal(guard, "STOP");
    signal(scripts.home.pid(), "KILL");
    wait_for("everything to be gone", || scripts.home.processes().is_empty());
}
