//! What a check declares about itself: name, keys, metrics, charts.

use super::Check;
use super::chart::Chart;
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::table::Field;
use std::time::Duration;

/// The thread on which a check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// One thread shared by all checks that only read a few kernel files, which are answered from memory.
    Kernel,
    /// A thread of its own, for a check that uses the network, a program, a device or a mounted file system, or may
    /// read thousands of files.
    Own,
}

/// The declaration of a check, always a `static` in the file of the check.
pub struct Spec {
    /// `check_` and the stem of the file name; links in `checks_enabled` use this name.
    pub name: &'static str,
    /// One line of text for `puypuy list`.
    pub purpose: &'static str,
    /// Value of the `type` tag.
    pub check_type: &'static str,
    /// The file in `conf/`.
    pub conf: &'static str,
    /// The section in that file; empty if the check has none.
    pub section: &'static str,
    /// All keys that the section may have besides [`COMMON_KEYS`]: those of the check and those of what it is built
    /// from. `*` allows any key. With [`DEVICES`], every other section of its files is a device of the check.
    pub keys: &'static [&'static [&'static str]],
    pub runs: Runs,
    /// All tables of the check. Tests compare them with the descriptors and the docs.
    pub fields: &'static [&'static [Field]],
    /// Charts with a designed layout; [`super::chart::charts`] generates the others.
    pub charts: &'static [Chart],
    /// Reads the configuration and opens nothing. Every mistake in it is found at start.
    pub build: fn(&Section) -> Result<Box<dyn Check>>,
}

impl Spec {
    /// All keys in [`Spec::keys`].
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().copied().flatten().copied()
    }

    /// The first field of its tables with this metric; a pattern as it is written.
    pub fn field(&self, metric: &str) -> Option<&'static Field> {
        self.fields.iter().copied().flatten().find(|field| field.metric == metric)
    }

    /// Whether the check itself has this key; [`COMMON_KEYS`] do not count.
    pub fn has_key(&self, key: &str) -> bool {
        self.keys().any(|own| own == key)
    }
}

/// Keys that the section of every check takes.
pub const COMMON_KEYS: &[&str] = &["check_period_seconds", "timeout_seconds", "max_series"];

/// The entry of [`Spec::keys`] for a check whose devices have a section each.
pub const DEVICES: &str = "[*]";

/// Default of `max_series`, the maximum number of series of a check.
pub const DEFAULT_MAX_SERIES: usize = 2000;

/// What the scheduler needs from the section of an enabled check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommonSettings {
    /// Period of this check; `None`: the daemon's.
    pub period: Option<Duration>,
    /// Longest run; `None`: one period.
    pub timeout: Option<Duration>,
    pub max_series: usize,
}

impl CommonSettings {
    /// The longest run, given the daemon's period.
    pub fn limit(&self, period: Duration) -> Duration {
        let period = self.period.unwrap_or(period);
        self.timeout.map_or(period, |timeout| timeout.min(period))
    }

    /// Reads the keys in [`COMMON_KEYS`].\n\n# Errors\nA value is no number or out of range.
    pub fn read(section: &Section) -> Result<CommonSettings> {
        let seconds = |key, least| section.optional_within(key, least..=86_400.0, "seconds");
        Ok(CommonSettings {
            period: seconds("check_period_seconds", 0.1)?.map(Duration::from_secs_f64),
            timeout: seconds("timeout_seconds", 0.001)?.map(Duration::from_secs_f64),
            max_series: section.number("max_series", DEFAULT_MAX_SERIES)?,
        })
    }
}
