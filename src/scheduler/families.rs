//! `conf/*.ini`: finds the sections of checks, and validates all files.

use super::links;
use crate::check::{COMMON_KEYS, CommonSettings, DEVICES, Spec};
use crate::checks;
use crate::config::ini::{self, Ini};
use crate::config::mistakes;
use crate::config::section::Section;
use crate::config::spelling::hint;
use crate::fetch::program::safety;
use crate::model::error::{Error, Result};
use crate::scripts::module::{self, ModuleConfig};
use crate::scripts::{self, Permits, ScriptConfig};
use crate::sys::folder;
use std::iter;
use std::path::Path;

/// Folder of the checks' configuration below home.
const FOLDER: &str = "conf";
/// Alternative names of sections: corrected spellings, former names, and a fork that is monitored by the same check.
const ALIASES: &[(&str, &str)] = &[
    ("Couchbase", "CouchBase"),
    ("Couchbase5x", "CouchBase5x"),
    ("Coturn", "Cotrun"),
    ("Gazan", "Aralez"),
    ("Marathon", "Mesos-Marathon"),
    ("OpenSearch", "ElasticSearch"),
    ("Scylla", "Scilla"),
];
/// Files that name programs to run, or the user to run them as.
const NAMES_PROGRAMS: [&str; 3] = [scripts::CONF, module::CONF, "conf/nagios.ini"];
/// What a file about programs may contain.
struct Programs {
    conf: &'static str,
    common: &'static str,
    /// The suffix of the programs' names.
    end: &'static str,
    expected: &'static str,
    keys: &'static [&'static str],
    common_keys: &'static [&'static str],
}

const PROGRAMS: [Programs; 2] = [
    Programs {
        conf: scripts::CONF,
        common: scripts::COMMON,
        end: "",
        expected: "expected [scripts], or the name of a script such as [check_x.sh]",
        keys: scripts::KEYS,
        common_keys: scripts::COMMON_KEYS,
    },
    Programs {
        conf: module::CONF,
        common: module::COMMON,
        end: ".py",
        expected: "expected [modules], or the name of an own module such as [check_x.py]",
        keys: module::KEYS,
        common_keys: &[],
    },
];
/// Sections of the daemon, which belong into `config.ini`.
const DAEMON_SECTIONS: &[&str] = &["SelfConfig", "TSDB", "WebServer", ini::DEFAULT];

/// The section of a check: from its family's file, else from any other file (the original read all files as one), else
/// empty. `devices` holds further sections. For a check with devices they are all other sections of its family's file
/// and of the files in the folder of the same name, such as `conf/snmp/*.ini`; for any other check they are the
/// sections `[NAME:INSTANCE]` of further servers.
///
/// # Errors
/// A mistake in the family's files, because it could be in this very section; or a secret that cannot be read.
pub fn section_for(home: &Path, spec: &Spec) -> Result<Section> {
    let shown = format!("{FOLDER}/{}", spec.conf);
    let missing = || Section::missing(&shown, spec.section);
    if spec.section.is_empty() {
        return Ok(missing());
    }
    let own = ini::whole(home, &shown)?;
    if !spec.has_key(DEVICES) {
        let elsewhere = || files(home, FOLDER).ok()?.into_iter().find_map(|(_, read)| of_check(spec, &read.ok()?));
        return of_check(spec, &own).or_else(elsewhere).unwrap_or_else(missing).readable();
    }
    let mut section = own.section(spec.section).cloned().unwrap_or_else(missing);
    for read in iter::once(Ok(own)).chain(files(home, &device_folder(spec))?.into_iter().map(|(_, read)| read)) {
        let mut read = read?;
        if !read.errors.is_empty() {
            return Err(read.errors.swap_remove(0));
        }
        let is_device = |section: &Section| ![spec.section, ini::DEFAULT].contains(&&*section.name);
        section.devices.extend(read.sections.into_iter().filter(is_device));
    }
    section.readable()
}

