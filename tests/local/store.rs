//! What is stored can be read: values, series, roll-ups, documented queries.

use super::*;
use crate::support::{Home, documents};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

#[test]
fn values_and_series_are_read_unchanged() {
    let place = Place::new();
    let mut sink = place.sink();
    let mut other = int("b", START, 3);
    other.host = Some("router7".into());
    other.kind = Kind::Counter;
    other.tags = Tags::one("n", "\"x\" \\ ü");
    let values = [Value::Int(i64::MAX), Value::Int(i64::MIN), Value::Float(0.1), Value::Float(-0.0), Value::Float(2.0)];
    let mut points: Vec<Point> = (0..).zip(values).map(|(at, value)| point("a", START + at, value)).collect();
    points.push(other);
    deliver(&mut sink, &points);
    let found = place.points();
    let of_a: Vec<Value> = found.iter().filter(|(series, _)| series.name == "a").map(|(_, at)| at.last).collect();
    assert_eq!(of_a, values);
    let (series, at) = found.iter().find(|(series, _)| series.name == "b").unwrap();
    assert_eq!(
        (series.host.as_str(), series.kind.as_str(), series.check_type.as_str()),
        ("router7", "counter", "system")
    );
    assert_eq!((series.tags.as_str(), at.last, at.time), ("{\"n\":\"\\\"x\\\" \\\\ ü\"}", Value::Int(3), START));
    assert_eq!(found.iter().find(|(series, _)| series.name == "a").unwrap().0.host, "web1");
}

#[test]
fn the_same_batch_sent_twice_is_stored_once() {
    let place = Place::new();
    let mut sink = place.sink();
    let batch: Vec<Point> = (0..50).map(|at| int("a", START + at, at)).collect();
    deliver(&mut sink, &batch);
    deliver(&mut sink, &batch);
    deliver(&mut place.sink(), &batch);
    assert_eq!(place.points().len(), 50);
}

#[test]
fn invalid_numbers_are_refused_and_the_others_stored() {
    let place = Place::new();
    let sink = place.sink();
    let points = [int("a", START, 1), point("b", START, Value::Float(f64::NAN)), int("c", START, 2)];
    let identity = Identity { host: "h".into(), cluster: "".into(), group: "".into(), location: "".into() };
    let encoded = sink.encode(&points, &identity);
    assert_eq!(encoded.requests.iter().map(|request| request.points.clone()).collect::<Vec<_>>(), [0..1, 2..3]);
    assert_eq!((encoded.refused.len(), encoded.refused[0].index), (1, 1));
}

/// The tags of this metric from this check, from the real program.
fn told(check: &str, metric: &str) -> Tags {
    let said = Home::new().puypuy(&["check", check, "--every", "0.05", "--format", "json"]);
    let points = said.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let point = points.into_iter().find(|point| point["name"] == metric).unwrap_or_else(|| panic!("{said:?}"));
    let tags = point["tags"].as_object().unwrap().iter();
    tags.map(|(key, value)| (key.clone(), value.as_str().unwrap())).collect()
}

#[test]
fn the_documents_have_a_chart_query_for_each_store() {
    for chapter in ["Local", "InfluxDB", "InfluxDB2", "OpenTSDB", "KairosDB", "Carbon", "Prometheus"] {
        assert!(documents::chart(chapter).contains("cpu_user"), "{chapter}");
    }
}

