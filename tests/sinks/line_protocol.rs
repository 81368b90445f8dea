//! Line protocol: expected bytes, and a reader written from the grammar, which must decode the original points.

use super::*;
use proptest::prelude::*;
use puypuy::sink::cutter::Limits;
use puypuy::sink::line_protocol::{FieldType, LineProtocol, measurement};
use std::collections::BTreeMap;

const USUAL: Limits = Limits { points: 5_000, bytes: 1 << 20 };

fn encoder() -> LineProtocol {
    LineProtocol::new()
}

/// Normalises and encodes one point, without the line end.
fn line(identity: &Identity, point: Point) -> String {
    let (points, refused, _) = normalise(vec![point]);
    assert!(refused.is_empty());
    let line = text(&encoder().encode(&points, identity, USUAL));
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    line.trim_end().into()
}

fn number(value: Value) -> String {
    let line = line(&identity(), point("m", value));
    line.split(" value=").nth(1).unwrap().split(' ').next().unwrap().into()
}

#[test]
fn the_example_of_the_specification() {
    let point = tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]);
    let wanted =
        "sys_load_1,cluster=prod,core=0,group=web,host=db01.example.org,location=eu,type=system value=0.42 1500000000";
    assert_eq!(line(&identity(), point), wanted);
}

#[test]
fn two_points_are_two_lines() {
    let points = [point("a", Value::Int(1)), point("b", Value::Float(2.5))];
    let base = "cluster=prod,group=web,host=db01.example.org,location=eu,type=system";
    let wanted = format!("a,{base} value=1i 1500000000\nb,{base} value=2.5 1500000000\n");
    assert_eq!(text(&encoder().encode(&points, &identity(), USUAL)), wanted);
}

