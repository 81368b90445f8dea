//! A program that a check asks: its command line in a section, and what it writes as the answer.

use super::Context;
use crate::config::section::Section;
use crate::fetch::program::run::run;
use crate::fetch::program::{Privileges, Program, safety};
use crate::model::error::{Error, Result, quote};
use nix::unistd::{User, geteuid};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest run unless `timeout_seconds` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes that are read of it.
const MOST_BYTES: usize = 8 << 20;
const SUDO: &str = "/usr/bin/sudo";

/// A program and its arguments.
pub struct Command {
    program: Program,
    /// The same through sudo, where the daemon may not ask it.
    other: Option<Program>,
    uses_other: bool,
    timeout: Duration,
    /// The file that names it, below home.
    conf: String,
}

impl Command {
    /// The command line under that key, split as a shell would, and no shell ever sees it; `more` stands behind it.
    ///
    /// # Errors
    /// It does not begin with the whole path of a program, or has a quote that does not end.
    pub fn read(section: &Section, key: &str, more: &[&str]) -> Result<Command> {
        let words = shell_words::split(section.required(key, "/usr/bin/program --option")?);
        let mut words = words.map_err(|_| section.problem(key, "a quote in it does not end"))?.into_iter();
        let path = words.next().filter(|path| path.starts_with('/')).map(PathBuf::from);
        let path = path.ok_or_else(|| section.wrong(key, "expected the whole path of a program, and its arguments"))?;
        let words = words.chain(more.iter().map(ToString::to_string)).collect();
        let privileges = Privileges::default();
        let program = Program { path, words, privileges, max_output: MOST_BYTES, interpreter: None };
        let timeout = section.timeout(TIMEOUT)?;
        Ok(Command { program, other: None, uses_other: false, timeout, conf: section.file.clone() })
    }

    /// Where the daemon is not root and the program refuses it, sudo runs it as that user, and asks for no password.
    pub fn or_as(mut self, user: &str) -> Command {
        self.other = Some(through_sudo(&self.program, user));
        self
    }

    /// What it writes with these words at its end, run as that user, and as nobody else: by root itself, by others through sudo.
    ///
    /// # Errors
    /// As [`Command::ask`].
    pub fn ask_as(&self, user: Option<&str>, more: &[&str], cx: &Context) -> Result<String> {
        safety::check_conf(&cx.programs.home.join(&self.conf))?;
        let mut program = self.program.clone();
        program.words.extend(more.iter().map(ToString::to_string));
        let own = User::from_uid(geteuid()).ok().flatten();
        match user.filter(|user| own.is_none_or(|own| own.name != *user)) {
            Some(user) if geteuid().is_root() => program.privileges.user = Some(user.into()),
            Some(user) => program = through_sudo(&program, user),
            None => {}
        }
        self.run(&program, cx)
    }

    /// What it writes.
    ///
    /// # Errors
    /// It cannot be run, or is not content: says which program, and what it complains of.
    pub fn ask(&mut self, cx: &Context) -> Result<String> {
        safety::check_conf(&cx.programs.home.join(&self.conf))?;
        let other = self.other.as_ref().filter(|_| !geteuid().is_root() && cx.is_file(SUDO));
        let Some(other) = other else { return self.run(&self.program, cx) };
        let own = if self.uses_other { None } else { Some(self.run(&self.program, cx)) };
        match own {
            Some(Ok(text)) => Ok(text),
            own => {
                let asked = self.run(other, cx);
                self.uses_other = asked.is_ok();
                asked.map_err(|error| match own {
                    Some(Err(own)) => Error::daemon(format!("{own}; and {error}")),
                    _ => error,
                })
            }
        }
    }

    /// What it writes with these words at its end, and what was wrong with it where something was: what it wrote until then is
    /// true by itself.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn ask_for(&self, more: &[&str], cx: &Context) -> Result<(String, Option<Error>)> {
        safety::check_conf(&cx.programs.home.join(&self.conf))?;
        let mut program = self.program.clone();
        program.words.extend(more.iter().map(ToString::to_string));
        self.said(&program, cx)
    }

    fn run(&self, program: &Program, cx: &Context) -> Result<String> {
        match self.said(program, cx)? {
            (text, None) => Ok(text),
            (_, Some(error)) => Err(error),
        }
    }

    fn said(&self, program: &Program, cx: &Context) -> Result<(String, Option<Error>)> {
        let deadline = cx.due().min(Instant::now() + self.timeout);
        let ran = run(program, cx.programs, deadline)?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let Some(why) = ran.complaint(program) else { return Ok((text, None)) };
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .map(|line| format!("; it says {}", quote(line)))
            .unwrap_or_default();
        let problem = format!("{why}{said}");
        Ok((text, Some(Error::Fetch { address: program.path.display().to_string(), problem })))
    }
}

/// The same program, run as that user by sudo, which asks for no password.
fn through_sudo(program: &Program, user: &str) -> Program {
    let Program { path, words, .. } = program;
    let begin = ["-n", "-u", user, "--"].map(String::from).into_iter().chain([path.display().to_string()]);
    let words = begin.chain(words.iter().cloned()).collect();
    Program { path: SUDO.into(), words, ..program.clone() }
}
