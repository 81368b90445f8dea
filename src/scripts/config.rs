//! The settings of scripts from `conf/scripts.ini`, and the permits that limit how many run at the same time.

use super::plugins::JUDGE;
use super::reader::Format;
use super::{COMMON, CONF};
use crate::check::CommonSettings;
use crate::config::ini;
use crate::config::section::Section;
use crate::fetch::program::{MAX_OUTPUT, Privileges, safety};
use crate::model::error::Result;
use crate::sys::process;
use nix::unistd::User;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Default of `max_parallel`.
const MAX_PARALLEL: usize = 4;
/// Maximum of `max_parallel`.
const MOST_PARALLEL: usize = 10_000;

/// Limits of `max_memory_mb` in MiB: a guard and an interpreter need at least 64, and no machine has more than 1 TiB.
const LEAST_MEMORY: u64 = 64;
const MOST_MEMORY: u64 = 1 << 20;

/// Whether a script ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is started at each tick and runs to its end.
    Once,
    /// It runs for ever; its output is read as it comes.
    Stream,
}

/// The settings of a script.
#[derive(Clone, Debug)]
pub struct ScriptConfig {
    pub common: CommonSettings,
    pub mode: Mode,
    /// `None`: recognised from its output.
    pub format: Option<Format>,
    /// Whether each measure of a Nagios plugin gets an event of its own, judged by its thresholds.
    pub judges_measures: bool,
    /// Most bytes of output per run, or between two ticks.
    pub max_output: usize,
    pub privileges: Privileges,
}

impl ScriptConfig {
    /// Its section of [`CONF`], see [`section`].
    ///
    /// # Errors
    /// As [`section`].
    pub fn section(home: &Path, name: &str) -> Result<Section> {
        section(home, CONF, COMMON, name)
    }

    /// Reads the settings from its section.
    pub fn read(section: &Section) -> Result<ScriptConfig> {
        let format = match section.text("format").unwrap_or_default() {
            "" | "auto" => None,
            word => match Format::from_word(word) {
                Some(format) => Some(format),
                None => return Err(section.wrong("format", "expected lines, nagios, prometheus, influx or auto")),
            },
        };
        let mode = match section.text("mode").unwrap_or_default() {
            "" | "once" => Mode::Once,
            "stream" if format == Some(Format::Nagios) => {
                return Err(section.wrong("mode", "a Nagios plugin tells by its end, so it cannot be a stream"));
            }
            "stream" => Mode::Stream,
            _ => return Err(section.wrong("mode", "expected once or stream")),
        };
        let judges_measures = section.flag(JUDGE, false)?;
        let max_output = section.number("max_output", MAX_OUTPUT)?;
        let privileges = privileges(section)?;
        Ok(ScriptConfig {
            common: CommonSettings::read(section)?,
            mode,
            format,
            judges_measures,
            max_output,
            privileges,
        })
    }
}

/// The section of that name in a file about programs; values that it lacks come from the section for all programs.
///
/// # Errors
/// The file cannot be read or has a mistake; or this process is root and others can change the file.
pub fn section(home: &Path, conf: &str, common: &str, name: &str) -> Result<Section> {
    safety::check_conf(&home.join(conf))?;
    let (mut own, common) = (ini::section(home, conf, name)?, ini::section(home, conf, common)?);
    own.entries.extend(common.entries);
    own.fetched.extend(common.fetched);
    Ok(own)
}

/// The user, priority and memory limit of a program.
pub fn privileges(section: &Section) -> Result<Privileges> {
    let nice = section.optional_within::<i64>("nice", -20..=19, "a number")?.and_then(|level| i8::try_from(level).ok());
    if nice.is_some_and(|level| !may_have(level)) {
        return Err(section.wrong("nice", "only root can raise a priority; take a higher number, or start as root"));
    }
    let user = section.text("run_user").filter(|name| !name.is_empty()).map(String::from);
    if let Some(name) = &user
        && User::from_name(name).is_ok_and(|found| found.is_none())
    {
        return Err(section
            .wrong("run_user", "there is no user of that name on this host; name another, or make it with useradd"));
    }
    let memory = section.optional_within::<u64>("max_memory_mb", LEAST_MEMORY..=MOST_MEMORY, "MiB")?;
    Ok(Privileges { user, nice, memory: memory.map(|mebibytes| mebibytes << 20) })
}

/// Whether this process may set that priority. Priorities are per thread, so a short-lived thread tries it.
fn may_have(nice: i8) -> bool {
    thread::spawn(move || process::set_nice(nice)).join().is_ok_and(|set| set.is_ok())
}

/// Limits how many scripts run at the same time.
pub struct Permits {
    count: usize,
    free: Mutex<usize>,
    changed: Condvar,
}

impl Permits {
    /// `max_parallel` of that section.
    pub fn read(section: &Section) -> Result<Permits> {
        let count = section.within("max_parallel", MAX_PARALLEL, 1..=MOST_PARALLEL, "a number")?;
        Ok(Permits { count, free: Mutex::new(count), changed: Condvar::new() })
    }

    /// The total number of permits.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits for a permit, at most until `until`; `None` if there was none.
    pub fn take(&self, until: Instant) -> Option<Permit<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.changed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Permit(self))
    }
}

/// A permit in use; dropping it returns it.
pub struct Permit<'a>(&'a Permits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}