/// Now, in seconds since 1970.
fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn tables_can_be_queried_in_sql_as_documented() {
    let place = Place::new();
    let mut sink = place.sink();
    let start = now() - 300;
    // As the checks report them, with their own tags.
    let (user, free) = (told("cpustats", "cpu_user"), told("memory", "mem_free"));
    let [user, free] = [user, free].map(|tags| move |time, value| Point { tags: tags.clone(), ..int("", time, value) });
    let user = |time, value| Point { name: "cpu_user".into(), ..user(time, value) };
    let free = |time, value| Point { name: "mem_free".into(), ..free(time, value) };
    // From a clock ten years ahead, and from a script with future timestamps.
    let ahead = now() + 10 * 365 * 86_400;
    deliver(&mut sink, &[user(ahead, -1), free(ahead, -1)]);
    for tick in 0..30 {
        let time = start + tick * 10;
        let points = [user(time, tick), free(time, 5), free(ahead + tick * 3600, -1)];
        assert_eq!(send_at(&mut sink, time, &points), Verdict::Delivered);
    }
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sinks.md")).unwrap();
    let queries: Vec<&str> = text.split("```sql\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    assert!(queries.len() >= 3, "docs/sinks.md shows {} queries", queries.len());
    for query in queries {
        let db = place.sql();
        let mut statement = db.prepare(query).unwrap_or_else(|error| panic!("{error}\n{query}"));
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap_or_else(|error| panic!("{error}\n{query}")) {
            let numbers = (0..columns).filter_map(|column| row.get::<_, f64>(column).ok());
            assert!(numbers.into_iter().all(|number| number >= 0.0 && number < ahead as f64), "{query}");
            count += 1;
        }
        assert!(count >= 2, "{count} rows\n{query}");
    }
}

#[test]
fn show_ignores_points_from_the_future() {
    let place = Place::new();
    let mut sink = place.sink();
    let ahead = START + 10 * 365 * 86_400;
    deliver(&mut sink, &[int("m", ahead, -1)]);
    send_at(&mut sink, START, &[int("m", START, 7), int("m", ahead + 1, -1)]);
    let show = |last, now| {
        let mut told = Vec::new();
        let (last, period) = (std::time::Duration::from_secs(last), std::time::Duration::from_secs(10));
        let manner = puypuy::cli::Manner::Table;
        let wanted = puypuy::cli::Wanted { pattern: None, last, period, all: true, manner };
        let outcome = puypuy::cli::show::show(&place.file(), wanted, now, &mut told);
        outcome.map(|()| String::from_utf8(told).unwrap()).map_err(|error| error.to_string())
    };
    let told = show(86_400, START + 60).unwrap();
    assert!(told.contains("device=sda") && told.contains(" 7 ") && !told.contains("-1"), "{told}");
    let told = show(60, START + 3600).unwrap_err();
    assert!(
        told.contains(
            "no such point in the last 60 s; the newest number of all is 60 min old, more than 3 periods of 10 s: "
        ),
        "{told}"
    );
    assert_eq!(puypuy::cli::show::last_stored(&place.file(), START + 5).unwrap(), Some(START));
}

#[test]
fn files_are_only_accessible_to_the_daemon_and_its_group() {
    let place = Place::new();
    let mut sink = place.sink();
    deliver(&mut sink, &[int("a", START, 1)]);
    for file in std::fs::read_dir(place.folder.path().join("var")).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640, "{:?}", file.path());
    }
}

#[test]
fn a_reader_reads_a_store_in_use_and_none_if_there_is_none() {
    let place = Place::new();
    assert!(Reader::open(&place.file()).unwrap().is_none());
    // As a writer has it in its first moments.
    std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
    std::fs::write(place.file(), b"").unwrap();
    assert!(Reader::open(&place.file()).unwrap().is_none());
    place.sql().execute_batch("PRAGMA page_size = 512; PRAGMA journal_mode = WAL;").unwrap();
    assert!(Reader::open(&place.file()).unwrap().is_none());
    let mut sink = place.sink();
    deliver(&mut sink, &[int("a", START, 1)]);
    let early = place.reader();
    deliver(&mut sink, &[int("a", START + 1, 2)]);
    let newest = |reader: &Reader, until| reader.newest(until).unwrap();
    assert_eq!((newest(&early, i64::MAX), newest(&place.reader(), i64::MAX)), (Some(START), Some(START + 1)));
    assert_eq!((newest(&place.reader(), START), newest(&place.reader(), START - 1)), (Some(START), None));
    assert_eq!(place.reader().oldest(&ALL).unwrap(), Some(START));
    assert_eq!(place.reader().oldest(&(START + 1..=i64::MAX)).unwrap(), Some(START + 1));
}

