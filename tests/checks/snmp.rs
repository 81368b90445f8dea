//! check_snmp against agents on loopback: its points, its requests, and agents that misbehave.

use super::golden::{difference, page};
use super::machine::{Measurement, Worker, spec};
use super::snmp_agent::{
    Agent, BULK, GET, NEXT, Objects, Reply, Request, count64, honest, int, oid, pdu, report, response, text, tlv,
};
use crate::support::{Home, skip};
use proptest::prelude::*;
use puypuy::config::ini;
use puypuy::config::section::Section;
use puypuy::fetch::snmp::codec::Codec;
use puypuy::fetch::snmp::message::Received;
use puypuy::fetch::snmp::{Access, Cipher, Digest, Security, User, Value as Read};
use puypuy::model::parse::ber::{self, Reader};
use puypuy::model::parse::oid::Oid;
use puypuy::model::point::{Kind, Value};
use puypuy::model::roots::Roots;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const UPTIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];

/// The check's section with the devices of this text.
fn section(devices: &str) -> Section {
    let spec = spec("check_snmp");
    let read = ini::parse(devices, "conf/snmp.ini");
    assert!(read.errors.is_empty(), "{:?}", read.errors);
    Section { devices: read.sections, ..super::machine::section(spec, &[]) }
}

fn worker(devices: &str) -> Worker {
    Worker::of(spec("check_snmp"), &section(devices))
}

fn wrong(devices: &str) -> String {
    (spec("check_snmp").build)(&section(devices)).err().unwrap_or_else(|| panic!("{devices}: no error")).to_string()
}

fn tick(worker: &mut Worker) -> Measurement {
    worker.tick(&Roots::default())
}

fn objects(list: &[(&[u32], Vec<u8>)]) -> Arc<Mutex<Objects>> {
    Arc::new(Mutex::new(list.iter().map(|(oid, value)| (oid.to_vec(), value.clone())).collect()))
}

fn own(last: &[u32]) -> Vec<u32> {
    [&[1, 3, 6, 1, 4, 1, 50000][..], last].concat()
}

/// A device of version 2c on this port, with further lines.
fn device(name: &str, port: u16, lines: &str) -> String {
    format!("[{name}]\nserver: 127.0.0.1\nport: {port}\nversion: 2c\ntimeout: 5\nretries: 0\n{lines}\n")
}

/// The same with a short timeout, for agents that do not respond.
fn impatient(devices: &str) -> String {
    devices.replace("timeout: 5", "timeout: 0.2")
}

#[test]
fn every_type_is_reported_as_expected() {
    let all = objects(&[
        (UPTIME, int(0x43, 12345)),
        (&own(&[1]), int(2, -5)),
        (&own(&[2]), int(0x42, 4_294_967_295)),
        (&own(&[3]), int(0x41, 4_294_967_000)),
        (&own(&[4]), count64(18_446_744_073_709_551_615)),
        (&own(&[5]), text(" 0.15 ")),
        (&own(&[6]), text("up since noon")),
        (&own(&[7]), tlv(0x44, &[&[0x9f, 0x78, 4][..], &1.5_f32.to_be_bytes()].concat())),
        (&own(&[8]), tlv(0x40, &[127, 0, 0, 1])),
        (&own(&[9]), tlv(6, &oid(&own(&[1])))),
        (&own(&[10]), tlv(5, &[])),
        (&own(&[11]), text("nan")),
        (&own(&[12]), text("")),
        (&own(&[13]), tlv(0x44, &[1, 2, 3])),
        (&own(&[14]), text("9e999")),
        // Without the leading zero that an unsigned number needs, and with the sign of a number below zero.
        (&own(&[16]), tlv(0x42, &[0x80, 0xe8])),
        (&own(&[17]), tlv(0x41, &[0xb3, 0x99, 0x61, 0xed])),
        (&own(&[18]), tlv(0x43, &[0xc8])),
        (&own(&[19]), tlv(0x46, &[0xff; 8])),
        (&own(&[22]), tlv(0x47, &[0xff, 0xff])),
        (&own(&[23]), tlv(0x42, &[0xff, 0xff, 0xb3, 0x99, 0x61, 0xed])),
        (&own(&[24]), tlv(0x42, &[1, 0, 0, 0, 0])),
        (&own(&[25]), tlv(2, &[0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xe8])),
        (&own(&[26]), tlv(4, b"12.5\0\0")),
        (&own(&[27]), tlv(4, &[b"7\0".to_vec(), vec![b'x'; 200]].concat())),
        (&own(&[28]), tlv(0x44, &[&[0x9f, 0x79, 8][..], &(-2.5_f64).to_be_bytes()].concat())),
        (&own(&[29]), tlv(0x44, &[0x9f, 0x7a, 2, 0xff, 0x38])),
        (&own(&[30]), tlv(0x44, &[0x9f, 0x7b, 2, 0xff, 0x38])),
        (&own(&[20, 1]), int(0x41, 7)),
        (&own(&[20, 2, 200]), int(0x41, 8)),
        (&own(&[20, 3]), text("eth0")),
        (&own(&[20, 4]), tlv(0x47, &[3])),
        (&own(&[20, 5]), vec![0x5f, 0x81, 0, 1, 0]),
        (&own(&[20, 6]), int(0x41, 9)),
        (&own(&[21, 1]), int(2, 99)),
    ]);
    let agent = Agent::of(&all);
    let keys: String =
        (1..=30).filter(|n| !(20..22).contains(n)).map(|n| format!("oid_k{n}: .1.3.6.1.4.1.50000.{n}\n")).collect();
    let new = device(
        "new.form",
        agent.port,
        &format!("rate: True\n{keys}OID_again_oid_: 1.3.6.1.4.1.50000.1\noid_w: .1.3.6.1.4.1.50000.20.*\n"),
    );
    let old = format!(
        "[old.form]\nauth: True\nversion: 1\nserver: 127.0.0.1\nport: {}\nauthProtocol: SHA\nprivProtocol: DES\nSecurityName: demo\n\
         AuthPassphrase: Bb1234567\nPrivPassphrase: Bb1234567\nCpu_User: .1.3.6.1.4.1.50000.1\nTimeout: .1.3.6.1.4.1.50000.2\n\
         none: .1.3.6.1.4.1.50000.99\nlong: .1.3.6.1.4.1.50000.4\nw: .1.3.6.1.4.1.50000.20.*\nnothing: .1.3.6.1.4.1.50000.40*\n",
        agent.port
    );
    let mut worker = worker(&(new + &old));
    let mut story = String::new();
    for number in 1..=2 {
        let mut told = tick(&mut worker);
        for point in told.points.iter_mut().filter(|point| point.name == "snmp_response_seconds") {
            assert!(point.value.as_f64() < 1.0);
            point.value = Value::Float(0.0);
        }
        assert!(told.points.iter().all(|point| point.check_type == "snmp"));
        story += &format!("--- tick {number}\n{}", page(&told, "ROOT"));
        let mut all = all.lock().unwrap();
        all.insert(UPTIME.to_vec(), int(0x43, 13345));
        // 1000 beyond the wrap-around.
        all.insert(own(&[3]), int(0x41, 704));
        all.insert(own(&[20, 1]), int(0x41, 107));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/snmp.expect.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &story).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(difference(&expected, &story), None, "{}", file.display());
}

