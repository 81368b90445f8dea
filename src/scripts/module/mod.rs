//! Own Python modules, `checks_enabled/check_*.py`, each in its own Python process.
//!
//! A module has a function `runcheck()` or a class `Check`.

mod answer;
mod host;

use super::config::{privileges, section};
use super::pause::Pause;
use super::stream::{Version, version};
use crate::check::{Check, CommonSettings, Context, Out};
use crate::config::section::Section;
use crate::fetch::program::{MAX_OUTPUT, Privileges};
use crate::model::error::{Error, Result, plain};
use host::{Host, RunOutcome};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use host::python;

/// Their settings: one section per module, and one for all modules.
pub const CONF: &str = "conf/modules.ini";
pub const COMMON: &str = "modules";
/// Keys of a module's section, in addition to those of every check.
pub const KEYS: &[&str] = &["import_seconds", "max_memory_mb", "max_output", "nice", "run_user"];
/// Default and maximum of `import_seconds`.
const IMPORT: f64 = 60.0;
const MOST_IMPORT: f64 = 3600.0;
/// After this time a running import is logged.
const LONG_IMPORT: Duration = Duration::from_secs(5);
/// Most bytes that are read of a module's source.
const MAX_TEXT: u64 = 1 << 20;

/// The settings of a module.
#[derive(Clone, Debug)]
pub struct ModuleConfig {
    pub common: CommonSettings,
    /// Time limit of the import.
    pub import: Duration,
    /// Most bytes of output per run.
    pub max_output: usize,
    pub privileges: Privileges,
}

impl ModuleConfig {
    /// Its section of [`CONF`], see [`section`].
    ///
    /// # Errors
    /// As [`section`].
    pub fn section(home: &Path, name: &str) -> Result<Section> {
        section(home, CONF, COMMON, name)
    }

    /// Reads the settings from its section.
    pub fn read(section: &Section) -> Result<ModuleConfig> {
        let seconds = section.within("import_seconds", IMPORT, 0.1..=MOST_IMPORT, "seconds")?;
        Ok(ModuleConfig {
            common: CommonSettings::read(section)?,
            import: Duration::from_secs_f64(seconds),
            max_output: section.number("max_output", MAX_OUTPUT)?,
            privileges: privileges(section)?,
        })
    }
}

/// Checks that there is a module at that path: a readable file that contains `runcheck` or `class Check`.
///
/// # Errors
/// There is none; [`Error::Absent`] if the user may have meant a built-in check. The text has no subject, so that one
/// line can name several modules.
pub fn check_file(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Err(Error::daemon("is no file; expected a Python module, or a link to one")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::Absent(
                "the link leads to a file that is not there; remove it, or put the file there".into(),
            ));
        }
        Err(error) => return Err(Error::daemon(format!("cannot be looked at: {}", plain(&error)))),
    }
    let text = text(path).map_err(|error| Error::daemon(format!("cannot be read: {}", plain(&error))))?;
    match text.contains("runcheck") || text.contains("class Check") {
        true => Ok(()),
        false => {
            Err(Error::Absent("it is no module of your own: it has no function runcheck() and no class Check".into()))
        }
    }
}

/// The source of the module, at most `MAX_TEXT` bytes.
pub fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A module that runs as a check.
pub struct Module {
    path: PathBuf,
    config: ModuleConfig,
    host: Option<Host>,
    /// Version of the file that was imported last.
    version: Version,
    pause: Pause,
    /// Why the last process was lost; empty if no process was lost since the last run.
    why: String,
}

impl Module {
    pub fn new(path: PathBuf, config: ModuleConfig) -> Module {
        Module { path, config, host: None, version: None, pause: Pause::default(), why: String::new() }
    }

    /// The file name without `check_` and `.py`: the default of the `type` tag.
    pub fn check_type(name: &str) -> &str {
        let stem = name.strip_suffix(".py").unwrap_or(name);
        stem.strip_prefix("check_").unwrap_or(stem)
    }

    /// The process; a new one if there is none, the file has changed, or the daemon's identity has changed.
    fn host(&mut self, context: &Context) -> Result<Host> {
        let now = version(&self.path);
        let is_same = std::mem::replace(&mut self.version, now) == now;
        if let Some(host) = self.host.take() {
            if is_same && host.has_current_identity(context.programs) {
                return Ok(host);
            }
            host.end(context.tick.deadline);
        }
        if !is_same {
            (self.pause, self.why) = (Pause::default(), String::new());
        }
        match self.pause.is_over() {
            true => Host::start(&self.path, &self.config, context.programs),
            false => Err(Error::daemon(self.why.clone())),
        }
    }
}

impl Check for Module {
    fn run(&mut self, context: &Context, out: &mut Out) -> Result<()> {
        let mut host = self.host(context)?;
        let asked = host.ask(context, out);
        host.report_stderr(out);
        match asked {
            RunOutcome::Done(failure) => {
                self.host = Some(host);
                self.why.clear();
                failure.map_or(Ok(()), |failure| Err(Error::daemon(failure)))
            }
            RunOutcome::Importing => {
                if host.begun.elapsed() > LONG_IMPORT {
                    out.absence_of("", "its import is not done yet");
                }
                self.host = Some(host);
                // While a module is started again, the earlier error is still reported.
                if self.why.is_empty() { Ok(()) } else { Err(Error::daemon(self.why.clone())) }
            }
            RunOutcome::Lost(heard) => {
                self.pause.begin(host.begun);
                let why = host.lost(heard);
                self.why.clone_from(&why);
                Err(Error::daemon(why))
            }
        }
    }
}
