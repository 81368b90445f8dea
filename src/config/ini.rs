//! Parses ini text exactly as Python's RawConfigParser does, with line numbers. The only user of rust-ini.
//!
//! rust-ini differs from RawConfigParser in a dozen silent ways (quotes, backslashes, indented comments, continued
//! values, duplicates), so the text is first converted into a form that rust-ini reads as intended.

use super::section::{Entry, Section};
use crate::model::error::{Error, Result, quote};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Entries of this section are defaults for all others. It is the only section that may appear more than once.
pub const DEFAULT: &str = "DEFAULT";

/// Largest size of a file, in bytes; `/dev/zero` has no end.
const MAX_BYTES: u64 = 16 << 20;

/// All sections of a file in their order, and all its mistakes.
#[derive(Debug, Default)]
pub struct Ini {
    pub sections: Vec<Section>,
    pub errors: Vec<Error>,
}

impl Ini {
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// Reads a file, and the values that it refers to (`file:`, `env:`, `cred:`). Bytes that are not UTF-8 become U+FFFD.
/// `shown` is the file's name in messages.
///
/// # Errors
/// The file cannot be read. Mistakes in it are in [`Ini::errors`], and in [`Section::unread`].
pub fn load(path: &Path, shown: &str) -> Result<Ini> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(Error::file("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::daemon(format!(
            "{}: has more than {MAX_BYTES} bytes, so it is no ini file",
            path.display()
        )));
    }
    let mut read = parse(&String::from_utf8_lossy(&bytes), shown);
    read.sections.iter_mut().for_each(Section::fetch);
    Ok(read)
}

/// The section of that name in a file below home; [`Section::missing`] if the file or the section is not there.
///
/// # Errors
/// The file cannot be read, or has a mistake anywhere, because it could be in this very section; or a value of the
/// section cannot be read.
pub fn section(home: &Path, shown: &str, name: &str) -> Result<Section> {
    whole(home, shown)?.section(name).cloned().unwrap_or_else(|| Section::missing(shown, name)).readable()
}

/// A file below home; empty if it does not exist.
///
/// # Errors
/// The file cannot be read, or has a mistake anywhere.
pub fn whole(home: &Path, shown: &str) -> Result<Ini> {
    let mut read = match load(&home.join(shown), shown) {
        Err(error) if error.is_gone() => Ini::default(),
        read => read?,
    };
    if read.errors.is_empty() { Ok(read) } else { Err(read.errors.swap_remove(0)) }
}

/// Parses the text of a file; `shown` is the file's name in messages.
pub fn parse(text: &str, shown: &str) -> Ini {
    let mut scan = Scan { shown, ..Scan::default() };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    for (index, raw) in text.split_terminator('\n').enumerate() {
        scan.line(index + 1, raw);
    }
    scan.close();
    scan.read_back()
}

/// The converted text while it is written, and the lines that it came from.
#[derive(Default)]
struct Scan<'a> {
    shown: &'a str,
    /// The text for rust-ini.
    text: String,
    errors: Vec<Error>,
    /// The line of each section's header.
    sections: Vec<(String, usize)>,
    /// The line of each key, by index of its section and key.
    keys: HashMap<(usize, String), usize>,
    section: Option<usize>,
    /// For a value that may be continued: the indentation of its key, and the number of blank lines since its last
    /// line.
    open: Option<(usize, usize)>,
    /// In a repeated section, lines are checked but their values dropped.
    dropped: bool,
}

