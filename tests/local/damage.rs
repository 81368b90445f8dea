//! A damaged file is set aside and reported, a foreign file is left alone, and neither is ever fatal.

use super::*;
use proptest::prelude::*;
use std::fs;

fn aside(place: &Place) -> Vec<String> {
    let files = fs::read_dir(place.folder.path().join("var")).unwrap().flatten();
    files.filter_map(|file| file.file_name().into_string().ok()).filter(|name| name.contains("damaged")).collect()
}

/// A store with an hour of points, closed.
fn filled() -> Place {
    let place = Place::new();
    let mut sink = place.sink();
    for tick in 0..360 {
        let batch: Vec<Point> = (0..10).map(|n| int(&format!("m{n}"), START + tick * 10, tick)).collect();
        deliver(&mut sink, &batch);
    }
    place
}

#[test]
fn a_file_that_is_no_database_is_set_aside() {
    for content in [&b"this is not a database, whoever wrote it"[..], &[0xff; 5000]] {
        let place = Place::new();
        fs::create_dir_all(place.file().parent().unwrap()).unwrap();
        fs::write(place.file(), content).unwrap();
        let mut sink = place.sink();
        deliver(&mut sink, &[int("a", START, 1)]);
        let notes = sink.notes();
        assert!(
            notes.len() == 1 && notes[0].contains(": damaged (") && notes[0].contains("set aside as "),
            "{notes:?}"
        );
        let names = aside(&place);
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(fs::read(place.folder.path().join("var").join(&names[0])).unwrap(), content);
        assert_eq!(place.points().len(), 1);
        assert_eq!(sink.notes(), [""; 0]);
    }
}

#[test]
fn an_empty_file_is_used() {
    let place = Place::new();
    fs::create_dir_all(place.file().parent().unwrap()).unwrap();
    fs::write(place.file(), b"").unwrap();
    deliver(&mut place.sink(), &[int("a", START, 1)]);
    assert_eq!((place.points().len(), aside(&place).len()), (1, 0));
}

#[test]
fn a_truncated_store_is_set_aside() {
    let place = filled();
    let file = fs::OpenOptions::new().write(true).open(place.file()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let mut sink = place.sink();
    let mut notes = Vec::new();
    for tick in 360..800 {
        deliver(&mut sink, &[int("a", START + tick * 10, 1)]);
        notes.append(&mut sink.notes());
    }
    assert_eq!(integrity(&place.file()), "ok");
    assert_eq!((notes.len(), aside(&place).len()), (1, 1), "{notes:?}");
}

#[test]
fn the_write_ahead_log_of_a_damaged_store_is_moved_first() {
    let place = filled();
    let name = |suffix: &str| place.folder.path().join(format!("var/puypuy.db{suffix}"));
    // A connection that stays open keeps the write-ahead log.
    let other = place.sql();
    other.execute_batch("DROP TABLE series").unwrap();
    // The log cannot be moved: then the database must stay, because the next one would find a log that does not belong
    // to it.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    (now..now + 30).for_each(|second| fs::create_dir_all(name(&format!(".damaged-{second}-wal/full"))).unwrap());
    let Verdict::Pause { why } = send(&mut place.sink(), &[int("a", START, 1)]) else { panic!() };
    assert!(why.contains("cannot set aside this damaged store"), "{why}");
    assert!(name("").exists() && name("-wal").exists());
}

#[test]
fn foreign_and_newer_databases_are_left_alone() {
    for (sql, expected) in [
        ("CREATE TABLE customers (name)", "a database, but not PuyPuy's"),
        (
            "PRAGMA application_id = 1349876048; PRAGMA user_version = 99; CREATE TABLE series (id)",
            "written by a newer PuyPuy",
        ),
    ] {
        let place = Place::new();
        fs::create_dir_all(place.file().parent().unwrap()).unwrap();
        place.sql().execute_batch(sql).unwrap();
        let before = fs::read(place.file()).unwrap();
        let Verdict::Pause { why } = send(&mut place.sink(), &[int("a", START, 1)]) else { panic!("{sql}") };
        assert!(why.contains(expected) && why.contains("set `file` in [TSDB]"), "{why}");
        assert_eq!(fs::read(place.file()).unwrap(), before);
    }
}

#[test]
fn an_unwritable_path_is_reported_and_tried_again() {
    let place = Place::new();
    fs::write(place.folder.path().join("var"), "a file where the folder should be").unwrap();
    let mut sink = place.sink();
    let Verdict::Pause { why } = send(&mut sink, &[int("a", START, 1)]) else { panic!() };
    assert!(why.contains("cannot make the folder of the store") && why.contains("set `file` in [TSDB]"), "{why}");
    fs::remove_file(place.folder.path().join("var")).unwrap();
    deliver(&mut sink, &[int("a", START, 1)]);
}

#[test]
fn another_program_with_the_lock_is_waited_for() {
    let place = filled();
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut sink = place.sink();
    let Verdict::Retry { why, .. } = send(&mut sink, &[int("a", START, 1)]) else { panic!() };
    assert!(why.contains("another program keeps it locked"), "{why}");
    other.execute_batch("COMMIT").unwrap();
    deliver(&mut sink, &[int("a", START, 1)]);
}

#[test]
fn a_file_removed_while_in_use_is_created_again() {
    let place = Place::new();
    let mut sink = place.sink();
    deliver(&mut sink, &[int("a", START, 1)]);
    fs::remove_dir_all(place.folder.path().join("var")).unwrap();
    deliver(&mut sink, &[int("a", START + 1, 2)]);
    assert!(sink.notes()[0].contains("was removed or replaced while in use"));
    assert_eq!(place.points().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever bytes are wrong: nothing panics, and points that are acknowledged in the end are readable.
    #[test]
    fn no_damage_is_fatal(wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let place = filled();
        let mut bytes = fs::read(place.file()).unwrap();
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(place.file(), bytes).unwrap();
        if let Ok(Some(reader)) = Reader::open(&place.file()) {
            let _ = reader.series().map(|series| series.len());
            for grain in [Grain::Raw, Grain::Minute, Grain::Quarter] {
                let _ = reader.read(grain, &[1, 2], ALL, |_| ());
            }
            let _ = reader.changes(ALL, 10);
        }
        let mut sink = place.sink();
        for tick in 360..380 {
            let verdict = send(&mut sink, &[int("a", START + tick * 10, 1)]);
            prop_assert!(!matches!(verdict, Verdict::Retry { .. }), "{:?}", verdict);
        }
    }
}