#[test]
fn every_point_is_in_the_table() {
    let all = objects(&[(UPTIME, int(0x43, 10_000)), (&own(&[1]), int(0x41, 1))]);
    let agent = Agent::of(&all);
    let mut worker = worker(&device("a", agent.port, "x: .1.3.6.1.4.1.50000.1\nrate: yes"));
    tick(&mut worker);
    let told = tick(&mut worker);
    let names: Vec<_> = told.points.iter().map(|point| &*point.name).collect();
    assert_eq!(names, ["snmp_up", "snmp_response_seconds", "snmp_uptime_seconds", "snmp_x_rate", "snmp_x"]);
    for point in &told.points[..3] {
        let field = spec("check_snmp").fields.iter().copied().flatten().find(|field| field.metric == point.name);
        assert_eq!(field.map(|field| field.reaction), Some(point.reaction), "{}", point.name);
    }
    assert_eq!((told.points[3].kind, told.points[4].kind), (Kind::Rate, Kind::Counter));
}

#[test]
fn a_restarted_device_has_no_rate() {
    let all = objects(&[(UPTIME, int(0x43, 900_000)), (&own(&[1]), int(0x41, 1000)), (&own(&[2, 1]), int(0x41, 5))]);
    let agent = Agent::of(&all);
    let mut worker = worker(&device("a", agent.port, "rate: True\nx: .1.3.6.1.4.1.50000.1\nw: .1.3.6.1.4.1.50000.2.*"));
    let mut step = |uptime: Option<i64>, count: i64| {
        let mut all = all.lock().unwrap();
        match uptime {
            Some(uptime) => all.insert(UPTIME.to_vec(), int(0x43, uptime)),
            None => all.remove(UPTIME),
        };
        all.insert(own(&[1]), int(0x41, count));
        all.insert(own(&[2, 1]), int(0x41, count));
        drop(all);
        let told = tick(&mut worker);
        assert!(told.faults.is_empty(), "{:?}", told.faults);
        (told.number("snmp_x_rate", "a"), told.number("snmp_w_rate", "a"))
    };
    assert_eq!(step(Some(900_000), 1000), (None, None));
    assert_eq!(step(Some(901_000), 1100), (Some(10.0), Some(10.0)));
    // More than before, but of another start.
    assert_eq!(step(Some(500), 2000), (None, None));
    assert_eq!(step(Some(1500), 2050), (Some(5.0), Some(5.0)));
    // Up for longer than before, but not for the time that has passed.
    assert_eq!(step(Some(300), 10), (None, None));
    assert_eq!(step(Some(900), 2090), (None, None));
    assert_eq!(step(Some(1900), 2190), (Some(10.0), Some(10.0)));
    // Without its uptime, a decrease may have any reason.
    assert_eq!(step(None, 40), (None, None));
    assert_eq!(step(None, 60), (Some(2.0), Some(2.0)));
}

#[test]
fn requests_follow_the_settings() {
    let agent = Agent::of(&objects(&[(UPTIME, int(0x43, 1))]));
    let asked = |lines: &str| {
        let before = agent.requests().len();
        tick(&mut worker(&format!(
            "[a]\nserver: 127.0.0.1\nport: {}\ntimeout: 0.2\nretries: 0\n{lines}\n",
            agent.port
        )));
        let request = agent.requests()[before].clone();
        (request.version, String::from_utf8(request.community).unwrap(), String::from_utf8(request.user).unwrap())
    };
    for (lines, version, community) in [
        ("auth: False\nsecurityname: demo", 1, "public"),
        ("AUTH: no\nCommunity: mine", 1, "mine"),
        ("version: 1", 0, "public"),
        ("version: v1\ncommunity: other", 0, "other"),
        ("version: 2c\nuser_name: ignored", 1, "public"),
        ("version: 2", 1, "public"),
        ("community: only", 1, "only"),
        ("community:\nauth: off", 1, "public"),
    ] {
        assert_eq!(asked(lines), (version, community.to_string(), String::new()), "{lines}");
    }
    // Engines are discovered without a user.
    for lines in [
        "user_name: demo\nsecurity_level: noAuthNoPriv",
        "user_name: demo\nuser_pass: secretpass\nprivacy_pass: other pass\nauth_protocol: sha-512\nprivacy_protocol: AES-192-C",
        "user_name: demo\nuser_pass: secretpass\nauth_protocol: SHA1\nsecurity_level: AUTHNOPRIV",
        "auth: True\nSecurityName: demo\nAuthPassphrase: s\nPrivPassphrase: s\nauthProtocol: MD5\nprivProtocol: AES128",
        "SecurityName: demo\nAuthPassphrase: s\nPrivPassphrase: s\nauthProtocol: SHA\nprivProtocol: AES256",
    ] {
        assert_eq!(asked(lines), (3, String::new(), String::new()), "{lines}");
    }
}

#[test]
fn a_device_of_the_old_form_may_only_know_version_1() {
    let objects = objects(&[(UPTIME, int(0x43, 1)), (&own(&[1]), int(2, 7))]);
    let agent = Agent::start(move |request| match request.version {
        0 => vec![(Duration::ZERO, honest(request, &objects.lock().unwrap()))],
        _ => Vec::new(),
    });
    for retries in [0, 1] {
        let before = agent.requests().len();
        let (port, oid) = (agent.port, Oid::of(own(&[1])).unwrap());
        let lines =
            format!("server: 127.0.0.1\nport: {port}\nauth: False\ntimeout: 0.2\nretries: {retries}\nvalue: {oid}\n");
        let mut worker = worker(&format!("[a]\n{lines}"));
        let told: Vec<_> = (0..3).map(|_| tick(&mut worker).number("snmp_value", "a")).collect();
        let versions: Vec<_> = agent.requests()[before..].iter().map(|request| request.version).collect();
        // After the version is found, it is remembered.
        // One object alone after a timeout, then the other one.
        assert_eq!(versions, [1, 0, 0, 0, 0][..4 + retries], "{retries}");
        assert_eq!(told, if retries == 0 { [None, Some(7.0), Some(7.0)] } else { [Some(7.0); 3] });
    }
}

