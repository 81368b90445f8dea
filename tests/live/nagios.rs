//! The plugins of Debian's monitoring-plugins-basic, run by the check and by /nag with the shipped configuration.

use crate::server::{Program, free_port, program, wait};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const KEY: &str = "live-key";

/// More than the shipped plugins: several lines, a refusal, and any state.
const MORE: &str = "bogus: /usr/lib/nagios/plugins/check_load -w bogus\n\
                    refused: /usr/lib/nagios/plugins/check_http -H 127.0.0.1 -p 1\n\
                    dummy0: /usr/lib/nagios/plugins/check_dummy 0 'all well'\n\
                    dummy3: /usr/lib/nagios/plugins/check_dummy 3 'who knows'\n\
                    users: /usr/lib/nagios/plugins/check_users -w 50 -c 100\n";

pub fn plugins() -> Result<(), String> {
    program("check_load", "monitoring-plugins-basic")?;
    let home = TempDir::new().unwrap();
    let inside = |name: &str| home.path().join(name);
    fs::create_dir_all(inside("conf")).unwrap();
    let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/nagios.ini")).unwrap();
    fs::write(inside("conf/nagios.ini"), shipped + MORE).unwrap();
    let port = free_port();
    let config = format!(
        "[TSDB]\ntsdtype = Local\n[WebServer]\nwebserver = yes\nwebaddress = 127.0.0.1:{port}\napikey = {KEY}\n"
    );
    fs::write(inside("config.ini"), config).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
    command.arg("--home").arg(home.path()).args(["check", "check_nagios", "--samples", "1", "--format", "json"]);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let points: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let state = |name: &str| {
        let is_wanted = |point: &&Value| point["name"] == "nagios_status" && point["tags"]["check"] == name;
        points.iter().find(is_wanted).and_then(|point| point["value"].as_i64())
    };
    let measured = |name: &str, label: &str| {
        let is_wanted = |point: &&Value| {
            point["name"] == "nagios_value" && point["tags"]["check"] == name && point["tags"]["label"] == label
        };
        points.iter().find(is_wanted).and_then(|point| point["value"].as_f64())
    };
    for (name, wanted) in [("refused", 2), ("bogus", 3), ("dummy0", 0), ("dummy3", 3), ("users", 0)] {
        assert_eq!(state(name), Some(wanted), "{name}\n{told}");
    }
    for name in ["loadaverage", "diskusage", "processes"] {
        assert!(state(name).is_some_and(|state| state < 3), "{name}\n{told}");
    }
    for label in ["load1", "load5", "load15"] {
        assert!(measured("loadaverage", label).is_some_and(|load| load >= 0.0), "{label}\n{told}");
    }
    assert!(measured("processes", "procs").is_some_and(|count| count >= 1.0), "{told}");
    let space = Command::new("df").args(["-B1", "--output=used", "/"]).output().unwrap().stdout;
    let space: f64 = String::from_utf8(space).unwrap().lines().nth(1).unwrap().trim().parse().unwrap();
    let used = measured("diskusage", "/").unwrap();
    assert!((used - space).abs() < 0.01 * space + 1e8, "check_disk says {used}, df says {space}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
    let daemon = Program::start(command.arg("--home").arg(home.path()).arg("run"), &inside("output"));
    let ask = |body: &str| -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let length = body.len();
        write!(
            stream,
            "POST /nag HTTP/1.1\r\nHost: localhost\r\nApikey: {KEY}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
    };
    wait("the daemon's page", Duration::from_secs(20), || ask(r#"{"dummy0": ""}"#).is_some());
    for (name, member, text) in [
        ("dummy0", "OK", "OK: all well"),
        ("dummy3", "UNKNOWN", "UNKNOWN: who knows"),
        ("refused", "CRITICAL", "refused"),
        ("users", "OK", "USERS OK"),
    ] {
        let (status, answer) = ask(&format!("{{\"{name}\": \"\"}}")).unwrap();
        let words = answer[member].as_str().unwrap_or_default();
        assert!(status == 200 && words.contains(text), "{name}: {answer}");
    }
    daemon.end();
    Ok(())
}
