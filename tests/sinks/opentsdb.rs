//! OpenTSDB: requests, and the verdict for each response.

use super::*;
use crate::support::server::{Server, Step, answer};
use puypuy::sink::Refused;
use puypuy::sink::opentsdb::{OpenTsdb, configure};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

fn sink_for(server: &Server, more: &str) -> OpenTsdb {
    configure(&section(&format!("address = {}\n{more}", server.url()))).unwrap()
}

fn int(name: &str) -> Point {
    point(name, Value::Int(1))
}

/// The `errors` as the server writes them: the point has its tags in another order and its value as text.
fn complaint(point: &Point, error: &str) -> serde_json::Value {
    let mut tags = serde_json::Map::new();
    for (key, value) in
        [("type", "system"), ("location", "eu"), ("host", "db01.example.org"), ("group", "web"), ("cluster", "prod")]
    {
        tags.insert(key.into(), value.into());
    }
    tags.extend(point.tags.iter().map(|(key, value)| (key.to_string(), value.into())));
    json!({ "error": error, "datapoint": { "tags": tags, "value": "1", "timestamp": point.time, "metric": point.name } })
}

fn details(status: u16, success: usize, errors: &[serde_json::Value], timeouts: Option<usize>) -> Step {
    let mut body = json!({ "success": success, "failed": errors.len(), "errors": errors });
    if let Some(timeouts) = timeouts {
        body["timeouts"] = timeouts.into();
    }
    Step::answer(status, &[("Content-Type", "application/json; charset=UTF-8")], body.to_string())
}

fn error(status: u16, message: &str) -> Step {
    Step::answer(status, &[], json!({ "error": { "code": status, "message": message } }).to_string())
}

fn verdict(step: Step, points: &[Point]) -> Verdict {
    let server = Server::start(vec![step]);
    send(&mut sink_for(&server, ""), points)
}

fn indices(points: &[Refused]) -> Vec<usize> {
    points.iter().map(|point| point.index).collect()
}

/// The points kept for later, if nothing else is missing.
fn only_later(verdict: &Verdict) -> Vec<usize> {
    let Verdict::Part { refused, again, later } = verdict else { panic!("{verdict:?}") };
    assert!(refused.is_empty() && again.is_empty() && later.iter().all(|point| !point.why.is_empty()), "{verdict:?}");
    indices(later)
}

