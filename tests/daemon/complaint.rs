//! Repeated messages do not fill the log.

use puypuy::sys::logging::{FaultKind, Folding};
use std::time::{Duration, Instant};

/// Complains every `step` seconds; returns the logged lines with the second of each.
fn lines(
    folding: &mut Folding,
    begun: Instant,
    seconds: std::ops::Range<u64>,
    step: usize,
    text: impl Fn(u64) -> String,
) -> Vec<(u64, String)> {
    let complain =
        |second| Some((second, folding.complain("check_x", &text(second), begun + Duration::from_secs(second))?));
    seconds.step_by(step).filter_map(complain).collect()
}

#[test]
fn a_lasting_failure_is_three_lines_then_one_in_ten_minutes_then_it_works() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let told = lines(&mut folding, begun, 0..3600, 5, |_| "connection refused".into());
    let at: Vec<u64> = told.iter().map(|line| line.0).collect();
    assert_eq!(at, [0, 10, 40, 640, 1240, 1840, 2440, 3040]);
    assert_eq!(told[0].1, "check_x: connection refused");
    assert_eq!(told[1].1, "check_x: connection refused (2 times in the last 10 s)");
    assert_eq!(told[2].1, "check_x: connection refused (6 times in the last 30 s)");
    assert_eq!(told[3].1, "check_x: connection refused (120 times in the last 10 min)");
    let again = begun + Duration::from_secs(3600);
    assert_eq!(folding.recovered("check_x", again).unwrap(), "check_x: works again after 60 min (720 failures)");
    assert_eq!(folding.recovered("check_x", again), None);
    assert_eq!(folding.recovered("check_y", again), None);
    assert!(folding.complain("check_x", "connection refused", again).is_some());
}

#[test]
fn a_rare_failure_is_logged_each_time_without_a_count() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let told = lines(&mut folding, begun, 0..20_000, 1500, |_| "timed out".into());
    assert_eq!(told.len(), 14);
    assert!(told.iter().all(|line| line.1 == "check_x: timed out"), "{told:?}");
}

#[test]
fn another_text_is_logged_at_once() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let text = |second| if second < 300 { "refused" } else { "timed out" }.to_string();
    let told = lines(&mut folding, begun, 0..310, 1, text);
    assert_eq!(told[3], (300, "check_x: timed out".into()));
}

#[test]
fn a_text_that_keeps_changing_is_bounded() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let told = lines(&mut folding, begun, 0..7200, 1, |second| format!("error number {second}"));
    assert!(told.iter().filter(|line| line.0 < 60).count() <= 3, "{told:?}");
    assert!(told.len() <= 24, "{}", told.len());
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let told = lines(&mut folding, begun, 0..3600, 1, |second| ["a", "b"][second as usize % 2].into());
    assert!(told.len() <= 12, "{told:?}");
}

#[test]
fn failing_and_working_by_turns_is_bounded_and_ends_with_the_truth() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let mut told = Vec::new();
    for second in 0..3600 {
        let now = begun + Duration::from_secs(second);
        told.extend(if second % 2 == 0 { folding.complain("x", "refused", now) } else { folding.recovered("x", now) });
    }
    assert!(told.len() <= 13, "{told:?}");
    assert!(told.last().unwrap().starts_with("x: works again"), "{told:?}");
}

#[test]
fn everything_failing_stays_below_200_lines_an_hour() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let mut told = 0;
    for second in (0..3600).step_by(5) {
        for check in 0..77 {
            let now = begun + Duration::from_secs(second);
            told += usize::from(folding.complain(&format!("check_{check}"), "refused", now).is_some());
        }
    }
    assert!((77..200).contains(&told), "{told}");
}

#[test]
fn endless_subjects_are_cut_and_forgotten() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let told: Vec<String> = (0..10_000).filter_map(|i| folding.complain(&format!("veth{i}"), "gone", begun)).collect();
    assert_eq!(told.len(), 513);
    assert!(told[512].contains("further ones are left out"));
    let later = begun + Duration::from_secs(3601);
    assert!(folding.complain("veth9999", "gone", later).is_some());
}

#[test]
fn what_is_missing_on_this_host_is_logged_once() {
    let (mut folding, begun) = (Folding::default(), Instant::now());
    let at = |second| begun + Duration::from_secs(second);
    let told: Vec<String> = (0..7200)
        .filter_map(|second| folding.complain_of(FaultKind::Lasting, "check_x", "no driver", at(second)))
        .collect();
    assert_eq!(told, ["check_x: no driver"]);
    assert_eq!(folding.recovered("check_x", at(7200)).unwrap(), "check_x: works again after 2 h (7200 failures)");
}
