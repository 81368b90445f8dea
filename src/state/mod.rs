//! The state of each check, script and own module as it is published: the one source of the page and of `/metrics`.
//!
//! The tick loop and the workers publish it (`entry`), whoever asks reads a copy of it from the `board`. *Invariant:* no lock is
//! held while a check runs, and where nothing has changed a run is published without an allocation.

mod board;
mod entry;
mod judged;

pub use board::Board;
pub use entry::Entry;
pub use judged::{Change, Open};

use std::time::Duration;

/// What is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Check,
    /// An own Python module.
    Module,
    Script,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Check => "check",
            Kind::Module => "module",
            Kind::Script => "script",
        }
    }
}

/// How it is. Those that need somebody come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Its last run failed, or told less than it should; or it goes on as it was because its section has a mistake.
    Fault,
    /// Its run goes on past its tick.
    Late,
    /// It is switched on and cannot run.
    Off,
    /// It has not run yet.
    Waiting,
    Ok,
}

impl Condition {
    pub fn word(self) -> &'static str {
        match self {
            Condition::Fault => "fault",
            Condition::Late => "late",
            Condition::Off => "off",
            Condition::Waiting => "waiting",
            Condition::Ok => "ok",
        }
    }
}

/// A run that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Unix seconds of its tick.
    pub tick: i64,
    pub took: Duration,
    /// Points that it told, health events included.
    pub points: usize,
    /// What it could not tell; one, where it failed as a whole.
    pub faults: usize,
    pub has_failed: bool,
}

/// A check, script or own module at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub kind: Kind,
    /// A check's name, or the file name of a script or own module.
    pub name: String,
    /// The further server of a check that it is about: `shop` of `[NginX:shop]`.
    pub server: Option<String>,
    pub condition: Condition,
    /// Why it is in this condition, where that needs a reason.
    pub why: Option<String>,
    /// Unix seconds since when it is in this condition.
    pub since: i64,
    pub period: Duration,
    pub last: Option<Run>,
    /// Faults since it was taken up.
    pub faults: u64,
    /// Ticks that it missed since it was taken up, because it was busy.
    pub missed: u64,
    /// Its health events that are not well.
    pub open: Vec<Open>,
}

impl State {
    /// With the server that it is about, `check_nginx:shop`.
    pub fn full_name(&self) -> String {
        match &self.server {
            Some(server) => format!("{}:{server}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether it runs, and its last run did not fail as a whole.
    pub fn is_up(&self) -> bool {
        let has_run = matches!(self.condition, Condition::Ok | Condition::Fault);
        has_run && self.last.is_some_and(|last| !last.has_failed)
    }
}
