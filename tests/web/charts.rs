//! `/api/series`, `/api/points` and `/api/events` over a real store: format, levels, spikes, gaps, limits.

use super::{Served, ask, get, get_json};
use crate::local::{Place, START, deliver, event, int, point};
use crate::support::dice::Dice;
use crate::support::wait_for;
use proptest::prelude::*;
use puypuy::model::point::{Level, Point, Tags, Value};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A server over this store, for a period of 10 s.
fn over(place: &Place) -> SocketAddr {
    Served { store: Some(place.file()), ..Served::default() }.start()
}

fn ids(address: SocketAddr, name: &str) -> Vec<i64> {
    let (status, told) = get_json(address, "/api/series");
    assert_eq!(status, 200, "{told}");
    let series = told["series"].as_array().unwrap().iter();
    series.filter(|series| series["name"] == name).map(|series| series["id"].as_i64().unwrap()).collect()
}

/// The points of one series.
fn points(address: SocketAddr, query: &str) -> serde_json::Value {
    let (status, told) = get_json(address, &format!("/api/points?{query}"));
    assert_eq!(status, 200, "{told}");
    told
}

#[test]
fn series_are_returned_unchanged_whatever_their_names() {
    let place = Place::new();
    let hostile = "<img src=x onerror=alert(1)>\"\\</script>\u{2028}ü";
    let odd = Point { tags: Tags::one("mountpoint", hostile).with("a", "1"), ..int(hostile, START, 1) };
    deliver(&mut place.sink(), &[odd, int("m", START, 1)]);
    let address = over(&place);
    let (_, told) = get_json(address, "/api/series");
    let wanted = json!({
        "id": 1, "name": hostile, "host": "web1", "type": "system", "kind": "gauge",
        "tags": {"mountpoint": hostile, "a": "1"}, "unit": null
    });
    assert_eq!((told["series"].as_array().unwrap().len(), &told["series"][0]), (2, &wanted));
    assert_eq!(told["series"][1]["unit"], json!("bytes"));
}

#[test]
fn columns_begin_at_multiples_and_gaps_are_null() {
    let place = Place::new();
    let mut sink = place.sink();
    // Ten minutes at 10 s, without points in the fourth and fifth.
    for tick in (0..60).filter(|tick| !(18..30).contains(tick)) {
        let time = START + tick * 10;
        deliver(&mut sink, &[int("whole", time, tick), point("odd", time, Value::Float(tick as f64 / 3.0))]);
    }
    let address = over(&place);
    let (whole, odd) = (ids(address, "whole")[0], ids(address, "odd")[0]);
    let told = points(address, &format!("ids={odd},{whole}&from={}&to={}&step=60", START + 5, START + 599));
    assert_eq!((&told["from"], &told["to"], &told["step"]), (&json!(START), &json!(START + 600), &json!(60)));
    assert_eq!((&told["level"], &told["period"]), (&json!("minute"), &json!(10)));
    assert!((told["now"].as_i64().unwrap() - now()).abs() < 100);
    let of = |id| told["series"].as_array().unwrap().iter().find(|series| series["id"] == id).unwrap();
    let wanted = json!({
        "id": whole,
        "avg": [2.5, 8.5, 14.5, null, null, 32.5, 38.5, 44.5, 50.5, 56.5],
        "min": [0, 6, 12, null, null, 30, 36, 42, 48, 54],
        "max": [5, 11, 17, null, null, 35, 41, 47, 53, 59]
    });
    assert_eq!(of(whole), &wanted);
    assert_eq!(of(odd)["avg"], json!([0.8333, 2.833, 4.833, null, null, 10.83, 12.83, 14.83, 16.83, 18.83]));

    // One column per point, so there are no minima and maxima.
    let told = points(address, &format!("ids={whole}&from={}&to={}&step=10", START + 160, START + 320));
    assert_eq!((&told["level"], &told["from"], &told["step"]), (&json!("raw"), &json!(START + 160), &json!(10)));
    let none = vec![serde_json::Value::Null; 12];
    let wanted = [vec![json!(16), json!(17)], none, vec![json!(30), json!(31)]].concat();
    assert_eq!(told["series"], json!([{ "id": whole, "avg": wanted }]));
    // An unknown series is empty and not an error: it may have been deleted while the page was open.
    let told = points(address, &format!("ids=99&from={START}&to={}&step=60", START + 120));
    assert_eq!(told["series"], json!([{ "id": 99, "avg": [null, null] }]));
}

