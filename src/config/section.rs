//! One section of an ini file, for a check or a sink: typed values, and errors that name file, line, section and key.

use super::number::{self, Number};
use super::secret::{self, Fetched};
use crate::model::error::{Error, Result, quote};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Keys that name certificate files; these are read when the check or sink is built.
const FILES: [&str; 4] = ["ca_file", "ca_path", "client_cert", "client_key"];

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// As written; the lines of a continued value are joined by `\n`.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}

/// A section, or an empty one in place of a section that the user did not write.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The file's name in messages, such as `conf/system.ini`.
    pub file: String,
    pub name: String,
    /// Line of the header; 0 if the section is missing.
    pub line: usize,
    pub entries: Vec<Entry>,
    /// Further sections, for a check with devices or further servers.
    pub devices: Vec<Section>,
    /// The values that were read through a reference.
    pub fetched: Vec<Fetched>,
    /// When its certificate files were last changed; empty until [`Section::look_at_certificates`].
    pub certificates: Vec<(i64, i64)>,
}

impl Section {
    /// Represents a section that is not in the file: every key has its default.
    pub fn missing(file: &str, name: &str) -> Section {
        Section { file: file.into(), name: name.into(), ..Section::default() }
    }

    /// Reads the values that are references. A value that cannot be read is empty, and reported by [`Section::unread`].
    pub fn fetch(&mut self) {
        for entry in &mut self.entries {
            if let Some((value, fetched)) = secret::fetch(&entry.key, &entry.value) {
                entry.value = value;
                self.fetched.push(fetched);
            }
        }
    }

    /// Notes when its certificate files were last changed, for [`Section::says_the_same`]. This may hang if they are on
    /// a file system that does.
    pub fn look_at_certificates(&mut self) {
        let files = self.entries.iter().filter(|entry| FILES.contains(&&*entry.key));
        let changed = files.filter_map(|entry| fs::metadata(&entry.value).ok());
        self.certificates = changed.map(|about| (about.ctime(), about.ctime_nsec())).collect();
        self.devices.iter_mut().for_each(Section::look_at_certificates);
    }

    /// An error for each reference that could not be read, in this section and its devices.
    pub fn unread(&self) -> Vec<Error> {
        self.about_fetched(|fetched| fetched.problem.as_deref())
    }

    /// A warning for each reference whose file others can read.
    pub fn exposed(&self) -> Vec<Error> {
        self.about_fetched(|fetched| fetched.doubt.as_deref())
    }

    fn about_fetched(&self, what: fn(&Fetched) -> Option<&str>) -> Vec<Error> {
        let about =
            |fetched: &Fetched| Some(self.problem(&fetched.key, &format!("{}: {}", fetched.place, what(fetched)?)));
        let own = self.fetched.iter().filter_map(about);
        own.chain(self.devices.iter().flat_map(|device| device.about_fetched(what))).collect()
    }

    /// The section, if all of its references could be read.
    ///
    /// # Errors
    /// The first of [`Section::unread`].
    pub fn readable(self) -> Result<Section> {
        self.unread().into_iter().next().map_or(Ok(self), Err)
    }

    fn fetched(&self, key: &str) -> Option<&Fetched> {
        self.fetched.iter().find(|fetched| fetched.key.eq_ignore_ascii_case(key))
    }

    /// The reference from which that key's value was read, such as `file:/run/secrets/db`; `None` if the value itself
    /// is in the file.
    pub fn place(&self, key: &str) -> Option<&str> {
        self.fetched(key).map(|fetched| fetched.place.as_str())
    }

    /// Whether the user did not write it.
    pub fn is_missing(&self) -> bool {
        self.line == 0
    }

    /// Whether both have the same keys and values in the same order, the same certificates, and the same devices. Line
    /// numbers do not matter.
    pub fn says_the_same(&self, other: &Section) -> bool {
        let pair = |entry: &Entry| (entry.key.clone(), entry.value.clone());
        self.name == other.name
            && self.entries.iter().map(pair).eq(other.entries.iter().map(pair))
            && self.certificates == other.certificates
            && self.devices.len() == other.devices.len()
            && self.devices.iter().zip(&other.devices).all(|(one, other)| one.says_the_same(other))
    }

