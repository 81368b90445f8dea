//! InfluxDB: requests, and the verdict for each response.

use super::*;
use crate::support::server::{Server, Step};
use puypuy::sink::Refused;
use puypuy::sink::influxdb::configure;
use std::time::Duration;

fn float(name: &str) -> Point {
    point(name, Value::Float(1.5))
}

fn int(name: &str) -> Point {
    point(name, Value::Int(1))
}

fn at(time: i64, point: Point) -> Point {
    Point { time, ..point }
}

fn error(status: u16, text: &str) -> Step {
    Step::answer(
        status,
        &[("Content-Type", "application/json")],
        serde_json::json!({ "error": text }).to_string() + "\n",
    )
}

fn conflict(name: &str, sent: &str, existing: &str, dropped: usize) -> Step {
    let what =
        format!("input field \"value\" on measurement \"{name}\" is type {sent}, already exists as type {existing}");
    error(400, &format!("partial write: field type conflict: {what} dropped={dropped}"))
}

/// The verdict on the points for this response of the server.
fn verdict(step: Step, points: &[Point]) -> Verdict {
    let server = Server::start(vec![step]);
    send(&mut sink(&server.url(), ""), points)
}

fn again(points: &[usize]) -> Verdict {
    Verdict::Part { refused: vec![], again: points.to_vec(), later: vec![] }
}

fn refused_indices(verdict: &Verdict) -> Vec<usize> {
    let Verdict::Part { refused, .. } = verdict else { panic!("{verdict:?}") };
    refused.iter().map(|refused| refused.index).collect()
}

#[test]
fn posts_lines_and_accepts_204() {
    let server = Server::always(204);
    let mut sink = sink(&server.url(), "");
    let point = tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]);
    assert_eq!(send(&mut sink, &[point]), Verdict::Delivered);
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/write?db=test&precision=s"));
    let line = "sys_load_1,cluster=prod,core=0,group=web,host=db01.example.org,location=eu,type=system value=0.42 1500000000\n";
    assert_eq!(request.text(), line);
    assert_eq!(request.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request.header("content-length"), Some(line.len().to_string().as_str()));
    assert_eq!(request.header("user-agent"), Some(concat!("PuyPuy/", env!("CARGO_PKG_VERSION"))));
    for absent in ["expect", "referer", "authorization", "content-encoding", "transfer-encoding", "cookie"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
    assert_eq!(sink.notes(), Vec::<String>::new());
}

#[test]
fn a_path_and_a_query_of_the_address_are_kept_and_the_database_is_encoded() {
    let server = Server::always(204);
    let section = section(&format!("address = {}/tsdb//?rp=a%20b\ndatabase = my db&x=1/ü", server.url()));
    let mut sink = configure(&section).unwrap();
    assert_eq!(send(&mut sink, &[int("m")]), Verdict::Delivered);
    assert_eq!(server.requests()[0].path, "/tsdb/write?rp=a%20b&db=my%20db%26x%3D1%2F%C3%BC&precision=s");
}

#[test]
fn only_loopback_is_not_remote() {
    for near in ["127.0.0.1:8086", "http://localhost:8086", "http://[::1]:8086", "https://a.localhost", "127.9.9.9"] {
        assert!(!sink(near, "").is_remote(), "{near}");
    }
    for far in ["influx.example.org:8086", "http://10.0.0.1", "http://[2001:db8::1]:8086", "http://localhost.example"] {
        assert!(sink(far, "").is_remote(), "{far}");
    }
}

