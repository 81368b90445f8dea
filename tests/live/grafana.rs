//! The Grafana dashboards: a daemon with the checks of this host writes into a store, and the queries of each panel
//! find data.

use crate::server::{Program, encoded, http, post};
use puypuy::sys::clock::unix_now;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The name of this host in the store.
const HOST: &str = "web1.example.org";

/// Checks that only need a host, and one with counters and metric patterns, whose server is simulated by [`traefik`].
const CHECKS: &[&str] = &[
    "check_cpustats",
    "check_disks",
    "check_load_average",
    "check_memory",
    "check_network_bytes",
    "check_openfiles",
    "check_pressure",
    "check_tcpconn",
    "check_traefik",
];

/// The patterns, in the notation of the data sources, whose metrics exist here.
const PATTERNS: &[&str] = &["openfiles_.+", "openfiles_*", "_.+_duration_seconds_count", "_*_duration_seconds_count"];

/// Metrics that only exist while something is read or written.
const NOW_AND_THEN: &[&str] = &["drive_read_await", "drive_write_await"];

/// A page whose counters grow with each request; returns its port.
fn traefik() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = format!(
                "process_start_time_seconds 1600000000\nprocess_cpu_seconds_total {count}\n\
                 traefik_config_last_reload_success 1700000000\ntraefik_config_reloads_total {count}\n\
                 traefik_service_requests_total{{code=\"200\",service=\"shop\"}} {count}\n\
                 traefik_entrypoint_request_duration_seconds_count{{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\"}} {count}\n"
            );
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
            let _ = stream.write_all((head + &page).as_bytes());
        }
    });
    port
}

/// A daemon that delivers the points of these checks once a second.
pub struct Daemon {
    home: TempDir,
    _running: Program,
}

impl Daemon {
    /// With these sections after `[SelfConfig]`.
    pub fn start(sections: &str) -> Daemon {
        let home = TempDir::new().unwrap();
        let inside = |name: &str| home.path().join(name);
        ["checks_enabled", "conf"].iter().for_each(|folder| fs::create_dir_all(inside(folder)).unwrap());
        for check in CHECKS {
            std::os::unix::fs::symlink("../x", inside(&format!("checks_enabled/{check}.ini"))).unwrap();
        }
        fs::write(inside("conf/system.ini"), "[Open Files]\nown: puypuy\n").unwrap();
        let metrics = format!("[Traefik]\nmetrics: http://127.0.0.1:{}/metrics\n", traefik());
        fs::write(inside("conf/loadbalancer.ini"), metrics).unwrap();
        let own = "check_period_seconds = 1\ncluster_name = prod\nhost_group = web\nlocation = home\n";
        fs::write(inside("config.ini"), format!("[SelfConfig]\nhostname = {HOST}\n{own}{sections}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
        let running = Program::start(command.arg("--home").arg(home.path()).arg("run"), &inside("output"));
        Daemon { home, _running: running }
    }

    /// The metrics that exist here: not every host has swap, or a link with a speed.
    fn told(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for check in CHECKS {
            let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
            command.arg("--home").arg(self.home.path()).args(["check", check, "--format", "json"]);
            let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
            names.extend(text.lines().filter_map(|line| {
                let point: Value = serde_json::from_str(line).ok()?;
                Some(point["name"].as_str()?.to_string())
            }));
        }
        names.retain(|name| !NOW_AND_THEN.contains(&&**name));
        assert!(names.len() > 60, "{names:?}");
        names
    }
}

/// The queries of the panels of these checks, with the values of the variables.
fn targets(file: &str, told: &BTreeSet<String>) -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dist/grafana/{file}.json"));
    let host = if file == "graphite" { HOST.replace('.', "_") } else { HOST.into() };
    let text = fs::read_to_string(path).unwrap().replace("$host", &host).replace("$__rate_interval", "10s");
    let text = text.replace("$__interval", "1s").replace("$timeFilter", "time > now() - 5m");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let own = |panel: &Value| panel["panels"].as_array().cloned().unwrap_or_default();
    let panels =
        dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| [vec![panel.clone()], own(panel)].concat());
    let mut found = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap().to_string();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target.to_string();
            let words: BTreeSet<&str> = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
            if told.iter().any(|name| words.contains(&**name)) || PATTERNS.iter().any(|part| text.contains(part)) {
                found.push((title.clone(), target.clone()));
            }
        }
    }
    found
}

