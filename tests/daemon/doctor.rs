//! `puypuy doctor` and `check-config --connect`: problems are reported with their remedies, and nothing is written
//! anywhere.

use crate::support::server::{Server, Step};
use crate::support::{Home, Said, free_port, is_root, skip, wait_for};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A home on a host that has a name.
fn home() -> Home {
    Home::new().with("hostname", "web1")
}

fn must_hold(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.out.contains(part), "{part:?} is not in\n{}\n{}", said.out, said.err);
    }
}

fn chmod(home: &Home, name: &str, mode: u32) {
    fs::set_permissions(home.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn it_says_so_when_all_is_well() {
    let home = home();
    symlink("x", home.path("checks_enabled/check_memory.ini")).unwrap();
    home.start();
    wait_for("a healthy daemon", || home.puypuy(&["status"]).code == 0);
    let said = home.puypuy(&["doctor"]);
    assert!(said.code == 0 && said.out.starts_with("nothing needs a hand\nwell:\n") && said.err.is_empty(), "{said:?}");
    must_hold(
        &said,
        &[
            "  folders, log, pid file, spool: user ",
            "  configuration: no mistake, 1 checks, scripts and modules are switched on\n",
            "  permissions: ",
            "  programs: ",
            "  host name: web1\n",
            "  daemon: running, pid ",
            "  store: ",
            "  clock: not compared, the store tells no time\n",
            "  spool: nothing waits\n",
        ],
    );
}

/// Whatever prevents delivery to the store, both commands give the same reason, and the store receives no point.
#[test]
fn the_exact_reason_why_the_store_accepts_nothing_is_given() {
    let closed = free_port();
    // Every client gets a plain HTTP response.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let https = format!("https://{}", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let refuse = |status, body: &str| Step::answer(status, &[], body);
    let think = |step: Step| {
        Step::think(move |request| if request.path.starts_with("/ping") { Step::status(204) } else { step.clone() })
    };
    let cases: [(Option<Step>, &str, &str); 7] = [
        (None, "http://127.0.0.1:", "cannot connect: connection refused"),
        (None, "http://puypuy-nowhere.invalid:", "cannot connect: host name: "),
        (None, &https, "the server does not speak TLS"),
        (
            Some(think(refuse(401, "{\"error\":\"authorization failed\"}"))),
            "http://127.0.0.1:",
            "check auth, user and pass",
        ),
        (
            Some(think(refuse(404, "{\"error\":\"database not found: \\\"d\\\"\"}"))),
            "http://127.0.0.1:",
            "CREATE DATABASE",
        ),
        (Some(Step::Silence), "http://127.0.0.1:", "no answer within 2 s"),
        (
            Some(Step::answer(302, &[("Location", "http://other/")], "")),
            "http://127.0.0.1:",
            "redirected to \"http://other/\"",
        ),
    ];
    for (step, begin, reason) in cases {
        let server = step.map(|step| Server::start(vec![step]));
        let port = server.as_ref().map_or(closed, Server::port);
        let address = if begin.ends_with(':') { format!("{begin}{port}") } else { begin.into() };
        let keys = [("tsdtype", "InfluxDB"), ("address", &*address), ("database", "d"), ("pass", "planted1secret")];
        let home =
            home()
                .to(&[&keys[..], &[("user", "ann"), ("auth", "yes"), ("timeout", "1"), ("connect_timeout", "1")]]
                    .concat());
        for words in [&["doctor"][..], &["check-config", "--connect"]] {
            let said = home.puypuy(words);
            let told = said.out.lines().find(|line| line.contains("config.ini:") && line.contains(" [TSDB]: "));
            let told = told.unwrap_or_default();
            assert!(said.code == 1 && told.contains(reason), "{words:?} {reason:?}: {said:?}");
            // Each problem is followed by its remedy.
            assert!(told.contains("; ") || told.contains(", set address to "), "{words:?} {reason:?}: {said:?}");
            assert!(!format!("{said:?}").contains("planted"), "{said:?}");
        }
        assert_eq!(home.puypuy(&["check-config"]).code, 0, "without --connect no server is contacted");
        for request in server.iter().flat_map(Server::requests) {
            assert!(request.body.is_empty(), "{reason}: the store was sent {:?}", request.text());
        }
    }
}

#[test]
fn each_store_is_probed_in_its_own_way_and_receives_no_point() {
    let date = [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Content-Type", "application/json")];
    for (kind, key, page) in [
        ("InfluxDB", "address", "/base/ping"),
        ("InfluxDB2", "address", "/base/ping"),
        ("OpenTSDB", "address", "/base/api/version"),
        ("KairosDB", "address", "/base/api/v1/version"),
        ("OddEye", "url", "/"),
    ] {
        let server = Server::start(vec![
            Step::answer(200, &date, "{\"version\": \"1.2.3\"}"),
            Step::answer(400, &date, "{\"code\":\"invalid\",\"message\":\"writing requires points\"}"),
        ]);
        let address = format!("{}/base", server.url());
        let keys = [("tsdtype", kind), (key, &address), ("database", "d"), ("bucket", "b"), ("organization", "o")];
        let home = home().to(&[&keys[..], &[("token", "planted1secret"), ("uuid", "planted2secret")]].concat());
        let said = home.puypuy(&["check-config", "--connect"]);
        assert!(said.code == 0 && said.out.contains(" answers, version 1.2.3\n"), "{kind}: {said:?}");
        let requests = server.requests();
        assert_eq!(requests.first().map(|request| request.path.as_str()), Some(page), "{kind}");
        assert!(requests.iter().all(|request| request.body.is_empty()), "{kind}: {requests:?}");
        let said = home.puypuy(&["doctor"]);
        assert!(said.code == 1 && said.out.contains("- clock: this host is "), "{kind}: {said:?}");
        must_hold(&said, &[" d ahead of the store, so one of the two ", "timedatectl set-ntp true"]);
    }
    let carbon = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = home().to(&[("tsdtype", "Carbon"), ("address", &carbon.local_addr().unwrap().to_string())]);
    let said = home.puypuy(&["check-config", "--connect"]);
    assert!(said.code == 0 && said.out.contains(" takes connections\n"), "{said:?}");
    let (mut stream, _) = carbon.accept().unwrap();
    assert_eq!(std::io::Read::read(&mut stream, &mut [0; 10]).unwrap(), 0, "bytes were sent");
}

#[test]
fn problems_come_first_with_their_remedies() {
    let home = home();
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::create_dir_all(home.path("scripts_enabled")).unwrap();
    fs::create_dir_all(home.path("tmp/spool/quarantine")).unwrap();
    fs::write(
        home.path("conf/webservers.ini"),
        "[NginX]\naddress = http://ann:planted1secret@127.0.0.1\nstats = /s\ntimeout_seconds = 5\n",
    )
    .unwrap();
    fs::write(home.path("conf/nagios.ini"), "[Nagios]\nlost = /usr/lib/nowhere/check_lost -p planted2secret\n")
        .unwrap();
    for check in ["nginx", "nagios", "gone"] {
        fs::write(home.path("checks_enabled").join(format!("check_{check}.ini")), "").unwrap();
    }
    fs::write(home.path("scripts_enabled/check_x"), "#!/usr/bin/env -S nowhere-to-be-found -x\n").unwrap();
    chmod(&home, "scripts_enabled/check_x", 0o755);
    chmod(&home, "tmp", 0o755);
    chmod(&home, "conf/webservers.ini", 0o666);
    let said = home.puypuy(&["doctor"]);
    assert_eq!(said.code, 1, "{said:?}");
    let path = home.path("conf/webservers.ini").display().to_string();
    must_hold(
        &said,
        &[
            " things need a hand:\n- ",
            "- the daemon does not run: `puypuy start`\n",
            "- checks_enabled/check_gone.ini: no check of that name",
            &format!("- conf/webservers.ini: everybody on this host can change it: chmod o-w {path}\n"),
            &format!(
                "- conf/webservers.ini: everybody on this host can read it, and [NginX] address is a secret: chmod o-r {path}, "
            ),
            "- conf/webservers.ini:4 [NginX] timeout_seconds: no run goes on for longer than its period, 1 s: set \
             check_period_seconds = 5 there, too\n",
            "- check_x: its first line asks for nowhere-to-be-found, which is not on this host: install it, ",
            "- conf/nagios.ini:2 [Nagios] lost: /usr/lib/nowhere/check_lost cannot be run: install it, ",
            "\nwell:\n",
        ],
    );
    assert!(!said.out.contains("planted"), "{}", said.out);
    chmod(&home, "conf/webservers.ini", 0o640);
    let said = home.puypuy(&["doctor"]);
    assert!(!said.out.contains("everybody on this host can"), "{said:?}");
    // A configuration that cannot be used only affects what depends on it.
    fs::write(
        home.path("config.ini"),
        home.read("config.ini").replace("check_period_seconds = 1", "check_period_seconds = soon"),
    )
    .unwrap();
    let said = home.puypuy(&["doctor"]);
    must_hold(
        &said,
        &["- config.ini:", "check_period_seconds: \"soon\": expected seconds", "- the daemon does not run"],
    );
}

#[test]
fn a_user_who_cannot_become_the_daemons_user_is_told_so() {
    if !is_root() {
        return skip("needs root");
    }
    let home = home();
    home.start();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let mut doctor = home.command(&["doctor"]);
    std::os::unix::process::CommandExt::uid(&mut doctor, nobody.uid.as_raw());
    let said = Said::from(doctor.output().unwrap());
    assert!(said.code == 1 && !said.out.contains("not writable"), "{said:?}");
    must_hold(&said, &["  folders: not tried, only root can look with the rights of the daemon's user: sudo\n"]);
}

#[test]
fn folders_are_tried_as_the_user_that_the_daemon_becomes() {
    if !is_root() {
        return skip("needs root");
    }
    let home = home().with("run_user", "nobody");
    fs::create_dir_all(home.path("elsewhere/tmp")).unwrap();
    chmod(&home, "elsewhere", 0o700);
    let home = home;
    let tmpdir = home.path("elsewhere/tmp").display().to_string();
    let home = home.with("tmpdir", &tmpdir);
    let said = home.puypuy(&["doctor"]);
    assert!(said.code == 1 && said.out.contains(&tmpdir) && said.out.contains("nobody"), "{said:?}");
    assert!(said.out.contains("chown -R nobody") || said.out.contains("chmod o+x"), "{said:?}");
}
