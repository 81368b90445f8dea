//! The wall clock, and time as text.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Two clock readings at most this far apart count as simultaneous.
const SIMULTANEOUS: Duration = Duration::from_millis(10);

/// The time since 1970; zero if the clock is set before that.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Both clocks at the same moment: they are read again if the thread was delayed in between.
pub fn both() -> (Instant, Duration) {
    let mut read = (Instant::now(), wall());
    for _ in 0..3 {
        if read.0.elapsed() < SIMULTANEOUS {
            break;
        }
        read = (Instant::now(), wall());
    }
    read
}

/// Whole seconds since 1970.
pub fn unix_now() -> i64 {
    i64::try_from(wall().as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since 1970 as `2026-11-28 18:25:42`, in local time.
pub fn local(seconds: i64) -> String {
    local_time(seconds, c"%Y-%m-%d %H:%M:%S")
}

/// Seconds since 1970 in local time, by a strftime format. Follows daylight saving, because the offset is looked up
/// each time. Empty for a time that the C library cannot format.
pub fn local_time(seconds: i64, format: &CStr) -> String {
    let seconds = seconds as libc::time_t;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    let mut text = [0u8; 64];
    // SAFETY: both pointers are valid for the call, and localtime_r is the variant without shared state. A `tm` of zeros
    // is a valid value, so it may be read even after a failure. strftime writes at most `text.len()` bytes and says how
    // many; `format` ends in NUL by its type.
    let length = unsafe {
        if libc::localtime_r(&seconds, parts.as_mut_ptr()).is_null() {
            return String::new();
        }
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), parts.as_ptr())
    };
    String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned()
}