/// Asserts that each query finds data. `ask` returns how much.
pub fn panels(file: &str, daemon: &Daemon, ask: impl Fn(&Value) -> usize) {
    let told = daemon.told();
    let mut open = targets(file, &told);
    let all = open.len();
    // Without patterns, which not every store supports, this is the minimum that these checks draw.
    assert!(all > 50, "only {all} targets of {file}");
    let end = Instant::now() + Duration::from_secs(180);
    while !open.is_empty() {
        open.retain(|(_, target)| ask(target) == 0);
        assert!(
            open.is_empty() || Instant::now() < end,
            "{} of {all} targets of {file} find nothing, such as {:#?}",
            open.len(),
            open.first()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("live: {all} targets of dist/grafana/{file}.json have data");
}

/// InfluxQL at `/query`.
pub fn influxql(port: u16, target: &Value) -> usize {
    let query = target["query"].as_str().unwrap();
    let (status, body) = http(port, "GET", &format!("/query?db=test&epoch=ms&q={}", encoded(query))).unwrap();
    let answer: Value = serde_json::from_str(&body).unwrap();
    let result = &answer["results"][0];
    assert!(status == 200 && result["error"].is_null(), "{query}: {body}");
    let series = result["series"].as_array().into_iter().flatten();
    series.map(|series| series["values"].as_array().map_or(0, Vec::len)).sum()
}

/// PromQL at `/api/v1/query_range`.
pub fn promql(port: u16, target: &Value) -> usize {
    let (query, now) = (target["expr"].as_str().unwrap(), unix_now());
    let path = format!("/api/v1/query_range?query={}&start={}&end={now}&step=1", encoded(query), now - 60);
    let (status, body) = http(port, "GET", &path).unwrap();
    assert_eq!(status, 200, "{query}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["data"]["result"].as_array().map_or(0, Vec::len)
}

/// A Graphite target at `/render`: how many of its series have a value.
pub fn render(port: u16, target: &Value) -> usize {
    let target = target["target"].as_str().unwrap();
    let path = format!("/render?format=json&from=-60s&target={}", encoded(target));
    let (status, body) = http(port, "GET", &path).unwrap();
    assert_eq!(status, 200, "{target}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let is_number = |point: &Value| point[0].is_number();
    let series = answer.as_array().into_iter().flatten();
    series.filter(|series| series["datapoints"].as_array().unwrap().iter().any(is_number)).count()
}

/// A target as Grafana sends it to `/api/query`.
pub fn tsd(port: u16, target: &Value) -> usize {
    let mut query = json!({
        "metric": target["metric"],
        "aggregator": target["aggregator"],
        "downsample": format!("1s-{}", target["downsampleAggregator"].as_str().unwrap()),
        "filters": target["filters"],
    });
    if target["shouldComputeRate"] == true {
        query["rate"] = true.into();
        query["rateOptions"] = json!({ "counter": target["isCounter"], "dropResets": true });
    }
    let body = json!({ "start": unix_now() - 60, "queries": [query] }).to_string();
    let Some((status, answer)) = post(port, "POST", "/api/query", &body) else { return 0 };
    // A metric that the server does not know yet.
    if status != 200 && answer.contains("No such name") {
        return 0;
    }
    assert_eq!(status, 200, "{body}: {answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer
        .as_array()
        .into_iter()
        .flatten()
        .map(|series| series["dps"].as_object().map_or(0, serde_json::Map::len))
        .sum()
}
