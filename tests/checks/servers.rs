//! What recorded answers cannot show of checks of servers: a broker that is slow to list its queues, a certificate that nobody
//! trusts.

use super::machine::{Worker, spec};
use crate::support::pages::{Page, Pages};
use crate::support::tls::{params, self_signed};
use puypuy::model::roots::Roots;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const OVERVIEW: &str = r#"{"management_version":"4.1.0","node":"a","object_totals":{"queues":1}}"#;
const QUEUES: &str = r#"{"items":[{"name":"a","vhost":"/","messages":7}],"page":1,"page_count":1}"#;

#[test]
fn a_broker_that_is_slow_to_list_its_queues_is_asked_less_often() {
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
fn a_broker_that_says_nothing_of_its_nodes_loses_these_alone() {
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
fn a_server_with_a_protocol_of_its_own_must_have_a_certificate_that_is_trusted() {
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
fn a_jolokia_that_refuses_all_is_told_in_its_words() {
    // ActiveMQ 5.18.3, with HTTP 200, to who names no origin.
    const REFUSED: &str = r#"{"error_type":"java.lang.Exception","error":"java.lang.Exception : Origin null is not allowed to call this agent","status":403}"#;
    let pages = Pages::on_port(|_| Page::body(REFUSED));
    let address = format!("{}/api/jolokia/read", pages.address());
    let told = Worker::new(spec("check_activemq"), &[("stats", &address), ("brokername", "localhost")])
        .tick(&Roots::default());
    let why = "status 403: \"java.lang.Exception : Origin null is not allowed to call this agent\"";
    assert!(told.points.is_empty() && told.faults[0].contains(why), "{:?}", told.faults);
    assert!(pages.heads()[0].to_lowercase().contains("\r\norigin: http://127.0.0.1:"), "{:?}", pages.heads());
}
