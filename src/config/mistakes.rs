//! Finds all mistakes of a section, although its reader stops at the first one.

use super::section::Section;
use crate::model::error::{Error, Result};

/// Replacement values: most readers accept one of these for any key.
const STAND_INS: [&str; 4] = ["1", "http://127.0.0.1", "127.0.0.1", "/"];

/// All mistakes that `read` finds in the section. After each mistake its value is replaced by one that `read` accepts
/// (the default if there is one), and `read` is called again.
pub fn of<T>(section: &Section, read: impl Fn(&Section) -> Result<T>) -> Vec<Error> {
    let (mut section, mut found, mut mended) = (section.clone(), Vec::new(), Vec::new());
    while let Err(error) = read(&section) {
        let key = key_of(&error, &section.name);
        if mended.contains(&key) {
            // The replacement for one value does not fit the replacement for another.
            break;
        }
        found.push(error);
        if key.is_empty() {
            break;
        }
        let (mut best, mut next) = (Sense::None, None);
        for tried in
            std::iter::once(section.without(&key)).chain(STAND_INS.iter().map(|value| section.with(&key, value)))
        {
            let sense = sense(&tried, &key, &read);
            if sense < best {
                (best, next) = (sense, Some(tried));
            }
            if best <= Sense::Written {
                break;
            }
        }
        let Some(next) = next else { break };
        section = next;
        mended.push(key);
    }
    found
}

/// How well a replacement value works, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sense {
    /// No other mistake is left.
    Whole,
    /// The next mistake is in a key that the user wrote.
    Written,
    /// A key is missing now, perhaps because of this value.
    Missing,
    /// The value is wrong itself.
    None,
}

fn sense<T>(section: &Section, key: &str, read: impl Fn(&Section) -> Result<T>) -> Sense {
    match read(section).err().map(|error| key_of(&error, &section.name)) {
        None => Sense::Whole,
        Some(next) if next == key => Sense::None,
        Some(next) if section.entry(&next).is_some() => Sense::Written,
        Some(_) => Sense::Missing,
    }
}

/// The key of that section that the error is about; empty if it is about something else.
fn key_of(error: &Error, name: &str) -> String {
    match error {
        Error::Config { section, key, .. } if section == name => key.to_lowercase(),
        _ => String::new(),
    }
}
