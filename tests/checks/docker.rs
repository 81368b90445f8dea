//! check_docker_stats against the Engine API over a unix socket: documented and recorded responses, and servers that
//! misbehave.

use super::golden::compare;
use super::machine::{Machine, Measurement, Worker, line, section, spec};
use crate::support::pages::{Page, Pages};
use crate::support::{Home, wait_for};
use proptest::prelude::*;
use puypuy::model::roots::Roots;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAME: &str = "check_docker_stats";
const CASES: [&str; 4] = ["api_1.24", "api_1.41", "api_1.50", "podman_4.3.1"];

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/docker").join(case)
}

fn recorded(case: &str, name: &str) -> String {
    let path = folder(case).join(format!("{name}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The API path of a request: `containers/json`, `containers/<id>/stats`.
fn asked_for(path: &str) -> String {
    let path = path.split('?').next().unwrap().trim_start_matches('/');
    match path.split_once('/') {
        Some((version, rest)) if version.starts_with("v1.") => rest.into(),
        _ => path.into(),
    }
}

/// A page of a recorded daemon: its state at this tick, from 1 on.
fn page(case: &str, tick: usize, path: &str) -> Page {
    let asked = asked_for(path);
    match asked.split('/').collect::<Vec<_>>()[..] {
        ["version"] => Page::body(recorded(case, "version")),
        ["info"] => Page::body(recorded(case, "info")),
        ["containers", "json"] => Page::body(recorded(case, "containers")),
        ["containers", id, "stats"] => {
            let list: Value = serde_json::from_str(&recorded(case, "containers")).unwrap();
            let of_id = list.as_array().unwrap().iter().find(|entry| entry["Id"] == id).unwrap();
            let name = of_id["Names"].as_array().unwrap().last().unwrap().as_str().unwrap();
            Page::body(recorded(case, &format!("{}.{tick}", name.trim_start_matches('/'))))
        }
        _ => Page::Status(404, r#"{"message":"page not found"}"#.into()),
    }
}

/// A daemon on its own socket, and a check that queries it.
struct Trial {
    _folder: TempDir,
    machine: Machine,
    daemon: Pages,
    worker: Worker,
}

impl Trial {
    fn new(lines: &[(&str, &str)], pick: impl Fn(&str) -> Page + Send + Sync + 'static) -> Trial {
        let folder = TempDir::new().unwrap();
        let daemon = Pages::on_socket(&folder.path().join("docker.sock"), pick);
        let address = daemon.address();
        let worker = Worker::new(spec(NAME), &[&[("stats", address.as_str())], lines].concat());
        Trial { _folder: folder, machine: Machine::empty(), daemon, worker }
    }

    fn tick(&mut self) -> Measurement {
        self.tick_of(10)
    }

    fn tick_of(&mut self, seconds: u64) -> Measurement {
        let told = self.worker.tick_of(&self.machine.roots, seconds);
        told.assert_sound_as("docker", "docker");
        told
    }
}

/// The recorded daemon, in the state of the tick in `now`.
fn replay(case: &'static str, lines: &[(&str, &str)]) -> (Trial, Arc<AtomicUsize>) {
    let now = Arc::new(AtomicUsize::new(1));
    let seen = now.clone();
    (Trial::new(lines, move |path| page(case, seen.load(Ordering::SeqCst), path)), now)
}

/// Two ticks of the recorded daemon.
fn story(case: &'static str, lines: &[(&str, &str)]) -> (Vec<Measurement>, Vec<String>) {
    let (mut trial, now) = replay(case, lines);
    let told = [1, 2].map(|tick| {
        now.store(tick, Ordering::SeqCst);
        trial.tick()
    });
    (told.into(), trial.daemon.asked())
}

#[test]
fn recorded_daemons_give_the_expected_points() {
    let mut wrong = Vec::new();
    for case in CASES {
        let mut text = String::new();
        for (told, tick) in story(case, &[]).0.iter().zip(1..) {
            let mut lines: Vec<_> = told.points.iter().map(|point| line(point, None)).collect();
            lines.sort();
            text += &format!("--- tick {tick}\n{}", lines.concat());
            text.extend(told.faults.iter().map(|fault| format!("fault {fault}\n")));
        }
        wrong.extend(compare(&folder(case).join("expect.txt"), &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_point_is_in_the_tables() {
    let fields: Vec<_> = spec(NAME).fields.iter().copied().flatten().collect();
    for point in CASES.iter().flat_map(|case| story(case, &[]).0).flat_map(|told| told.points) {
        let name = ["eth0", "eth1", "network"].iter().fold(point.name.to_string(), |name, iface| {
            name.strip_suffix(iface).map_or(name.clone(), |begin| format!("{begin}{{iface}}"))
        });
        let field = fields.iter().find(|field| field.metric == name).unwrap_or_else(|| panic!("{name} is in no table"));
        assert_eq!(field.reaction, point.reaction, "{name}");
    }
}

#[test]
fn the_newest_common_api_version_is_used() {
    for (newest, oldest, prefix) in [
        (Some("1.24"), None, "/v1.24/"),
        (Some("1.43"), Some("1.24"), "/v1.43/"),
        (Some("1.52"), Some("1.44"), "/v1.50/"),
        (Some("1.99"), Some("1.70"), "/v1.70/"),
        (Some("new"), None, "/"),
        (None, None, "/"),
    ] {
        let version = json!({ "ApiVersion": newest, "MinAPIVersion": oldest }).to_string();
        let mut trial = Trial::new(&[], move |path| match path {
            "/version" => Page::body(version.clone()),
            _ => page("api_1.41", 1, path),
        });
        let told = trial.tick();
        trial.tick();
        assert_eq!(told.faults, Vec::<String>::new(), "{newest:?}");
        let asked = trial.daemon.asked();
        assert_eq!(asked.iter().filter(|path| *path == "/version").count(), 1, "{asked:?}");
        assert_eq!(asked.iter().filter(|path| **path == format!("{prefix}containers/json")).count(), 2, "{asked:?}");
        let is_quick = prefix > "/v1.41";
        let samples: Vec<_> = asked.iter().filter(|path| path.contains("/stats?")).collect();
        assert_eq!(samples.len(), 6, "{asked:?}");
        assert!(samples.iter().all(|path| path.contains("one-shot=true") == is_quick), "{asked:?}");
    }
}

#[test]
fn the_version_is_requested_again_after_a_failure() {
    let upgraded = Arc::new(AtomicUsize::new(0));
    let seen = upgraded.clone();
    let mut trial = Trial::new(&[], move |path| match (seen.load(Ordering::SeqCst), path) {
        (0, _) => page("api_1.24", 1, path),
        (_, old) if old.starts_with("/v1.24/") => {
            let message = "client version 1.24 is too old. Minimum supported API version is 1.44";
            Page::Status(400, json!({ "message": message }).to_string())
        }
        _ => page("api_1.50", 1, path),
    });
    assert!(trial.tick().number("docker_pids", "web").is_some());
    upgraded.store(1, Ordering::SeqCst);
    let told = trial.tick();
    assert!(told.points.is_empty());
    assert!(told.faults[0].contains("HTTP 400: \"client version 1.24 is too old."), "{:?}", told.faults);
    assert!(trial.tick().number("docker_pids", "shop-api-1").is_some());
}

#[test]
fn the_address_of_the_python_daemon_is_understood() {
    for end in ["", "/", "/containers", "/containers/"] {
        for scheme in ["http://", "tcp://", ""] {
            let daemon = Pages::on_port(|path| page("api_1.41", 1, path));
            let host = daemon.address().replace("http://", scheme);
            let mut worker = Worker::new(spec(NAME), &[("stats", &format!("{host}{end}"))]);
            let told = worker.tick(&Roots::default());
            assert_eq!(told.number("docker_mem_cur_usage", "web"), Some(6537216.0), "{scheme}{end}: {:?}", told.faults);
            assert_eq!(daemon.asked()[..2], ["/version", "/v1.41/containers/json"]);
        }
    }
}

#[test]
fn keys_select_what_is_reported() {
    let metrics = |lines: &[(&str, &str)]| -> Vec<String> {
        let mut told = story("api_1.24", lines).0;
        told.pop().unwrap().points.iter().map(|point| point.name.to_string()).collect()
    };
    let has = |metrics: &[String], part: &str| metrics.iter().any(|metric| metric.contains(part));
    let all = metrics(&[]);
    assert!(["mem_total_rss", "mem_limit", "rx_packets_eth1", "bytes_rx_eth0"].iter().all(|part| has(&all, part)));
    let brief = metrics(&[("detailed", "False")]);
    assert!(has(&brief, "mem_cur_usage") && has(&brief, "bytes_rx_eth0"));
    assert!(!has(&brief, "mem_total_rss") && !has(&brief, "rx_packets"));
    let light = metrics(&[("memstats", "False")]);
    assert!(!has(&light, "_mem_") && has(&light, "rx_packets_eth0"));
    let (mut told, _) = story("api_1.41", &[("prettynames", "False")]);
    let tags = told.pop().unwrap().tags("docker_pids");
    assert!(tags.iter().all(|tag| tag.len() == 64) && tags.len() == 2, "{tags:?}");
}

#[test]
fn labels_are_filtered_by_the_daemon() {
    let (_, asked) = story("api_1.50", &[("labels", "com.example.monitor=yes, a b")]);
    let filter = "%7B%22label%22%3A%5B%22com.example.monitor%3Dyes%22%2C%22a%20b%22%5D%7D";
    assert!(asked.contains(&format!("/v1.50/containers/json?filters={filter}")), "{asked:?}");
}

/// A list of this many containers, each with the statistics of `web`.
fn crowd(count: usize, path: &str) -> Option<Page> {
    let id = |number: usize| format!("c0ffee{number:058}");
    if asked_for(path) == "containers/json" {
        let entry = |number| json!({ "Id": id(number), "Names": [format!("/web{number}")], "Image": "x" });
        return Some(Page::body(json!((0..count).map(entry).collect::<Vec<_>>()).to_string()));
    }
    asked_for(path).starts_with("containers/").then(|| Page::body(recorded("api_1.41", "web.1")))
}

#[test]
fn two_hundred_containers_are_queried_at_the_same_time() {
    let lines = [("memstats", "False"), ("detailed", "False")];
    let mut trial = Trial::new(&lines, |path| match crowd(200, path) {
        Some(page) if path.contains("/stats?") => Page::Late(Duration::from_millis(20), Box::new(page)),
        Some(page) => page,
        None => page("api_1.41", 1, path),
    });
    let told = trial.tick();
    assert_eq!(told.faults, Vec::<String>::new());
    assert_eq!(told.tags("docker_pids").len(), 200);
    let busiest = trial.daemon.busiest();
    assert!((16..=64).contains(&busiest), "{busiest} at a time");
}

#[test]
fn a_container_that_hangs_only_affects_itself() {
    let mut trial = Trial::new(&[], |path| match asked_for(path) {
        asked if asked.starts_with("containers/ab12") => Page::Silence,
        _ => page("api_1.41", 1, path),
    });
    let begun = Instant::now();
    let told = trial.tick_of(1);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(told.number("docker_mem_cur_usage", "web").is_some() && told.number("docker_images", "").is_some());
    assert!(told.number("docker_mem_cur_usage", "agent").is_none());
    let [fault] = &told.faults[..] else { panic!("{:?}", told.faults) };
    assert!(fault.starts_with("agent: unix://") && fault.contains("no whole answer within 0."), "{fault}");
}

#[test]
fn a_name_cannot_add_lines_to_the_log() {
    let mut trial = Trial::new(&[], |path| match asked_for(path) {
        asked if asked == "containers/json" => {
            Page::body(json!([{ "Id": "ab", "Names": ["/a\nERROR all is lost"], "Image": "x" }]).to_string())
        }
        asked if asked == "containers/ab/stats" => Page::Status(500, r#"{"message":"a\nb"}"#.into()),
        _ => page("api_1.41", 1, path),
    });
    let told = trial.tick();
    let [fault] = &told.faults[..] else { panic!("{:?}", told.faults) };
    assert!(fault.starts_with("\"a\\nERROR all is lost\": unix://"), "{fault}");
    assert!(fault.ends_with(r#": HTTP 500: "a\nb""#), "{fault}");
}

#[test]
fn many_failures_are_logged_in_few_lines() {
    let mut trial = Trial::new(&[], |path| match crowd(50, path) {
        Some(_) if path.contains("/stats?") => Page::Status(500, r#"{"message":"out of ideas"}"#.into()),
        Some(page) => page,
        None => page("api_1.41", 1, path),
    });
    let told = trial.tick();
    assert_eq!(told.faults.len(), 11);
    assert!(told.faults.iter().any(|fault| fault.ends_with(": HTTP 500: \"out of ideas\"")), "{:?}", told.faults);
    assert_eq!(told.faults.last().unwrap(), "40 more containers could not be asked");
}

#[test]
fn a_container_that_ended_after_the_list_is_no_fault() {
    for status in [404, 409] {
        let mut trial = Trial::new(&[], move |path| match asked_for(path) {
            asked if asked.starts_with("containers/ab12") => {
                Page::Status(status, r#"{"message":"No such container: ab12"}"#.into())
            }
            _ => page("api_1.41", 1, path),
        });
        let told = trial.tick();
        assert_eq!(told.faults, Vec::<String>::new());
        assert_eq!(told.tags("docker_pids"), ["web"]);
    }
}

#[test]
fn a_recreated_container_restarts_its_rates() {
    let list = Arc::new(Mutex::new(json!([])));
    let shown = list.clone();
    let mut trial = Trial::new(&[], move |path| match asked_for(path) {
        asked if asked == "containers/json" => Page::body(shown.lock().unwrap().to_string()),
        // The second container has counted further than the first one.
        asked if asked.starts_with("containers/aaaa") => Page::body(recorded("api_1.50", "shop-api-1.1")),
        asked if asked.starts_with("containers/bbbb") => Page::body(recorded("api_1.50", "shop-api-1.2")),
        _ => page("api_1.50", 1, path),
    });
    let named = |id: &str| json!([{ "Id": id, "Names": ["/web"], "Image": "x" }]);
    *list.lock().unwrap() = named("aaaa");
    trial.tick();
    *list.lock().unwrap() = named("bbbb");
    let told = trial.tick();
    for metric in
        ["docker_container_cpu_usage", "docker_master_cpu_usage", "docker_rx_packets_eth0", "docker_blkio_read"]
    {
        assert_eq!(told.number(metric, "web"), None, "{metric}");
    }
    assert!(told.number("docker_bytes_rx_eth0", "web").is_some());
    assert_eq!(trial.tick().number("docker_rx_packets_eth0", "web"), Some(0.0));
}

#[test]
fn a_missing_daemon_is_one_message_with_the_remedy() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("docker.sock");
    let address = format!("unix://{}", socket.display());
    let mut worker = Worker::new(spec(NAME), &[("stats", &address)]);
    let mut fault = || {
        let told = worker.tick(&Roots::default());
        assert!(told.points.is_empty() && told.faults.len() == 1, "{:?}", told.faults);
        told.faults[0].clone()
    };
    let missing = "cannot connect: no such file or directory; is the server running?";
    assert_eq!(fault(), format!("error: {address}: {missing}"));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(fault(), format!("error: {address}: cannot connect: connection refused; is the server running?"));
}

#[test]
fn hostile_responses_only_cost_points() {
    for target in ["version", "containers/json", "containers/4f0e", "info"] {
        for (what, hostile) in hostile(target) {
            let bad = Arc::new(Mutex::new(None));
            let served = bad.clone();
            let mut trial = Trial::new(&[], move |path| match &*served.lock().unwrap() {
                Some(page) if asked_for(path).starts_with(target) => Page::clone(page),
                _ => page("api_1.41", 1, path),
            });
            *bad.lock().unwrap() = Some(hostile);
            let begun = Instant::now();
            let told = trial.tick_of(1);
            assert!(begun.elapsed() < Duration::from_secs(3), "{target} {what}: {:?}", begun.elapsed());
            assert!(told.faults.iter().all(|fault| fault.len() < 600), "{target} {what}: {:?}", told.faults);
            assert!(told.faults.len() < 20, "{target} {what}: {:?}", told.faults);
            if target.ends_with("4f0e") {
                assert!(told.number("docker_pids", "agent").is_some(), "{what}: {:?}", told.faults);
            }
            *bad.lock().unwrap() = None;
            let told = trial.tick();
            assert!(
                told.faults.is_empty() && told.number("docker_pids", "web").is_some(),
                "{target} {what}: {:?}",
                told.faults
            );
        }
    }
}

fn hostile(target: &str) -> Vec<(String, Page)> {
    let name = match target {
        "containers/json" => "containers",
        "containers/4f0e" => "web.1",
        other => other,
    };
    let good = recorded("api_1.41", name);
    let mut all: Vec<(String, Page)> = [
        ("empty", ""),
        ("half", &good[..good.len() / 2]),
        ("HTML", "<html><body>It works!</body></html>"),
        ("null", "null"),
        ("a number", "7"),
        ("an array of anything", "[null, 1, [], {}, \"x\"]"),
        ("an object of nothing", "{}"),
        ("other ids", r#"[{"Id":"../../images/json"},{"Id":5},{"Id":"a b"},{"Id":""},{"Names":7}]"#),
    ]
    .map(|(what, text)| (what.to_string(), Page::body(text)))
    .into();
    for word in ["-5", "1e300", "18446744073709551616", "\"NaN\"", "\"7\"", "true", "[]", "{\"x\":1}", "1.5", "null"] {
        all.push((format!("all numbers {word}"), Page::body(with_numbers(&good, word))));
    }
    all.extend([
        (
            "Latin-1".to_string(),
            Page::Body(
                good.replace('w', "\u{1}").into_bytes().into_iter().map(|b| if b == 1 { 0xe9 } else { b }).collect(),
            ),
        ),
        ("deep".into(), Page::body("[".repeat(100_000))),
        ("500".into(), Page::Status(500, "<html>".into())),
        (
            "a redirection".into(),
            Page::Raw(b"HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n".into()),
        ),
        ("no HTTP".into(), Page::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".into())),
        ("no bytes".into(), Page::Raw(Vec::new())),
        (
            "a lie about the length".into(),
            Page::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{".into()),
        ),
        ("a broken chunk".into(), Page::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into())),
    ]);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn no_part_of_a_response_can_do_harm(place in any::<prop::sample::Index>(), other in json_value()) {
        let mut stats: Value = serde_json::from_str(&recorded("api_1.24", "web.2")).unwrap();
        let mut places = Vec::new();
        collect_places(&stats, String::new(), &mut places);
        *stats.pointer_mut(place.get::<String>(&places)).unwrap() = other;
        let text = stats.to_string();
        let mut trial = Trial::new(&[], move |path| match asked_for(path) {
            asked if asked.starts_with("containers/8dfa") => Page::body(text.clone()),
            _ => page("api_1.24", 1, path),
        });
        for _ in 0..2 {
            let told = trial.tick();
            prop_assert!(told.number("docker_pids", "db").is_some());
            prop_assert!(told.faults.len() < 10, "{:?}", told.faults);
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        let object = prop::collection::vec((".{0,8}", inner.clone()), 0..4);
        let object = object.prop_map(|entries| Value::Object(entries.into_iter().collect()));
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), object]
    })
}

/// JSON pointers to all values of the document.
fn collect_places(value: &Value, place: String, places: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(values) => values.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        collect_places(value, format!("{place}/{key}"), places);
    }
    places.push(place);
}

/// The JSON with another text for each of its numbers.
fn with_numbers(good: &str, word: &str) -> String {
    let mut text = String::new();
    let mut is_string = false;
    let mut is_number = false;
    for letter in good.chars() {
        is_string ^= letter == '"';
        let is_digit = !is_string && letter.is_ascii_digit();
        if is_digit && !is_number {
            text += word;
        } else if !is_digit {
            text.push(letter);
        }
        is_number = is_digit;
    }
    text
}

#[test]
fn a_slow_or_silent_daemon_only_costs_its_own_tick() {
    let drip = Page::Drip(recorded("api_1.41", "info").repeat(9), Duration::from_millis(20));
    std::thread::scope(|threads| {
        for target in ["version", "containers/json", "info"] {
            for hostile in [Page::Silence, drip.clone()] {
                threads.spawn(move || {
                    let mut trial = Trial::new(&[], move |path| match asked_for(path) {
                        asked if asked.starts_with(target) => hostile.clone(),
                        _ => page("api_1.41", 1, path),
                    });
                    let begun = Instant::now();
                    let told = trial.tick_of(1);
                    assert!(begun.elapsed() < Duration::from_secs(3), "{target}: {:?}", begun.elapsed());
                    assert!(told.faults[0].contains("no whole answer within 0."), "{:?}", told.faults);
                    assert_eq!(told.number("docker_pids", "web").is_some(), target == "info", "{target}");
                });
            }
        }
    });
}

#[test]
fn requests_come_only_from_the_thread_of_the_check_and_the_one_that_all_http_checks_share() {
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    let engine = Pages::on_socket(&home.path("docker.sock"), |path| page("api_1.41", 1, path));
    fs::write(home.path("conf/docker.ini"), format!("[Docker]\nstats: {}\n", engine.address())).unwrap();
    std::os::unix::fs::symlink("../x", home.path("checks_enabled/check_docker_stats.ini")).unwrap();
    let pid = home.start();
    wait_for("two ticks", || engine.asked().iter().filter(|path| path.contains("/stats?")).count() >= 6);
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let names: Vec<_> = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default()).collect();
    let of_daemon = ["answers", "delivery", "enabled", "pid file", "puypuy", "reload", "signals", "sink", "words"];
    let mut others: Vec<_> =
        names.iter().map(|name| name.trim_end()).filter(|name| !of_daemon.contains(name)).collect();
    others.sort_unstable();
    assert_eq!(others, ["check_docker_st", "pages"]);
    assert!(!home.log().contains("docker.sock"), "{}", home.log());
}

#[test]
fn mistakes_in_the_section_name_the_key() {
    for (key, value, words) in [
        ("stats", "unix://docker.sock", "\"unix://docker.sock\": expected the whole path of a socket"),
        ("stats", "ftp://x", "expected http:// or https:// and a host, found \"ftp\""),
        ("stats", "http://", "cannot be read as an address"),
        ("detailed", "maybe", "\"maybe\": expected True or False"),
        ("client_cert", "/x.pem", ""),
    ] {
        let built = (spec(NAME).build)(&section(spec(NAME), &[(key, value)]));
        match built.err().map(|error| error.to_string()) {
            Some(error) => assert!(
                error.starts_with(&format!("conf/docker.ini:2 [Docker] {key}: ")) && error.contains(words),
                "{error}"
            ),
            None => assert!(words.is_empty(), "{key} = {value} was taken"),
        }
    }
    let lines = [("stats", "https://x"), ("ca_file", "/no/such/file")];
    let error = (spec(NAME).build)(&section(spec(NAME), &lines)).err().unwrap().to_string();
    assert!(error.starts_with("conf/docker.ini:3 [Docker] ca_file: /no/such/file: "), "{error}");
}

/// A container, and the bytes that each device with this major number has read and written.
fn container_of(devices: &[(u64, u64)]) -> Value {
    let entries = devices.iter().flat_map(|(major, bytes)| {
        ["read", "write"].map(|op| json!({ "major": major, "minor": 0, "op": op, "value": bytes }))
    });
    let entries: Vec<_> = entries.collect();
    json!({ "read": "2027-01-15T08:00:00Z", "blkio_stats": { "io_service_bytes_recursive": entries } })
}

/// A daemon with one container whose statistics can be changed.
fn changing() -> (Arc<Mutex<Value>>, impl Fn(&str) -> Page + Send + Sync + 'static) {
    let stats = Arc::new(Mutex::new(container_of(&[])));
    let seen = stats.clone();
    let pick = move |path: &str| match asked_for(path) {
        asked if asked == "containers/json" => {
            Page::body(json!([{ "Id": "ab", "Names": ["/web"], "Image": "x" }]).to_string())
        }
        asked if asked == "containers/ab/stats" => Page::body(seen.lock().unwrap().to_string()),
        _ => page("api_1.41", 1, path),
    };
    (stats, pick)
}

#[test]
fn bytes_are_counted_once_however_many_devices_are_stacked() {
    let (stats, pick) = changing();
    let mut trial = Trial::new(&[], pick);
    for (name, number, below) in
        [("sda", 8, vec![]), ("sdb", 9, vec![]), ("dm-0", 253, vec!["dm-1"]), ("dm-1", 254, vec!["sda1"])]
    {
        trial.machine.write(&format!("sys/block/{name}/dev"), format!("{number}:0\n"));
        fs::create_dir_all(trial.machine.path().join(format!("sys/block/{name}/slaves"))).unwrap();
        for other in below {
            trial.machine.write(&format!("sys/block/{name}/slaves/{other}"), "");
        }
    }
    let mut step = |devices: &[(u64, u64)]| {
        *stats.lock().unwrap() = container_of(devices);
        let told = trial.tick();
        let both = ["docker_blkio_read", "docker_blkio_write"].map(|metric| told.number(metric, "web"));
        assert_eq!(both[0], both[1]);
        both[0]
    };
    assert_eq!(step(&[(8, 1000), (253, 1000), (254, 1000)]), None);
    assert_eq!(step(&[(8, 2000), (253, 2000), (254, 2000)]), Some(100.0));
    // A new device has counted since then; one that disappears subtracts nothing, and continues where it was when it is
    // back.
    assert_eq!(step(&[(8, 3000), (9, 500), (253, 3000), (254, 3000)]), Some(150.0));
    assert_eq!(step(&[(9, 1500)]), Some(100.0));
    assert_eq!(step(&[(8, 3000), (9, 1500)]), Some(0.0));
    // A device whose counter was reset.
    assert_eq!(step(&[(8, 10), (9, 2500)]), None);
    assert_eq!(step(&[(8, 1010), (9, 2500)]), Some(100.0));
    // If no lower device is in the list, the device itself is counted.
    assert_eq!(step(&[(253, 5000)]), Some(200.0));
}

#[test]
fn devices_are_only_looked_up_for_a_daemon_on_this_host() {
    let endpoint = |stats: &str| {
        let section = section(spec(NAME), &[("stats", stats)]);
        puypuy::fetch::http::Endpoint::read(&section, &["stats"]).unwrap().is_local()
    };
    for stats in ["unix:///var/run/docker.sock", "http://127.0.0.1:3141", "http://localhost:3141", "http://[::1]:3141"]
    {
        assert!(endpoint(stats), "{stats}");
    }
    assert!(!endpoint("http://192.0.2.1:3141") && !endpoint("https://docker.example.com"));
}

#[test]
fn an_old_podman_uses_the_cpu_count_of_the_host() {
    let bare = |tick: usize| {
        let mut stats: Value = serde_json::from_str(&recorded("podman_4.3.1", &format!("busy.{tick}"))).unwrap();
        let cpu = stats["cpu_stats"].as_object_mut().unwrap();
        cpu.insert("online_cpus".into(), json!(0));
        cpu["cpu_usage"].as_object_mut().unwrap().remove("percpu_usage");
        stats.to_string()
    };
    let shares = |knows_host: bool, is_bare: bool| {
        let now = Arc::new(AtomicUsize::new(1));
        let seen = now.clone();
        let mut trial = Trial::new(&[], move |path| match asked_for(path) {
            asked if asked.ends_with("/stats") && is_bare => Page::body(bare(seen.load(Ordering::SeqCst))),
            asked if asked == "info" && !knows_host => Page::Status(403, "<h1>403 Forbidden</h1>".into()),
            _ => page("podman_4.3.1", seen.load(Ordering::SeqCst), path),
        });
        trial.tick();
        now.store(2, Ordering::SeqCst);
        let told = trial.tick();
        ["docker_master_cpu_usage", "docker_container_cpu_usage"].map(|metric| told.number(metric, "busy"))
    };
    let [of_host, of_cpu] = shares(true, false);
    assert!(of_host.is_some_and(|share| share > 0.0) && of_cpu.is_some_and(|share| share > 0.0));
    assert_eq!(shares(true, true), [of_host, of_cpu]);
    // Then the share of the host is not known.
    assert_eq!(shares(false, true), [None, of_cpu]);
}

#[test]
fn a_path_refused_by_a_proxy_is_reported_with_the_remedy() {
    for (refused, name, tells_containers) in
        [("info", "INFO", true), ("containers/json", "CONTAINERS", false), ("version", "VERSION", false)]
    {
        for status in [401, 403, 405] {
            let mut trial = Trial::new(&[], move |path| match asked_for(path) {
                asked if asked == refused => Page::Status(status, "<html>Forbidden</html>".into()),
                _ => page("api_1.41", 1, path),
            });
            let told = trial.tick();
            let [fault] = &told.faults[..] else { panic!("{:?}", told.faults) };
            assert!(fault.contains(&format!("/{refused}: HTTP {status}")), "{fault}");
            assert!(fault.ends_with(&format!("as docker-socket-proxy does without {name}=1")), "{fault}");
            assert_eq!(told.number("docker_pids", "web").is_some(), tells_containers);
        }
    }
}

#[test]
fn the_program_names_the_path_that_a_proxy_refuses() {
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    let engine = Pages::on_port(|path| match asked_for(path) {
        asked if asked == "info" => Page::Status(403, "<h1>403 Forbidden</h1>".into()),
        _ => page("api_1.41", 1, path),
    });
    fs::write(home.path("conf/docker.ini"), format!("[Docker]\nstats: {}\n", engine.address())).unwrap();
    let said = home.puypuy(&["check", "check_docker_stats", "--samples", "1"]);
    let words = said.out + &said.err;
    let expected = format!("{}/v1.41/info: HTTP 403", engine.address());
    assert!(words.contains(&expected) && words.contains("without INFO=1"), "{words}");
    assert!(words.contains("docker_pids"), "{words}");
}
