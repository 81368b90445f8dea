//! Quarters of an hour: whichever version made the roll-ups, a time span read through them agrees with its points.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// n, sum, min and max by series and quarter, as read at this level.
fn by_quarter(place: &Place, grain: Grain, span: RangeInclusive<i64>) -> BTreeMap<(String, i64), (i64, f64, f64, f64)> {
    let mut found = BTreeMap::new();
    for (series, at) in read(&place.reader(), grain, span) {
        let quarter = (series.name, at.time - at.time.rem_euclid(900));
        let (n, sum, min, max) = found.entry(quarter).or_insert((0, 0.0, f64::MAX, f64::MIN));
        (*n, *sum) = (*n + at.n, *sum + at.sum);
        (*min, *max) = (min.min(at.min.as_f64()), max.max(at.max.as_f64()));
    }
    found
}

/// The tables of this roll-up.
fn tables(place: &Place, rollup: &str) -> Vec<String> {
    let db = place.sql();
    let mut names = db.prepare("SELECT name FROM sqlite_schema WHERE name GLOB ?1 || '_*' ORDER BY name").unwrap();
    names.query_map([rollup], |row| row.get(0)).unwrap().flatten().collect()
}

fn rows(place: &Place, rollup: &str) -> i64 {
    let db = place.sql();
    let count = |table| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    tables(place, rollup).iter().map(count).sum()
}

/// Two hours at 20 s from this time on, of this many series.
fn fill(sink: &mut Local, start: i64, series: usize) {
    for tick in 0..360 {
        let at = start + tick * 20;
        let batch: Vec<Point> =
            (0..series).map(|n| int(&format!("m{n:02}"), at, (tick * 7919) % 1000 + n as i64)).collect();
        deliver(sink, &batch);
    }
}

#[test]
fn quarters_are_made_and_read_with_the_tail() {
    // 20 series: two are looked up, all are scanned.
    let place = Place::new();
    fill(&mut place.sink(), START, 20);
    // The last quarter is not finished, and neither is its last minute.
    assert_eq!((rows(&place, "quarter"), rows(&place, "minute")), (7 * 20, 119 * 20));
    let span = START..=START + 7200;
    for grain in [Grain::Minute, Grain::Quarter] {
        assert_eq!(by_quarter(&place, grain, span.clone()), by_quarter(&place, Grain::Raw, span.clone()));
        for ids in [&[3, 4][..], &(1..=20).collect::<Vec<i64>>()] {
            let mut n = BTreeMap::new();
            place.reader().read(grain, ids, span.clone(), |at| *n.entry(at.series).or_insert(0) += at.n).unwrap();
            assert_eq!(n, ids.iter().map(|id| (*id, 360)).collect());
        }
    }
    let told = read(&place.reader(), Grain::Quarter, span);
    assert!(told.windows(2).all(|pair| pair[0].1.time <= pair[1].1.time));
    assert_eq!(told.iter().filter(|(series, _)| series.name == "m00").count(), 7 + 14 + 3);
}

#[test]
fn a_quarter_in_two_segments_is_added_up() {
    // A segment of 225 s: several in each quarter.
    let place = Place::new().with("retention_hours", 2);
    fill(&mut place.sink(), START, 2);
    assert!(tables(&place, "quarter").len() > 20);
    let span = START + 900..=START + 7199;
    assert_eq!(by_quarter(&place, Grain::Quarter, span.clone()), by_quarter(&place, Grain::Raw, span));
    // And each is deleted with its segment.
    assert_eq!(tables(&place, "quarter").len(), tables(&place, "raw").len());
}

