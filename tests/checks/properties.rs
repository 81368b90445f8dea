//! Properties that hold for any text, and for any two samples of a counter.

use proptest::prelude::*;
use puypuy::check::Out;
use puypuy::model::parse::mounts::MountTree;
use puypuy::model::parse::resp::{self, Reply};
use puypuy::model::parse::{json, procfs, time};
use puypuy::model::point::{Tags, Tick};
use puypuy::model::rates::{Backward, Change, Count, SampleHistory};
use puypuy::model::table::{Field, NO_COUNT, gauge, rate};
use std::time::{Duration, Instant};

const FIELDS: &[Field] = &[gauge("MemTotal", "mem_total", "bytes"), gauge("a", "a", "")];

/// Text that resembles kernel files: words that the parsers look for, and anything else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[-cpu0-9 ,:/a.\n\\\\]{0,80}", "cpu[0-9]{0,12}( [0-9]{0,22}){0,12}"]
}

/// The date this many days after 1970-01-01, computed by counting.
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
        row.count("b");
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
    fn redis_replies_are_read_when_complete(text in ".{0,40}", bytes in any::<Vec<u8>>()) {
        let whole = format!("+OK\r\n${}\r\n{text}\r\n-ERR no\r\n", text.len()).into_bytes();
        let replies = [Reply::Text("OK".into()), Reply::Text(text.into()), Reply::Error("ERR no".into())];
        for end in 0..=whole.len() {
            let count = resp::replies(&whole[..end]).zip(&replies).filter(|(told, wanted)| told == *wanted).count();
            prop_assert_eq!(count, resp::replies(&whole[..end]).count());
            prop_assert_eq!(resp::is_whole(&whole[..end], 3), end == whole.len());
        }
        resp::replies(&bytes).count();
    }

    #[test]
    fn timestamps_are_read_in_any_time_zone(seconds in 0_u64..4_000_000_000, nanos in 0_u64..1_000_000_000, east in -14_i64..15) {
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
        for tree in [MountTree::of_mounts(&bytes), MountTree::of_mountinfo(&bytes)] {
            tree.reachable().count();
        }
    }

    #[test]
    fn every_path_survives_the_octal_of_mounts(path in "/[ -~\t\n]{0,40}") {
        let escaped: String = path.chars().map(|letter| match letter {
            ' ' | '\t' | '\n' | '\\' | '#' => format!("\\{:03o}", u32::from(letter)),
            other => other.to_string(),
        }).collect();
        let line = format!("/dev/sda1 {escaped} ext4 rw,relatime 0 0\n");
        let info = format!("7 1 8:1 / {escaped} rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
        for tree in [MountTree::of_mounts(line.as_bytes()), MountTree::of_mountinfo(info.as_bytes())] {
            let mounts: Vec<_> = tree.reachable().collect();
            prop_assert_eq!(mounts.len(), 1);
            prop_assert_eq!(&*mounts[0].path, path.as_bytes());
            prop_assert!(!mounts[0].read_only);
        }
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
    fn nothing_grows_faster_than_it_can(old: u32, step: u32, millis in 1_u64..100_000, most in 1.0..1e6_f64) {
        let (mut before, start) = (SampleHistory::default(), Instant::now());
        let (old, new) = (u64::from(old), u64::from(old) + u64::from(step));
        before.per_second_up_to(most, Count::Whole(old), start, Backward::Reset);
        let at = start + Duration::from_millis(millis);
        match before.per_second_up_to(most, Count::Whole(new), at, Backward::Reset) {
            Change::Number(rate) => prop_assert!(rate <= most && rate <= f64::from(step) * 1000.0 / millis as f64 + 1e-6),
            change => {
                prop_assert_eq!(change, Change::Impossible);
                prop_assert!(f64::from(step) * 1000.0 > most * millis as f64);
            }
        }
    }

    #[test]
    fn of_several_values_in_a_tick_the_last_counts(counts in proptest::collection::vec(0_u32.., 1..5), last: u32) {
        let (start, mut out) = (ahead(), Out::new("x", 10, tick(ahead(), 0)));
        out.begin(tick(start, 0));
        out.put(&READS, 0_u64, &Tags::default());
        let _ = out.finish();
        out.begin(tick(start, 10));
        for count in counts.iter().chain([&last]) {
            out.put(&READS, u64::from(*count), &Tags::default());
        }
        let told: Vec<_> = out.finish().0.points.iter().map(|point| point.value.as_f64()).collect();
        prop_assert_eq!(told, [f64::from(last) / 10.0]);
    }

    #[test]
    fn rates_follow_the_device_when_names_are_swapped(swaps in proptest::collection::vec(any::<bool>(), 2..8)) {
        let (start, mut out) = (ahead(), Out::new("x", 10, tick(ahead(), 0)));
        for (second, is_swapped) in (0_u64..).zip(&swaps) {
            out.begin(tick(start, second));
            let (slow, fast) = if *is_swapped { ("b", "a") } else { ("a", "b") };
            out.of("8:0").put(&READS, second, &Tags::one("drive", slow));
            out.of("8:16").put(&READS, 1_000_000_000_000 + 7 * second, &Tags::one("drive", fast));
            let rates: Vec<_> = out.finish().0.points.iter().map(|point| point.value.as_f64()).collect();
            prop_assert_eq!(rates, if second == 0 { vec![] } else { vec![1.0, 7.0] });
        }
    }

    #[test]
    fn a_share_is_never_above_the_whole(part: u64, whole: u64) {
        let mut out = Out::new("x", 10, tick(ahead(), 0));
        match out.share("x", Some(part), Some(whole)) {
            Some(share) => {
                prop_assert!(part <= whole && (0.0..=100.0).contains(&share.percent()));
                prop_assert_eq!(share.part() + share.rest().part(), whole);
                prop_assert!(out.finish().1.is_empty());
            }
            None => prop_assert_eq!(out.finish().1.len(), usize::from(part > whole || whole >= NO_COUNT)),
        }
    }

    #[test]
    fn after_a_restart_the_next_sample_counts(before: u32, low in 0_u64..1000, step: u32) {
        let (mut rates, start) = (SampleHistory::default(), Instant::now());
        let samples = [u64::from(before) + 2000, low, low + u64::from(step)];
        let changes = samples.map(|count| count_at(&mut rates, count, start, &samples));
        prop_assert_eq!(changes, [Change::NotYet, Change::Restarted, Change::Number(f64::from(step))]);
    }
}

/// The sample at the second that is its position in the list.
fn count_at(before: &mut SampleHistory, count: u64, start: Instant, samples: &[u64]) -> Change {
    let second = samples.iter().position(|sample| *sample == count).unwrap() as u64;
    before.delta(Count::Whole(count), start + Duration::from_secs(second), Backward::Reset)
}

fn per_second(old: Count, new: Count, nanos: u64, rule: Backward) -> Change {
    let (mut before, start) = (SampleHistory::default(), Instant::now());
    assert_eq!(before.per_second(old, start, rule), Change::NotYet);
    before.per_second(new, start + Duration::from_nanos(nanos), rule)
}

fn delta(old: Count, new: Count, rule: Backward) -> Change {
    let (mut before, start) = (SampleHistory::default(), Instant::now());
    assert_eq!(before.delta(old, start, rule), Change::NotYet);
    before.delta(new, start + Duration::from_secs(10), rule)
}

#[test]
fn without_time_there_is_no_rate() {
    let (mut before, at) = (SampleHistory::default(), Instant::now());
    for count in [5, 9, 3] {
        assert_eq!(before.per_second(Count::Whole(count), at, Backward::Reset), Change::NotYet);
    }
}

/// Later than any read here, so that a number counts as read at its tick.
fn ahead() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

fn tick(start: Instant, second: u64) -> Tick {
    let (at, period) = (start + Duration::from_secs(second), Duration::from_secs(1));
    Tick { wall: second as i64, at, deadline: at + period, period }
}

const READS: Field = rate("", "reads", "1/s");
const WRITES: Field = rate("", "writes", "1/s");

#[test]
fn series_are_identified_by_name_and_tags_and_forgotten() {
    let start = ahead();
    let tick = |second: u64| tick(start, second);
    let mut out = Out::new("x", 3, tick(0));
    let (sda, sdb) = (Tags::one("drive", "sda"), Tags::one("drive", "sdb"));
    let mut told = |second, counts: [u64; 3], gone: &[Tags]| {
        out.begin(tick(second));
        out.forget(gone);
        out.put(&READS, counts[0], &sda);
        out.put(&READS, counts[1], &sdb);
        out.put(&WRITES, counts[2], &sda);
        out.finish().0.points.iter().map(|point| point.value.as_f64()).collect::<Vec<_>>()
    };
    assert!(told(0, [100, 7, 1], &[]).is_empty());
    assert_eq!(told(1, [160, 8, 1], &[]), [60.0, 1.0, 0.0]);
    assert_eq!(told(2, [999, 9, 9], std::slice::from_ref(&sda)), [1.0]);
    assert_eq!(told(3, [999, 9, 9], &[sdb.clone(), Tags::one("drive", "sdc")]), [0.0, 0.0]);
    assert!(told(4, [999, 9, 9], &[Tags::default()]).is_empty(), "all have no tags and maybe more");
    for second in 5..16 {
        out.begin(tick(second));
        out.put(&READS, 1_u64, &sda);
        let _ = out.finish();
    }
    out.begin(tick(16));
    let more = [Tags::one("drive", "sdd"), Tags::one("drive", "sde"), Tags::one("drive", "sdf")];
    more.iter().for_each(|tags| out.put(&READS, 1_u64, tags));
    let faults = out.finish().1;
    assert_eq!(
        faults.iter().map(|fault| &*fault.text).collect::<Vec<_>>(),
        ["1 new series refused, max_series = 3 is reached"]
    );
}
