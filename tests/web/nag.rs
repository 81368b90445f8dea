//! `/nag` of the real daemon: access rules, requests and responses.

use super::{configured, free_port};
use crate::support::{Home, wait_for};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const KEY: &str = "0f6c2a1e-aaaa-bbbb-cccc-000000000001";

struct Nag {
    home: Home,
    address: SocketAddr,
}

impl Nag {
    /// A daemon with some plugins, and these lines in `[WebServer]`.
    fn new(web: &str) -> Nag {
        let (home, port) = (Home::new(), free_port());
        fs::create_dir(home.path("conf")).unwrap();
        fs::create_dir(home.path("plugins")).unwrap();
        let mut conf = String::from("[Nagios]\ntimeout_seconds: 1\ngone: /no/such/plugin\n");
        for (name, text) in [
            ("fine", "printf 'OK - all: %s\\nsecond \"line\"|a=1\\n' \"$*\""),
            ("warns", "echo WARNING; exit 1"),
            ("fails", "echo 'CRITICAL \\351'; exit 2"),
            ("unsure", "echo UNKNOWN; exit 3"),
            ("odd", "exit 4"),
            ("hangs", "setsid sleep 1000 & sleep 1000"),
        ] {
            let path = home.path("plugins").join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            conf += &format!("{name}: {} -w '2 words'\n", path.display());
        }
        fs::write(home.path("conf/nagios.ini"), conf).unwrap();
        configured(&home, port, "tsdtype = Local\n", &format!("webserver = yes\n{web}"));
        home.start();
        Nag { home, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// Status and body of the response to a POST with this key.
    fn post(&self, key: &str, body: &str) -> (u16, String) {
        let head = format!("Apikey: {key}\r\nContent-Length: {}\r\n", body.len());
        self.say(&format!("POST /nag HTTP/1.1\r\nHost: localhost\r\n{head}\r\n{body}"))
    }

    fn say(&self, text: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
    }
}

#[test]
fn a_plugin_is_run_for_a_client_with_the_key() {
    let nag = Nag::new(&format!("apikey = {KEY}\n"));
    for (body, status, answer) in [
        (r#"{"fine": ""}"#, 200, "{\"OK\":\"OK - all: -w 2 words\\nsecond \\\"line\\\"|a=1\"}\n"),
        (r#"{"Warns": " "}"#, 200, "{\"WARNING\":\"WARNING\"}\n"),
        (r#"{"fails": ""}"#, 200, "{\"CRITICAL\":\"CRITICAL \u{fffd}\"}\n"),
        (r#"{"unsure": ""}"#, 200, "{\"UNKNOWN\":\"UNKNOWN\"}\n"),
        (r#"{"odd": ""}"#, 500, "{\"error\":\"odd: exited with code 4\"}\n"),
        (r#"{"gone": ""}"#, 500, ": no such file or directory\"}\n"),
        (r#"{"hangs": ""}"#, 504, "with all that it had started\"}\n"),
        (r#"{"nobody": ""}"#, 404, "there is no plugin of that name in conf/nagios.ini"),
        (r#"{"timeout_seconds": ""}"#, 404, "there is no plugin of that name"),
        (r#"{"fine": "-w 1"}"#, 403, "arguments are not taken from the network unless allow_arguments: True"),
        (r#"{"fine": "", "warns": ""}"#, 400, "expected a JSON object with one member"),
        ("{}", 400, "expected a JSON object"),
        (r#"{"fine": 1}"#, 400, "expected a JSON object"),
        ("[1]", 400, "expected a JSON object"),
        ("", 400, "expected a JSON object"),
        ("no json", 400, "expected a JSON object"),
    ] {
        let told = nag.post(KEY, body);
        assert!(told.0 == status && told.1.contains(answer), "{body}: {told:?}");
        serde_json::from_str::<serde_json::Value>(&told.1).unwrap();
    }
    for key in ["", "x", &KEY[..35], &KEY.to_uppercase(), &format!("{KEY}0")] {
        let told = nag.post(key, r#"{"fine": ""}"#);
        assert!(told.0 == 403 && told.1.contains("the header Apikey is missing or wrong"), "{key}: {told:?}");
    }
    assert_eq!(nag.say("POST /nag HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").0, 403);
    assert_eq!(nag.say("GET /nag HTTP/1.1\r\nHost: localhost\r\n\r\n").0, 405);
    let told = nag.post(KEY, &format!("{{\"fine\": \"{}\"}}", "x".repeat(20_000)));
    assert_eq!(told.0, 413, "{told:?}");

    // A body that does not arrive.
    let begun = Instant::now();
    let mut slow = TcpStream::connect(nag.address).unwrap();
    write!(slow, "POST /nag HTTP/1.1\r\nHost: localhost\r\nApikey: {KEY}\r\nContent-Length: 100\r\n\r\n{{").unwrap();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let log = nag.home.log();
    assert!(!log.contains(KEY), "{log}");
    wait_for("all plugins to be gone", || nag.home.processes() == [nag.home.pid()]);
}

#[test]
fn at_most_four_plugins_hang_and_pages_are_not_delayed() {
    let nag = Nag::new(&format!("apikey = {KEY}\n"));
    std::thread::scope(|scope| {
        let hanging: Vec<_> = (0..5).map(|_| scope.spawn(|| nag.post(KEY, r#"{"hangs": ""}"#).0)).collect();
        wait_for("a plugin", || nag.home.processes().len() > 1);
        let begun = Instant::now();
        assert_eq!(nag.say("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").0, 200);
        assert!(begun.elapsed() < Duration::from_secs(1));
        let mut told: Vec<u16> = hanging.into_iter().map(|one| one.join().unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, [503, 504, 504, 504, 504]);
    });
    assert_eq!(nag.post(KEY, r#"{"fine": ""}"#).0, 200);
}

#[test]
fn arguments_are_accepted_if_the_administrator_allows_them() {
    let nag = Nag::new(&format!("apikey = {KEY}\nallow_arguments = True\n"));
    let told = nag.post(KEY, r#"{"fine": "'a b' -c $HOME;id"}"#);
    assert_eq!(told, (200, "{\"OK\":\"OK - all: a b -c $HOME;id\\nsecond \\\"line\\\"|a=1\"}\n".into()));
    assert_eq!(nag.post(KEY, r#"{"fine": "'a"}"#).0, 400);
}

#[test]
fn without_an_own_key_nobody_has_access() {
    for web in ["", "apikey = xxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxx\n", "apikey =\n"] {
        let nag = Nag::new(web);
        for key in ["", "xxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxx"] {
            let told = nag.post(key, r#"{"fine": ""}"#);
            assert!(told.0 == 403 && told.1.contains("no apikey of its own is set in [WebServer]"), "{told:?}");
        }
    }
}

#[test]
fn sixteen_requests_are_read_to_their_end() {
    let nag = Nag::new(&format!("apikey = {KEY}\n"));
    let head = format!("POST /nag HTTP/1.1\r\nHost: localhost\r\nApikey: {KEY}\r\nContent-Length: 3\r\n\r\n");
    let mut asking: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(nag.address).unwrap()).collect();
    asking.iter_mut().for_each(|stream| stream.write_all(head.as_bytes()).unwrap());
    let mut one_more = TcpStream::connect(nag.address).unwrap();
    let mut answer = Vec::new();
    let _ = one_more.read_to_end(&mut answer);
    assert!(answer.is_empty());
    for mut stream in asking {
        stream.write_all(b"{ }").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    }
}
