//! One step of a migration: its present state in this home, and how to carry it out.

use crate::checks;
use crate::config::ini;
use crate::config::{edit, shipped};
use crate::model::error::{Error, Result};
use crate::scheduler::links;
use crate::scripts;
use crate::sys::rewrite::rewrite;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Mode of executable files.
const RUN: u32 = 0o755;

/// A part of the original that is taken over.
pub enum Step {
    /// Writes the values of a section into that file of this home.
    Section { file: String, path: PathBuf, name: String, entries: Vec<(String, String)> },
    /// Copies and enables a script or own module.
    Copy { is_script: bool, name: String, bytes: Vec<u8> },
    /// Enables a check of this version.
    Switch { name: String },
}

/// The state of a step in this home.
pub enum State {
    Open,
    Done,
    /// The user has changed it here, so it is not touched; the reason.
    Kept(String),
}

impl Step {
    /// A description of the step.
    pub fn shown(&self) -> String {
        match self {
            Step::Section { file, name, entries, .. } => match entries.len() {
                1 => format!("{file} [{name}]: 1 value"),
                count => format!("{file} [{name}]: {count} values"),
            },
            Step::Copy { is_script: true, name, .. } => {
                format!("script {name}: copied to {} and switched on", scripts::AVAILABLE)
            }
            Step::Copy { name, .. } => format!("own module {name}: copied to {} and switched on", links::AVAILABLE),
            Step::Switch { name } => format!("{name}: switched on"),
        }
    }

    /// # Errors
    /// A file or folder of this home cannot be read.
    pub fn state(&self, home: &Path) -> Result<State> {
        match self {
            Step::Switch { name } => {
                let is_on = links::read(home, checks::find)?.iter().any(|link| link.name == *name);
                Ok(if is_on { State::Done } else { State::Open })
            }
            Step::Copy { is_script, name, bytes } => {
                let [available, enabled] = folders(*is_script);
                for path in [enabled, available].map(|folder| home.join(folder).join(name)) {
                    match fs::read(&path) {
                        Ok(own) if own == *bytes => {}
                        Ok(_) => return Ok(State::Kept(format!("{} is another one", path.display()))),
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(Error::file("read", path)(error)),
                    }
                }
                let is_on = home.join(enabled).join(name).exists();
                Ok(if is_on { State::Done } else { State::Open })
            }
            Step::Section { file, path, name, entries } => {
                let text = current(path, file)?;
                let now = ini::parse(&text, file);
                let own = now.section(name);
                let wanted = entries.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let values = own.map(|own| own.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())));
                if values.is_some_and(|values| sorted(values) == sorted(wanted)) {
                    return Ok(State::Done);
                }
                let shipped = shipped::read(file);
                let of_old = shipped.section(name);
                match own {
                    Some(own) if !of_old.is_some_and(|old| old.says_the_same(own)) => {
                        Ok(State::Kept(format!("{file}:{} [{name}] is not as it was shipped", own.line)))
                    }
                    _ => Ok(State::Open),
                }
            }
        }
    }

    /// # Errors
    /// Something cannot be written; that file is unchanged.
    pub fn carry_out(&self, home: &Path) -> Result<()> {
        match self {
            Step::Switch { name } => links::enable(home, name).map(drop),
            Step::Copy { is_script, name, bytes } => {
                let [available, _] = folders(*is_script);
                let path = home.join(available).join(name);
                rewrite(&path, bytes)?;
                fs::set_permissions(&path, Permissions::from_mode(RUN))
                    .map_err(Error::file("make executable", &path))?;
                if *is_script { scripts::enable(home, name).map(drop) } else { links::enable(home, name).map(drop) }
            }
            Step::Section { file, path, name, entries } => {
                let mut text = current(path, file)?;
                let by_hand = |why: String| Error::daemon(format!("{file} [{name}]: {why}: write it by hand"));
                let now = ini::parse(&text, file);
                let is_gone = |key: &str| !entries.iter().any(|(wanted, _)| wanted == key);
                let own = now.section(name).map(|own| own.entries.iter().filter(|entry| entry.line > own.line));
                for entry in own.into_iter().flatten().filter(|entry| is_gone(&entry.key)) {
                    text = edit::remove(&text, name, &entry.key).map_err(by_hand)?;
                }
                // In a new section each key is added directly below the header, so the last key is added first.
                for (key, value) in entries.iter().rev() {
                    text = edit::set(&text, name, key, value).map_err(by_hand)?;
                }
                rewrite(path, text.as_bytes())
            }
        }
    }
}

/// The folder of the file, and the folder of its link.
fn folders(is_script: bool) -> [&'static str; 2] {
    if is_script { [scripts::AVAILABLE, scripts::ENABLED] } else { [links::AVAILABLE, links::ENABLED] }
}

/// The text of a file of this home; the shipped text if the file does not exist.
fn current(path: &Path, file: &str) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(shipped::text(file).unwrap_or_default().into()),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

fn sorted<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut sorted: Vec<_> = entries.collect();
    sorted.sort_unstable();
    sorted
}
