//! BER, as SNMP has it (X.690): parts of a tag, a length and a content. Read as they are, written with definite lengths.

/// Universal tags that SNMP uses.
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OBJECT: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;

/// What is still to be read. A tag of several bytes and a length without end are refused, as SNMP does.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next part: its tag and its content. `None` at the end, and where the rest is cut.
    pub fn part(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first().filter(|(tag, _)| *tag & 0x1f != 0x1f)?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(*first), rest),
            _ => long(rest, usize::from(first & 0x7f))?,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The content of the next part, where it has that tag.
    pub fn tagged(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.part().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    /// The next part as a number.
    pub fn number(&mut self) -> Option<i64> {
        signed(self.tagged(INTEGER)?)
    }

    /// The next part, an INTEGER, as a number that cannot be below zero.
    pub fn count(&mut self) -> Option<u32> {
        unsigned(self.tagged(INTEGER)?, 32)?.try_into().ok()
    }
}

/// A length of that many bytes, and what is behind it.
fn long(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
    Some((length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest))
}

/// The content of an INTEGER: two's complement, of at most eight bytes that say something.
pub fn signed(content: &[u8]) -> Option<i64> {
    let sign = if content.first()? & 0x80 == 0 { 0 } else { -1 };
    let told = told(content, 8)?;
    // Of more than eight bytes the first ones must have said the same as the sign.
    let is_of_sign = content.len() == told.len() || told.first()? & 0x80 == sign as u8 & 0x80;
    is_of_sign.then(|| told.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
}

/// The content of a number that cannot be below zero, of 32 or 64 bits. Agents leave out the zero in front that its first bit
/// asks for, or put the sign of a number below zero there: its bits are what is meant.
pub fn unsigned(content: &[u8], bits: usize) -> Option<u64> {
    content.first()?;
    Some(told(content, bits / 8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The last bytes, at most that many, where those before them only repeat the sign.
fn told(content: &[u8], most: usize) -> Option<&[u8]> {
    let (before, told) = content.split_at_checked(content.len().saturating_sub(most))?;
    let is_sign = |sign: u8| before.iter().all(|byte| *byte == sign);
    let is_negative = told.first().is_some_and(|first| first & 0x80 != 0);
    (is_sign(0) || is_sign(0xff) && is_negative).then_some(told)
}

/// The shortest INTEGER of that number.
pub fn integer(number: u32) -> Vec<u8> {
    let bytes = i64::from(number).to_be_bytes();
    let spare = bytes.windows(2).take_while(|pair| matches!(pair, [0, next] if next & 0x80 == 0)).count();
    part(INTEGER, bytes.get(spare..).unwrap_or_default())
}

/// A part of that tag and content.
pub fn part(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes = length.to_be_bytes();
    let digits = bytes.get(length.leading_zeros() as usize / 8..).unwrap_or_default();
    let mut whole = Vec::with_capacity(content.len() + 10);
    whole.push(tag);
    match length {
        0..0x80 => whole.push(length as u8),
        _ => {
            whole.push(0x80 | digits.len() as u8);
            whole.extend(digits);
        }
    }
    whole.extend(content);
    whole
}