#[test]
fn mistakes_name_file_section_and_key_and_no_secret() {
    let base = "server: h\n";
    let v3 = "server: h\nuser_name: u\nuser_pass: hush-hush\nprivacy_pass: hush-hush\nauth_protocol: SHA\nprivacy_protocol: AES\n";
    let with = |before: &str, lines: &str| format!("[a]\n{before}{lines}\n");
    for (devices, words) in [
        (with("", "community: c"), "conf/snmp.ini:1 [a] server: missing"),
        (with("server:\n", "community: c"), "conf/snmp.ini:2 [a] server: \"\": must not be empty"),
        (with("", "server: h:161\ncommunity: c"), "[a] server: \"h:161\": expected a host name"),
        (with(base, ""), "[a] user_name: missing, and so is community"),
        (with(base, "community: c\nport: 70000"), "[a] port: \"70000\": expected a number"),
        (with(base, "community: c\ntimeout: 0"), "[a] timeout: \"0\": expected seconds"),
        (with(base, "community: c\nretries: 11"), "[a] retries: \"11\""),
        (with(base, "community: c\nrate: maybe"), "[a] rate: \"maybe\": expected True or False"),
        (with(base, "version: 4"), "[a] version: \"4\": expected 1, 2c or 3"),
        (with(base, "auth: perhaps"), "[a] auth: \"perhaps\": expected True or False"),
        (with(base, "community: c\nmax_series: 5"), "[a] max_series: is of all devices together"),
        (with(base, "community: c\nx: eth0"), "[a] x: neither a setting nor an object"),
        (with(base, "community: c\nx: 1"), "[a] x: neither"),
        (with(base, "community: c\nx: .1.3.-6"), "[a] x: neither"),
        (with(base, "community: c\nx: .1.3.4294967296"), "[a] x: neither"),
        (with(base, "community: c\nx: .3.3.1"), "[a] x: neither"),
        (with(base, "community: c\nx: .1.3..1"), "[a] x: neither"),
        (with(base, "community: c\nx: *"), "[a] x: neither"),
        (with(base, "community: c\noid_up: .1.3.6"), "[a] oid_up: the check itself tells"),
        (with(base, "community: c\noid_: .1.3.6"), "[a] oid_: the check itself"),
        (with(base, "community: c\noid_x: .1.3.6\nx: .1.3.7"), "[a] x: is told as snmp_x, as oid_x is already"),
        (with(v3, "privacy_pas: hush-hush"), "[a] privacy_pas: neither a setting, did you mean privacy_pass? nor"),
        (with(v3, "security_level: high"), "[a] security_level: \"high\": expected noAuthNoPriv"),
        (v3.replace("SHA", "SHA-3"), "auth_protocol: \"SHA-3\": expected MD5, SHA, SHA-224"),
        (v3.replace("AES", "3DES"), "privacy_protocol: \"3DES\": expected DES, AES"),
        (
            v3.replace("user_pass: hush-hush\n", ""),
            "user_pass: missing or empty, and so is authpassphrase; security_level authPriv",
        ),
        (v3.replace("privacy_pass: hush-hush", "privacy_pass:"), "privacy_pass: missing or empty"),
        (
            v3.replace("user_name: u", "version: 3"),
            "user_name: missing or empty, and so is securityname; SNMPv3 needs it",
        ),
        (v3.replace("auth_protocol: SHA\n", ""), "auth_protocol: missing or empty"),
    ] {
        let devices = if devices.starts_with('[') { devices } else { format!("[a]\n{devices}") };
        let told = wrong(&devices);
        assert!(told.contains(words) && told.starts_with("conf/snmp.ini"), "{devices}\n{told}\nexpected {words}");
        assert!(!told.contains("hush"), "{told}");
    }
    assert!(wrong("").contains("conf/snmp.ini:1 [SNMP]: no device here nor in conf/snmp/*.ini"), "{}", wrong(""));
}

#[test]
fn a_wrong_device_only_affects_itself() {
    let agent = Agent::of(&objects(&[(UPTIME, int(0x43, 100))]));
    let mut section = section(&(device("good", agent.port, "") + "[bad]\nserver: h\n"));
    let again = section.devices[0].clone();
    section.devices.push(Section { file: "conf/snmp/more.ini".into(), ..again });
    let mut worker = Worker::of(spec("check_snmp"), &section);
    for _ in 0..2 {
        let told = tick(&mut worker);
        assert_eq!(told.number("snmp_uptime_seconds", "good"), Some(1.0));
        assert_eq!(told.faults.len(), 2, "{:?}", told.faults);
        assert!(told.faults[0].contains("[bad] user_name: missing"), "{:?}", told.faults);
        assert!(told.faults[1].contains("conf/snmp/more.ini:1 [good]: a device of that name"), "{:?}", told.faults);
    }
}

#[test]
fn long_lists_are_divided_into_requests_that_fit() {
    let list: Vec<(Vec<u32>, Vec<u8>)> = (0..300).map(|n| (own(&[4_000_000_000, n]), int(2, n.into()))).collect();
    let list: Vec<(&[u32], Vec<u8>)> = list.iter().map(|(oid, value)| (oid.as_slice(), value.clone())).collect();
    let agent = Agent::of(&objects(&list));
    let keys: String = (0..300).map(|n| format!("k{n}: .1.3.6.1.4.1.50000.4000000000.{n}\n")).collect();
    let told = tick(&mut worker(&device("a", agent.port, &keys)));
    assert!((0..300).all(|n| told.number(&format!("snmp_k{n}"), "a") == Some(n.into())));
    let requests = agent.requests();
    assert!(requests.len() > 3 && requests.iter().all(|request| request.bytes < 1400), "{}", requests.len());
}

#[test]
fn errors_of_an_agent_only_affect_their_object() {
    // Too big with more than two objects; the third object always fails.
    let agent = Agent::start(|request| {
        let asked: Vec<_> = request.oids.iter().map(|oid| (oid.clone(), int(2, 1))).collect();
        let culprit = request.oids.iter().position(|oid| *oid == own(&[3]));
        let answer = match culprit {
            _ if asked.len() > 2 => response(request, 1, 0, &[]),
            Some(place) => response(request, 5, place as i64 + 1, &asked),
            None => response(request, 0, 0, &asked),
        };
        vec![(Duration::ZERO, answer)]
    });
    let keys: String = (1..=6).map(|n| format!("k{n}: .1.3.6.1.4.1.50000.{n}\n")).collect();
    let told = tick(&mut worker(&device("a", agent.port, &keys)));
    for n in [1, 2, 4, 5, 6] {
        assert_eq!(told.number(&format!("snmp_k{n}"), "a"), Some(1.0), "{n}");
    }
    let words = "a: k3: no number at .1.3.6.1.4.1.50000.3: a general failure of the agent";
    assert_eq!(told.faults, [words]);

    let refusing = Agent::start(|request| vec![(Duration::ZERO, response(request, 16, 0, &[]))]);
    let told = tick(&mut worker(&device("a", refusing.port, &keys)));
    assert_eq!((refusing.requests().len(), told.number("snmp_up", "a")), (1, Some(1.0)));
    assert!(told.faults[0].contains("does not let this user see"), "{:?}", told.faults);
}