/// Number of the series, delay in seconds, value.
type Sent = (u8, i64, i32);

/// Points of a few series over some hours, in batches as a daemon and its spool send them: mostly in order, some late,
/// some twice, with some restarts.
fn batches() -> impl Strategy<Value = Vec<(bool, Vec<Sent>)>> {
    let point = (0u8..4, 0i64..900, -1000i32..1000);
    prop::collection::vec((prop::bool::weighted(0.1), prop::collection::vec(point, 1..20)), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the order, the newest value of a series and time is read, and each rolled up minute agrees with its
    /// points.
    #[test]
    fn rollups_agree_with_the_points(batches in batches(), hours in 1i64..4) {
        let place = Place::new().with("retention_hours", hours);
        let mut sink = place.sink();
        let mut expected: BTreeMap<(u8, i64), i64> = BTreeMap::new();
        for (position, (restart, batch)) in batches.iter().enumerate() {
            if *restart {
                sink = place.sink();
            }
            // The time advances by five minutes per batch; points are up to 15 minutes late.
            let now = START + position as i64 * 300;
            let points: Vec<Point> = batch.iter().map(|(series, late, value)| {
                expected.insert((*series, now - late), i64::from(*value));
                int(&format!("m{series}"), now - late, i64::from(*value))
            }).collect();
            deliver(&mut sink, &points);
        }
        let found: BTreeMap<(u8, i64), i64> = place.points().iter().map(|(series, at)| {
            let Value::Int(value) = at.last else { panic!("{at:?}") };
            ((series.name.as_bytes()[1] - b'0', at.time), value)
        }).collect();
        // Retention may have deleted the oldest, and nothing else.
        let oldest = found.keys().map(|(_, time)| *time).min().unwrap();
        expected.retain(|(_, time), _| *time >= oldest);
        prop_assert_eq!(&found, &expected);

        for (series, minute) in place.minutes() {
            let id = series.name.as_bytes()[1] - b'0';
            let of: Vec<i64> = found.range((id, minute.time)..(id, minute.time + 60)).map(|(_, value)| *value).collect();
            prop_assert_eq!(minute.n, of.len() as i64);
            prop_assert_eq!(minute.min, Value::Int(*of.iter().min().unwrap()));
            prop_assert_eq!(minute.max, Value::Int(*of.iter().max().unwrap()));
            prop_assert_eq!(minute.sum, of.iter().sum::<i64>() as f64);
            prop_assert_eq!(minute.last, Value::Int(*of.last().unwrap()));
        }
        // Every minute is rolled up except those at the end of the last batch.
        let newest = found.keys().map(|(_, time)| time - time.rem_euclid(60)).max().unwrap();
        let rolled: std::collections::BTreeSet<(u8, i64)> =
            place.minutes().iter().map(|(series, at)| (series.name.as_bytes()[1] - b'0', at.time)).collect();
        for (id, time) in found.keys().filter(|(_, time)| time - time.rem_euclid(60) < newest) {
            prop_assert!(rolled.contains(&(*id, time - time.rem_euclid(60))), "{id} {time}");
        }
    }

    #[test]
    fn any_series_and_time_is_stored_or_refused(name in "\\PC{1,12}", tag in "\\PC{0,12}", time in any::<i64>(), value in any::<f64>()) {
        let place = Place::new();
        let mut sink = place.sink();
        let mut one = point(&name, time, if value.is_finite() { Value::Float(value) } else { Value::Int(1) });
        one.tags = Tags::one("t", &tag);
        let wanted = one.value;
        deliver(&mut sink, &[one]);
        let found = place.points();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!((found[0].0.name.as_str(), found[0].1.time, found[0].1.last), (name.as_str(), time, wanted));
        let tags: serde_json::Value = serde_json::from_str(&found[0].0.tags).unwrap();
        prop_assert!(tag.is_empty() || tags["t"] == tag, "{}", tags);
    }
}
