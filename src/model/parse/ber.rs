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
        number(self.tagged(INTEGER)?)
    }
}

/// A length of that many bytes, and what is behind it.
fn long(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
    Some((length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest))
}

/// The content of an INTEGER: two's complement, of at most eight bytes.
fn number(content: &[u8]) -> Option<i64> {
    let first = content.first().filter(|_| content.len() <= 8)?;
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Some(content.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
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