#[test]
fn hostile_names() {
    let rows = [
        ("cpu load,avg=1", r"cpu\ load\,avg=1"),
        ("#temp", "_temp"),
        ("##temp", "_#temp"),
        ("1st", "1st"),
        (r"back\slash", r"back\slash"),
        (r"ends\\", "ends"),
        ("тест", "тест"),
        ("a\nb", "a_b"),
        ("  a b  ", r"a\ b"),
        (r#"say "hi""#, r#"say\ "hi""#),
    ];
    for (name, wanted) in rows {
        let line = line(&hostile(), point(name, Value::Float(0.5)));
        let rest = r",cluster=prod\ eu,group=web\=1,host=db01.example.org,type=system value=0.5 1500000000";
        assert_eq!(line, format!("{wanted}{rest}"), "{name:?}");
    }
}

#[test]
fn hostile_tag_values() {
    let rows = [
        (r"C:\", "C:"),
        (r"C:\temp", r"C:\temp"),
        ("a b,c=d", r"a\ b\,c\=d"),
        (r"a\,b", r"a\\,b"),
        (r#"he said "hi""#, r#"he\ said\ "hi""#),
        ("x\ny", "x_y"),
        ("привет", "привет"),
        ("10.0.0.1", "10.0.0.1"),
        ("a;rm=b", r"a;rm\=b"),
    ];
    for (value, wanted) in rows {
        let line = line(&identity(), tagged("m", Value::Int(1), &[("x", value)]));
        let base = "m,cluster=prod,group=web,host=db01.example.org,location=eu,type=system";
        assert_eq!(line, format!("{base},x={wanted} value=1i 1500000000"), "{value:?}");
    }
    for value in ["", "   ", r"\", r"\\\"] {
        assert!(!line(&identity(), tagged("m", Value::Int(1), &[("x", value)])).contains("x="), "{value:?}");
    }
}

#[test]
fn hostile_tag_keys() {
    let rows = [
        ("time", "tag_time"),
        ("_field", "tag__field"),
        ("_measurement", "tag__measurement"),
        ("k8s.io/app", "k8s.io/app"),
        ("a b=c,d", r"a\ b\=c\,d"),
        (r"z\", "z"),
    ];
    for (key, wanted) in rows {
        let line = line(&identity(), tagged("m", Value::Int(1), &[(key, "v")]));
        assert!(line.contains(&format!(",{wanted}=v")), "{key:?}: {line}");
    }
}

#[test]
fn an_extra_tag_replaces_a_base_tag_and_a_later_one_an_earlier() {
    let other = line(&identity(), tagged("m", Value::Int(1), &[("host", "other"), ("type", "mine")]));
    assert_eq!(other, "m,cluster=prod,group=web,host=other,location=eu,type=mine value=1i 1500000000");
    let twice =
        line(&identity(), tagged("m", Value::Int(1), &[("time", "a"), ("b", "1"), ("tag_time", "c"), ("b", "2")]));
    let wanted =
        "m,b=2,cluster=prod,group=web,host=db01.example.org,location=eu,tag_time=c,type=system value=1i 1500000000";
    assert_eq!(twice, wanted);
}

#[test]
fn the_host_of_a_point_overrides_our_own() {
    let mut watched = tagged("m", Value::Int(1), &[]);
    watched.host = Some("switch 7".into());
    let wanted = r"m,cluster=prod,group=web,host=switch\ 7,location=eu,type=system value=1i 1500000000";
    assert_eq!(line(&identity(), watched), wanted);
}

#[test]
fn a_missing_type_becomes_untyped() {
    let mut nameless = point("m", Value::Int(1));
    nameless.check_type = "".into();
    assert!(line(&identity(), nameless).contains(",type=untyped "));
}

#[test]
fn many_tags_are_all_written_in_order() {
    let keys: Vec<String> = (0..30).rev().map(|number| format!("k{number:02}")).collect();
    let tags: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let line = line(&identity(), tagged("m", Value::Int(1), &tags));
    let written: Vec<&str> = line.split(' ').next().unwrap().split(',').skip(1).collect();
    assert_eq!(written.len(), 35);
    assert!(written.is_sorted(), "{written:?}");
}

#[test]
fn numbers() {
    let rows = [
        (Value::Int(5), "5i"),
        (Value::Int(i64::MAX), "9223372036854775807i"),
        (Value::Int(i64::MIN), "-9223372036854775808i"),
        (Value::Float(5.0), "5"),
        (Value::Float(-0.0), "0"),
        (Value::Float(0.00001), "0.00001"),
        (Value::Float(0.000123), "0.000123"),
        (Value::Float(1e-7), "1e-7"),
        (Value::Float(1e300), "1e300"),
        (Value::Float(-1.5e-300), "-1.5e-300"),
        (Value::Float(0.1 + 0.2), "0.30000000000000004"),
        (Value::Float(1.0 / 3.0), "0.3333333333333333"),
        (Value::Float(123456.75), "123456.75"),
        (Value::Float(18446744073709551615.0), "1.8446744073709552e19"),
        (Value::Float(9007199254740993.0), "9007199254740992"),
        (Value::Float(f64::MIN_POSITIVE), "2.2250738585072014e-308"),
    ];
    for (value, wanted) in rows {
        assert_eq!(number(value), wanted, "{value:?}");
    }
}

#[test]
fn only_points_that_cannot_be_encoded_are_refused() {
    let points = [
        point("a", Value::Int(1)),
        point("b", Value::Float(f64::NAN)),
        point("c", Value::Float(f64::NEG_INFINITY)),
        point(&"x".repeat(70_000), Value::Int(1)),
        point(r"\\", Value::Int(1)),
        point("d", Value::Int(1)),
    ];
    let encoded = encoder().encode(&points, &identity(), USUAL);
    let refused: Vec<(usize, u16)> = encoded.refused.iter().map(|refused| (refused.index, refused.status)).collect();
    assert_eq!(refused, [(1, 0), (2, 0), (3, 0), (4, 0)]);
    assert!(encoded.refused[2].why.contains("65535"), "{}", encoded.refused[2].why);
    let ranges: Vec<_> = encoded.requests.iter().map(|request| request.points.clone()).collect();
    assert_eq!(ranges, [0..1, 5..6]);
}

#[test]
fn a_measurement_has_one_type_in_a_batch() {
    let points = [point("m", Value::Int(1)), point("n", Value::Int(2)), point("m", Value::Float(1.5))];
    let lines = text(&encoder().encode(&points, &identity(), USUAL));
    let numbers: Vec<&str> = lines.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["value=1", "value=2i", "value=1.5"]);
}

#[test]
fn a_learned_type_is_used() {
    let mut encoder = encoder();
    assert!(encoder.set_type("i", FieldType::Integer));
    assert!(!encoder.set_type("i", FieldType::Integer));
    assert!(encoder.set_type("_f", FieldType::Float));
    let points = [
        point("i", Value::Float(2.5)),
        point("i", Value::Float(-2.5)),
        point("i", Value::Float(1.8e19)),
        point("#f", Value::Int(7)),
    ];
    let lines = text(&encoder.encode(&points, &identity(), USUAL));
    let numbers: Vec<&str> = lines.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["value=3i", "value=-3i", "value=9223372036854775807i", "value=7"]);
}

#[test]
fn requests_are_bounded_in_lines_and_bytes() {
    let points: Vec<Point> = (0..10).map(|number| point(&format!("name{number}"), Value::Int(1))).collect();
    let by_lines = encoder().encode(&points, &identity(), Limits { points: 4, ..USUAL });
    let ranges = |encoded: &Encoded| encoded.requests.iter().map(|request| request.points.clone()).collect::<Vec<_>>();
    assert_eq!(ranges(&by_lines), [0..4, 4..8, 8..10]);
    let whole = text(&by_lines);
    let length = whole.len() / 10;
    let by_bytes = encoder().encode(&points, &identity(), Limits { bytes: length * 3 + 1, ..USUAL });
    assert_eq!(ranges(&by_bytes), [0..3, 3..6, 6..9, 9..10]);
    assert_eq!(text(&by_bytes), whole);
    let tiny = encoder().encode(&points, &identity(), Limits { bytes: 1, ..USUAL });
    assert_eq!((tiny.requests.len(), text(&tiny)), (10, whole));
    assert_eq!(encoder().encode(&[], &identity(), USUAL), Encoded::default());
}

#[test]
fn a_changed_identity_is_used() {
    let encoder = encoder();
    let points = [point("m", Value::Int(1))];
    let first = text(&encoder.encode(&points, &identity(), USUAL));
    let second = text(&encoder.encode(&points, &Identity { host: "other".into(), ..identity() }, USUAL));
    assert_eq!(second, first.replace("db01.example.org", "other"));
}

/// Parses a line into measurement, tags, field text and time. By the grammar a backslash escapes a following comma,
/// space or (in tags) equals sign, and is an ordinary character otherwise.
fn read(line: &str) -> (String, BTreeMap<String, String>, String, i64) {
    let mut letters = line.chars().peekable();
    let mut token = |ends: &str, escapable: &str| {
        let mut token = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if letters.peek().is_some_and(|next| escapable.contains(*next)) => token.extend(letters.next()),
                end if ends.contains(end) => return (token, end),
                other => token.push(other),
            }
        }
        (token, '\n')
    };
    let (name, mut end) = token(", ", ", ");
    let mut tags = BTreeMap::new();
    while end == ',' {
        let (key, equals) = token("=", ",= ");
        assert_eq!(equals, '=', "tag key without value in {line:?}");
        let (value, after) = token(", ", ",= ");
        assert!(!key.is_empty() && !value.is_empty(), "empty tag in {line:?}");
        assert!(tags.insert(key, value).is_none(), "tag twice in {line:?}");
        end = after;
    }
    let (field, _) = token(" ", "");
    let (time, _) = token("\n", "");
    (name, tags, field.strip_prefix("value=").unwrap().into(), time.parse().unwrap())
}

