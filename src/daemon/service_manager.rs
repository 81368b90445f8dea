//! What systemd hears of a daemon that serves: a line about how it is, and that it lives while ticks really come.

use super::notify;
use crate::status::{Sources, health};
use sd_notify::NotifyState;
use std::thread;
use std::time::Duration;

/// How often it is looked how the daemon is, unless the watchdog wants to hear more often.
const EVERY: Duration = Duration::from_secs(5);
/// Lives in the time that the watchdog waits.
const PINGS: u32 = 4;
const STACK: usize = 256 << 10;

/// Tells it from now on, in a thread of its own: the service manager may hang. Nothing where there is none.
pub fn watch(sources: Sources) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(EVERY, |limit| (limit / PINGS).min(EVERY));
    let thread = thread::Builder::new().name("service manager".into()).stack_size(STACK);
    let watched = thread.spawn(move || {
        let mut told = String::new();
        loop {
            if watchdog.is_some() && sources.beat.silence(sources.about().period).is_none() {
                notify(NotifyState::Watchdog);
            }
            let line = line(&sources);
            if line != told {
                notify(NotifyState::Status(&line));
                told = line;
            }
            thread::sleep(every);
        }
    });
    if let Err(error) = watched {
        log::warn!("no thread to tell the service manager how it goes: {error}");
    }
}

/// As the first line of `puypuy status`, without what changes from second to second.
fn line(sources: &Sources) -> String {
    let (about, now) = (sources.about(), sources.now());
    match health::wrong(&about, &now).as_slice() {
        [] => format!("all is well: {} checks, to {}", now.checks.len(), about.sink),
        [first, more @ ..] => {
            let first = first.split("; next attempt").next().unwrap_or_default();
            let more = if more.is_empty() { String::new() } else { format!("; {} more", more.len()) };
            format!("{first}{more}")
        }
    }
}
