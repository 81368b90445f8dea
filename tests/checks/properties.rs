//! What holds for any text, and for any two samples of a counter.

use proptest::prelude::*;
use puypuy::model::parse::{json, number, procfs, time};
use puypuy::model::point::{Series, Tags};
use puypuy::model::rates::{Backward, Change, Count, Rates};
use puypuy::model::table::{Field, gauge};
use std::time::{Duration, Instant};

const FIELDS: &[Field] = &[gauge("MemTotal", "mem_total"), gauge("a", "a")];

/// Text that looks like the kernel's: words of the alphabets that the parsers look for, and anything else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[-cpu0-9 ,:/a.\n\\\\]{0,80}", "cpu[0-9]{0,12}( [0-9]{0,22}){0,12}"]
}

/// The date so many days after 1970 began, by counting.
fn date(mut days: i64) -> (i64, usize, i64) {
    let is_leap = |year: i64| year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

fn settings() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn no_text_makes_a_parser_panic(text in text()) {
        procfs::cpu_list(&text);
        let row = procfs::columns(&["a", "b", "c"], &text);
        number::whole(&row, "b");
        procfs::labelled(&text, FIELDS);
        for line in text.lines() {
            procfs::cpu(line);
            procfs::diskstats(line);
            procfs::net_dev(line);
        }
    }

    #[test]
    fn no_text_makes_a_moment_or_a_document_panic(
        text in prop_oneof![any::<String>(), "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.0-9Z:+-]{0,20}"],
    ) {
        time::rfc3339_nanos(&text);
        if let Ok(document) = json::document(&text, "anything") {
            json::row(&document, FIELDS);
        }
    }

    #[test]
    fn moments_are_read_wherever_they_were_written(seconds in 0_u64..4_000_000_000, nanos in 0_u64..1_000_000_000, east in -14_i64..15) {
        let local = seconds as i64 + east * 3600;
        let (days, local) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        prop_assume!(days >= 0);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (local / 3600, local / 60 % 60, local % 60);
        let sign = if east < 0 { '-' } else { '+' };
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}{sign}{:02}:00", east.abs());
        prop_assert_eq!(time::rfc3339_nanos(&text), Some(seconds * 1_000_000_000 + nanos), "{}", text);
    }

    #[test]
    fn no_bytes_make_the_mounts_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        procfs::mounts(&bytes).count();
    }

    #[test]
    fn every_path_survives_the_octal_of_mounts(path in "/[ -~\t\n]{0,40}") {
        let escaped: String = path.chars().map(|letter| match letter {
            ' ' | '\t' | '\n' | '\\' | '#' => format!("\\{:03o}", u32::from(letter)),
            other => other.to_string(),
        }).collect();
        let line = format!("/dev/sda1 {escaped} ext4 rw,relatime 0 0\n");
        let mounts: Vec<_> = procfs::mounts(line.as_bytes()).collect();
        prop_assert_eq!(mounts.len(), 1);
        prop_assert_eq!(&*mounts[0].path, path.as_bytes());
        prop_assert!(!mounts[0].read_only);
    }

    #[test]
    fn cpu_lists_count_what_they_name(ranges in proptest::collection::vec((0_u32..500, 0_u32..8), 1..20)) {
        let list: Vec<_> = ranges.iter().map(|(first, more)| match more {
            0 => first.to_string(),
            more => format!("{first}-{}", first + more),
        }).collect();
        let count: u64 = ranges.iter().map(|(_, more)| u64::from(*more) + 1).sum();
        prop_assert_eq!(procfs::cpu_list(&format!("{}\n", list.join(","))), Some(count));
    }

    #[test]
    fn a_counter_gives_a_rate_or_none(old: u64, new: u64, nanos in 1_u64..1_000_000_000_000) {
        let change = per_second(Count::Whole(old), Count::Whole(new), nanos, Backward::Reset);
        if new >= old {
            let expected = (new - old) as f64 / Duration::from_nanos(nanos).as_secs_f64();
            prop_assert_eq!(change, Change::Number(expected));
            prop_assert!(expected >= 0.0 && expected.is_finite());
        } else {
            prop_assert_eq!(change, Change::Restarted);
        }
    }

    #[test]
    fn thirty_two_bits_wrap_exactly(old: u32, step: u32) {
        let new = old.wrapping_add(step);
        let change = delta(Count::Whole(old.into()), Count::Whole(new.into()), Backward::Wrap32);
        prop_assert_eq!(change, Change::Number(f64::from(step)));
    }

    #[test]
    fn more_than_thirty_two_bits_do_not_wrap(old in (1_u64 << 32).., back in 1_u64..1 << 32) {
        let change = delta(Count::Whole(old), Count::Whole(old - back), Backward::Wrap32);
        prop_assert_eq!(change, Change::Restarted);
    }

    #[test]
    fn a_clamped_counter_never_goes_back(old: u64, new: u64) {
        let change = delta(Count::Whole(old), Count::Whole(new), Backward::Clamp);
        prop_assert_eq!(change, Change::Number(new.saturating_sub(old) as f64));
    }

    #[test]
    fn fractions_give_no_negative_and_no_nonsense(old: f64, new: f64, wraps in 0_usize..3) {
        let rule = [Backward::Reset, Backward::Wrap32, Backward::Clamp][wraps];
        if let Change::Number(number) = delta(Count::Real(old), Count::Real(new), rule) {
            prop_assert!(number >= 0.0 && number.is_finite());
        }
    }

    #[test]
    fn after_a_restart_the_next_sample_counts(before: u32, low in 0_u64..1000, step: u32) {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let samples = [u64::from(before) + 2000, low, low + u64::from(step)];
        let changes = samples.map(|count| count_at(&mut rates, count, start, &samples));
        prop_assert_eq!(changes, [Change::NotYet, Change::Restarted, Change::Number(f64::from(step))]);
    }
}

