//! The commands that need no daemon: try a check, switch checks on and off, look over the configuration, show the store.

use super::render::{self, Format};
#[cfg(feature = "local")]
use super::show;
use crate::check::{Check, Context, Out, Pace, Spec, World};
use crate::checks;
use crate::config::settings::{self, Loaded, Settings, SinkKind};
use crate::config::spelling;
use crate::daemon::hostname;
use crate::fetch::program::Programs;
use crate::model::error::{Error, Result};
use crate::model::point::Tick;
use crate::scheduler::families::{check_all, section_for};
use crate::scheduler::links::{self, Link};
use crate::scripts::{self, Manner, Places, Script};
use crate::sink;
use crate::sys::clock::unix_now;
use crate::web;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What `quickstart` switches on where nothing is.
pub const FIRST_CHECKS: &[&str] =
    &["check_cpustats", "check_disks", "check_load_average", "check_memory", "check_network_bytes"];

/// How much longer than two periods the first numbers may take.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// `puypuy check`: runs one check that many times, that far apart, and prints what the last run told.
///
/// # Errors
/// No check of that name, a mistake in its section, or a run that failed as a whole. What it told before is printed.
pub fn check(settings: &Settings, name: &str, sampling: Sampling, out: &mut dyn Write) -> Result<()> {
    let Sampling { samples, every, format } = sampling;
    let Runnable { mut check, check_type, pace } = runnable(settings, name)?;
    let limit = pace.timeout.unwrap_or(settings.own.check_period);
    let mut told = Out::new(check_type, pace.max_series, tick(every, limit));
    let (identity, _) = hostname::identity(&settings.own);
    let programs = Programs::new(settings.home.clone(), identity.clone());
    let world = World { roots: settings.own.roots.clone(), programs: Arc::new(programs) };
    let mut last = Ok(());
    for sample in 0..samples.max(1) {
        if sample > 0 {
            thread::sleep(every);
        }
        let tick = tick(every, limit);
        told.begin(tick);
        last = guarded(check.as_mut(), &world.at(tick), &mut told);
        if sample + 1 < samples {
            told.finish();
        }
    }
    let (batch, faults) = told.finish();
    let text = match format {
        Format::Table if batch.is_empty() && faults.is_empty() && last.is_ok() => {
            "# nothing to tell: what it watches is not there, or has no numbers yet\n".into()
        }
        Format::Table => render::table(&batch),
        Format::Json => render::json(&batch, &identity),
        Format::Influx => render::influx(batch, &identity),
    };
    say(out, &text);
    for fault in faults {
        say(out, &format!("# fault: {fault}\n"));
    }
    last
}

/// A check or a script, ready to run.
struct Runnable {
    check: Box<dyn Check>,
    check_type: &'static str,
    pace: Pace,
}

/// A script by the name of its file, else a check.
fn runnable(settings: &Settings, name: &str) -> Result<Runnable> {
    let home = &settings.home;
    if let Some(folder) = folder_of(home, name)? {
        let manner = Manner::configure(home, name)?;
        let path = home.join(folder).join(name);
        let pace = manner.pace;
        let check = Box::new(Script::new(path, manner, Arc::new(Places::configure(home)?)));
        return Ok(Runnable { check, check_type: scripts::TYPE, pace });
    }
    let spec = named(name)?;
    let section = section_for(home, spec)?;
    Ok(Runnable { check: (spec.build)(&section)?, check_type: spec.check_type, pace: Pace::read(&section)? })
}

/// Where a script of that name lies; those that are switched on first.
fn folder_of(home: &Path, name: &str) -> Result<Option<&'static str>> {
    for folder in [scripts::ENABLED, scripts::AVAILABLE] {
        if scripts::names(home, folder)?.iter().any(|known| known == name) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

fn named(name: &str) -> Result<&'static Spec> {
    let stem = name.strip_suffix(".ini").or_else(|| name.strip_suffix(".py")).unwrap_or(name);
    let with_prefix = format!("check_{stem}");
    checks::find(stem).or_else(|| checks::find(&with_prefix)).ok_or_else(|| {
        let near = spelling::hint(stem, checks::all().map(|spec| spec.name));
        Error::daemon(format!("{name}: no check of that name{near}; `puypuy list` shows all"))
    })
}