#[test]
fn numbers_have_four_digits_and_integers_are_exact() {
    let place = Place::new();
    let values = [
        (Value::Int(99_999), json!(99_999)),
        (Value::Int(-99_999), json!(-99_999)),
        (Value::Int(1_796_012_345), json!(1_796_012_345)),
        (Value::Float(123_456.7), json!(123_500)),
        (Value::Int(i64::MAX), json!(9.223e18)),
        (Value::Float(0.000_123_456), json!(0.000_123_5)),
        (Value::Float(1.0 / 3.0), json!(0.3333)),
        (Value::Float(99_999.9), json!(100_000)),
        (Value::Float(1.5e300), json!(1.5e300)),
        (Value::Float(-0.0), json!(0)),
    ];
    let mut sink = place.sink();
    for (at, (value, _)) in (0..).zip(&values) {
        deliver(&mut sink, &[point("m", START + at * 10, *value)]);
    }
    let address = over(&place);
    let told = points(address, &format!("ids=1&from={START}&to={}&step=10", START + 100));
    let wanted: Vec<f64> = values.iter().map(|(_, wanted)| wanted.as_f64().unwrap()).collect();
    let found: Vec<f64> = told["series"][0]["avg"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
    assert_eq!(found, wanted);
}

/// One tick of 43.7 MB/s in 8 days must be visible in every time span of the page, and so must the newest point.
#[test]
fn a_spike_and_the_newest_point_are_visible_at_each_level() {
    let place = Place::new().with("retention_hours", 300);
    let mut sink = place.sink();
    let end = now() - 5;
    let (day, spike) = (86_400, end - 600);
    // Sparse in the past, because only the roll-up matters.
    let old: Vec<Point> = (end - 8 * day..end - 3600).step_by(450).map(|time| int("bytes", time, 1000)).collect();
    old.chunks(100).for_each(|batch| deliver(&mut sink, batch));
    for time in (end - 3600..=end).step_by(10) {
        let value = if time == spike {
            43_700_000
        } else if time == end {
            77
        } else {
            1000
        };
        deliver(&mut sink, &[int("bytes", time, value)]);
    }
    let address = over(&place);
    for (span, level) in [(900, "raw"), (3600, "raw"), (21_600, "minute"), (day, "minute"), (7 * day, "quarter")] {
        let told = points(address, &format!("ids=1&span={span}&points=350"));
        assert_eq!(told["level"], level, "{span}");
        let series = &told["series"][0];
        let numbers = |name: &str| -> Vec<f64> {
            let list = if series[name].is_null() { &series["avg"] } else { &series[name] };
            list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap_or(-1.0)).collect()
        };
        let max = numbers("max").into_iter().fold(0.0, f64::max);
        assert_eq!(max, 43_700_000.0, "{span}");
        assert!(numbers("min").contains(&77.0), "{span}: the newest point is missing");
        let (from, step) = (told["from"].as_i64().unwrap(), told["step"].as_i64().unwrap());
        let at = numbers("max").iter().position(|number| *number == max).unwrap() as i64;
        assert_eq!(at, (spike - from) / step, "{span}");
        assert_eq!(from % step, 0);
        assert!(told["to"].as_i64().unwrap() > end && numbers("avg").len() <= 352, "{span}");
    }
    // Only the last two columns, as an open page requests them.
    let told = points(address, &format!("ids=1&from={}&to={}&step=900", end - 900, end + 1));
    assert!(told["series"][0]["avg"].as_array().unwrap().len() <= 3);
}

#[test]
fn a_busy_an_empty_and_a_missing_store_work() {
    let place = Place::new();
    let address = over(&place);
    let asked = format!("/api/points?ids=1&from={START}&to={}&step=10", START + 20);
    assert_eq!(get_json(address, "/api/series"), (200, json!({ "series": [] })));
    assert_eq!(get_json(address, &asked).1["series"], json!([{ "id": 1, "avg": [null, null] }]));
    let told = get_json(address, "/api/events").1;
    assert_eq!((&told["events"], &told["open"]), (&json!([]), &json!([])));
    let mut sink = place.sink();
    deliver(&mut sink, &[int("m", START, 1)]);
    // In the middle of a batch.
    let writer = place.sql();
    writer.execute_batch(&format!("BEGIN IMMEDIATE; DELETE FROM raw_{START}")).unwrap();
    assert_eq!(get_json(address, &asked).1["series"], json!([{ "id": 1, "avg": [1, null] }]));
    writer.execute_batch("ROLLBACK").unwrap();
    // Without its quarters.
    writer.execute_batch(&format!("DROP TABLE quarter_{START}")).unwrap();
    let days = format!("/api/points?ids=1&from={}&to={}&step=900", START - 7 * 86_400, START + 900);
    let (status, told) = get_json(address, &days);
    assert_eq!((status, &told["level"]), (200, &json!("quarter")));
    assert_eq!(told["series"][0]["avg"].as_array().unwrap().last(), Some(&json!(1)));
    drop((sink, writer));
    std::fs::write(place.file(), "rubbish".repeat(1000)).unwrap();
    let (status, told) = get_json(address, "/api/series");
    assert!(status == 503 && told["error"].as_str().unwrap().contains("cannot read the store"), "{told}");
}

