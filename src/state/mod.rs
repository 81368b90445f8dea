//! The published state of each check, script and own module: the only source for the page and `/metrics`.
//!
//! The tick loop and the workers write it (`entry`); readers get copies from the `board`. *Invariant:* no lock is held
//! while a check runs; and publishing a run allocates nothing if nothing has changed.

mod board;
mod entry;
mod judged;

pub use board::Board;
pub use entry::Entry;
pub use judged::{Change, Open};

use std::time::Duration;

/// The kind of a thing that is switched on.
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

/// The condition of a check. Conditions that need attention come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Its last run failed, wholly or in part; or it still runs with its old section because the new one has a mistake.
    Fault,
    /// Its run has not ended at the next tick.
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

/// A finished run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Time of its tick, in Unix seconds.
    pub tick: i64,
    pub took: Duration,
    /// Number of points reported, health events included.
    pub points: usize,
    /// Number of faults, the failure of the whole run included.
    pub faults: usize,
    pub has_failed: bool,
}

/// The state of a check, script or own module at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub kind: Kind,
    /// A check's name, or the file name of a script or own module.
    pub name: String,
    /// The further server that this state is about: `shop` of `[NginX:shop]`; `None` for the check itself.
    pub server: Option<String>,
    pub condition: Condition,
    /// Why it is in this condition, if it needs a reason.
    pub why: Option<String>,
    /// Since when it is in this condition, in Unix seconds.
    pub since: i64,
    pub period: Duration,
    pub last: Option<Run>,
    /// Number of faults since its activation.
    pub faults: u64,
    /// Number of ticks missed since its activation, because a run had not ended.
    pub missed: u64,
    /// Its health events that are not `ok`.
    pub open: Vec<Open>,
}

impl State {
    /// The name with its server: `check_nginx:shop`.
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
