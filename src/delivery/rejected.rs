//! The rejected area: points that will never be delivered, each with the reason, for a person to look at.
//!
//! `{tmpdir}/rejected/{sink}.ndjson`, one JSON object a line. Bounded: when half of the bound is reached the file
//! becomes `.1`, replacing the one before.

use super::dispatch::Lost;
use crate::error::{Error, Result};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

/// Bytes kept of the server's words.
const WHY_BYTES: usize = 300;

pub struct Rejected {
    folder: PathBuf,
    sink: &'static str,
    max_bytes: u64,
}

impl Rejected {
    /// Opens nothing: the folder is made with the first refused point.
    pub fn new(folder: PathBuf, sink: &'static str, max_bytes: u64) -> Rejected {
        Rejected { folder, sink, max_bytes }
    }

    /// The file that grows.
    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.ndjson", self.sink.to_lowercase()))
    }

    /// Appends the points with their reasons. `now` is Unix seconds.
    pub fn keep(&self, lost: &[Lost], own_host: &str, now: i64) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for Lost { point, status, why } in lost {
            let mut end = why.len().min(WHY_BYTES);
            while !why.is_char_boundary(end) {
                end -= 1;
            }
            let line = serde_json::json!({
                "time": now,
                "sink": self.sink,
                "status": status,
                "why": why.get(..end),
                "point": point.to_json(own_host),
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let file = self.file();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(Error::file("make", &self.folder))?;
        if fs::metadata(&file).is_ok_and(|meta| meta.len() + lines.len() as u64 > self.max_bytes / 2) {
            fs::rename(&file, file.with_extension("ndjson.1")).map_err(Error::file("rename", &file))?;
        }
        let mut open =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&file).map_err(Error::file("open", &file))?;
        open.write_all(lines.as_bytes()).map_err(Error::file("write", &file))
    }
}
