//! Scripts on the command line and in `conf/scripts.ini`, and the shipped examples.

use crate::support::{Home, install, skip};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts_available");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("check_"));
    files.sort();
    assert!(files.len() >= 7);
    files
}

/// A home with the examples.
fn home() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("scripts_available")).unwrap();
    for file in shipped() {
        install(&file, home.path("scripts_available").join(file.file_name().unwrap()));
    }
    home
}

#[test]
fn examples_document_and_print_their_metrics() {
    // Some take a while.
    let home = home().with("check_period_seconds", "60");
    for file in shipped() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("\n# Tells: ") && text.contains("\n# Needs: "), "{name} has no head");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755, "{name}");
        let needs = text.lines().find_map(|line| line.strip_prefix("# Needs: ")).unwrap();
        let tool = needs.split([',', '.']).next().unwrap();
        if !["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(tool).exists()) {
            skip(&format!("{name} needs {tool}"));
            continue;
        }
        let said = home.puypuy(&["check", name]);
        assert!(!said.out.contains("cannot be read") && !said.out.contains("bad lines"), "{name}: {said:?}");
        let tells: Vec<&str> =
            text.lines().find_map(|line| line.strip_prefix("# Tells: ")).unwrap().split(' ').collect();
        // The output of those that read files or units depends on the machine.
        let always = ["random.sh", "random.pl", "apt_updates.sh", "backup_age.py", "postgres.sh"];
        if always.iter().any(|end| name.ends_with(end)) {
            let metric = tells[0].trim_end_matches([',', '.', ';']);
            assert!(said.code == 0 && said.out.contains(metric), "{name}: {said:?}");
        }
    }
}

/// Without the program that they query, or if it fails, the value is not known: a 0 would be made up.
#[test]
fn examples_print_nothing_without_a_source() {
    for fails in [false, true] {
        let tools = tempfile::TempDir::new().unwrap();
        for tool in ["sh", "awk", "cat", "date", "grep", "ls", "tr"] {
            let found =
                ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|path| path.exists());
            std::os::unix::fs::symlink(found.unwrap(), tools.path().join(tool)).unwrap();
        }
        for name in ["check_systemd_units.sh", "check_apt_updates.sh", "check_postgres.sh"] {
            if fails {
                for tool in ["systemctl", "apt-get", "psql"] {
                    let path = tools.path().join(tool);
                    fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
                }
            }
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts_available").join(name);
            let said = Command::new("/bin/sh").arg(script).env("PATH", tools.path()).output().unwrap();
            assert!(!said.status.success() && said.stdout.is_empty(), "{name}: {said:?}");
        }
    }
}

#[test]
fn the_compiled_example_prints_what_it_documents() {
    let home = home();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts_available/clock_sync.c");
    let text = fs::read_to_string(&source).unwrap();
    let program = home.path("scripts_available/check_clock_sync");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(&source);
    assert!(compiler.status().unwrap().success());
    let said = home.puypuy(&["check", "check_clock_sync", "--samples", "1"]);
    let told: Vec<&str> = said.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(said.code == 0 && (4..=5).contains(&told.len()), "{said:?}");
    let head = text.lines().find(|line| line.contains("Tells: ")).unwrap();
    told.iter().for_each(|name| assert!(head.contains(name), "{name}"));
}

#[test]
fn scripts_are_listed_switched_on_and_off() {
    let home = home();
    assert!(home.puypuy(&["list"]).out.contains("off  check_random.sh"));
    let said = home.puypuy(&["enable", "check_random.sh", "check_memory"]);
    assert_eq!(said.out, "check_random.sh: switched on\ncheck_memory: switched on\n", "{said:?}");
    assert!(home.path("scripts_enabled/check_random.sh").is_symlink());
    assert_eq!(home.puypuy(&["enable", "check_random.sh"]).out, "check_random.sh: is on already\n");
    assert!(home.puypuy(&["list"]).out.contains("on   check_random.sh"));
    assert_eq!(
        home.puypuy(&["disable", "check_random.sh", "check_memory"]).out,
        "check_random.sh: switched off\ncheck_memory: switched off\n"
    );
    assert_eq!(home.puypuy(&["disable", "check_random.sh"]).out, "check_random.sh: is off already\n");
    let own = home.path("scripts_enabled/check_own.sh");
    fs::write(&own, "#!/bin/sh\n").unwrap();
    let said = home.puypuy(&["disable", "check_own.sh"]);
    assert!(
        said.code == 1 && said.err.contains("is no link but a file, and might be lost; disable --move"),
        "{said:?}"
    );
    assert!(own.exists());
    let said = home.puypuy(&["enable", "check_nothing.sh"]);
    assert!(said.code == 1 && said.err.contains("check_nothing.sh: no check of that name"), "{said:?}");
}

