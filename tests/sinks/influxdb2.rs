//! InfluxDB 2.x: its differences from 1.x in address, authentication and responses.

use super::*;
use crate::support::server::{Server, Step};
use puypuy::sink::influxdb::configure_2;

fn sink_2(server: &Server) -> InfluxDb {
    let keys = "organization = my org\nbucket = b&1\ntoken = s3cr3t";
    configure_2(&section(&format!("address = {}\n{keys}", server.url()))).unwrap()
}

fn answered(status: u16, code: &str, message: &str, points: &[Point]) -> Verdict {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    let server = Server::start(vec![Step::answer(status, &[("Content-Type", "application/json")], body)]);
    send(&mut sink_2(&server), points)
}

#[test]
fn posts_to_its_own_path_with_a_token() {
    let server = Server::always(204);
    let mut sink = sink_2(&server);
    assert_eq!((sink.name(), send(&mut sink, &[point("m", Value::Int(1))])), ("InfluxDB2", Verdict::Delivered));
    let request = &server.requests()[0];
    assert_eq!(request.path, "/api/v2/write?org=my%20org&bucket=b%261&precision=s");
    assert_eq!(request.header("authorization"), Some("Token s3cr3t"));
    assert_eq!(
        request.text(),
        "m,cluster=prod,group=web,host=db01.example.org,location=eu,type=system value=1i 1500000000\n"
    );
}

#[test]
fn quoted_lines_are_refused_and_all_others_sent_again() {
    let points = [point("a", Value::Int(1)), point("b", Value::Int(2)), point("c", Value::Int(3))];
    let base = "cluster=prod,group=web,host=db01.example.org,location=eu,type=system";
    let quoted = format!("unable to parse 'b,{base} value=2i 1500000000': bad");
    let Verdict::Part { refused, again, .. } = answered(400, "invalid", &quoted, &points) else { panic!() };
    assert_eq!((refused.len(), refused[0].index, again), (1, 1, vec![0, 2]));
}

#[test]
fn a_conflict_comes_as_422_and_is_learned() {
    let text = "failure writing points to database: partial write: field type conflict: input field \"value\" on \
                measurement \"m\" is type integer, already exists as type float dropped=1";
    let verdict = answered(422, "unprocessable entity", text, &[point("m", Value::Int(1))]);
    assert_eq!(verdict, Verdict::Part { refused: vec![], again: vec![0], later: vec![] });
}

#[test]
fn configuration_errors_pause_with_the_remedy_and_without_the_token() {
    for (status, code, message, remedy) in [
        (401, "unauthorized", "unauthorized access", "check token"),
        (403, "forbidden", "insufficient permissions for write", "let the token write to the bucket"),
        (404, "not found", "bucket \"b&1\" not found", "correct bucket and organization"),
    ] {
        let Verdict::Pause { why } = answered(status, code, message, &[point("m", Value::Int(1))]) else { panic!() };
        assert!(why.contains(remedy) && why.contains(message.split(' ').next().unwrap()), "{why}");
        assert!(!why.contains("s3cr3t"), "{why}");
    }
}

#[test]
fn missing_keys_are_named() {
    for (lines, expected) in [
        ("bucket = b\ntoken = t", "org: missing"),
        ("org = o\ntoken = t", "bucket: missing"),
        ("org = o\nbucket = b", "token: missing"),
        ("org = o\nbucket = b\ntoken = a\u{1}b", "token: holds a character that no token has"),
    ] {
        let error = configure_2(&section(&format!("address = http://x\n{lines}"))).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_line_named_by_its_number_is_refused_and_all_others_sent_again() {
    let points = [point("a", Value::Int(1)), point("b", Value::Int(2)), point("c", Value::Int(3))];
    let body = |number: i64| {
        let data =
            serde_json::json!({ "error_message": "invalid field", "line_number": number, "original_line": "b,x" });
        serde_json::json!({ "error": "line protocol parsing error", "data": data }).to_string()
    };
    let server = Server::start(vec![Step::answer(400, &[], body(2))]);
    let Verdict::Part { refused, again, .. } = send(&mut sink_2(&server), &points) else { panic!() };
    assert_eq!((refused.len(), refused[0].index, refused[0].why.as_str(), again), (1, 1, "invalid field", vec![0, 2]));
    for nonsense in [0, 4, -1] {
        server.script(vec![Step::answer(400, &[], body(nonsense))]);
        assert!(matches!(send(&mut sink_2(&server), &points), Verdict::Reject { .. }), "{nonsense}");
    }
}
