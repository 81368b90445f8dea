//! How scripts are run, from `conf/scripts.ini`, and the places that they share.

use super::reader::Format;
use super::{COMMON, CONF};
use crate::check::Pace;
use crate::config::ini;
use crate::config::section::Section;
use crate::fetch::program::{MAX_OUTPUT, Standing, safety};
use crate::model::error::Result;
use crate::sys::process;
use nix::unistd::User;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Scripts that run at the same time.
const MAX_PARALLEL: usize = 4;

/// How long a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Anew at each tick, and to its end.
    Once,
    /// For ever; what it writes is told as it comes.
    Stream,
}

/// How a script is run.
#[derive(Clone, Debug)]
pub struct Manner {
    pub pace: Pace,
    pub mode: Mode,
    /// `None`: by what it writes.
    pub format: Option<Format>,
    /// Most bytes that it may write in a run, or between two ticks.
    pub max_output: usize,
    pub standing: Standing,
}

impl Manner {
    /// From its section of [`CONF`], with `[scripts]` for what that does not say.
    ///
    /// # Errors
    /// A mistake; or root reads the file, and others can change it.
    pub fn configure(home: &Path, name: &str) -> Result<Manner> {
        safety::check_conf(&home.join(CONF))?;
        let (mut own, common) = (section(home, name)?, section(home, COMMON)?);
        own.entries.extend(common.entries);
        Manner::read(&own)
    }

    /// From one section.
    pub fn read(section: &Section) -> Result<Manner> {
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
        let max_output = section.number("max_output", MAX_OUTPUT)?;
        let nice = section.optional_number("nice")?;
        if nice.is_some_and(|level| !(-20..20).contains(&level)) {
            return Err(section.wrong("nice", "expected a number from -20 to 19"));
        }
        if nice.is_some_and(|level| !may_have(level)) {
            return Err(section.wrong("nice", "only root can raise a priority; take a higher number, or start as root"));
        }
        let user = section.text("run_user").filter(|name| !name.is_empty()).map(String::from);
        if let Some(name) = &user
            && User::from_name(name).is_ok_and(|found| found.is_none())
        {
            return Err(section.wrong("run_user", "there is no user of that name on this host"));
        }
        Ok(Manner { pace: Pace::read(section)?, mode, format, max_output, standing: Standing { user, nice } })
    }
}

/// Whether this process may have such a priority. Each thread has its own, so one that then ends can try.
fn may_have(nice: i8) -> bool {
    thread::spawn(move || process::set_nice(nice)).join().is_ok_and(|set| set.is_ok())
}

fn section(home: &Path, name: &str) -> Result<Section> {
    let path = home.join(CONF);
    if !path.exists() {
        return Ok(Section::missing(CONF, name));
    }
    let mut read = ini::load(&path, CONF)?;
    if !read.errors.is_empty() {
        return Err(read.errors.swap_remove(0));
    }
    Ok(read.section(name).cloned().unwrap_or_else(|| Section::missing(CONF, name)))
}

/// Places for scripts that run at the same time.
pub struct Places {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Places {
    /// As many as `[scripts]` of a home says.
    pub fn configure(home: &Path) -> Result<Places> {
        Places::read(&section(home, COMMON)?)
    }

    /// As many as `max_parallel` of that section says.
    pub fn read(section: &Section) -> Result<Places> {
        match section.number("max_parallel", MAX_PARALLEL)? {
            0 => Err(section.wrong("max_parallel", "expected a number above 0")),
            count => Ok(Places { free: Mutex::new(count), changed: Condvar::new() }),
        }
    }

    /// Waits for a place, at most until then.
    pub fn take(&self, until: Instant) -> Option<Place<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.changed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Place(self))
    }
}

/// A place that is taken, until it is dropped.
pub struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}
