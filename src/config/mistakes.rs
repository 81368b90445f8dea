//! Every mistake of a section, where whoever reads it stops at the first.

use super::section::Section;
use crate::model::error::{Error, Result};

/// Values of which most readers take one, whatever they ask for.
const STAND_INS: [&str; 4] = ["1", "http://127.0.0.1", "127.0.0.1", "/"];

/// What `read` finds wrong with the section: for the value of each mistake it is given another one that it takes, the default
/// if it has one, and reads on.
pub fn of<T>(section: &Section, read: impl Fn(&Section) -> Result<T>) -> Vec<Error> {
    let (mut section, mut found, mut mended) = (section.clone(), Vec::new(), Vec::new());
    while let Err(error) = read(&section) {
        let key = key_of(&error, &section.name);
        if mended.contains(&key) {
            // What stands in for one value does not go with what stands in for another.
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

/// How well a value stands in for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sense {
    /// Nothing else is wrong.
    Whole,
    /// The next mistake is what somebody wrote.
    Written,
    /// Something is missing now: perhaps because of the value.
    Missing,
    /// It is wrong itself.
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

/// The key of that section that the error is about; empty where it is about none.
fn key_of(error: &Error, name: &str) -> String {
    match error {
        Error::Config { section, key, .. } if section == name => key.to_lowercase(),
        _ => String::new(),
    }
}
