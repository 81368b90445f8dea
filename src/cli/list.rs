//! `puypuy list`: every check, script and own module, with its state, its period and its purpose.

use super::render::{columns, printable};
use super::say;
use crate::check::{CommonSettings, Spec};
use crate::checks;
use crate::config::settings::SelfConfig;
use crate::daemon::{self, Found};
use crate::model::error::Result;
use crate::scheduler::difference::Difference;
use crate::scheduler::enabled::look_once;
use crate::scheduler::links;
use crate::scheduler::lookups;
use crate::scheduler::prepared::Folder;
use crate::scripts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// The states of everything enabled, by name, from the running daemon; empty if none answers.
pub fn states(own: &SelfConfig) -> BTreeMap<String, String> {
    let Ok(Found::Told { document, .. }) = daemon::status(own) else { return BTreeMap::new() };
    let text = |check: &Value, key: &str| check.get(key).and_then(Value::as_str).map(printable);
    let checks = document.get("checks").and_then(Value::as_array).into_iter().flatten();
    checks.filter_map(|check| Some((text(check, "name")?, text(check, "state")?))).collect()
}

/// The columns: on or off, name, period, state, purpose.
type Row = [String; 5];

/// Prints the list; `period` is the daemon's.
///
/// # Errors
/// A folder that cannot be listed; everything else is printed.
pub fn list(
    home: &Path,
    period: Option<Duration>,
    states: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> Result<()> {
    let (Difference { added, broken, .. }, unlisted) = look_once(home, checks::find, |_| true);
    let every = |common: &CommonSettings| {
        let period = common.period.or(period);
        period.map_or_else(|| "-".into(), |period| format!("{} s", period.as_secs_f64()))
    };
    let on = |folder, name: &str| added.iter().find(|on| on.key.folder == folder && on.key.name == name);
    let off = |folder| broken.iter().filter(move |broken| broken.folder == folder).flat_map(|broken| &broken.names);
    let row = |folder, name: &str, purpose: &str| -> Row {
        let found = on(folder, name);
        let mark = if found.is_some() { "on" } else { "off" };
        let every = found.map_or_else(|| "-".into(), |on| every(&on.common));
        let state = states.get(name).filter(|_| found.is_some()).cloned().unwrap_or_else(|| "-".into());
        [mark.into(), printable(name), every, state, purpose.into()]
    };
    let mut parts: Vec<(String, Vec<Row>)> = Vec::new();
    for spec in checks::all() {
        let mut row = row(Folder::Checks, spec.name, spec.purpose);
        if row[0] == "off" && off(Folder::Checks).any(|name| links::stem(name) == spec.name) {
            row[0] = "?".into();
        }
        let family = family(spec);
        match parts.last_mut().filter(|(name, _)| *name == family) {
            Some((_, rows)) => rows.push(row),
            None => parts.push((family, vec![row])),
        }
    }
    for (title, folder, kind) in [
        ("scripts (conf/scripts.ini)", Folder::Scripts, "script"),
        ("own modules (conf/modules.ini)", Folder::Checks, "own module"),
    ] {
        let is_own = |name: &str| folder == Folder::Scripts || links::is_module(name);
        let switched = added.iter().filter(|on| on.key.folder == folder).map(|on| on.key.name.as_str());
        let switched: Vec<&str> = switched.filter(|name| is_own(name)).collect();
        let of_home = home.to_path_buf();
        let names = move || match folder {
            Folder::Scripts => scripts::names(&of_home, scripts::AVAILABLE),
            Folder::Checks => links::modules(&of_home, links::AVAILABLE),
        };
        let mut available = lookups::once(names).transpose()?.unwrap_or_default();
        available.retain(|name| !switched.contains(&name.as_str()) && !off(folder).any(|linked| linked == name));
        let names = switched.into_iter().chain(available.iter().map(String::as_str));
        parts.push((title.into(), names.map(|name| row(folder, name, kind)).collect()));
    }
    let stays_off = |name: &str, reason: &str| -> Row {
        ["?".into(), printable(name), "-".into(), "-".into(), format!("stays off: {}", printable(reason))]
    };
    let rows = broken.iter().flat_map(|broken| broken.names.iter().map(|name| stays_off(name, &broken.reason)));
    parts.push(("switched on, and does not run".into(), rows.collect()));
    // The columns have the same width in all parts.
    let rows: Vec<Row> = parts.iter().flat_map(|(_, rows)| rows).cloned().collect();
    let text = columns(&rows, &[2]);
    let mut lines = text.lines();
    for (title, rows) in parts.iter().filter(|(_, rows)| !rows.is_empty()) {
        say(out, title);
        lines.by_ref().take(rows.len()).for_each(|line| say(out, line));
    }
    super::none_of(&unlisted)
}

/// A family, with the path of its configuration file.
fn family(spec: &Spec) -> String {
    format!("{} (conf/{})", spec.conf.trim_end_matches(".ini"), spec.conf)
}