/// What a reader must find for a normalised point, computed independently of the encoder.
fn meant(point: &Point, identity: &Identity) -> (String, BTreeMap<String, String>) {
    let strip = |text: &str| text.trim_end_matches('\\').to_string();
    let mut tags = BTreeMap::new();
    let own = point.host.clone().filter(|host| !strip(host).is_empty());
    let host = own.unwrap_or(identity.host.clone());
    let check_type = if strip(&point.check_type).is_empty() { "untyped" } else { &point.check_type };
    let base = [
        ("cluster", identity.cluster.as_str()),
        ("group", &identity.group),
        ("host", &host),
        ("location", &identity.location),
        ("type", check_type),
    ];
    for (key, value) in base.into_iter().chain(point.tags.iter()) {
        let key = match strip(key).as_str() {
            "time" => "tag_time".into(),
            "_field" => "tag__field".into(),
            "_measurement" => "tag__measurement".into(),
            other => other.to_string(),
        };
        if !key.is_empty() && !strip(value).is_empty() {
            tags.insert(key, strip(value));
        }
    }
    let name = strip(&point.name);
    let name = if let Some(rest) = name.strip_prefix('#') { format!("_{rest}") } else { name };
    (name, tags)
}

/// Text made mostly of special characters.
fn nasty() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just(' '),
            Just(','),
            Just('='),
            Just('\\'),
            Just('"'),
            Just('#'),
            Just('\n'),
            Just('\t'),
            Just('é'),
            Just('\u{7f}'),
            Just('\u{a0}'),
            Just('_'),
            any::<char>(),
            proptest::char::range('a', 'c'),
        ],
        0..8,
    )
    .prop_map(|letters| letters.into_iter().collect())
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![nasty(), "time|_field|_measurement|host|type|cluster|tag_time|a|b|zz"]
}

