//! Ini text exactly as Python's RawConfigParser reads it, with the line of every key. The only user of rust-ini.

/// One `key = value` and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// As written; the lines of a continued value are joined by `\n`.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}
