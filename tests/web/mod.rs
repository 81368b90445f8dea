//! The web server through its socket: access rules, responses, and clients that misbehave.

mod charts;
mod nag;
mod overview;
mod page;
mod self_metrics;

use crate::support::{Home, free_port, lives, wait_for};
use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::delivery::status::Status;
use puypuy::fetch::program::Programs;
use puypuy::model::beat::Beat;
use puypuy::model::point::{Identity, Kind, Point, Tags, Value};
use puypuy::sink::prometheus::Prometheus;
use puypuy::sink::{Attempt, Sink};
use puypuy::state::Board;
use puypuy::status::About;
use puypuy::status::Sources;
use puypuy::web::allowed::Allowed;
use puypuy::web::{Pages, configure, start};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn section(rows: &[(&str, &str)]) -> Section {
    let entries = rows.iter().map(|(key, value)| Entry { key: key.to_string(), value: value.to_string(), line: 2 });
    Section {
        file: "config.ini".into(),
        name: "WebServer".into(),
        line: 1,
        entries: entries.collect(),
        ..Section::default()
    }
}

fn programs() -> Arc<Programs> {
    let none = String::new;
    let identity = Identity { host: "h".into(), cluster: none(), group: none(), location: none() };
    Arc::new(Programs::new("/".into(), identity))
}

/// A server with one series, on a free port.
struct Served<'a> {
    /// The keys of `[WebServer]`.
    keys: &'a [(&'a str, &'a str)],
    store: Option<PathBuf>,
    /// The time of the newest tick.
    tick: Instant,
}

impl Default for Served<'_> {
    fn default() -> Self {
        Served { keys: &[], store: None, tick: Instant::now() }
    }
}

impl Served<'_> {
    fn start(self) -> SocketAddr {
        let point = Point {
            name: "m".into(),
            value: Value::Int(7),
            kind: Kind::Rate,
            time: 1_500_000_000,
            check_type: "x".into(),
            tags: Tags::one("q", "a\"\\'b"),
            host: None,
            reaction: 0,
        };
        let identity =
            Identity { host: "h".into(), cluster: String::new(), group: String::new(), location: String::new() };
        let mut sink = Prometheus::new(Duration::from_secs(10));
        let points = [point];
        let request = sink.encode(&points, &identity).requests.remove(0);
        let attempt = Attempt { identity: &identity, wall: points[0].time, until: Instant::now() };
        sink.send(&request, &points, &attempt);
        let status = Status { delivered: 3, is_up: true, ..Status::default() };
        let (period, file) = (Duration::from_secs(10), "config.ini".into());
        let about =
            About { host: "h".into(), started: 0, period, sink: "Prometheus", file, tells_itself: false, newer: None };
        let (status, board) = (Arc::new(Mutex::new(status)), Arc::new(Board::default()));
        let sources = Sources::new(about, status, board, Arc::new(Beat::new(self.tick)));
        let pages = Pages {
            sources,
            charts: |_| serde_json::Value::Null,
            unit: |metric| (metric == "m").then_some("bytes"),
            exposition: sink.exposition(),
            store: self.store,
            period,
            programs: programs(),
        };
        let web = configure(&section(&[&[("webaddress", "127.0.0.1:0")], self.keys].concat())).unwrap();
        let running = start(web, pages).unwrap();
        let address = running.address;
        // It serves as long as this is kept.
        std::mem::forget(running);
        address
    }
}

fn serve(allowed: &str) -> SocketAddr {
    Served { keys: &[("allowedip", allowed)], ..Served::default() }.start()
}

