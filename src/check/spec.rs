//! What a check declares.

use super::Check;
use super::chart::Chart;
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::table::Field;
use std::time::Duration;

/// Where a check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// On the one worker shared by all checks whose whole source is a few kernel files answered from memory.
    Kernel,
    /// On a thread of its own: whatever talks to a network, a program, a device or a foreign file system, or may have
    /// thousands of files to read.
    Own,
}

/// The declaration of a check, always a `static` in its own file.
pub struct Spec {
    /// `check_` and the file's stem; what a link in `checks_enabled` names.
    pub name: &'static str,
    /// One line for `puypuy list`.
    pub purpose: &'static str,
    /// Value of the `type` tag.
    pub check_type: &'static str,
    /// File in `conf/`.
    pub conf: &'static str,
    /// Section in that file; empty where the check has none.
    pub section: &'static str,
    /// Every key the section may hold, beside [`COMMON_KEYS`], the check's own and those of what it is built from; `*`: any.
    /// With [`DEVICES`] among them, every other section of its files is a device of the check.
    pub keys: &'static [&'static [&'static str]],
    pub runs: Runs,
    /// All tables of the check: what it can tell. Descriptors and docs are held against it.
    pub fields: &'static [&'static [Field]],
    /// Those that somebody has laid out; see [`super::chart::charts`].
    pub charts: &'static [Chart],
    /// Reads the configuration, and nothing else: every mistake shows at start. Opens nothing.
    pub build: fn(&Section) -> Result<Box<dyn Check>>,
}

impl Spec {
    /// Every key of its own.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().copied().flatten().copied()
    }

    /// The first line of its tables with that metric, a pattern as it is written.
    pub fn field(&self, metric: &str) -> Option<&'static Field> {
        self.fields.iter().copied().flatten().find(|field| field.metric == metric)
    }

    pub fn has_key(&self, key: &str) -> bool {
        self.keys().any(|own| own == key)
    }
}

/// Keys that every check's section takes.
pub const COMMON_KEYS: &[&str] = &["check_period_seconds", "timeout_seconds", "max_series"];

/// Among the keys of a check whose devices have a section each.
pub const DEVICES: &str = "[*]";

/// Series a check may have at once unless its section says otherwise.
pub const DEFAULT_MAX_SERIES: usize = 2000;

/// What the scheduler needs to know of an enabled check, read from its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommonSettings {
    /// Own period; `None`: the daemon's.
    pub period: Option<Duration>,
    /// Longest run; `None`: until the next tick.
    pub timeout: Option<Duration>,
    pub max_series: usize,
}

impl CommonSettings {
    /// How long a run may take when the daemon's period is `period`.
    pub fn limit(&self, period: Duration) -> Duration {
        let period = self.period.unwrap_or(period);
        self.timeout.map_or(period, |timeout| timeout.min(period))
    }

    pub fn read(section: &Section) -> Result<CommonSettings> {
        let seconds = |key, least| section.optional_within(key, least..=86_400.0, "seconds");
        Ok(CommonSettings {
            period: seconds("check_period_seconds", 0.1)?.map(Duration::from_secs_f64),
            timeout: seconds("timeout_seconds", 0.001)?.map(Duration::from_secs_f64),
            max_series: section.number("max_series", DEFAULT_MAX_SERIES)?,
        })
    }
}
