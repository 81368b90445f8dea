//! What became of a program, as its guard says it in a line.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// It, or something it had started, was still there at the deadline.
    Late,
    /// The daemon, or a signal to the guard, wanted it ended.
    Stopped,
    /// It could not be started, or its guard was lost.
    Failed(String),
    /// These processes can be neither ended nor killed.
    Stuck(String),
    /// Its guard is late with the end; this is no word of a guard.
    Ending,
}

impl fmt::Display for Fate {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fate::Exited(code) => write!(to, "exited {code}"),
            Fate::Signalled(signal) => write!(to, "signalled {signal}"),
            Fate::Late => write!(to, "late"),
            Fate::Stopped => write!(to, "stopped"),
            Fate::Failed(why) => write!(to, "failed {why}"),
            Fate::Stuck(pids) => write!(to, "stuck {pids}"),
            Fate::Ending => write!(to, "ending"),
        }
    }
}

impl Fate {
    /// What [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(line: &str) -> Option<Fate> {
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match word {
            "exited" => rest.parse().ok().map(Fate::Exited),
            "signalled" => rest.parse().ok().map(Fate::Signalled),
            "late" => Some(Fate::Late),
            "stopped" => Some(Fate::Stopped),
            "failed" => Some(Fate::Failed(rest.into())),
            "stuck" => Some(Fate::Stuck(rest.into())),
            _ => None,
        }
    }

    /// What was wrong with it, as said of the program; `None`: nothing.
    pub fn complaint(&self) -> Option<String> {
        Some(match self {
            Fate::Exited(0) | Fate::Stopped => return None,
            Fate::Exited(code) => format!("exited with code {code}"),
            Fate::Signalled(signal) => format!("was ended by signal {signal}"),
            Fate::Late => "was not done in time and was ended, with all that it had started".into(),
            Fate::Failed(why) => format!("cannot be run: {why}"),
            Fate::Ending => "was not done in time, and its guard has not ended it yet".into(),
            Fate::Stuck(pids) => format!("was not done in time; its processes {pids} can be neither ended nor killed"),
        })
    }
}
