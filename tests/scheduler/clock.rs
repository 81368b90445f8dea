//! Due times and timestamps under every kind of clock.

use proptest::prelude::*;
use puypuy::scheduler::clock::{Moment, Stamps, next_due};
use std::time::{Duration, Instant};

const WALL: Duration = Duration::from_millis(1_500_000_000_990);

#[test]
fn ten_thousand_ticks_do_not_drift() {
    let (epoch, period) = (Instant::now(), Duration::from_millis(1_100));
    let mut now = epoch;
    for tick in 1..=10_000u32 {
        // Each wake-up is late by up to 37 ms, which must not add up.
        let late = Duration::from_millis(u64::from(tick % 38));
        let due = next_due(epoch, period, now);
        assert_eq!(due, epoch + period * tick);
        now = due + late;
    }
}

#[test]
fn missed_ticks_are_dropped_and_not_caught_up() {
    let (epoch, period) = (Instant::now(), Duration::from_secs(5));
    assert_eq!(next_due(epoch, period, epoch + Duration::from_secs(7203)), epoch + Duration::from_secs(7205));
    assert_eq!(next_due(epoch, period, epoch + Duration::from_secs(10)), epoch + Duration::from_secs(15));
}

proptest! {
    /// With a period of one second, wake-ups that are late by up to 400 ms give every second exactly once.
    #[test]
    fn no_second_is_stamped_twice_or_left_out(start in 0u64..1000, late in proptest::collection::vec(0u64..400, 2..100)) {
        let mut stamps = Stamps::new();
        let (epoch, wall) = (Instant::now(), Duration::from_secs(1_500_000_000) + Duration::from_millis(start));
        let seen: Vec<i64> = late
            .iter()
            .enumerate()
            .map(|(tick, late)| {
                let passed = Duration::from_millis(1000 * tick as u64 + late * u64::from(tick > 0));
                stamps.stamp(Moment { at: epoch + passed, wall: wall + passed }).0
            })
            .collect();
        let first = seen[0];
        prop_assert_eq!(seen, (first..first + late.len() as i64).collect::<Vec<_>>());
    }
}

#[test]
fn a_clock_that_is_set_is_logged_and_followed() {
    for step in [3600.0, -3600.0, 7200.5, -0.3] {
        let mut stamps = Stamps::new();
        let epoch = Instant::now();
        let at = |passed, seconds: f64| Moment {
            at: epoch + Duration::from_secs(passed),
            wall: Duration::from_secs_f64(WALL.as_secs_f64() + seconds),
        };
        let (first, told) = stamps.stamp(at(0, 0.0));
        assert_eq!(told, None);
        let (second, told) = stamps.stamp(at(1, 1.0 + step));
        assert!((told.unwrap() - step).abs() < 0.001);
        assert!((second - first - 1 - step as i64).abs() <= 1, "{first} {second}");
        let (third, told) = stamps.stamp(at(2, 2.0 + step));
        assert_eq!((third, told), (second + 1, None));
    }
}

#[test]
fn slow_adjustment_is_no_step() {
    let mut stamps = Stamps::new();
    let epoch = Instant::now();
    for tick in 0..100_000u64 {
        // 500 ppm is the maximum of the kernel's slewing.
        let passed = Duration::from_secs(tick);
        let (_, told) = stamps.stamp(Moment { at: epoch + passed, wall: WALL + passed.mul_f64(1.0005) });
        assert_eq!(told, None);
    }
}
