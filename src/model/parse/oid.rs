//! SNMP object identifiers as text, `.1.3.6.1.2.1.1.3.0`, and as BER. They are ordered by their numbers, as agents
//! order them.

use std::fmt;

/// The maximum length that SNMP allows (RFC 2578).
const MOST: usize = 128;

/// At least two numbers. The first is at most 2; the second is below 40 unless the first is 2.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(Box<[u32]>);

impl Oid {
    /// Parses numbers separated by dots, with or without a leading dot.
    pub fn read(text: &str) -> Option<Oid> {
        let text = text.strip_prefix('.').unwrap_or(text);
        let number = |word: &str| word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()));
        Oid::of(text.split('.').map(number).collect::<Option<Vec<u32>>>()?)
    }

    /// `None` if these numbers are no valid identifier.
    pub fn of(numbers: Vec<u32>) -> Option<Oid> {
        let is_one = match *numbers.as_slice() {
            [0 | 1, second, ..] => second < 40,
            [2, second, ..] => second <= u32::MAX - 80,
            _ => false,
        };
        (is_one && numbers.len() <= MOST).then(|| Oid(numbers.into()))
    }

    /// Decodes the content of an OBJECT IDENTIFIER.
    pub fn from_ber(content: &[u8]) -> Option<Oid> {
        let mut numbers = Vec::with_capacity(content.len() + 1);
        let mut number = 0_u32;
        for byte in content {
            number = number.checked_mul(0x80)? | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                numbers.push(std::mem::take(&mut number));
            }
        }
        if content.last().is_none_or(|last| last & 0x80 != 0) {
            return None;
        }
        let first = numbers.first_mut()?;
        let root = (*first / 40).min(2);
        *first -= root * 40;
        numbers.insert(0, root);
        Oid::of(numbers)
    }

    /// Encodes the content of an OBJECT IDENTIFIER.
    pub fn to_ber(&self) -> Vec<u8> {
        let [root, second, rest @ ..] = &*self.0 else { return Vec::new() };
        let mut content = Vec::with_capacity(self.0.len() + 4);
        for number in std::iter::once(root * 40 + second).chain(rest.iter().copied()) {
            for place in (1..5).rev().filter(|place| number >> (7 * place) != 0) {
                content.push(0x80 | (number >> (7 * place)) as u8);
            }
            content.push(number as u8 & 0x7f);
        }
        content
    }

    /// The numbers after the prefix `root`, separated by dots; `None` if the identifier is not below `root`.
    pub fn index(&self, root: &Oid) -> Option<String> {
        let rest = self.0.strip_prefix(&*root.0).filter(|rest| !rest.is_empty())?;
        Some(rest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|number| write!(f, ".{number}"))
    }
}
