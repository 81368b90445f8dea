//! `puypuy migrate DIR`: plans what is taken over from a Python original, and with `--apply` does it.
//!
//! *Invariant:* the original's folder is never changed, and nothing that the user has changed in this home is
//! overwritten.

mod original;
mod step;

use super::commands::Paths;
use super::render::printable;
use super::{none_of, say};
use crate::checks;
use crate::config::ini::DEFAULT;
use crate::config::section::Section;
use crate::config::settings;
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use crate::scheduler::{families, links, lookups};
use crate::scripts;
use crate::sys::folder;
use original::Original;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use step::{State, Step};

const CONFIG: &str = "config.ini";
/// Sections of the daemon, which belong into [`CONFIG`].
const OF_DAEMON: [&str; 3] = ["SelfConfig", "TSDB", "WebServer"];
/// Where the start of a program may be configured, relative to the root.
const STARTERS: [&str; 5] =
    ["etc/cron.d", "etc/init.d", "etc/systemd/system", "var/spool/cron", "var/spool/cron/crontabs"];
const STARTER_FILES: [&str; 2] = ["etc/crontab", "etc/rc.local"];
/// Folders of checks, by all names that the original has used.
const AVAILABLE: [&str; 2] = ["checks_available", "checks-available"];
const ENABLED: [&str; 2] = ["checks_enabled", "checks-enabled"];

/// The file for unknown sections of the original's `config.ini`: they belong to own modules.
const OWN: &str = "conf/own.ini";
/// The beginning of the advice about the user in [SelfConfig].
const RAN_AS: &str = "it ran as";
const SECRETS: [&str; 4] = ["pass", "uuid", "token", "apikey"];

/// The plan of a migration.
#[derive(Default)]
struct Plan {
    steps: Vec<Step>,
    /// A summary, and advice for what has to be done by hand.
    summary: String,
    advice: Vec<String>,
    /// Files that could not be read.
    unread: Vec<Error>,
}

/// Prints the plan; with `applies` also carries it out.
///
/// # Errors
/// There is no original in that folder; or a part of it could not be taken over, but everything else was.
pub fn migrate(paths: Paths, roots: &Roots, from: &Path, applies: bool, out: &mut dyn Write) -> Result<()> {
    let original = Original::open(from, paths.home)?;
    let mut plan = read(&original, paths);
    starters(&original, roots, &mut plan);
    say(out, format!("{}: {}", printable(&original.folder().display().to_string()), plan.summary));
    let mut left: Vec<Error> = std::mem::take(&mut plan.unread);
    let mut open = 0;
    for step in &plan.steps {
        let shown = printable(&step.shown());
        match step.state(paths.home) {
            Ok(State::Done) => say(out, format!("  is so    {shown}")),
            Ok(State::Kept(why)) => left.push(Error::daemon(format!("{shown}: not taken over: {why}"))),
            Err(error) => left.push(error),
            Ok(State::Open) if !applies => {
                open += 1;
                say(out, format!("  to do    {shown}"));
            }
            Ok(State::Open) => match step.carry_out(paths.home) {
                Ok(()) => say(out, format!("  done     {shown}")),
                Err(error) => left.push(error),
            },
        }
    }
    if !plan.advice.is_empty() {
        say(out, "by hand:");
        plan.advice.iter().for_each(|line| say(out, format!("  {}", printable(line))));
    }
    if open > 0 {
        say(out, "nothing was changed; with --apply what is to do is done");
    } else if applies {
        say(out, "`puypuy check-config` looks it over, `puypuy start` starts it");
    }
    none_of(&left)
}

fn read(original: &Original, paths: Paths) -> Plan {
    let mut plan = Plan::default();
    sections(original, paths, &mut plan);
    let mut known = BTreeSet::new();
    for folder in AVAILABLE.iter().chain(&ENABLED) {
        let names = listed(original, folder, &mut plan);
        known.extend(names.into_iter().filter(|name| links::is_module(name)));
    }
    let is_built_in = |name: &&String| checks::find(links::stem(name)).is_some();
    let built_in = known.iter().filter(is_built_in).count();
    plan.summary = format!("{built_in} of its {} checks are built in", known.len());
    let mut seen = BTreeSet::new();
    for folder in ENABLED {
        for name in listed(original, folder, &mut plan) {
            if !seen.insert(links::stem(&name).to_string()) {
                continue;
            }
            match checks::find(links::stem(&name)) {
                Some(spec) => plan.steps.push(Step::Switch { name: spec.name.into() }),
                None if links::is_module(&name) => copied(original, folder, name, false, &mut plan),
                None => plan
                    .unread
                    .push(Error::daemon(format!("{folder}/{name}: is neither a check of this version nor a module"))),
            }
        }
    }
    for name in listed(original, scripts::ENABLED, &mut plan) {
        copied(original, scripts::ENABLED, name, true, &mut plan);
    }
    plan
}

fn listed(original: &Original, folder: &str, plan: &mut Plan) -> Vec<String> {
    original.checks(folder).unwrap_or_else(|error| {
        plan.unread.push(error);
        Vec::new()
    })
}

