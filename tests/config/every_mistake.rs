//! `check-config` reports all mistakes of all sections, with the expected value and the remedy, even if paths hang.

use crate::checks::dead_mount::FuseMount;
use crate::support::{Home, Said, is_root, skip, wait_for};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;
use std::time::{Duration, Instant};

/// A home with these files.
fn home(files: &[(&str, &str)]) -> Home {
    let home = Home::new();
    for (name, text) in files {
        fs::create_dir_all(home.path(name).parent().unwrap()).unwrap();
        fs::write(home.path(name), text).unwrap();
    }
    home
}

/// Asserts that each of these texts is in a line of the output, and that this many mistakes are counted.
fn holds(said: &Said, mistakes: usize, wanted: &[&str]) {
    for part in wanted {
        assert!(said.out.lines().any(|line| line.contains(part)), "no line with {part}\n{}{}", said.out, said.err);
    }
    let errors = said.out.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, mistakes, "{}", said.out);
    assert_eq!(said.code, i32::from(mistakes > 0));
}

#[test]
fn all_mistakes_of_a_section_of_any_kind_are_reported() {
    let home = home(&[(
        "conf/system.ini",
        "[CPU Stats]\nhigh = 1e400\nsevere: 95%\nhysteresis = 1,5\npercore_stats = 2\ncheck_period_seconds = 10s\n\
         timeout_seconds = inf\nmax_series = 2.5\nstatic_enabeld = no\n[Memory Stats]\nhigh = 99\nhysteresis = -1\nmax_series = -3\n\
         [Load Average]\nhigh = 90\nsevere = 80\n[Disk Stats]\nhigh = 10\nhysteresis = 20\n[Cgroups]\ndepth = 99\nmax_series = \
         99999999999999999999999\n",
    )]);
    home.puypuy(&["enable", "cpustats", "memory", "load_average", "disks", "cgroups"]);
    let said = home.puypuy(&["check-config"]);
    let at = |line: usize, section: &str, rest: &str| format!("error: conf/system.ini:{line} [{section}] {rest}");
    let wanted = [
        at(
            2,
            "CPU Stats",
            "high: \"1e400\": expected percent from 0 to 10000, such as 90; it is too large to be a number",
        ),
        at(
            3,
            "CPU Stats",
            "severe: \"95%\": expected percent from 0 to 10000, such as 95; it has the unit \"%\", write the number without one",
        ),
        at(
            4,
            "CPU Stats",
            "hysteresis: \"1,5\": expected percentage points from 0 to 10000, such as 2; it has a comma; a number is written as 1500 or 1.5",
        ),
        at(5, "CPU Stats", "percore_stats: \"2\": expected True or False"),
        at(
            6,
            "CPU Stats",
            "check_period_seconds: \"10s\": expected seconds from 0.1 to 86400; it has the unit \"s\", write the number without one",
        ),
        at(7, "CPU Stats", "timeout_seconds: \"inf\": expected seconds from 0.001 to 86400; it is no number"),
        at(8, "CPU Stats", "max_series: \"2.5\": expected a number, such as 2000; it must be a whole number"),
        at(12, "Memory Stats", "hysteresis: \"-1\": expected percentage points from 0 to 10000"),
        at(13, "Memory Stats", "max_series: \"-3\": expected a number, such as 2000; it must not be negative"),
        at(15, "Load Average", "high: 90 is above severe, which is 80, so no warning would come; lower it"),
        at(19, "Disk Stats", "hysteresis: 20 is more than high, which is 10, so no warning would end; lower it"),
        "max_series: \"99999999999999999999999\": expected a number, such as 2000; it is too large".into(),
        "warning: conf/system.ini:9 [CPU Stats] static_enabeld: unknown key, did you mean static_enabled?".into(),
    ];
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    // Memory's `high` is above the default of `severe`; and depth is out of range.
    holds(
        &said,
        14,
        &[&wanted[..], &["[Memory Stats] high: 99 is above severe, which is 95", "[Cgroups] depth"]].concat(),
    );
}

