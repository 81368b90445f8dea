//! `/api/status` and the check metrics of `/metrics` with the real daemon: checks, scripts and modules that work, fail,
//! hang, cannot run, are added and removed, and a sink that fails and recovers.

use super::{configured, free_port, get};
use crate::support::pages::{Page, Pages};
use crate::support::server::Server;
use crate::support::{Home, is_installed, wait_for};
use puypuy::status::About;
use puypuy::status::Now;
use puypuy::status::overview::Overview;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WELL: &str = "#!/bin/sh\necho well 1 x stack\n";

/// A daemon with a web server that sends to an InfluxDB.
struct Watched {
    home: Home,
    server: Server,
    address: SocketAddr,
}

impl Watched {
    fn new() -> Watched {
        let (home, server, port) = (Home::new(), Server::always(204), free_port());
        for folder in ["conf", "scripts_enabled"] {
            fs::create_dir(home.path(folder)).unwrap();
        }
        let influx = format!("tsdtype = InfluxDB\naddress = {}\ndatabase = d\n", server.url());
        configured(&home, port, &influx, "webserver = yes\n");
        Watched { home, server, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn script(&self, name: &str, text: &str) {
        let unfinished = self.home.path("unfinished");
        fs::write(&unfinished, text).unwrap();
        fs::set_permissions(&unfinished, Permissions::from_mode(0o755)).unwrap();
        fs::rename(unfinished, self.home.path("scripts_enabled").join(name)).unwrap();
    }

    fn enable(&self, names: &[&str]) {
        names.iter().for_each(|name| symlink("x", self.home.path("checks_enabled").join(name)).unwrap());
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.home.path(file), text).unwrap();
    }

    fn status(&self) -> Value {
        let (head, body) = get(self.address, "/api/status", "");
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("content-type: application/json"), "{head}");
        serde_json::from_slice(&body).unwrap()
    }

