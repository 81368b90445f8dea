//! Retention by age and by size.

use super::*;

#[test]
fn only_points_older_than_the_retention_are_deleted() {
    let place = Place::new().with("retention_hours", 2);
    let mut sink = place.sink();
    for minute in 0..8 * 60 {
        deliver(&mut sink, &[int("a", START + minute * 60, minute)]);
    }
    let end = START + (8 * 60 - 1) * 60;
    let oldest = place.points().first().unwrap().1.time;
    assert!(oldest <= end - 2 * 3600, "{} s are left", end - oldest);
    assert!(oldest > end - 2 * 3600 - 600, "{} s are left", end - oldest);
    let times: Vec<i64> = place.points().iter().map(|(_, at)| at.time).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 60), "a hole in what is left");
    assert!(place.minutes().iter().all(|(_, at)| at.time >= oldest - 60));
}

#[test]
fn series_are_deleted_with_their_last_points() {
    let place = Place::new().with("retention_hours", 1);
    let mut sink = place.sink();
    deliver(&mut sink, &[int("gone", START, 1), int("stays", START, 1)]);
    for minute in 0..60 * 50 {
        deliver(&mut sink, &[int("stays", START + minute * 60, minute)]);
    }
    let names: Vec<String> = place.reader().series().unwrap().into_iter().map(|series| series.name).collect();
    assert_eq!(names, ["stays"]);
    deliver(&mut sink, &[int("gone", START + 60 * 50 * 60, 2)]);
    assert_eq!(place.points().last().unwrap().0.name, "gone");
}

#[test]
fn the_file_stays_below_its_limit() {
    let place = Place::new().with("retention_mb", 1).with("retention_hours", 100_000);
    let mut sink = place.sink();
    for tick in 0..1200 {
        let batch: Vec<Point> = (0..100).map(|n| int(&format!("m{n}"), START + tick * 10, tick * 7919 * n)).collect();
        deliver(&mut sink, &batch);
    }
    drop(sink);
    let size = std::fs::metadata(place.file()).unwrap().len();
    assert!(size <= 1_150_000, "{size} bytes");
    let points = place.points();
    assert!(points.len() > 20_000, "{} points are left", points.len());
    assert_eq!(points.last().unwrap().1.time, START + 11_990);
}

/// The times of all points up to this time, oldest first.
fn times(place: &Place, until: i64) -> Vec<i64> {
    place.points().iter().map(|(_, at)| at.time).filter(|time| *time <= until).collect()
}

/// A full store with a retention of two hours, and the time of its last point.
fn full(place: &Place) -> (Local, i64) {
    let mut sink = place.sink();
    (0..150).for_each(|minute| deliver(&mut sink, &[int("a", START + minute * 60, minute)]));
    (sink, START + 149 * 60)
}

#[test]
fn a_clock_that_is_ahead_for_a_while_deletes_nothing() {
    for jump in [3600 / 2, 86_400, 10 * 365 * 86_400] {
        let place = Place::new().with("retention_hours", 2);
        let (mut sink, end) = full(&place);
        let before = times(&place, end);
        sink.notes();
        for minute in 0..40 {
            deliver(&mut sink, &[int("a", end + jump + minute * 60, 1)]);
        }
        let notes = sink.notes();
        assert!(
            notes.len() == 1 && notes[0].contains(&format!("the clock is {} hours ahead", jump / 3600)),
            "{notes:?}"
        );
        // These forty minutes really passed, and no more.
        let after = times(&place, end);
        let first = *after.first().unwrap();
        assert!(first <= end - 80 * 60 && before.ends_with(&after), "{jump}: {} s are left", end - first);
        // The clock is right again: everything continues as before, also in a new process.
        let mut sink = place.sink();
        for minute in 1..100 {
            deliver(&mut sink, &[int("a", end + minute * 60, 1)]);
        }
        let now = end + 99 * 60;
        let kept = times(&place, now);
        let first = *kept.first().unwrap();
        assert!(
            first <= now - 2 * 3600 && (jump < 86_400 || first > now - 2 * 3600 - 600),
            "{jump}: {} s",
            now - first
        );
        assert_eq!(sink.notes(), [""; 0]);
    }
}

#[test]
fn after_a_long_gap_old_points_are_deleted_as_new_ones_arrive() {
    let place = Place::new().with("retention_hours", 2);
    let (mut sink, end) = full(&place);
    let again = end + 30 * 86_400;
    for minute in 0..119 {
        deliver(&mut sink, &[int("a", again + minute * 60, 1)]);
    }
    assert!(times(&place, end).last() == Some(&end), "the last point before the gap went too early");
    for minute in 119..140 {
        deliver(&mut sink, &[int("a", again + minute * 60, 1)]);
    }
    assert_eq!(times(&place, end), [0; 0]);
}

#[test]
fn points_from_the_future_delete_and_keep_nothing() {
    let place = Place::new().with("retention_hours", 2);
    let mut sink = place.sink();
    for minute in 0..8 * 60 {
        let now = START + minute * 60;
        // Milliseconds in place of seconds: hours pass from tick to tick.
        send_at(&mut sink, now, &[int("a", now, minute), int("odd", now * 1000, minute)]);
        send_at(&mut sink, now, &[int("odd", now * 1000 + 500, minute)]);
    }
    let now = START + (8 * 60 - 1) * 60;
    let kept = times(&place, now);
    let first = *kept.first().unwrap();
    assert!(first <= now - 2 * 3600 && first > now - 2 * 3600 - 600, "{} s are left", now - first);
    assert_eq!(times(&place, i64::MAX).len(), kept.len() * 3);
    assert_eq!(sink.notes(), [""; 0]);
}

#[test]
fn a_lower_limit_frees_pages_and_vacuum_releases_them() {
    let fill = |place: &Place, ticks: std::ops::Range<i64>| {
        let mut sink = place.sink();
        for tick in ticks {
            let batch: Vec<Point> =
                (0..100).map(|n| int(&format!("m{n}"), START + tick * 10, tick * 7919 * n)).collect();
            deliver(&mut sink, &batch);
        }
    };
    let size = |place: &Place| std::fs::metadata(place.file()).unwrap().len();
    let mut place = Place::new().with("retention_mb", 3);
    fill(&place, 0..1200);
    let before = size(&place);
    assert!(before > 2_500_000, "{before} bytes");
    place.keys = vec![("retention_mb", "1".into())];
    fill(&place, 1200..1600);
    assert!(size(&place) <= before + before / 50, "{} bytes, {before} before", size(&place));
    assert!(size(&place) >= before);
    place.sql().execute_batch("VACUUM").unwrap();
    assert!(size(&place) <= 1_150_000, "{} bytes", size(&place));
    fill(&place, 1600..2400);
    assert!(size(&place) <= 1_150_000, "{} bytes", size(&place));
    assert_eq!(times(&place, i64::MAX).last(), Some(&(START + 23_990)));
}
