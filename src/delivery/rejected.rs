//! The rejected area: points that a sink refused for good, each with the reason, for a person to read.
//!
//! `{tmpdir}/rejected/{sink}.ndjson`, one JSON object per line. The file may take half of the bound; then it is renamed
//! to `.1`, which replaces the previous `.1`.

use super::disk::Disk;
use super::shipment::Refusal;
use crate::model::error::{Error, Result};
use std::path::PathBuf;

/// Bytes kept of the server's message.
const WHY_BYTES: usize = 300;

/// The rejected area of one sink at a time.
pub struct Rejected {
    disk: Box<dyn Disk>,
    sink: &'static str,
    max_bytes: u64,
}

impl Rejected {
    /// Touches nothing on the disk: the folder is made with the first refused point.
    pub fn new(disk: Box<dyn Disk>, sink: &'static str, max_bytes: u64) -> Rejected {
        Rejected { disk, sink, max_bytes }
    }

    /// Points are refused by that sink from now on.
    pub fn set_sink(&mut self, sink: &'static str) {
        self.sink = sink;
    }

    /// Sets the most bytes per sink.
    pub fn set_bound(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
    }

    /// The file that is written now.
    pub fn file(&self) -> PathBuf {
        self.disk.path().join(self.name())
    }

    fn name(&self) -> String {
        format!("{}.ndjson", self.sink.to_lowercase())
    }

    /// Appends the points with their reasons. `now` is in Unix seconds.
    pub fn keep(&mut self, refusals: &[Refusal], own_host: &str, now: i64) -> Result<()> {
        if refusals.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for Refusal { point, status, why } in refusals {
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
        let (name, file) = (self.name(), self.file());
        if self.disk.size(&name).is_some_and(|size| size + lines.len() as u64 > self.max_bytes / 2) {
            self.disk.rename(&name, &format!("{name}.1")).map_err(Error::file("rename", &file))?;
        }
        self.disk.append(&name, lines.as_bytes()).map_err(Error::file("write", &file))
    }
}
