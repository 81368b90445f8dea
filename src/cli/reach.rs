//! Asks whether the configured store would accept points, without storing any.
//!
//! This runs in a separate thread, because a name look-up may hang.

use crate::config::settings::Settings;
use crate::model::error::Error;
use crate::sink::{self, Reached};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the caller waits for the answer.
pub const LIMIT: Duration = Duration::from_secs(8);
/// Time limit of the sink itself.
const UNTIL: Duration = Duration::from_secs(7);
/// Keys of `[TSDB]` with their upper limits in seconds here, so that a slow server is reported as such within the time
/// limit.
const HURRY: [(&str, u64); 2] = [("connect_timeout", 2), ("timeout", 2)];
/// Remedies for reasons that name none: a part of the reason, and the remedy.
const REMEDIES: [(&str, &str); 9] = [
    ("host name", "correct the name, or mend DNS on this host (/etc/resolv.conf)"),
    ("from DNS", "mend DNS on this host (/etc/resolv.conf), or write an address in the place of the name"),
    ("connection refused", "start the store, or correct its address"),
    ("unreachable", "see whether this host has a route to it, or correct its address"),
    ("cannot connect within", "see whether it is up and a firewall lets this host through, or correct its address"),
    ("does not speak TLS", "write http:// in the place of https://, or correct its port"),
    ("bad certificate", "mend the certificate, or name the one that signed it in ca_file"),
    ("no answer within", "see what it is busy with, or whether something else listens there"),
    ("connection lost", "see in its log, or in that of a proxy, why it closes connections"),
];

/// A request to the store in progress.
pub struct Asked(Receiver<Result<Reached, String>>);

/// Starts the request.
pub fn ask(settings: &Settings) -> Asked {
    let (answer, answers) = channel();
    let mut settings = settings.clone();
    for (key, most) in HURRY {
        let section = &settings.tsdb.section;
        let seconds = section.number(key, most).unwrap_or(most).min(most);
        settings.tsdb.section = section.with(key, &seconds.to_string());
    }
    let work = move || {
        let until = Instant::now() + UNTIL;
        let reached = sink::build(&settings).map_err(|error| error.to_string()).and_then(|mut sink| sink.probe(until));
        let _ = answer.send(reached);
    };
    // If no thread can be started, the channel is closed at once.
    let _ = thread::Builder::new().name("store".into()).spawn(work);
    Asked(answers)
}

impl Asked {
    /// Waits for the answer, at most for `limit`.
    ///
    /// # Errors
    /// Why the store does not accept points.
    pub fn wait(self, limit: Duration) -> Result<Reached, String> {
        let late =
            || format!("the store was not reached within {} s: it, or the look-up of its name, hangs", limit.as_secs());
        self.0.recv_timeout(limit).unwrap_or_else(|_| Err(late()))
    }
}

/// The reason as an error about `[TSDB]` in the settings' file, with the remedy.
pub fn refused(settings: &Settings, why: &str) -> Error {
    let remedy = REMEDIES.iter().find(|(words, _)| why.contains(words));
    let remedy = remedy.map(|(_, remedy)| format!("; {remedy}")).unwrap_or_default();
    let section = &settings.tsdb.section;
    Error::Config {
        file: section.file.clone(),
        line: section.line,
        section: section.name.clone(),
        key: String::new(),
        problem: format!("{why}{remedy}"),
    }
}