fn tick(period: Duration, limit: Duration) -> Tick {
    let at = Instant::now();
    Tick { wall: unix_now(), at, deadline: at + limit, period }
}

fn guarded(check: &mut dyn Check, context: &Context, told: &mut Out) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| check.run(context, told)))
        .unwrap_or_else(|_| Err(Error::daemon("the check panicked; this is a bug, please report it")))
}

/// Writes what can be written: a reader that has gone away (`| head`) is no error.
fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
}

/// `puypuy list`: every check, whether it is switched on, and what it is for.
pub fn list(home: &Path, out: &mut dyn Write) -> Result<()> {
    let links = links::read(home)?;
    let width = checks::all().map(|spec| spec.name.len()).max().unwrap_or(0);
    for spec in checks::all() {
        let mark = if links.iter().any(|link| link.stem == spec.name) { "on " } else { "off" };
        say(out, &format!("{mark}  {:width$}  {}\n", spec.name, spec.purpose));
    }
    for link in links.iter().filter(|link| link.spec().is_none()) {
        say(out, &format!("?    {:width$}  no check of that name in this version\n", link.file_name));
    }
    let on = scripts::names(home, scripts::ENABLED)?;
    for name in &on {
        say(out, &format!("on   {name:width$}  script\n"));
    }
    for name in scripts::names(home, scripts::AVAILABLE)?.iter().filter(|name| !on.contains(name)) {
        say(out, &format!("off  {name:width$}  script\n"));
    }
    Ok(())
}

/// `puypuy enable`: makes the links. All names are looked at before the first link is made.
pub fn enable(home: &Path, names: &[impl AsRef<str>], out: &mut dyn Write) -> Result<()> {
    let (mut programs, mut specs) = (Vec::new(), Vec::new());
    for name in names.iter().map(AsRef::as_ref) {
        match folder_of(home, name)? {
            Some(_) => programs.push(name),
            None => specs.push(named(name)?),
        }
    }
    let mut told = |name: &str, made: bool| {
        say(out, &format!("{name}: {}\n", if made { "switched on" } else { "is on already" }));
    };
    for spec in specs {
        told(spec.name, links::enable(home, spec)?);
    }
    for name in programs {
        told(name, scripts::enable(home, name)?);
    }
    Ok(())
}

/// `puypuy disable`: removes links, also those of checks that this version does not know.
pub fn disable(home: &Path, names: &[String], out: &mut dyn Write) -> Result<()> {
    for name in names {
        if let Some(folder) = folder_of(home, name)? {
            let is_on = folder == scripts::ENABLED;
            if is_on {
                scripts::disable(home, name)?;
            }
            say(out, &format!("{name}: {}\n", if is_on { "switched off" } else { "is off already" }));
            continue;
        }
        let linked = |stem: &str| links::read(home).is_ok_and(|links| links.iter().any(|link| link.stem == stem));
        let stem = if linked(name) { name.clone() } else { named(name)?.name.to_string() };
        let removed = links::disable(home, &stem)?;
        say(out, &format!("{stem}: {}\n", if removed { "switched off" } else { "is off already" }));
    }
    Ok(())
}