#[test]
fn a_walk_ends_whatever_the_agent_does() {
    let rows: Arc<AtomicUsize> = Arc::default();
    let endless = rows.clone();
    let row = move |request: &Request, kind: &str| -> Vec<u8> {
        let pairs = |oids: &[Vec<u32>]| oids.iter().map(|oid| (oid.clone(), int(2, 1))).collect::<Vec<_>>();
        match kind {
            "circles" => response(request, 0, 0, &pairs(&[own(&[1, 1]), own(&[1, 2]), own(&[1, 1])])),
            "stays" => response(request, 0, 0, &pairs(&request.oids)),
            "empty" => response(request, 0, 0, &[]),
            "fails" => response(request, 5, 1, &[]),
            "big" if request.repetitions > 1 => response(request, 1, 0, &[]),
            "big" => response(request, 0, 0, &pairs(&[own(&[2])])),
            _ => {
                let first = endless.fetch_add(400, Ordering::SeqCst) as u32;
                response(request, 0, 0, &pairs(&(first..first + 400).map(|n| own(&[1, n])).collect::<Vec<_>>()))
            }
        }
    };
    let row = Arc::new(row);
    for (kind, words) in [
        ("circles", "goes in circles: behind .1.3.6.1.4.1.50000.1.2 the agent has .1.3.6.1.4.1.50000.1.1"),
        ("stays", "nothing is below .1.3.6.1.4.1.50000.1"),
        ("empty", "broke off: nothing that can be read"),
        ("fails", "broke off: a general failure of the agent"),
        ("big", "nothing is below"),
        ("endless", "broke off: has more than 10000 rows"),
    ] {
        let row = row.clone();
        let agent = Agent::start(move |request| {
            let is_asked = request.kind == BULK || request.kind == NEXT && matches!(kind, "empty" | "fails");
            let answer = if is_asked { row(request, kind) } else { honest(request, &Objects::new()) };
            vec![(Duration::ZERO, answer)]
        });
        let told = tick(&mut worker(&device("a", agent.port, "w: .1.3.6.1.4.1.50000.1.*")));
        assert!(told.faults.iter().any(|fault| fault.contains(words)), "{kind}: {:?}", told.faults);
        let count = told.points.iter().filter(|point| point.name == "snmp_w").count();
        assert_eq!(
            count,
            match kind {
                "circles" => 2,
                // max_series, minus the two numbers of every device.
                "endless" => 1998,
                _ => 0,
            },
            "{kind}"
        );
    }
}

#[test]
fn a_walk_of_version_1_goes_step_by_step() {
    let list: Vec<_> = (1..=3).map(|n| (own(&[1, n]), int(2, n.into()))).collect();
    let list: Vec<(&[u32], Vec<u8>)> = list.iter().map(|(oid, value)| (oid.as_slice(), value.clone())).collect();
    let agent = Agent::of(&objects(&list));
    let told = tick(&mut worker(&device("a", agent.port, "w: .1.3.6.1.4.1.50000.1.*").replace("2c", "1")));
    let indexes = told
        .points
        .iter()
        .filter(|point| point.name == "snmp_w")
        .map(|point| point.tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","));
    assert_eq!(indexes.collect::<Vec<_>>(), ["devicename=a,index=1", "devicename=a,index=2", "devicename=a,index=3"]);
    assert_eq!(agent.requests().iter().map(|request| request.kind).collect::<Vec<_>>(), [GET, NEXT, NEXT, NEXT, NEXT]);
}

/// Responses that no agent should send.
fn hostile(request: &Request) -> Vec<(&'static str, Reply)> {
    let good = response(request, 0, 0, &[(own(&[1]), int(2, 666)), (UPTIME.to_vec(), int(0x43, 1))]);
    let other = |change: fn(&mut Request)| {
        let mut other = request.clone();
        change(&mut other);
        response(&other, 0, 0, &[(own(&[1]), int(2, 666))])
    };
    let once = |bytes: Vec<u8>| vec![(Duration::ZERO, bytes)];
    let as_request = tlv(0x30, &[int(2, 1), tlv(4, b"public"), pdu(GET, request.id, 0, 0, &[])].concat());
    let drip = (0..60).map(|_| (Duration::from_millis(10), other(|request| request.id += 1))).collect();
    vec![
        ("silence", vec![]),
        ("nothing", once(vec![])),
        ("HTML", once(b"<html><body>It works!</body></html>".to_vec())),
        ("noise", once((0..2000).map(|n| (n * 7919 % 251) as u8).collect())),
        ("cut in half", once(good[..good.len() / 2].to_vec())),
        ("a byte short", once(good[..good.len() - 1].to_vec())),
        ("another request's number", once(other(|request| request.id += 1))),
        ("another community", once(other(|request| request.community = b"x".to_vec()))),
        ("another version", once(other(|request| request.version = 0))),
        ("a request", once(as_request)),
        ("lengths without end", once(vec![0x30, 0x80, 0x02, 0x80, 0, 0])),
        ("a length beyond all", once(vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 1])),
        ("a drip of strays", drip),
    ]
}

#[test]
fn hostile_responses_only_affect_their_device_and_at_most_its_timeout() {
    let living = Agent::of(&objects(&[(&own(&[1]), int(2, 42)), (UPTIME, int(0x43, 100))]));
    let probe = Request { version: 1, kind: GET, id: 1, ..Request::default() };
    let kinds: Vec<_> = hostile(&probe).iter().map(|(name, _)| *name).collect();
    // Wherever they come from: every second one comes from another address.
    let address = |place| (place % 2 == 1).then_some("127.0.0.2");
    let hostile = |place| move |request: &Request| hostile(request).swap_remove(place).1;
    let agents: Vec<_> = (0..kinds.len()).map(|place| Agent::answering_from(address(place), hostile(place))).collect();
    let mut devices: String =
        kinds.iter().zip(&agents).map(|(name, agent)| device(name, agent.port, "x: .1.3.6.1.4.1.50000.1")).collect();
    devices = impatient(&devices) + &device("living", living.port, "x: .1.3.6.1.4.1.50000.1");
    let mut worker = worker(&devices);
    for _ in 0..2 {
        let begun = Instant::now();
        let told = tick(&mut worker);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!((told.number("snmp_x", "living"), told.number("snmp_up", "living")), (Some(42.0), Some(1.0)));
        for name in &kinds {
            assert_eq!((told.number("snmp_up", name), told.number("snmp_x", name)), (Some(0.0), None), "{name}");
            let fault = told.faults.iter().find(|fault| fault.starts_with(&format!("{name}: 127.0.0.1:")));
            assert!(fault.is_some_and(|fault| fault.contains("no answer within 0.2 s")), "{name}: {fault:?}");
        }
    }
}

#[test]
fn stray_messages_before_the_response_are_ignored() {
    let agent = Agent::start(|request| {
        let mut reply: Reply = hostile(request)
            .into_iter()
            .filter(|(name, _)| !name.contains("drip"))
            .flat_map(|(_, reply)| reply)
            .collect();
        reply.push((Duration::from_millis(20), response(request, 0, 0, &[(own(&[1]), int(2, 42))])));
        reply
    });
    let told = tick(&mut worker(&device("a", agent.port, "x: .1.3.6.1.4.1.50000.1")));
    assert_eq!(told.number("snmp_x", "a"), Some(42.0), "{:?}", told.faults);
}

