//! `puypuy status` for people and monitoring: well, not well, hanging, stopped, and without permission.

use crate::support::server::Server;
use crate::support::{Home, Said, is_root, mode, signal, skip, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

fn json(home: &Home) -> (i32, Value) {
    let said = home.puypuy(&["status", "--json"]);
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}")))
}

/// Waits until the first line of `status` begins like this, and returns the whole output.
fn until(home: &Home, code: i32, begin: &str) -> Said {
    let mut said = home.puypuy(&["status"]);
    wait_for(&format!("{begin:?}\n{said:?}\n{}", home.log()), || {
        said = home.puypuy(&["status"]);
        said.code == code && said.out.starts_with(begin)
    });
    said
}

fn script(home: &Home, name: &str, text: &str) {
    fs::create_dir_all(home.path("scripts_enabled")).unwrap();
    let unfinished = home.path("unfinished");
    fs::write(&unfinished, text).unwrap();
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(unfinished, home.path("scripts_enabled").join(name)).unwrap();
}

#[test]
fn the_first_line_says_what_is_wrong_or_that_nothing_is() {
    let mut server = Server::always(204);
    let url = server.url();
    let home = Home::new().to(&[("tsdtype", "InfluxDB"), ("address", &url), ("database", "d")]);
    symlink("x", home.path("checks_enabled/check_memory.ini")).unwrap();
    home.start();
    let well = until(&home, 0, "all is well\nrunning, pid ");
    wait_for("a run", || json(&home).1["checks"][0]["state"] == "ok");
    let (code, told) = json(&home);
    assert_eq!((code, &told["running"], &told["wrong"]), (0, &json!(true), &json!([])), "{told}");
    assert_eq!((&told["pid"], &told["checks"][0]["name"]), (&json!(home.pid()), &json!("check_memory")), "{told}");
    assert!(told["process"]["memory"].as_u64() > Some(1 << 20) && told["process"]["threads"].as_u64() > Some(3));
    assert!(told["process"]["descriptors"].as_u64() > Some(5) && told["process"]["cpu"].is_f64(), "{told}");
    assert_eq!(told["config"], json!({"file": home.path("config.ini"), "newer": null}));
    for part in
        ["\nversion ", "\nconfiguration ", "\nticks ", "\nsink ", "\npoints ", "\nspool ", "\nprocess ", "check "]
    {
        assert!(well.out.contains(part), "{part:?} is not in {}", well.out);
    }

    // A failing check is the first line; entries that cannot run come after it.
    script(&home, "check_fails.sh", "#!/bin/sh\nprintf 'no \\033[31mroute to anywhere' >&2\nexit 3\n");
    let said = until(&home, 1, "check_fails.sh fails since 20");
    assert!(said.out.lines().next().unwrap().contains("no"), "{said:?}");
    assert!(!said.out.contains('\u{1b}'), "a message gives the terminal orders: {said:?}");
    symlink("x", home.path("checks_enabled/check_nothing.ini")).unwrap();
    let said = until(&home, 1, "check_fails.sh fails since 20");
    wait_for(&format!("both\n{said:?}"), || {
        let said = home.puypuy(&["status"]).out;
        said.contains("; 1 more below\n") && said.contains("\n- check_nothing is switched on and stays off since 20")
    });
    fs::remove_file(home.path("scripts_enabled/check_fails.sh")).unwrap();
    fs::remove_file(home.path("checks_enabled/check_nothing.ini")).unwrap();
    until(&home, 0, "all is well\n");

    // A store that is away, with the points that wait for it.
    server.down();
    let said = until(&home, 1, "InfluxDB takes no points since 20");
    assert!(said.out.lines().next().unwrap().contains("refused; next attempt in "), "{said:?}");
    wait_for("batches that wait", || json(&home).1["spool"]["batches"].as_u64() > Some(0));
    server.up();
    until(&home, 0, "all is well\n");

    // A changed configuration that was not loaded is reported, and is not an error.
    let config = home.read("config.ini");
    fs::write(home.path("config.ini"), format!("{config}# changed\n")).unwrap();
    wait_for("a log line about it", || {
        let said = home.puypuy(&["status"]);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.contains("; config.ini was changed after it was read: reload to use it")
    });
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    let said = home.puypuy(&["status"]).out;
    let log = home.path("log/puypuy.log").display().to_string();
    assert!(said.starts_with(&format!("not running; `puypuy start` starts it\nlog {log}, last written 20")), "{said}");
    let (code, told) = json(&home);
    assert_eq!(
        (code, told),
        (3, json!({"running": false, "page": null, "wrong": ["not running; `puypuy start` starts it"]}))
    );
}

