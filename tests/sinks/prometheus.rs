//! Prometheus: the page line by line, and a reader written from the text format, which must decode the original points.

use super::*;
use proptest::prelude::*;
use puypuy::sink::prometheus::{Exposition, Prometheus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(10);

/// The time of points that have no other.
const NOW: i64 = 1_500_000_000;

/// Sends the points while the clock shows `wall`.
fn send_at(sink: &mut Prometheus, wall: i64, identity: &Identity, points: &[Point]) {
    let encoded = sink.encode(points, identity);
    let attempt = Attempt { identity, wall, until: Instant::now() };
    for request in &encoded.requests {
        assert_eq!(sink.send(request, points, &attempt), Verdict::Delivered);
    }
}

/// The only sample on the page after this point.
fn line(identity: &Identity, point: Point) -> String {
    let mut sink = Prometheus::new(PERIOD);
    let (points, ..) = normalise(vec![point]);
    send_at(&mut sink, NOW, identity, &points);
    samples(&sink).remove(0)
}

/// The samples on the page, without the heads of families.
fn samples(sink: &Prometheus) -> Vec<String> {
    let page = shown(sink).page(Instant::now());
    page.lines().filter(|line| !line.starts_with('#')).map(String::from).collect()
}

fn dated(time: i64, name: &str, value: i64) -> Point {
    Point { time, ..point(name, Value::Int(value)) }
}

/// The page after these batches.
fn page(batches: &[&[Point]]) -> String {
    let mut sink = Prometheus::new(PERIOD);
    batches.iter().for_each(|batch| assert_eq!(send(&mut sink, batch), Verdict::Delivered));
    shown(&sink).page(Instant::now())
}

fn shown(sink: &dyn Sink) -> Arc<Exposition> {
    sink.exposition().unwrap()
}

#[test]
fn the_example_of_the_specification() {
    let point = tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]);
    let wanted = r#"sys_load_1{host="db01.example.org",cluster="prod",group="web",location="eu",core="0"} 0.42"#;
    assert_eq!(line(&identity(), point.clone()), wanted);
    assert_eq!(
        page(&[&[point]]),
        format!("# HELP sys_load_1 Collected by a check of type system.\n# TYPE sys_load_1 untyped\n{wanted}\n")
    );
}

