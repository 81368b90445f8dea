//! What the commands do that start no daemon.

use crate::cli::Format;
use crate::error::{Error, Result};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Where a command finds its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub home: &'a Path,
    /// The file that `--config` names.
    pub config: Option<&'a Path>,
}

/// How `check` runs a check.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// At least 1; rates need two.
    pub samples: u32,
    /// Time between two samples.
    pub every: Duration,
    pub format: Format,
}

/// Runs one check, enabled or not, and shows its points.
pub fn check(_place: Place, _name: &str, _sampling: Sampling, _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}

/// Lists all checks and which of them are enabled.
pub fn list(_place: Place, _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}

pub fn enable(_place: Place, _names: &[String], _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}

pub fn disable(_place: Place, _names: &[String], _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}

/// Shows every mistake of the configuration. With `strict` a warning is a mistake.
pub fn check_config(_place: Place, _strict: bool, _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}

/// Shows what the local store holds: series whose name holds `pattern`, over the time back from now.
pub fn show(_place: Place, _pattern: Option<&str>, _last: Duration, _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}

/// From nothing to numbers on the screen.
pub fn quickstart(_place: Place, _out: &mut dyn Write) -> Result<()> {
    Err(Error::daemon("not yet"))
}