#[test]
fn posts_an_array_and_asks_for_details() {
    let server = Server::always(204);
    let mut sink = sink_for(&server, "");
    assert_eq!((sink.name(), send(&mut sink, &[int("m")])), ("OpenTSDB", Verdict::Delivered));
    let request = &server.requests()[0];
    assert_eq!(request.path, "/api/put?details&sync&sync_timeout=8000");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.text().starts_with(r#"[{"metric":"m","timestamp":1500000000,"value":1,"tags":{"#));
    for absent in ["expect", "transfer-encoding", "authorization", "content-encoding"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

#[test]
fn configured_parameters_are_kept() {
    let server = Server::always(204);
    let mut sink = sink_for(&server, "datapoints = tsd/put?summary&sync_timeout=0");
    send(&mut sink, &[int("m")]);
    assert_eq!(server.requests()[0].path, "/tsd/put?summary&sync_timeout=0&details&sync");
}

#[test]
fn no_request_is_longer_on_the_wire_than_the_server_accepts() {
    let server = Server::always(204);
    let mut sink = sink_for(&server, "");
    let scattered =
        |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
    let names: Vec<String> = (1..=1500).map(|n| format!("metric_{:x}_{:x}", scattered(n), scattered(n * n))).collect();
    let points: Vec<Point> = names.iter().map(|name| point(name, Value::Float(0.1 + name.len() as f64))).collect();
    let encoded = sink.encode(&points, &identity());
    assert!(encoded.refused.is_empty());
    let order: Vec<usize> = encoded.requests.iter().flat_map(|request| request.points.clone()).collect();
    assert_eq!(order, (0..1500).collect::<Vec<_>>());
    let verdicts = sink.send_all(&encoded.requests, &points, &attempt(&identity()));
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Delivered), "{verdicts:?}");
    let requests = server.requests();
    assert!(requests.len() > 3 && requests.iter().all(|request| request.raw.len() <= 7_900), "{}", requests.len());
    assert_eq!(requests[0].header("content-encoding"), Some("gzip"));
    // Without gzip fewer points fit.
    let plain = sink_for(&server, "gzip = no").encode(&points, &identity());
    assert!(plain.requests.iter().all(|request| request.body.len() <= 7_900));
    assert_eq!(plain.requests.iter().map(|request| request.points.len()).sum::<usize>(), 1500);
}

#[test]
fn a_point_that_is_too_long_alone_is_refused() {
    let server = Server::always(204);
    let sink = sink_for(&server, "gzip = no");
    let encoded = sink.encode(&[int("a"), int(&"x".repeat(9_000)), int("b")], &identity());
    assert_eq!(encoded.refused.len(), 1);
    assert!(encoded.refused[0].index == 1 && encoded.refused[0].why.contains("the limit of a request is 7900"));
    assert_eq!(encoded.requests.iter().map(|request| request.points.clone()).collect::<Vec<_>>(), [0..1, 2..3]);
}

#[test]
fn all_stored() {
    assert_eq!(verdict(details(200, 1, &[], None), &[int("m")]), Verdict::Delivered);
    assert_eq!(verdict(details(200, 1, &[], Some(0)), &[int("m")]), Verdict::Delivered);
}

#[test]
fn named_points_are_refused_and_the_others_are_stored() {
    let points = [int("a"), tagged("b", Value::Int(1), &[("x", "y z")]), int("c")];
    let mut echo = complaint(&points[1], "Unable to parse value to a number");
    echo["datapoint"]["tags"]["x"] = "y_z".into();
    let Verdict::Part { refused, again, later } = verdict(details(400, 2, &[echo], None), &points) else { panic!() };
    assert_eq!((refused.len(), refused[0].index, refused[0].status), (1, 1, 400));
    assert!(again.is_empty() && later.is_empty());
}

#[test]
fn each_error_message_has_its_verdict() {
    let refused = [
        "Metric name was empty",
        "Invalid timestamp",
        "Empty value",
        "Missing tags",
        "Unable to parse value to a number",
        "Invalid metric name (\"a b\"): illegal character:  ",
        "Invalid tag name (\"\"): empty string",
        "Invalid tag value",
        "Too many tags: 9 maximum allowed: 8, tags: {}",
        "Need at least one tag (metric=m)",
        "value is NaN or Infinite",
        "bad timestamp=15000000000000",
        "Unknown metric",
    ];
    let points = [int("a"), int("b")];
    for text in refused {
        let told = verdict(details(400, 1, &[complaint(&points[1], text)], None), &points);
        let Verdict::Part { refused, later, .. } = &told else { panic!("{text}: {told:?}") };
        assert!(later.is_empty() && refused[0].index == 1 && refused[0].why.starts_with(text), "{told:?}");
        assert_eq!(refused[0].why.contains("auto_create_metrics"), text == "Unknown metric");
    }
    for text in ["Storage exception: java.lang.X", "Please throttle", "Timeout exception", "Write timedout"] {
        for status in [200, 400] {
            let told = verdict(details(status, 1, &[complaint(&points[1], text)], None), &points);
            assert_eq!(only_later(&told), [1], "{text}");
        }
    }
}

#[test]
fn failing_storage_counts_as_a_server_that_is_away() {
    let points = [int("a"), int("b")];
    let errors: Vec<_> = points.iter().map(|point| complaint(point, "Storage exception: a\n at b")).collect();
    let told = verdict(details(200, 0, &errors, None), &points);
    assert!(
        matches!(&told, Verdict::Retry { why, is_suspect: false, .. } if why.contains("nothing was stored: Storage exc")),
        "{told:?}"
    );
    let told = verdict(details(400, 0, &[], Some(2)), &points);
    assert!(matches!(&told, Verdict::Retry { why, .. } if why.contains("storage timed out")), "{told:?}");
}

#[test]
fn after_a_timeout_all_points_except_refused_ones_are_sent_again() {
    let points = [int("a"), int("b"), int("c")];
    // The server names the wrong points as timed out.
    let errors = [complaint(&points[0], "Unable to parse value to a number"), complaint(&points[0], "Write timedout")];
    let Verdict::Part { refused, later, .. } = verdict(details(400, 1, &errors, Some(1)), &points) else { panic!() };
    assert_eq!((refused.len(), refused[0].index, indices(&later)), (1, 0, vec![1, 2]));
}

#[test]
fn an_unknown_error_is_tried_five_times() {
    let points = [int("a"), int("b")];
    let server = Server::start(vec![details(400, 1, &[complaint(&points[1], "Unexpected exception")], None)]);
    let mut sink = sink_for(&server, "");
    for _ in 0..4 {
        assert_eq!(only_later(&send(&mut sink, &points)), [1]);
    }
    let Verdict::Part { refused, later, .. } = send(&mut sink, &points) else { panic!() };
    assert_eq!((refused.len(), refused[0].index, later.len()), (1, 1, 0));
}

#[test]
fn errors_about_unknown_points_cost_one_repeat_and_then_a_search() {
    let points = [int("a"), int("b")];
    let mut echo = complaint(&points[1], "Invalid tag value");
    echo["datapoint"]["tags"]["added"] = "by a plug-in".into();
    let server = Server::start(vec![details(400, 1, &[echo], None)]);
    let mut sink = sink_for(&server, "");
    assert_eq!(send(&mut sink, &points), Verdict::Part { refused: vec![], again: vec![0, 1], later: vec![] });
    let told = send(&mut sink, &points);
    assert!(matches!(&told, Verdict::Reject { status: 400, why } if why.contains("1 points failed")), "{told:?}");
}

#[test]
fn a_response_without_an_error_list_is_searched_by_halving() {
    for step in [
        error(400, "Unable to parse the given JSON"),
        Step::answer(400, &[], "{\"failed\":1,\"errors\":[{"),
        Step::answer(400, &[], format!("{{\"failed\":1,\"errors\":[\"{}\"]}}", "x".repeat(5 << 20))),
    ] {
        let told = verdict(step, &[int("m")]);
        assert!(matches!(told, Verdict::Reject { status: 400, .. }), "{told:?}");
    }
}

#[test]
fn a_body_that_is_too_long_is_split_and_the_next_are_shorter() {
    let page = "<!DOCTYPE html><p>Chunked request not supported.</p>";
    let server = Server::start(vec![Step::answer(400, &[], page)]);
    let mut sink = sink_for(&server, "gzip = no\nbatch_bytes = 100000");
    let points: Vec<Point> = (0..300).map(|n| int(&format!("m{n}"))).collect();
    assert_eq!(sink.encode(&points, &identity()).requests.len(), 1);
    assert!(matches!(send(&mut sink, &points), Verdict::Split { status: 400, .. }));
    let notes = sink.notes();
    assert!(notes.len() == 1 && notes[0].contains("tsd.http.request.max_chunk"), "{notes:?}");
    assert!(sink.encode(&points, &identity()).requests.len() >= 2);
}

#[test]
fn a_server_that_hangs_up_twice_on_a_long_body_gets_shorter_ones() {
    let server = Server::start(vec![Step::Close]);
    let mut long = sink_for(&server, "gzip = no\nbatch_bytes = 100000");
    let points: Vec<Point> = (0..300).map(|n| int(&format!("m{n}"))).collect();
    assert!(matches!(send(&mut long, &points), Verdict::Retry { .. }));
    assert!(matches!(send(&mut long, &points), Verdict::Split { .. }));
    let mut short = sink_for(&server, "gzip = no");
    for _ in 0..3 {
        assert!(matches!(send(&mut short, &[int("m")]), Verdict::Retry { .. }));
    }
}

#[test]
fn a_server_that_cannot_read_gzip_gets_plain_text() {
    let points: Vec<Point> = (0..20).map(|n| int(&format!("m{n}"))).collect();
    for unread in [error(400, "The JSON must start as an object or an array"), Step::Close] {
        let server = Server::start(vec![unread, Step::status(204)]);
        let mut sink = sink_for(&server, "");
        assert_eq!(send(&mut sink, &points), Verdict::Delivered);
        let codings: Vec<_> =
            server.requests().iter().map(|request| request.header("content-encoding").is_some()).collect();
        assert_eq!(codings, [true, false]);
        assert!(sink.notes().iter().any(|note| note.contains("gzip is off from now on")));
    }
}

#[test]
fn configuration_errors_pause_delivery() {
    for (step, remedy) in [
        (Step::answer(200, &[("Content-Type", "text/html")], "<html>OpenTSDB"), "address points at something else"),
        (Step::answer(200, &[], r#"{"failed":0,"status":"ok"}"#), "address points at something else"),
        (error(400, "Unable to check Authentication for/api/put"), "check user and its rights"),
        (error(401, "no"), "check auth, user and pass"),
        (error(403, "no"), "check user and its rights"),
        (error(404, "Endpoint not found"), "tsd.mode"),
        (error(405, "Method not allowed"), "check address"),
        (error(501, "no"), "check address"),
        (error(407, "no"), "key proxy"),
    ] {
        let told = verdict(step, &[int("m")]);
        assert!(matches!(&told, Verdict::Pause { why } if why.contains(remedy)), "{told:?}");
    }
}

#[test]
fn a_refusal_with_an_endless_body_counts_by_its_status() {
    let start = Instant::now();
    let told = verdict(Step::Answer(b"HTTP/1.1 401 Unauthorized\r\n\r\nno".to_vec()), &[int("m")]);
    assert!(matches!(&told, Verdict::Pause { why } if why.contains("HTTP 401")), "{told:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn failures_of_the_server_are_retried() {
    let told = verdict(error(500, "Should never be here"), &[int("m")]);
    assert!(matches!(&told, Verdict::Retry { is_suspect: true, why, .. } if why.contains("Should never")), "{told:?}");
    assert!(matches!(verdict(error(413, "large"), &[int("m")]), Verdict::Split { status: 413, .. }));
    assert!(matches!(verdict(Step::CloseAtAccept, &[int("m")]), Verdict::Retry { .. }));
}

#[test]
fn tags_that_do_not_fit_are_logged_once_per_metric() {
    let server = Server::always(204);
    let mut sink = sink_for(&server, "");
    let tags = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    let points = [tagged("m", Value::Int(1), &tags), tagged("n", Value::Int(1), &tags[..3])];
    send(&mut sink, &points);
    send(&mut sink, &points);
    assert_eq!(sink.notes(), ["m: 4 tags of its own, only the first 3 are sent"]);
}

#[test]
fn a_long_error_list_is_read_whole() {
    let points: Vec<Point> = (0..500).map(|n| int(&format!("m{n}"))).collect();
    let stack = "x".repeat(1300);
    let errors: Vec<_> =
        points.iter().skip(1).map(|point| complaint(point, &format!("Storage exception: {stack}"))).collect();
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let Step::Answer(plain) = details(200, 1, &errors, None) else { panic!() };
    let body = plain.split(|byte| *byte == b'\r').next_back().unwrap();
    zipped.write_all(&body[1..]).unwrap();
    for step in [
        details(200, 1, &errors, None),
        Step::Answer(answer(200, &[("Content-Encoding", "gzip")], &zipped.finish().unwrap())),
    ] {
        let Verdict::Part { later, .. } = verdict(step, &points) else { panic!() };
        assert_eq!(indices(&later), (1..500).collect::<Vec<_>>());
    }
}

#[test]
fn one_of_two_hundred_points_may_wait_for_the_storage() {
    let points: Vec<Point> = (0..200).map(|n| int(&format!("m{n}"))).collect();
    let refused = [complaint(&points[77], "Storage exception: NotServingRegionException")];
    for status in [200, 400] {
        assert_eq!(only_later(&verdict(details(status, 199, &refused, None), &points)), [77]);
    }
    // It is not known which ones timed out, only that not all did.
    assert_eq!(only_later(&verdict(details(400, 150, &[], Some(50)), &points)).len(), 200);
}

#[test]
fn a_success_count_that_is_too_low_is_no_success() {
    let points = [int("a"), int("b")];
    for success in [0, 1, 3] {
        let told = verdict(details(200, success, &[], None), &points);
        assert_eq!(told, Verdict::Part { refused: vec![], again: vec![0, 1], later: vec![] }, "{success}");
    }
}

/// The errors of one request do not hide that the response to another one is puzzling.
#[test]
fn each_request_has_its_own_repeat() {
    let server =
        Server::start(vec![details(200, 0, &[], None), details(200, 1, &[], None), details(200, 0, &[], None)]);
    let mut sink = sink_for(&server, "");
    assert!(matches!(send(&mut sink, &[int("a")]), Verdict::Part { .. }));
    assert_eq!(send(&mut sink, &[int("b")]), Verdict::Delivered);
    assert!(matches!(send(&mut sink, &[int("a")]), Verdict::Reject { .. }));
}

/// A server that responds by the content of the body: a status, and milliseconds to wait before.
fn by_body(pick: fn(&str) -> (u16, u64)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = move |mut stream: TcpStream| {
        let mut text = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).unwrap_or(0);
            text.extend_from_slice(&part[..count]);
            let whole = String::from_utf8_lossy(&text).into_owned();
            if whole.ends_with("}}]") {
                text.clear();
                let (status, wait) = pick(&whole);
                std::thread::sleep(Duration::from_millis(wait));
                let _ = stream.write_all(&answer(status, &[], b""));
            } else if count == 0 {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| {
            std::thread::spawn(move || serve(stream));
        })
    });
    address
}

#[test]
fn eight_concurrent_requests_keep_the_order_of_their_verdicts() {
    static ALL_ARE_HERE: Barrier = Barrier::new(8);
    let address = by_body(|body| {
        ALL_ARE_HERE.wait();
        match body {
            _ if body.contains("\"m0\"") => (413, 300),
            _ if body.contains("\"m3\"") => (503, 100),
            _ => (204, 200),
        }
    });
    let keys = format!("address = {address}\nbatch_points = 1\ngzip = no");
    let mut sink = configure(&section(&keys)).unwrap();
    assert_eq!((sink.lanes(), sink.full_request()), (8, 1));
    let points: Vec<Point> = (0..8).map(|n| int(&format!("m{n}"))).collect();
    let requests = sink.encode(&points, &identity()).requests;
    let verdicts = sink.send_all(&requests, &points, &attempt(&identity()));
    let kinds: Vec<&str> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Split { .. } => "split",
            Verdict::Retry { .. } => "retry",
            other => panic!("{other:?}"),
        })
        .collect();
    let all = ["split", "delivered", "delivered", "retry", "delivered", "delivered", "delivered", "delivered"];
    assert_eq!(kinds, all);
}

