//! Reads a folder of the Python original. Links that lead out of it are not followed, and nothing in it is changed.

use crate::config::ini::{self, Ini};
use crate::model::error::{Error, Result};
use crate::sys::folder;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Files of which every version of the original has one: the daemon itself, or a library of all its modules.
const MARKS: [&str; 3] = ["puypuy.py", "oddeye.py", "lib/pushdata.py"];
/// Most bytes of a file that is taken over.
const MOST: u64 = 4 << 20;

/// A folder of the original.
pub struct Original {
    folder: PathBuf,
}

impl Original {
    /// # Errors
    /// The folder is not one of the original, or it contains this home.
    pub fn open(folder: &Path, home: &Path) -> Result<Original> {
        let absent = |error: Error| {
            Error::daemon(format!("{error}; name the folder that the puypuy.sh of the Python daemon is in"))
        };
        let whole = folder.canonicalize().map_err(Error::file("find", folder)).map_err(absent)?;
        let own = home.canonicalize().map_err(Error::file("find", home))?;
        let shown = whole.display();
        if own.starts_with(&whole) {
            return Err(Error::daemon(format!(
                "{shown} is this home, or around it: name the folder of the Python daemon, and this home with --home"
            )));
        }
        if !whole.is_dir() || !MARKS.iter().any(|mark| whole.join(mark).is_file()) {
            let marks = MARKS.join(", ");
            return Err(Error::daemon(format!(
                "{shown} is no folder of the Python daemon: it has none of {marks}; name the one that its puypuy.sh is in"
            )));
        }
        Ok(Original { folder: whole })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of the checks or scripts in that subfolder; empty if there is no such folder.
    ///
    /// # Errors
    /// It cannot be listed, or leads out of the original's folder.
    pub fn checks(&self, name: &str) -> Result<Vec<String>> {
        let path = self.folder.join(name);
        if !path.exists() { Ok(Vec::new()) } else { folder::check_names(&self.inside(&path)?) }
    }

    /// Its other ini files, such as `conf/system.ini`.
    ///
    /// # Errors
    /// As [`Original::checks`].
    pub fn confs(&self) -> Result<Vec<String>> {
        let path = self.folder.join("conf");
        let names = if path.exists() { folder::names(&self.inside(&path)?)? } else { Vec::new() };
        let is_conf = |name: &String| name.ends_with(".ini") && name != "config.ini";
        Ok(names.into_iter().filter(is_conf).map(|name| format!("conf/{name}")).collect())
    }

    /// The file with the daemon's sections.
    pub fn config(&self) -> &'static str {
        if self.folder.join("config.ini").exists() { "config.ini" } else { "conf/config.ini" }
    }

    /// Parses a file without resolving references (`file:`, `env:`, `cred:`).
    ///
    /// # Errors
    /// As [`Original::bytes`].
    pub fn ini(&self, file: &str) -> Result<Ini> {
        Ok(ini::parse(&String::from_utf8_lossy(&self.bytes(file)?), file))
    }

    /// # Errors
    /// The path leads out of the folder, is not a file, is too large, or cannot be read.
    pub fn bytes(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.inside(&self.folder.join(file))?;
        let mut bytes = Vec::new();
        // Opening a pipe must not block.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let opened = opened.map_err(Error::file("read", &path))?;
        if !opened.metadata().is_ok_and(|about| about.is_file()) {
            return Err(Error::daemon(format!("{}: is no file", path.display())));
        }
        opened.take(MOST + 1).read_to_end(&mut bytes).map_err(Error::file("read", &path))?;
        if bytes.len() as u64 > MOST {
            return Err(Error::daemon(format!("{}: has more than {MOST} bytes", path.display())));
        }
        Ok(bytes)
    }

    /// Whether only its owner can read that file.
    pub fn is_private(&self, file: &str) -> bool {
        fs::metadata(self.folder.join(file)).is_ok_and(|about| about.permissions().mode() & 0o044 == 0)
    }

    fn inside(&self, path: &Path) -> Result<PathBuf> {
        let whole = path.canonicalize().map_err(Error::file("read", path))?;
        if whole.starts_with(&self.folder) {
            return Ok(whole);
        }
        let (path, to) = (path.display(), whole.display());
        Err(Error::daemon(format!("{path}: leads out of the folder, to {to}: copy that by hand, if it is wanted")))
    }
}
