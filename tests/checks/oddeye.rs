//! check_oddeye: a heartbeat if the page was received, and none if it was not.

use super::machine::{Worker, section, spec};
use crate::support::Home;
use crate::support::server::{Server, Step};
use puypuy::model::point::{Kind, Level, Value};
use puypuy::model::roots::Roots;
use std::fs;
use std::time::Duration;

const NAME: &str = "check_oddeye";

#[test]
fn a_received_page_is_a_heartbeat() {
    let server = Server::start(vec![Step::answer(200, &[], "whatever").after(Duration::from_millis(30))]);
    let mut worker = Worker::new(spec(NAME), &[("url", &format!("{}/ok.txt", server.url()))]);
    for _ in 0..2 {
        let told = worker.tick(&Roots::default());
        told.assert_sound_as("health", "oddeye");
        let [point] = &told.points[..] else { panic!("{:?}", told.points) };
        assert_eq!((&*point.name, point.kind, point.tags.len()), ("host_alive", Kind::Gauge, 0));
        assert!(matches!(point.value, Value::Float(seconds) if (0.03..5.0).contains(&seconds)), "{point:?}");
        let event = told.event("HeartBeat").unwrap();
        assert_eq!((event.level, event.reaction), (Level::Ok, 1));
        assert_eq!(event.message, "{DURATION} without HearBeats from host");
    }
    assert_eq!(server.requests()[0].path, "/ok.txt");
}

#[test]
fn a_missing_page_gives_no_heartbeat_and_an_error() {
    let mut server = Server::start(vec![Step::answer(503, &[], "")]);
    let mut worker = Worker::new(spec(NAME), &[("url", &server.url())]);
    for words in ["HTTP 503", "cannot connect: connection refused"] {
        let told = worker.tick(&Roots::default());
        assert!(told.points.is_empty() && told.events.is_empty());
        assert_eq!(told.faults, [format!("error: {}: {words}", server.url())]);
        server.down();
    }
}

#[test]
fn without_a_page_the_check_is_off() {
    for (lines, words) in [(vec![], "missing"), (vec![("url", "")], "\"\": must not be empty")] {
        let error = (spec(NAME).build)(&section(spec(NAME), &lines)).err().unwrap().to_string();
        assert!(error.starts_with("conf/system.ini:") && error.contains(&format!("[OddEye] url: {words}")), "{error}");
    }
}

/// The output of the program for this page with this proxy in its environment.
fn told_with_proxy(url: &str, proxy: &str) -> String {
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), format!("[OddEye]\nurl: {url}\n")).unwrap();
    let mut command = home.command(&["check", NAME, "--samples", "1"]);
    command.env("http_proxy", proxy).env("all_proxy", proxy).env_remove("no_proxy").env_remove("NO_PROXY");
    let said = command.output().unwrap();
    String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
}

#[test]
fn a_proxy_is_used_except_for_loopback() {
    let server = Server::start(vec![Step::answer(200, &[], "")]);
    let told = told_with_proxy(&server.url(), "http://127.0.0.1:1");
    assert!(told.contains("host_alive"), "{told}");
    let told = told_with_proxy("http://page.test/ok?x=1", &server.url());
    assert!(told.contains("host_alive"), "{told}");
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/", "http://page.test/ok?x=1"]);
}
