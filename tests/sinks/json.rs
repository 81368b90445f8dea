//! JSON arrays of points: expected bytes for each server, and serde_json, which must decode the original points.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn opentsdb() -> Box<dyn Sink> {
    Box::new(puypuy::sink::opentsdb::configure(&section("address = http://127.0.0.1:1")).unwrap())
}

fn kairosdb() -> Box<dyn Sink> {
    Box::new(puypuy::sink::kairosdb::configure(&section("address = http://127.0.0.1:1")).unwrap())
}

/// The beginning of a hostile base point before its tags, and the end after the usual tags.
fn opentsdb_line(name: &str, value: &str, more: &str) -> String {
    format!(
        r#"[{{"metric":"{name}","timestamp":1500000000,"value":{value},"tags":{{"host":"db01.example.org","type":"system","cluster":"prod_eu","group":"web_1"{more}}}}}]"#
    )
}

fn kairosdb_line(name: &str, value: &str, more: &str) -> String {
    format!(
        r#"[{{"name":"{name}","timestamp":1500000000000,"value":{value},"tags":{{"host":"db01.example.org","type":"system","cluster":"prod eu","group":"web=1"{more}}}}}]"#
    )
}

#[test]
fn the_examples_of_the_specification() {
    let point = || tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]);
    let tags = r#""tags":{"host":"db01.example.org","type":"system","cluster":"prod","group":"web","location":"eu","core":"0"}"#;
    assert_eq!(
        body(&*opentsdb(), &identity(), point()),
        format!(r#"[{{"metric":"sys_load_1","timestamp":1500000000,"value":0.42,{tags}}}]"#)
    );
    assert_eq!(
        body(&*kairosdb(), &identity(), point()),
        format!(r#"[{{"name":"sys_load_1","timestamp":1500000000000,"value":0.42,{tags}}}]"#)
    );
}

#[test]
fn two_points_are_two_elements() {
    let points = [point("a", Value::Int(1)), tagged("b", Value::Float(2.0), &[("k", "v")])];
    let base = r#""host":"db01.example.org","type":"system","cluster":"prod","group":"web","location":"eu""#;
    let wanted = format!(
        r#"[{{"metric":"a","timestamp":1500000000,"value":1,"tags":{{{base}}}}},{{"metric":"b","timestamp":1500000000,"value":2.0,"tags":{{{base},"k":"v"}}}}]"#
    );
    assert_eq!(text(&opentsdb().encode(&points, &identity())), wanted);
}

#[test]
fn hostile_names() {
    for (name, few, all) in [
        ("cpu load,avg=1", "cpu_load_avg_1", "cpu load,avg=1"),
        ("#temp", "_temp", "#temp"),
        ("1st", "1st", "1st"),
        ("a\nb", "a_b", "a_b"),
        (r#"say "hi"\"#, "say__hi__", r#"say \"hi\"\\"#),
        ("температура", "___________", "температура"),
        ("ok-_./9Z", "ok-_./9Z", "ok-_./9Z"),
    ] {
        let point = || point(name, Value::Float(0.5));
        assert_eq!(body(&*opentsdb(), &hostile(), point()), opentsdb_line(few, "0.5", ""), "{name:?}");
        assert_eq!(body(&*kairosdb(), &hostile(), point()), kairosdb_line(all, "0.5", ""), "{name:?}");
    }
}

#[test]
fn hostile_tags() {
    // Keys, value for OpenTSDB, value for KairosDB.
    for (value, few, all) in [
        (r"C:\", "C__", r"C:\\"),
        (r"C:\temp", "C__temp", r"C:\\temp"),
        ("a b,c=d", "a_b_c_d", "a b,c=d"),
        (r"a\,b", "a__b", r"a\\,b"),
        (r#"he said "hi""#, "he_said__hi_", r#"he said \"hi\""#),
        ("x\ny", "x_y", "x_y"),
        ("привет", "______", "привет"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("a;rm=b", "a_rm_b", "a;rm=b"),
    ] {
        let point = || tagged("m", Value::Int(1), &[("x", value)]);
        let told = |text: &str| format!(r#","x":"{text}""#);
        assert_eq!(body(&*opentsdb(), &hostile(), point()), opentsdb_line("m", "1", &told(few)), "{value:?}");
        assert_eq!(body(&*kairosdb(), &hostile(), point()), kairosdb_line("m", "1", &told(all)), "{value:?}");
    }
    for empty in ["", "   "] {
        let point = || tagged("m", Value::Int(1), &[("x", empty)]);
        assert_eq!(body(&*opentsdb(), &hostile(), point()), opentsdb_line("m", "1", ""));
        assert_eq!(body(&*kairosdb(), &hostile(), point()), kairosdb_line("m", "1", ""));
    }
    for (key, few) in [("time", "time"), ("k8s.io/app", "k8s.io/app"), ("a b", "a_b")] {
        let point = || tagged("m", Value::Int(1), &[(key, "v")]);
        assert_eq!(body(&*opentsdb(), &hostile(), point()), opentsdb_line("m", "1", &format!(r#","{few}":"v""#)));
        assert_eq!(body(&*kairosdb(), &hostile(), point()), kairosdb_line("m", "1", &format!(r#","{key}":"v""#)));
    }
}

#[test]
fn a_tag_replaces_a_base_tag_in_its_place_and_a_later_one_an_earlier() {
    let other =
        body(&*kairosdb(), &identity(), tagged("m", Value::Int(1), &[("host", "other"), ("a", "1"), ("a", "2")]));
    let tags = r#""host":"other","type":"system","cluster":"prod","group":"web","location":"eu","a":"2""#;
    assert!(other.contains(&format!(r#""tags":{{{tags}}}"#)), "{other}");
    // Keys that become the same.
    let met = body(&*opentsdb(), &identity(), tagged("m", Value::Int(1), &[("a b", "1"), ("a_b", "2")]));
    assert!(met.contains(r#""location":"eu","a_b":"2"}"#), "{met}");
    let filled = body(&*kairosdb(), &hostile(), tagged("m", Value::Int(1), &[("location", "moon")]));
    assert!(filled.contains(r#""group":"web=1","location":"moon"}"#), "{filled}");
}

#[test]
fn the_host_of_a_point_and_a_missing_type() {
    let mut watched = point("m", Value::Int(1));
    watched.host = Some("switch 7".into());
    watched.check_type = "".into();
    let written = body(&*opentsdb(), &identity(), watched);
    assert!(written.contains(r#"{"host":"switch_7","type":"untyped","cluster":"prod""#), "{written}");
}

#[test]
fn opentsdb_gets_the_first_three_of_many_tags() {
    let tags = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    let few = body(&*opentsdb(), &hostile(), tagged("m", Value::Int(1), &tags));
    assert_eq!(few, opentsdb_line("m", "1", r#","a":"1","b":"2","c":"3""#));
    let all = body(&*kairosdb(), &hostile(), tagged("m", Value::Int(1), &tags));
    assert_eq!(all, kairosdb_line("m", "1", r#","a":"1","b":"2","c":"3","d":"4""#));
}

#[test]
fn integers_and_floats_keep_their_type() {
    for (value, wanted) in [
        (Value::Int(5), "5"),
        (Value::Int(i64::MAX), "9223372036854775807"),
        (Value::Int(i64::MIN), "-9223372036854775808"),
        (Value::Float(5.0), "5.0"),
        (Value::Float(-0.5), "-0.5"),
        (Value::Float(0.00001), "0.00001"),
        (Value::Float(1e-7), "1.0e-7"),
        (Value::Float(1.5e-7), "1.5e-7"),
        (Value::Float(1e15), "1000000000000000.0"),
        (Value::Float(1e300), "1.0e300"),
        (Value::Float(18446744073709551615.0), "1.8446744073709552e19"),
    ] {
        let point = || point("m", value);
        assert_eq!(body(&*opentsdb(), &hostile(), point()), opentsdb_line("m", wanted, ""));
        assert_eq!(body(&*kairosdb(), &hostile(), point()), kairosdb_line("m", wanted, ""));
    }
}

#[test]
fn only_points_that_cannot_be_encoded_are_refused() {
    let long = "x".repeat(70_000);
    let points = [
        point("a", Value::Int(1)),
        point("b", Value::Float(f64::NAN)),
        point(&long, Value::Int(1)),
        tagged("c", Value::Int(1), &[(&long, "v")]),
        point("d", Value::Float(f64::INFINITY)),
        point("e", Value::Int(2)),
    ];
    for sink in [opentsdb(), kairosdb()] {
        let encoded = sink.encode(&points, &identity());
        let refused: Vec<usize> = encoded.refused.iter().map(|refused| refused.index).collect();
        assert_eq!(refused, [1, 2, 3, 4], "{}", sink.name());
        let sent: Vec<usize> = encoded.requests.iter().flat_map(|request| request.points.clone()).collect();
        assert_eq!(sent, [0, 5]);
        for request in &encoded.requests {
            let array: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(array.len(), request.points.len());
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => "[a-z_.]{1,12}",
        3 => "[ -~]{1,12}",
        1 => "\\PC{1,8}",
        1 => Just("host".to_string()),
        1 => Just("type".to_string()),
        1 => Just("location".to_string()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Float),
        (-1e6..1e6).prop_map(|number: f64| Value::Float(number.round())),
    ]
}

prop_compose! {
    fn any_point()(
        name in word(),
        value in value(),
        time in 0..4_000_000_000i64,
        check_type in prop_oneof![Just(String::new()), word()],
        tags in prop::collection::vec((word(), word()), 0..6),
        host in prop::option::of(word()),
    ) -> Point {
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let point = tagged(&name, value, &tags);
        Point { time, check_type: check_type.into(), host: host.map(|host| host.as_str().into()), ..point }
    }
}

/// What a strict JSON reader must find for a point: name, milliseconds, tags.
fn meant(point: &Point) -> (String, i64, BTreeMap<String, String>) {
    let identity = identity();
    let host = point.host.as_deref().unwrap_or(&identity.host);
    let kind = if point.check_type.is_empty() { "untyped" } else { &*point.check_type };
    let base = [("host", host), ("type", kind), ("cluster", "prod"), ("group", "web"), ("location", "eu")];
    let mut tags: BTreeMap<String, String> = base.map(|(key, value)| (key.into(), value.into())).into();
    tags.extend(point.tags.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    (point.name.to_string(), point.time * 1000, tags)
}

proptest! {
    #[test]
    fn a_json_reader_decodes_the_original_points(points in prop::collection::vec(any_point(), 1..40)) {
        let (points, _, _) = normalise(points);
        let sink = puypuy::sink::kairosdb::configure(&section("address = x\nbatch_points = 7\nbatch_bytes = 1500")).unwrap();
        let encoded = sink.encode(&points, &identity());
        let mut next = 0;
        for request in &encoded.requests {
            prop_assert_eq!(request.points.start, next);
            next = request.points.end;
            prop_assert!(request.points.len() <= 7);
            prop_assert!(request.body.len() <= 1500 || request.points.len() == 1);
            let array: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
            prop_assert_eq!(array.len(), request.points.len());
            for (element, point) in array.iter().zip(&points[request.points.clone()]) {
                let (name, time, tags) = meant(point);
                prop_assert_eq!(&element["name"], &json!(name));
                prop_assert_eq!(&element["timestamp"], &json!(time));
                prop_assert_eq!(&element["tags"], &json!(tags));
                match point.value {
                    Value::Int(number) => prop_assert_eq!(element["value"].as_i64(), Some(number)),
                    Value::Float(number) => {
                        prop_assert!(element["value"].is_f64());
                        prop_assert_eq!(element["value"].as_f64().unwrap(), number);
                    }
                }
            }
        }
        prop_assert_eq!(next, points.len());
    }

    #[test]
    fn opentsdb_only_gets_characters_that_it_accepts(points in prop::collection::vec(any_point(), 1..20)) {
        let (points, _, _) = normalise(points);
        let encoded = opentsdb().encode(&points, &identity());
        let is_stored = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        for request in &encoded.requests {
            for element in serde_json::from_slice::<Vec<serde_json::Value>>(&request.body).unwrap() {
                prop_assert!(is_stored(element["metric"].as_str().unwrap()));
                let tags = element["tags"].as_object().unwrap();
                prop_assert!(tags.len() <= 8);
                prop_assert!(tags.iter().all(|(key, value)| is_stored(key) && is_stored(value.as_str().unwrap())));
            }
        }
    }
}
