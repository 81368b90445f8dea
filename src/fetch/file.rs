//! Kernel files that stay open: read with `pread` into a reused buffer, opened anew when the kernel says so.

use super::Roots;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// More than any file of /proc or /sys that a check reads; a file that goes on past it is cut there.
const MAX_BYTES: usize = 16 << 20;

/// One file of /proc or /sys, named relative to its root: `proc/stat`.
pub struct KernelFile {
    path: Cow<'static, str>,
    open: Option<(File, PathBuf)>,
    text: Vec<u8>,
}

impl KernelFile {
    pub fn new(path: impl Into<Cow<'static, str>>) -> KernelFile {
        KernelFile { path: path.into(), open: None, text: Vec::new() }
    }

    /// The whole text. Bytes that are not UTF-8 become U+FFFD (a mount point may be named in Latin-1).
    ///
    /// # Errors
    /// [`Error::File`] with the path; [`Error::is_gone`] tells a device that has left.
    pub fn read(&mut self, roots: &Roots) -> Result<&str> {
        if self.open.is_some() {
            match self.fill() {
                Ok(()) => return self.as_text(),
                // The file behind the descriptor is gone; perhaps there is a new one of that name.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ESTALE | libc::ENOENT)) => {
                    self.open = None
                }
                Err(error) => return Err(self.failed("read", error, roots)),
            }
        }
        let path = roots.resolve(&self.path);
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        self.open = Some((file, path));
        if let Err(error) = self.fill() {
            let failed = self.failed("read", error, roots);
            self.open = None;
            return Err(failed);
        }
        self.as_text()
    }

    fn failed(&self, doing: &'static str, source: io::Error, roots: &Roots) -> Error {
        Error::File { path: roots.resolve(&self.path), doing, source }
    }

    fn fill(&mut self) -> io::Result<()> {
        const STEP: usize = 4096;
        let Some((file, _)) = &self.open else { return Err(io::ErrorKind::NotFound.into()) };
        let mut filled = 0;
        self.text.resize(self.text.capacity().max(STEP), 0);
        loop {
            let Some(space) = self.text.get_mut(filled..).filter(|space| !space.is_empty()) else {
                if filled >= MAX_BYTES {
                    break;
                }
                self.text.resize(filled * 2, 0);
                continue;
            };
            match file.read_at(space, filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.text.truncate(filled);
        Ok(())
    }

    fn as_text(&mut self) -> Result<&str> {
        if std::str::from_utf8(&self.text).is_err() {
            self.text = String::from_utf8_lossy(&self.text).into_owned().into_bytes();
        }
        std::str::from_utf8(&self.text).map_err(|_| Error::parse("text", &self.path))
    }
}
