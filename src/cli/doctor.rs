//! `puypuy doctor`: lists problems on this host and on the way to the store, each with its remedy, and then what works.

use super::check_config::{self, Looked};
use super::commands::{self, Paths};
use super::reach;
use super::render::{printable, readable_age};
use super::say;
use super::spool::{Count, Folders};
use crate::config::masking;
use crate::config::section::Section;
use crate::config::settings::{self, SelfConfig, Settings};
use crate::daemon::{self, Found, hostname};
use crate::fetch::program::run::find;
use crate::scheduler::prepared::Prepared;
use crate::scripts::plugins;
use crate::sink::Reached;
use crate::state::Kind;
use crate::sys::clock::unix_now;
use crate::sys::users;
use nix::unistd::{AccessFlags, Uid, access};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of the whole look.
const LIMIT: Duration = Duration::from_secs(9);
/// The command is abandoned after this time.
pub const LONGEST: Duration = Duration::from_secs(10);
/// Tolerated difference of two clocks in seconds: an answer takes a while, and HTTP dates have whole seconds.
const DRIFT: i64 = 5;
/// Most bytes of a script's first line.
const FIRST_LINE: u64 = 256;

/// The findings.
#[derive(Default)]
pub struct Report {
    /// Problems, each with its remedy.
    wrong: Vec<String>,
    well: Vec<String>,
}

impl Report {
    fn wrong(&mut self, sentence: impl ToString) {
        let sentence = printable(&sentence.to_string());
        if !self.wrong.contains(&sentence) {
            self.wrong.push(sentence);
        }
    }

    fn well(&mut self, sentence: impl Into<String>) {
        self.well.push(sentence.into());
    }

    fn append(&mut self, other: Report) {
        other.wrong.into_iter().for_each(|sentence| self.wrong(sentence));
        self.well.extend(other.well);
    }

    /// Prints the findings, problems first; returns the exit code.
    pub fn tell(&self, out: &mut dyn Write) -> u8 {
        match self.wrong.len() {
            0 => say(out, "nothing needs a hand"),
            1 => say(out, "1 thing needs a hand:"),
            count => say(out, format!("{count} things need a hand:")),
        }
        self.wrong.iter().for_each(|sentence| say(out, format!("- {sentence}")));
        if !self.well.is_empty() {
            say(out, "well:");
            self.well.iter().for_each(|sentence| say(out, format!("  {sentence}")));
        }
        if self.wrong.is_empty() { 0 } else { super::FAILURE }
    }
}