    /// The current status of this check; null if there is none.
    fn check(&self, name: &str) -> Value {
        let status = self.status();
        status["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned().unwrap_or_default()
    }

    /// Waits until the check has this state, and returns its status.
    fn wait_for(&self, name: &str, state: &str) -> Value {
        let mut check = Value::Null;
        wait_for(&format!("{name} to be {state}\n{}", self.home.log()), || {
            check = self.check(name);
            check["state"] == state
        });
        check
    }

    fn metrics(&self) -> String {
        String::from_utf8(get(self.address, "/metrics", "").1).unwrap()
    }
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn charts_of_enabled_checks_and_figures_of_the_store_are_returned() {
    let (home, port) = (Home::new(), free_port());
    symlink("x", home.path("checks_enabled/check_memory.ini")).unwrap();
    configured(&home, port, "tsdtype = Local\nfile = store.db\n", "");
    home.start();
    let status = || -> Value {
        serde_json::from_slice(&get(SocketAddr::from(([127, 0, 0, 1], port)), "/api/status", "").1).unwrap()
    };
    wait_for("figures of the store", || status()["store"]["series"].as_i64() > Some(10));
    let status = status();
    assert!(status["store"]["bytes"].as_i64() > Some(1000) && status["store"]["oldest"].is_i64(), "{status}");
    let charts = status["charts"].as_array().unwrap();
    assert!(charts.iter().all(|chart| chart["check"] == "check_memory"), "{status}");
    let tile = charts.iter().find(|chart| chart["tile"] == "memory").unwrap();
    assert_eq!((&tile["first"], &tile["unit"], &tile["full"]), (&json!(true), &json!("%"), &json!(100.0)));
}

#[test]
fn each_check_is_shown_with_its_state_until_it_is_disabled() {
    let watched = Watched::new();
    watched.enable(&["check_memory.ini", "check_load_average.ini", "check_nothing.ini"]);
    watched.script("check_well.sh", WELL);
    watched.script("check_fails.sh", "#!/bin/sh\necho no route to anywhere >&2\nexit 3\n");
    watched.script("check_parts.sh", "#!/bin/sh\necho well 1 x stack\necho not a line\n");
    watched.script("check_hangs.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.2; done\n");
    watched.script("check_stranger.sh", WELL);
    watched.write("conf/scripts.ini", "[scripts]\nformat = lines\n[check_stranger.sh]\nrun_user = no-such-user\n");
    watched.write(
        "conf/system.ini",
        "[Load Average]\ncheck_period_seconds = soon\n[Memory Stats]\ncheck_period_seconds = 0.5\n",
    );
    let begun = unix_now();
    watched.home.start();

    let memory = watched.wait_for("check_memory", "ok");
    assert_eq!((&memory["kind"], &memory["why"], &memory["missed"]), (&json!("check"), &Value::Null, &json!(0)));
    assert!(memory["points"].as_u64() > Some(3) && memory["faults"] == 0 && memory["period"] == 0.5, "{memory}");
    let lately = begun..=unix_now() + 1;
    for time in ["since", "last"] {
        assert!(memory[time].as_i64().is_some_and(|time| lately.contains(&time)), "{memory}");
    }
    assert!(memory["ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 10_000.0), "{memory}");
    let well = watched.wait_for("check_well.sh", "ok");
    assert_eq!((&well["kind"], &well["points"], &well["period"]), (&json!("script"), &json!(1), &json!(1.0)));

    let fails = watched.wait_for("check_fails.sh", "fault");
    assert!(fails["why"].as_str().unwrap().starts_with("exited with code 3; "), "{fails}");
    assert!(fails["why"].as_str().unwrap().contains("no route to anywhere"), "{fails}");
    assert_eq!((&fails["points"], &fails["faults"]), (&json!(0), &json!(2)), "{fails}");
    let parts = watched.wait_for("check_parts.sh", "fault");
    assert!(parts["why"].as_str().unwrap().contains("not a line"), "{parts}");
    assert_eq!((&parts["points"], &parts["faults"]), (&json!(1), &json!(1)), "{parts}");

    let stranger = watched.wait_for("check_stranger.sh", "off");
    assert!(stranger["why"].as_str().unwrap().contains("no-such-user"), "{stranger}");
    assert_eq!((&stranger["ms"], &stranger["points"], &stranger["last"]), (&Value::Null, &Value::Null, &Value::Null));
    let load = watched.wait_for("check_load_average", "off");
    assert!(load["why"].as_str().unwrap().starts_with("conf/system.ini:2 [Load Average]"), "{load}");
    let nothing = watched.wait_for("check_nothing", "off");
    assert!(nothing["why"].as_str().unwrap().starts_with("no check of that name"), "{nothing}");

    let hangs = watched.wait_for("check_hangs.sh", "late");
    assert!(hangs["missed"].as_u64() >= Some(1), "{hangs}");
    assert_eq!(hangs["why"], "has not come back after 1 s");

    // Checks with problems come first.
    let status = watched.status();
    let states: Vec<_> =
        status["checks"].as_array().unwrap().iter().map(|check| check["state"].as_str().unwrap()).collect();
    let first_ok = states.iter().position(|state| *state == "ok").unwrap();
    assert!(states[first_ok..].iter().all(|state| *state == "ok"), "{states:?}");

    let page = watched.metrics();
    for line in [
        "# TYPE puypuy_check_up gauge",
        "puypuy_check_up{check=\"check_memory\"} 1",
        "puypuy_check_up{check=\"check_parts.sh\"} 1",
        "puypuy_check_up{check=\"check_fails.sh\"} 0",
        "puypuy_check_up{check=\"check_hangs.sh\"} 0",
        "puypuy_check_up{check=\"check_stranger.sh\"} 0",
        "puypuy_check_points{check=\"check_well.sh\"} 1",
        "puypuy_check_missed_total{check=\"check_well.sh\"} 0",
        "puypuy_check_faults_total{check=\"check_memory\"} 0",
        "# TYPE puypuy_check_faults_total counter",
    ] {
        assert!(page.lines().any(|told| told == line), "{line} is not in\n{page}");
    }
    assert!(page.contains("\npuypuy_check_duration_seconds{check=\"check_memory\"} 0."), "{page}");
    assert!(!page.contains("puypuy_check_points{check=\"check_stranger.sh\"}"), "{page}");

    // Fixed, added and removed checks are visible.
    watched.write("conf/system.ini", "[Memory Stats]\ncheck_period_seconds = never\n");
    watched.script("check_later.sh", WELL);
    watched.wait_for("check_later.sh", "ok");
    watched.wait_for("check_load_average", "ok");
    let memory = watched.wait_for("check_memory", "fault");
    let why = memory["why"].as_str().unwrap();
    assert!(why.starts_with("conf/system.ini:2 [Memory Stats]") && why.ends_with("; it goes on as before"), "{memory}");
    watched.write("conf/system.ini", "");
    watched.wait_for("check_memory", "ok");
    for file in
        ["scripts_enabled/check_later.sh", "scripts_enabled/check_stranger.sh", "checks_enabled/check_memory.ini"]
    {
        fs::remove_file(watched.home.path(file)).unwrap();
    }
    let gone = ["check_later.sh", "check_stranger.sh", "check_memory"];
    wait_for("them to be gone", || gone.iter().all(|name| watched.check(name).is_null()));
    assert!(!watched.metrics().contains("check_stranger.sh"));
    assert_eq!(watched.check("check_well.sh")["state"], "ok");
}

#[test]
fn each_additional_server_of_a_check_is_shown_separately() {
    let watched = Watched::new();
    let page = |path: &str| match path {
        "/well" => Page::body(
            "Active connections: 1 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: 0 \n",
        ),
        _ => Page::Status(503, String::new()),
    };
    let pages = Pages::on_port(page);
    let section = |name: &str, path: &str| format!("[{name}]\naddress: {}\nstats: {path}\n", pages.address());
    let sections = [section("NginX", "/well"), section("NginX:shop", "/well"), section("NginX:the api", "/ill")];
    watched.write("conf/webservers.ini", &sections.concat());
    watched.enable(&["check_nginx.ini"]);
    watched.home.start();
    let shop = watched.wait_for("check_nginx:shop", "ok");
    assert!(shop["points"].as_u64() > Some(0) && shop["ms"].is_f64() && shop["kind"] == "check", "{shop}");
    let api = watched.wait_for("check_nginx:the api", "fault");
    assert!(api["why"].as_str().unwrap().contains("503") && api["points"] == 0, "{api}");
    let whole = watched.check("check_nginx");
    assert!(whole["state"] == "fault" && whole["why"].as_str().unwrap().starts_with("the api: "), "{whole}");
    let page = watched.metrics();
    for line in [
        "puypuy_check_up{check=\"check_nginx\"} 1",
        "puypuy_check_up{check=\"check_nginx\",server=\"shop\"} 1",
        "puypuy_check_up{check=\"check_nginx\",server=\"the api\"} 0",
    ] {
        assert!(page.lines().any(|told| told == line), "{line} is not in\n{page}");
    }
    // A disabled check takes its servers with it.
    fs::remove_file(watched.home.path("checks_enabled/check_nginx.ini")).unwrap();
    wait_for("all of them to be gone", || watched.status()["checks"] == json!([]));
}

#[test]
fn a_python_module_is_shown_as_such() {
    if !is_installed("python3") {
        return crate::support::skip("no python3");
    }
    let watched = Watched::new();
    watched.write("checks_enabled/check_own.py", "def runcheck():\n    raise ValueError('nothing to see')\n");
    watched.home.start();
    let own = watched.wait_for("check_own.py", "fault");
    assert!(own["kind"] == "module" && own["why"].as_str().unwrap().contains("nothing to see"), "{own}");
}

#[test]
fn a_sink_that_is_away_is_shown_with_its_backlog() {
    let mut watched = Watched::new();
    watched.script("check_well.sh", WELL);
    watched.home.start();
    let until = |what: &str, is_so: &dyn Fn(&Value) -> bool, watched: &Watched| {
        let mut status = Value::Null;
        wait_for(what, || {
            status = watched.status();
            is_so(&status)
        });
        status
    };
    let status = until("delivered points", &|status| status["sink"]["last"].is_i64(), &watched);
    let sink = &status["sink"];
    assert_eq!(
        (&sink["type"], &sink["up"], &sink["why"], &sink["backoff"]),
        (&json!("InfluxDB"), &json!(true), &Value::Null, &Value::Null)
    );
    assert!(sink["since"].as_i64() <= sink["last"].as_i64(), "{status}");
    assert_eq!((&status["store"], &status["period"], &status["charts"]), (&Value::Null, &json!(1.0), &json!([])));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["started"].as_i64() <= status["now"].as_i64() && !status["zone"].as_str().unwrap().is_empty());

    watched.server.down();
    let is_away = |status: &Value| status["sink"]["up"] == false && status["spool"]["batches"].as_u64() > Some(0);
    let away = until("the sink to be away", &is_away, &watched);
    let now = away["now"].as_i64();
    assert!(away["sink"]["why"].as_str().is_some_and(|why| why.contains("refused")), "{away}");
    assert!(away["sink"]["backoff"].as_f64().is_some_and(|wait| wait <= 300.0), "{away}");
    assert!(
        away["sink"]["since"].as_i64() >= sink["since"].as_i64() && away["sink"]["since"].as_i64() <= now,
        "{away}"
    );
    let spool = &away["spool"];
    assert!(spool["bytes"].as_u64() > Some(0) && spool["oldest"].is_i64() && spool["oldest"].as_i64() <= now, "{away}");
    assert!(watched.metrics().contains("\npuypuy_sink_up 0\n"));
    assert!(watched.metrics().contains("\npuypuy_spool_oldest_timestamp_seconds "));

    // Points that an earlier daemon left are known, too.
    assert_eq!(watched.home.puypuy(&["stop"]).code, 0);
    assert!(watched.home.command(&["start"]).env("TZ", "HERE-5:30").output().unwrap().status.success());
    let again = until("the sink to be away again", &is_away, &watched);
    assert_eq!((&again["spool"]["oldest"], &again["zone"]), (&spool["oldest"], &json!("UTC+5:30")), "{again}");

    watched.server.up();
    let is_back = |status: &Value| status["sink"]["up"] == true && status["spool"]["batches"] == 0;
    let back = until("the sink to be back", &is_back, &watched);
    assert_eq!((&back["sink"]["why"], &back["spool"]["oldest"]), (&Value::Null, &Value::Null));
    assert!(back["points"]["delivered"].as_u64() > Some(0) && back["points"]["dropped"] == 0, "{back}");
}

#[test]
fn the_response_has_the_documented_members() {
    let (period, file) = (Duration::from_secs(10), "config.ini".into());
    let about =
        About { host: "web1".into(), started: 100, period, sink: "Local", file, tells_itself: false, newer: None };
    let at = puypuy::delivery::Moment { at: Instant::now(), wall: 200 };
    let delivery = puypuy::delivery::status::Status {
        next_attempt: Some(at.at + Duration::from_millis(1500)),
        why: Some("is away".into()),
        is_up: true,
        since: 190,
        ..Default::default()
    };
    let (age, lateness) = (Duration::from_millis(1250), Duration::from_millis(3));
    let now = Now { at, delivery, checks: Vec::new(), age, lateness, silence: None, usage: None };
    let told = serde_json::Value::Object(Overview { about: &about, zone: "UTC+2", now }.json());
    let expected = json!({
        "now": 200, "host": "web1", "version": env!("CARGO_PKG_VERSION"), "started": 100, "zone": "UTC+2", "period": 10.0,
        "wrong": [], "pid": std::process::id(), "tick": {"age": 1.25, "late": 0.003}, "process": null,
        "sink": {"type": "Local", "up": true, "since": 190, "backoff": 1.5, "last": null, "why": "is away"},
        "spool": {"batches": 0, "bytes": 0, "oldest": null, "memory": 0, "set_aside": 0},
        "points": {"collected": 0, "delivered": 0, "dropped": 0, "refused": 0},
        "events": [], "checks": [],
    });
    assert_eq!(told, expected);
}