fn copied(original: &Original, folder: &str, name: String, is_script: bool, plan: &mut Plan) {
    match original.bytes(&format!("{folder}/{name}")) {
        Ok(bytes) => plan.steps.push(Step::Copy { is_script, name, bytes }),
        Err(error) => plan.unread.push(error),
    }
}

/// Plans every section, for the file in which this version reads it.
fn sections(original: &Original, paths: Paths, plan: &mut Plan) {
    let confs = original.confs().unwrap_or_else(|error| {
        plan.unread.push(error);
        Vec::new()
    });
    let mut taken = BTreeSet::new();
    for file in std::iter::once(original.config().to_string()).chain(confs) {
        let read = match original.ini(&file) {
            Ok(read) => read,
            Err(error) => {
                plan.unread.push(error);
                continue;
            }
        };
        let is_config = file == original.config();
        plan.unread.extend(read.errors);
        for section in read.sections.iter().filter(|section| section.name != DEFAULT && !section.entries.is_empty()) {
            let Some((to, name)) = place(section, &file, is_config) else { continue };
            let path = if to == CONFIG { settings::file_of(paths.home, paths.config) } else { paths.home.join(&to) };
            if !taken.insert((to.clone(), name.clone())) {
                continue;
            }
            advise(section, original, &file, plan);
            let entries = section.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
            plan.steps.push(Step::Section { file: to, path, name, entries: entries.collect() });
        }
    }
}

/// The file and the name of a section in this version. `None`: it has no effect here.
fn place(section: &Section, file: &str, is_config: bool) -> Option<(String, String)> {
    if OF_DAEMON.contains(&&*section.name) {
        return is_config.then(|| (CONFIG.into(), section.name.clone()));
    }
    let Some(spec) = families::reader(&section.name) else {
        let to = if is_config { OWN } else { file };
        return Some((to.into(), section.name.clone()));
    };
    let name = match section.name.split_once(':') {
        Some((_, instance)) if !spec.section.contains(':') => format!("{}:{instance}", spec.section),
        _ => spec.section.into(),
    };
    Some((format!("conf/{}", spec.conf), name))
}

/// Advice that follows from the values of a section.
fn advise(section: &Section, original: &Original, file: &str, plan: &mut Plan) {
    let text = |key: &str| section.text(key).filter(|text| !text.is_empty());
    if section.name == "SelfConfig" {
        if let Some(user) = text("puypuy_user").or(text("run_user")) {
            plan.advice.push(format!("{RAN_AS} {user}: start this one as root, and it becomes {user} again"));
        }
        if let Some(folder) = text("tmpdir") {
            let folder = folder.to_string();
            let place = folder.clone();
            // This may hang, wherever the folder is.
            let waiting =
                lookups::once(move || folder::names(Path::new(&place)).unwrap_or_default()).unwrap_or_default();
            let count = waiting.iter().filter(|name| name.ends_with(".cached")).count();
            if count > 0 {
                let what = if count == 1 { "1 file waits".into() } else { format!("{count} files wait") };
                plan.advice.push(format!("{what} in {folder}: `puypuy spool import` takes over what is in it"));
            }
        }
    }
    if SECRETS.iter().any(|key| text(key).is_some()) && original.is_private(file) {
        let name = &section.name;
        plan.advice
            .push(format!("[{name}] has a secret, and {file} was closed to others: chmod o-r its file here, too"));
    }
}

/// Advice about what starts the original on this host.
fn starters(original: &Original, roots: &Roots, plan: &mut Plan) {
    let script = original.bytes("puypuy.sh").unwrap_or_default();
    let script = String::from_utf8_lossy(&script);
    let user =
        script.lines().find_map(|line| line.trim().to_ascii_lowercase().strip_prefix("run_user=").map(String::from));
    let user = user.map(|user| user.trim_matches(['"', '\'']).to_string()).filter(|user| !user.is_empty());
    // The user in [SelfConfig] has priority.
    let is_taken = plan.advice.iter().any(|line| line.starts_with(RAN_AS));
    if let Some(user) = user.filter(|_| !is_taken) {
        plan.advice.push(format!("its puypuy.sh ran it as {user}: write run_user = {user} into [SelfConfig]"));
    }
    plan.advice
        .push(format!("stop it for good before this one starts: {}/puypuy.sh stop", original.folder().display()));
    let root = &roots.root;
    let folders = STARTERS.iter().flat_map(|name| folder::entries(&root.join(name)).unwrap_or_default());
    let files = folders.map(|entry| entry.path()).chain(STARTER_FILES.iter().map(|name| root.join(name)));
    let folder = original.folder().display().to_string();
    for path in files {
        let is_small = fs::metadata(&path).is_ok_and(|about| about.is_file() && about.len() < 1 << 20);
        let text = if is_small { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let lines = text.lines().enumerate();
        for (at, _) in lines.filter(|(_, line)| line.contains(&folder) && !line.trim_start().starts_with('#')) {
            let (path, at) = (path.display(), at + 1);
            plan.advice.push(format!("{path}:{at} names it: take the line out, or have it name this home"));
        }
    }
}