fn any_point() -> impl Strategy<Value = Point> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Float),
        (-1000i64..1000).prop_map(|hundredths| Value::Float(hundredths as f64 / 100.0)),
    ];
    let tags = proptest::collection::vec((key(), nasty()), 0..12);
    let host = proptest::option::of(nasty());
    (nasty(), value, tags, nasty(), host, any::<i64>()).prop_map(|(name, value, tags, check_type, host, time)| Point {
        name: name.into(),
        value,
        kind: Kind::Gauge,
        time,
        check_type: check_type.into(),
        tags: tags.into_iter().collect(),
        host: host.map(Into::into),
        reaction: 0,
    })
}

proptest! {
    #[test]
    fn a_reader_decodes_the_original_points(points in proptest::collection::vec(any_point(), 1..6)) {
        let (points, _, _) = normalise(points);
        let encoder = encoder();
        let encoded = encoder.encode(&points, &hostile(), USUAL);
        prop_assert_eq!(&encoded, &encoder.encode(&points, &hostile(), USUAL), "not deterministic");
        prop_assert_eq!(&encoded, &self::encoder().encode(&points, &hostile(), USUAL), "depends on the past");
        for request in &encoded.requests {
            let body = std::str::from_utf8(&request.body).unwrap();
            prop_assert!(body.ends_with('\n'));
            let lines: Vec<&str> = body.split_terminator('\n').collect();
            prop_assert_eq!(lines.len(), request.points.len());
            for (line, point) in lines.iter().zip(&points[request.points.clone()]) {
                let (name, tags, field, time) = read(line);
                let (wanted_name, wanted_tags) = meant(point, &hostile());
                prop_assert!(!line.starts_with('#'));
                prop_assert_eq!(&name, &measurement(&point.name));
                prop_assert_eq!((name, tags, time), (wanted_name, wanted_tags, point.time), "{}", line);
                match point.value {
                    Value::Float(number) => prop_assert_eq!(field.parse::<f64>().unwrap(), number),
                    Value::Int(number) => prop_assert_eq!(field.trim_end_matches('i').parse::<i64>().unwrap(), number),
                }
            }
        }
        for refused in &encoded.refused {
            prop_assert!(points[refused.index].name.trim_end_matches('\\').is_empty(), "{:?}", refused);
        }
        let count: usize = encoded.requests.iter().map(|request| request.points.len()).sum();
        prop_assert_eq!(count + encoded.refused.len(), points.len());
    }
}
