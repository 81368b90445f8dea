//! InfluxDB 3: refused lines that it names by number, field types, and no loss of good points.

use super::*;
use crate::support::server::{Server, Step};
use puypuy::sink::influxdb::{configure, configure_2};
use std::collections::BTreeSet;

/// How much an InfluxDB 3 reports about the lines that it refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Profile {
    /// Each refused line, at most a hundred; all others are stored.
    List,
    /// Only the first one, and nothing is stored: as `/write` does.
    First,
    /// Not which one, and nothing is stored: as `/api/v2/write` does.
    Unnamed,
}

/// Measurements that hold integers on this server.
fn holds_integers(name: &str) -> bool {
    name.starts_with("integer")
}

/// The response of this server, and the series and times that it stores.
fn answer_to(body: &str, profile: Profile) -> (Step, Vec<String>) {
    let (mut bad, mut good) = (Vec::new(), Vec::new());
    for (place, line) in body.lines().enumerate() {
        let name = line.split(',').next().unwrap();
        let value = line.split(" value=").nth(1).unwrap().split(' ').next().unwrap();
        let message = match (holds_integers(name), value.ends_with('i')) {
            (true, false) => Some(("integer", "float")),
            (false, true) => Some(("float", "integer")),
            _ => None,
        };
        let message = message.map(|(expected, got)| {
            let field = "iox::column_type::field::";
            format!("invalid column type for column 'value', expected {field}{expected}, got {field}{got}")
        });
        let message = message.or(name.starts_with("bad").then(|| "No fields were provided".to_string()));
        match message {
            Some(message) => bad.push(serde_json::json!({
                "original_line": &line[..20], "line_number": place + 1, "error_message": message,
            })),
            None => good.push(line.split(" value=").map(|part| part.split(' ').next_back().unwrap()).collect()),
        }
    }
    let Some(first) = bad.first().cloned() else { return (Step::status(204), good) };
    bad.truncate(100);
    let body = match profile {
        Profile::List => serde_json::json!({ "error": "partial write of line protocol occurred", "data": bad }),
        Profile::First => serde_json::json!({ "error": "parsing failed for write_lp endpoint", "data": first }),
        Profile::Unnamed => {
            let why = first["error_message"].as_str().unwrap();
            let message = format!("write buffer error: line protocol parse failed: {why}");
            serde_json::json!({ "code": "invalid", "message": message })
        }
    };
    (Step::answer(400, &[], body.to_string()), if profile == Profile::List { good } else { Vec::new() })
}

