//! `puypuy support-bundle`: its content, who may read it, and what it leaves out.

use crate::support::server::{Server, Step};
use crate::support::{Home, Said, mode, wait_for};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The files of a bundle, as unpacked by the system's tar.
fn unpacked(home: &Home, bundle: &str) -> BTreeMap<String, String> {
    let folder = home.path("unpacked");
    fs::create_dir_all(&folder).unwrap();
    let tar = Command::new("tar").arg("-xvf").arg(home.path(bundle)).arg("-C").arg(&folder).output().unwrap();
    let said = Said::from(tar);
    assert!(said.code == 0 && said.err.is_empty(), "{said:?}");
    let read = |name: &str| {
        (name.trim_start_matches("puypuy-support/").into(), fs::read_to_string(folder.join(name)).unwrap())
    };
    said.out.lines().map(read).collect()
}

fn make(home: &Home, bundle: &str) -> Said {
    let mut command = home.command(&["support-bundle"]);
    Said::from(command.arg(home.path(bundle)).env("PUYPUY_TEST_SECRET", "planted07secret").output().unwrap())
}

#[test]
fn it_works_without_a_daemon_and_with_a_broken_configuration() {
    let home = Home::new();
    fs::write(home.path("config.ini"), "[SelfConfig\nplanted = planted01secret\n[TSDB]\npass planted02secret\n")
        .unwrap();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), "[Memory Stats]\nhigh = 90\n").unwrap();
    // A FIFO without a writer: reading it blocks forever.
    let pipe = home.path("conf/pipe.ini");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let said = make(&home, "bundle.tar");
    assert!(said.code == 0 && said.out.contains("bundle.tar: "), "{said:?}");
    assert_eq!(mode(home.path("bundle.tar")), 0o600);
    let files = unpacked(&home, "bundle.tar");
    assert!(files["config/conf/pipe.ini"].contains("does not answer"), "{}", files["config/conf/pipe.ini"]);
    assert_eq!(files["config/conf/system.ini"], "[Memory Stats]\nhigh = 90\n");
    for name in ["doctor.txt", "about.txt", "system.txt", "status.json", "list.txt", "config/config.ini"] {
        assert!(files.contains_key(name), "{name} is not in {:?}", files.keys());
    }
    assert!(files["doctor.txt"].contains("config.ini:1"), "{}", files["doctor.txt"]);
    assert!(files["about.txt"].starts_with(concat!("puypuy ", env!("CARGO_PKG_VERSION"), "\nfeatures ")));
    assert!(files["system.txt"].contains("== /proc/version\nLinux version "), "{}", files["system.txt"]);
    assert!(files["list.txt"].contains("check_memory"), "{}", files["list.txt"]);
    // An existing file is not overwritten.
    let said = make(&home, "bundle.tar");
    assert!(said.code == 1 && said.err.contains("bundle.tar: cannot make the file: file exists"), "{said:?}");
}

/// Secrets in every kind of key and place, and in a log that repeats all of them.
#[test]
fn no_planted_secret_is_in_it() {
    let server = Server::start(vec![Step::think(|request| {
        Step::answer(404, &[("Content-Type", "text/plain")], format!("not found: {}", request.path))
    })]);
    let at = server.url().replace("http://", "");
    let home = Home::new();
    fs::write(home.path("secret"), "planted08secret\n").unwrap();
    fs::set_permissions(home.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let address = format!("http://ann:planted01secret@{at}/influx");
    let home = home.to(&[
        ("tsdtype", "InfluxDB"),
        ("address", &address),
        ("database", "metrics"),
        ("pass", "planted02secret"),
    ]);
    let config =
        home.read("config.ini") + "webpassword = planted03secret\napikey = planted04secret\n# pass = planted05secret\n";
    fs::write(home.path("config.ini"), config).unwrap();
    fs::create_dir(home.path("conf")).unwrap();
    let conf = |name: &str, text: String| fs::write(home.path("conf").join(name), text).unwrap();
    conf(
        "webservers.ini",
        format!(
            "[NginX]\naddress = http://bob:planted06secret@{at}\nstats = /s?key=planted09secret\npass = env:PUYPUY_TEST_SECRET\n"
        ),
    );
    conf(
        "sql_cache.ini",
        format!(
            "; planted10secret\n[Redis]\nhost = 127.0.0.1\nport = 1\nauth = yes\npass = file:{}\n",
            home.path("secret").display()
        ),
    );
    conf("nagios.ini", "[Nagios]\nsql = /usr/bin/check_sql -H db1 -pplanted11secret --password=planted12secret -a ann:planted13secret\n".into());
    conf("own.ini", "[Mine]\ndsn = postgres://u:planted14secret@db/x\nconnection = host=db password=planted15secret\nsecret_key = planted16secret\n  planted17secret\n".into());
    fs::create_dir(home.path("conf/snmp")).unwrap();
    conf(
        "snmp/switch.ini",
        "[switch]\naddress = 127.0.0.1:1\ncommunity = planted18secret\n[DEFAULT]\nprivacy_pass = planted19secret\n"
            .into(),
    );
    for check in ["nginx", "redis", "nagios", "snmp", "memory"] {
        fs::write(home.path("checks_enabled").join(format!("check_{check}.ini")), "").unwrap();
    }
    let started = home.command(&["start"]).env("PUYPUY_TEST_SECRET", "planted07secret").output().unwrap();
    assert_eq!(Said::from(started).code, 0);
    wait_for("complaints", || home.log().contains("check_nginx") && server.requests().len() > 2);
    let mut log = home.log();
    for number in [1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19] {
        log += &format!("2026-01-01 00:00:00 WARN a library says \"planted{number:02}secret\" in passing\n");
    }
    log += "Authorization: Bearer planted20secret\nGET /x?token=planted21secret http://x:planted22secret@y/\n{\"password\": \"planted23secret\"}\n";
    fs::write(home.path("log/puypuy.log.20260101-000000"), log).unwrap();
    let said = make(&home, "bundle.tar");
    assert_eq!(said.code, 0, "{said:?}");
    let files = unpacked(&home, "bundle.tar");
    for (name, text) in &files {
        let found = text.lines().find(|line| line.contains("planted"));
        assert_eq!(found, None, "{name}");
    }
    // Ordinary values are there, on their line.
    let config = &files["config/config.ini"];
    let line = |text: &str, wanted: &str| text.lines().position(|line| line == wanted);
    assert_eq!(line(config, "database = metrics"), line(&home.read("config.ini"), "database = metrics"), "{config}");
    assert!(
        config.contains(&format!("address = http://***@{at}/influx\npass")) || config.contains("pass = ***\n"),
        "{config}"
    );
    let redis = format!("pass = file:{}", home.path("secret").display());
    assert!(files["config/conf/sql_cache.ini"].contains(&redis), "{}", files["config/conf/sql_cache.ini"]);
    assert!(files["config/conf/nagios.ini"].contains("sql = /usr/bin/check_sql -H *** -p*** --password=*** -a ***"));
    assert!(
        files["config/conf/snmp/switch.ini"].contains("[switch]\naddress = 127.0.0.1:1\ncommunity = ***\n[DEFAULT]\n")
    );
    let status: serde_json::Value = serde_json::from_str(&files["status.json"]).unwrap();
    assert_eq!(status["running"], true);
    assert!(files["log/puypuy.log"].contains("INFO ready\n") && files.contains_key("log/puypuy.log.20260101-000000"));
    assert!(files["system.txt"].contains(&format!("== /proc/{}/limits\n", home.pid())), "{}", files["system.txt"]);
}