#[test]
fn mistakes_in_the_configuration_name_the_key() {
    let rows = [
        ("database = d", "address: missing"),
        ("address = \ndatabase = d", "address: \"\": must not be empty"),
        ("address = ftp://x\ndatabase = d", "address: expected http:// or https:// and a host"),
        ("address = http://u:hunter2@\ndatabase = d", "address: cannot be read as an address"),
        ("address = h", "database: missing"),
        ("address = h\ndatabase = d\nauth = maybe", "auth: \"maybe\": expected True or False"),
        ("address = h\ndatabase = d\nauth = yes", "user: missing"),
        ("address = h\ndatabase = d\nauth = yes\nuser = a:b\npass = hunter2", "user: must not contain a colon"),
        ("address = h\ndatabase = d\ngzip = perhaps", "gzip: \"perhaps\": expected auto, yes or no"),
        ("address = h\ndatabase = d\ntimeout = 0", "timeout: \"0\": expected seconds from 1 to 59"),
        ("address = h\ndatabase = d\nconnect_timeout = 60", "connect_timeout: \"60\": expected seconds from 1 to 59"),
        ("address = h\ndatabase = d\nbatch_points = 0", "batch_points: \"0\": expected a number from 1 to"),
        ("address = h\ndatabase = d\nproxy = socks5://p:1", "proxy: a proxy with \"socks5\" is not supported"),
        ("address = https://h\ndatabase = d\nclient_cert = /c", "client_key: missing"),
        ("address = https://h\ndatabase = d\nca_file = /no/such/file", "ca_file: /no/such/file"),
        ("address = https://h\ndatabase = d\nca_path = /no/such/dir", "ca_path: /no/such/dir"),
        ("address = https://h\ndatabase = d\nca_file = Cargo.toml", "ca_file: Cargo.toml: no certificate in PEM form"),
    ];
    for (text, wanted) in rows {
        let problem = configure(&section(text)).err().unwrap().to_string();
        assert!(problem.contains(wanted), "{text:?}: {problem}");
        assert!(problem.starts_with("config.ini:") && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn a_plain_refusal_follows_the_rules_for_any_server() {
    let rows = [
        (401, "authorization failed", "check auth, user and pass"),
        (403, "forbidden", "check user and its rights"),
        (404, "404 page not found", "check address"),
        (405, "", "check address"),
        (407, "", "key proxy"),
        (501, "", "check address"),
        (402, "payment required", "settle the account"),
        (410, "", "check address"),
        (421, "", "https://"),
        (426, "", "https://"),
        (431, "", "refuses our headers"),
        (200, "<html>", "address points at something else"),
        (202, "", "address points at something else"),
    ];
    for (status, text, remedy) in rows {
        let told = verdict(error(status, text), &[int("m")]);
        let Verdict::Pause { why } = &told else { panic!("{status}: {told:?}") };
        assert!(why.contains(remedy) && why.contains(&format!("HTTP {status}")), "{why}");
    }
}

#[test]
fn failures_of_the_server_are_retried() {
    for (status, is_suspect) in [
        (408, false),
        (425, false),
        (429, false),
        (499, false),
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (507, true),
        (599, true),
    ] {
        let told = verdict(error(status, "timeout"), &[int("m")]);
        let Verdict::Retry { why, after: None, is_suspect: told } = &told else { panic!("{status}: {told:?}") };
        assert_eq!(*told, is_suspect, "{status}");
        assert!(why.ends_with(&format!("HTTP {status}: \"timeout\"")), "{why}");
    }
    let told = verdict(Step::answer(503, &[], "request throttled, queue full"), &[int("m")]);
    assert!(matches!(&told, Verdict::Retry { why, .. } if why.contains("request throttled, queue full")), "{told:?}");
    let full = verdict(error(500, "engine: cache-max-memory-size exceeded: (1/2)"), &[int("m")]);
    assert!(matches!(full, Verdict::Retry { is_suspect: true, .. }), "{full:?}");
}

#[test]
fn retry_after_is_obeyed() {
    let rows = [
        ("7", Some(7)),
        ("0", Some(1)),
        ("99999", Some(3600)),
        ("Wed, 21 Oct 2099 07:28:00 GMT", Some(3600)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(1)),
        ("soon", None),
        ("Wed, 99 Oct 2099 07:28:00 GMT", None),
        ("Wed, 4294967295 Oct 2099 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2099 99:28:00 GMT", None),
    ];
    for (text, wanted) in rows {
        let told = verdict(Step::answer(429, &[("Retry-After", text)], ""), &[int("m")]);
        let Verdict::Retry { after, .. } = told else { panic!("{told:?}") };
        assert_eq!(after, wanted.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn redirects_are_never_followed() {
    let target = Server::always(204);
    let to = format!("{}/write?db=test&token=hunter2", target.url());
    for status in [301, 302, 303, 307, 308] {
        let told = verdict(Step::answer(status, &[("Location", &to)], ""), &[int("m")]);
        let Verdict::Pause { why } = &told else { panic!("{told:?}") };
        assert!(why.contains(&format!("redirected to \"{}/write\"", target.url())), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
    assert_eq!(target.requests().len(), 0);
}

#[test]
fn too_large_is_split() {
    let told = verdict(error(413, "Request Entity Too Large"), &[int("m")]);
    assert!(
        matches!(&told, Verdict::Split { status: 413, why } if why.contains("Request Entity Too Large")),
        "{told:?}"
    );
}

#[test]
fn other_refusals_are_rejected_for_bisection() {
    for status in [400, 411, 415, 418, 422] {
        let told = verdict(error(status, "no"), &[int("m")]);
        assert!(matches!(&told, Verdict::Reject { status: told, .. } if *told == status), "{told:?}");
    }
    for text in [
        "partial write: invalid tag key: input tag \"time\" on measurement \"m\" is invalid dropped=1",
        "partial write: key contains invalid unicode: \"x\" dropped=1",
        "unable to parse 'not one of ours': missing fields",
    ] {
        let told = verdict(error(400, text), &[int("m")]);
        assert!(matches!(&told, Verdict::Reject { status: 400, why } if why.contains(&text[..20])), "{told:?}");
    }
}

#[test]
fn an_error_list_that_is_too_long_is_rejected_for_bisection() {
    let text = format!("partial write: {}", "unable to parse 'x': bad\n".repeat(5_000));
    let told = verdict(error(400, &text), &[int("m")]);
    assert!(matches!(&told, Verdict::Reject { why, .. } if why.len() < 2_000), "{told:?}");
}

/// InfluxDB only says so to an empty body, which is never sent: something else must be answering.
#[test]
fn status_200_with_an_empty_body_is_no_success() {
    let told = verdict(Step::answer(200, &[], ""), &[int("m")]);
    assert!(matches!(&told, Verdict::Pause { why } if why.contains("points at something else")), "{told:?}");
}

#[test]
fn quoted_lines_are_refused_and_the_others_are_stored() {
    let points = [int("a"), tagged("b", Value::Int(1), &[("t", "x': y <&> \"z\"")]), int("c")];
    let server = Server::start(vec![Step::status(500)]);
    let mut sink = sink(&server.url(), "");
    let body = only_request(&sink, &points).body;
    let lines: Vec<&str> = std::str::from_utf8(&body).unwrap().lines().collect();
    let quoted =
        format!("unable to parse '{}': invalid number\nunable to parse '{}': bad timestamp", lines[1], lines[2]);
    server.script(vec![error(400, &format!("partial write: {quoted} dropped=0")), error(400, &quoted)]);

    let stored = send(&mut sink, &points);
    let why = |index, reason: &str| Refused { index, status: 400, why: format!("unable to parse: {reason}") };
    let refused = vec![why(1, "invalid number"), why(2, "bad timestamp")];
    assert_eq!(stored, Verdict::Part { refused: refused.clone(), again: vec![], later: vec![] });
    // Without `partial write` nothing at all is stored.
    assert_eq!(send(&mut sink, &points), Verdict::Part { refused, again: vec![0], later: vec![] });
}

#[test]
fn a_type_conflict_is_learned_and_its_points_are_sent_again() {
    let server = Server::start(vec![conflict("m", "float", "integer", 1), Step::status(204)]);
    let mut sink = sink(&server.url(), "");
    let points = [float("a"), float("m"), float("b")];
    assert_eq!(send(&mut sink, &points), again(&[1]));
    assert_eq!(sink.notes().len(), 1);
    assert_eq!(send(&mut sink, &points[1..2]), Verdict::Delivered);
    assert!(server.requests()[1].text().contains(" value=2i "), "{}", server.requests()[1].text());
    assert_eq!(sink.notes(), Vec::<String>::new());
}

#[test]
fn an_integer_becomes_a_float_if_the_server_has_floats() {
    let server = Server::start(vec![conflict("_q\"x, y", "integer", "float", 1), Step::status(204)]);
    let mut sink = sink(&server.url(), "");
    let points = [int("#q\"x, y")];
    assert_eq!(send(&mut sink, &points), again(&[0]));
    assert_eq!(send(&mut sink, &points), Verdict::Delivered);
    assert!(server.requests()[1].text().contains(" value=1 "), "{}", server.requests()[1].text());
}

#[test]
fn all_points_are_sent_again_if_more_were_dropped_than_named() {
    let points = [float("m"), float("n"), float("o")];
    assert_eq!(verdict(conflict("m", "float", "integer", 2), &points), again(&[0, 1, 2]));
    let spread = [float("m"), at(5, float("n"))];
    assert_eq!(verdict(conflict("m", "float", "integer", 1), &spread), again(&[0, 1]));
}

#[test]
fn a_newer_server_adds_database_and_policy_to_the_conflict() {
    let text = "partial write: field type conflict: input field \"value\" on measurement \"m\" is type float, \
                already exists as type integer, database: \"test\", retention policy: \"autogen\" dropped=1";
    assert_eq!(verdict(error(400, text), &[float("m"), float("n")]), again(&[0]));
}

#[test]
fn points_of_a_non_numeric_field_are_refused_and_the_others_sent_again() {
    let points = [float("m"), float("n"), float("m")];
    let alone = verdict(conflict("m", "float", "string", 2), &[float("m"), float("n"), at(1_500_000_000, float("m"))]);
    assert_eq!(refused_indices(&alone), [0, 2]);
    let told = verdict(conflict("m", "float", "boolean", 3), &points);
    let Verdict::Part { refused, again, .. } = &told else { panic!("{told:?}") };
    assert_eq!((refused.len(), again.as_slice()), (2, &[1][..]));
    assert!(refused[0].why.contains("already exists as type boolean"), "{refused:?}");
}

#[test]
fn no_progress_is_a_refusal() {
    let server = Server::start(vec![conflict("m", "float", "integer", 1)]);
    let mut sink = sink(&server.url(), "");
    let points = [float("m"), float("n")];
    assert_eq!(send(&mut sink, &points), again(&[0]));
    assert_eq!(refused_indices(&send(&mut sink, &points[..1])), [0]);
}

#[test]
fn learning_stops_after_eight_conflicts_in_a_row() {
    let names: Vec<String> = (0..10).map(|number| format!("m{number}")).collect();
    let points: Vec<Point> = names.iter().map(|name| float(name)).collect();
    let server = Server::start(names.iter().map(|name| conflict(name, "float", "integer", 10)).collect());
    let mut sink = sink(&server.url(), "");
    for _ in 0..8 {
        assert_eq!(send(&mut sink, &points), again(&(0..10).collect::<Vec<_>>()));
    }
    assert!(matches!(send(&mut sink, &points), Verdict::Reject { status: 400, .. }));
    // A request that was refused without a name is halved, and each half is learned again.
    assert_eq!(send(&mut sink, &points[9..]), again(&[0]));
}

#[test]
fn shards_with_different_types_are_found_by_bisection() {
    let (old, new) = (at(5, float("m")), float("m"));
    let both = [old.clone(), new.clone()];
    let server = Server::start(vec![
        conflict("m", "float", "integer", 1), // the old shard
        conflict("m", "integer", "float", 1), // now the new one
        Step::status(204),                    // the old one only
        conflict("m", "integer", "float", 1), // the new one only
        Step::status(204),
    ]);
    let mut sink = sink(&server.url(), "");
    assert_eq!(send(&mut sink, &both), again(&[0, 1]));
    assert!(matches!(send(&mut sink, &both), Verdict::Reject { .. }));
    assert_eq!(send(&mut sink, &[old]), Verdict::Delivered);
    assert_eq!(send(&mut sink, std::slice::from_ref(&new)), again(&[0]));
    assert_eq!(send(&mut sink, &[new]), Verdict::Delivered);
}

#[test]
fn an_unnamed_conflict_is_tried_once_more() {
    let server = Server::start(vec![error(400, "field type conflict")]);
    let mut sink = sink(&server.url(), "");
    let points = [int("m"), float("m"), int("n")];
    assert_eq!(send(&mut sink, &points), again(&[0, 1, 2]));
    assert!(matches!(send(&mut sink, &points), Verdict::Reject { status: 400, .. }));
    server.script(vec![Step::status(204), error(400, "field type conflict")]);
    assert_eq!(send(&mut sink, &points[..1]), Verdict::Delivered);
    assert!(server.requests()[2].text().contains(" value=1 "), "a float from now on");
    assert_eq!(send(&mut sink, &points), again(&[0, 1, 2]));
}

#[test]
fn points_beyond_retention_are_counted_and_done() {
    for text in [
        "partial write: points beyond retention policy dropped=3",
        "partial write: dropped 3 points outside retention policy of duration 1h0m0s - oldest point m at x dropped because \
         it violates a Retention Policy Lower Bound at y dropped=3",
    ] {
        let server = Server::start(vec![error(400, text)]);
        let mut sink = sink(&server.url(), "");
        assert_eq!(send(&mut sink, &[int("m")]), again(&[]));
        let notes = sink.notes();
        assert!(notes[0].contains("retention policy of \"test\"") && notes[0].contains("3 points"), "{notes:?}");
    }
}

#[test]
fn a_tag_with_too_many_values_costs_only_the_points_that_carry_it() {
    let points = [
        tagged("m", Value::Int(1), &[("k", "a \"b\", c")]),
        tagged("m", Value::Int(1), &[("k", "a")]),
        tagged("n", Value::Int(1), &[("k", "a \"b\", c")]),
        tagged("m", Value::Int(2), &[("x", "1"), ("k", "a \"b\", c")]),
    ];
    let text = r#"partial write: max-values-per-tag limit exceeded (100000/100000): measurement="m" tag="k" value="a \"b\", c" dropped=1"#;
    let told = verdict(error(400, text), &points);
    assert_eq!(refused_indices(&told), [0, 3]);
    assert!(matches!(&told, Verdict::Part { again, .. } if again == &[1, 2]), "{told:?}");
    let unknown = verdict(error(400, text), &points[1..3]);
    assert!(matches!(unknown, Verdict::Reject { .. }), "{unknown:?}");
}

#[test]
fn too_many_series_are_found_by_bisection_and_logged_once() {
    let text = "partial write: max-series-per-database limit exceeded: (1000000) dropped=1";
    let server = Server::start(vec![error(400, text)]);
    let mut sink = sink(&server.url(), "");
    for told in [1, 0, 0] {
        assert!(matches!(send(&mut sink, &[int("m")]), Verdict::Reject { status: 400, .. }));
        let notes = sink.notes();
        assert_eq!(notes.iter().filter(|note| note.contains("max-series-per-database")).count(), told, "{notes:?}");
    }
}

#[test]
fn the_message_names_the_remedy() {
    let rows = [
        (404, "database not found: \"test\"", "create it with CREATE DATABASE \"test\""),
        (403, "\"u\" user is not authorized to write to database \"test\"", "GRANT WRITE ON \"test\""),
        (500, "retention policy not found: autogen", "default retention policy is missing"),
        (400, "database is required", "does not understand our request"),
        (400, "invalid precision \"s\" (use n, u, ms, s, m or h)", "does not understand our request"),
    ];
    for (status, text, remedy) in rows {
        let told = verdict(error(status, text), &[int("m")]);
        let Verdict::Pause { why } = &told else { panic!("{text}: {told:?}") };
        assert!(why.contains(remedy) && why.starts_with("http://127.0.0.1:"), "{why}");
    }
    let queued = verdict(error(500, "write failed: hinted handoff queue not empty"), &[int("m")]);
    assert_eq!(queued, Verdict::Delivered);
}

#[test]
fn plain_http_to_a_port_with_tls_is_named() {
    for page in [
        "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
        "Client sent an HTTP request to an HTTPS server.\n",
    ] {
        let told = verdict(Step::answer(400, &[], page), &[int("m"), int("n")]);
        assert!(matches!(&told, Verdict::Pause { why } if why.ends_with("use https:// in address")), "{told:?}");
    }
}

/// InfluxDB 1.1 and before: the first conflict ends the request.
#[test]
fn without_partial_write_nothing_is_stored() {
    let what = "input field \"value\" on measurement \"m\" is type float, already exists as type";
    let points = [float("a"), float("m"), float("b")];
    let learned = verdict(error(400, &format!("write failed: field type conflict: {what} integer")), &points);
    assert_eq!(learned, again(&[0, 1, 2]));
    let told = verdict(error(400, &format!("write failed: field type conflict: {what} string")), &points);
    let Verdict::Part { refused, again, .. } = &told else { panic!("{told:?}") };
    assert_eq!((refused.len(), refused[0].index, again.as_slice()), (1, 1, &[0, 2][..]));
    let told = verdict(error(400, "write failed: points beyond retention policy"), &points);
    assert!(matches!(told, Verdict::Reject { status: 400, .. }), "{told:?}");
    // Words in a quoted line are not the server's own.
    let points = [tagged("a", Value::Int(1), &[("t", "partial write")]), int("b")];
    let body = only_request(&sink("h", ""), &points).body;
    let line = std::str::from_utf8(&body).unwrap().lines().next().unwrap();
    let told = verdict(error(400, &format!("unable to parse '{line}': bad")), &points);
    let Verdict::Part { refused, again, .. } = &told else { panic!("{told:?}") };
    assert_eq!((refused.len(), again.as_slice()), (1, &[1][..]));
}

/// A batch of several requests that were all encoded before the first response taught the type.
#[test]
fn a_type_learned_meanwhile_needs_no_search() {
    let points = [at(5, float("m")), float("m")];
    let server = Server::start(vec![conflict("m", "float", "integer", 1)]);
    let mut sink = sink(&server.url(), "");
    let request = only_request(&sink, &points);
    for _ in 0..3 {
        assert_eq!(sink.send(&request, &points, &attempt(&identity())), again(&[0, 1]));
    }
    assert_eq!(sink.notes().len(), 1);
}
