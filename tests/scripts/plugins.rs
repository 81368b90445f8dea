//! check_nagios: plugins that report states, hang, die or do not exist, run by the real daemon.

use super::Scripts;
use crate::support::wait_for;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

/// Plugins: the key, the text as a shell script, and the reported state.
const PLUGINS: &[(&str, &str, i32)] = &[
    ("fine", "echo \"OK - $# arguments, the second is $2|load=0.5;1;2 size=3KB\"", 0),
    ("warns", "echo 'WARNING - some|load=1.5;1;2'; exit 1", 1),
    ("fails", "echo 'CRITICAL - much|load=2.5;1;2'; echo 'second line'; exit 2", 2),
    ("unsure", "echo 'UNKNOWN - what?'; exit 3", 3),
    ("odd", "exit 77", 3),
    ("dies", "kill -SEGV $$", 3),
    ("hangs", "setsid sleep 1000 & trap '' TERM; sleep 1000", 3),
    ("floods", "while :; do echo 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; done", 3),
    ("bytes", "printf 'OK \\377|a=1\\n'", 0),
];

#[test]
fn every_plugin_has_its_own_state() {
    let scripts = Scripts::new();
    let home = &scripts.home;
    fs::create_dir(home.path("plugins")).unwrap();
    fs::create_dir(home.path("conf")).unwrap();
    let mut conf = String::from("[Nagios]\ntimeout_seconds: 0.8\nJudge_Measures: yes\nmissing: /no/such/plugin -x\n");
    for (name, text, _) in PLUGINS {
        let path = home.path("plugins").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        conf += &format!("{name}: {} -w '2 words'\n", path.display());
    }
    fs::write(home.path("conf/nagios.ini"), conf).unwrap();
    symlink("../x", home.path("checks_enabled/check_nagios.ini")).unwrap();
    home.start();
    scripts.wait_for("nagios_status", 2);
    let lines = scripts.lines();
    let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    for (name, _, state) in PLUGINS.iter().chain(&[("missing", "", 3)]) {
        let tag = format!("check={name},");
        assert!(has(&["nagios_status,", &tag, &format!("type=nagios value={state}i ")]), "{name}: {lines:#?}");
        let level = [0, 8, 16, 8][*state as usize];
        let event = format!("event={name},");
        assert!(has(&["health_status,", &event, &format!(" value={level}i ")]), "{name}: {lines:#?}");
    }
    assert!(has(&["nagios_run_seconds,", "check=hangs,"]), "{lines:#?}");
    assert!(has(&["nagios_value,", "check=fine,", "label=size", "unit=B value=3072 "]), "{lines:#?}");
    assert!(has(&["health_status,", "event=fails\\ load,", "value=16i"]), "{lines:#?}");
    let log = home.log();
    for told in [
        "hangs: was not done in time and was ended, with all that it had started",
        "dies: was ended by signal 11",
        "odd: exited with code 77",
        "floods: wrote more than 1048576 bytes and was ended",
    ] {
        assert!(log.contains(told), "{told}\n{log}");
    }
    // Root checks whether others can change it; other users just try.
    let missing = |line: &str| line.contains("missing: ") && line.ends_with("no such file or directory");
    assert!(log.lines().any(missing), "{log}");
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    wait_for("everything to be gone", || home.processes().is_empty());

    // On the command line; quotes kept words together.
    let said = home.puypuy(&["check", "check_nagios", "--samples", "1"]);
    assert!(said.out.contains("event fine: OK - 2 arguments, the second is 2 words"), "{said:?}");
}

#[test]
fn mistakes_name_the_line() {
    let scripts = Scripts::new();
    fs::create_dir(scripts.home.path("conf")).unwrap();
    symlink("../x", scripts.home.path("checks_enabled/check_nagios.ini")).unwrap();
    for (line, told) in [
        ("a: check_load -p secret", "a: expected the whole path of a program, and its arguments"),
        ("a:", "a: expected the whole path of a program, and its arguments"),
        ("judge_measures: often", "judge_measures: \"often\": expected True or False"),
        ("a: /bin/x -p 'secret", "a: a quote in its command line does not end"),
    ] {
        fs::write(scripts.home.path("conf/nagios.ini"), format!("[Nagios]\n{line}\n")).unwrap();
        let said = scripts.home.puypuy(&["check-config"]);
        assert!(said.code == 1 && said.out.contains(&format!("conf/nagios.ini:2 [Nagios] {told}")), "{said:?}");
        assert!(!said.out.contains("secret"), "{said:?}");
    }
}
