//! Times in HTTP headers: how long a server asks us to wait (`Retry-After`), and dates.

use crate::model::parse::time::unix_seconds;
use std::time::{Duration, SystemTime};

/// Seconds, or a date such as `Sun, 06 Nov 1994 08:49:37 GMT`, as a wait from `now`, limited to 1 to 3600 s. `None` if
/// it is neither.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => seconds,
        Err(_) => {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
            http_date(value)?.saturating_sub(now)
        }
    };
    Some(Duration::from_secs(wait.clamp(1, 3600)))
}

/// Unix seconds of an HTTP date; `None` if it is none.
pub fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(' ').skip(1);
    let day = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u32 + 1;
    let year = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u32>().ok().filter(|part| *part <= 60));
    Some(unix_seconds(year, month, day, [clock.next()??, clock.next()??, clock.next()??]))
}
