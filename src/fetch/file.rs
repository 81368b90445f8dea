//! Kernel files: kept open, read with `pread` into a reused buffer, and opened again when the kernel requires it; or read
//! once, if they are read too seldom, or are too many, to be kept open.

use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Larger than any file of /proc or /sys that a check reads. A longer file is cut here.
const MAX_BYTES: usize = 16 << 20;

/// Initial buffer size; it is doubled until the file fits.
const FIRST_BYTES: usize = 4096;

/// The kernel fills pages of at least this size with whole lines, so a read ends early if the next line does not fit
/// into the page.
const PAGE: usize = 4096;

/// Longer than any line of the files that are read with [`Until::Short`]. Lines with paths may be longer.
const LINE: usize = 512;

/// The path of a file. In a container that watches its host, `proc/net` is replaced by the host's own. In a copy of
/// /proc, `proc/net` is a folder instead of a link and is used as it is.
pub fn place(roots: &Roots, path: &str) -> PathBuf {
    let of_host = roots.of_host(path).filter(|_| is_of_reader(roots));
    of_host.unwrap_or_else(|| roots.resolve(path))
}

/// Whether `proc/net` belongs to the network of this process instead of the watched one.
pub fn is_of_reader(roots: &Roots) -> bool {
    roots.has_other_proc() && roots.resolve("proc/net").is_symlink()
}

/// Opens a file for reading.
///
/// # Errors
/// [`Error::File`] with the path; a special message if the host's network is hidden from this user.
pub fn open(roots: &Roots, file: &str) -> Result<File> {
    let path = place(roots, file);
    File::open(&path).map_err(|error| match roots.of_host("proc/net").filter(|net| path.starts_with(net)) {
        Some(net) if !net.exists() => Error::daemon(format!(
            "{}: the network of the host is hidden from this user: run as root, or mount that proc without hidepid, or with the \
             gid of a group of this user",
            net.display()
        )),
        _ => Error::file("open", &path)(error),
    })
}

/// A file in /proc or /sys, by its path relative to the root: `proc/stat`.
pub struct KernelFile {
    path: Cow<'static, str>,
    open: Option<File>,
    /// The bytes after `filled` are left from earlier reads.
    buffer: Vec<u8>,
    filled: usize,
}

impl KernelFile {
    pub fn new(path: impl Into<Cow<'static, str>>) -> KernelFile {
        KernelFile { path: path.into(), open: None, buffer: Vec::new(), filled: 0 }
    }

    /// The whole text. Invalid UTF-8 is replaced by U+FFFD.
    ///
    /// # Errors
    /// [`Error::File`] with the path; [`Error::is_gone`] is true if the device was removed.
    pub fn read(&mut self, roots: &Roots) -> Result<&str> {
        self.refill(roots, Until::Short)?;
        if std::str::from_utf8(self.bytes()).is_err() {
            self.buffer = String::from_utf8_lossy(self.bytes()).into_owned().into_bytes();
            self.filled = self.buffer.len();
        }
        std::str::from_utf8(self.bytes()).map_err(|_| Error::parse("text", &self.path))
    }

    /// Reads the whole file as bytes, for lines with paths, which may have any encoding.
    ///
    /// # Errors
    /// As for [`KernelFile::read`]; the next call opens the file again.
    pub fn refresh(&mut self, roots: &Roots) -> Result<()> {
        self.refill(roots, Until::Nothing).inspect_err(|_| self.close())
    }

    /// Closes the file and keeps the bytes; the next read opens it again.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// The bytes of the last read.
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
                // The file behind the descriptor no longer exists; there may be a new one with the same name.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ESTALE | libc::ENOENT)) => {}
                Err(error) => return Err(Error::file("read", place(roots, &self.path))(error)),
            }
        }
        self.open = None;
        let file = self.open.insert(open(roots, &self.path)?);
        let filled = fill(&mut self.buffer, file, until);
        self.filled = filled.map_err(Error::file("read", place(roots, &self.path)))?;
        Ok(())
    }
}

/// The text of a whole file. Invalid UTF-8 is replaced by U+FFFD.
///
/// # Errors
/// [`Error::File`] with the path; [`Error::is_gone`] is true if the file does not exist.
pub fn text(roots: &Roots, file: &str) -> Result<String> {
    let open = open(roots, file)?;
    let mut bytes = Vec::new();
    let filled = fill(&mut bytes, &open, Until::Short).map_err(Error::file("read", place(roots, file)))?;
    bytes.truncate(filled);
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// How the end of the file is recognised.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// A read returned fewer bytes than requested although the kernel's page had room for another line.
    Short,
    /// A read returned 0 bytes.
    Nothing,
}

/// Reads the whole file into the buffer. Returns the number of bytes.
fn fill(buffer: &mut Vec<u8>, file: &File, mut until: Until) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) else {
            if filled >= MAX_BYTES {
                return Ok(filled);
            }
            buffer.resize((filled * 2).max(FIRST_BYTES), 0);
            // The buffer may have cut a line. The kernel then returns the rest of that line first, and its page
            // boundaries no longer match.
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