/// `puypuy check-config`: every mistake of `config.ini` and `conf/*.ini`, a line each.
///
/// # Errors
/// There are mistakes, or with `strict` warnings.
pub fn check_config(place: Place, strict: bool, out: &mut dyn Write) -> Result<()> {
    let links = links::read(place.home)?;
    let enabled: Vec<&'static Spec> = links.iter().filter_map(Link::spec).collect();
    let Loaded { settings, mut errors, mut warnings, .. } = settings::load(place.home, place.config);
    let (of_checks, doubts) = check_all(place.home, place.config, &enabled);
    errors.extend(of_checks);
    warnings.extend(doubts);
    warnings.extend(settings.as_ref().and_then(|settings| hostname::identity(&settings.own).1).map(Error::daemon));
    errors.extend(settings.and_then(|settings| try_build(&settings).err()));
    for warning in &warnings {
        say(out, &format!("{}: {warning}\n", if strict { "error" } else { "warning" }));
    }
    for error in &errors {
        say(out, &format!("error: {error}\n"));
    }
    match (errors.len() + if strict { warnings.len() } else { 0 }, warnings.len()) {
        (0, 0) => say(out, "the configuration is fine\n"),
        (0, 1) => say(out, "the configuration can be used; 1 warning\n"),
        (0, count) => say(out, &format!("the configuration can be used; {count} warnings\n")),
        (1, _) => return Err(Error::daemon("1 mistake in the configuration")),
        (count, _) => return Err(Error::daemon(format!("{count} mistakes in the configuration"))),
    }
    Ok(())
}

/// Whether the sink takes its keys of `[TSDB]`, and the web server those of its section. Opens nothing.
pub fn try_build(settings: &Settings) -> Result<()> {
    sink::build(settings)?;
    settings.web.as_ref().map_or(Ok(()), |section| web::configure(section).map(|_| ()))
}

/// `puypuy show`: the local store's series of a span whose name holds the pattern.
///
/// # Errors
/// Another sink is configured, or the store cannot be read.
pub fn show(settings: &Settings, pattern: Option<&str>, last: Duration, out: &mut dyn Write) -> Result<()> {
    show::show(&sink::local_file(&settings.tsdb, &settings.home)?, pattern, last, unix_now(), out)
}

/// First half of `puypuy quickstart`: where no check is enabled, the first five are.
pub fn enable_first(home: &Path, out: &mut dyn Write) -> Result<()> {
    if links::read(home)?.iter().any(|link| link.spec().is_some()) {
        return Ok(());
    }
    enable(home, FIRST_CHECKS, out)
}

/// Second half of `puypuy quickstart`, when the daemon runs: waits for its first two looks and shows what it stored.
///
/// # Errors
/// Nothing was stored in time; the message says where to look.
pub fn show_first(settings: &Settings, out: &mut dyn Write) -> Result<()> {
    let log = settings.own.log_file.display();
    if settings.tsdb.kind != SinkKind::Local {
        say(
            out,
            &format!("numbers go to the server of [TSDB] in {}; what happens is in {log}\n", settings.file.display()),
        );
        return Ok(());
    }
    let file = sink::local_file(&settings.tsdb, &settings.home)?;
    let period = settings.own.check_period;
    say(out, &format!("waiting for the first two looks, {} s apart\n", period.as_secs_f64()));
    // A rate needs two looks.
    let wanted = unix_now() + period.as_secs_f64().ceil() as i64;
    let until = Instant::now() + 2 * period + PATIENCE;
    while show::last_stored(&file, unix_now())?.is_none_or(|stored| stored < wanted) {
        if Instant::now() >= until {
            return Err(Error::daemon(format!("nothing was stored in time; the reason should be in {log}")));
        }
        thread::sleep(Duration::from_millis(100));
    }
    show::show(&file, None, 2 * period + PATIENCE, unix_now(), out)
}

/// Stands where the local store was left out of the program.
#[cfg(not(feature = "local"))]
mod show {
    use super::*;

    pub fn show(_: &Path, _: Option<&str>, _: Duration, _: i64, _: &mut dyn Write) -> Result<()> {
        Err(Error::daemon("this program was built without the local store (feature local)"))
    }

    pub fn last_stored(_: &Path, _: i64) -> Result<Option<i64>> {
        Ok(None)
    }
}
