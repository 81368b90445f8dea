//! What the cases need from a server, and the points that are written and read back.

use puypuy::model::point::{Identity, Kind, Point, Tags, Value};
use std::collections::BTreeMap;

/// A server for a sink, on loopback, with its own folder.
pub trait Store {
    /// The keys of `[TSDB]` for it.
    fn tsdb(&self) -> String;

    /// Starts it, the first time or again with its stored data; returns when it is ready.
    fn start(&mut self);

    /// Ends it in the hardest way that its own guarantees survive; `sent` is what it should have received so far.
    fn kill(&mut self, sent: &[Point]);

    /// Everything that it holds, by its own query interface.
    fn stored(&self, points: &[Point]) -> BTreeMap<Row, Value>;

    /// Where this point should be found, by the rules of the sink, which are restated here.
    fn place(&self, point: &Point) -> Row;

    /// Whether the server can hold this point.
    fn takes(&self, _: &Point) -> bool {
        true
    }

    /// How many rows this query of the documents returns.
    fn rows(&self, _: &str) -> usize {
        0
    }

    /// How the number is returned.
    fn number(&self, value: Value) -> Value {
        value
    }
}

/// A series and a time: name, tags in order, Unix seconds.
pub type Row = (String, Vec<(String, String)>, i64);

/// Integers look alike in most query languages, however they are stored.
pub fn plain(value: Value) -> Value {
    match value {
        Value::Float(number) if number.trunc() == number && number.abs() < 1e15 => Value::Int(number as i64),
        other => other,
    }
}

/// A number of a JSON response, digit by digit.
pub fn json_number(value: &serde_json::Value) -> Value {
    plain(value.as_i64().map(Value::Int).unwrap_or_else(|| Value::Float(value.as_f64().unwrap())))
}

/// The points that differ, are missing, or were never sent.
pub fn differences(store: &dyn Store, points: &[Point]) -> Vec<String> {
    let mut stored = store.stored(points);
    let mut found = Vec::new();
    for point in points {
        let place = store.place(point);
        let wanted = plain(store.number(point.value));
        match stored.remove(&place) {
            Some(value) if value == wanted => {}
            other => found.push(format!("{place:?}: sent {wanted:?}, found {other:?}")),
        }
    }
    found.extend(stored.keys().map(|place| format!("{place:?}: nobody sent this")));
    found
}

pub fn identity() -> Identity {
    Identity { host: "db01.example.org".into(), cluster: "prod eu".into(), group: "web=1".into(), location: "".into() }
}

pub fn point(name: &str, value: Value, time: i64, tags: &[(&str, &str)]) -> Point {
    Point {
        name: name.to_string().into(),
        value,
        kind: Kind::Gauge,
        time,
        check_type: "system".into(),
        tags: tags.iter().map(|(key, value)| (key.to_string(), *value)).collect::<Tags>(),
        host: None,
        reaction: 0,
    }
}

/// A thousand points of one second: ten hostile names, ten hostile tags, ten numbers of both types.
pub fn hostile(time: i64) -> Vec<Point> {
    let names = [
        "cpu load,avg=1",
        "#temp",
        "1st",
        r"back\slash",
        r#"say "hi""#,
        "a;b|c",
        "x(y){z}",
        "k8s.io/app",
        "per%cent&amp",
        "tab_\u{fc}ber",
    ];
    let tags = [
        r"C:\temp",
        "a b,c=d",
        r"a\,b",
        r#"he said "hi""#,
        "line\nend",
        "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
        "10.0.0.1",
        "a;rm=b",
        "100%",
        "[*]?",
    ];
    let numbers = [
        Value::Int(5),
        Value::Int(-1),
        Value::Int(i64::MAX),
        Value::Int(i64::MIN),
        Value::Float(5.0),
        Value::Float(0.00001),
        Value::Float(1e300),
        Value::Float(0.1 + 0.2),
        Value::Float(-123456.789),
        Value::Float(18446744073709551615.0),
    ];
    let mut points = Vec::new();
    for name in names {
        for (kind, number) in numbers.into_iter().enumerate() {
            // One type for each name, because a field of InfluxDB has one.
            points.extend(tags.iter().map(|tag| point(&format!("{name} {kind}"), number, time, &[("x", tag)])));
        }
    }
    points
}

/// The tags of a point, by key, with each value and key converted by a rule; without empty ones.
pub fn tags(point: &Point, rule: fn(&str) -> String) -> Vec<(String, String)> {
    let identity = identity();
    let base =
        [("host", &*identity.host), ("cluster", &identity.cluster), ("group", &identity.group), ("type", "system")];
    let mut tags: BTreeMap<String, String> = base.iter().map(|(key, value)| (key.to_string(), rule(value))).collect();
    tags.extend(point.tags.iter().map(|(key, value)| (rule(key), rule(value))));
    tags.into_iter().collect()
}

/// The effect of normalisation on a text.
pub fn clean(text: &str) -> String {
    text.trim().replace(|letter: char| letter.is_ascii_control(), "_")
}

/// The characters that OpenTSDB stores.
pub fn few(text: &str) -> String {
    clean(text).replace(|letter: char| !(letter.is_ascii_alphanumeric() || "-_./".contains(letter)), "_")
}
