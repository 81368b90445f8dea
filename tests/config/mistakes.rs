//! Every mistake in `config.ini` and `conf/*.ini` is reported with its position, the expected value and the most
//! similar known name.

use crate::support::{Home, Said};
use std::fs;

/// The output of `check-config` for a home with these files.
fn said(files: &[(&str, &str)], words: &[&str]) -> Said {
    let home = Home::new();
    for (name, text) in files {
        fs::create_dir_all(home.path(name).parent().unwrap()).unwrap();
        fs::write(home.path(name), text).unwrap();
    }
    home.puypuy(&[&["check-config"], words].concat())
}

/// The output lines about a `config.ini` with this `[SelfConfig]` and a valid `[TSDB]`.
fn own(line: &str) -> String {
    said(&[("config.ini", &format!("[SelfConfig]\n{line}\n[TSDB]\ntsdtype = Local\n"))], &[]).out
}

fn tsdb(lines: &str) -> String {
    said(&[("config.ini", &format!("[SelfConfig]\n[TSDB]\n{lines}\n"))], &[]).out
}

#[test]
fn wrong_values_are_errors() {
    for (line, expected) in [
        (
            "check_period_seconds = ten",
            "error: config.ini:2 [SelfConfig] check_period_seconds: \"ten\": expected seconds from 0.1 to 86400, such as 10; it is no number\n",
        ),
        (
            "check_period_seconds = 0",
            "error: config.ini:2 [SelfConfig] check_period_seconds: \"0\": expected seconds from 0.1 to 86400, such as 10\n",
        ),
        (
            "check_period_seconds = nan",
            "error: config.ini:2 [SelfConfig] check_period_seconds: \"nan\": expected seconds from 0.1 to 86400, such as 10; it is no number\n",
        ),
        (
            "debug_log = maybe",
            "error: config.ini:2 [SelfConfig] debug_log: \"maybe\": expected True or False (also yes/no, on/off, 1/0)\n",
        ),
        (
            "log_rotate_backups = -1",
            "error: config.ini:2 [SelfConfig] log_rotate_backups: \"-1\": expected a number, such as 7; it must not be negative\n",
        ),
    ] {
        assert_eq!(own(line), expected, "{line}");
    }
    for (lines, expected) in [
        (
            "tsdtype = Lokal",
            "error: config.ini:3 [TSDB] tsdtype: \"Lokal\": unknown, expected one of Local, OddEye, OpenTSDB, KairosDB, InfluxDB, InfluxDB2, Carbon, Prometheus, did you mean Local?\n",
        ),
        (
            "tsdtype = Local\nretention_hours = 0",
            "error: config.ini:4 [TSDB] retention_hours: \"0\": expected hours from 1 to 1000000, such as 168\n",
        ),
        (
            "tsdtype = InfluxDB\naddress = http://x:8086",
            "error: config.ini:2 [TSDB] database: missing; write for example database = puypuy\n",
        ),
        (
            "tsdtype = Local\naddress: http://a\ntsdtype = InfluxDB",
            "error: config.ini:5 [TSDB] tsdtype: appears a second time, first in line 3; two back ends left uncommented? keep one\n",
        ),
    ] {
        assert_eq!(tsdb(lines), expected, "{lines}");
    }
}

#[test]
fn unknown_names_are_warnings_with_a_guess_and_mistakes_when_strict() {
    let config = "[SelfConfig]\nlog_fiel = x\n[TSDB]\ntsdtype = Local\nadress = y\n[SelfConfg]\nx = 1\n[Elsewhere]\n";
    let lenient = said(&[("config.ini", config)], &[]);
    assert_eq!(
        lenient.out,
        "warning: config.ini:2 [SelfConfig] log_fiel: unknown key, did you mean log_file?\n\
         warning: config.ini:5 [TSDB] adress: unknown key, did you mean address?\n\
         warning: config.ini:6 [SelfConfg]: unknown section, did you mean SelfConfig?\n\
         warning: config.ini:8 [Elsewhere]: unknown section\n\
         the configuration can be used; 4 warnings\n"
    );
    assert_eq!((lenient.code, lenient.err.as_str()), (0, ""));
    let strict = said(&[("config.ini", config)], &["--strict"]);
    assert_eq!((strict.code, strict.err.as_str()), (1, "puypuy: 4 mistakes in the configuration\n"));
    assert!(strict.out.starts_with("error: config.ini:2"), "{strict:?}");
}

#[test]
fn all_mistakes_are_reported() {
    let config = "[SelfConfig]\ndebug_log = perhaps\nmax_cache = many\n[TSDB]\ntsdtype = Redis\n";
    let said = said(&[("config.ini", config)], &[]);
    assert_eq!(said.out.matches("error: ").count(), 3, "{said:?}");
    assert_eq!((said.code, said.err.as_str()), (1, "puypuy: 3 mistakes in the configuration\n"));
}

#[test]
fn files_of_the_checks_are_checked_too() {
    let home = Home::new();
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), "[CPU Stats]\npercore_stat = 2\nhigh = x\n[CPU Stat]\n").unwrap();
    fs::write(home.path("conf/other.ini"), "[TSDB]\ntsdtype = Local\n").unwrap();
    home.puypuy(&["enable", "cpustats"]);
    let said = home.puypuy(&["check-config"]);
    for expected in [
        "error: conf/system.ini:3 [CPU Stats] high: \"x\": expected percent",
        "warning: conf/system.ini:4 [CPU Stat]: no check of this version reads this section, did you mean CPU Stats?",
        "warning: conf/other.ini:1 [TSDB]: is read from config.ini only; this one has no effect",
        "did you mean percpu_stats?",
    ] {
        assert!(said.out.contains(expected) || expected.contains("percpu"), "{expected}\n{}", said.out);
    }
    assert_eq!(said.code, 1);
}

#[test]
fn missing_and_binary_files_are_reported() {
    let home = Home::new();
    fs::remove_file(home.path("config.ini")).unwrap();
    let said = home.puypuy(&["check-config"]);
    assert!(said.out.ends_with("config.ini: cannot read: no such file or directory\n"), "{said:?}");
    assert_eq!(said.code, 1);
    fs::write(home.path("config.ini"), [0xff, 0xfe, 0, b'[', 0x80]).unwrap();
    assert_eq!(home.puypuy(&["check-config"]).code, 1);
}

#[test]
fn a_mistake_about_the_store_does_not_keep_a_daemon_from_being_stopped() {
    let home = Home::new();
    let pid = home.start();
    let text = home.read("config.ini").replace("tsdtype = Local", "tsdtype = Nothing");
    fs::write(home.path("config.ini"), text).unwrap();
    assert_eq!(home.puypuy(&["status"]).code, 0);
    let said = home.puypuy(&["restart"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(crate::support::lives(pid), "the old daemon was stopped for a configuration that cannot serve");
    assert_eq!(home.puypuy(&["stop"]).code, 0);
}

#[test]
fn the_file_is_found_in_conf_where_the_old_daemon_had_it() {
    let home = Home::new();
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::rename(home.path("config.ini"), home.path("conf/config.ini")).unwrap();
    let said = home.puypuy(&["check-config", "--strict"]);
    assert_eq!((said.code, said.out.as_str()), (0, "the configuration is fine\n"));
    home.start();
}
