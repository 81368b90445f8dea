//! Dates and timestamps as numbers.

/// Unix seconds of a date and time in UTC; the array holds hour, minute and second. 0 for dates before 1970.
pub fn unix_seconds(year: u32, month: u32, day: u32, [hour, minute, second]: [u32; 3]) -> u64 {
    // Years start in March here, so that the leap day is the last day of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = u64::from(year) * 365 + u64::from(leap_days) + u64::from((month * 153 + 2) / 5 + day);
    let seconds = days * 86_400 + u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second);
    seconds.saturating_sub(719_469 * 86_400)
}

/// Unix nanoseconds of an RFC 3339 timestamp, `2026-01-31T12:00:00.123456789Z` or with an offset such as `+02:00`.
/// `None` for any other text and before 1970.
pub fn rfc3339_nanos(text: &str) -> Option<u64> {
    let part = |from: usize, length: usize| text.get(from..from + length)?.parse::<u32>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 2)?, part(8, 2)?);
    let clock = [part(11, 2)?, part(14, 2)?, part(17, 2)?];
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let nanos: u64 = format!("{fraction:0<9.9}").parse().ok()?;
    let seconds = unix_seconds(year, month, day, clock).checked_add_signed(-offset(zone)?)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// 1980-01-01 in Unix seconds. An earlier timestamp is a mistake.
const EARLIEST: i64 = 315_532_800;
/// A timestamp further ahead than this many seconds is a mistake.
const AHEAD: i64 = 3600;

/// A timestamp in any unit as an integer, without its fraction. `None` if it is no number.
pub fn whole(word: &str) -> Option<i64> {
    let fraction = || word.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.floor() as i64);
    word.parse().ok().or_else(fraction)
}

/// Unix seconds of a timestamp in seconds, milliseconds, microseconds or nanoseconds. The unit is the one with which it
/// lies between 1980 and an hour after `now`; `None` if there is none.
pub fn seconds_of(moment: i64, now: i64) -> Option<i64> {
    let units = [1, 1000, 1_000_000, 1_000_000_000];
    let mut moments = units.into_iter().map(|parts| moment.div_euclid(parts));
    moments.find(|seconds| (EARLIEST..=now.saturating_add(AHEAD)).contains(seconds))
}

/// Offset from UTC in seconds, positive east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (i64::from(hours.parse::<u8>().ok()?) * 3600 + i64::from(minutes.parse::<u8>().ok()?) * 60))
}
