//! Whether the configured store would take points: asked of it without storing any, in a thread apart, since a look-up may hang.

use crate::config::settings::Settings;
use crate::model::error::Error;
use crate::sink::{self, Reached};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the store may take.
pub const LIMIT: Duration = Duration::from_secs(8);
/// After which the sink itself gives up.
const UNTIL: Duration = Duration::from_secs(7);
/// Keys of `[TSDB]`, and the most seconds of them here: what takes longer is told as late before that.
const HURRY: [(&str, u64); 2] = [("connect_timeout", 2), ("timeout", 2)];

/// A question to the store that is under way.
pub struct Asked(Receiver<Result<Reached, String>>);

/// Asks it.
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
    // Without a thread the channel closes at once.
    let _ = thread::Builder::new().name("store".into()).spawn(work);
    Asked(answers)
}

impl Asked {
    /// The answer, waited for at most so long.
    ///
    /// # Errors
    /// In words, why the store takes no points.
    pub fn wait(self, limit: Duration) -> Result<Reached, String> {
        let late =
            || format!("the store was not reached within {} s: it, or the look-up of its name, hangs", limit.as_secs());
        self.0.recv_timeout(limit).unwrap_or_else(|_| Err(late()))
    }
}

/// As an error about `[TSDB]` of that file.
pub fn refused(settings: &Settings, why: &str) -> Error {
    let file = settings.file.strip_prefix(&settings.home).unwrap_or(&settings.file);
    Error::daemon(format!("{} [TSDB]: {why}", file.display()))
}
