//! KairosDB: requests, and the verdict for each response.

use super::*;
use crate::support::server::{Server, Step};
use puypuy::sink::Refused;
use puypuy::sink::kairosdb::{KairosDb, configure};
use serde_json::json;

fn sink_for(server: &Server, more: &str) -> KairosDb {
    configure(&section(&format!("address = {}\n{more}", server.url()))).unwrap()
}

fn points(count: usize) -> Vec<Point> {
    (0..count).map(|n| tagged(&format!("m{n}"), Value::Int(1), &[("q", "a\"],[{é")])).collect()
}

fn errors(status: u16, texts: &[&str]) -> Step {
    Step::answer(status, &[("Content-Type", "application/json")], json!({ "errors": texts }).to_string())
}

fn verdict(step: Step, count: usize) -> Verdict {
    let server = Server::start(vec![step]);
    send(&mut sink_for(&server, ""), &points(count))
}

fn positions(verdict: Verdict) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let Verdict::Part { refused, again, later } = verdict else { panic!("{verdict:?}") };
    let places = |refused: &[Refused]| refused.iter().map(|refused| refused.index).collect();
    (places(&refused), again, places(&later))
}

#[test]
fn posts_milliseconds_without_gzip() {
    let server = Server::always(204);
    let mut sink = sink_for(&server, "user = u\npass = p\nauth = yes");
    assert_eq!((sink.name(), send(&mut sink, &points(30))), ("KairosDB", Verdict::Delivered));
    let request = &server.requests()[0];
    assert_eq!((request.path.as_str(), request.header("content-encoding")), ("/api/v1/datapoints", None));
    assert_eq!(request.header("authorization"), Some("Basic dTpw"));
    assert!(request.text().starts_with(r#"[{"name":"m0","timestamp":1500000000000,"value":1,"tags":{"#));
    let mut other = sink_for(&server, "datapoints = x//y\nauth = no\nuser = u\npass = p");
    send(&mut other, &points(1));
    assert_eq!((server.requests()[1].path.as_str(), server.requests()[1].header("authorization")), ("/x//y", None));
}

#[test]
fn numbered_points_are_refused_and_the_others_are_stored() {
    let told = verdict(
        errors(
            400,
            &[
                "metric[1](name=metric[9]).tag[k].value may not be empty.",
                "metric[1](name=m1).tags count must be greater than or equal to 1.",
                "metric[3](name=m3) value is an invalid type",
            ],
        ),
        5,
    );
    let Verdict::Part { refused, .. } = &told else { panic!("{told:?}") };
    assert_eq!(
        refused[1],
        Refused { index: 3, status: 400, why: "metric[3](name=m3) value is an invalid type".into() }
    );
    assert_eq!(positions(told), (vec![1, 3], vec![], vec![]));
    assert_eq!(positions(verdict(errors(400, &["metric[7].name may not be empty."]), 2)), (vec![], vec![], vec![]));
}

#[test]
fn a_syntax_error_refuses_its_point_and_later_ones_are_sent_again() {
    let server = Server::always(204);
    let mut sink = sink_for(&server, "");
    let body = String::from_utf8(only_request(&sink, &points(4)).body).unwrap();
    let second = body.find("\"m2\"").map(|byte| body[..byte].chars().count()).unwrap();
    let why = |column: usize| {
        format!("java.lang.IllegalStateException: Expected a string but was BEGIN_ARRAY at line 1 column {column}")
    };
    for (column, wanted) in [(second, 2), (second - 2, 2), (second - 9, 1), (2, 0), (body.chars().count() - 1, 3)] {
        server.script(vec![errors(400, &[&why(column)])]);
        let again: Vec<usize> = (wanted + 1..4).collect();
        assert_eq!(positions(send(&mut sink, &points(4))), (vec![wanted], again, vec![]), "{column}");
    }
}

#[test]
fn a_refusal_without_a_position_is_searched_by_halving() {
    for texts in [
        &["duplicate key: K"][..],
        &["java.lang.NumberFormatException: x"],
        &["Unregistered data point type 'x'"],
        &["metric[0] bad", "something else"],
        &[],
    ] {
        let told = verdict(errors(400, texts), 3);
        assert!(matches!(told, Verdict::Reject { status: 400, .. }), "{texts:?}: {told:?}");
    }
    let unreadable = "Use JsonReader.setLenient(true) to accept malformed JSON at line 1 column 1";
    assert!(matches!(verdict(errors(400, &[unreadable]), 2), Verdict::Reject { .. }));
}

#[test]
fn a_body_that_arrived_truncated_is_tried_again_as_a_suspect() {
    for text in
        ["Invalid json. No content due to end of input.", "java.io.EOFException: End of input at line 1 column 90"]
    {
        let cut = || errors(400, &[text]);
        let server = Server::start(vec![cut(), cut(), Step::status(204), cut()]);
        let mut sink = sink_for(&server, "");
        for count in [2, 3] {
            assert!(matches!(send(&mut sink, &points(count)), Verdict::Retry { is_suspect: true, .. }));
        }
        assert_eq!(send(&mut sink, &points(1)), Verdict::Delivered);
        assert!(matches!(send(&mut sink, &points(2)), Verdict::Retry { is_suspect: true, .. }));
    }
}

#[test]
fn configuration_errors_pause_delivery() {
    for (step, remedy) in [
        (Step::answer(200, &[], "<html>"), "address points at something else"),
        (Step::answer(401, &[], "<html>"), "check auth, user and pass"),
        (
            errors(403, &["Forbidden: INGEST API methods are disabled on this KairosDB instance."]),
            "kairosdb.server.type",
        ),
        (Step::status(404), "check address and datapoints"),
        (Step::status(405), "check address and datapoints"),
    ] {
        let told = verdict(step, 1);
        assert!(matches!(&told, Verdict::Pause { why } if why.contains(remedy)), "{told:?}");
    }
}

#[test]
fn failures_of_the_server_are_retried() {
    for body in [r#"{"errors":["no heap"]}"#, r#"{"errors":[null]}"#] {
        let told = verdict(Step::answer(500, &[], body), 1);
        assert!(matches!(told, Verdict::Retry { is_suspect: true, .. }), "{told:?}");
    }
    assert!(matches!(verdict(Step::status(413), 2), Verdict::Split { status: 413, .. }));
}

#[test]
fn gzip_is_optional_and_falls_back() {
    let unreadable = errors(400, &["Use JsonReader.setLenient(true) to accept malformed JSON at line 1 column 1"]);
    let server = Server::start(vec![unreadable, Step::status(204)]);
    let mut sink = sink_for(&server, "gzip = yes");
    assert_eq!(send(&mut sink, &points(30)), Verdict::Delivered);
    let requests = server.requests();
    assert_eq!((requests[0].header("content-encoding"), requests[1].header("content-encoding")), (Some("gzip"), None));
}
