//! `puypuy check`: runs one check, script or own module now.

use super::commands::{Paths, folder_of, module_of, named};
use super::explain::Explanation;
use super::render::{self, Format};
use super::say;
use crate::check::World;
use crate::config::ini;
use crate::config::settings::{SelfConfig, Settings};
use crate::daemon::{self, hostname, privileges};
use crate::fetch::program::Programs;
use crate::model::error::{Error, Result, plain};
use crate::model::parse::environ;
use crate::model::point::Tick;
use crate::scheduler::prepared::{self, Prepared};
use crate::scheduler::worker::{RunResult, Unit};
use crate::scripts::{self, Permits};
use crate::sys::clock::unix_now;
use std::env;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The option that runs a command as the daemon's user, with the daemon's environment.
pub const AS_SERVICE: &str = "--as-service";

/// How often a check is run.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// At least 1; rates need two.
    pub samples: u32,
    /// Time between two samples.
    pub every: Duration,
}

/// What is printed.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    Points(Format),
    /// Everything about the check; the points are encoded for the store of that name.
    Explained {
        store: Option<&'a str>,
    },
}

/// Runs one check that many times, at that interval; prints the points of the last run, and what the daemon's log would
/// contain.
///
/// # Errors
/// There is no check of that name; its section has a mistake; or the last run failed as a whole. Points that were
/// reported before the failure are printed.
pub fn check(settings: &Settings, name: &str, sampling: Sampling, view: View, out: &mut dyn Write) -> Result<()> {
    let Sampling { samples, every } = sampling;
    let own = &settings.own;
    let prepared = prepare(&settings.home, name)?;
    let explanation = match view {
        View::Points(_) => None,
        View::Explained { store } => Some(Explanation::begin(settings, &prepared, store)?),
    };
    // A run may take as long as in the daemon, whatever the interval is here.
    let limit = prepared.common.limit(own.check_period);
    let unit = Unit::new(prepared, Instant::now(), every, false);
    let (identity, _) = hostname::identity(own);
    let programs = Programs::new(settings.home.clone(), identity.clone());
    let programs = programs.with_python(own.python.clone(), settings.file.clone()).waiting_for_imports();
    let world = World { roots: own.roots.clone(), programs: Arc::new(programs) };
    let mut begun = Vec::new();
    let mut run = || {
        let at = Instant::now();
        begun.push(at);
        unit.run(Tick { wall: unix_now(), at, deadline: at + limit, period: every }, &world)
    };
    let mut ran = run();
    let mut lines = std::mem::take(&mut ran.lines);
    for _ in 1..samples {
        thread::sleep(every);
        ran = run();
        lines.append(&mut ran.lines);
    }
    // This ends connections that are kept from run to run.
    drop(unit);
    let RunResult { batch, failure, .. } = ran;
    lines.retain(|(_, line)| failure.as_ref() != Some(line));
    let nothing = "# nothing to tell: what it watches is not there, or has no numbers yet\n";
    let is_nothing = batch.is_empty() && lines.is_empty() && failure.is_none();
    let points = |batch| if is_nothing { nothing.into() } else { render::table(batch) };
    let mut tell = |text: String| {
        let _ = out.write_all(text.as_bytes());
        lines.iter().for_each(|(_, line)| say(out, format!("# {line}")));
    };
    match (view, explanation) {
        (View::Points(Format::Json), _) => tell(render::json(&batch, &identity)),
        (View::Points(Format::Influx), _) => tell(render::influx(batch, &identity)),
        (View::Points(Format::Table), _) | (_, None) => tell(points(&batch)),
        (_, Some(explanation)) => {
            let head = explanation.head(&begun);
            tell(format!("{head}\npoints\n{}", points(&batch)));
            let _ = out.write_all(explanation.foot(batch, &identity).as_bytes());
        }
    }
    failure.map_or(Ok(()), |failure| Err(Error::daemon(failure)))
}

/// A script by its file name, else an own module, else a check.
fn prepare(home: &Path, name: &str) -> Result<Prepared> {
    match folder_of(home, name)? {
        Some(folder) => {
            let permits = Permits::read(&ini::section(home, scripts::CONF, scripts::COMMON)?)?;
            prepared::script(home, folder, name, &Arc::new(permits)).map_err(|error| of_file(folder, name, error))
        }
        None => match module_of(home, name)? {
            Some((folder, module)) => {
                prepared::module(home, folder, &module).map_err(|error| of_file(folder, &module, error))
            }
            None => prepared::check(home, named(name)?),
        },
    }
}

/// Puts the file's name before an error that has no subject.
fn of_file(folder: &str, name: &str, error: Error) -> Error {
    match error {
        Error::Daemon(sentence) | Error::Absent(sentence) => Error::daemon(format!("{folder}/{name}: {sentence}")),
        error => error,
    }
}

/// Runs this program again without [`AS_SERVICE`], as the daemon's user and with the environment of the running daemon.
/// Does not return if it succeeds.
///
/// # Errors
/// This user cannot become that one, or the program cannot be started.
pub fn as_service(paths: Paths, own: &SelfConfig) -> Result<()> {
    let (target, doubt) = privileges::target(own)?;
    if let Some(doubt) = doubt {
        return Err(Error::daemon(format!("{doubt}; {AS_SERVICE} needs root: sudo")));
    }
    let environment = daemon::environment(own);
    if environment.is_none() {
        super::complain("no daemon runs whose environment this user may see: that of this shell is used");
    }
    privileges::drop_to(target)?;
    let words = env::args_os().skip(1).filter(|word| word != AS_SERVICE);
    let mut anew = Command::new("/proc/self/exe");
    anew.arg0("puypuy").arg("--home").arg(paths.home).args(words);
    if let Some(environment) = environment {
        anew.env_clear().envs(environ::pairs(&environment));
    }
    Err(Error::daemon(format!("cannot begin this program anew: {}", plain(&anew.exec()))))
}