#[test]
fn a_script_is_tried_without_the_daemon() {
    let home = home();
    let said = home.puypuy(&["check", "check_random.sh", "--format", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let points: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(points.iter().any(|point| point["name"] == "random_gen" && point["type"] == "my_bash_random"), "{said:?}");
    let path = home.path("scripts_available/check_hangs.sh");
    fs::write(&path, "#!/bin/sh\necho before 1 x stack\nsleep 1000\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/scripts.ini"), "[check_hangs.sh]\ntimeout_seconds = 0.3\n").unwrap();
    let said = home.puypuy(&["check", "check_hangs.sh", "--samples", "1"]);
    assert!(said.code == 1 && said.out.contains("before") && said.err.contains("was not done in time"), "{said:?}");
    assert!(home.processes().is_empty());
    fs::write(&path, "#!/bin/sh\n").unwrap();
    let said = home.puypuy(&["check", "check_hangs.sh", "--samples", "1"]);
    assert!(said.code == 0 && said.out.starts_with("# nothing to tell: "), "{said:?}");
}

#[test]
fn mistakes_in_the_settings_name_the_line() {
    let home = home();
    fs::create_dir(home.path("conf")).unwrap();
    let good = "[scripts]\nmax_parallel = 8\ntimeout_seconds = 5\n[check_x.sh]\nmax_output = 10\nmax_series = 7\n";
    fs::write(home.path("conf/scripts.ini"), good).unwrap();
    assert_eq!(home.puypuy(&["check-config"]).out, "the configuration is fine\n");
    for (text, wanted) in [
        (
            "[scripts]\nmax_parallel = 0\n",
            "error: conf/scripts.ini:2 [scripts] max_parallel: \"0\": expected a number from 1 to 10000, such as 4",
        ),
        ("[check_x.sh]\ntimeout_seconds = soon\n", "error: conf/scripts.ini:2 [check_x.sh] timeout_seconds: \"soon\""),
        ("[check_x.sh]\nmax_paralell = 1\n", "warning: conf/scripts.ini:2 [check_x.sh] max_paralell: unknown key"),
        (
            "[check_x.sh]\nformat = xml\n",
            "conf/scripts.ini:2 [check_x.sh] format: \"xml\": expected lines, nagios, prometheus, influx or auto",
        ),
        ("[check_x.sh]\nmode = twice\n", "conf/scripts.ini:2 [check_x.sh] mode: \"twice\": expected once or stream"),
        (
            "[check_x.sh]\nmode = stream\nformat = nagios\n",
            "[check_x.sh] mode: \"stream\": a Nagios plugin tells by its end",
        ),
        ("[check_x.sh]\nnice = 20\n", "conf/scripts.ini:2 [check_x.sh] nice: \"20\": expected a number from -20 to 19"),
        (
            "[check_x.sh]\nrun_user = nosuchuser\n",
            "conf/scripts.ini:2 [check_x.sh] run_user: \"nosuchuser\": there is no user of that name on this host",
        ),
        ("[other]\n", "warning: conf/scripts.ini:1 [other]: expected [scripts], or the name of a script"),
    ] {
        fs::write(home.path("conf/scripts.ini"), text).unwrap();
        let said = home.puypuy(&["check-config"]);
        assert!(said.out.contains(wanted), "{text:?}: {said:?}");
    }
}
