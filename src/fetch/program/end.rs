//! How a program ended, and its form as the one line that a guard reports.

use std::fmt;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It exited with this code.
    Exited(i32),
    /// It was ended by a signal that was not sent by the guard.
    Signalled(i32),
    /// It, or one of its descendants, was still running at the deadline.
    Late,
    /// The daemon, or a signal to the guard, requested its end.
    Stopped,
    /// It could not be started, or its guard was killed.
    Failed(String),
    /// These processes cannot be killed.
    Stuck(String),
    /// The guard has not finished in time. Not reported by a guard.
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
    /// Parses the output of [`fmt::Display`]; `None` for any other text.
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

    /// What is wrong with the program, as the end of a sentence; `None` if nothing is.
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
