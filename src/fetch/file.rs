//! Kernel files that stay open: read with `pread` into a reused buffer, opened anew when the kernel says so.

use super::tree;
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// More than any file of /proc or /sys that a check reads; a file that goes on past it is cut there.
const MAX_BYTES: usize = 16 << 20;

/// Room for the first read, doubled until the file fits.
const FIRST_BYTES: usize = 4096;

/// The kernel writes lines into pages of at least so many bytes: where the next line does not fit, a read ends early.
const PAGE: usize = 4096;

/// What is longer than any line of the files that are read in one go. Lines with paths may be longer.
const LINE: usize = 512;

/// One file of /proc or /sys, named relative to its root: `proc/stat`.
pub struct KernelFile {
    path: Cow<'static, str>,
    open: Option<File>,
    /// Never shorter than it has been: what is behind `filled` is left from earlier.
    buffer: Vec<u8>,
    filled: usize,
}

impl KernelFile {
    pub fn new(path: impl Into<Cow<'static, str>>) -> KernelFile {
        KernelFile { path: path.into(), open: None, buffer: Vec::new(), filled: 0 }
    }

    /// The whole text. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::File`] with the path; [`Error::is_gone`] tells a device that has left.
    pub fn read(&mut self, roots: &Roots) -> Result<&str> {
        self.refill(roots, Until::Short)?;
        if std::str::from_utf8(self.bytes()).is_err() {
            self.buffer = String::from_utf8_lossy(self.bytes()).into_owned().into_bytes();
            self.filled = self.buffer.len();
        }
        std::str::from_utf8(self.bytes()).map_err(|_| Error::parse("text", &self.path))
    }

    /// Reads the whole file as it is, for lines that hold paths: those may be in any encoding.
    ///
    /// # Errors
    /// As [`KernelFile::read`]; the next call reads it again.
    pub fn refresh(&mut self, roots: &Roots) -> Result<()> {
        self.refill(roots, Until::Nothing).inspect_err(|_| self.close())
    }

    /// What was read stays; the next read opens the file anew.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// What was read last.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn refill(&mut self, roots: &Roots, until: Until) -> Result<()> {
        if let Some(file) = &self.open {
            match fill(&mut self.buffer, file, until) {
                Ok(filled) => {
                    self.filled = filled;
                    return Ok(());
                }
                // The file behind the descriptor is gone; perhaps there is a new one of that name.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ESTALE | libc::ENOENT)) => {}
                Err(error) => return Err(Error::file("read", tree::place(roots, &self.path))(error)),
            }
        }
        self.open = None;
        let file = self.open.insert(tree::open(roots, &self.path)?);
        let filled = fill(&mut self.buffer, file, until);
        self.filled = filled.map_err(Error::file("read", tree::place(roots, &self.path)))?;
        Ok(())
    }
}

/// How the end of a file is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A read brings less than there is room for, and the kernel had room for another line.
    Short,
    /// A read brings nothing.
    Nothing,
}

/// Reads the file from its beginning to its end; how many bytes there are.
pub fn fill(buffer: &mut Vec<u8>, file: &File, mut until: Until) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) else {
            if filled >= MAX_BYTES {
                return Ok(filled);
            }
            buffer.resize((filled * 2).max(FIRST_BYTES), 0);
            // The kernel may have the rest of a line that was cut here, before a page of others.
            if filled > 0 {
                until = Until::Nothing;
            }
            continue;
        };
        match file.read_at(space, filled as u64) {
            Ok(0) => return Ok(filled),
            Ok(n) => {
                let is_short = n < space.len() && n % PAGE != 0 && n % PAGE <= PAGE - LINE;
                filled += n;
                if is_short && until == Until::Short {
                    return Ok(filled);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
