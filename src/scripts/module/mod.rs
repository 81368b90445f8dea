//! Own Python modules: `checks_enabled/check_*.py` with a function `runcheck()` or a class `Check`, each run by a Python of its own.

mod answer;
mod host;

use super::config::{privileges, section};
use super::pause::Pause;
use super::stream::{Version, version};
use crate::check::{Check, CommonSettings, Context, Out};
use crate::config::section::Section;
use crate::fetch::program::{MAX_OUTPUT, Privileges};
use crate::model::error::{Error, Result, plain};
use crate::sys::logging::Folding;
use host::{Asked, Host};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use host::python;

/// Their settings: a section for each, and one for all.
pub const CONF: &str = "conf/modules.ini";
pub const COMMON: &str = "modules";
/// Keys of a section, beside those of every check.
pub const KEYS: &[&str] = &["import_seconds", "max_memory_mb", "max_output", "nice", "run_user"];
/// Seconds that an import may take unless the section says otherwise.
const IMPORT: f64 = 60.0;
const MOST_IMPORT: f64 = 3600.0;
/// After that the log is told that one goes on.
const LONG_IMPORT: Duration = Duration::from_secs(5);
/// Nobody writes more by hand.
const MAX_TEXT: u64 = 1 << 20;

/// How a module is run.
#[derive(Clone, Debug)]
pub struct ModuleConfig {
    pub common: CommonSettings,
    /// How long its import may take.
    pub import: Duration,
    /// Most bytes that it may tell in a run.
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

    /// From one section.
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

/// That there is a module in that place: a file that can be read and speaks of `runcheck`.
///
/// # Errors
/// There is none: [`Error::Absent`] where somebody may have meant a check. The sentence has no subject: many may share it.
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

/// What the module says, as far as anybody writes.
pub fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A module as a check.
pub struct Module {
    path: PathBuf,
    config: ModuleConfig,
    host: Option<Host>,
    /// Of the file that was imported last.
    version: Version,
    pause: Pause,
    /// Why there is no host that has run it since; empty: nothing was wrong.
    why: String,
    /// What the module says in the log.
    said: Folding,
}

impl Module {
    pub fn new(path: PathBuf, config: ModuleConfig) -> Module {
        let (pause, said) = (Pause::default(), Folding::default());
        Module { path, config, host: None, version: None, pause, why: String::new(), said }
    }

    /// Its name without what makes it a file of ours: the `type` of numbers that bring none.
    pub fn check_type(name: &str) -> &str {
        let stem = name.strip_suffix(".py").unwrap_or(name);
        stem.strip_prefix("check_").unwrap_or(stem)
    }

    /// The host, new where there is none, where another file lies in the place of the one that it has imported, or where this daemon
    /// has other names.
    fn host(&mut self, context: &Context) -> Result<Host> {
        let now = version(&self.path);
        let is_same = std::mem::replace(&mut self.version, now) == now;
        if let Some(host) = self.host.take() {
            if is_same && host.knows_names(context.programs) {
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
        host.tell_complaint(out);
        for text in host.take_said() {
            let name = self.path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(line) = self.said.complain(&name, &text, Instant::now()) {
                log::info!("{line}");
            }
        }
        match asked {
            Asked::Done(failure) => {
                self.host = Some(host);
                self.why.clear();
                failure.map_or(Ok(()), |failure| Err(Error::daemon(failure)))
            }
            Asked::Importing => {
                if host.begun.elapsed() > LONG_IMPORT {
                    out.absence_of("", "its import is not done yet");
                }
                self.host = Some(host);
                // One that is tried again does not work yet.
                if self.why.is_empty() { Ok(()) } else { Err(Error::daemon(self.why.clone())) }
            }
            Asked::Lost(heard) => {
                self.pause.begin(host.begun);
                let why = host.lost(heard);
                self.why.clone_from(&why);
                Err(Error::daemon(why))
            }
        }
    }
}
