//! The daemon's report on its reloads: a file in its `tmpdir`, from which `puypuy reload` learns the result.

use crate::config::settings::SelfConfig;
use crate::model::error::{Error, Result};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process;

/// The stage of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No reload was requested so far.
    Ready,
    Begun,
    Done,
    /// The daemon goes on with its old configuration.
    Refused,
}

const STAGES: [(Stage, &str); 4] =
    [(Stage::Ready, "ready"), (Stage::Begun, "begun"), (Stage::Done, "done"), (Stage::Refused, "refused")];

/// The content of the file: a line `PID NUMBER STAGE`, then the messages.
#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    pub pid: i32,
    /// Number of the reload, counted from 1.
    pub number: u64,
    pub stage: Stage,
    pub lines: Vec<String>,
}

pub fn path(own: &SelfConfig) -> PathBuf {
    own.tmpdir.join("reload")
}

/// The daemon's last report; `None` if there is no such file or it has another form.
pub fn read(own: &SelfConfig) -> Option<Word> {
    let text = fs::read_to_string(path(own)).ok()?;
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (pid, number) = (first.next()?.parse().ok()?, first.next()?.parse().ok()?);
    let stage = first.next()?;
    let stage = STAGES.iter().find(|(_, name)| *name == stage)?.0;
    Some(Word { pid, number, stage, lines: lines.map(String::from).collect() })
}

/// Writes the report of this process atomically: readers see the old one or the new one.
///
/// # Errors
/// The file cannot be written.
pub fn say(own: &SelfConfig, number: u64, stage: Stage, lines: &[String]) -> Result<()> {
    let name = STAGES.iter().find(|(known, _)| *known == stage).map_or("", |(_, name)| name);
    let mut text = format!("{} {number} {name}\n", process::id());
    lines.iter().flat_map(|line| line.lines()).for_each(|line| text += &format!("{line}\n"));
    let (to, new) = (path(own), own.tmpdir.join("reload.new"));
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o640).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let written = options.open(&new).and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&new, &to)).map_err(Error::file("write", &to))
}
