//! Removes secrets from texts for people: the secrets of a configuration, and everything that looks like one.

use super::ini::Ini;
use super::section::{Entry, Section};
use crate::model::percent;
use std::collections::{BTreeMap, BTreeSet};

/// Parts of the names of keys whose values are secrets.
const WORDS: [&str; 11] =
    ["pass", "pwd", "secret", "token", "community", "uuid", "apikey", "credential", "authoriz", "cookie", "header"];
/// Short options of programs that take a secret, in addition to options whose name says so.
const OPTIONS: [&str; 6] = ["-a", "-C", "-p", "-P", "-s", "-X"];
/// Prefixes of credentials in HTTP headers.
const SCHEMES: [&str; 3] = ["Basic ", "Bearer ", "Token "];
/// Shorter values are not masked: they are no secrets, and are in every other sentence.
const LEAST: usize = 4;
/// A query value of at least this length is taken for a secret whatever its name is.
const LONG: usize = 8;
const MASK: &str = "***";

/// Whether the value of a key, option or query parameter with this name is a secret. A path to a secret is not one.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_key = name == "key" || name.ends_with("_key") && name != "client_key";
    !name.ends_with("_file") && (is_key || WORDS.iter().any(|word| name.contains(word)))
}

/// A value with its secrets masked. A value that was read from elsewhere is shown as its reference (`file:/path`). Of a
/// command line only the program and the names of its options are shown.
pub fn shown(section: &Section, entry: &Entry) -> String {
    let value = entry.value.as_str();
    if let Some(place) = section.place(&entry.key) {
        return place.into();
    }
    if is_secret(&entry.key) && !value.is_empty() {
        return MASK.into();
    }
    if is_command(value) {
        return without_arguments(value);
    }
    let value = without_patterns(value);
    match value.split_once('?') {
        Some((before, _)) if value.contains("://") => format!("{before}?{MASK}"),
        _ => value,
    }
}

/// Whether the value itself contains a secret, and is not only a reference to one.
pub fn holds_secret(section: &Section, entry: &Entry) -> bool {
    let Entry { key, value, .. } = entry;
    let is_written = !value.is_empty() && section.place(key).is_none() && !section.is_sample(key);
    is_written && (is_secret(key) || password(value).is_some())
}

/// The password in a URL.
fn password(value: &str) -> Option<&str> {
    let places = value.split("://").skip(1).filter_map(|place| place.split(char::is_whitespace).next());
    let mut logins = places.filter_map(|place| Some(place.rsplit_once('@')?.0.split_once(':')?.1));
    logins.find(|password| !password.is_empty())
}

fn is_command(value: &str) -> bool {
    value.starts_with('/') && value.contains(char::is_whitespace)
}

fn without_arguments(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut shown = words.next().unwrap_or_default().to_string();
    for word in words {
        let name = match word {
            long if long.starts_with("--") => long.split_once('=').map_or(long, |(name, _)| name),
            short if short.starts_with('-') => {
                short.char_indices().nth(2).map_or(short, |(at, _)| short.get(..at).unwrap_or_default())
            }
            _ => "",
        };
        let mask = if name == word { "" } else { MASK };
        let between = if name.starts_with("--") && name != word { "=" } else { "" };
        shown += &format!(" {name}{between}{mask}");
    }
    shown
}

/// A file with its secrets masked: sections and keys keep their line numbers. Comments are left out, because they may
/// contain an old secret.
pub fn file(read: &Ini) -> String {
    let mut lines: BTreeMap<usize, String> = BTreeMap::new();
    for section in &read.sections {
        lines.insert(section.line, format!("[{}]", section.name));
        for entry in &section.entries {
            let value = shown(section, entry).replace('\n', "\n    ");
            // Entries of [DEFAULT] are in every section.
            lines.entry(entry.line).or_insert_with(|| format!("{} = {value}", entry.key));
        }
    }
    let mut text = String::new();
    let mut at = 1;
    for (line, shown) in lines {
        text.push_str(&"\n".repeat(line.saturating_sub(at)));
        text.push_str(&shown);
        text.push('\n');
        at = line.max(at) + 1 + shown.matches('\n').count();
    }
    text
}

/// Texts that must not be shown.
#[derive(Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets of these sections and of their devices.
    pub fn of<'a>(sections: impl IntoIterator<Item = &'a Section>) -> Secrets {
        let mut found = BTreeSet::new();
        sections.into_iter().for_each(|section| collect(section, &mut found));
        let mut all: Vec<String> = found.into_iter().filter(|word| word.len() >= LEAST).collect();
        // The longest first, because a secret may contain another one.
        all.sort_by_key(|word| std::cmp::Reverse(word.len()));
        Secrets(all)
    }

    /// The text with these secrets, and everything that looks like a secret, masked.
    pub fn mask(&self, text: &str) -> String {
        without_patterns(&self.0.iter().fold(text.to_string(), |text, secret| text.replace(secret, MASK)))
    }
}

