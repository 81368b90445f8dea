//! check_snmp and net-snmp's agent: every version, digest and cipher, mistakes reported in a message, and an agent that
//! is restarted in between.

use crate::server::{Program, program, wait};
use puypuy::check::{Context, DEFAULT_MAX_SERIES, Out, World};
use puypuy::checks;
use puypuy::fetch::program::Programs;
use puypuy::model::point::{Identity, Point, Tick};
use puypuy::model::roots::Roots;
use puypuy::scheduler::families;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DIGESTS: [&str; 6] = ["MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"];
const CIPHERS: [&str; 6] = ["DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C"];

/// Numbers that do not change while the test runs.
const TOTAL: &str = ".1.3.6.1.4.1.2021.4.5.0";
const TYPES: &str = ".1.3.6.1.2.1.2.2.1.3";
const IN: &str = ".1.3.6.1.2.1.31.1.1.1.6";

/// snmpd, its configuration and its state.
struct Snmpd {
    folder: TempDir,
    port: u16,
    running: Option<Program>,
}

impl Snmpd {
    fn new() -> Result<Snmpd, String> {
        program("snmpd", "snmpd snmp")?;
        program("snmpget", "snmp")?;
        let folder = TempDir::new().unwrap();
        let mut text = "rocommunity public 127.0.0.1\nview all included .1\n".to_string();
        for (user, digest, cipher) in users() {
            text += &format!(
                "createUser {user} {digest} \"signs {user}\" {cipher} \"hides {user}\"\nrouser {user} authPriv\n"
            );
        }
        text += "createUser signed SHA-256 \"signs signed\"\nrouser signed authNoPriv\ncreateUser plain\nrouser plain noauth\n";
        fs::write(folder.path().join("snmpd.conf"), text).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut snmpd = Snmpd { folder, port, running: None };
        snmpd.start();
        Ok(snmpd)
    }

    fn start(&mut self) {
        let inside = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(program("snmpd", "snmpd").unwrap());
        command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", inside("persist")).args(["-f", "-Lo", "-C", "-c"]);
        command.arg(inside("snmpd.conf")).arg(format!("udp:127.0.0.1:{}", self.port));
        self.running = Some(Program::start(&mut command, &inside("log")));
        wait("snmpd", Duration::from_secs(30), || self.tool("snmpget", &[TOTAL]).is_some());
    }

    fn stop(&mut self) {
        self.running.take().unwrap().end();
    }

    /// Values as shown by a tool of net-snmp, by community.
    fn tool(&self, name: &str, oids: &[&str]) -> Option<Vec<String>> {
        let mut command = Command::new(program(name, "snmp").ok()?);
        command.env("MIBS", "").args(["-v2c", "-c", "public", "-r0", "-t1", "-On", "-Oq", "-Oe", "-Ot"]);
        let told = command.arg(format!("127.0.0.1:{}", self.port)).args(oids).output().unwrap();
        let text = String::from_utf8(told.stdout).unwrap();
        told.status.success().then(|| text.lines().map(String::from).collect())
    }

    fn number(&self, oid: &str) -> f64 {
        let lines = self.tool("snmpget", &[oid]).unwrap();
        lines[0].split_once(' ').unwrap().1.trim_matches('"').parse().unwrap()
    }
}

fn users() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let all = DIGESTS.into_iter().flat_map(|digest| CIPHERS.into_iter().map(move |cipher| (digest, cipher)));
    all.map(|(digest, cipher)| (format!("{digest}{cipher}").replace('-', ""), digest, cipher))
}

/// The check with its own home, and its whole output.
struct Runner {
    _home: TempDir,
    check: Box<dyn puypuy::check::Check>,
    out: Out,
    world: World,
}

impl Runner {
    fn new(port: u16, devices: &str) -> Runner {
        let home = TempDir::new().unwrap();
        fs::create_dir_all(home.path().join("conf/snmp")).unwrap();
        fs::write(home.path().join("conf/snmp/all.ini"), devices.replace("PORT", &port.to_string())).unwrap();
        let spec = checks::find("check_snmp").unwrap();
        let check = (spec.build)(&families::section_for(home.path(), spec).unwrap()).unwrap();
        let none = String::new;
        let identity = Identity { host: "h".into(), cluster: none(), group: none(), location: none() };
        let programs = Arc::new(Programs::new(home.path().into(), identity));
        let out = Out::new("snmp", DEFAULT_MAX_SERIES, tick());
        Runner { _home: home, check, out, world: World { roots: Roots::default(), programs } }
    }

