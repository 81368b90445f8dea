//! Behaviour of server checks that recorded responses cannot show: a broker that is slow to list its queues, an
//! untrusted certificate, requests and their credentials.

use super::machine::{Worker, spec};
use crate::support::pages::{Page, Pages};
use crate::support::tls::{params, self_signed};
use puypuy::model::roots::Roots;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const OVERVIEW: &str = r#"{"management_version":"4.1.0","node":"a","object_totals":{"queues":1}}"#;
const QUEUES: &str = r#"{"items":[{"name":"a","vhost":"/","messages":7}],"page":1,"page_count":1}"#;

#[test]
fn a_broker_that_is_slow_to_list_its_queues_is_queried_less_often() {
    let millis = Arc::new(AtomicU64::new(450));
    let pause = Arc::clone(&millis);
    let pages = Pages::on_port(move |path| match path {
        "/api/overview" => Page::body(OVERVIEW),
        path if path.starts_with("/api/nodes") => Page::body("[]"),
        _ => Page::Late(Duration::from_millis(pause.load(Ordering::SeqCst)), Box::new(Page::body(QUEUES))),
    });
    let section = [("stats", &*pages.address()), ("user", "a"), ("pass", "b"), ("queue_details", "True")];
    let mut worker = Worker::new(spec("check_rabbitmq"), &section);
    let mut tick = || {
        let told = worker.tick_of(&Roots::default(), 1);
        let lists = pages.asked().iter().filter(|path| path.starts_with("/api/queues")).count();
        assert_eq!(told.number("rabbitmq_queues", ""), Some(1.0));
        (told.number("rabbitmq_perqueue_messages", "a"), lists, told.faults)
    };
    let (told, lists, faults) = tick();
    assert_eq!((told, lists, faults.len()), (Some(7.0), 1, 1));
    let every: usize = faults[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(faults[0].contains("slow to list") && (5..=9).contains(&every), "{faults:?}");
    for _ in 1..every {
        let (told, lists, same) = tick();
        assert_eq!((told, lists, same), (None, 1, faults.clone()));
    }
    millis.store(0, Ordering::SeqCst);
    for wanted in 2..5 {
        assert_eq!(tick(), (Some(7.0), wanted, Vec::new()));
    }
}

#[test]
fn a_broker_without_node_data_only_lacks_nodes() {
    let pages = Pages::on_port(|path| match path {
        "/api/overview" => Page::body(OVERVIEW),
        path if path.starts_with("/api/nodes") => Page::Late(Duration::from_secs(5), Box::new(Page::body("[]"))),
        _ => Page::body(QUEUES),
    });
    let section = [("stats", &*pages.address()), ("user", "a"), ("pass", "b"), ("queue_details", "True")];
    let told = Worker::new(spec("check_rabbitmq"), &section).tick_of(&Roots::default(), 1);
    assert_eq!(
        (told.number("rabbitmq_queues", ""), told.number("rabbitmq_perqueue_messages", "a")),
        (Some(1.0), Some(7.0))
    );
    assert!(matches!(&told.faults[..], [fault] if fault.contains("nodes: ")), "{:?}", told.faults);
}

#[test]
fn certificates_are_verified_in_other_protocols_too() {
    let (server, _) = self_signed(params(&["localhost"], "my cache"), true);
    let port = server.port().to_string();
    for check in ["check_redis", "check_memcached"] {
        let section = [("host", "localhost"), ("port", &*port), ("tls", "True")];
        let told = Worker::new(spec(check), &section).tick(&Roots::default());
        let why = "unknown issuer: the certificate of \"my cache\" is self-signed; trust";
        assert!(told.faults[0].contains(&format!("localhost:{port}: {why}")), "{:?}", told.faults);
    }
}

#[test]
fn a_jolokia_that_refuses_everything_is_quoted() {
    // ActiveMQ 5.18.3, with HTTP 200, for a request without an Origin header.
    const REFUSED: &str = r#"{"error_type":"java.lang.Exception","error":"java.lang.Exception : Origin null is not allowed to call this agent","status":403}"#;
    let pages = Pages::on_port(|_| Page::body(REFUSED));
    let address = format!("{}/api/jolokia/read", pages.address());
    let told = Worker::new(spec("check_activemq"), &[("stats", &address), ("brokername", "localhost")])
        .tick(&Roots::default());
    let why = "status 403: \"java.lang.Exception : Origin null is not allowed to call this agent\"";
    assert!(told.points.is_empty() && told.faults[0].contains(why), "{:?}", told.faults);
    assert!(pages.heads()[0].to_lowercase().contains("\r\norigin: http://127.0.0.1:"), "{:?}", pages.heads());
}

const VAULT: &str =
    r#"{"Gauges":[{"Name":"vault.expire.num_leases","Value":3,"Labels":{}}],"Counters":[],"Samples":[]}"#;

#[test]
fn a_token_is_sent_and_read_again_from_its_file() {
    let pages = Pages::on_port(|path| match path {
        "/v1/sys/health" => Page::body(r#"{"initialized":true,"sealed":false,"standby":false}"#),
        _ => Page::body(VAULT),
    });
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    let address = format!("{}/v1/sys/metrics", pages.address());
    let section = [("telemetry", &*address), ("token_file", file.to_str().unwrap())];
    let mut worker = Worker::new(spec("check_hashicorp_vault"), &section);
    let mut tick = || worker.tick(&Roots::default());
    let token = |head: &String| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with("x-vault-token: "));
        line.map(|line| line["x-vault-token: ".len()..].to_string())
    };
    let told = tick();
    let why = format!("{address}: cannot read token_file {}: no such file or directory", file.display());
    assert_eq!(told.number("vault_core_unsealed", ""), Some(1.0));
    assert!(told.faults[0].contains(&why), "{:?}", told.faults);
    for (text, shown) in [("hvs.one\n", "hvs.one"), ("hvs.two", "hvs.two")] {
        fs::write(&file, text).unwrap();
        let told = tick();
        assert_eq!((told.number("vault_expire_num_leases", ""), told.faults.len()), (Some(3.0), 0));
        let heads = pages.heads();
        let [.., health, metrics] = &heads[..] else { panic!("{heads:?}") };
        assert_eq!((token(health), token(metrics)), (None, Some(shown.into())));
    }
    fs::write(&file, "hvs.\u{7}three\nfour").unwrap();
    let faults = tick().faults;
    assert!(faults[0].contains("holds no token") && !faults[0].contains("three"), "{faults:?}");
}

