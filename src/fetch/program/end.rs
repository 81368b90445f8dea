//! What became of a program, as its guard says it in a line.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
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

impl fmt::Display for ProgramEnd {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ProgramEnd::Exited(code) => write!(to, "exited {code}"),
            ProgramEnd::Signalled(signal) => write!(to, "signalled {signal}"),
            ProgramEnd::Late => write!(to, "late"),
            ProgramEnd::Stopped => write!(to, "stopped"),
            ProgramEnd::Failed(why) => write!(to, "failed {why}"),
            ProgramEnd::Stuck(pids) => write!(to, "stuck {pids}"),
            ProgramEnd::Ending => write!(to, "ending"),
        }
    }
}

impl ProgramEnd {
    /// What [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(line: &str) -> Option<ProgramEnd> {
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match word {
            "exited" => rest.parse().ok().map(ProgramEnd::Exited),
            "signalled" => rest.parse().ok().map(ProgramEnd::Signalled),
            "late" => Some(ProgramEnd::Late),
            "stopped" => Some(ProgramEnd::Stopped),
            "failed" => Some(ProgramEnd::Failed(rest.into())),
            "stuck" => Some(ProgramEnd::Stuck(rest.into())),
            _ => None,
        }
    }

    /// What was wrong with it, as said of the program; `None`: nothing.
    pub fn complaint(&self) -> Option<String> {
        Some(match self {
            ProgramEnd::Exited(0) | ProgramEnd::Stopped => return None,
            ProgramEnd::Exited(code) => format!("exited with code {code}"),
            ProgramEnd::Signalled(signal) => format!("was ended by signal {signal}"),
            ProgramEnd::Late => "was not done in time and was ended, with all that it had started".into(),
            ProgramEnd::Failed(why) => format!("cannot be run: {why}"),
            ProgramEnd::Ending => "was not done in time, and its guard has not ended it yet".into(),
            ProgramEnd::Stuck(pids) => {
                format!("was not done in time; its processes {pids} can be neither ended nor killed")
            }
        })
    }
}