    fn tick(&mut self) -> (Vec<Point>, Vec<String>) {
        let tick = tick();
        self.out.begin(tick);
        let context: Context = self.world.at(tick);
        self.check.run(&context, &mut self.out).unwrap();
        let (batch, faults) = self.out.finish();
        (batch.points, faults.iter().map(ToString::to_string).collect())
    }
}

fn tick() -> Tick {
    let at = Instant::now();
    let period = Duration::from_secs(20);
    Tick { wall: 1_800_000_000, at, deadline: at + period, period }
}

/// The value of this metric with these tags, including index.
fn number(points: &[Point], metric: &str, tags: &[&str]) -> Option<f64> {
    let is_it =
        |point: &&Point| point.name == metric && point.tags.iter().map(|(_, value)| value).eq(tags.iter().copied());
    points.iter().find(is_it).map(|point| point.value.as_f64())
}

fn device(name: &str, user: &str, lines: &str) -> String {
    format!(
        "[{name}]\nserver: 127.0.0.1\nport: PORT\nuser_name: {user}\nuser_pass: signs {user}\nprivacy_pass: hides {user}\n\
         oid_total: {TOTAL}\noid_type: {TYPES}.*\n{lines}\n"
    )
}

pub fn every_kind() -> Result<(), String> {
    let snmpd = Snmpd::new()?;
    let mut devices: String = users()
        .map(|(user, digest, cipher)| {
            device(&user, &user, &format!("auth_protocol: {digest}\nprivacy_protocol: {cipher}"))
        })
        .collect();
    devices += &device("signed", "signed", "auth_protocol: SHA-256\nsecurity_level: authNoPriv");
    devices += &device("plain", "plain", "security_level: noAuthNoPriv").replace("127.0.0.1", "localhost");
    let by_community = format!("server: 127.0.0.1\nport: PORT\nauth: False\ntotal: {TOTAL}\ntype: {TYPES}.*\n");
    devices += &format!(
        "[v2c]\n{by_community}load: .1.3.6.1.4.1.2021.10.1.3.1\nfloat: .1.3.6.1.4.1.2021.10.1.6.1\nin: {IN}.1\n"
    );
    devices += &format!("[v1]\nversion: 1\n{by_community}none: .1.3.6.1.4.1.9999.1.0\n");
    let mut runner = Runner::new(snmpd.port, &devices);
    let total = snmpd.number(TOTAL);
    let types = snmpd.tool("snmpwalk", &[TYPES]).unwrap();
    for _ in 0..2 {
        let (points, faults) = runner.tick();
        assert_eq!(faults, ["v1: none: no number at .1.3.6.1.4.1.9999.1.0: no such object"]);
        let mut names: Vec<String> = users().map(|(user, _, _)| user).collect();
        names.extend(["signed", "plain", "v2c", "v1"].map(String::from));
        for name in &names {
            assert_eq!(number(&points, "snmp_up", &[name]), Some(1.0), "{name}");
            assert_eq!(number(&points, "snmp_total", &[name]), Some(total), "{name}");
            for line in &types {
                let (oid, value) = line.split_once(' ').unwrap();
                let index = oid.rsplit('.').next().unwrap();
                assert_eq!(number(&points, "snmp_type", &[name, index]), value.parse().ok(), "{name} {index}");
            }
        }
        let rows = points.iter().filter(|point| point.name == "snmp_type").count();
        assert_eq!(rows, names.len() * types.len());
        let (load, float) =
            (number(&points, "snmp_load", &["v2c"]).unwrap(), number(&points, "snmp_float", &["v2c"]).unwrap());
        assert!(load > 0.0 && (load - float).abs() < 0.01, "{load} {float}");
        let bytes = number(&points, "snmp_in", &["v2c"]).unwrap();
        assert!(bytes > 0.0 && bytes <= snmpd.number(&format!("{IN}.1")), "{bytes}");
    }
    Ok(())
}