impl Scan<'_> {
    fn line(&mut self, number: usize, raw: &str) {
        let line = raw.trim();
        if line.is_empty() {
            if let Some((_, blanks)) = &mut self.open {
                *blanks += 1;
            }
            return;
        }
        if line.starts_with(['#', ';']) {
            return;
        }
        let indent = raw.chars().take_while(|letter| letter.is_whitespace()).count();
        if let Some((begun, blanks)) = self.open.filter(|(begun, _)| indent > *begun) {
            if looks_like_an_option(line) {
                let problem = format!(
                    "{}: indented deeper than the key above it, so it would become a part of that value; write it at the same depth",
                    quote(line)
                );
                return self.wrong(number, "", &problem);
            }
            self.text.push_str(&"\\n".repeat(blanks + 1));
            self.escape(line);
            self.open = Some((begun, 0));
            return;
        }
        self.close();
        match line.strip_prefix('[').and_then(|rest| rest.get(..rest.rfind(']')?)).filter(|name| !name.is_empty()) {
            Some(name) => self.header(number, name),
            None => self.option(number, indent, line),
        }
    }

    fn header(&mut self, number: usize, name: &str) {
        self.dropped = false;
        let known = self.sections.iter().position(|(known, _)| known == name);
        if let Some((place, (_, before))) = known.and_then(|place| Some((place, self.sections.get(place)?))) {
            if name == DEFAULT {
                return self.begin(place);
            }
            let problem = format!("this section appears a second time, first in line {before}; keep one");
            self.wrong(number, name, &problem);
            self.dropped = true;
            return;
        }
        self.sections.push((name.to_string(), number));
        self.begin(self.sections.len() - 1);
    }

    /// Section names can contain any characters, so rust-ini gets their index instead.
    fn begin(&mut self, place: usize) {
        self.section = Some(place);
        self.text.push_str(&format!("[{place}]\n"));
    }

    fn option(&mut self, number: usize, indent: usize, line: &str) {
        let Some((place, section)) = self.section.and_then(|place| Some((place, self.sections.get(place)?.0.clone())))
        else {
            return self.wrong(number, "", &format!("{} stands before the first [section]", quote(line)));
        };
        let Some((key, value)) =
            line.find(['=', ':']).filter(|at| *at > 0).and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
        else {
            let wanted = if line.starts_with('[') { "closing bracket" } else { "`key = value` or `key: value`" };
            return self.wrong(number, &section, &format!("{}: no {wanted}", quote(line)));
        };
        if self.dropped {
            return;
        }
        let key = key.trim_end().to_lowercase();
        if let Some(before) = self.keys.get(&(place, key.clone())) {
            let usual = if section == "TSDB" { "; two back ends left uncommented? keep one" } else { "; keep one" };
            let problem = format!("appears a second time, first in line {before}{usual}");
            self.errors.push(Error::Config { file: self.shown.into(), line: number, section, key, problem });
            return;
        }
        self.escape(&key);
        self.text.push_str(" = \"");
        self.escape(value.trim());
        self.open = Some((indent, 0));
        self.keys.insert((place, key), number);
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.text.push_str("\"\n");
        }
    }

    /// Escapes characters that are special to rust-ini.
    fn escape(&mut self, text: &str) {
        for letter in text.chars() {
            if matches!(letter, '\\' | '"' | ']' | '[' | '=' | ':' | '#' | ';' | '\'') {
                self.text.push('\\');
            }
            match letter {
                '\0' => self.text.push_str("\\0"),
                other => self.text.push(other),
            }
        }
    }

    fn wrong(&mut self, line: usize, section: &str, problem: &str) {
        self.errors.push(Error::Config {
            file: self.shown.into(),
            line,
            section: section.into(),
            key: String::new(),
            problem: problem.into(),
        });
    }

    fn read_back(mut self) -> Ini {
        let read = match ::ini::Ini::load_from_str(&self.text) {
            Ok(read) => read,
            Err(error) => {
                self.wrong(0, "", &format!("cannot be read: {error}"));
                return Ini { sections: Vec::new(), errors: self.errors };
            }
        };
        let defaults: Vec<Entry> = self.entries(&read, DEFAULT);
        let mut sections = Vec::new();
        for (name, line) in &self.sections {
            let mut entries = self.entries(&read, name);
            if name != DEFAULT {
                let missing = defaults.iter().filter(|default| entries.iter().all(|entry| entry.key != default.key));
                let missing: Vec<Entry> = missing.cloned().collect();
                entries.extend(missing);
            }
            let (file, name, line) = (self.shown.into(), name.clone(), *line);
            sections.push(Section { file, name, line, entries, ..Section::default() });
        }
        Ini { sections, errors: self.errors }
    }

    fn entries(&self, read: &::ini::Ini, name: &str) -> Vec<Entry> {
        let Some(place) = self.sections.iter().position(|(section, _)| section == name) else { return Vec::new() };
        let entry = |(key, value): (&str, &str)| {
            let line = self.keys.get(&(place, key.to_string())).copied().unwrap_or(0);
            Entry { key: key.into(), value: value.into(), line }
        };
        read.section_all(Some(place.to_string())).flat_map(|properties| properties.iter()).map(entry).collect()
    }
}

/// Whether a continuation line looks like an option that was indented by mistake: a plain word, then a delimiter.
fn looks_like_an_option(line: &str) -> bool {
    let Some((key, _)) = line.split_once(['=', ':']) else { return false };
    let key = key.trim_end();
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