    /// The entry of that key; case does not matter.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key))
    }

    /// The value as written; `None` if the key is missing, `Some("")` if it is empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.entry(key).map(|entry| entry.value.as_str())
    }

    /// The value of a key that must be there and not be empty; `example` is for the error message.
    pub fn required(&self, key: &str, example: &str) -> Result<&str> {
        let remedy = format!("write for example {key} = {example}");
        match self.text(key) {
            Some("") => Err(self.wrong(key, &format!("must not be empty; {remedy}"))),
            Some(value) => Ok(value),
            None if self.is_missing() => Err(self.problem(key, &format!("missing, and so is its section; {remedy}"))),
            None => Err(self.problem(key, &format!("missing; {remedy}"))),
        }
    }

    /// True/False, yes/no, on/off, 1/0 in any case; `default` if the key is missing or empty.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.text(key) {
            None | Some("") => Ok(default),
            Some(value) => match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(self.wrong(key, "expected True or False (also yes/no, on/off, 1/0)")),
            },
        }
    }

    /// A number; `default` if the key is missing or empty. Never NaN or infinite.
    pub fn number<T: Number>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.read(key, || format!("expected a number, such as {default}"))?.unwrap_or(default))
    }

    /// A number; `None` if the key is missing or empty.
    pub fn optional_number<T: Number>(&self, key: &str) -> Result<Option<T>> {
        self.read(key, || "expected a number, such as 10".into())
    }

    /// A number within that range; `default` if the key is missing or empty. `what` names the unit in the error
    /// message.
    pub fn within<T: Number>(&self, key: &str, default: T, range: RangeInclusive<T>, what: &str) -> Result<T> {
        let what = format!("{what} from {} to {}, such as {default}", range.start(), range.end());
        Ok(self.ranged(key, &range, &what)?.unwrap_or(default))
    }

    /// The same; `None` if the key is missing or empty.
    pub fn optional_within<T: Number>(&self, key: &str, range: RangeInclusive<T>, what: &str) -> Result<Option<T>> {
        self.ranged(key, &range, &format!("{what} from {} to {}", range.start(), range.end()))
    }

    fn ranged<T: Number>(&self, key: &str, range: &RangeInclusive<T>, what: &str) -> Result<Option<T>> {
        let expected = || format!("expected {what}");
        match self.read(key, expected)? {
            Some(number) if !range.contains(&number) => Err(self.wrong(key, &expected())),
            number => Ok(number),
        }
    }

    fn read<T: Number>(&self, key: &str, expected: impl Fn() -> String) -> Result<Option<T>> {
        let Some(value) = self.text(key).filter(|value| !value.is_empty()) else { return Ok(None) };
        number::read(value).map(Some).map_err(|flaw| self.wrong(key, &format!("{}; {flaw}", expected())))
    }

    /// Whether the value is the placeholder of a secret in the shipped files: `xxxxxxxx-xxxx`.
    pub fn is_sample(&self, key: &str) -> bool {
        let is_sample = |value: &str| value.bytes().all(|byte| matches!(byte, b'x' | b'X' | b'-'));
        self.text(key).is_some_and(|value| !value.is_empty() && is_sample(value))
    }

    /// `timeout_seconds`, the longest wait for an answer; `default` if it is missing or empty.
    pub fn timeout(&self, default: Duration) -> Result<Duration> {
        let seconds = self.optional_number("timeout_seconds")?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(default))
    }

    /// The comma-separated words of a value, trimmed, without empty ones.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.text(key).unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
    }

    /// A warning if that key switches off the verification of certificates; it does so with the value `off`.
    pub fn unverified(&self, key: &str, off: bool) -> Option<String> {
        self.flag(key, !off).ok().filter(|said| *said == off)?;
        let value = self.text(key).unwrap_or_default();
        let sentence = format!("{value}: certificates are not verified, so anybody can pose as the server");
        Some(self.problem(key, &sentence).to_string())
    }

    /// The same section with that value for the key.
    pub fn with(&self, key: &str, value: &str) -> Section {
        let mut section = self.without_place(key);
        match section.entries.iter_mut().find(|entry| entry.key.eq_ignore_ascii_case(key)) {
            Some(entry) => entry.value = value.into(),
            None => section.entries.push(Entry { key: key.into(), value: value.into(), line: self.line }),
        }
        section
    }

    /// The section with a login if it names a user, unless `auth` is off: sections of the original have no `auth`, or
    /// one that was not read.
    pub fn with_login(&self) -> Section {
        let has_user = self.text("user").is_some_and(|user| !user.is_empty());
        let is_off = matches!(self.flag("auth", true), Ok(false));
        if has_user && !is_off { self.with("auth", "True") } else { self.clone() }
    }

    /// The section with a required login, unless `auth` is set or the address in that key contains user and password.
    pub fn with_demanded_login(&self, address: &str) -> Section {
        let has_credentials = self.text(address).is_some_and(|address| address.contains('@'));
        let is_told = self.text("auth").is_some_and(|auth| !auth.is_empty());
        if is_told || has_credentials { self.clone() } else { self.with("auth", "True") }
    }

    /// The same section without the key.
    pub fn without(&self, key: &str) -> Section {
        let mut section = self.without_place(key);
        section.entries.retain(|entry| !entry.key.eq_ignore_ascii_case(key));
        section
    }

    fn without_place(&self, key: &str) -> Section {
        let mut section = self.clone();
        section.fetched.retain(|fetched| !fetched.key.eq_ignore_ascii_case(key));
        section
    }

    /// An error about a wrong value: quotes it, or names the reference from which it was read.
    pub fn wrong(&self, key: &str, expected: &str) -> Error {
        let value = match self.fetched(key) {
            Some(Fetched { place, .. }) => format!("what {place} holds"),
            None => self.text(key).map(quote).unwrap_or_default(),
        };
        self.problem(key, &format!("{value}: {expected}"))
    }

    /// An error about this key, with its line if it has one. A value that was read through a reference is masked.
    pub fn problem(&self, key: &str, problem: &str) -> Error {
        let is_read = self.fetched(key).is_some_and(|fetched| fetched.problem.is_none());
        let secret = self.text(key).filter(|_| is_read).unwrap_or_default();
        Error::Config {
            file: self.file.clone(),
            line: self.entry(key).map_or(self.line, |entry| entry.line),
            section: self.name.clone(),
            key: key.into(),
            problem: secret::mask(problem, secret),
        }
    }
}