/// The check's section in that file, with those of its further servers.
fn of_check(spec: &Spec, read: &Ini) -> Option<Section> {
    let sections = || read.sections.iter();
    let devices: Vec<_> = sections().filter(|section| is_instance(spec, &section.name)).cloned().collect();
    let own = read.section(spec.section).or_else(|| sections().find(|section| is_named(spec, &section.name)));
    let stand_in = || devices.first().map(|first| Section::missing(&first.file, spec.section));
    Some(Section { devices: devices.clone(), ..own.cloned().or_else(stand_in)? })
}

/// Whether a section of that name describes a further server of the check.
fn is_instance(spec: &Spec, name: &str) -> bool {
    name.split_once(':').is_some_and(|(name, instance)| is_named(spec, name) && !instance.trim().is_empty())
}

/// Whether a section of that name is the check's: ignores case, and includes alternative names.
fn is_named(spec: &Spec, name: &str) -> bool {
    let is = |own: &str| !own.is_empty() && own.eq_ignore_ascii_case(name);
    is(spec.section) || ALIASES.iter().any(|(right, section)| *section == spec.section && is(right))
}

/// The first check that uses sections of that name, those of further servers included.
pub fn reader(section: &str) -> Option<&'static Spec> {
    checks::all().find(|spec| is_named(spec, section) || is_instance(spec, section))
}

/// Findings about a part of the configuration.
#[derive(Default)]
pub struct Said {
    pub errors: Vec<Error>,
    pub warnings: Vec<Error>,
}

impl From<Error> for Said {
    fn from(error: Error) -> Said {
        Said { errors: vec![error], warnings: Vec::new() }
    }
}

/// The ini files of `conf` and of its subfolders for devices, as paths relative to home.
///
/// # Errors
/// A folder cannot be listed.
pub fn all_files(home: &Path) -> Result<Vec<String>> {
    let mut all = names(home, FOLDER)?;
    for spec in checks::all().filter(|spec| spec.has_key(DEVICES)) {
        all.extend(names(home, &device_folder(spec))?);
    }
    Ok(all)
}

/// All errors and warnings of a file, including its settings for scripts and modules.
pub fn look_over(home: &Path, shown: &str) -> Said {
    let read = match ini::load(&home.join(shown), shown) {
        Ok(read) => read,
        Err(error) => return error.into(),
    };
    let mut said = Said::default();
    for section in &read.sections {
        said.errors.extend(section.unread());
        said.warnings.extend(section.exposed());
    }
    if shown == scripts::CONF {
        for section in &read.sections {
            said.errors.extend(mistakes::of(section, ScriptConfig::read));
            said.errors.extend(mistakes::of(section, Permits::read));
        }
    }
    if shown == module::CONF {
        said.errors.extend(read.sections.iter().flat_map(|section| mistakes::of(section, ModuleConfig::read)));
    }
    if NAMES_PROGRAMS.contains(&shown) {
        said.errors.extend(safety::check_conf(&home.join(shown)).err());
    }
    check_sections(home, shown, &read, &mut said.warnings);
    said.errors.extend(read.errors);
    said
}

/// All errors of a check's section and of each of its devices, found by building them.
pub fn try_check(home: &Path, spec: &Spec) -> Vec<Error> {
    let mut section = match section_for(home, spec) {
        Ok(section) => section,
        Err(error) => return vec![error],
    };
    let devices = std::mem::take(&mut section.devices);
    let mut found = mistakes::of(&section, CommonSettings::read);
    let are_servers = !spec.has_key(DEVICES);
    if devices.is_empty() || are_servers && !section.is_missing() {
        found.extend(mistakes::of(&section, spec.build));
    }
    for (place, device) in devices.iter().enumerate() {
        if let Some(first) = devices.iter().take(place).find(|first| first.name == device.name) {
            let problem = format!("a device of that name is in {}:{} already; rename one", first.file, first.line);
            found.push(device.problem("", &problem));
        }
        let alone = |device: &Section| Section { devices: vec![device.clone()], ..section.clone() };
        if are_servers {
            found.extend(mistakes::of(device, CommonSettings::read));
            found.extend(mistakes::of(device, spec.build));
        } else {
            found.extend(mistakes::of(device, |device| (spec.build)(&alone(device))));
        }
    }
    found
}