#[test]
fn changes_of_events_are_returned() {
    let place = Place::new();
    let mut sink = place.sink();
    let now = now();
    for ago in (0..=600).rev().step_by(10) {
        let at = now - ago;
        let mut batch =
            vec![event("Load", at, if ago > 300 { Level::Warning } else { Level::Ok }, &format!("{ago} s ago"))];
        batch.push(event("Disk", at, if ago <= 200 { Level::Error } else { Level::Warning }, &format!("<b>{ago}</b>")));
        if ago > 400 {
            batch.push(event("Unmounted", at, Level::Error, "full"));
        }
        deliver(&mut sink, &batch);
    }
    let address = over(&place);
    let (status, told) = get_json(address, "/api/events?span=450");
    assert_eq!(status, 200, "{told}");
    let brief = |list: &serde_json::Value| -> Vec<(String, String, i64)> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_string();
            (format!("{} {}", text("event"), text("level")), text("message"), now - one["time"].as_i64().unwrap())
        })
        .collect()
    };
    let row = |what: &str, message: &str, ago: i64| (what.to_string(), message.to_string(), ago);
    assert_eq!(brief(&told["events"]), [row("Disk ERROR", "<b>200</b>", 200), row("Load OK", "300 s ago", 300)]);
    let (_, told) = get_json(address, "/api/events");
    assert_eq!(told["events"].as_array().unwrap().len(), 5, "{told}");
}

