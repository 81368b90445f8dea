//! `puypuy check --explain`: what it shows, what it masks, and `--as-service`.

use crate::support::server::{Server, Step};
use crate::support::{Home, Said, free_port, is_root, skip};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

fn conf(home: &Home, file: &str, text: &str) {
    fs::create_dir_all(home.path("conf")).unwrap();
    fs::write(home.path("conf").join(file), text).unwrap();
}

fn script(home: &Home, name: &str, text: &str) {
    fs::create_dir_all(home.path("scripts_enabled")).unwrap();
    let path = home.path("scripts_enabled").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn explain(home: &Home, words: &[&str]) -> Said {
    let words = [&["check"], words, &["--explain", "--every", "0"]].concat();
    home.puypuy(&words)
}

fn must_hold(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.out.contains(part), "{part:?} is not in\n{}\n{}", said.out, said.err);
    }
}

const PAGE: &str =
    "Active connections: 2 \nserver accepts handled requests\n 10 10 20 \nReading: 0 Writing: 1 Waiting: 1 \n";

#[test]
fn everything_is_shown_except_secrets() {
    // The server echoes its request, across the end of the part that is kept.
    let page = format!("{PAGE}\u{1b}[31mplanted1secret {}planted1secret", "x".repeat(5000));
    let server = Server::start(vec![Step::answer(200, &[("Content-Type", "text/plain")], &page)]);
    let at = server.url().replace("http://", "");
    let home = Home::new().to(&[
        ("tsdtype", "InfluxDB"),
        ("address", "http://ann:planted2secret@127.0.0.1:1"),
        ("database", "d"),
    ]);
    let text = format!(
        "[NginX]\n# the status page\naddress = http://bob:planted1secret@{at}\nstats = /s?token=planted3secret\n\
         pass = planted4secret\ntimeout_seconds: 3\n"
    );
    conf(&home, "webservers.ini", &text);
    let descriptor = "checks_available/check_nginx.ini";
    fs::create_dir_all(home.path("checks_available")).unwrap();
    fs::copy(format!("{}/{descriptor}", env!("CARGO_MANIFEST_DIR")), home.path(descriptor)).unwrap();
    let said = explain(&home, &["nginx"]);
    assert_eq!(said.code, 0, "{said:?}");
    let is_default = |line: &str| line.split_whitespace().eq(["verify", "True", "default"]);
    assert!(said.out.lines().any(is_default), "{}", said.out);
    must_hold(
        &said,
        &[
            "settings of [NginX], conf/webservers.ini:1\n",
            &format!("  address          http://***@{at}  "),
            " conf/webservers.ini:3\n",
            "  pass             *** ",
            "  timeout_seconds  3 ",
            " conf/webservers.ini:6\n",
            "not set, see checks_available/check_nginx.ini\n",
            "  check_period_seconds  1 (config.ini:2)  default\n",
            &format!("\nrun 1: GET http://{at}/s: HTTP 200, first byte after "),
            " ms, all after ",
            &format!(" ms, {} bytes\n  | Active connections: 2 \n", page.len()),
            &format!("\nrun 2: GET http://{at}/s: HTTP 200, "),
            "\n  | \\u{1b}[31m*** xxx",
            "\n  | ... and more\n",
            "\npoints\nnginx_accept ",
            "\nfor InfluxDB, as config.ini has it\nrequest 1 of 1: 8 points, ",
            "\nnginx_connections,cluster=test,group=test,host=",
            ",type=nginx value=2 ",
            "\nwhat becomes of the points\neach is sent as it was told\n",
        ],
    );
    assert!(!said.out.contains("planted") && !said.out.contains('\u{1b}'), "{}", said.out);
    // Without the option none of it is shown.
    let said = home.puypuy(&["check", "nginx", "--samples", "1"]);
    assert!(said.code == 0 && said.out.starts_with("nginx_connections "), "{said:?}");
}

#[test]
fn a_refusal_and_a_missing_server_are_shown_with_their_errors() {
    let server = Server::start(vec![Step::answer(403, &[], "<p>only from the office</p>")]);
    let closed = free_port();
    let home = Home::new();
    conf(&home, "webservers.ini", &format!("[NginX]\naddress = {}\nstats = /s\n", server.url()));
    conf(
        &home,
        "sql_cache.ini",
        &format!("[Redis]\nhost = 127.0.0.1\nport = {closed}\nauth = yes\npass = planted1secret\n"),
    );
    let said = explain(&home, &["nginx", "--samples", "1"]);
    assert!(said.code == 1 && said.err.contains("HTTP 403"), "{said:?}");
    must_hold(
        &said,
        &["/s: HTTP 403; check user and password, first byte after ", "\n  | <p>only from the office</p>\n"],
    );
    must_hold(&said, &["\nfor Local, as config.ini has it\nnothing: there is no point to send\n"]);
    let said = explain(&home, &["redis", "--samples", "1"]);
    assert!(said.code == 1 && !said.out.contains("planted"), "{said:?}");
    must_hold(&said, &[&format!("run 1: 127.0.0.1:{closed}: cannot connect: connection refused, 0 bytes\n")]);
}

