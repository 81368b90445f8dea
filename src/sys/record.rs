//! A file of lines with a bounded size: when it is full, its older half is removed.

use crate::model::error::{Error, Result};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Maximum size in bytes; about two thousand lines.
const MOST: u64 = 256 << 10;
const MODE: u32 = 0o640;

/// The file, to which lines are appended.
pub struct Record(PathBuf);

impl Record {
    pub fn at(path: PathBuf) -> Record {
        Record(path)
    }

    /// Appends a line. `line` must not contain a newline.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, line: &str) -> Result<()> {
        let failed = || Error::file("write the record", &self.0);
        let flags = libc::O_NOFOLLOW;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .custom_flags(flags)
            .open(&self.0)
            .map_err(failed())?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(failed())?;
        if file.metadata().map_err(failed())?.len() > MOST {
            self.halve().map_err(failed())?;
        }
        Ok(())
    }

    fn halve(&self) -> std::io::Result<()> {
        let lines = fs::read(&self.0)?;
        let later = lines.get(lines.len() / 2..).unwrap_or_default();
        let begin = later.iter().position(|byte| *byte == b'\n').map_or(later.len(), |end| end + 1);
        let unfinished = self.0.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&unfinished)?;
        file.write_all(later.get(begin..).unwrap_or_default())?;
        fs::rename(unfinished, &self.0)
    }
}

/// The lines of that file, oldest first; none if there is no file.
///
/// # Errors
/// It cannot be read.
pub fn lines(path: &Path) -> Result<Vec<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file("read the record", path)(error)),
    }
}
