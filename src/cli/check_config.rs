//! `puypuy check-config`: finds all mistakes of the configuration, even if some are severe or something hangs.

use super::commands::{self, Paths};
use super::reach;
use crate::checks;
use crate::config::mistakes;
use crate::config::section::Section;
use crate::config::settings::{self, Loaded, Settings, Tsdb};
use crate::daemon::hostname;
use crate::model::error::{Error, Result};
use crate::scheduler::difference::Broken;
use crate::scheduler::enabled::look_once;
use crate::scheduler::families::{self, Said};
use crate::scheduler::links;
use crate::scheduler::lookups::{self, Answer, HANGS, Lookups};
use crate::scheduler::prepared::{Folder, Prepared};
use crate::scripts::module;
use crate::sink;
use crate::web;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A part that is checked by itself, so that something that hangs does not affect the others.
#[derive(Clone, PartialEq)]
enum Part {
    /// The keys of the configured sink, in that file.
    Store(String),
    /// `[WebServer]`.
    Web(String),
    /// An ini file of the checks; the name is that in messages.
    File(String),
    /// An enabled check.
    Check(&'static str),
}

impl Part {
    fn name(&self) -> String {
        match self {
            Part::Store(file) => format!("{file} [TSDB]"),
            Part::Web(file) => format!("{file} [WebServer]"),
            Part::File(shown) => shown.clone(),
            Part::Check(name) => format!("the section of {name}"),
        }
    }
}

/// Prints all mistakes of `config.ini` and `conf/*.ini`, one per line, found as the daemon's user; with `connect` also
/// whether the store would accept points.
///
/// # Errors
/// There are mistakes; with `strict`, there are warnings; or the store would not accept points.
pub fn check_config(paths: Paths, strict: bool, connect: bool, out: &mut dyn Write) -> Result<()> {
    let loaded = settings::load(paths.home, paths.config);
    let became = loaded.own.as_ref().map_or(Ok(()), commands::become_run_user);
    let asked = loaded.settings.as_ref().filter(|_| connect).map(|settings| (settings.clone(), reach::ask(settings)));
    let mut said = look_over(paths, loaded).said;
    said.errors.extend(became.err());
    let told = tell(&said, strict, out);
    let reached = match asked {
        None if !connect => return told,
        None => Err("the store was not asked: mend the mistakes first".to_string()),
        Some((settings, asked)) => asked.wait(reach::LIMIT).map_err(|why| reach::refused(&settings, &why).to_string()),
    };
    match reached {
        Ok(reached) => {
            let _ = writeln!(out, "the store: {}", reached.who);
            told
        }
        Err(why) => {
            let _ = writeln!(out, "error: {why}");
            told.and(Err(Error::daemon("the store would take no points")))
        }
    }
}

/// The result of looking over a configuration.
pub struct Looked {
    /// Sorted by file and line.
    pub said: Said,
    /// Everything that is enabled and can run.
    pub on: Vec<Prepared>,
}

/// Finds all mistakes and warnings of a configuration. The process has to be the daemon's user already.
pub fn look_over(paths: Paths, loaded: Loaded) -> Looked {
    let Loaded { draft, own, errors, warnings, .. } = loaded;
    let mut said = Said { errors, warnings };
    if let Some(own) = &own {
        said.warnings.extend(hostname::identity(own).1.map(Error::daemon));
    }
    let (seen, unlisted) = look_once(paths.home, checks::find, |_| true);
    said.errors.extend(unlisted);
    if let Some(period) = own.as_ref().map(|own| own.check_period) {
        said.warnings.extend(seen.added.iter().filter_map(|on| too_patient(on, period)));
    }
    if let Some(own) = own.filter(|_| seen.added.iter().any(|on| links::is_module(&on.key.name))) {
        said.warnings.extend(module::python(&own.python).err());
    }
    let on = seen.added.iter().filter(|on| on.key.folder == Folder::Checks).map(|on| on.key.name.as_str());
    let of_checks = seen.broken.iter().filter(|broken| broken.folder == Folder::Checks);
    let off = of_checks.flat_map(|broken| &broken.names).map(|name| links::stem(name));
    let linked: BTreeSet<&str> = on.chain(off).filter_map(|name| Some(checks::find(name)?.name)).collect();
    look_at(paths, draft, linked, &mut said);
    let is_new = |broken: &Broken| !said.errors.iter().any(|error| error.to_string() == broken.reason);
    let lines: Vec<String> = seen.broken.iter().filter(|broken| is_new(broken)).map(Broken::line).collect();
    said.warnings.extend(lines.into_iter().map(Error::daemon));
    said.errors.sort_by_key(place_of);
    said.warnings.sort_by_key(place_of);
    Looked { said, on: seen.added }
}

/// The mistake of a `timeout_seconds` that is longer than the period and so has no effect; `None` if it is not.
fn too_patient(on: &Prepared, period: Duration) -> Option<Error> {
    let (timeout, period) = (on.common.timeout?.as_secs_f64(), on.common.period.unwrap_or(period).as_secs_f64());
    let what = format!(
        "no run goes on for longer than its period, {period} s: set check_period_seconds = {timeout} there, too"
    );
    (timeout > period).then(|| on.section.problem("timeout_seconds", &what))
}

/// The sort key: file and line; errors about no file come last.
fn place_of(error: &Error) -> (bool, String, usize) {
    match error {
        Error::Config { file, line, .. } => (false, file.clone(), *line),
        _ => (true, String::new(), 0),
    }
}

/// Looks at all parts.
fn look_at(paths: Paths, draft: Option<Settings>, linked: BTreeSet<&'static str>, said: &mut Said) {
    let mut parts = Vec::new();
    let main = settings::file_of(paths.home, paths.config);
    if let Some(Settings { tsdb, web, .. }) = &draft {
        parts.push(Part::Store(tsdb.section.file.clone()));
        parts.extend(web.as_ref().map(|section| Part::Web(section.file.clone())));
    }
    let home = paths.home.to_path_buf();
    match lookups::once(move || families::all_files(&home)) {
        Some(Ok(files)) => {
            parts.extend(files.into_iter().filter(|file| paths.home.join(file) != main).map(Part::File));
        }
        Some(Err(error)) => said.errors.push(error),
        None => said.errors.push(Error::daemon(format!("conf: {HANGS}"))),
    }
    parts.extend(linked.into_iter().map(Part::Check));
    let home = paths.home.to_path_buf();
    let mut looks = Lookups::new(move |part: &Part| look(part, &home, draft.as_ref()));
    for (part, answer) in looks.ask_once(parts) {
        let found = match answer {
            Answer::Seen(found) => found,
            Answer::Hangs => Error::daemon(format!("{}: {HANGS}", part.name())).into(),
            Answer::Waits => Error::daemon(format!("{}: was not looked at, others do not answer", part.name())).into(),
        };
        said.warnings.extend(found.warnings);
        for error in found.errors {
            // A mistake in a file is found by every reader of the file.
            if !said.errors.iter().any(|known| known.to_string() == error.to_string()) {
                said.errors.push(error);
            }
        }
    }
}

fn look(part: &Part, home: &Path, draft: Option<&Settings>) -> Said {
    let errors = match (part, draft) {
        (Part::File(shown), _) => return families::look_over(home, shown),
        (Part::Check(name), _) => checks::find(name).map(|spec| families::try_check(home, spec)),
        (Part::Store(_), Some(draft)) => {
            let of = |section: &Section| {
                let tsdb = Tsdb { section: section.clone().readable()?, ..draft.tsdb.clone() };
                sink::build(&Settings { tsdb, ..draft.clone() })
            };
            Some(mistakes::of(&draft.tsdb.section, of))
        }
        (Part::Web(_), Some(draft)) => {
            let of = |section: &Section| web::configure(&section.clone().readable()?);
            draft.web.as_ref().map(|section| mistakes::of(section, of))
        }
        (Part::Store(_) | Part::Web(_), None) => None,
    };
    Said { errors: errors.unwrap_or_default(), warnings: Vec::new() }
}

fn tell(said: &Said, strict: bool, out: &mut dyn Write) -> Result<()> {
    let Said { errors, warnings } = said;
    for warning in warnings {
        let _ = writeln!(out, "{}: {warning}", if strict { "error" } else { "warning" });
    }
    for error in errors {
        let _ = writeln!(out, "error: {error}");
    }
    let verdict = match (errors.len() + if strict { warnings.len() } else { 0 }, warnings.len()) {
        (0, 0) => "the configuration is fine".into(),
        (0, 1) => "the configuration can be used; 1 warning".into(),
        (0, count) => format!("the configuration can be used; {count} warnings"),
        (1, _) => return Err(Error::daemon("1 mistake in the configuration")),
        (count, _) => return Err(Error::daemon(format!("{count} mistakes in the configuration"))),
    };
    let _ = writeln!(out, "{verdict}");
    Ok(())
}
