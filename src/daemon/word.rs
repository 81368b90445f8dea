//! The word of a running daemon on its reloads: a file in its `tmpdir`, by which whoever asked for one learns what came of it.

use crate::config::settings::SelfConfig;
use crate::model::error::{Error, Result};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process;

/// How far a reload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// None was asked for so far.
    Ready,
    Begun,
    Done,
    /// The daemon goes on as before.
    Refused,
}

const STAGES: [(Stage, &str); 4] =
    [(Stage::Ready, "ready"), (Stage::Begun, "begun"), (Stage::Done, "done"), (Stage::Refused, "refused")];

/// What the file says: `PID NUMBER STAGE`, and below it what there is to tell.
#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    pub pid: i32,
    /// Of the reload, counted from 1.
    pub number: u64,
    pub stage: Stage,
    pub lines: Vec<String>,
}

pub fn path(own: &SelfConfig) -> PathBuf {
    own.tmpdir.join("reload")
}

/// What the daemon said last; `None` where there is no such file, or nothing that it could have written.
pub fn read(own: &SelfConfig) -> Option<Word> {
    let text = fs::read_to_string(path(own)).ok()?;
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (pid, number) = (first.next()?.parse().ok()?, first.next()?.parse().ok()?);
    let stage = first.next()?;
    let stage = STAGES.iter().find(|(_, name)| *name == stage)?.0;
    Some(Word { pid, number, stage, lines: lines.map(String::from).collect() })
}

/// Says it, for the process that this is. Whoever reads sees all of it or what was said before.
///
/// # Errors
/// The disk does not take it.
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
