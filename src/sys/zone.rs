//! The time zone of this host, as people write it.

use super::clock::{local_time, unix_now};
use std::fs;

/// `Europe/Berlin` if the system has such a name and `TZ` is not set; otherwise the present offset from UTC, such as
/// `UTC+2`.
pub fn name() -> String {
    let is_set = std::env::var_os("TZ").is_some_and(|zone| !zone.is_empty());
    let linked = fs::read_link("/etc/localtime").ok().filter(|_| !is_set);
    let known = linked.as_deref().and_then(|path| path.to_str()?.split_once("/zoneinfo/"));
    match known {
        Some((_, name)) => name.into(),
        None => from_utc(&local_time(unix_now(), c"%z")),
    }
}

/// Turns `+0200` and `-0330` into `UTC+2` and `UTC-3:30`.
fn from_utc(offset: &str) -> String {
    let digits = offset.get(1..).unwrap_or_default();
    let number = |part: Option<&str>| part.and_then(|part| part.parse().ok()).unwrap_or(0);
    let (hours, minutes): (u32, u32) = (number(digits.get(..2)), number(digits.get(2..)));
    let sign = offset.get(..1).unwrap_or_default();
    match (hours, minutes) {
        (0, 0) => "UTC".into(),
        (_, 0) => format!("UTC{sign}{hours}"),
        _ => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}