#[test]
fn the_connections_of_all_lanes_are_kept_and_replaced_if_dead() {
    let server = Server::start(vec![Step::status(204).after(Duration::from_millis(50))]);
    let mut sink = sink_for(&server, "batch_points = 1");
    let points: Vec<Point> = (0..8).map(|n| int(&format!("m{n}"))).collect();
    let requests = sink.encode(&points, &identity()).requests;
    for (sent, connections) in [(8, 8), (16, 8), (24, 16)] {
        let verdicts = sink.send_all(&requests, &points, &attempt(&identity()));
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Delivered), "{verdicts:?}");
        assert_eq!((server.requests().len(), server.connections()), (sent, connections));
        if sent == 16 {
            server.disconnect();
        }
    }
    // Requests beyond the number of lanes are sent in further rounds.
    let twice: Vec<_> = requests.iter().chain(&requests).cloned().collect();
    assert_eq!(sink.send_all(&twice, &points, &attempt(&identity())).len(), 16);
    // A single request uses an existing connection.
    assert_eq!(sink.send(&requests[0], &points, &attempt(&identity())), Verdict::Delivered);
    assert_eq!((server.requests().len(), server.connections()), (41, 16));
}

#[test]
fn connections_that_die_with_their_requests_are_repeated_once_each() {
    let server = Server::start(vec![Step::status(204).after(Duration::from_millis(50))]);
    let mut sink = sink_for(&server, "batch_points = 1");
    let points: Vec<Point> = (0..3).map(|n| int(&format!("m{n}"))).collect();
    let requests = sink.encode(&points, &identity()).requests;
    sink.send_all(&requests, &points, &attempt(&identity()));
    server.script(vec![Step::Close, Step::Close, Step::status(204)]);
    let verdicts = sink.send_all(&requests, &points, &attempt(&identity()));
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Delivered), "{verdicts:?}");
    assert_eq!(server.requests().len(), 8);
    server.script(vec![Step::Close]);
    let verdicts = sink.send_all(&requests, &points, &attempt(&identity()));
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry { is_suspect: true, .. })), "{verdicts:?}");
    assert_eq!(server.requests().len(), 14);
}

