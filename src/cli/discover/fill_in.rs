//! Writes the address of a server into a check's section; changes only values that are still as shipped.

use super::trial::Settings;
use crate::check::Spec;
use crate::config::{edit, shipped};
use crate::model::error::{Error, Result};
use crate::scheduler::families;
use crate::sys::rewrite::rewrite;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Writes the values that are not there yet; returns a line for each.
///
/// # Errors
/// The user has written another value, or the file cannot be read or changed. Then the file is unchanged.
pub fn fill_in(home: &Path, spec: &Spec, settings: &Settings) -> Result<Vec<String>> {
    let section = families::section_for(home, spec)?;
    let of_old = shipped::read(&format!("conf/{}", spec.conf));
    let of_old = of_old.section(spec.section);
    let mut changes = Vec::new();
    for (key, value) in settings {
        let now = section.text(key).unwrap_or_default();
        let old = of_old.and_then(|old| old.text(key)).unwrap_or_default();
        // A missing section does not use its shipped defaults, so values are written even if they equal them.
        if now == value {
            continue;
        }
        if !now.is_empty() && now != old {
            return Err(section.problem(key, &format!("is yours and left as it is; what answers is {value}")));
        }
        changes.push((*key, value));
    }
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let path = home.join(&section.file);
    let mut text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| by_hand(&section.file, "is not UTF-8"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => shipped::text(&section.file).unwrap_or_default().into(),
        Err(error) => return Err(Error::file("read", &path)(error)),
    };
    let name = if section.is_missing() { spec.section } else { &section.name };
    for (key, value) in &changes {
        text = edit::set(&text, name, key, value).map_err(|why| by_hand(&section.file, &why))?;
    }
    rewrite(&path, text.as_bytes())?;
    Ok(changes.iter().map(|(key, value)| format!("{} [{name}] {key}: now {value}", section.file)).collect())
}

fn by_hand(file: &str, why: &str) -> Error {
    Error::daemon(format!("{file}: {why}: write the address by hand"))
}
