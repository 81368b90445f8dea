//! BER as used by SNMP (X.690): elements of tag, length and content. Reads any definite length; writes the shortest.

/// Universal tags that SNMP uses.
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OBJECT: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;

/// The bytes still to be read. Tags of several bytes and indefinite lengths are refused, as SNMP does not allow them.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and content. `None` at the end, or if the element is truncated or refused.
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

    /// The content of the next element if it has this tag.
    pub fn tagged(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.part().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    /// The next element as a signed integer.
    pub fn number(&mut self) -> Option<i64> {
        signed(self.tagged(INTEGER)?)
    }

    /// The next element, an INTEGER, as a 32-bit unsigned integer.
    pub fn count(&mut self) -> Option<u32> {
        unsigned(self.tagged(INTEGER)?, 32)?.try_into().ok()
    }
}

/// A length written in `count` bytes, and the bytes after it.
fn long(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
    Some((length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest))
}

/// The value of an INTEGER: two's complement with at most eight significant bytes.
pub fn signed(content: &[u8]) -> Option<i64> {
    let sign = if content.first()? & 0x80 == 0 { 0 } else { -1 };
    let significant = significant(content, 8)?;
    // Bytes before the last eight must repeat the sign bit.
    let is_of_sign = content.len() == significant.len() || significant.first()? & 0x80 == sign as u8 & 0x80;
    is_of_sign.then(|| significant.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
}

/// The value of an unsigned integer of 32 or 64 bits. Some agents leave out the leading zero that keeps the value
/// positive, or send a negative number; in both cases the bits are taken as unsigned.
pub fn unsigned(content: &[u8], bits: usize) -> Option<u64> {
    content.first()?;
    Some(significant(content, bits / 8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The last `most` bytes. `None` if the bytes before them do more than repeat the sign.
fn significant(content: &[u8], most: usize) -> Option<&[u8]> {
    let (before, significant) = content.split_at_checked(content.len().saturating_sub(most))?;
    let is_sign = |sign: u8| before.iter().all(|byte| *byte == sign);
    let is_negative = significant.first().is_some_and(|first| first & 0x80 != 0);
    (is_sign(0) || is_sign(0xff) && is_negative).then_some(significant)
}

/// The shortest INTEGER element with this value.
pub fn integer(number: u32) -> Vec<u8> {
    let bytes = i64::from(number).to_be_bytes();
    let spare = bytes.windows(2).take_while(|pair| matches!(pair, [0, next] if next & 0x80 == 0)).count();
    part(INTEGER, bytes.get(spare..).unwrap_or_default())
}

/// An element with this tag and content.
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