#[test]
fn hostile_values_are_left_out() {
    let agent = Agent::start(|request| {
        let value = |oid: &Vec<u32>| match oid.last() {
            Some(1) => text(&"9".repeat(20_000)),
            Some(2) => tlv(4, &[0xff; 20_000]),
            Some(3) => tlv(2, &[]),
            Some(4) => tlv(2, &[1; 9]),
            Some(5) => tlv(0x48, &[1]),
            Some(6) => tlv(0x40, &[1, 2, 3]),
            Some(7) => tlv(0x44, &[&[0x9f, 0x79, 8][..], &f64::NAN.to_be_bytes()].concat()),
            _ => int(2, 42),
        };
        let values: Vec<_> = request.oids.iter().map(|oid| (oid.clone(), value(oid))).collect();
        vec![(Duration::ZERO, response(request, 0, 0, &values))]
    });
    let keys: String = (1..=9).map(|n| format!("k{n}: .1.3.6.1.4.1.50000.{n}\n")).collect();
    let told = tick(&mut worker(&device("a", agent.port, &keys)));
    assert_eq!((told.number("snmp_k8", "a"), told.number("snmp_k9", "a")), (Some(42.0), Some(42.0)));
    assert_eq!(told.points.iter().filter(|point| point.name.starts_with("snmp_k")).count(), 2);
    assert_eq!(told.faults.len(), 7, "{:?}", told.faults);
    assert!(told.faults.iter().all(|fault| fault.len() < 300), "{:?}", told.faults);
}

#[test]
fn the_deadline_is_kept_and_dead_devices_come_last() {
    let silent: Vec<_> = (0..20).map(|_| Agent::start(|_| vec![])).collect();
    let living = Agent::of(&objects(&[(UPTIME, int(0x43, 100))]));
    let lines: String =
        silent.iter().enumerate().map(|(n, agent)| device(&format!("dead{n}"), agent.port, "")).collect();
    let patient = lines.replace("timeout: 5", "timeout: 60").replace("retries: 0", "retries: 9");
    // The last device of its file: sixteen dead devices use up the first tick.
    let mut worker = worker(&(patient + &device("living", living.port, "")));
    let mut told = Vec::new();
    for _ in 0..2 {
        let begun = Instant::now();
        told.push(worker.tick_of(&Roots::default(), 1));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert!(told.iter().all(|told| told.faults.iter().any(|fault| fault.contains("no answer within 0.9 s"))));
    }
    // There was no time to query it, which says nothing about it.
    let numbers = |told: &Measurement| ["dead0", "living"].map(|name| told.number("snmp_up", name));
    assert_eq!(numbers(&told[0]), [Some(0.0), None]);
    assert!(told[0].faults.iter().any(|fault| {
        fault.starts_with("living: ") && fault.contains("the deadline of the tick came before all was asked")
    }));
    assert_eq!(told[1].number("snmp_uptime_seconds", "living"), Some(1.0));
}

#[test]
fn a_closed_port_is_reported_at_once() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begun = Instant::now();
    let told = tick(&mut worker(&device("a", port, "")));
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(
        told.faults,
        [format!("a: 127.0.0.1:{port}: nobody listens there; is the agent running, and are server and port right?")]
    );
    let told = tick(&mut worker("[a]\nserver: no-such-host.invalid\ncommunity: c\n"));
    let fault = &told.faults[0];
    assert!(fault.starts_with("a: no-such-host.invalid:161: ") && fault.contains("host name"), "{fault}");
    assert_eq!(told.number("snmp_up", "a"), Some(0.0));
}

#[test]
fn ipv6_addresses_are_reached() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else { return skip("this machine has no IPv6") };
    let port = socket.local_addr().unwrap().port();
    let answer = thread::spawn(move || socket.recv_from(&mut [0; 2000]).unwrap().0);
    let lines = impatient(&device("a", port, ""));
    for server in ["::1", "[::1]"] {
        let told = tick(&mut worker(&lines.replace("127.0.0.1", server)));
        let silent = format!("a: [::1]:{port}: no answer within 0.2 s");
        let gone = format!("a: [::1]:{port}: nobody listens there");
        assert!(told.faults[0].starts_with(&silent) || told.faults[0].starts_with(&gone), "{:?}", told.faults);
    }
    assert!(answer.join().unwrap() > 20);
}

#[test]
fn wrong_devices_are_reported_in_all_files() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("conf/snmp")).unwrap();
    std::os::unix::fs::symlink("../x", home.path("checks_enabled/check_snmp.ini")).unwrap();
    let says = || {
        let said = home.puypuy(&["check-config"]);
        (said.code, said.out + &said.err)
    };
    let (code, words) = says();
    assert!(
        code != 0 && words.contains("conf/snmp.ini [SNMP]: no device here nor in conf/snmp/*.ini"),
        "{code} {words}"
    );
    std::fs::write(home.path("conf/snmp.ini"), "[a]\nserver: h\n[b]\nserver: h\ncommunity: c\n").unwrap();
    std::fs::write(home.path("conf/snmp/more.ini"), "[c]\ncommunity: c\nx: .1.3.6.1\n[d]\nserver: h\nversion: 9\n")
        .unwrap();
    let (code, words) = says();
    assert_ne!(code, 0);
    for expected in [
        "conf/snmp.ini:1 [a] user_name: missing",
        "conf/snmp/more.ini:1 [c] server: missing",
        "conf/snmp/more.ini:6 [d] version: \"9\": expected 1, 2c or 3",
    ] {
        assert!(words.contains(expected), "{words}");
    }
    assert!(!words.contains("[b]"), "{words}");
}

