//! Changes one value in the text of an ini file; everything else stays the same, byte for byte.

use super::ini::{self, Ini};
use super::section::Section;

const UNCLEAR: &str = "it is written in a way that cannot be changed without changing more";

/// Returns the text with that value for a key of a section. A missing key is added after its section's header, a
/// missing section at the end. A value of several lines is written as continuation lines, as [`ini`] reads them.
///
/// # Errors
/// The reason why this file has to be changed by hand.
pub fn set(text: &str, section: &str, key: &str, value: &str) -> Result<String, String> {
    let read = ini::parse(text, "");
    if let Some(error) = read.errors.first() {
        return Err(format!("has a mistake already: {error}"));
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(String::from).collect();
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let written = value.replace('\n', &format!("{end}  "));
    let own = read.section(section);
    match own.and_then(|own| own.entry(key).filter(|entry| entry.line > own.line)) {
        Some(entry) => {
            let line =
                entry.line.checked_sub(1).and_then(|at| lines.get_mut(at)).ok_or("its lines cannot be counted")?;
            *line = with_value(line, &written).ok_or("its line cannot be read")?;
        }
        None => {
            let at = own.map_or(lines.len(), |own| own.line);
            if let Some(before) = at.checked_sub(1).and_then(|before| lines.get_mut(before))
                && !before.ends_with('\n')
            {
                before.push_str(end);
            }
            if own.is_none() {
                let gap = if lines.is_empty() { "" } else { end };
                lines.insert(at, format!("{gap}[{section}]{end}{key}: {written}{end}"));
            } else {
                lines.insert(at, format!("{key}: {written}{end}"));
            }
        }
    }
    let changed = lines.concat();
    let now = ini::parse(&changed, "");
    let is_set = now.section(section).and_then(|own| own.text(key)) == Some(value);
    if is_set && now.errors.is_empty() && others(&read, section, key) == others(&now, section, key) {
        Ok(changed)
    } else {
        Err(UNCLEAR.into())
    }
}

/// Returns the text without that key of a section; the same text if the key is not there.
///
/// # Errors
/// As [`set`].
pub fn remove(text: &str, section: &str, key: &str) -> Result<String, String> {
    let read = ini::parse(text, "");
    let own = read.section(section);
    let Some(entry) = own.and_then(|own| own.entry(key).filter(|entry| entry.line > own.line)) else {
        return Ok(text.into());
    };
    let at = entry.line.checked_sub(1).ok_or("its lines cannot be counted")?;
    let lines = text.split_inclusive('\n').enumerate().filter(|(place, _)| *place != at);
    let changed: String = lines.map(|(_, line)| line).collect();
    let now = ini::parse(&changed, "");
    let is_gone = now.section(section).is_some_and(|own| own.entry(key).is_none());
    if is_gone && others(&read, section, key) == others(&now, section, key) { Ok(changed) } else { Err(UNCLEAR.into()) }
}

/// The line with another value after its delimiter; whitespace and line ending stay.
fn with_value(line: &str, value: &str) -> Option<String> {
    let (key, rest) = line.split_at_checked(line.find(['=', ':'])? + 1)?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let end = rest.trim_end_matches(['\n', '\r']).len();
    let (blanks, end) = (if blanks < end { rest.get(..blanks)? } else { " " }, rest.get(end..)?);
    Some(format!("{key}{blanks}{value}{end}"))
}

/// All sections and values except that one.
fn others(read: &Ini, section: &str, key: &str) -> Vec<(String, Vec<(String, String)>)> {
    let entries = |of: &Section| {
        let is_meant = |own: &str| of.name == section && own.eq_ignore_ascii_case(key);
        let kept = of.entries.iter().filter(|entry| !is_meant(&entry.key));
        kept.map(|entry| (entry.key.clone(), entry.value.clone())).collect::<Vec<_>>()
    };
    let sections = read.sections.iter().map(|of| (of.name.clone(), entries(of)));
    sections.filter(|(name, entries)| name != section || !entries.is_empty()).collect()
}