#[test]
fn requests_beyond_the_limits_are_refused_with_a_message() {
    let place = Place::new();
    deliver(&mut place.sink(), &[int("m", START, 1)]);
    let address = over(&place);
    let sixty: Vec<String> = (1..=60).map(|id| id.to_string()).collect();
    let sixty = sixty.join(",");
    for query in [
        format!("points?ids={sixty}&span=3600&points=1000"),
        format!("points?ids={}&span=3600", sixty.replace(',', "%2C")),
        "points?ids=1,1,1&span=3456000".into(),
        "points?ids=1&span=1".into(),
        "points?ids=1&from=0&to=3456000&step=3456".into(),
        "points?ids=1&span=1000&step=1&".into(),
        format!("points?ids=1&from={}", now() - 60),
    ] {
        let (status, told) = get_json(address, &format!("/api/{query}"));
        assert_eq!(status, 200, "{query}: {told}");
        assert!(told["series"][0]["avg"].as_array().unwrap().len() <= 1_001, "{query}");
    }
    for (query, sentence) in [
        (format!("points?ids={sixty},61&span=3600"), "61 series are asked for, at most 60 go at once"),
        ("points?ids=1&span=3600&points=1001".into(), "points: \"1001\": expected a whole number from 1 to 1000"),
        ("points?ids=1&span=3600&points=0".into(), "points: \"0\""),
        ("points?ids=1&span=3600&step=3".into(), "a step of 3 s makes 1200 columns of 3600 s, at most 1000 go at once"),
        ("points?ids=1&span=3456001".into(), "span: \"3456001\": expected a whole number from 1 to 3456000"),
        ("points?ids=1&from=0&to=3456001".into(), "at most 3456000 s (40 days) go at once"),
        ("points?ids=1&from=9&to=9".into(), "from must be earlier than to"),
        ("points?ids=1&from=99999999999".into(), "from must be earlier than to"),
        ("points?ids=1&from=-1&to=9".into(), "from: \"-1\""),
        ("points?ids=1&to=9".into(), "expected span=, or from= and to=, not both"),
        ("points?ids=1&span=9&from=1".into(), "expected span=, or from= and to=, not both"),
        ("points?ids=1&span=9&step=1&points=9".into(), "expected step= or points=, not both"),
        ("points?ids=1".into(), "expected span=3600, or from= and to="),
        ("points?span=1".into(), "expected ids=1,2"),
        ("points?ids=&span=1".into(), "ids: \"\""),
        ("points?ids=1,x&span=1".into(), "ids: \"x\""),
        ("points?ids=9223372036854775808&span=1".into(), "ids: \"9223372036854775808\""),
        ("points?ids=0&span=1".into(), "ids: \"0\""),
        ("points?ids=1%2&span=1".into(), "ids: a % without its two digits"),
        ("points?ids=1&ids=2&span=1".into(), "ids is there twice"),
        ("points?ids=1&spam=1".into(), "\"spam\" is not known here, expected ids, span, from, to, points, step"),
        ("series?x=1".into(), "\"x\" is not known here, expected none"),
        ("events?span=x".into(), "span: \"x\""),
        (format!("series?{}", "&".repeat(8193)), "a query of 8193 bytes, at most 8192 are read"),
    ] {
        let (status, told) = get_json(address, &format!("/api/{query}"));
        let error = told["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(sentence), "{query}: {status} {told}");
    }
    let (head, _) = get(address, "/api/series", "");
    assert!(head.contains("cache-control: no-store") && head.contains("content-type: application/json"), "{head}");
}

#[test]
fn another_database_has_no_charts() {
    let address = Served::default().start();
    let (status, told) = get_json(address, "/api/series");
    assert!(status == 404 && told["error"].as_str().unwrap().contains("only tsdtype Local"), "{told}");
}

/// A program that locks the store makes every query wait.
#[test]
fn two_queries_run_at_once_a_third_is_refused_and_other_paths_work() {
    let place = Place::new();
    deliver(&mut place.sink(), &[int("m", START, 1)]);
    let keeper = place.sql();
    keeper.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; UPDATE series SET until = until").unwrap();
    let address = over(&place);
    std::thread::scope(|scope| {
        let mut asking: Vec<_> = (0..3).map(|_| scope.spawn(|| get_json(address, "/api/series"))).collect();
        assert!(get(address, "/metrics", "").0.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/page.js", "").0.starts_with("HTTP/1.1 200"));
        wait_for("the third to be refused", || asking.iter().any(|one| one.is_finished()));
        let told = asking.iter().position(|one| one.is_finished()).unwrap();
        let (status, told) = asking.remove(told).join().unwrap();
        assert!(status == 503 && told["error"].as_str().unwrap().starts_with("2 queries run already"), "{told}");
        keeper.execute_batch("ROLLBACK; PRAGMA locking_mode = NORMAL; SELECT count(*) FROM series").unwrap();
        drop(keeper);
        for one in asking {
            assert_eq!(one.join().unwrap().0, 200);
        }
    });
    assert_eq!(get_json(address, "/api/series").0, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any request gets either a JSON response with a documented status, or becomes a query within the limits.
    #[test]
    fn any_query_gets_a_documented_response(
        path in prop::sample::select(vec!["series", "points", "events"]),
        words in prop::collection::vec(("(ids|span|from|to|points|step|[a-z%]{0,3})", "([0-9,]{0,12}|[!-~]{0,9}|-?[0-9]{15,22})"), 0..6),
        now in prop_oneof![Just(START), any::<i64>()],
    ) {
        let query: Vec<String> = words.iter().map(|(key, value)| format!("{key}={value}")).collect();
        match puypuy::web::query::question(path, &query.join("&"), now).unwrap() {
            Ok(_) => {}
            Err(refused) => {
                prop_assert_eq!(refused.status.as_u16(), 400);
                let told: serde_json::Value = serde_json::from_str(&refused.json).unwrap();
                prop_assert!(told["error"].is_string());
            }
        }
    }
}

/// The same through the socket, with everything that HTTP allows and some that it does not.
#[test]
fn garbage_in_a_query_gets_a_response_and_does_no_harm() {
    let place = Place::new();
    deliver(&mut place.sink(), &[int("m", START, 1)]);
    let address = over(&place);
    let mut dice = Dice(7);
    for _ in 0..300 {
        let length = dice.roll(40);
        let mut query = Vec::from(&b"ids="[..]);
        // Without line breaks, which would begin the next line of the request.
        query.extend((0..length).map(|_| 33 + dice.roll(223) as u8));
        let request = [b"GET /api/points?", &query[..], b" HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat();
        let answer = ask(address, &request);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400") || text.starts_with("HTTP/1.1 404"), "{text}");
    }
    assert_eq!(get_json(address, "/api/series").0, 200);
}
