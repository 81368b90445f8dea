//! Which servers are believed to be who they say they are, unverified: told at each start, by section.

use crate::config::section::Section;
use crate::config::settings::Settings;
use crate::scheduler::{families, links};

/// A sentence for each section, of a sink or of a check that is switched on, that switches off the verification of
/// certificates.
pub fn unverified(settings: &Settings) -> Vec<String> {
    let tsdb = &settings.tsdb.section;
    let sink =
        tsdb.flag("insecure_skip_verify", false).is_ok_and(|skips| skips).then(|| said(tsdb, "insecure_skip_verify"));
    let links = links::read(&settings.home).unwrap_or_default();
    let specs = links.iter().filter_map(|link| link.spec()).filter(|spec| spec.keys.contains(&"verify"));
    let sections = specs.filter_map(|spec| families::section_for(&settings.home, spec).ok());
    let checks = sections
        .filter(|section| section.flag("verify", true).is_ok_and(|verifies| !verifies))
        .map(|section| said(&section, "verify"));
    sink.into_iter().chain(checks).collect()
}

fn said(section: &Section, key: &str) -> String {
    let value = section.text(key).unwrap_or_default();
    section
        .problem(key, &format!("{value}: certificates are not verified, so anybody can pose as the server"))
        .to_string()
}
