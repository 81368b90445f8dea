//! Normalisation: the rules that all sinks share.

use super::*;
use puypuy::delivery::normalise::{MAX_TAG_VALUE, event_points, normalise};
use puypuy::model::point::{HealthEvent, Level};

fn only(point: Point) -> Point {
    let (mut points, refused, replaced) = normalise(vec![point]);
    assert_eq!((points.len(), refused.len(), replaced), (1, 0, 0));
    points.remove(0)
}

fn tags(point: &Point) -> Vec<(&str, &str)> {
    point.tags.iter().collect()
}

#[test]
fn clean_points_are_not_changed() {
    let points: Vec<Point> =
        (0..3).map(|n| tagged(&format!("m{n}"), Value::Int(n), &[("core", "0"), ("a b", "ü\u{2028}x")])).collect();
    let wanted = points.clone();
    let places = |points: &[Point]| points.iter().map(|point| point.name.as_ptr()).collect::<Vec<_>>();
    let before = (points.as_ptr(), places(&points));
    let (same, refused, replaced) = normalise(points);
    assert_eq!((same.as_slice(), refused.len(), replaced), (wanted.as_slice(), 0, 0));
    assert_eq!((same.as_ptr(), places(&same)), before);
}

#[test]
fn texts_are_cleaned_character_by_character() {
    let mut point = tagged(" a\u{0}\n\tb\u{7f} ", Value::Int(1), &[(" k\r ", " v\u{1b}w ")]);
    point.check_type = " sys\ntem ".into();
    point.host = Some(" h\n1 ".into());
    let point = only(point);
    assert_eq!((point.name.as_ref(), point.check_type.as_ref()), ("a___b_", "sys_tem"));
    assert_eq!((tags(&point), point.host.as_deref()), (vec![("k_", "v_w")], Some("h_1")));
}

#[test]
fn empty_tags_and_hosts_are_left_out() {
    let mut point = tagged("m", Value::Int(1), &[("a", ""), ("b", "  "), ("", "c"), (" ", "d"), ("e", "f")]);
    point.host = Some("  ".into());
    let point = only(point);
    assert_eq!((tags(&point), point.host.as_deref()), (vec![("e", "f")], None));
}

#[test]
fn a_point_without_a_name_is_refused() {
    let (points, refused, _) =
        normalise(vec![point("a", Value::Int(1)), point("  ", Value::Int(2)), point("", Value::Int(3))]);
    assert_eq!((points.len(), refused.len()), (1, 2));
    assert_eq!((refused[1].0.value, refused[1].1.as_str()), (Value::Int(3), "the name of the metric is empty"));
}

#[test]
fn long_tag_values_are_cut_at_a_character() {
    let long = format!("x{}", "ü".repeat(600));
    let point = only(tagged("m", Value::Int(1), &[("k", &long), ("l", &"y".repeat(MAX_TAG_VALUE))]));
    let kept = tags(&point);
    assert_eq!((kept[0].1, kept[1].1.len()), (&long[..1023], MAX_TAG_VALUE));
    let blanks = format!("{}   {}", "x".repeat(1022), "y");
    assert_eq!(tags(&only(tagged("m", Value::Int(1), &[("k", &blanks)])))[0].1, "x".repeat(1022));
}

#[test]
fn the_later_of_two_points_of_one_series_and_time_wins() {
    let two = [("a", "1"), ("b", "2")];
    let turned = [("b", "2"), ("a", "1")];
    let at = |time: i64| Point { time, ..tagged("m", Value::Int(9), &two) };
    let hosted = Point { host: Some("h".into()), ..tagged("m", Value::Int(8), &two) };
    let typed = Point { check_type: "x".into(), ..tagged("m", Value::Int(7), &two) };
    let points = vec![
        tagged("m", Value::Int(1), &two),
        at(1),
        point("n", Value::Int(2)),
        tagged("m", Value::Int(3), &turned),
        hosted.clone(),
        typed.clone(),
        tagged("m", Value::Int(4), &two),
        point(" n", Value::Int(5)),
    ];
    let (points, refused, replaced) = normalise(points);
    let values: Vec<Value> = points.iter().map(|point| point.value).collect();
    assert_eq!(values, [9, 8, 7, 4, 5].map(Value::Int));
    assert_eq!((refused.len(), replaced), (0, 3));
}

#[test]
fn health_events_become_a_gauge_or_stay_events() {
    let event = HealthEvent {
        name: "disk_sda".into(),
        level: Level::Error,
        message: "full".into(),
        reaction: -1,
        time: 7,
        check_type: "system".into(),
    };
    let [point] = &event_points(std::slice::from_ref(&event), false).try_into().unwrap();
    assert_eq!((point.name.as_ref(), point.value, point.time), ("health_status", Value::Int(16), 7));
    assert_eq!((point.check_type.as_ref(), tags(point)), ("system", vec![("event", "disk_sda")]));

    let [special] = event_points(&[event], true).try_into().unwrap();
    assert_eq!((special.name.as_ref(), special.kind, special.reaction), ("disk_sda", Kind::Special, -1));
    assert_eq!(tags(&special), [("message", "full")]);
    assert_eq!(&special.plain(), point);
    assert_eq!(&point.clone().plain(), point);
}