#[test]
fn all_mistakes_of_daemon_store_and_web_server_are_reported() {
    let home = home(&[(
        "config.ini",
        "[SelfConfig]\nmax_cache = lots\n[TSDB]\ntsdtype = InfluxDB\ntimeout = 10s\ngzip = perhaps\nbatch_points = 0\n\
         auth = maybe\nspool_max_age = 1d\n[WebServer]\nwebserver = yes\nwebaddress = here\nallowedip = 10.0.0.0/99\n\
         allow_arguments = some\n",
    )]);
    let wanted = [
        "config.ini:2 [SelfConfig] max_cache: \"lots\": expected a number, such as 50000; it is no number",
        "config.ini:3 [TSDB] address: missing; write for example address = http://server:8086",
        "config.ini:3 [TSDB] database: missing; write for example database = puypuy",
        "config.ini:5 [TSDB] timeout: \"10s\": expected seconds from 1 to 59, such as 10; it has the unit \"s\", write the number without one",
        "config.ini:6 [TSDB] gzip: \"perhaps\": expected auto, yes or no",
        "config.ini:7 [TSDB] batch_points: \"0\": expected a number from 1 to",
        "config.ini:8 [TSDB] auth: \"maybe\": expected True or False",
        "config.ini:9 [TSDB] spool_max_age: \"1d\": expected seconds from 0 to 4294967295, such as 0; it has the unit",
        "config.ini:12 [WebServer] webaddress: \"here\": expected address:port",
        "config.ini:13 [WebServer] allowedip: \"10.0.0.0/99\" is no address",
        "config.ini:14 [WebServer] allow_arguments: \"some\": expected True or False",
    ];
    holds(&home.puypuy(&["check-config"]), wanted.len(), &wanted);
}

#[test]
fn all_mistakes_of_scripts_plugins_and_devices_are_reported() {
    let home = home(&[
        (
            "conf/scripts.ini",
            "[check_a.sh]\nformat = xml\nnice = 99\nmax_output = 1k\n[scripts]\nmax_parallel = 0\nmode = twice\n",
        ),
        ("conf/nagios.ini", "[Nagios]\none = relative/path\ntwo = /bin/x 'open\njudge_measures = so\n"),
        ("conf/snmp.ini", "[a]\nserver = 10.0.0.1:161\nport = 70000\nversion = 4\ntimeout = 0\nretries = 11\n"),
        (
            "conf/snmp/more.ini",
            "[a]\nserver = b\ncommunity = c\n[d]\ncommunity = c\nport = 1.5\n[e\n[e]\nno equals sign\n",
        ),
    ]);
    home.puypuy(&["enable", "nagios", "snmp"]);
    let wanted = [
        "conf/scripts.ini:2 [check_a.sh] format: \"xml\": expected lines",
        "conf/scripts.ini:3 [check_a.sh] nice: \"99\": expected a number from -20 to 19",
        "conf/scripts.ini:4 [check_a.sh] max_output: \"1k\": expected a number, such as 1048576; it has the unit \"k\"",
        "conf/scripts.ini:6 [scripts] max_parallel: \"0\": expected a number from 1 to 10000, such as 4",
        "conf/scripts.ini:7 [scripts] mode: \"twice\": expected once or stream",
        "conf/nagios.ini:2 [Nagios] one: ",
        "conf/nagios.ini:3 [Nagios] two: a quote in its command line does not end",
        "conf/nagios.ini:4 [Nagios] judge_measures: \"so\": expected True or False",
        "conf/snmp/more.ini:7 [d]: \"[e\": no closing bracket",
        "conf/snmp/more.ini:9 [e]: \"no equals sign\": no `key = value`",
    ];
    holds(&home.puypuy(&["check-config"]), wanted.len(), &wanted);
    // Devices are only built when their files can be read.
    let more = "[a]\nserver = b\ncommunity = c\n[d]\ncommunity = c\nport = 1.5\n";
    fs::write(home.path("conf/snmp/more.ini"), more).unwrap();
    let devices = [
        "conf/snmp.ini:2 [a] server: \"10.0.0.1:161\": expected a host name or an address",
        "conf/snmp.ini:3 [a] port: \"70000\": expected a number, such as 161; it is too large",
        "conf/snmp.ini:4 [a] version: \"4\": expected 1, 2c or 3",
        "conf/snmp.ini:5 [a] timeout: \"0\": expected seconds",
        "conf/snmp.ini:6 [a] retries: \"11\": expected a number up to 10",
        "conf/snmp/more.ini:1 [a]: a device of that name is in conf/snmp.ini:1 already; rename one",
        "conf/snmp/more.ini:4 [d] server: missing; write for example server = switch1.example.org",
        "conf/snmp/more.ini:6 [d] port: \"1.5\": expected a number, such as 161; it must be a whole number",
    ];
    holds(&home.puypuy(&["check-config"]), 8 + devices.len(), &devices);
}

