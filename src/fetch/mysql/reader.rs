//! The parts of a packet (MySQL source documentation, "Protocol Basics").

const NULL: u8 = 0xfb;

/// The parts of a packet, one after the other; `None` where it has ended.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Up to a byte 0.
    pub fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// An integer that says by its first byte how many belong to it.
    pub fn length(&mut self) -> Option<u64> {
        let more = match self.take(1)? {
            [first @ ..=250] => return Some(u64::from(*first)),
            [0xfc] => self.take(2)?,
            [0xfd] => self.take(3)?,
            [0xfe] => self.take(8)?,
            _ => return None,
        };
        Some(more.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.length()?).ok()?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// The name of a column, behind those of catalog, schema, and table twice.
    pub fn column(&mut self) -> Option<String> {
        for _ in 0..4 {
            self.string()?;
        }
        self.string()
    }

    pub fn cell(&mut self) -> Option<Option<String>> {
        match self.0.first() {
            Some(&NULL) => self.take(1).map(|_| None),
            _ => self.string().map(Some),
        }
    }
}