/// Warns of sections that are no program's, and of unknown keys.
fn check_programs(read: &Ini, of: &Programs, warnings: &mut Vec<Error>) {
    for section in read.sections.iter().filter(|section| section.name != ini::DEFAULT) {
        let is_common = section.name == of.common;
        let is_of_one = section.name.starts_with("check_") && section.name.ends_with(of.end);
        if !is_common && !is_of_one {
            warnings.push(section.problem("", of.expected));
            continue;
        }
        let more = if is_common { of.common_keys } else { &[] };
        let known = || COMMON_KEYS.iter().chain(of.keys).chain(more).copied();
        for entry in section.entries.iter().filter(|entry| !known().any(|key| key.eq_ignore_ascii_case(&entry.key))) {
            warnings.push(section.problem(&entry.key, &format!("unknown key{}", hint(&entry.key, known()))));
        }
    }
}

/// The ini files of a folder, sorted by name, as paths relative to home.
fn names(home: &Path, folder: &str) -> Result<Vec<String>> {
    let names = folder::names(&home.join(folder))?.into_iter().filter(|name| name.ends_with(".ini"));
    Ok(names.map(|name| format!("{folder}/{name}")).collect())
}

/// The same files, read.
fn files(home: &Path, folder: &str) -> Result<Vec<(String, Result<Ini>)>> {
    let read = |shown: String| {
        let read = ini::load(&home.join(&shown), &shown);
        (shown, read)
    };
    Ok(names(home, folder)?.into_iter().map(read).collect())
}

/// The folder with files for more devices of a check.
fn device_folder(spec: &Spec) -> String {
    format!("{FOLDER}/{}", spec.conf.trim_end_matches(".ini"))
}

/// Whether an enabled own module contains that section's name in quotes: then the section is the module's.
fn is_of_module(home: &Path, section: &str) -> bool {
    let names = links::modules(home, links::ENABLED).unwrap_or_default();
    let mut texts = names.into_iter().filter_map(|name| module::text(&home.join(links::ENABLED).join(name)).ok());
    texts.any(|text| ["'", "\""].iter().any(|quote| text.contains(&format!("{quote}{section}{quote}"))))
}

/// Warns of sections and keys that nothing reads, and of sections in the wrong file.
fn check_sections(home: &Path, shown: &str, read: &Ini, warnings: &mut Vec<Error>) {
    if let Some(of) = PROGRAMS.iter().find(|of| of.conf == shown) {
        return check_programs(read, of, warnings);
    }
    for section in &read.sections {
        if DAEMON_SECTIONS.contains(&section.name.as_str()) {
            if section.name != ini::DEFAULT {
                warnings.push(section.problem("", "is read from config.ini only; this one has no effect"));
            }
            continue;
        }
        let is_of_devices = |spec: &Spec| {
            let is_own =
                shown == format!("{FOLDER}/{}", spec.conf) || shown.starts_with(&format!("{}/", device_folder(spec)));
            spec.has_key(DEVICES) && is_own
        };
        if checks::all().any(|spec| is_of_devices(spec) && spec.section != section.name) {
            continue;
        }
        let is_reader = |spec: &&Spec| is_named(spec, &section.name) || is_instance(spec, &section.name);
        let readers: Vec<&Spec> = checks::all().map(|spec| spec as &Spec).filter(is_reader).collect();
        if readers.is_empty() {
            if is_of_module(home, &section.name) {
                continue;
            }
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
