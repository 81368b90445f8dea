//! Notifies systemd: a status line, and the watchdog while ticks come in time.

use super::tell_service_manager;
use crate::status::{Sources, health};
use crate::sys::logging::Complaint;
use sd_notify::NotifyState;
use std::thread;
use std::time::{Duration, Instant};

/// The environment variable with the address of its socket.
pub const SOCKET: &str = "NOTIFY_SOCKET";
/// Interval of the notifications, unless the watchdog needs shorter ones.
const EVERY: Duration = Duration::from_secs(5);
/// Watchdog notifications per watchdog timeout.
const PINGS: u32 = 4;
const STACK: usize = 256 << 10;

/// Starts a thread that notifies the service manager, which may hang. Does nothing if there is none.
pub fn watch(sources: Sources) {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(EVERY, |limit| (limit / PINGS).min(EVERY));
    let thread = thread::Builder::new().name("service manager".into()).stack_size(STACK);
    let watched = thread.spawn(move || {
        let (mut told, mut complaint) = (String::new(), Complaint::new());
        let mut tell = |state: NotifyState<'_>| match tell_service_manager(state) {
            Ok(()) => complaint.recovered(SOCKET, Instant::now()),
            Err(why) => complaint.complain(SOCKET, &why, Instant::now()),
        };
        loop {
            if watchdog.is_some() && sources.beat.silence(sources.about().period).is_none() {
                tell(NotifyState::Watchdog);
            }
            let line = line(&sources);
            if line != told {
                tell(NotifyState::Status(&line));
                told = line;
            }
            thread::sleep(every);
        }
    });
    if let Err(error) = watched {
        log::warn!("no thread to tell the service manager how it goes: {error}");
    }
}

/// The same as the first line of `puypuy status`, without what changes every second.
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