#[test]
fn keys_of_another_store_and_unchanged_samples_are_reported() {
    let tsdb = |lines: &str| {
        let home = home(&[("config.ini", &format!("[SelfConfig]\n[TSDB]\n{lines}\n"))]);
        home.puypuy(&["check-config"])
    };
    let said = tsdb(
        "tsdtype = Local\naddress = http://x\ndatabase = d\nuser = u\npass = p\nauth = False\nretention_hours = 5",
    );
    holds(
        &said,
        0,
        &[
            "warning: config.ini:4 [TSDB] address: means nothing to Local, it is a key of OddEye, OpenTSDB, KairosDB, InfluxDB, InfluxDB2, Carbon; comment it out, or set tsdtype",
            "warning: config.ini:5 [TSDB] database: means nothing to Local, it is a key of InfluxDB; comment it out",
            "the configuration can be used; 2 warnings",
        ],
    );
    let sample = "is that of the sample, which no server takes; write your own";
    let said = tsdb("tsdtype = OddEye\nurl = http://x\nuuid = xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
    holds(&said, 0, &[&format!("warning: config.ini:5 [TSDB] uuid: {sample}"), "1 warning"]);
    let said = tsdb("tsdtype = InfluxDB2\naddress = x\norg = o\nbucket = b\ntoken = xxxx");
    holds(&said, 0, &[&format!("warning: config.ini:7 [TSDB] token: {sample}"), "1 warning"]);
    // Placeholders that the Python daemon required.
    holds(&tsdb("tsdtype: Carbon\naddress: h:2004\nuser: netangels\npass: bololo\nauth: false"), 0, &["is fine"]);
}

#[test]
fn a_user_that_does_not_exist_is_a_mistake() {
    let home = Home::new().with("run_user", "nosuchuser").with("max_cache", "x");
    let wanted = [
        "[SelfConfig] run_user: there is no user nosuchuser on this host: useradd -r nosuchuser, or name another",
        "[SelfConfig] max_cache",
    ];
    holds(&home.puypuy(&["check-config"]), 2, &wanted);
}

/// Entries that are enabled and have no effect: `list`, the log and `check-config` report them in the same words.
#[test]
fn entries_without_effect_are_named_by_list_log_and_check_config() {
    let home = home(&[("scripts_enabled/check_plain.sh", "#!/bin/sh\n"), ("scripts_enabled/common.sh", "")]);
    symlink("../checks_available/check_memory.ini", home.path("checks_enabled/memory.ini")).unwrap();
    symlink("nowhere", home.path("scripts_enabled/check_gone")).unwrap();
    home.puypuy(&["enable", "load_average"]);
    let (said, listed) = (home.puypuy(&["check-config"]), home.puypuy(&["list"]).out);
    home.start();
    for (place, why) in [
        ("checks_enabled/memory.ini", "no check of that name in this version, did you mean check_memory?"),
        ("scripts_enabled/check_gone", "is a link to a file that is not there; remove it, or put the file there"),
        ("scripts_enabled/check_plain.sh", "is not executable, so it cannot be run: chmod +x it"),
    ] {
        let (_, name) = place.split_once('/').unwrap();
        let line = format!("{place}: {why}; it stays off until that is mended");
        assert!(said.out.contains(&format!("warning: {line}\n")), "{said:?}");
        assert!(
            listed.lines().any(|line| line.contains(name) && line.ends_with(&format!("stays off: {why}"))),
            "{listed}"
        );
        wait_for("a line of the log", || home.log().contains(&line));
    }
    assert_eq!(said.out.lines().count(), 4, "{said:?}");
    // Whoever created this file considered the check enabled, so it is disabled by its name.
    assert_eq!(home.puypuy(&["disable", "memory"]).out, "memory: switched off\n");
}

/// As root, files that others can change are refused; for another user neither the daemon nor the commands refuse
/// anything.
#[test]
fn files_that_others_can_change_are_reported_if_the_daemon_refuses_them() {
    if !is_root() {
        return skip("not root");
    }
    let home = home(&[
        ("conf/scripts.ini", "[scripts]\n"),
        ("conf/nagios.ini", "[Nagios]\n"),
        ("scripts_enabled/check_a.sh", "#!/bin/sh\n"),
    ]);
    for file in ["conf/scripts.ini", "conf/nagios.ini"] {
        fs::set_permissions(home.path(file), Permissions::from_mode(0o666)).unwrap();
    }
    fs::set_permissions(home.path("scripts_enabled/check_a.sh"), Permissions::from_mode(0o755)).unwrap();
    let refused = "can be changed by others than root, who runs what it names; chown root and chmod go-w, then restart";
    let files =
        ["conf/scripts.ini", "conf/nagios.ini"].map(|file| format!("error: {} {refused}", home.path(file).display()));
    holds(&home.puypuy(&["check-config"]), 2, &[&files[0], &files[1]]);
    assert!(home.puypuy(&["list"]).out.contains("?    check_a.sh"));
    let home = home.with("run_user", "nobody");
    for word in ["check-config", "list"] {
        let said = home.puypuy(&[word]);
        assert!(said.code == 0 && !said.out.contains("can be changed"), "{said:?}");
    }
    assert!(home.puypuy(&["list"]).out.contains("on   check_a.sh"));
}

/// A process that reads from a stopped file server cannot be killed: the commands still end, name what hangs, and
/// report everything else.
#[test]
fn commands_end_and_name_what_hangs() {
    thread::spawn(|| {
        let home = home(&[
            ("conf/other.ini", "[Nobody]\n"),
            ("conf/system.ini", "[Memory Stats]\nhigh = x\n[Load Average]\n"),
        ]);
        let ca_file = home.path("dead/ca.pem").display().to_string();
        let home =
            home.to(&[("tsdtype", "InfluxDB"), ("address", "https://h"), ("database", "d"), ("ca_file", &ca_file)]);
        // Removed before the home is, because that would look it up.
        let Some(dead) = FuseMount::at(&home.path("dead")) else { return skip("no FUSE") };
        dead.swallow();
        fs::create_dir(home.path("scripts_enabled")).unwrap();
        symlink("../dead/script", home.path("scripts_enabled/check_dead.sh")).unwrap();
        symlink("../dead/check", home.path("checks_enabled/check_memory.ini")).unwrap();
        symlink("../dead/conf", home.path("conf/dead.ini")).unwrap();
        let within = |words: &[&str]| {
            let begun = Instant::now();
            let said = home.puypuy(words);
            assert!(begun.elapsed() < Duration::from_secs(9), "{words:?}: {:?}", begun.elapsed());
            said
        };
        let listed = within(&["list"]);
        assert!(listed.out.contains("?    check_dead.sh") && listed.out.contains("does not answer"), "{listed:?}");
        let said = within(&["check-config"]);
        let hangs = "does not answer: it, or a place or user that it names, is looked up in a place that hangs";
        holds(
            &said,
            3,
            &[
                &format!("error: conf/dead.ini: {hangs}"),
                &format!("error: config.ini [TSDB]: {hangs}"),
                "error: conf/system.ini:2 [Memory Stats] high: \"x\"",
                "warning: conf/other.ini:1 [Nobody]: no check",
                "warning: scripts_enabled/check_dead.sh: does not answer",
            ],
        );
        let enabled = within(&["enable", "check_load_average"]);
        assert_eq!((enabled.code, enabled.out.as_str()), (0, "check_load_average: switched on\n"));
        // The folder itself hangs.
        fs::rename(home.path("scripts_enabled"), home.path("before")).unwrap();
        symlink("dead/folder", home.path("scripts_enabled")).unwrap();
        let listed = within(&["list"]);
        assert!(listed.code == 1 && listed.out.contains("on   check_load_average"), "{listed:?}");
        assert!(listed.err.contains("scripts_enabled: does not answer"), "{listed:?}");
    })
    .join()
    .unwrap();
}
