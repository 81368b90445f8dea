//! Parses packets (MySQL source documentation, "Protocol Basics").

const NULL: u8 = 0xfb;

/// The unread rest of a packet. Every method returns `None` if the packet is too short.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A string that ends with a zero byte.
    pub fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// A length-encoded integer. `None` also for the markers of NULL and of errors.
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

    /// A length-encoded string.
    pub fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.length()?).ok()?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// The name in a column definition. It follows the catalog, the schema and both names of the table.
    pub fn column(&mut self) -> Option<String> {
        for _ in 0..4 {
            self.string()?;
        }
        self.string()
    }

    /// A cell of a row; `Some(None)` is NULL.
    pub fn cell(&mut self) -> Option<Option<String>> {
        match self.0.first() {
            Some(&NULL) => self.take(1).map(|_| None),
            _ => self.string().map(Some),
        }
    }
}