#[test]
fn hostile_names_tags_and_numbers() {
    for (name, wanted) in
        [("cpu load,avg=1", "cpu_load_avg_1"), ("#temp", "_temp"), ("1st", "_1st"), ("a:b", "a:b"), ("é.x", "__x")]
    {
        let wanted = format!(r#"{wanted}{{host="db01.example.org",cluster="prod eu",group="web=1"}} 0.5"#);
        assert_eq!(line(&hostile(), point(name, Value::Float(0.5))), wanted);
    }
    for (key, value, wanted) in [
        ("x", r"C:\", r#",x="C:\\""#),
        ("x", "a b,c=d", r#",x="a b,c=d""#),
        ("x", r#"he said "hi""#, r#",x="he said \"hi\"""#),
        ("x", "x\ny", r#",x="x_y""#),
        ("x", "привет", r#",x="привет""#),
        ("x", " ", ""),
        ("time", "v", r#",time="v""#),
        ("k8s.io/app", "v", r#",k8s_io_app="v""#),
        ("__name__", "v", r#",_name__="v""#),
        ("0", "v", r#",_0="v""#),
    ] {
        let wanted = format!(r#"m{{host="db01.example.org",cluster="prod eu",group="web=1"{wanted}}} 1"#);
        assert_eq!(line(&hostile(), tagged("m", Value::Int(1), &[(key, value)])), wanted);
    }
    let mut elsewhere = tagged("m", Value::Int(1), &[("host", "other"), ("a.b", "1"), ("a_b", "2")]);
    elsewhere.host = Some("ignored".into());
    assert_eq!(line(&hostile(), elsewhere), r#"m{host="other",cluster="prod eu",group="web=1",a_b="2"} 1"#);
    for (value, wanted) in [
        (Value::Int(5), "5"),
        (Value::Float(5.0), "5"),
        (Value::Float(0.00001), "1e-05"),
        (Value::Float(1e300), "1e+300"),
        (Value::Float(18446744073709551615.0), "1.8446744073709552e+19"),
        (Value::Float(f64::NAN), "NaN"),
        (Value::Float(f64::INFINITY), "+Inf"),
        (Value::Float(f64::NEG_INFINITY), "-Inf"),
        (Value::Float(-0.25), "-0.25"),
    ] {
        assert!(line(&identity(), point("m", value)).ends_with(&format!("}} {wanted}")), "{wanted}");
    }
    let nobody = Identity { host: "".into(), cluster: "".into(), group: "".into(), location: "".into() };
    assert_eq!(line(&nobody, point("m", Value::Int(1))), "m 1");
}

#[test]
fn families_are_grouped_under_one_head() {
    let kinds = |kind, point| Point { kind, ..point };
    let batch = [
        kinds(Kind::Counter, tagged("b", Value::Int(1), &[("x", "1")])),
        kinds(Kind::Rate, point("a", Value::Int(1))),
        kinds(Kind::Percent, point("b_c", Value::Int(1))),
        kinds(Kind::Counter, tagged("b", Value::Int(2), &[("x", "2")])),
        kinds(Kind::Counter, point("mixed", Value::Int(2))),
        kinds(Kind::Gauge, tagged("mixed", Value::Int(2), &[("x", "2")])),
    ];
    let page = page(&[&batch]);
    let types: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(types, ["a gauge", "b counter", "b_c gauge", "mixed untyped"]);
    let order: Vec<&str> = page
        .lines()
        .map(|line| {
            line.split(['{', ' ']).find(|word| !word.starts_with('#') && !word.chars().all(char::is_uppercase)).unwrap()
        })
        .collect();
    assert_eq!(order, ["a", "a", "a", "b", "b", "b", "b", "b_c", "b_c", "b_c", "mixed", "mixed", "mixed", "mixed"]);
}

#[test]
fn a_series_shows_its_last_value_until_it_is_no_longer_updated() {
    let at = |time, value| Point { time, ..point("m", Value::Int(value)) };
    let mut sink = Prometheus::new(PERIOD);
    send(&mut sink, &[at(1_500_000_010, 2), Point { time: 1_500_000_010, ..point("gone", Value::Int(1)) }]);
    send(&mut sink, &[at(1_500_000_000, 1)]);
    let exposition = shown(&sink);
    let now = Instant::now();
    assert!(exposition.page(now).contains("} 2\n"), "an older value arrived later");
    send(&mut sink, &[at(1_500_000_020, 3)]);
    assert!(exposition.page(now).contains("} 3\n") && exposition.page(now).contains("gone{"));
    assert_eq!(exposition.page(now), exposition.page(now));
    assert_eq!(exposition.page(now + Duration::from_secs(70)), "");
    // Spooled for another sink, hours ago.
    send(&mut sink, &[Point { time: 1_499_990_000, ..point("old", Value::Int(1)) }]);
    assert!(!exposition.page(Instant::now()).contains("old"));
    assert_eq!((sink.name(), sink.is_remote()), ("Prometheus", false));
}

#[test]
fn a_slow_period_keeps_its_series_longer() {
    let mut sink = Prometheus::new(Duration::from_secs(60));
    send(&mut sink, &[point("m", Value::Int(1))]);
    let page = shown(&sink);
    assert!(page.page(Instant::now() + Duration::from_secs(170)).contains("m{"));
    assert_eq!(page.page(Instant::now() + Duration::from_secs(181)), "");
}

#[test]
fn only_points_that_cannot_be_encoded_are_refused() {
    let points = [point("a", Value::Int(1)), point(&"x".repeat(70_000), Value::Int(1)), point("b", Value::Int(2))];
    let mut sink = Prometheus::new(PERIOD);
    let encoded = sink.encode(&points, &identity());
    assert_eq!((encoded.refused.len(), encoded.refused[0].index), (1, 1));
    send_at(&mut sink, NOW, &identity(), &points);
    let page = shown(&sink).page(Instant::now());
    assert!(page.contains("a{") && page.contains("b{") && page.contains("} 2\n") && page.len() < 1_000, "{page}");
}

#[test]
fn a_clock_that_was_ahead_does_not_empty_the_page() {
    let mut sink = Prometheus::new(PERIOD);
    send_at(&mut sink, NOW + 3600, &identity(), &[dated(NOW + 3600, "m", 1), dated(NOW + 3600, "n", 1)]);
    assert_eq!(samples(&sink).len(), 2);
    send_at(&mut sink, NOW, &identity(), &[dated(NOW, "m", 2), dated(NOW, "o", 2)]);
    let page = samples(&sink).join("\n");
    assert!(page.contains("m{") && page.contains("} 2\nn{") && page.contains("o{"), "{page}");
    // From then on by their own times.
    send_at(&mut sink, NOW + 10, &identity(), &[dated(NOW - 10, "m", 3), dated(NOW + 10, "o", 4)]);
    let page = samples(&sink).join("\n");
    assert!(page.contains("} 2\nn{") && page.ends_with("} 4"), "{page}");
}

#[test]
fn one_point_from_the_future_hides_no_other_and_is_replaced() {
    let mut sink = Prometheus::new(PERIOD);
    send_at(&mut sink, NOW, &identity(), &[dated(NOW + 59 * 60, "odd", 1), dated(NOW, "m", 1)]);
    send_at(&mut sink, NOW + 10, &identity(), &[dated(NOW + 10, "m", 2), dated(NOW + 10, "odd", 2)]);
    let page = samples(&sink);
    assert!(page.len() == 2 && page.iter().all(|line| line.ends_with("} 2")), "{page:?}");
}

#[test]
fn old_points_are_no_last_value_even_alone() {
    let mut sink = Prometheus::new(PERIOD);
    send_at(&mut sink, NOW, &identity(), &[dated(NOW - 61, "old", 1), dated(NOW - 60, "late", 1)]);
    assert!(samples(&sink).len() == 1 && samples(&sink)[0].starts_with("late{"), "{:?}", samples(&sink));
}

#[test]
fn colliding_names_are_kept_apart_and_logged_once() {
    let labels = r#"{host="db01.example.org",cluster="prod",group="web",location="eu""#;
    let typed =
        |check_type: &'static str, name, value| Point { check_type: check_type.into(), ..dated(NOW, name, value) };
    let first = [typed("a", "disk.used", 1), typed("a", "load", 2)];
    let batch = [
        typed("a", "disk-used", 3),
        typed("b", "disk.used", 4),
        typed("b", "disk-used", 5),
        typed("b", "load", 6),
        tagged("kept", Value::Int(7), &[("a.b", "1")]),
        tagged("kept", Value::Int(8), &[("a-b", "1")]),
        Point { check_type: "b".into(), ..tagged("own", Value::Int(9), &[("type", "x")]) },
        Point { check_type: "c".into(), ..tagged("own", Value::Int(10), &[("type", "x")]) },
    ];
    let wanted = [
        format!(r#"disk_used{labels},name="disk-used"}} 3"#),
        format!(r#"disk_used{labels},type="b",name="disk-used"}} 5"#),
        format!(r#"disk_used{labels},type="b"}} 4"#),
        format!(r#"disk_used{labels}}} 1"#),
        format!(r#"kept{labels},a_b="1",series="kept [(\"a-b\", \"1\")] of type \"system\""}} 8"#),
        format!(r#"kept{labels},a_b="1"}} 7"#),
        format!(r#"load{labels},type="b"}} 6"#),
        format!(r#"load{labels}}} 2"#),
        format!(r#"own{labels},type="x",type_="c"}} 10"#),
        format!(r#"own{labels},type="x"}} 9"#),
    ];
    let mut sink = Prometheus::new(PERIOD);
    send_at(&mut sink, NOW, &identity(), &first);
    assert_eq!(sink.notes(), [""; 0]);
    send_at(&mut sink, NOW, &identity(), &batch);
    assert_eq!(samples(&sink), wanted);
    let notes = sink.notes();
    assert_eq!(notes.len(), 6, "{notes:?}");
    let told = format!(
        r#"disk.used [] of type "a" and disk-used [] of type "a" both become disk_used{labels}}}: the second is {}"#,
        wanted[0].trim_end_matches(" 3")
    );
    assert_eq!(notes[0], told);
    // Whichever of them arrives, and in whatever order.
    for only in [&batch[..1], &batch[1..], &first, &batch] {
        let mut points: Vec<Point> = only.to_vec();
        points.reverse();
        send_at(&mut sink, NOW, &identity(), &points);
        assert_eq!(samples(&sink), wanted);
    }
    assert_eq!(sink.notes(), [""; 0]);
}

#[test]
fn the_memory_of_names_is_bounded_and_the_limit_is_logged() {
    let mut sink = Prometheus::new(PERIOD);
    let points: Vec<Point> = (0..10_001).map(|n| dated(NOW, &format!("m.{n}"), n)).collect();
    send_at(&mut sink, NOW, &identity(), &points);
    assert_eq!(sink.notes(), ["more than 10000 names: where two of the others meet is not noticed"]);
    send_at(&mut sink, NOW, &identity(), &points);
    assert_eq!((samples(&sink).len(), sink.notes().len()), (10_001, 0));
    // Names of a removed container make room.
    (0..400).for_each(|_| send_at(&mut sink, NOW, &identity(), &[dated(NOW, "x", 1)]));
    send_at(&mut sink, NOW, &identity(), &[dated(NOW, "a.b", 1), dated(NOW, "a-b", 2)]);
    assert_eq!(sink.notes().len(), 1);
}

type Sample = (String, BTreeMap<String, String>, f64);

/// Parses the page by the grammar of text format 0.0.4: name, labels and value of each sample, and the families in
/// order.
fn read(page: &str) -> (Vec<String>, Vec<Sample>) {
    let (mut families, mut samples) = (Vec::new(), Vec::new());
    assert!(page.is_empty() || page.ends_with('\n'));
    for line in page.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            families.push(head.split_once(' ').unwrap().0.to_string());
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
                && !name.starts_with(|c: char| c.is_ascii_digit())
        );
        assert_eq!(families.last().map(String::as_str), Some(name), "a sample apart from its family");
        let mut labels = BTreeMap::new();
        while let Some(after) = rest.strip_prefix(['{', ',']) {
            let (key, after) = after.split_once("=\"").unwrap();
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.starts_with("__"));
            let (mut value, mut letters) = (String::new(), after.char_indices());
            rest = loop {
                match letters.next().unwrap() {
                    (at, '"') => break &after[at + 1..],
                    (_, '\\') => value.push(match letters.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, letter) => value.push(letter),
                }
            };
            assert!(labels.insert(key.to_string(), value).is_none(), "a label twice in {line}");
        }
        let value = rest.strip_prefix('}').unwrap_or(rest).trim_start();
        samples.push((name.to_string(), labels, value.replace("Inf", "inf").parse().unwrap()));
    }
    (families, samples)
}

proptest! {
    #[test]
    fn a_scraper_decodes_the_original_points(
        rows in prop::collection::vec(("[a-c.é0]{1,4}", any::<f64>(), "[ab.0_]{1,3}", "\\PC{0,5}"), 1..40)
    ) {
        let points = rows.iter().map(|(name, value, key, tag)| {
            tagged(name, Value::Float(if value.is_finite() { *value } else { 1.0 }), &[(key, tag)])
        });
        let (points, ..) = normalise(points.collect());
        let (families, samples) = read(&page(&[&points]));
        prop_assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), families.len());
        let series: BTreeSet<_> = samples.iter().map(|(name, labels, _)| (name, labels)).collect();
        prop_assert_eq!(series.len(), samples.len());
        for (_, labels, value) in &samples {
            prop_assert_eq!(&labels["host"], "db01.example.org");
            prop_assert!(points.iter().any(|point| point.value.as_f64() == *value));
        }
        for point in &points {
            let is_there = |(_, labels, _): &Sample| {
                point.tags.iter().all(|(_, value)| labels.values().any(|label| label == value))
            };
            prop_assert!(samples.iter().any(is_there), "{:?}", point);
        }
    }
}
