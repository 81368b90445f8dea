//! check_oddeye: alive when the page came, and silent when it did not.

use super::machine::{Worker, section, spec};
use crate::support::Home;
use crate::support::server::{Server, Step};
use puypuy::fetch::Roots;
use puypuy::point::{Kind, Level, Value};
use std::fs;
use std::time::Duration;

const NAME: &str = "check_oddeye";

#[test]
fn a_page_that_came_is_a_heartbeat() {
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
fn a_page_that_did_not_come_is_silence_and_an_error() {
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
        assert!(error.starts_with("conf/system.ini:") && error.ends_with(&format!("[OddEye] url: {words}")), "{error}");
    }
}

#[test]
fn loopback_is_never_reached_through_a_proxy() {
    let server = Server::start(vec![Step::answer(200, &[], "")]);
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), format!("[OddEye]\nurl: {}\n", server.url())).unwrap();
    let mut command = home.command(&["check", NAME, "--samples", "1"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://192.0.2.1:3128");
    }
    let said = command.output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("host_alive"), "{said:?}");
}
