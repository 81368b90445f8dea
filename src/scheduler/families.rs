//! `conf/*.ini`: where the checks find their sections, and the look over all of it.

use crate::check::{COMMON_KEYS, CommonSettings, DEVICES, Spec};
use crate::checks;
use crate::config::ini::{self, Ini};
use crate::config::section::Section;
use crate::config::settings;
use crate::config::spelling::hint;
use crate::model::error::{Error, Result};
use crate::scripts::{self, Permits, ScriptConfig};
use crate::sys::folder;
use std::path::Path;

/// Folder of the checks' files below home.
const FOLDER: &str = "conf";
/// Sections that belong to the daemon, in `config.ini`.
const DAEMONS: &[&str] = &["SelfConfig", "TSDB", "WebServer", ini::DEFAULT];

/// The section of a check: in its family's file, else in any other (the original read all of them as one), else empty.
/// With the devices of a check that has such: all other sections of the family's file, and of the files in the folder of the
/// same name, as `conf/snmp/*.ini`.
///
/// # Errors
/// A mistake in the family's files: it could be the very section that is asked for.
pub fn section_for(home: &Path, spec: &Spec) -> Result<Section> {
    let mut section = own_section(home, spec)?;
    if spec.keys.contains(&DEVICES) {
        let shown = format!("{FOLDER}/{}", spec.conf);
        let own = files(home, FOLDER)?.into_iter().filter(|(name, _)| *name == shown);
        for (_, read) in own.chain(files(home, shown.trim_end_matches(".ini"))?) {
            let mut read = read?;
            if !read.errors.is_empty() {
                return Err(read.errors.swap_remove(0));
            }
            let is_device = |section: &Section| ![spec.section, ini::DEFAULT].contains(&&*section.name);
            section.devices.extend(read.sections.into_iter().filter(is_device));
        }
    }
    Ok(section)
}

fn own_section(home: &Path, spec: &Spec) -> Result<Section> {
    let shown = format!("{FOLDER}/{}", spec.conf);
    if spec.section.is_empty() {
        return Ok(Section::missing(&shown, spec.section));
    }
    let own = ini::section(home, &shown, spec.section)?;
    if !own.is_missing() {
        return Ok(own);
    }
    let others = files(home, FOLDER)?.into_iter().filter(|(name, _)| *name != shown);
    let elsewhere = others.filter_map(|(_, read)| read.ok()?.section(spec.section).cloned()).next();
    Ok(elsewhere.unwrap_or(own))
}

/// Every mistake and every doubt in `conf/*.ini` but the daemon's own file, should it lie there; the sections of the enabled
/// checks are built on trial.
pub fn check_all(home: &Path, config: Option<&Path>, enabled: &[&'static Spec]) -> (Vec<Error>, Vec<Error>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    match files(home, FOLDER) {
        Ok(files) => {
            let main = settings::file_of(home, config);
            for (shown, read) in files.into_iter().filter(|(shown, _)| home.join(shown) != main) {
                match read {
                    Ok(read) => {
                        if shown == scripts::CONF {
                            let read = read.sections.iter();
                            errors.extend(read.clone().filter_map(|section| ScriptConfig::read(section).err()));
                            errors.extend(read.filter_map(|section| Permits::read(section).err()));
                        }
                        doubts(&shown, &read, &mut warnings);
                        errors.extend(read.errors);
                    }
                    Err(error) => errors.push(error),
                }
            }
        }
        Err(error) => errors.push(error),
    }
    for spec in enabled {
        let problems = match section_for(home, spec) {
            Ok(section) => build_on_trial(spec, section),
            Err(error) => vec![error],
        };
        for error in problems {
            if !errors.iter().any(|known| known.to_string() == error.to_string()) {
                errors.push(error);
            }
        }
    }
    (errors, warnings)
}

/// Every mistake of a check's section, and of each of its devices.
fn build_on_trial(spec: &Spec, mut section: Section) -> Vec<Error> {
    let devices = std::mem::take(&mut section.devices);
    let build = |section: &Section| (spec.build)(section).map(|_| ());
    let mut problems: Vec<Error> = CommonSettings::read(&section).err().into_iter().collect();
    if devices.is_empty() {
        problems.extend(build(&section).err());
    }
    for device in devices {
        section.devices = vec![device];
        problems.extend(build(&section).err());
    }
    problems
}

/// Sections that are no script's, and keys that no script has.
fn of_scripts(read: &Ini, warnings: &mut Vec<Error>) {
    for section in read.sections.iter().filter(|section| section.name != ini::DEFAULT) {
        let is_common = section.name == scripts::COMMON;
        if !is_common && !section.name.starts_with("check_") {
            warnings.push(section.problem("", "expected [scripts], or the name of a script such as [check_x.sh]"));
            continue;
        }
        let more = if is_common { scripts::COMMON_KEYS } else { &[] };
        let known = || COMMON_KEYS.iter().chain(scripts::KEYS).chain(more).copied();
        for entry in section.entries.iter().filter(|entry| !known().any(|key| key.eq_ignore_ascii_case(&entry.key))) {
            warnings.push(section.problem(&entry.key, &format!("unknown key{}", hint(&entry.key, known()))));
        }
    }
}

/// All files of a folder in the order of their names, each as messages call it.
fn files(home: &Path, shown: &str) -> Result<Vec<(String, Result<Ini>)>> {
    let names = folder::names(&home.join(shown))?.into_iter().filter(|name| name.ends_with(".ini"));
    let read = |name: String| {
        let shown = format!("{shown}/{name}");
        let read = ini::load(&home.join(&shown), &shown);
        (shown, read)
    };
    Ok(names.map(read).collect())
}

/// Sections and keys that nobody reads, and sections that stand in the wrong file.
fn doubts(shown: &str, read: &Ini, warnings: &mut Vec<Error>) {
    if shown == scripts::CONF {
        return of_scripts(read, warnings);
    }
    for section in &read.sections {
        if DAEMONS.contains(&section.name.as_str()) {
            if section.name != ini::DEFAULT {
                warnings.push(section.problem("", "is read from config.ini only; this one has no effect"));
            }
            continue;
        }
        let is_of_devices = |spec: &Spec| spec.keys.contains(&DEVICES) && shown == format!("{FOLDER}/{}", spec.conf);
        if checks::all().any(|spec| is_of_devices(spec) && spec.section != section.name) {
            continue;
        }
        let readers: Vec<&Spec> = checks::all().filter(|spec| spec.section == section.name).collect();
        if readers.is_empty() {
            let near = hint(&section.name, checks::all().map(|spec| spec.section).filter(|name| !name.is_empty()));
            warnings.push(section.problem("", &format!("no check of this version reads this section{near}")));
            continue;
        }
        if let Some(home) = readers.iter().map(|spec| format!("{FOLDER}/{}", spec.conf)).find(|home| home != shown) {
            warnings.push(section.problem("", &format!("belongs into {home}, which wins where both have it")));
        }
        let known = || readers.iter().flat_map(|spec| spec.keys).chain(COMMON_KEYS).copied();
        for entry in &section.entries {
            let any_key = readers.iter().any(|spec| spec.keys.contains(&"*"));
            if !any_key && !known().any(|key| key.eq_ignore_ascii_case(&entry.key)) {
                warnings.push(section.problem(&entry.key, &format!("unknown key{}", hint(&entry.key, known()))));
            }
        }
    }
}
