//! Writes a tar archive (POSIX ustar) of texts in memory.
//!
//! Forty lines instead of a dependency: nothing is read, and there are no links, folders or long names.

/// The folder of all files in the archive.
const FOLDER: &str = "puypuy-support";
const BLOCK: usize = 512;
/// Longest name in bytes.
const NAME: usize = 100;

/// The archive so far.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// Adds a file that only its owner may read. Of a name that is too long only the end is kept.
    pub fn add(&mut self, name: &str, text: &[u8], time: i64) {
        let name = name.as_bytes();
        let name = name.get(name.len().saturating_sub(NAME)..).unwrap_or_default();
        let octal = |number: u64, digits: usize| format!("{number:0digits$o}\0").into_bytes();
        // Name, mode, owner, group, size, time, and eight spaces in place of the checksum.
        let fields: [(usize, Vec<u8>); 9] = [
            (0, name.to_vec()),
            (100, octal(0o600, 7)),
            (108, octal(0, 7)),
            (116, octal(0, 7)),
            (124, octal(text.len() as u64, 11)),
            (136, octal(time.max(0) as u64, 11)),
            (148, b"        0".to_vec()),
            (257, b"ustar\x0000".to_vec()),
            (345, FOLDER.as_bytes().to_vec()),
        ];
        let mut head = [0; BLOCK];
        let put = |head: &mut [u8; BLOCK], (at, bytes): &(usize, Vec<u8>)| {
            head.iter_mut().skip(*at).zip(bytes).for_each(|(place, byte)| *place = *byte);
        };
        fields.iter().for_each(|field| put(&mut head, field));
        let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
        put(&mut head, &(148, octal(sum, 6)));
        self.0.extend_from_slice(&head);
        self.0.extend_from_slice(text);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// The complete archive.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}