#[test]
fn other_protocols_are_traced_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 512]);
        stream.write_all(b"-ERR unknown user planted1secret\r\n").unwrap();
    });
    let home = Home::new();
    conf(
        &home,
        "sql_cache.ini",
        &format!("[Redis]\nhost = 127.0.0.1\nport = {port}\nauth = yes\npass = planted1secret\n"),
    );
    let said = explain(&home, &["redis", "--samples", "1"]);
    server.join().unwrap();
    must_hold(
        &said,
        &[&format!("run 1: 127.0.0.1:{port}: answered, connected after "), "\n  | -ERR unknown user ***\n"],
    );
    assert!(!said.out.contains("planted") && !said.err.contains("planted"), "{said:?}");
}

#[test]
fn the_bytes_for_any_store_and_their_changes_are_shown() {
    let home = Home::new();
    script(
        &home,
        "check_x.sh",
        "#!/bin/sh\necho 'odd:name 2.5 own stack'\necho 'second 1 own stack'\necho 'third 1 own stack'\n",
    );
    conf(&home, "scripts.ini", "[check_x.sh]\nmax_series = 2\n");
    let tell = |store: &str| explain(&home, &["check_x.sh", "--samples", "1", "--sink", store]);
    let said = tell("opentsdb");
    assert_eq!(said.code, 0, "{said:?}");
    must_hold(
        &said,
        &[
            "  max_series  2  conf/scripts.ini:2\n",
            &format!("run 1: run {}: exit code 0, ", home.path("scripts_enabled/check_x.sh").display()),
            "# check_x.sh: 1 new series refused, max_series = 2 is reached\n",
            "for OpenTSDB, of that kind, not the one that is configured\nrequest 1 of 1: 2 points, ",
            "[{\"metric\":\"odd_name\",\"timestamp\":",
            "- odd:name: \"odd:name\" is written otherwise: [{\"metric\":\"odd_name\"",
        ],
    );
    // A pickle frame is not text.
    must_hold(&tell("Carbon"), &["\\x00\\x00\\x00", "\\x80\\x02", "second"]);
    must_hold(&tell("prometheus"), &["what a scraper is given:\n# HELP ", "second{"]);
    must_hold(&tell("Local"), &["for Local, as config.ini has it\n2 points become rows of its file; "]);
    must_hold(&tell("oddeye"), &["UUID=***&data="]);
    for store in ["kairosdb", "InfluxDB", "influxdb2"] {
        must_hold(&tell(store), &["odd:name", "request 1 of 1: 2 points"]);
    }
    let said = tell("influx");
    assert!(said.code == 1 && said.err.contains("--sink influx: unknown, expected one of Local, "), "{said:?}");
    for words in [&["check", "x", "--sink", "carbon"][..], &["check", "x", "--explain", "--format", "json"]] {
        assert_eq!(home.puypuy(words).code, 2, "{words:?}");
    }
}

#[test]
fn health_events_are_in_json_and_become_numbers_for_stores_without_events() {
    let home = Home::new();
    let said = home.puypuy(&["check", "memory", "--samples", "1", "--format", "json"]);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = lines.iter().find(|line| line["event"] == "Memory-Usage").unwrap_or_else(|| panic!("{said:?}"));
    assert!(event["level"].is_string() && event["message"].is_string() && event["time"].is_i64(), "{event}");
    let said = explain(&home, &["memory", "--samples", "1", "--sink", "influxdb"]);
    must_hold(&said, &["none is noted: ", "- event Memory-Usage becomes the number health_status with the tag event="]);
}

#[test]
fn as_service_runs_as_the_daemons_user_with_its_environment() {
    if !is_root() {
        return skip("needs root");
    }
    let proxy = Server::start(vec![Step::answer(200, &[("Content-Type", "text/plain")], PAGE)]);
    let home = Home::new().with("run_user", "nobody");
    conf(&home, "webservers.ini", "[NginX]\naddress = http://puypuy-nowhere.invalid\nstats = /s\n");
    script(&home, "check_who.sh", "#!/bin/sh\necho \"who $(id -u) own stack\"\n");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    let who = |words: &[&str]| {
        home.puypuy(&[&["check", "check_who.sh", "--samples", "1", "--format", "json"], words].concat())
    };
    assert!(who(&[]).out.contains("\"value\":0.0"), "{:?}", who(&[]));
    let said = who(&["--as-service"]);
    assert!(said.out.contains(&format!("\"value\":{nobody}.0")), "{said:?}");
    assert!(said.err.contains("no daemon runs"), "{said:?}");

    let mut start = home.command(&["start"]);
    assert_eq!(Said::from(start.env("http_proxy", proxy.url()).output().unwrap()).code, 0);
    let said = home.puypuy(&["check", "nginx", "--samples", "1"]);
    assert!(said.code == 1 && said.err.contains("cannot connect"), "{said:?}");
    let said = home.puypuy(&["check", "nginx", "--samples", "1", "--as-service"]);
    assert!(said.code == 0 && said.out.contains("nginx_connections ") && said.err.is_empty(), "{said:?}");
}