#[test]
fn a_lost_response_is_requested_again() {
    let asked = AtomicUsize::new(0);
    let agent = Agent::start(move |request| match asked.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => vec![],
        _ => vec![(Duration::ZERO, response(request, 0, 0, &[(UPTIME.to_vec(), int(0x43, 100))]))],
    });
    let told = tick(&mut worker(&impatient(&device("a", agent.port, "").replace("retries: 0", "retries: 2"))));
    assert_eq!((told.number("snmp_uptime_seconds", "a"), told.faults.len()), (Some(1.0), 0), "{:?}", told.faults);
    let ids: Vec<_> = agent.requests().iter().map(|request| request.id).collect();
    assert!(ids.len() == 3 && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn a_response_may_come_from_another_address_of_the_device() {
    let all = objects(&[(&own(&[1]), int(2, 42)), (UPTIME, int(0x43, 100))]);
    let agent = Agent::answering_from(Some("127.0.0.2"), move |request| {
        vec![(Duration::ZERO, honest(request, &all.lock().unwrap()))]
    });
    let mut worker = worker(&device("a", agent.port, "x: .1.3.6.1.4.1.50000.1\nw: .1.3.6.1.4.1.50000.*"));
    for _ in 0..2 {
        let told = tick(&mut worker);
        assert_eq!(
            (told.number("snmp_x", "a"), told.number("snmp_w", "a")),
            (Some(42.0), Some(42.0)),
            "{:?}",
            told.faults
        );
    }
    let engine = Agent::answering_from(Some("127.0.0.2"), |request| {
        let answer = match request.engine.is_empty() {
            true => report(request, 4, ENGINE, 5, 1000),
            false => response(request, 0, 0, &[(UPTIME.to_vec(), int(0x43, 100))]),
        };
        vec![(Duration::ZERO, answer)]
    });
    assert_eq!(tick(&mut self::worker(&plain(engine.port))).number("snmp_uptime_seconds", "a"), Some(1.0));
}

#[test]
fn the_program_reads_a_device_with_many_peculiarities() {
    let all = objects(&[
        (&own(&[1]), tlv(0x42, &[0x80, 0xe8])),
        (&own(&[2]), tlv(0x47, &[5])),
        (&own(&[3]), tlv(4, b"0.15\0")),
        (&own(&[4]), int(2, -5)),
    ]);
    // One object per response, no GETBULK, and another address.
    let agent = Agent::answering_from(Some("127.0.0.2"), move |request| match (request.kind, request.oids.len()) {
        (BULK, _) => vec![(Duration::ZERO, response(request, 5, 0, &[]))],
        (GET, 2..) => vec![(Duration::ZERO, response(request, 1, 0, &[]))],
        _ => vec![(Duration::ZERO, honest(request, &all.lock().unwrap()))],
    });
    let home = Home::new();
    std::fs::create_dir_all(home.path("conf")).unwrap();
    let keys: String = (1..=4).map(|n| format!("k{n}: .1.3.6.1.4.1.50000.{n}\n")).collect();
    std::fs::write(home.path("conf/snmp.ini"), device("a", agent.port, &format!("{keys}w: .1.3.6.1.4.1.50000.*")))
        .unwrap();
    let said = home.puypuy(&["check", "check_snmp", "--samples", "1", "--format", "json"]);
    let points: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers = |name: &str| -> Vec<f64> {
        points.iter().filter(|point| point["name"] == name).filter_map(|point| point["value"].as_f64()).collect()
    };
    let told = ["snmp_k1", "snmp_k2", "snmp_k3", "snmp_k4", "snmp_w"].map(numbers);
    assert_eq!(told.concat(), [33000.0, 5.0, 0.15, -5.0, 33000.0, 5.0, 0.15, -5.0], "{} {}", said.out, said.err);
}

/// An agent that writes numbers without the leading zero must not prevent its response from being matched.
#[test]
fn request_ids_may_lack_the_leading_zero() {
    let mut codec = Codec::new(Access::V2c { community: "public".into() });
    let request = Request { version: 1, community: b"public".to_vec(), ..Request::default() };
    for (id, content) in [(33_000_u32, vec![0x80, 0xe8]), (200, vec![200]), (0x80_0000, vec![0x80, 0, 0])] {
        let pdu = [tlv(2, &content), int(2, 0), int(2, 0), tlv(0x30, &[])].concat();
        let bytes = tlv(0x30, &[int(2, 1), tlv(4, &request.community), tlv(0xa2, &pdu)].concat());
        assert!(matches!(codec.read(id, &bytes), Received::Answer(_)), "{id}");
        assert!(matches!(codec.read(id + 1, &bytes), Received::Stray), "{id}");
    }
}

/// Forty numbers below 1, and sysUpTime.
fn forty() -> Arc<Mutex<Objects>> {
    let mut all: Objects = (1..=40).map(|n| (own(&[1, n]), int(2, n.into()))).collect();
    all.insert(UPTIME.to_vec(), int(0x43, 100));
    Arc::new(Mutex::new(all))
}

/// Ticks of a device with forty objects, read one by one and as a walk; for each tick, its requests.
fn ticks_of_forty(agent: &Agent, count: usize, retries: usize) -> Vec<Vec<Request>> {
    let keys: String = (1..=40).map(|n| format!("k{n}: .1.3.6.1.4.1.50000.1.{n}\n")).collect();
    let lines = impatient(&device("a", agent.port, &format!("{keys}w: .1.3.6.1.4.1.50000.1.*")));
    let mut worker = worker(&lines.replace("retries: 0", &format!("retries: {retries}")));
    (0..count)
        .map(|number| {
            let before = agent.requests().len();
            let told = tick(&mut worker);
            assert_eq!(told.faults, Vec::<String>::new(), "{number}");
            assert!((1..=40).all(|n| told.number(&format!("snmp_k{n}"), "a") == Some(n.into())), "{number}");
            let rows = told.points.iter().filter(|point| point.name == "snmp_w").map(|point| point.value.as_f64());
            assert_eq!(rows.collect::<Vec<_>>(), (1..=40).map(f64::from).collect::<Vec<_>>(), "{number}");
            agent.requests().split_off(before)
        })
        .collect()
}

#[test]
fn a_device_is_queried_for_as_much_as_it_returns() {
    let few: fn(&Request, Vec<u8>) -> Option<Vec<u8>> = |request, answer| {
        let mut all = forty().lock().unwrap().clone();
        all.retain(|oid, _| request.oids.iter().take(3).any(|asked| asked == oid));
        let values: Vec<_> = all.into_iter().collect();
        Some(if request.kind == GET { response(request, 0, 0, &values) } else { answer })
    };
    let too_big: fn(&Request, Vec<u8>) -> Option<Vec<u8>> = |request, answer| {
        let is_big = request.oids.len() > 3 || request.repetitions > 2;
        Some(if is_big { response(request, 1, 0, &[]) } else { answer })
    };
    let silent: fn(&Request, Vec<u8>) -> Option<Vec<u8>> =
        |request, answer| (request.oids.len() <= 3 && request.repetitions <= 2).then_some(answer);
    let wrong_culprit: fn(&Request, Vec<u8>) -> Option<Vec<u8>> = |request, answer| {
        let is_big = request.oids.len() > 3 || request.repetitions > 2;
        Some(if is_big { response(request, 5, 1, &[]) } else { answer })
    };
    for (name, fault, most) in
        [("few", few, 25), ("too big", too_big, 100), ("silent", silent, 45), ("wrong culprit", wrong_culprit, 100)]
    {
        let all = forty();
        let agent = Agent::start(move |request| {
            let answer = fault(request, honest(request, &all.lock().unwrap()));
            answer.into_iter().map(|bytes| (Duration::ZERO, bytes)).collect()
        });
        let requests = ticks_of_forty(&agent, 3, 1);
        // The found limit is remembered.
        assert!(requests[2].len() <= requests[0].len() && requests[2].len() <= most, "{name}: {}", requests[2].len());
        if name == "silent" {
            assert!(requests[2].iter().all(|request| request.oids.len() <= 3 && request.repetitions <= 2));
        }
    }
}

#[test]
fn a_device_without_getbulk_is_walked_by_getnext_and_remembered() {
    for (name, status) in
        [("silence", None), ("a general failure", Some(5)), ("noSuchName", Some(2)), ("an error", Some(13))]
    {
        for retries in [0, 1] {
            let all = forty();
            let agent = Agent::start(move |request| match (request.kind, status) {
                (BULK, None) => vec![],
                (BULK, Some(status)) => vec![(Duration::ZERO, response(request, status, 1, &[]))],
                _ => vec![(Duration::ZERO, honest(request, &all.lock().unwrap()))],
            });
            let bulks = ticks_of_forty(&agent, 2, retries)
                .iter()
                .map(|requests| requests.iter().filter(|request| request.kind == BULK).count())
                .collect::<Vec<_>>();
            assert!((1..=2).contains(&bulks[0]) && bulks[1] == 0, "{name}: {bulks:?}");
        }
    }
}

#[test]
fn a_lost_datagram_does_not_make_requests_smaller_permanently() {
    let (all, count) = (forty(), AtomicUsize::new(0));
    let agent = Agent::start(move |request| {
        let is_lost = request.kind == BULK && count.fetch_add(1, Ordering::SeqCst) == 0;
        if is_lost { vec![] } else { vec![(Duration::ZERO, honest(request, &all.lock().unwrap()))] }
    });
    let requests = ticks_of_forty(&agent, 2, 1);
    assert_eq!(
        requests[1].iter().filter(|request| request.kind == BULK).map(|request| request.repetitions).max(),
        Some(25)
    );
    assert!(requests[1].len() < 6, "{}", requests[1].len());
}

#[test]
fn a_device_that_was_dead_for_a_tick_is_queried_as_before() {
    let (all, dead) = (forty(), Arc::new(AtomicUsize::new(0)));
    let is_dead = dead.clone();
    let agent = Agent::start(move |request| match is_dead.load(Ordering::SeqCst) {
        0 => vec![(Duration::ZERO, honest(request, &all.lock().unwrap()))],
        _ => vec![],
    });
    let keys: String = (1..=40).map(|n| format!("k{n}: .1.3.6.1.4.1.50000.1.{n}\n")).collect();
    let mut worker = worker(&impatient(&device("a", agent.port, &keys)).replace("retries: 0", "retries: 1"));
    let mut asked = |state: usize| {
        dead.store(state, Ordering::SeqCst);
        let before = agent.requests().len();
        tick(&mut worker);
        agent.requests().len() - before
    };
    let whole = asked(0);
    assert_eq!((asked(1), asked(1)), (2, 2));
    assert!(asked(0) > whole);
    assert_eq!(asked(0), whole);
}

const ENGINE: &[u8] = &[0x80, 0, 0x1f, 0x88, 4, 9, 9];

/// A device of version 3 without keys, whose messages a test can write.
fn plain(port: u16) -> String {
    format!(
        "[a]\nserver: 127.0.0.1\nport: {port}\nuser_name: demo\nsecurity_level: noAuthNoPriv\ntimeout: 5\nretries: 1\n"
    )
}

#[test]
fn engines_are_discovered_and_followed() {
    // At each tick another engine, and one whose clock was set back.
    let state = Arc::new(Mutex::new((ENGINE.to_vec(), 5_i64, 1000_i64)));
    let own = state.clone();
    let agent = Agent::start(move |request| {
        let (engine, boots, time) = own.lock().unwrap().clone();
        let known = request.engine == engine;
        let answer = match known {
            false => report(request, 4, &engine, boots, time),
            true => {
                let request = Request { boots, time, ..request.clone() };
                response(&request, 0, 0, &[(UPTIME.to_vec(), int(0x43, 100))])
            }
        };
        vec![(Duration::ZERO, answer)]
    });
    let mut worker = worker(&plain(agent.port));
    for (engine, boots, time, requests) in [
        (ENGINE, 5, 1000, 2),
        (ENGINE, 5, 1010, 1),
        (ENGINE, 6, 3, 1),
        (ENGINE, 6, 1_000_000, 1),
        (ENGINE, 1, 0, 1),
        (&[1, 2, 3, 4, 5], 1, 0, 3),
        (&[1, 2, 3, 4, 5], 1, 0, 1),
    ] {
        *state.lock().unwrap() = (engine.to_vec(), boots, time);
        let before = agent.requests().len();
        let told = tick(&mut worker);
        let what = format!("{engine:?} {boots} {time}: {:?}", told.faults);
        assert_eq!(told.number("snmp_uptime_seconds", "a"), Some(1.0), "{what}");
        assert_eq!(agent.requests().len() - before, requests, "{what}");
    }
    let last = agent.requests().pop().unwrap();
    assert_eq!((last.user.as_slice(), last.engine.as_slice()), (&b"demo"[..], &[1, 2, 3, 4, 5][..]));
}

#[test]
fn reports_become_readable_messages() {
    for (number, words) in [
        (1, "the agent does not take user \"demo\" at this security_level"),
        (2, "the agent's engine id or clock is another in every answer"),
        (3, "the agent knows no user \"demo\""),
        (4, "the agent's engine id or clock is another in every answer"),
        (5, "the agent refuses the signature of user \"demo\": the authentication passphrase or its protocol is wrong"),
        (6, "the agent cannot decrypt what user \"demo\" asks: the privacy passphrase or its protocol is wrong"),
        (77, "the agent sends a report instead of an answer"),
    ] {
        let agent = Agent::start(move |request| {
            let number = if request.engine.is_empty() { 4 } else { number };
            vec![(Duration::ZERO, report(request, number, ENGINE, 5, 1000))]
        });
        let told = tick(&mut worker(&plain(agent.port)));
        assert!(told.faults[0].contains(words), "{number}: {:?}", told.faults);
        assert!(agent.requests().len() < 12, "{number}");
        assert_eq!(told.number("snmp_up", "a"), Some(0.0));
    }
    let silent = Agent::start(|request| match request.engine.is_empty() {
        true => vec![(Duration::ZERO, report(request, 4, ENGINE, 5, 1000))],
        false => vec![],
    });
    let told = tick(&mut worker(&impatient(&plain(silent.port))));
    assert!(told.faults[0].contains("tells its engine id, but gives no answer"), "{:?}", told.faults);
}

#[test]
fn hostile_engines_are_refused() {
    for (engine, boots, time) in
        [(&[][..], 1, 1), (&[7; 100][..], 1, 1), (ENGINE, -1, 1), (ENGINE, 1, i64::MAX), (ENGINE, i64::MIN, 0)]
    {
        let agent = Agent::start(move |request| vec![(Duration::ZERO, report(request, 4, engine, boots, time))]);
        let told = tick(&mut worker(&impatient(&plain(agent.port))));
        assert!(
            told.faults[0].contains("no answer within 0.2 s, but datagrams that are none"),
            "{engine:?} {boots} {time}: {:?}",
            told.faults
        );
    }
}

/// A codec that knows the engine.
fn discovered(user: User) -> Codec {
    let mut codec = Codec::new(Access::V3(user));
    let empty = Request { version: 3, message: 1, user: b"demo".to_vec(), kind: GET, id: 1, ..Request::default() };
    let told = report(&empty, 4, ENGINE, 5, 1000);
    assert!(matches!(codec.undiscovered().unwrap().discover(1, &told), Received::Again));
    codec
}

/// A request of version 3 as a signing user makes it, and a codec that waits for its response.
fn waiting() -> (Codec, Vec<u8>) {
    let security = Security::Encrypted(Digest::Sha256, "passphrase".into(), Cipher::Aes128, "passphrase".into());
    let codec = discovered(User { name: "demo".into(), security });
    let oid = Oid::read("1.3.6.1.2.1.1.3.0").unwrap();
    let request = codec.request(1, puypuy::fetch::snmp::message::Ask::Get(&[oid])).unwrap();
    (codec, request)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn oids_survive_text_and_ber(first in 0_u32..3, second in 0_u32..40, rest in proptest::collection::vec(any::<u32>(), 0..124)) {
        let numbers = [vec![first, second], rest].concat();
        let made = Oid::of(numbers.clone()).unwrap();
        prop_assert_eq!(Oid::read(&made.to_string()), Some(made.clone()));
        prop_assert_eq!(Oid::read(&made.to_string()[1..]), Some(made.clone()));
        prop_assert_eq!(made.to_ber(), oid(&numbers));
        prop_assert_eq!(Oid::from_ber(&made.to_ber()), Some(made.clone()));
        let below = Oid::of([numbers, vec![7, 8]].concat());
        prop_assert_eq!(below.and_then(|below| below.index(&made)), Some("7.8".to_string()));
    }

    #[test]
    fn encoded_parts_are_decoded_unchanged(tag in 0_u8..31, content in proptest::collection::vec(any::<u8>(), 0..400), number: i64) {
        let (mut written, foreign) = (ber::part(tag, &content), tlv(tag, &content));
        prop_assert_eq!(Reader(&written).part(), Some((tag, content.as_slice())));
        prop_assert_eq!(Reader(&foreign).part(), Some((tag, content.as_slice())));
        written.pop();
        prop_assert_eq!(Reader(&written).part(), None);
        prop_assert_eq!(Reader(&int(2, number)).number(), Some(number));
    }

    #[test]
    fn numbers_of_any_encoding_are_read(number: i64, spare in 0_usize..5) {
        // Two's complement, in every possible length.
        let bytes = number.to_be_bytes();
        let shortest = (1..=8).find(|length| {
            let kept = &bytes[8 - length..];
            kept.iter().fold(i64::from(kept[0] as i8) >> 7, |sum, byte| sum << 8 | i64::from(*byte)) == number
        });
        for length in shortest.unwrap()..=8 {
            prop_assert_eq!(ber::signed(&bytes[8 - length..]), Some(number));
        }
        let sign = if number < 0 { 0xff } else { 0 };
        prop_assert_eq!(ber::signed(&[&vec![sign; spare][..], &bytes].concat()), Some(number));
        // Unsigned: with or without leading zeros, and with a wrong sign bit.
        let number = number as u64;
        let least = number.to_be_bytes().iter().position(|byte| *byte != 0).unwrap_or(7);
        for zeros in 0..8 + spare {
            let written = [&vec![0; zeros][..], &bytes[least..]].concat();
            prop_assert_eq!(ber::unsigned(&written, 64), Some(number));
            let short = (number <= u64::from(u32::MAX)).then_some(number);
            prop_assert_eq!(ber::unsigned(&written, 32), short);
        }
        if number > i64::MAX as u64 {
            prop_assert_eq!(ber::unsigned(&[&vec![0xff; spare][..], &bytes].concat(), 64), Some(number));
            prop_assert_eq!(ber::signed(&[&[0], &bytes[..]].concat()), None);
        }
        prop_assert_eq!(ber::unsigned(&[&[1], &bytes[..]].concat(), 64), None);
        prop_assert_eq!(ber::signed(&[]).map(|_| ()).or(ber::unsigned(&[], 64).map(|_| ())), None);
    }

    #[test]
    fn our_numbers_have_the_shortest_encoding(number: u32) {
        prop_assert_eq!(ber::integer(number), int(2, number.into()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text: String) {
        Oid::from_ber(&bytes);
        Oid::read(&text);
        let mut reader = Reader(&bytes);
        while reader.part().is_some() {}
        let mut codec = Codec::new(Access::V2c { community: "public".into() });
        prop_assert!(matches!(codec.read(1, &bytes), Received::Stray));
    }

    #[test]
    fn a_damaged_response_is_ignored_or_a_valid_response(at in 0_usize..200, byte: u8, cut in 0_usize..200) {
        let request = Request { version: 1, community: b"public".to_vec(), kind: GET, id: 1, ..Request::default() };
        let values = [(own(&[1]), int(0x41, 7)), (own(&[2]), count64(u64::MAX)), (own(&[3]), text("0.15")), (own(&[4]), tlv(0x82, &[]))];
        let mut good = response(&request, 0, 0, &values);
        if let Some(place) = good.get_mut(at) {
            *place = byte;
        }
        good.truncate(good.len().saturating_sub(cut.saturating_sub(100)));
        let mut codec = Codec::new(Access::V2c { community: "public".into() });
        prop_assert!(matches!(codec.read(1, &good), Received::Stray | Received::Answer(_)));
    }
}

#[test]
fn a_changed_signed_message_is_ignored() {
    let (mut codec, request) = waiting();
    for at in 0..request.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = request.clone();
            changed[at] ^= change;
            assert!(!matches!(codec.read(1, &changed), Received::Answer(_)), "{at} {change}");
        }
    }
    for length in 0..request.len() {
        assert!(matches!(codec.read(1, &request[..length]), Received::Stray), "{length}");
    }
    // A response without a signature.
    let request = Request {
        version: 3,
        message: 1,
        engine: ENGINE.to_vec(),
        boots: 5,
        time: 1000,
        user: b"demo".to_vec(),
        kind: GET,
        id: 1,
        ..Request::default()
    };
    let forged = response(&request, 0, 0, &[(UPTIME.to_vec(), int(0x43, 666))]);
    assert!(matches!(codec.read(1, &forged), Received::Stray));
}

/// Messages signed and encrypted by snmp2 0.5.3 for the user and the engine below: digest, cipher, and bytes in hex.
const FOREIGN: &str = include_str!("snmp.messages.txt");

#[test]
fn messages_of_another_implementation_are_understood() {
    assert_eq!(FOREIGN.lines().count(), 6 * 7);
    for line in FOREIGN.lines() {
        let [digest, cipher, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let user = |signing: &str, privacy: &str| {
            let digest = match digest {
                "MD5" => Digest::Md5,
                "SHA" => Digest::Sha1,
                "SHA-224" => Digest::Sha224,
                "SHA-256" => Digest::Sha256,
                "SHA-384" => Digest::Sha384,
                _ => Digest::Sha512,
            };
            let encrypted = |cipher| Security::Encrypted(digest, signing.into(), cipher, privacy.into());
            let security = match cipher {
                "none" => Security::Signed(digest, signing.into()),
                "DES" => encrypted(Cipher::Des),
                "AES" => encrypted(Cipher::Aes128),
                "AES-192" => encrypted(Cipher::Aes192),
                "AES-256" => encrypted(Cipher::Aes256),
                "AES-192-C" => encrypted(Cipher::Aes192Reeder),
                _ => encrypted(Cipher::Aes256Reeder),
            };
            discovered(User { name: "demo".into(), security })
        };
        let mut codec = user("signing passphrase", "privacy passphrase");
        let Received::Answer(answer) = codec.read(1, &bytes) else { panic!("{digest} {cipher}") };
        assert_eq!(answer.values, [(Oid::of(UPTIME.to_vec()).unwrap(), Read::Level(12345.0))], "{digest} {cipher}");
        assert!(matches!(codec.read(2, &bytes), Received::Stray));
        let (signing, privacy) = match cipher {
            "none" => ("another passphrase", ""),
            "AES" => ("signing passphrase", "another passphrase"),
            _ => continue,
        };
        assert!(matches!(user(signing, privacy).read(1, &bytes), Received::Stray), "{digest} {cipher}");
    }
}
