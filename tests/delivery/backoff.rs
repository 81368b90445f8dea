//! Backoff: waits grow, have jitter and a maximum; a wait that the server requests is used within limits.

use puypuy::delivery::backoff::{Backoff, Trouble};
use std::time::{Duration, Instant};

fn waits(trouble: Trouble, chance: f64, times: usize) -> Vec<u64> {
    let (mut backoff, now) = (Backoff::default(), Instant::now());
    (0..times).map(|_| backoff.failure(trouble, None, now, chance).as_secs()).collect()
}

#[test]
fn waits_double_up_to_their_cap() {
    assert_eq!(waits(Trouble::Down, 1.0, 10), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(waits(Trouble::Paused, 1.0, 7), [30, 60, 120, 240, 480, 600, 600]);
}

#[test]
fn jitter_takes_at_most_half() {
    assert_eq!(waits(Trouble::Paused, 0.0, 3), [15, 30, 60]);
}

#[test]
fn a_success_resets_and_returns_the_length_of_the_outage() {
    let (mut backoff, now) = (Backoff::default(), Instant::now());
    assert!(backoff.is_up());
    assert_eq!(backoff.success(now), None);
    backoff.failure(Trouble::Down, None, now, 1.0);
    backoff.failure(Trouble::Down, None, now + Duration::from_secs(2), 1.0);
    assert_eq!(backoff.probe_at(), Some(now + Duration::from_secs(6)));
    assert_eq!(backoff.success(now + Duration::from_secs(7)), Some(Duration::from_secs(7)));
    assert!(backoff.is_up());
    assert_eq!(backoff.failure(Trouble::Down, None, now, 1.0), Duration::from_secs(2));
}

#[test]
fn each_kind_of_trouble_has_its_own_waits() {
    let (mut backoff, now) = (Backoff::default(), Instant::now());
    for _ in 0..5 {
        backoff.failure(Trouble::Down, None, now, 1.0);
    }
    assert_eq!(backoff.failure(Trouble::Paused, None, now, 1.0), Duration::from_secs(30));
}

#[test]
fn the_servers_wait_is_used_if_longer_and_not_absurd() {
    let (mut backoff, now) = (Backoff::default(), Instant::now());
    assert_eq!(backoff.failure(Trouble::Down, Some(Duration::from_secs(7)), now, 1.0), Duration::from_secs(7));
    assert_eq!(backoff.failure(Trouble::Down, Some(Duration::from_secs(1)), now, 1.0), Duration::from_secs(4));
    assert_eq!(backoff.failure(Trouble::Down, Some(Duration::from_secs(99_999)), now, 1.0), Duration::from_secs(3600));
}