/// The server's whole response to these bytes.
fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn get(address: SocketAddr, path: &str, headers: &str) -> (String, Vec<u8>) {
    let answer = ask(address, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

/// Status and JSON.
fn get_json(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let (head, body) = get(address, path, "");
    let json = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{head}\n{}", String::from_utf8_lossy(&body)));
    (status(&head), json)
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_scraper_gets_the_page_plain_or_compressed() {
    let address = serve("127.0.0.1");
    let (head, body) = get(address, "/metrics?x=1", "");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let page = String::from_utf8(body).unwrap();
    assert!(
        page.starts_with(
            "# HELP m Collected by a check of type x.\n# TYPE m gauge\nm{host=\"h\",q=\"a\\\"\\\\'b\"} 7\n"
        )
    );
    assert!(page.contains("# TYPE puypuy_points_delivered_total counter\npuypuy_points_delivered_total 3\n"), "{page}");
    assert!(page.contains("\npuypuy_sink_up 1\n"));
    // The daemon's own resource usage changes all the time.
    let lasting = |page: &str| page.split("# HELP puypuy_resident_memory_bytes").next().unwrap().to_string();
    let second = String::from_utf8(get(address, "/metrics", "").1).unwrap();
    assert!(lasting(&second) == lasting(&page), "two scrapers get the same page");
    for name in ["puypuy_resident_memory_bytes", "puypuy_open_descriptors", "puypuy_threads"] {
        assert!(page.contains(&format!("# TYPE {name} gauge\n{name} ")), "{page}");
    }
    assert!(page.contains("# TYPE puypuy_cpu_seconds_total counter\npuypuy_cpu_seconds_total "), "{page}");

    // The request headers of Prometheus.
    let asked = "User-Agent: Prometheus/2.42.0\r\nAccept: application/openmetrics-text; version=1.0.0, text/plain\r\n\
                 Accept-Encoding: br;q=0.5, gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 1\r\n";
    let (head, zipped) = get(address, "/metrics", asked);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut plain).unwrap();
    assert!(lasting(&plain) == lasting(&page), "{plain}");
    assert!(!get(address, "/metrics", "Accept-Encoding: gzip;q=0\r\n").0.contains("content-encoding"));

    let head = String::from_utf8(ask(address, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn other_requests_are_refused_with_a_message() {
    let address = serve("");
    assert!(get(address, "/other", "").0.starts_with("HTTP/1.1 404"));
    assert!(get(address, "/metrics/..%2f", "").0.starts_with("HTTP/1.1 404"));
    let posted = ask(address, b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&posted));
    for garbage in [&b"\0\x01\x02\r\n\r\n"[..], b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n"] {
        let answer = ask(address, garbage);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let answer = ask(address, long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    assert!(get(address, "/metrics", "").0.starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_is_not_allowed_gets_no_response() {
    let address = serve("10.0.0.0/8, 192.168.1.1");
    assert_eq!(ask(address, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"), b"");
}

#[test]
fn slow_clients_delay_nobody() {
    let address = serve("");
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"GET /metrics HT").unwrap());
    assert!(get(address, "/metrics", "").0.starts_with("HTTP/1.1 200"));
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "cut off after {:?}", begun.elapsed());
}

#[test]
fn silent_connections_keep_no_scraper_out() {
    let address = serve("");
    let mut silent: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    silent[1].write_all(b"GET /metrics HT").unwrap();
    for _ in 0..2 {
        assert!(get(address, "/metrics", "").0.starts_with("HTTP/1.1 200"));
    }
    // Only the oldest was closed: the first scraper had already left when the second came.
    let mut rest = Vec::new();
    let _ = silent[0].read_to_end(&mut rest);
    assert!(rest.is_empty());
    silent[1].write_all(b"TP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let _ = silent[1].read_to_end(&mut rest);
    assert!(rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn addresses_and_networks() {
    let ip = |text: &str| text.parse().unwrap();
    let some = Allowed::parse(&["10.0.0.0/8", "192.168.1.1", "2001:db8::/32", "::ffff:172.16.0.1"]).unwrap();
    for admitted in ["10.255.0.1", "192.168.1.1", "::ffff:10.1.1.1", "2001:db8:1::1", "172.16.0.1"] {
        assert!(some.admits(ip(admitted)), "{admitted}");
    }
    for refused in ["11.0.0.1", "192.168.1.2", "127.0.0.1", "2001:db9::1", "::1", "::ffff:11.0.0.1"] {
        assert!(!some.admits(ip(refused)), "{refused}");
    }
    let nobody_else = Allowed::parse(&[]).unwrap();
    assert!(
        nobody_else.admits(ip("127.0.0.1")) && nobody_else.admits(ip("::1")) && !nobody_else.admits(ip("10.0.0.1"))
    );
    let all = Allowed::parse(&["0.0.0.0/0", "::/0"]).unwrap();
    assert!(all.admits(ip("8.8.8.8")) && all.admits(ip("2001::1")));
    for bad in ["10.0.0.0/33", "::/129", "host", "10.0.0", "10.0.0.0/", "10.0.0.0/x"] {
        assert_eq!(Allowed::parse(&["127.0.0.1", bad]).unwrap_err(), bad);
    }
}

#[test]
fn mistakes_in_the_section_name_the_key() {
    for (key, value, wanted) in [
        ("webaddress", "9898", "webaddress: \"9898\": expected address:port"),
        ("webaddress", "127.0.0.1:99999", "expected address:port"),
        ("allowedip", "127.0.0.1, 10.0.0.0/99", "allowedip: \"10.0.0.0/99\" is no address and no network"),
        ("allowedhost", "web1, http://web2", "allowedhost: \"http://web2\" is no name of a host"),
        ("allowedhost", "web1:9898", "no port"),
        ("webuser", "admin", "webpassword: missing, while webuser is there"),
        ("webpassword", "secret", "webuser: missing, while webpassword is there"),
    ] {
        let problem = configure(&section(&[(key, value)])).unwrap_err().to_string();
        assert!(problem.contains(wanted), "{problem}");
    }
}

fn configured(home: &Home, port: u16, tsdb: &str, web: &str) {
    let text = home.read("config.ini");
    let own = text.split("[TSDB]").next().unwrap();
    fs::write(home.path("config.ini"), format!("{own}[TSDB]\n{tsdb}[WebServer]\nwebaddress = 127.0.0.1:{port}\n{web}"))
        .unwrap();
}

#[test]
fn a_daemon_for_prometheus_listens_whatever_webserver_says() {
    let home = Home::new();
    symlink("../x", home.path("checks_enabled/check_load_average.ini")).unwrap();
    let port = free_port();
    configured(&home, port, "tsdtype = Prometheus\n", "webserver = no\n");
    let pid = home.start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for("the load on the page", || {
        String::from_utf8(get(address, "/metrics", "").1).unwrap().contains("\nsys_load_1{host=\"")
    });
    assert!(home.log().contains(&format!("web server: listening at 127.0.0.1:{port}")), "{}", home.log());

    // A second daemon cannot use the port, and says so on the terminal.
    let other = Home::new();
    configured(&other, port, "tsdtype = Local\n", "webserver = True\n");
    let said = other.puypuy(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains(&format!("cannot listen at 127.0.0.1:{port}")) && said.err.contains("webaddress"),
        "{said:?}"
    );
    assert!(lives(pid));
    assert_eq!(home.puypuy(&["stop"]).code, 0);
}

#[test]
fn with_another_sink_metrics_are_only_those_of_the_daemon() {
    let home = Home::new();
    symlink("../x", home.path("checks_enabled/check_load_average.ini")).unwrap();
    let port = free_port();
    configured(&home, port, "tsdtype = Local\n", "webserver = yes\n");
    home.start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let page = || String::from_utf8(get(address, "/metrics", "").1).unwrap();
    wait_for("delivered points", || {
        page().lines().any(|line| line.starts_with("puypuy_points_delivered_total ") && !line.ends_with(" 0"))
    });
    assert!(!page().contains("sys_load_1"));
    let said = home.puypuy(&["check-config"]);
    assert_eq!((said.code, said.out.as_str()), (0, "the configuration is fine\n"), "{said:?}");
    configured(&home, port, "tsdtype = Local\n", "webserver = yes\nallowedip = here\n");
    let said = home.puypuy(&["check-config"]);
    assert!(said.code == 1 && said.out.contains("allowedip: \"here\" is no address"), "{said:?}");
}