fn collect(section: &Section, found: &mut BTreeSet<String>) {
    let mut add = |secret: &str| {
        found.insert(secret.into());
        found.insert(secret.escape_debug().to_string());
        found.insert(percent::encode(secret));
        // A list of several secrets, or a value of several lines.
        found.extend(secret.split(|letter: char| letter.is_whitespace() || letter == ',').map(String::from));
    };
    for Entry { key, value, .. } in &section.entries {
        if is_secret(key) || section.place(key).is_some() && !is_plain(value) {
            add(value);
        }
        password(value).into_iter().for_each(&mut add);
        let pairs = value.split(|letter: char| letter.is_whitespace() || "?&;".contains(letter));
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let has_query = value.contains('?');
        pairs
            .filter(|(name, value)| is_secret(name) || has_query && value.len() >= LONG)
            .for_each(|(_, value)| add(value.trim_matches(['"', '\''])));
        if is_command(value) {
            arguments(value).into_iter().for_each(&mut add);
        }
    }
    section.devices.iter().for_each(|device| collect(device, found));
}

/// The arguments of options that take secrets in a command line, such as `-a user:password` or `-ppassword`.
fn arguments(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
    let mut found = Vec::new();
    for word in &words {
        let attached = OPTIONS.iter().filter_map(|option| word.strip_prefix(option));
        found.extend(attached.filter(|secret| !secret.is_empty()));
    }
    for pair in words.windows(2) {
        let [option, argument] = pair else { continue };
        let says_so = option.starts_with('-') && (OPTIONS.contains(option) || is_secret(option));
        found.extend(says_so.then_some(argument));
    }
    let is_port = |word: &&str| word.len() <= 5 && word.bytes().all(|byte| byte.is_ascii_digit());
    found.retain(|word| !is_port(word));
    let passwords: Vec<&str> = found.iter().filter_map(|login| Some(login.split_once(':')?.1)).collect();
    found.extend(passwords);
    found
}

/// A number or a boolean word: masking it would mask it in every text.
fn is_plain(value: &str) -> bool {
    let is_word = ["true", "false", "yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(value));
    is_word || value.parse::<f64>().is_ok()
}

/// Masks everything that looks like a secret: `://user:password@`, `password=x`, `"token": "x"`, `Bearer x`.
fn without_patterns(text: &str) -> String {
    SCHEMES.iter().fold(without_assigned(&without_logins(text)), |text, scheme| without_scheme(&text, scheme))
}

fn without_logins(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let place = after.split(|letter: char| letter.is_whitespace() || "\"'<>".contains(letter)).next();
        rest = match place.and_then(|place| place.rsplit_once('@')) {
            Some((login, _)) => {
                shown.push_str(MASK);
                after.get(login.len()..).unwrap_or_default()
            }
            None => after,
        };
    }
    shown + rest
}

fn without_scheme(text: &str, scheme: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(scheme) {
        let word = after.split(|letter: char| letter.is_whitespace() || "\"',;".contains(letter)).next();
        let word = word.unwrap_or_default();
        shown.push_str(before);
        shown.push_str(scheme);
        let is_credential = word.len() >= LONG;
        shown.push_str(if is_credential { MASK } else { word });
        rest = after.get(word.len()..).unwrap_or_default();
    }
    shown + rest
}

/// Masks what follows `=`, or `":` as in JSON, after a secret's name.
fn without_assigned(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        rest = after;
        let before = before.trim_end_matches(['=', ':']).trim_end();
        let is_quoted = before.ends_with('"');
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        let name = before.trim_end_matches('"').rsplit(|letter| !is_name(letter)).next().unwrap_or_default();
        if !(is_quoted || shown.ends_with('=')) || !is_secret(name) {
            continue;
        }
        let blanks = if is_quoted { after.len() - after.trim_start().len() } else { 0 };
        let value = after.get(blanks..).unwrap_or_default();
        let quote = value.chars().next().filter(|first| "\"'".contains(*first));
        let length = match quote {
            Some(quote) => value.get(1..).and_then(|rest| rest.find(quote)).map_or(value.len(), |end| end + 2),
            None => {
                value.find(|letter: char| letter.is_whitespace() || "&;,)}]\"'".contains(letter)).unwrap_or(value.len())
            }
        };
        if length == 0 {
            continue;
        }
        let quote = quote.map(String::from).unwrap_or_default();
        shown += &format!("{}{quote}{MASK}{quote}", after.get(..blanks).unwrap_or_default());
        rest = value.get(length..).unwrap_or_default();
    }
    shown + rest
}