/// Sends until each point is decided, as delivery does: retried points are sent again, a request that is refused
/// without a name is halved. Returns the lost points and the number of requests.
fn deliver(sink: &mut InfluxDb, server: &Server, profile: Profile, points: Vec<Point>) -> (Vec<Point>, usize) {
    let (mut lost, mut stored, mut requests) = (Vec::new(), BTreeSet::new(), 0);
    let count = points.len();
    let mut work = vec![points];
    while let Some(points) = work.pop() {
        let encoded = sink.encode(&points, &identity());
        for request in &encoded.requests {
            let (step, good) = answer_to(std::str::from_utf8(&request.body).unwrap(), profile);
            server.script(vec![step]);
            requests += 1;
            assert!(requests < 500, "no end");
            stored.extend(good);
            let carried = &points[request.points.clone()];
            match sink.send(request, &points, &attempt(&identity())) {
                Verdict::Delivered => {}
                Verdict::Part { refused, again, later } => {
                    assert!(later.is_empty());
                    lost.extend(refused.iter().map(|refused| points[refused.index].clone()));
                    work.push(again.iter().map(|index| points[*index].clone()).collect());
                }
                Verdict::Reject { .. } if carried.len() == 1 => lost.extend_from_slice(carried),
                Verdict::Reject { .. } => {
                    let (first, second) = carried.split_at(carried.len() / 2);
                    work.extend([second.to_vec(), first.to_vec()]);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(stored.len() + lost.len(), count, "neither stored nor refused");
    (lost, requests)
}

/// 1,012 series of floats, 12 of which the server has as integers; this many points of each.
fn points(times: i64, more: &[&str]) -> Vec<Point> {
    let names = (0..1_000).map(|number| format!("metric{number}")).chain((0..12).map(|n| format!("integer{n}")));
    let names: Vec<String> = names.chain(more.iter().map(|name| name.to_string())).collect();
    let at = |time| names.iter().map(move |name| Point { time, ..point(name, Value::Float(1.5)) });
    (0..times).flat_map(at).collect()
}

#[test]
fn twelve_wrong_types_among_a_thousand_series_lose_no_point() {
    for (profile, most) in [(Profile::List, 10), (Profile::First, 20)] {
        let server = Server::always(204);
        let mut sink = sink(&server.url(), "batch_points = 4048");
        let (lost, requests) = deliver(&mut sink, &server, profile, points(12, &[]));
        assert!(lost.is_empty() && requests <= most, "{profile:?}: {} lost, {requests} requests", lost.len());
        let (lost, requests) = deliver(&mut sink, &server, profile, points(12, &[]));
        assert_eq!((lost.len(), requests), (0, 3), "{profile:?}: it is learned");
    }
}

#[test]
fn a_wrong_type_without_a_line_is_learned_at_the_end_of_the_search() {
    let server = Server::always(204);
    let keys = format!("address = {}\norg = o\nbucket = b\ntoken = t", server.url());
    let mut sink = configure_2(&section(&keys)).unwrap();
    let (lost, requests) = deliver(&mut sink, &server, Profile::Unnamed, points(2, &[]));
    assert!(lost.is_empty() && requests < 64, "{} lost, {requests} requests", lost.len());
    let (lost, requests) = deliver(&mut sink, &server, Profile::Unnamed, points(2, &[]));
    assert_eq!((lost.len(), requests), (0, 1));
}

#[test]
fn permanently_bad_lines_are_refused_one_by_one() {
    let bad: Vec<String> = (0..11).map(|number| format!("bad{number}")).collect();
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    for profile in [Profile::List, Profile::First] {
        let server = Server::always(204);
        let mut sink = configure(&section(&format!("address = {}\ndatabase = d", server.url()))).unwrap();
        let (lost, _) = deliver(&mut sink, &server, profile, points(1, &bad));
        let mut names: Vec<&str> = lost.iter().map(|point| &*point.name).collect();
        names.sort();
        let mut wanted = bad.clone();
        wanted.sort();
        assert_eq!(names, wanted, "{profile:?}");
    }
}

/// The list ends at a hundred and says nothing about later lines.
#[test]
fn a_full_list_may_be_incomplete() {
    let names: Vec<String> = (0..250).map(|number| format!("integer{number}")).collect();
    let points: Vec<Point> = names.iter().map(|name| point(name, Value::Float(2.0))).collect();
    let server = Server::always(204);
    let mut sink = sink(&server.url(), "");
    let (lost, requests) = deliver(&mut sink, &server, Profile::List, points);
    assert_eq!((lost.len(), requests), (0, 4));
}

#[test]
fn reasons_of_lines_reach_the_rejected_area() {
    let points = [point("a", Value::Int(1)), point("b", Value::Int(2)), point("c", Value::Int(3))];
    let list = r#"{"error":"partial write of line protocol occurred","data":[
        {"original_line":"a","line_number":1,"error_message":"No fields were provided"},
        {"original_line":"b","line_number":2,
         "error_message":"invalid column type for column 'value', expected iox::column_type::field::string, got iox::column_type::field::integer"},
        {"original_line":"c","line_number":3,
         "error_message":"invalid column type for column 'host', expected iox::column_type::field::integer, got iox::column_type::tag"}]}"#;
    let server = Server::start(vec![Step::answer(400, &[], list)]);
    let Verdict::Part { refused, again, .. } = send(&mut sink(&server.url(), ""), &points) else { panic!() };
    let whys: Vec<&str> = refused.iter().map(|refused| refused.why.as_str()).collect();
    assert_eq!((whys.len(), whys[0], again.len()), (3, "No fields were provided", 0));
    assert!(whys[1].contains("field::string") && whys[2].contains("'host'"), "{whys:?}");
}