#[test]
fn a_server_that_goes_down_under_several_requests_does_not_make_them_shorter() {
    let server = Server::start(vec![Step::Close]);
    let mut sink = sink_for(&server, "gzip = no\nbatch_bytes = 20000");
    let points: Vec<Point> = (0..300).map(|n| int(&format!("m{n}"))).collect();
    let requests = sink.encode(&points, &identity()).requests;
    assert!(requests.len() >= 3);
    let verdicts = sink.send_all(&requests, &points, &attempt(&identity()));
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })), "{verdicts:?}");
    let verdicts = sink.send_all(&requests, &points, &attempt(&identity()));
    assert!(matches!(verdicts[0], Verdict::Split { .. }), "{verdicts:?}");
}

#[test]
fn the_learned_request_size_can_be_forgotten() {
    let server = Server::always(413);
    let mut sink = sink_for(&server, "gzip = no\nbatch_bytes = 100000\nbatch_points = 400");
    let points: Vec<Point> = (0..300).map(|n| int(&format!("m{n}"))).collect();
    let configured = sink.encode(&points, &identity());
    assert_eq!((configured.requests.len(), sink.full_request()), (1, 400));
    assert!(matches!(send(&mut sink, &points), Verdict::Split { status: 413, .. }));
    assert!(sink.encode(&points, &identity()).requests.len() >= 2);
    sink.forget_sizes();
    assert_eq!(sink.encode(&points, &identity()), configured);
}

#[test]
fn the_default_port_is_shown_if_the_address_has_none() {
    let told = send(&mut configure(&section("address = 127.0.0.1\nconnect_timeout = 1")).unwrap(), &[int("m")]);
    let Verdict::Retry { why, .. } = &told else { panic!("{told:?}") };
    let wanted = "http://127.0.0.1:80: cannot connect: connection refused; OpenTSDB usually listens on 4242";
    assert_eq!(why, wanted);
}