#[test]
fn a_vault_standby_is_not_queried_for_data_of_the_active_node() {
    let pages = Pages::on_port(|path| match path {
        "/v1/sys/health" => Page::Status(473, r#"{"initialized":true,"sealed":false,"standby":true}"#.into()),
        _ => Page::body(VAULT),
    });
    let address = format!("{}/v1/sys/metrics", pages.address());
    let told = Worker::new(spec("check_hashicorp_vault"), &[("telemetery", &*address), ("token", "hvs.one")])
        .tick(&Roots::default());
    let state =
        ["vault_core_unsealed", "vault_core_active", "vault_expire_num_leases"].map(|name| told.number(name, ""));
    assert_eq!(state, [Some(1.0), Some(0.0), None]);
    assert_eq!(pages.asked(), ["/v1/sys/health"]);
}

#[test]
fn mntr_is_tried_again_when_the_admin_server_of_zookeeper_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (asked, fails) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, is_failing) = (Arc::clone(&asked), Arc::clone(&fails));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut word = [0; 4];
            if stream.read_exact(&mut word).is_ok() && word == *b"mntr" {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"mntr is not executed because it is not in the whitelist.\n");
            }
        }
    });
    let pages = Pages::on_port(move |path| match (path, is_failing.load(Ordering::SeqCst)) {
        ("/commands/monitor", 0) => Page::body(r#"{"znode_count":"5","avg_latency":"NaN"}"#),
        _ => Page::Status(404, String::new()),
    });
    let section = [("host", "127.0.0.1"), ("port", &*port), ("admin", &*pages.address())];
    let mut worker = Worker::new(spec("check_zookeeper"), &section);
    for (failing, count, nodes) in [(0, 1, Some(5.0)), (0, 1, Some(5.0)), (1, 1, None), (1, 2, None), (0, 3, Some(5.0))]
    {
        fails.store(failing, Ordering::SeqCst);
        let told = worker.tick(&Roots::default());
        assert_eq!((asked.load(Ordering::SeqCst), told.number("zk_znode_count", "")), (count, nodes));
        assert_eq!((told.number("zk_avg_latency", ""), told.faults.len()), (None, usize::from(failing == 1)));
    }
}

#[test]
fn a_jolokia_that_refuses_post_is_queried_by_get() {
    // Agent 2.2.9, with HTTP 200, if its policy only allows the method get: for each bean, or once for all.
    const REFUSED: &str = r#"{"error":"java.lang.Exception : HTTP method post is not allowed","status":403}"#;
    for answer in [REFUSED.to_string(), format!("[{}]", [REFUSED; 8].join(","))] {
        let pages = Pages::on_port(move |path| match path {
            "/jolokia/" => Page::body(answer.clone()),
            // A single attribute is returned without an object.
            path if path.contains("type=Compaction") => Page::body(r#"{"value":3,"status":200}"#),
            path if path.contains("type=Caches") => {
                Page::body(r#"{"value":{"KeyCacheHits":5,"KeyCacheRequests":9},"status":200}"#)
            }
            _ => Page::body(r#"{"error":"not there","status":404}"#),
        });
        let address = format!("{}/jolokia/read", pages.address());
        let mut worker = Worker::new(spec("check_cassandra"), &[("jolokia", &address)]);
        for _ in 0..2 {
            let told = worker.tick(&Roots::default());
            assert_eq!(told.number("cassa_pending_compactions", ""), Some(3.0), "{:?}", told.faults);
            assert!(told.faults[0].contains("check_cassandra3"), "{:?}", told.faults);
        }
        let posts = pages.heads().iter().filter(|head| head.starts_with("POST")).count();
        assert_eq!(posts, 1, "a refused request is not repeated");
    }
}
