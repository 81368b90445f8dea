//! What holds for any text, and for any two samples of a counter.

use proptest::prelude::*;
use puypuy::parse::{number, procfs};
use puypuy::point::Tags;
use puypuy::rates::{Backward, Change, Count, Rates};
use puypuy::table::{Field, gauge};
use std::time::{Duration, Instant};

const FIELDS: &[Field] = &[gauge("MemTotal", "mem_total"), gauge("a", "a")];

/// Text that looks like the kernel's: words of the alphabets that the parsers look for, and anything else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[-cpu0-9 ,:/a.\n\\\\]{0,80}", "cpu[0-9]{0,12}( [0-9]{0,22}){0,12}"]
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
fn count_at(rates: &mut Rates, count: u64, start: Instant, samples: &[u64]) -> Change {
    let second = samples.iter().position(|sample| *sample == count).unwrap() as u64;
    let at = start + Duration::from_secs(second);
    rates.delta("x".into(), &Tags::default(), Count::Whole(count), at, Backward::Reset)
}

fn per_second(old: Count, new: Count, nanos: u64, rule: Backward) -> Change {
    let (mut rates, start, none) = (Rates::default(), Instant::now(), Tags::default());
    assert_eq!(rates.per_second("x".into(), &none, old, start, rule), Change::NotYet);
    rates.per_second("x".into(), &none, new, start + Duration::from_nanos(nanos), rule)
}

fn delta(old: Count, new: Count, rule: Backward) -> Change {
    let (mut rates, start, none) = (Rates::default(), Instant::now(), Tags::default());
    assert_eq!(rates.delta("x".into(), &none, old, start, rule), Change::NotYet);
    rates.delta("x".into(), &none, new, start + Duration::from_secs(10), rule)
}

#[test]
fn without_time_there_is_no_rate() {
    let (mut rates, at, none) = (Rates::default(), Instant::now(), Tags::default());
    for count in [5, 9, 3] {
        let change = rates.per_second("x".into(), &none, Count::Whole(count), at, Backward::Reset);
        assert_eq!(change, Change::NotYet);
    }
}

#[test]
fn series_are_told_apart_by_name_and_tags() {
    let (mut rates, start) = (Rates::default(), Instant::now());
    let (sda, sdb) = (Tags::one("drive", "sda"), Tags::one("drive", "sdb"));
    for (second, a, b) in [(0, 100, 7), (1, 160, 8)] {
        let at = start + Duration::from_secs(second);
        let first = rates.per_second("reads".into(), &sda, Count::Whole(a), at, Backward::Reset);
        let other = rates.per_second("reads".into(), &sdb, Count::Whole(b), at, Backward::Reset);
        let name = rates.per_second("writes".into(), &sda, Count::Whole(1), at, Backward::Reset);
        if second == 1 {
            assert_eq!([first, other, name], [60.0, 1.0, 0.0].map(Change::Number));
        }
    }
    rates.forget(&sda);
    assert_eq!(rates.len(), 1);
    let at = start + Duration::from_secs(2);
    assert_eq!(rates.per_second("reads".into(), &sda, Count::Whole(999), at, Backward::Reset), Change::NotYet);
    rates.forget_older(start + Duration::from_secs(60), Duration::from_secs(30));
    assert!(rates.is_empty());
}
