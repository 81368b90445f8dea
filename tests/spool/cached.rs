//! Undelivered bodies of the Python daemon, for each of its back ends.

use proptest::prelude::*;
use puypuy::delivery::cached::{Read, read};
use puypuy::model::point::{Identity, Kind, Point, Tags, Value};

fn own() -> Identity {
    Identity { host: "web1".into(), cluster: "c".into(), group: "g".into(), location: "l".into() }
}

fn plain(name: &'static str, value: Value) -> Point {
    Point {
        name: name.into(),
        value,
        kind: Kind::Gauge,
        time: 1_600_000_000,
        check_type: "system".into(),
        tags: Tags::default(),
        host: None,
        reaction: 0,
    }
}

fn points(body: &str) -> Vec<Point> {
    let Read { points, unreadable } = read(body, &own()).unwrap();
    assert_eq!(unreadable, Vec::<String>::new());
    points
}

const TAGS: &str = r#""tags":{"host":"web1","type":"system","cluster":"c","group":"g","location":"l"}"#;

#[test]
fn opentsdb_and_kairosdb() {
    let body = format!(
        r#"[{{"metric":"a","timestamp":1600000000,"value":5,{TAGS}}},{{"metric":"b","timestamp":1600000000,"value":"0.25",{TAGS}}}]"#
    );
    assert_eq!(points(&body), [plain("a", Value::Int(5)), plain("b", Value::Float(0.25))]);
    let body = format!(r#"[{{"name":"a","timestamp":1600000000000,"value":5.0,{TAGS}}}]"#);
    assert_eq!(points(&body), [plain("a", Value::Float(5.0))]);
    let elsewhere = r#"{"metric":"a","timestamp":1600000000,"value":1,"tags":{"host":"db7","type":"mysql","cluster":"other","core":0,"group":"g"}}"#;
    let tags: Tags = [("core", "0"), ("cluster", "other")].into_iter().collect();
    let [point] = points(elsewhere).try_into().unwrap();
    assert_eq!((point.host.as_deref(), point.check_type.as_ref()), (Some("db7"), "mysql"));
    assert_eq!((point.tags.len(), tags.iter().all(|tag| point.tags.iter().any(|own| own == tag))), (2, true));
}

#[test]
fn oddeye_with_events() {
    let form = format!(
        r#"UUID=u&sandbox=true&data=[{{"metric":"a","timestamp":1600000000,"value":5,"type":"Counter","reaction":-3,{TAGS}}},{{"metric":"Memory-Usage","timestamp":1600000000,"value":16,"message":"full & over","type":"Special","status":"ERROR","reaction":-2,"tags":{{"host":"web1","cluster":"c","group":"g"}}}}]"#
    );
    let [counter, special] = points(&form).try_into().unwrap();
    assert_eq!(counter, Point { kind: Kind::Counter, reaction: -3, ..plain("a", Value::Int(5)) });
    let tags = Tags::one("message", "full & over");
    let wanted = Point {
        kind: Kind::Special,
        reaction: -1,
        check_type: "".into(),
        tags,
        ..plain("Memory-Usage", Value::Int(16))
    };
    assert_eq!(special, wanted);
}

#[test]
fn influxdb_lines() {
    let lines = "a,host=web1,cluster=c,group=g,location=l,type=system value=5i 1600000000123456789\n\n\
                 b,host=web1,cluster=c,group=g,location=,type=system,core=0 value=0.5 1600000000999999999\n\
                 no value here\nc,host value=1 1600000000\nd value=nan 1600000000\n";
    let Read { points, unreadable } = read(lines, &own()).unwrap();
    let tagged = Point { tags: Tags::one("core", "0"), ..plain("b", Value::Float(0.5)) };
    assert_eq!(points, [plain("a", Value::Int(5)), tagged]);
    assert_eq!(unreadable, ["no value here", "c,host value=1 1600000000", "d value=nan 1600000000"]);
}

#[test]
fn invalid_bodies_are_reported() {
    for (body, why) in [
        ("", "it is empty"),
        ("UUID=x&dota=1", "a form without data"),
        ("[{]", "not JSON"),
        ("[{\"a\":1}]", "no point that can be read"),
        ("hello", "no line that can be read"),
    ] {
        let told = read(body, &own()).unwrap_err();
        assert!(told.contains(why), "{body}: {told}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(body in "(UUID=.{0,20}&data=|)(\\PC|[\\[\\]{}\",:=i 0-9\n]){0,80}") {
        let _ = read(&body, &own());
    }
}