/// The name of a part, and the function that looks at it in a thread of its own.
type Part = (&'static str, Box<dyn FnOnce() -> Report + Send>);

/// Looks at everything. Call this before there is any other thread. The process becomes the daemon's user.
pub fn look(paths: Paths) -> Report {
    let begun = Instant::now();
    let mut report = Report::default();
    let loaded = settings::load(paths.home, paths.config);
    let (settings, own) = (loaded.settings.clone(), loaded.own.clone());
    if let Some(settings) = &settings {
        report.append(places(settings));
    }
    if let Some(error) = own.as_ref().and_then(|own| commands::become_run_user(own).err()) {
        report.wrong(error);
    }
    let (home, config) = (paths.home.to_path_buf(), paths.config.map(Path::to_path_buf));
    let mut parts: Vec<Part> = vec![(
        "configuration",
        Box::new(move || {
            let paths = Paths { home: &home, config: config.as_deref() };
            let sections: Vec<Section> = loaded.draft.iter().flat_map(sections).cloned().collect();
            let user = loaded.own.as_ref().and_then(|own| own.run_user.clone());
            let looked = check_config::look_over(paths, loaded);
            let mut report = configuration(&looked, paths);
            let of_checks = looked.on.iter().flat_map(|on| std::iter::once(&on.section).chain(&on.section.devices));
            let sections: Vec<&Section> = sections.iter().chain(of_checks).collect();
            report.append(permissions(&sections, paths, user.as_deref()));
            report
        }),
    )];
    if let Some(own) = own {
        let of_host = own.clone();
        parts.push(("host name", Box::new(move || host_name(&of_host))));
        parts.push(("daemon", Box::new(move || daemon(&own))));
    }
    if let Some(settings) = settings {
        let of_store = settings.clone();
        parts.push(("store", Box::new(move || store(&of_store))));
        parts.push(("spool", Box::new(move || spool(&settings))));
    }
    let parts = parts.into_iter().map(|(name, part)| (name, start(name, part))).collect::<Vec<_>>();
    for (name, answer) in parts {
        match answer.recv_timeout((begun + LIMIT).saturating_duration_since(Instant::now())) {
            Ok(found) => report.append(found),
            Err(_) => report.wrong(format!(
                "{name}: the look at it is not over after {} s: a folder, file or name that it needs does not answer",
                LIMIT.as_secs()
            )),
        }
    }
    report
}

/// Looks at a part in a thread of its own.
fn start(name: &str, part: Box<dyn FnOnce() -> Report + Send>) -> Receiver<Report> {
    let (answer, answers): (Sender<Report>, _) = channel();
    // If no thread can be started, the channel is closed at once.
    let _ = thread::Builder::new().name(name.into()).spawn(move || {
        let _ = answer.send(part());
    });
    answers
}

/// The sections of `config.ini`.
fn sections(settings: &Settings) -> impl Iterator<Item = &Section> {
    [&settings.own.section, &settings.tsdb.section].into_iter().chain(&settings.web)
}

/// Whether a daemon could start: folders, log, pid file, spool, certificates, and the address of the web server.
fn places(settings: &Settings) -> Report {
    let mut report = Report::default();
    if is_of_another_user(&settings.own) {
        report.well("folders: not tried, only root can look with the rights of the daemon's user: sudo");
        return report;
    }
    let user = settings.own.run_user.clone().filter(|_| Uid::effective().is_root());
    let user = user.unwrap_or_else(|| users::name_of(Uid::effective()));
    match daemon::trial(settings, &daemon::BRIEF) {
        Ok(()) => report.well(format!("folders, log, pid file, spool: user {user} can use them")),
        Err(error) => report.wrong(error),
    }
    report
}

/// Whether the daemon runs, or would run, as a user that this process cannot become.
fn is_of_another_user(own: &SelfConfig) -> bool {
    let user = Uid::effective();
    let pid = daemon::running(own).ok().flatten();
    let of_daemon = pid.and_then(|pid| fs::metadata(format!("/proc/{pid}")).ok()).map(|about| about.uid());
    let is_other = of_daemon.is_some_and(|uid| uid != user.as_raw());
    !user.is_root() && (is_other || daemon::user_warning(own).is_ok_and(|doubt| doubt.is_some()))
}

/// Mistakes, links without effect, and missing programs.
fn configuration(looked: &Looked, paths: Paths) -> Report {
    let mut report = Report::default();
    let said = &looked.said;
    said.errors.iter().chain(&said.warnings).for_each(|error| report.wrong(error));
    if said.errors.is_empty() && said.warnings.is_empty() {
        report.well(format!(
            "configuration: no mistake, {} checks, scripts and modules are switched on",
            looked.on.len()
        ));
    }
    let missing: BTreeSet<String> = looked.on.iter().flat_map(|on| missing_programs(on, paths.home)).collect();
    match missing.is_empty() {
        true => report.well("programs: those that scripts and checks name are there"),
        false => missing.iter().for_each(|sentence| report.wrong(sentence)),
    }
    report
}

/// Files with secrets that everybody can read, and files that everybody can change. `user` is the user that root
/// becomes.
fn permissions(sections: &[&Section], paths: Paths, user: Option<&str>) -> Report {
    let mut report = Report::default();
    let mut secrets: BTreeMap<&str, String> = BTreeMap::new();
    for section in sections.iter().filter(|section| !section.is_missing()) {
        let secret = section.entries.iter().find(|entry| masking::holds_secret(section, entry));
        let first = secrets.entry(&section.file).or_default();
        if let Some(entry) = secret.filter(|_| first.is_empty()) {
            *first = format!("[{}] {}", section.name, entry.key);
        }
    }
    for (file, secret) in &secrets {
        let path = match paths.home.join(file) {
            path if path.exists() => path,
            // The file given with `--config`.
            _ => settings::file_of(paths.home, paths.config),
        };
        let Ok(about) = fs::metadata(&path) else { continue };
        let (mode, shown) = (about.permissions().mode(), path.display());
        if mode & 0o002 != 0 {
            report.wrong(format!("{file}: everybody on this host can change it: chmod o-w {shown}"));
        }
        if mode & 0o004 != 0 && !secret.is_empty() {
            // The user must still be able to read it.
            let group = user.map(|user| format!("chown :{user} {shown} && ")).unwrap_or_default();
            report.wrong(format!(
                "{file}: everybody on this host can read it, and {secret} is a secret: {group}chmod o-r {shown}, or write file:/PATH in \
                 the place of the secret"
            ));
        }
    }
    if report.wrong.is_empty() {
        report.well("permissions: nobody else can read a secret of the configuration, or change it");
    }
    report
}

/// Missing programs that a script or check needs.
fn missing_programs(on: &Prepared, home: &Path) -> Vec<String> {
    let name = &on.key.name;
    match on.key.kind() {
        // The Python is checked together with the configuration.
        Kind::Module => Vec::new(),
        Kind::Script => interpreter(&home.join(on.key.folder.name()).join(name))
            .filter(|program| find(program).is_none())
            .map(|program| {
                format!(
                    "{name}: its first line asks for {program}, which is not on this host: install it, or name another"
                )
            })
            .into_iter()
            .collect(),
        Kind::Check => {
            let plugins = if on.section.name == plugins::SECTION { plugins::read(&on.section) } else { Ok(Vec::new()) };
            let plugins = plugins.unwrap_or_default().into_iter().map(|plugin| (plugin.name, plugin.program.path));
            let of_keys = on.section.entries.iter().filter_map(|entry| {
                let path = entry.value.split_whitespace().next().filter(|path| path.starts_with('/'))?;
                let is_program = path.contains("/bin/") || path.contains("/sbin/");
                is_program.then(|| (entry.key.clone(), path.into()))
            });
            let programs: BTreeMap<_, _> = plugins.chain(of_keys).collect();
            let missing = programs.into_iter().filter(|(_, path)| access(path, AccessFlags::X_OK).is_err());
            missing
                .map(|(key, path)| {
                    let place = on.section.problem(&key, &format!("{} cannot be run", path.display()));
                    format!("{place}: install it, name another, or `puypuy disable {name}`")
                })
                .collect()
        }
    }
}

/// The interpreter in the first line of a script; `None` if it has none.
fn interpreter(path: &Path) -> Option<String> {
    let mut begin = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut begin).ok()?;
    let text = String::from_utf8_lossy(&begin);
    let mut words = text.lines().next()?.strip_prefix("#!")?.split_whitespace();
    let program = words.next()?;
    if !program.ends_with("/env") {
        return Some(program.into());
    }
    words.find(|word| !word.starts_with('-') && !word.contains('=')).map(String::from)
}

