//! The cost of long responses: 5,000 series of Traefik and 2,000 rows of HAProxy, which are held in memory, and
//! responses of 20 MB that are read as streams: a page of 100,000 series of kube-state-metrics, and statistics of 200
//! nodes of Elasticsearch.
//!
//! `cargo bench --bench stream_cost`; it fails if one costs more memory or CPU time than its limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nix::time::{ClockId, clock_gettime};
use puypuy::check::{Context, DEFAULT_MAX_SERIES, Out};
use puypuy::checks;
use puypuy::config::section::{Entry, Section};
use puypuy::fetch::program::Programs;
use puypuy::model::point::{Identity, Tick};
use puypuy::model::roots::Roots;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

const SIZE: usize = 20_000_000;
const PODS: usize = 8_300;
const NODES: usize = 200;
const TICKS: u64 = 5;

/// A page of Traefik with 5,000 series: half of them requests, half sums and counts of durations.
fn traefik() -> String {
    let codes = [200, 204, 301, 302, 304, 400, 401, 403, 404, 500];
    let counters = (0..250).flat_map(|service| codes.map(|code| (service, code)));
    let line = |name: &str, (service, code): (usize, usize), value: String| {
        format!(
            "traefik_service_{name}{{code=\"{code}\",method=\"GET\",protocol=\"http\",service=\"shop-service-{service}@kubernetescrd\"}} {value}\n"
        )
    };
    let requests = counters.clone().map(|of| line("requests_total", of, (1000 * of.0 + of.1).to_string()));
    let durations = counters.enumerate().map(|(at, of)| {
        let half = if at % 2 == 0 { "sum" } else { "count" };
        line(&format!("request_duration_seconds_{half}"), of, format!("{at}.5"))
    });
    requests.chain(durations).collect()
}

/// The statistics of HAProxy 2.6 with 2,000 servers in 20 backends, each with the row of one recorded server.
fn haproxy() -> String {
    let told = fs::read_to_string("tests/checks/haproxy/haproxy-2.6.12/tick2/stats.csv").unwrap();
    let mut lines = told.lines();
    let header = lines.next().unwrap();
    let server = lines.find(|line| line.starts_with("app,app1,")).unwrap().trim_start_matches("app,app1,");
    let rows = (0..2000).map(|row| format!("backend-{},server-{row:04},{server}\n", row / 100));
    format!("{header}\n{}", rows.collect::<String>())
}

/// Twelve series of each pod.
fn page() -> String {
    let mut page = String::new();
    for pod in 0..PODS {
        let labels = format!(
            "namespace=\"team-{:03}\",pod=\"backend-deployment-7d4b9c5f6d-{pod:05}\",uid=\"5f0c1a52-8b1e-4c39-9a51-{pod:012}\"",
            pod % 150
        );
        let own = format!("{labels},container=\"backend-application-server\"");
        for (name, more, value) in [
            (
                "kube_pod_info",
                ",host_ip=\"10.1.2.3\",pod_ip=\"10.2.3.4\",node=\"node-0017\",created_by_kind=\"ReplicaSet\"",
                "1",
            ),
            ("kube_pod_owner", ",owner_kind=\"ReplicaSet\",owner_name=\"backend-deployment-7d4b9c5f6d\"", "1"),
            ("kube_pod_status_phase", ",phase=\"Running\"", "1"),
            ("kube_pod_status_phase", ",phase=\"Pending\"", "0"),
            ("kube_pod_status_phase", ",phase=\"Failed\"", "0"),
            ("kube_pod_status_ready", ",condition=\"true\"", "1"),
            ("kube_pod_start_time", "", "1.7954085e+09"),
        ] {
            page += &format!("{name}{{{labels}{more}}} {value}\n");
        }
        for (name, more, value) in [
            ("kube_pod_container_info", ",image=\"registry.example.org/team/backend:1.2.3\"", "1"),
            ("kube_pod_container_status_ready", "", "1"),
            ("kube_pod_container_status_waiting", "", "0"),
            ("kube_pod_container_status_restarts_total", "", "3"),
            (
                "kube_pod_container_resource_limits",
                ",node=\"node-0017\",resource=\"memory\",unit=\"byte\"",
                "1.34217728e+08",
            ),
        ] {
            page += &format!("{name}{{{own}{more}}} {value}\n");
        }
    }
    page
}

