//! Retention by age and by size.

use super::*;

#[test]
fn what_is_older_than_asked_goes_and_nothing_younger() {
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
fn series_go_with_their_last_points() {
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
fn the_file_stays_below_its_bound() {
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
