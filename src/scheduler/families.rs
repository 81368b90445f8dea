//! `conf/*.ini`: where the checks find their sections, and the look over all of it.

use crate::check::{COMMON_KEYS, CommonSettings, DEVICES, Spec, instances};
use crate::checks;
use crate::config::ini::{self, Ini};
use crate::config::section::Section;
use crate::config::settings;
use crate::config::spelling::hint;
use crate::model::error::{Error, Result};
use crate::scripts::{self, Permits, ScriptConfig};
use crate::sys::folder;
use std::iter;
use std::path::Path;

/// Folder of the checks' files below home.
const FOLDER: &str = "conf";
/// Sections that the original spelt wrong, by their right names.
const SPELT: &[(&str, &str)] = &[("Coturn", "Cotrun")];
/// Sections that belong to the daemon, in `config.ini`.
const DAEMONS: &[&str] = &["SelfConfig", "TSDB", "WebServer", ini::DEFAULT];

/// The section of a check: in its family's file, else in any other (the original read all of them as one), else empty.
/// With the devices of a check that has such: all other sections of the family's file, and of the files in the folder of the
/// same name, as `conf/snmp/*.ini`. For any other check these are the sections `[NAME:INSTANCE]` of further servers.
///
/// # Errors
/// A mistake in the family's files: it could be the very section that is asked for.
pub fn section_for(home: &Path, spec: &Spec) -> Result<Section> {
    let shown = format!("{FOLDER}/{}", spec.conf);
    let missing = || Section::missing(&shown, spec.section);
    if spec.section.is_empty() {
        return Ok(missing());
    }
    let own = ini::whole(home, &shown)?;
    if !spec.has_key(DEVICES) {
        let elsewhere = || files(home, FOLDER).ok()?.into_iter().find_map(|(_, read)| of_check(spec, &read.ok()?));
        return Ok(of_check(spec, &own).or_else(elsewhere).unwrap_or_else(missing));
    }
    let mut section = own.section(spec.section).cloned().unwrap_or_else(missing);
    for read in
        iter::once(Ok(own)).chain(files(home, shown.trim_end_matches(".ini"))?.into_iter().map(|(_, read)| read))
    {
        let mut read = read?;
        if !read.errors.is_empty() {
            return Err(read.errors.swap_remove(0));
        }
        let is_device = |section: &Section| ![spec.section, ini::DEFAULT].contains(&&*section.name);
        section.devices.extend(read.sections.into_iter().filter(is_device));
    }
    Ok(section)
}

/// The section of the check in that file, with those of its further servers.
fn of_check(spec: &Spec, read: &Ini) -> Option<Section> {
    let sections = || read.sections.iter();
    let devices: Vec<_> = sections().filter(|section| is_instance(spec, &section.name)).cloned().collect();
    let own = read.section(spec.section).or_else(|| sections().find(|section| is_named(spec, &section.name)));
    let stand_in = || devices.first().map(|first| Section::missing(&first.file, spec.section));
    Some(Section { devices: devices.clone(), ..own.cloned().or_else(stand_in)? })
}

/// Whether a section of that name is about a further server of the check.
fn is_instance(spec: &Spec, name: &str) -> bool {
    name.split_once(':').is_some_and(|(name, instance)| is_named(spec, name) && !instance.trim().is_empty())
}

/// Whether a section of that name is the check's: in any case, and as it is spelt right where the original was wrong.
fn is_named(spec: &Spec, name: &str) -> bool {
    let is = |own: &str| !own.is_empty() && own.eq_ignore_ascii_case(name);
    is(spec.section) || SPELT.iter().any(|(right, section)| *section == spec.section && is(right))
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
fn build_on_trial(spec: &'static Spec, mut section: Section) -> Vec<Error> {
    let devices = std::mem::take(&mut section.devices);
    let build = |section: &Section| instances::build(spec, section).map(|_| ());
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
        let is_of_devices = |spec: &Spec| spec.has_key(DEVICES) && shown == format!("{FOLDER}/{}", spec.conf);
        if checks::all().any(|spec| is_of_devices(spec) && spec.section != section.name) {
            continue;
        }
        let is_reader = |spec: &&Spec| is_named(spec, &section.name) || is_instance(spec, &section.name);
        let readers: Vec<&Spec> = checks::all().map(|spec| spec as &Spec).filter(is_reader).collect();
        if readers.is_empty() {
            let near = hint(&section.name, checks::all().map(|spec| spec.section).filter(|name| !name.is_empty()));
            warnings.push(section.problem("", &format!("no check of this version reads this section{near}")));
            continue;
        }
        if let Some(home) = readers.iter().map(|spec| format!("{FOLDER}/{}", spec.conf)).find(|home| home != shown) {
            warnings.push(section.problem("", &format!("belongs into {home}, which wins where both have it")));
        }
        let known = || readers.iter().flat_map(|spec| spec.keys()).chain(COMMON_KEYS.iter().copied());
        for entry in &section.entries {
            let any_key = readers.iter().any(|spec| spec.has_key("*"));
            if !any_key && !known().any(|key| key.eq_ignore_ascii_case(&entry.key)) {
                warnings.push(section.problem(&entry.key, &format!("unknown key{}", hint(&entry.key, known()))));
            }
        }
    }
}
