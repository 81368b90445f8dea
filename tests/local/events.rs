//! Health events in the store: a row for each change of level, in whatever order events arrive.

use super::*;
use puypuy::model::point::Level::{Error, Ok, Warning};
use puypuy::sink::local::Change;

/// The rows as time after the start, name, level and message, newest first.
fn changes(place: &Place) -> Vec<(i64, String, Level, String)> {
    let all = place.reader().changes(ALL, 1_000).unwrap();
    all.into_iter().map(|Change { time, event, level, message }| (time - START, event, level, message)).collect()
}

fn expected(rows: &[(i64, &str, Level, &str)]) -> Vec<(i64, String, Level, String)> {
    rows.iter().map(|(time, name, level, message)| (*time, name.to_string(), *level, message.to_string())).collect()
}

#[test]
fn only_changes_are_stored_and_the_metric_is_unchanged() {
    let place = Place::new();
    let mut sink = place.sink();
    let levels = [Ok, Ok, Error, Error, Warning, Warning, Ok, Ok];
    for (tick, level) in (0..).zip(levels) {
        let message = format!("{} at tick {tick}", level.word());
        // Another process continues where the first one ended.
        if tick == 3 {
            sink = place.sink();
        }
        let at = START + tick * 10;
        deliver(&mut sink, &[event("Disk", at, level, &message), event("Fine", at, Ok, ""), int("m", at, tick)]);
    }
    let wanted = [
        (60, "Disk", Ok, "OK at tick 6"),
        (40, "Disk", Warning, "WARNING at tick 4"),
        (20, "Disk", Error, "ERROR at tick 2"),
    ];
    assert_eq!(changes(&place), expected(&wanted));
    assert_eq!(place.reader().changes(START + 30..=START + 50, 10).unwrap().len(), 1);
    assert_eq!(place.reader().changes(ALL, 2).unwrap().len(), 2);

    let numbers: Vec<(String, i64)> = place
        .points()
        .into_iter()
        .filter(|(series, _)| series.name == "health_status")
        .map(|(series, at)| (format!("{} {} {}", series.kind, series.tags, series.check_type), at.last.as_f64() as i64))
        .collect();
    let of_disk: Vec<i64> = numbers.iter().filter(|(of, _)| of.contains("Disk")).map(|(_, level)| *level).collect();
    assert_eq!(of_disk, levels.map(Level::number));
    assert_eq!(numbers[0].0, "gauge {\"event\":\"Disk\"} system");
}

#[test]
fn of_two_events_at_one_time_the_worse_counts() {
    let place = Place::new();
    let mut sink = place.sink();
    for tick in 0..4 {
        let at = START + tick * 10;
        deliver(&mut sink, &[event("Disk", at, Error, "full"), event("Disk", at, Ok, "fine")]);
    }
    assert_eq!(changes(&place), expected(&[(0, "Disk", Error, "full")]));
}

/// A store that could not be written for a while receives the new events first, and then the waiting ones, or both
/// alternately.
#[test]
fn late_events_are_sorted_in() {
    let truth = [Ok, Error, Error, Warning, Ok, Ok, Error, Ok];
    let judgement = |tick: usize| event("Disk", START + tick as i64 * 10, truth[tick], &format!("tick {tick}"));
    let wanted = [
        (70, "Disk", Ok, "tick 7"),
        (60, "Disk", Error, "tick 6"),
        (40, "Disk", Ok, "tick 4"),
        (30, "Disk", Warning, "tick 3"),
        (10, "Disk", Error, "tick 1"),
    ];
    for order in [[0, 7, 1, 2, 3, 4, 5, 6], [0, 6, 7, 1, 2, 3, 4, 5], [0, 4, 1, 5, 2, 6, 3, 7]] {
        let place = Place::new();
        let mut sink = place.sink();
        for tick in order {
            send_at(&mut sink, START + 70, &[judgement(tick)]);
        }
        assert_eq!(changes(&place), expected(&wanted), "{order:?}");
    }
}

#[test]
fn changes_are_deleted_with_their_points_unless_not_ok() {
    let place = Place::new().with("retention_hours", 1);
    let mut sink = place.sink();
    for minute in 0..60 * 5 {
        let at = START + minute * 60;
        let mut batch = vec![event("Lasting", at, Error, "since the start"), int("m", at, minute)];
        if minute < 3 {
            batch.push(event("Unmounted", at, Error, "full"));
            batch.push(event("Mended", at, if minute == 1 { Warning } else { Ok }, "for a minute"));
        }
        deliver(&mut sink, &batch);
    }
    assert_eq!(changes(&place), expected(&[(0, "Lasting", Error, "since the start")]));
}

#[test]
fn a_store_without_events_is_upgraded() {
    let place = Place::new();
    let mut sink = place.sink();
    deliver(&mut sink, &[event("Disk", START, Error, "full")]);
    drop(sink);
    place.sql().execute_batch("DROP TABLE event").unwrap();
    assert_eq!(changes(&place), []);
    deliver(&mut place.sink(), &[event("Disk", START + 10, Error, "full")]);
    assert_eq!(changes(&place), expected(&[(10, "Disk", Error, "full")]));
}