#[test]
fn a_store_of_an_earlier_version_is_read_from_minutes_and_continued() {
    let place = Place::new().with("retention_hours", 8);
    fill(&mut place.sink(), START, 2);
    for table in tables(&place, "quarter") {
        place.sql().execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    let span = START..=i64::MAX;
    assert_eq!(by_quarter(&place, Grain::Quarter, span.clone()), by_quarter(&place, Grain::Raw, span.clone()));
    fill(&mut place.sink(), START + 7200, 2);
    let (raw, quarters) = (tables(&place, "raw").len(), tables(&place, "quarter").len());
    assert!(quarters > 5 && quarters < raw, "{quarters} of {raw}");
    assert_eq!(by_quarter(&place, Grain::Quarter, span.clone()), by_quarter(&place, Grain::Raw, span));
}

#[test]
fn changes_by_an_earlier_version_are_repaired() {
    let place = Place::new().with("retention_hours", 8);
    fill(&mut place.sink(), START, 2);
    // It dropped a segment, but not its quarters, and made no quarters for a while.
    let db = place.sql();
    let oldest = tables(&place, "quarter").remove(0).replace("quarter_", "");
    db.execute_batch(&format!("CREATE TABLE quarter_7 AS SELECT * FROM quarter_{oldest}")).unwrap();
    for table in tables(&place, "quarter").iter().filter(|table| *table != "quarter_7") {
        db.execute_batch(&format!("DELETE FROM {table} WHERE time >= {}", START + 2700)).unwrap();
    }
    drop(db);
    let span = START..=i64::MAX;
    assert_eq!(by_quarter(&place, Grain::Quarter, span.clone()), by_quarter(&place, Grain::Raw, span.clone()));
    deliver(&mut place.sink(), &[int("m00", START + 7200, 1)]);
    assert!(!tables(&place, "quarter").contains(&"quarter_7".into()));
    assert_eq!(by_quarter(&place, Grain::Quarter, span.clone()), by_quarter(&place, Grain::Raw, span));
    assert_eq!(place.newest_row("quarter"), Some(START + 6300));
}

#[test]
fn a_read_ends_at_its_limit() {
    let place = Place::new();
    fill(&mut place.sink(), START, 20);
    let mut reader = place.reader();
    reader.limit(Instant::now()).unwrap();
    let error = reader.read(Grain::Raw, &[1, 2, 3, 4, 5], ALL, |_| ()).unwrap_err().to_string();
    assert!(error.contains("it took too long and was given up; ask for less"), "{error}");
}

#[test]
fn the_figures_count_what_there_is() {
    let place = Place::new();
    let mut sink = place.sink();
    deliver(&mut sink, &[int("a", START, 1), int("b", START + 5, 1)]);
    let figures = place.reader().figures(i64::MAX).unwrap();
    assert_eq!((figures.oldest, figures.series), (Some(START), 2));
    assert!(figures.bytes > 2_000, "{figures:?}");
}

/// Number of the series, delay in seconds, value.
type Sent = (u8, i64, i32);

/// What happens between two batches.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Restart,
    /// Another version wrote for this many seconds.
    Earlier(i64),
}

fn batches() -> impl Strategy<Value = Vec<(Between, Vec<Sent>)>> {
    let point = (0u8..3, prop_oneof![4 => 0i64..40, 1 => 0i64..4000, 1 => -2000i64..0], -1000i32..1000);
    let between = prop_oneof![
        8 => Just(Between::Nothing),
        1 => Just(Between::Restart),
        1 => (0i64..8000).prop_map(Between::Earlier)
    ];
    prop::collection::vec((between, prop::collection::vec(point, 1..12)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_level_gives_the_same_result(batches in batches(), hours in 1i64..40, every in 20i64..400) {
        let place = Place::new().with("retention_hours", hours);
        let mut sink = place.sink();
        let mut now = START;
        for (between, batch) in batches {
            now += every;
            match between {
                Between::Restart => sink = place.sink(),
                Between::Earlier(seconds) if place.file().exists() => {
                    drop(sink);
                    for table in tables(&place, "quarter") {
                        place.sql().execute_batch(&format!("DELETE FROM {table} WHERE time >= {}", now - seconds)).unwrap();
                    }
                    sink = place.sink();
                }
                Between::Nothing | Between::Earlier(_) => {}
            }
            let points: Vec<Point> =
                batch.iter().map(|(series, late, value)| int(&format!("m{series}"), now - late, i64::from(*value))).collect();
            prop_assert_eq!(send_at(&mut sink, now, &points), Verdict::Delivered);
        }
        let end = now - now.rem_euclid(900) + 899;
        let raw = by_quarter(&place, Grain::Raw, ALL);
        let until = |end: i64| raw.iter().filter(|((_, at), _)| *at <= end).map(|(key, what)| (key.clone(), *what)).collect::<BTreeMap<_, _>>();
        for grain in [Grain::Minute, Grain::Quarter] {
            prop_assert_eq!(&by_quarter(&place, grain, i64::MIN..=end), &until(end));
            prop_assert_eq!(&by_quarter(&place, grain, ALL), &raw);
        }
    }
}