/// The unfiltered response of a 7.17 node, with enough clients to reach this length.
fn nodes() -> String {
    let folder = "tests/checks/elasticsearch/7.17.28/tick2/nodes_stats.json";
    let told: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder).unwrap()).unwrap();
    let mut node = told["nodes"].as_object().unwrap().values().next().unwrap().clone();
    let clients = node["http"]["clients"].as_array().unwrap().clone();
    while node.to_string().len() < SIZE / NODES {
        node["http"]["clients"].as_array_mut().unwrap().extend(clients.iter().cloned());
    }
    let of =
        |number: usize| format!("\"{number}\":{}", node.to_string().replacen("\"n1\"", &format!("\"n{number}\""), 1));
    format!("{{\"nodes\":{{{}}}}}", (0..NODES).map(of).collect::<Vec<_>>().join(","))
}

/// Responds to everything with this body; returns its port.
fn serve(body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        for mut stream in listener.incoming().flatten() {
            let mut heard = [0; 16384];
            while matches!(stream.read(&mut heard), Ok(1..)) {
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            }
        }
    });
    port
}

/// CPU time of this thread and of the thread that drives all HTTP connections, which is idle now.
fn spent() -> Duration {
    let own: Duration = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into();
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten().map(|thread| thread.path());
    let speaks = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "pages");
    let nanoseconds = threads.filter(speaks).map(|path| {
        let spent = fs::read_to_string(path.join("schedstat")).unwrap();
        spent.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    own + Duration::from_nanos(nanoseconds.sum())
}

fn memory(line: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|own| own.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Returns whether it costs no more than `most_ms` milliseconds of CPU time and `most_memory` bytes.
fn measure(name: &str, keys: &[(&str, &str)], body: String, most_ms: u64, most_memory: u64) -> bool {
    let (size, port) = (body.len(), serve(body));
    let spec = checks::find(name).unwrap();
    let address = format!("http://127.0.0.1:{port}");
    let entry =
        |(key, value): &(&str, &str)| Entry { key: key.to_string(), value: value.replace("{http}", &address), line: 1 };
    let entries = keys.iter().map(entry).collect();
    let section = Section { name: spec.section.into(), line: 1, entries, ..Section::default() };
    let mut check = (spec.build)(&section).unwrap();
    let none = String::new;
    let identity = Identity { host: "bench".into(), cluster: none(), group: none(), location: none() };
    let (programs, roots) = (Programs::new("/".into(), identity), Roots::default());
    let period = Duration::from_secs(60);
    let tick = |number: u64| {
        let at = Instant::now();
        Tick { wall: 60 * number as i64, at, deadline: at + period, period }
    };
    let mut out = Out::new(spec.check_type, DEFAULT_MAX_SERIES, tick(0));
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS:");
    let (mut least, mut points) = (Duration::MAX, 0);
    for number in 1..=TICKS {
        let begun = spent();
        out.begin(tick(number));
        check.run(&Context { tick: tick(number), roots: &roots, programs: &programs }, &mut out).unwrap();
        points = out.finish().0.points.len();
        least = least.min(spent() - begun);
    }
    // What an earlier measurement freed may have gone back to the system in between.
    let peak = memory("VmHWM:").saturating_sub(before);
    println!(
        "{name}: {:.1} MB, {points} points, {least:.1?} of a CPU, {:.1} MiB at most",
        size as f64 / 1e6,
        peak as f64 / 1048576.0
    );
    points > 0 && peak <= most_memory && least <= Duration::from_millis(most_ms)
}

fn main() {
    let keys = [("host", "{http}"), ("stats", "/_nodes/stats"), ("cluster_stats", "False")];
    // The first of all brings the program's code into memory.
    measure(
        "check_traefik",
        &[("metrics", "{http}/metrics")],
        traefik().lines().step_by(100).collect::<Vec<_>>().join("\n"),
        5,
        0,
    );
    let are_cheap = [
        measure("check_traefik", &[("metrics", "{http}/metrics")], traefik(), 5, 4 << 20),
        measure("check_haproxy", &[("url", "{http}/;csv")], haproxy(), 5, 2 << 20),
        measure("check_kube_state_metrics", &[("metrics", "{http}/metrics")], page(), 100, 8 << 20),
        measure("check_elasticsearch", &keys, nodes(), 100, 8 << 20),
    ];
    assert!(!are_cheap.contains(&false), "one of them told nothing, or cost more than it may");
}