fn host_name(own: &SelfConfig) -> Report {
    let mut report = Report::default();
    match hostname::identity(own) {
        (_, Some(doubt)) => report.wrong(doubt),
        (identity, None) => report.well(format!("host name: {}", identity.host)),
    }
    report
}

/// The running daemon's own report of its problems.
fn daemon(own: &SelfConfig) -> Report {
    let mut report = Report::default();
    match daemon::status(own) {
        Err(error) => report.wrong(error),
        Ok(Found::Gone { .. }) => report.wrong("the daemon does not run: `puypuy start`"),
        Ok(Found::Ailing { why, .. } | Found::Closed { why, .. }) => report.wrong(why),
        Ok(Found::Told { line, document }) => {
            let wrong = document.get("wrong").and_then(|wrong| wrong.as_array());
            wrong.into_iter().flatten().filter_map(|wrong| wrong.as_str()).for_each(|wrong| report.wrong(wrong));
            if report.wrong.is_empty() {
                report.well(format!("daemon: {line}"));
            }
        }
    }
    report
}

/// The store, and the difference between its clock and ours.
fn store(settings: &Settings) -> Report {
    let mut report = Report::default();
    let Reached { who, ahead } = match reach::ask(settings).wait(reach::LIMIT) {
        Ok(reached) => reached,
        Err(why) => {
            report.wrong(reach::refused(settings, &why));
            return report;
        }
    };
    report.well(format!("store: {who}"));
    match ahead {
        None => report.well("clock: not compared, the store tells no time"),
        Some(ahead) if ahead.abs() < DRIFT => report.well(format!("clock: within {DRIFT} s of that of the store")),
        Some(ahead) => {
            let apart = readable_age(ahead.abs());
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            report.wrong(format!(
                "clock: this host is {apart} {side} the store, so one of the two gives points a wrong time: `timedatectl set-ntp true`, \
                 or start chronyd or ntpd"
            ));
        }
    }
    report
}

fn spool(settings: &Settings) -> Report {
    let mut report = Report::default();
    let folder = settings.own.tmpdir.display();
    let Count { batches, bytes, oldest, damaged, refused } = match Folders::new(settings).count() {
        Ok(count) => count,
        Err(error) => {
            report.wrong(error);
            return report;
        }
    };
    if damaged > 0 {
        report.wrong(format!(
            "{folder}/spool: {damaged} damaged files were set aside: with the daemon stopped `puypuy spool requeue` takes what can be read"
        ));
    }
    if refused > 0 {
        report.wrong(format!(
            "{folder}/rejected: the store refused points ({refused} bytes), each stands there with the reason: mend that, then with the \
             daemon stopped `puypuy spool requeue`, or delete the files"
        ));
    }
    let most = settings.tsdb.spool_max_bytes;
    if bytes > most / 10 * 9 {
        report.wrong(format!(
            "{folder}/spool: {bytes} of {most} bytes are used, soon the oldest points are dropped: get the store to take points, or \
             raise spool_max_bytes in [TSDB]"
        ));
    }
    if report.wrong.is_empty() {
        let age = oldest.map(|oldest| format!(", the oldest for {}", readable_age(unix_now().saturating_sub(oldest))));
        report.well(match batches {
            0 => "spool: nothing waits".into(),
            _ => format!("spool: {batches} batches wait{}", age.unwrap_or_default()),
        });
    }
    report
}

/// The findings as text, for the support bundle.
pub fn text(paths: Paths) -> String {
    let mut text = Vec::new();
    look(paths).tell(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