pub fn what_is_wrong() -> Result<(), String> {
    let snmpd = Snmpd::new()?;
    let quick = "timeout: 1\nauth_protocol: SHA-256\nprivacy_protocol: AES";
    let good = device("good", "SHA256AES", quick);
    let unused = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Listens, and never responds.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|address| (silent, address.port())).unwrap();
    let named = |name: &str| good.replace("[good]", &format!("[{name}]"));
    let plain = "server: 127.0.0.1\nport: PORT\ntimeout: 1\nversion: 2c\n";
    let devices = [
        good.clone(),
        named("passphrase").replace("signs", "never"),
        named("digest").replace("SHA-256", "SHA-512"),
        named("privacy").replace("hides", "never"),
        named("cipher").replace("privacy_protocol: AES", "privacy_protocol: AES-256"),
        named("user").replace("user_name: SHA256AES", "user_name: nobody"),
        named("level") + "security_level: authNoPriv\n",
        named("nobody").replace("PORT", &unused.to_string()),
        named("silent").replace("PORT", &silent.1.to_string()),
        format!("[community]\n{plain}community: never said\n"),
    ];
    let mut runner = Runner::new(snmpd.port, &devices.concat());
    for _ in 0..2 {
        let (points, faults) = runner.tick();
        assert!(number(&points, "snmp_total", &["good"]).is_some());
        assert!(number(&points, "snmp_response_seconds", &["good"]).unwrap() < 1.0);
        for (name, words) in [
            (
                "passphrase",
                "refuses the signature of user \"SHA256AES\": the authentication passphrase or its protocol is wrong",
            ),
            ("digest", "refuses the signature of user \"SHA256AES\""),
            ("privacy", "tells its engine id, but gives no answer within 1.0 s to what this user asks; with authPriv"),
            ("cipher", "most often a wrong privacy passphrase or protocol"),
            ("user", "the agent knows no user \"nobody\""),
            ("level", "does not let this user see what is asked for; its security_level may be too low"),
            ("nobody", "nobody listens there"),
            ("silent", "no answer within 1.0 s; is the agent running, does it speak SNMPv3"),
            ("community", "no answer within 1.0 s; is the agent running, are server, port and community right"),
        ] {
            let told: Vec<_> =
                faults.iter().filter(|fault| fault.starts_with(&format!("{name}: 127.0.0.1:"))).collect();
            assert!(told.len() == 1 && told[0].contains(words), "{name}: {told:?}");
            assert!(["signs", "hides", "never"].iter().all(|secret| !told[0].contains(secret)), "{told:?}");
            let up = if name == "level" { 1.0 } else { 0.0 };
            assert_eq!(number(&points, "snmp_up", &[name]), Some(up), "{name}");
        }
        assert_eq!(faults.len(), devices.len() - 1, "{faults:#?}");
    }
    Ok(())
}

pub fn restarted() -> Result<(), String> {
    let mut snmpd = Snmpd::new()?;
    let lines = |digest: &str, level: &str| {
        format!("rate: True\noid_in: {IN}.1\nauth_protocol: {digest}\nprivacy_protocol: AES\n{level}")
    };
    let devices = device("private", "SHAAES", &lines("SHA", ""))
        + &device("signed", "signed", &lines("SHA-256", "security_level: authNoPriv"))
        + &device("plain", "plain", "security_level: noAuthNoPriv")
        + &format!("[v2c]\nserver: 127.0.0.1\nport: PORT\nversion: 2c\ntotal: {TOTAL}\n");
    let names = ["private", "signed", "plain", "v2c"];
    let mut runner = Runner::new(snmpd.port, &devices);
    let all_answer = |runner: &mut Runner, what: &str| {
        let (points, faults) = runner.tick();
        assert!(faults.is_empty(), "{what}: {faults:?}");
        assert!(names.iter().all(|name| number(&points, "snmp_total", &[name]).is_some()), "{what}");
        points
    };
    all_answer(&mut runner, "at first");
    wait("a rate", Duration::from_secs(20), || {
        let points = all_answer(&mut runner, "known");
        number(&points, "snmp_in_rate", &["private"]).is_some_and(|rate| rate >= 0.0)
    });
    // Between two ticks: the boot counter of its engine has increased.
    snmpd.stop();
    snmpd.start();
    let points = all_answer(&mut runner, "after a restart");
    assert_eq!(number(&points, "snmp_in_rate", &["private"]), None, "its sysUpTime went back");
    // During a tick.
    snmpd.stop();
    let (points, faults) = runner.tick();
    assert!(faults.len() == 4 && faults.iter().all(|fault| fault.contains("nobody listens there")), "{faults:?}");
    assert!(names.iter().all(|name| number(&points, "snmp_up", &[name]) == Some(0.0)));
    snmpd.start();
    all_answer(&mut runner, "after a tick without it");
    // With its state deleted: another engine, with fewer boots.
    snmpd.stop();
    fs::remove_dir_all(snmpd.folder.path().join("persist")).unwrap();
    snmpd.start();
    all_answer(&mut runner, "as another engine");
    all_answer(&mut runner, "as another engine, known");
    Ok(())
}
