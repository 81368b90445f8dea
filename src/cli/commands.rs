//! Commands that need no running daemon: enable and disable checks, quickstart.

#[cfg(feature = "local")]
use super::show;
use super::{Manner, Wanted, say};
use crate::check::Spec;
use crate::checks;
use crate::config::settings::{SelfConfig, Settings, SinkKind};
use crate::config::spelling;
use crate::daemon::privileges;
use crate::model::error::{Error, Result};
use crate::scheduler::difference::Taken;
use crate::scheduler::enabled::look_once;
use crate::scheduler::links;
use crate::scheduler::lookups;
use crate::scheduler::prepared::{Folder, Key};
use crate::scripts;
use crate::sink;
use crate::sys::clock::unix_now;
use nix::unistd::geteuid;
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The checks that `quickstart` enables if none is enabled.
pub const FIRST_CHECKS: &[&str] =
    &["check_cpustats", "check_disks", "check_load_average", "check_memory", "check_network_bytes"];

/// How long the first numbers may take, in addition to two periods.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a command finds the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Paths<'a> {
    pub home: &'a Path,
    /// The file given with `--config`.
    pub config: Option<&'a Path>,
}

/// The own module of that name, with or without `check_` and `.py`, and its folder. Enabled ones have precedence.
pub fn module_of(home: &Path, name: &str) -> Result<Option<(&'static str, String)>> {
    let stem = name.strip_suffix(".py").unwrap_or(name);
    for folder in [links::ENABLED, links::AVAILABLE] {
        let is_meant = |module: &String| {
            let own = links::stem(module);
            own == stem || own.strip_prefix("check_") == Some(stem)
        };
        if let Some(module) = links::modules(home, folder)?.into_iter().find(is_meant) {
            return Ok(Some((folder, module)));
        }
    }
    Ok(None)
}

/// The folder of the script with that name. Enabled ones have precedence.
pub fn folder_of(home: &Path, name: &str) -> Result<Option<&'static str>> {
    for folder in [scripts::ENABLED, scripts::AVAILABLE] {
        if scripts::names(home, folder)?.iter().any(|known| known == name) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// The check with that name, with or without `check_` and a file extension.
pub fn named(name: &str) -> Result<&'static Spec> {
    let stem = name.strip_suffix(".ini").or_else(|| name.strip_suffix(".py")).unwrap_or(name);
    let with_prefix = format!("check_{stem}");
    checks::find(stem).or_else(|| checks::find(&with_prefix)).ok_or_else(|| {
        let near = spelling::hint(stem, checks::all().map(|spec| spec.name));
        Error::daemon(format!("{name}: no check of that name{near}; `puypuy list` shows all"))
    })
}

/// Becomes the daemon's user, so that files are read with its permissions. Only root can; other users stay as they are.
///
/// # Errors
/// There is no such user, or the look-up failed.
pub fn become_run_user(own: &SelfConfig) -> Result<()> {
    let asked = own.clone();
    match lookups::once(move || privileges::run_user(&asked)) {
        Some(user) => user.and_then(|user| privileges::drop_to(user.filter(|_| geteuid().is_root()))),
        None => Err(own.section.problem("run_user", lookups::HANGS)),
    }
}

/// `puypuy enable`: makes the links. All names are checked before the first link is made. Returns what happens to the
/// given names; other entries are not looked at, because one of them may hang.
///
/// # Errors
/// An unknown name, or a link that cannot be made.
pub fn enable(home: &Path, own: Option<&SelfConfig>, names: &[String], out: &mut dyn Write) -> Result<Taken> {
    let links = make_links(home, names)?;
    // Errors about that user are reported by other commands.
    let _ = own.map(become_run_user);
    let is_made = |key: &Key| links.iter().any(|(folder, name, _)| *folder == key.folder && *name == key.name);
    let (seen, unlisted) = look_once(home, checks::find, is_made);
    super::none_of(&unlisted)?;
    let is_on = |(folder, name, _): &Linked| {
        seen.added.iter().any(|prepared| (prepared.key.folder, &*prepared.key.name) == (*folder, &**name))
    };
    links.iter().filter(|link| is_on(link)).for_each(|link| say_on(link, out));
    Ok(Taken::of(&[seen]))
}

/// A link: its folder, what it enables, and whether it is new.
type Linked<'a> = (Folder, Cow<'a, str>, bool);