/// The sample at the second that is its place in the list.
fn series(name: &'static str, tags: &Tags) -> Series {
    Series { name: name.into(), check_type: "x".into(), host: None, tags: tags.clone() }
}

fn count_at(rates: &mut Rates, count: u64, start: Instant, samples: &[u64]) -> Change {
    let second = samples.iter().position(|sample| *sample == count).unwrap() as u64;
    let at = start + Duration::from_secs(second);
    rates.delta(series("x", &Tags::default()), Count::Whole(count), at, Backward::Reset)
}

fn per_second(old: Count, new: Count, nanos: u64, rule: Backward) -> Change {
    let (mut rates, start, none) = (Rates::default(), Instant::now(), Tags::default());
    assert_eq!(rates.per_second(series("x", &none), old, start, rule), Change::NotYet);
    rates.per_second(series("x", &none), new, start + Duration::from_nanos(nanos), rule)
}

fn delta(old: Count, new: Count, rule: Backward) -> Change {
    let (mut rates, start, none) = (Rates::default(), Instant::now(), Tags::default());
    assert_eq!(rates.delta(series("x", &none), old, start, rule), Change::NotYet);
    rates.delta(series("x", &none), new, start + Duration::from_secs(10), rule)
}

#[test]
fn without_time_there_is_no_rate() {
    let (mut rates, at, none) = (Rates::default(), Instant::now(), Tags::default());
    for count in [5, 9, 3] {
        let change = rates.per_second(series("x", &none), Count::Whole(count), at, Backward::Reset);
        assert_eq!(change, Change::NotYet);
    }
}

#[test]
fn series_are_told_apart_by_name_and_tags() {
    let (mut rates, start) = (Rates::default(), Instant::now());
    let (sda, sdb) = (Tags::one("drive", "sda"), Tags::one("drive", "sdb"));
    for (second, a, b) in [(0, 100, 7), (1, 160, 8)] {
        let at = start + Duration::from_secs(second);
        let first = rates.per_second(series("reads", &sda), Count::Whole(a), at, Backward::Reset);
        let other = rates.per_second(series("reads", &sdb), Count::Whole(b), at, Backward::Reset);
        let name = rates.per_second(series("writes", &sda), Count::Whole(1), at, Backward::Reset);
        if second == 1 {
            assert_eq!([first, other, name], [60.0, 1.0, 0.0].map(Change::Number));
        }
    }
    rates.forget(&sda);
    assert_eq!(rates.len(), 1);
    let at = start + Duration::from_secs(2);
    assert_eq!(rates.per_second(series("reads", &sda), Count::Whole(999), at, Backward::Reset), Change::NotYet);
    rates.forget_older(start + Duration::from_secs(60), Duration::from_secs(30));
    assert!(rates.is_empty());
}
