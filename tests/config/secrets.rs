//! Values that refer to a file, an environment variable or a credential: they are read like others, reported if
//! unreadable, and never shown.

use crate::support::server::{Server, Step};
use crate::support::{Home, Said, free_port, is_root, wait_for};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Writes a secret into a file that only its owner can read, and returns the reference for a section.
fn file(home: &Home, name: &str, content: &str) -> String {
    let path = home.path(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    format!("file:{}", path.display())
}

fn add(home: &Home, name: &str, text: &str) {
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::write(home.path(name), home.read(name) + text).unwrap();
}

fn enable(home: &Home, checks: &[&str]) {
    for check in checks {
        fs::write(home.path("checks_enabled").join(format!("{check}.ini")), "").unwrap();
    }
}

#[test]
fn a_value_is_read_from_file_environment_or_credential() {
    let server = Server::always(204);
    let home = Home::new();
    let (user, pass) = (file(&home, "user", "ann\n"), file(&home, "pass", "one two\r\n"));
    let home = home.to(&[
        ("tsdtype", "InfluxDB"),
        ("address", "env:PUYPUY_TEST_ADDRESS"),
        ("database", "cred:database"),
        ("user", &user),
        ("pass", &pass),
        ("auth", "yes"),
    ]);
    fs::write(home.path("database"), "db\n").unwrap();
    enable(&home, &["check_load_average"]);
    let mut start = home.command(&["start"]);
    start.env("PUYPUY_TEST_ADDRESS", server.url()).env("CREDENTIALS_DIRECTORY", home.path(""));
    let said = Said::from(start.output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    wait_for("a request", || server.requests().iter().any(|request| request.path.contains("db=db")));
    let request = server.requests().into_iter().find(|request| request.path.contains("db=db")).unwrap();
    // ann:one two
    assert_eq!(request.header("Authorization"), Some("Basic YW5uOm9uZSB0d28="));
    // The environment is that of the daemon, whichever user asks.
    for words in [&["reload"][..], &["check-config"]] {
        let said = home.puypuy(words);
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[test]
fn an_unreadable_secret_is_reported_with_its_line_and_without_its_content() {
    let home = Home::new();
    let long = "x".repeat(70_000);
    let odd = file(&home, "odd", "hunter2secret");
    let open = file(&home, "open", "hunter2secret");
    let (empty, long) = (file(&home, "empty", "\n"), file(&home, "long", &long));
    fs::set_permissions(home.path("open"), Permissions::from_mode(0o644)).unwrap();
    let text = format!(
        "[CPU Stats]\nhigh = {odd}\nsevere = {open}\n[Memory Stats]\nhigh = {empty}\n[Disk Stats]\nhigh = {long}\n\
         [Network Stats]\nmax_series = file:{}\n[Load Average]\nhigh = env:PUYPUY_NOT_THERE\nsevere = cred:x\n\
         [TCP Connections]\nmax_series = file:/nowhere/at/all\n",
        home.path("").display()
    );
    add(&home, "conf/system.ini", &text);
    enable(&home, &["check_cpustats", "check_memory"]);
    let said = home.puypuy(&["check-config"]);
    let expected = [
        format!(
            "warning: conf/system.ini:3 [CPU Stats] severe: {open}: everybody on this host can read it; chmod o-r "
        ),
        format!("error: conf/system.ini:2 [CPU Stats] high: what {odd} holds: expected "),
        format!("error: conf/system.ini:5 [Memory Stats] high: {empty}: there is nothing in it\n"),
        format!("error: conf/system.ini:7 [Disk Stats] high: {long}: "),
        "conf/system.ini:9 [Network Stats] max_series: file:/".into(),
        " is no plain file\n".into(),
        "conf/system.ini:11 [Load Average] high: env:PUYPUY_NOT_THERE: there is no such variable".into(),
        "conf/system.ini:12 [Load Average] severe: cred:x: there are no credentials: systemd gives them".into(),
        "conf/system.ini:14 [TCP Connections] max_series: file:/nowhere/at/all: /nowhere/at/all is not there; make it"
            .into(),
    ];
    for line in expected {
        assert!(said.out.contains(&line), "{line}\n{}", said.out);
    }
    assert!(!said.out.contains("hunter2"), "{}", said.out);
    let started = home.puypuy(&["start"]);
    assert!(started.err.contains("[Memory Stats] high: file:"), "{started:?}");
    assert!(!home.log().contains("hunter2") && !started.err.contains("hunter2"), "{}", home.log());
}

/// An unreadable secret of one section does not prevent other sections of the file from being read.
#[test]
fn an_unreadable_secret_only_affects_its_section() {
    let home = Home::new();
    add(&home, "conf/system.ini", "[CPU Stats]\nhigh = file:/nowhere\n[Memory Stats]\nhigh = 90\n");
    enable(&home, &["check_cpustats", "check_memory"]);
    let said = home.puypuy(&["start"]);
    assert!(said.err.contains("checks_enabled/check_cpustats.ini: conf/system.ini:2 [CPU Stats] high: "), "{said:?}");
    wait_for("the other", || home.log().contains("check_memory: switched on"));
}

#[test]
fn a_word_that_is_no_reference_is_an_ordinary_value() {
    for value in ["file:", "file:x", "env:", "env:a b", "cred:../x", "cred:.x", "cred:", "https://a:b@c"] {
        assert_eq!(puypuy::config::secret::fetch("pass", value), None, "{value}");
    }
}

/// Twenty secrets in all kinds of keys, servers that echo their requests, and everything that can be read afterwards.
#[test]
fn twenty_secrets_appear_nowhere() {
    let server = Server::start(vec![Step::think(|request| {
        Step::answer(404, &[("Content-Type", "text/plain")], format!("not found: {}", request.path))
    })]);
    let (at, closed) = (server.url(), free_port());
    let host = at.trim_start_matches("http://").to_string();
    let home = Home::new();
    let mut secrets = BTreeSet::new();
    let mut plant = |before: &str, after: &str| {
        let secret = format!("planted{:02}secret", secrets.len() + 1);
        secrets.insert(secret.clone());
        file(&home, &format!("secret{}", secrets.len()), &format!("{before}{secret}{after}\n"))
    };
    let with_user = |host: &str| format!("http://ann:{host}");
    let page = |path: &str| format!("@{host}{path}");
    let mut conf = String::new();
    conf += &format!("[Apache]\nurl = {}\n", plant(&with_user(""), &page("/status")));
    conf += &format!("[Apache:two]\nurl = {}\n", plant(&format!("{at}/status?key="), ""));
    conf += &format!("[NginX]\naddress = {}\nstats = /s\n", plant(&with_user(""), &page("")));
    conf += &format!("[Tomcat]\nurl = {at}/manager\nuser = ann\npass = {}\n", plant("", ""));
    conf += &format!("[HTTP]\nupstream = {}\n", plant(&format!("{at}/?token="), ""));
    conf += &format!("[Redis]\nhost = 127.0.0.1\nport = {closed}\nauth = yes\npass = {}\n", plant("", ""));
    conf += &format!("[MySQL]\nhost = 127.0.0.1\nport = {closed}\nuser = ann\npass = {}\n", plant("", ""));
    conf += &format!("[MongoDB]\nhost = 127.0.0.1\nport = {closed}\nuser = ann\npass = {}\n", plant("", ""));
    conf += &format!("[Memcached]\nhost = 127.0.0.1\nport = {closed}\nuser = ann\npass = {}\n", plant("", ""));
    conf += &format!("[Hashicorp-Consul]\nurl = {at}\ntoken = {}\n", plant("", ""));
    conf += &format!("[Hashicorp-Vault]\nurl = {at}\ntoken = {}\n", plant("", ""));
    conf += &format!("[Janus]\nadminapi = {at}/admin\nsecret = {}\n", plant("", ""));
    // A secret in an invalid place, so that there is a mistake to report about it.
    conf += &format!("[CPU Stats]\nhigh = {}\n", plant("", ""));
    conf += &format!("[Memory Stats]\nhigh = {}\n", plant("1, ", ""));
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::write(home.path("conf/all.ini"), conf).unwrap();
    let device = format!("[SNMP]\n[switch]\naddress = 127.0.0.1:{closed}\ncommunity = {}\n", plant("", ""));
    fs::write(home.path("conf/snmp.ini"), device).unwrap();
    let tsdb = [
        ("tsdtype", "InfluxDB".to_string()),
        ("address", plant(&with_user(""), &page("/influx"))),
        ("database", "x".into()),
    ];
    let (login, apikey) = (plant("", ""), plant("", ""));
    secrets.extend(["planted19secret".into(), "planted20secret".into()]);
    let tsdb: Vec<(&str, &str)> = tsdb.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let home = home.to(&tsdb);
    fs::write(home.path("credential"), "planted20secret").unwrap();
    let web =
        format!("webserver = yes\nwebaddress = 127.0.0.1:0\nwebuser = ann\nwebpassword = {login}\napikey = {apikey}\n");
    fs::write(home.path("config.ini"), home.read("config.ini").replace("webserver = no\n", &web)).unwrap();
    fs::write(
        home.path("conf/more.ini"),
        "[ElasticSearch]\nhost = http://127.0.0.1:1\nuser = ann\npass = env:PUYPUY_TEST_19\n\
         [RabbitMQ]\nuser = ann\npass = cred:credential\n",
    )
    .unwrap();
    let checks = [
        "check_apache",
        "check_nginx",
        "check_tomcat",
        "check_http_api",
        "check_redis",
        "check_mysql",
        "check_mongodb",
        "check_memcached",
        "check_hashicorp_consul",
        "check_hashicorp_vault",
        "check_janus",
        "check_cpustats",
        "check_memory",
        "check_snmp",
        "check_elasticsearch",
        "check_rabbitmq",
        "check_load_average",
    ];
    enable(&home, &checks);
    fs::create_dir(home.path("scripts_enabled")).unwrap();
    let script = home.path("scripts_enabled/check_env");
    fs::write(
        &script,
        "#!/bin/sh\ntr '\\0' '\\n' < /proc/self/environ\ntr '\\0' '\\n' < /proc/$PPID/environ\nsleep 0.5\n",
    )
    .unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(secrets.len(), 20);

    let command = |words: &[&str]| {
        let mut command: Command = home.command(words);
        command.env("PUYPUY_TEST_19", "planted19secret").env("CREDENTIALS_DIRECTORY", home.path(""));
        let said = Said::from(command.output().unwrap());
        format!("{words:?}: {}\n{}", said.out, said.err)
    };
    let mut told = command(&["check-config"]);
    assert!(told.contains("what file:"), "{told}");
    told += &command(&["start"]);
    let daemon = home.pid();
    for round in 1..=3 {
        wait_for("the sink to be asked", || server.requests().len() > round * 12);
        for pid in home.processes().into_iter().filter(|pid| *pid != daemon) {
            for about in ["cmdline", "environ"] {
                told += &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{about}")).unwrap_or_default());
            }
        }
    }
    for check in checks {
        told += &command(&["check", check, "--samples", "1"]);
    }
    for words in [
        &["list"][..],
        &["status"],
        &["show"],
        &["spool", "ls"],
        &["spool", "export"],
        &["restart"],
        &["enable", "apache"],
    ] {
        told += &command(words);
    }
    let log = home.log();
    let port = log.rsplit("web server: listening at 127.0.0.1:").next().unwrap().split_whitespace().next().unwrap();
    for path in ["health", "metrics", "api/status", "nag"] {
        let url = format!("http://127.0.0.1:{port}/{path}");
        let said = Command::new("curl")
            .args([
                "-s",
                "-u",
                "ann:planted17secret",
                "-d",
                "{}",
                "-X",
                if path == "nag" { "POST" } else { "GET" },
                &url,
            ])
            .output();
        told += &said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    }
    home.puypuy(&["stop"]);
    told += &home.log();
    told += &all_below(&home.path("tmp"));
    told += &all_below(&home.path("run"));
    assert!(told.contains("\"checks\""), "the page was not read");
    for secret in secrets {
        let Some(at) = told.find(&secret) else { continue };
        let from = told[..at].rfind('\n').unwrap_or(0);
        panic!("{secret} is shown: {}", &told[from..told.len().min(at + 200)]);
    }
}

fn all_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => text += &all_below(&entry.path()),
            false => text += &String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()),
        }
    }
    text
}

/// Root starts the daemon; secrets that only root can read are reported if another user has to read them.
#[test]
fn a_secret_that_the_user_may_not_read_is_reported_as_such() {
    if is_root() {
        return;
    }
    let home = Home::new();
    let place = file(&home, "closed", "x");
    fs::set_permissions(home.path("closed"), Permissions::from_mode(0o000)).unwrap();
    add(&home, "conf/system.ini", &format!("[CPU Stats]\nhigh = {place}\n"));
    let said = home.puypuy(&["check-config"]);
    assert!(said.out.contains("cannot be read by this user; give it to the user of the daemon"), "{said:?}");
}