/// Makes the links for these names.
fn make_links<'a>(home: &Path, names: &'a [impl AsRef<str>]) -> Result<Vec<Linked<'a>>> {
    let mut found: Vec<(Folder, Cow<str>)> = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        found.push(match (folder_of(home, name)?, module_of(home, name)?) {
            (Some(_), _) => (Folder::Scripts, name.into()),
            (None, Some((_, module))) => (Folder::Checks, module.into()),
            (None, None) => (Folder::Checks, named(name)?.name.into()),
        });
    }
    let make = |(folder, name): (Folder, Cow<'a, str>)| {
        let is_new = match folder {
            Folder::Checks => links::enable(home, &name)?,
            Folder::Scripts => scripts::enable(home, &name)?,
        };
        Ok((folder, name, is_new))
    };
    found.into_iter().map(make).collect()
}

fn say_on((_, name, is_new): &Linked, out: &mut dyn Write) {
    say(out, format!("{name}: {}", if *is_new { "switched on" } else { "is on already" }));
}

/// `puypuy disable`: removes links, including those of checks that this version does not have.
pub fn disable(home: &Path, names: &[String], moves: bool, out: &mut dyn Write) -> Result<()> {
    for name in names {
        if let Some(folder) = folder_of(home, name)? {
            let is_on = folder == scripts::ENABLED;
            if is_on {
                scripts::disable(home, name, moves)?;
            }
            say(out, format!("{name}: {}", if is_on { "switched off" } else { "is off already" }));
            continue;
        }
        let is_linked = |known: &str| {
            links::read(home, checks::find).is_ok_and(|links| links.iter().any(|link| link.name == known))
        };
        let known: Cow<str> = match [name, links::stem(name)].into_iter().find(|known| is_linked(known)) {
            Some(known) => known.into(),
            None => match module_of(home, name)? {
                Some((_, module)) => module.into(),
                None => named(name)?.name.into(),
            },
        };
        let removed = links::disable(home, &known, moves)?;
        say(out, format!("{known}: {}", if removed { "switched off" } else { "is off already" }));
    }
    Ok(())
}

/// `puypuy show`: the series of the local store whose names match the pattern.
///
/// # Errors
/// Another sink is configured, or the store cannot be read.
pub fn show(settings: &Settings, wanted: Wanted, out: &mut dyn Write) -> Result<()> {
    show::show(&sink::local_file(&settings.tsdb, &settings.home)?, wanted, unix_now(), out)
}

/// First part of `puypuy quickstart`: enables the first five checks if no check is enabled. `Ok(false)`: some are
/// enabled already.
pub fn enable_first(home: &Path, out: &mut dyn Write) -> Result<bool> {
    if links::read(home, checks::find)?
        .iter()
        .any(|link| checks::find(&link.name).is_some() || links::is_module(&link.name))
    {
        return Ok(false);
    }
    // The entries are not looked at: that needs threads, and the daemon forks next. Mistakes are in its log.
    make_links(home, FIRST_CHECKS)?.iter().for_each(|link| say_on(link, out));
    Ok(true)
}

/// Second part of `puypuy quickstart`, while the daemon runs: waits for its first two runs and shows what was stored.
///
/// # Errors
/// Nothing was stored in time; the message names the log.
pub fn show_first(settings: &Settings, out: &mut dyn Write) -> Result<()> {
    let log = settings.own.log_file.display();
    if settings.tsdb.kind != SinkKind::Local {
        say(
            out,
            format!("numbers go to the server of [TSDB] in {}; what happens is in {log}", settings.file.display()),
        );
        return Ok(());
    }
    let file = sink::local_file(&settings.tsdb, &settings.home)?;
    let period = settings.own.check_period;
    say(out, format!("waiting for the first two looks, {} s apart", period.as_secs_f64()));
    // A rate needs two runs.
    let wanted = unix_now() + period.as_secs_f64().ceil() as i64;
    let until = Instant::now() + 2 * period + PATIENCE;
    while show::last_stored(&file, unix_now())?.is_none_or(|stored| stored < wanted) {
        if Instant::now() >= until {
            return Err(Error::daemon(format!("nothing was stored in time; the reason should be in {log}")));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let last = 2 * period + PATIENCE;
    show::show(&file, Wanted { pattern: None, last, period, all: true, manner: Manner::Table }, unix_now(), out)
}

/// Replaces `show` in a program without the local store.
#[cfg(not(feature = "local"))]
mod show {
    use super::*;

    pub fn show(_: &Path, _: Wanted, _: i64, _: &mut dyn Write) -> Result<()> {
        Err(Error::daemon("this program was built without the local store (feature local)"))
    }

    pub fn last_stored(_: &Path, _: i64) -> Result<Option<i64>> {
        Ok(None)
    }
}
