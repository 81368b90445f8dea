//! Makes valid JSON of what some servers write: the bare words NaN, Infinity and -inf become null.

use std::io::{self, Read};

/// Number of bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Longer than any word that is replaced; longer words and numbers are passed on in pieces.
const LONG: usize = 32;

/// A reader that replaces these words with null, so that only their values are lost. Strings stay unchanged.
pub struct Lenient<R> {
    from: R,
    came: Vec<u8>,
    /// Converted text, and the index of its first unread byte.
    text: Vec<u8>,
    at: usize,
    /// An incomplete word or number outside of strings.
    word: Vec<u8>,
    place: Place,
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    InString,
    BehindBackslash,
}

impl<R: Read> Lenient<R> {
    pub fn new(from: R) -> Lenient<R> {
        let (came, text, word) = (Vec::new(), Vec::new(), Vec::new());
        Lenient { from, came, text, at: 0, word, place: Place::Outside, has_ended: false }
    }

    /// Reads and converts the next bytes. A read error counts as the end of the input: the JSON parser then finds the
    /// document truncated.
    fn refill(&mut self) {
        self.text.clear();
        self.at = 0;
        let mut came = std::mem::take(&mut self.came);
        came.clear();
        let read = (&mut self.from).take(CHUNK as u64).read_to_end(&mut came);
        self.has_ended = read.is_err() || came.len() < CHUNK;
        came.iter().for_each(|byte| self.push(*byte));
        self.came = came;
        if self.has_ended {
            self.end_word();
        }
    }

    fn push(&mut self, byte: u8) {
        if self.place == Place::Outside && (byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            self.word.push(byte);
            if self.word.len() >= LONG {
                self.text.append(&mut self.word);
            }
            return;
        }
        self.end_word();
        self.text.push(byte);
        self.place = match (self.place, byte) {
            (Place::Outside, b'"') | (Place::BehindBackslash, _) => Place::InString,
            (Place::InString, b'"') => Place::Outside,
            (Place::InString, b'\\') => Place::BehindBackslash,
            (place, _) => place,
        };
    }

    fn end_word(&mut self) {
        let word = self.word.strip_prefix(b"-").or(self.word.strip_prefix(b"+")).unwrap_or(&self.word);
        let is = |none: &&str| word.eq_ignore_ascii_case(none.as_bytes());
        if ["nan", "inf", "infinity"].iter().any(is) {
            self.text.extend_from_slice(b"null");
            self.word.clear();
        } else {
            self.text.append(&mut self.word);
        }
    }
}

impl<R: Read> Read for Lenient<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.text.len() && !self.has_ended {
            self.refill();
        }
        let count = self.text.get(self.at..).unwrap_or_default().read(to)?;
        self.at += count;
        Ok(count)
    }
}