#[test]
fn a_daemon_that_hangs_or_does_not_listen_is_reported_as_such() {
    let home = Home::new().with("check_period_seconds", "0.2");
    let pid = home.start();
    let socket = home.path("tmp/puypuy.sock");
    signal(pid, "STOP");
    let said = home.puypuy(&["status"]);
    assert!(said.code == 1 && said.out.starts_with("it hangs: no answer at "), "{said:?}");
    assert!(said.out.contains(&format!("\nrunning, pid {pid} since ")), "{said:?}");
    signal(pid, "CONT");
    until(&home, 0, "all is well\n");

    // A removed socket is created again.
    let before = fs::metadata(&socket).unwrap().ino();
    fs::remove_file(&socket).unwrap();
    let said = home.puypuy(&["status"]);
    assert!(said.code == 1 && said.out.starts_with("nobody answers at "), "{said:?}");
    wait_for("the socket", || fs::metadata(&socket).is_ok_and(|about| about.ino() != before));
    until(&home, 0, "all is well\n");

    // Another process that listens there is not believed, even if it answers.
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let said = home.puypuy(&["status"]);
    assert!(said.code == 1 && said.out.contains(&format!("the daemon is {pid}")), "{said:?}");
    drop(listener);

    // The socket that a killed daemon leaves behind does not count as a daemon and does not prevent a start.
    signal(pid, "KILL");
    // The lock of the pid file is held until its last thread has ended, after the process is a zombie.
    wait_for("its end", || home.puypuy(&["status"]).code == 3);
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    home.start();
    until(&home, 0, "all is well\n");
    assert_eq!(mode(&socket), 0o660);
    assert_eq!(home.puypuy(&["stop"]).code, 0);
    assert!(!socket.exists());
}

#[test]
fn a_bad_client_delays_nobody() {
    let home = Home::new();
    home.start();
    let socket = home.path("tmp/puypuy.sock");
    let ask = |request: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(request);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(ask(b"dance\n").contains("there are status and reload"));
    assert!(ask(&[b'x'; 1000]).contains("error") || ask(&[b'x'; 1000]).is_empty());
    assert!(ask(b"\xff\xfe\n").contains("error"));
    let dawdlers: Vec<_> = (0..3).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    wait_for("the daemon to have given them up", || home.puypuy(&["status"]).code == 0);
    drop(dawdlers);
}

#[test]
fn a_path_that_is_too_long_for_a_socket_works() {
    let home = Home::new();
    let tmpdir = home.path(&format!("{}/{}", "long".repeat(30), "folder".repeat(20)));
    let home = home.with("tmpdir", &tmpdir.display().to_string());
    home.start();
    assert!(Path::new(&tmpdir).join("puypuy.sock").exists(), "{}", home.log());
    until(&home, 0, "all is well\n");
}

#[test]
fn the_socket_is_for_the_user_and_the_group_that_the_daemon_becomes() {
    if !is_root() {
        skip("needs root");
        return;
    }
    let home = Home::new().with("run_user", "nobody");
    home.start();
    let about = fs::metadata(home.path("tmp/puypuy.sock")).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!((about.uid(), about.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()));
    until(&home, 0, "all is well\n");

    // A user who may not even see whether it runs is told whom to ask.
    fs::set_permissions(home.path("run"), fs::Permissions::from_mode(0o750)).unwrap();
    let said = home.command(&["status"]).uid(1).gid(1).output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.code() == Some(4) && out.starts_with("only root and the group "), "{said:?}");
}

#[test]
fn without_a_socket_the_daemon_keeps_running() {
    let home = Home::new();
    fs::create_dir_all(home.path("tmp/puypuy.sock")).unwrap();
    let mut child = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the daemon to be ready", || home.log().contains("INFO ready\n"));
    assert!(home.log().contains("puypuy.sock: cannot be made: "), "{}", home.log());
    let said = home.puypuy(&["status"]);
    assert!(said.code == 1 && said.out.starts_with("nobody answers at "), "{said:?}");
    signal(child.id() as i32, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
