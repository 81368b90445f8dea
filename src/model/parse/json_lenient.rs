//! JSON as some servers write it: with the bare words NaN, Infinity and -inf in the place of numbers that are none.

use std::io::{self, Read};

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;
/// Longer than any word or number that is of interest here.
const LONG: usize = 32;

/// The same text with null for each of these words, so that it costs its value alone. Inside of strings nothing changes.
pub struct Lenient<R> {
    from: R,
    came: Vec<u8>,
    /// What is to be handed on, and where in it what nobody has read begins.
    text: Vec<u8>,
    at: usize,
    /// A word or number outside of strings of which the end has not come.
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

    /// What came before an error is handed on, and is an end then: a document will be found to be not whole.
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
