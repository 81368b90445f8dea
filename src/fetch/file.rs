//! Kernel files that stay open: read with `pread` into a reused buffer, opened anew when the kernel says so.

use super::Roots;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// More than any file of /proc or /sys that a check reads; a file that goes on past it is cut there.
const MAX_BYTES: usize = 16 << 20;

/// One file of /proc or /sys, named relative to its root: `proc/stat`.
pub struct KernelFile {
    path: Cow<'static, str>,
    open: Option<File>,
    bytes: Vec<u8>,
}

impl KernelFile {
    pub fn new(path: impl Into<Cow<'static, str>>) -> KernelFile {
        KernelFile { path: path.into(), open: None, bytes: Vec::new() }
    }

    /// The whole text. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::File`] with the path; [`Error::is_gone`] tells a device that has left.
    pub fn read(&mut self, roots: &Roots) -> Result<&str> {
        self.refill(roots)?;
        if std::str::from_utf8(&self.bytes).is_err() {
            self.bytes = String::from_utf8_lossy(&self.bytes).into_owned().into_bytes();
        }
        std::str::from_utf8(&self.bytes).map_err(|_| Error::parse("text", &self.path))
    }

    /// The whole file as it is, for lines that hold paths: those may be in any encoding.
    ///
    /// # Errors
    /// As [`KernelFile::read`].
    pub fn read_bytes(&mut self, roots: &Roots) -> Result<&[u8]> {
        self.refill(roots)?;
        Ok(&self.bytes)
    }

    fn refill(&mut self, roots: &Roots) -> Result<()> {
        if let Some(file) = &self.open {
            match fill(&mut self.bytes, file) {
                Ok(()) => return Ok(()),
                // The file behind the descriptor is gone; perhaps there is a new one of that name.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ESTALE | libc::ENOENT)) => {}
                Err(error) => return Err(Error::file("read", roots.resolve(&self.path))(error)),
            }
        }
        self.open = None;
        let path = roots.resolve(&self.path);
        let file = self.open.insert(File::open(&path).map_err(Error::file("open", &path))?);
        fill(&mut self.bytes, file).map_err(Error::file("read", &path))
    }
}

fn fill(bytes: &mut Vec<u8>, file: &File) -> io::Result<()> {
    const STEP: usize = 4096;
    let mut filled = 0;
    bytes.resize(bytes.capacity().max(STEP), 0);
    loop {
        let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) else {
            if filled >= MAX_BYTES {
                break;
            }
            bytes.resize(filled * 2, 0);
            continue;
        };
        match file.read_at(space, filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(())
}
