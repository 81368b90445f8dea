//! Checks that run a program: its command line comes from the configuration, its standard output is the answer.

use super::Context;
use crate::config::section::Section;
use crate::fetch::program::run::run;
use crate::fetch::program::{Privileges, Program, safety};
use crate::model::error::{Error, Result, quote};
use crate::sys::users::name_of;
use nix::unistd::geteuid;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Default of `timeout_seconds`, the longest time that the program may run.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of its standard output.
const MOST_BYTES: usize = 8 << 20;
const SUDO: &str = "/usr/bin/sudo";

/// A program with its arguments, and how to run it.
pub struct Command {
    program: Program,
    /// The same program run through sudo, for a daemon that may not run it directly. See [`Command::or_as`].
    via_sudo: Option<Program>,
    /// The last run through sudo succeeded, so the direct run is skipped.
    uses_sudo: bool,
    timeout: Duration,
    /// The configuration file that names the program, relative to home. For a daemon that runs as root, only root may
    /// be able to change it.
    conf: String,
}

impl Command {
    /// Reads the command line in `key`. It is split into words as a shell would, but no shell runs it. `more` is
    /// appended as further arguments.
    ///
    /// # Errors
    /// The command line does not start with an absolute path, or has an unclosed quote.
    pub fn read(section: &Section, key: &str, more: &[&str]) -> Result<Command> {
        let words = shell_words::split(section.required(key, "/usr/bin/program --option")?);
        let mut words = words.map_err(|_| section.problem(key, "a quote in it does not end"))?.into_iter();
        let path = words.next().filter(|path| path.starts_with('/')).map(PathBuf::from);
        let path = path.ok_or_else(|| section.wrong(key, "expected the whole path of a program, and its arguments"))?;
        let words = words.chain(more.iter().map(ToString::to_string)).collect();
        let privileges = Privileges::default();
        let program = Program { path, words, privileges, max_output: MOST_BYTES, interpreter: None };
        let timeout = section.timeout(TIMEOUT)?;
        Ok(Command { program, via_sudo: None, uses_sudo: false, timeout, conf: section.file.clone() })
    }

    /// If the daemon is not root and the program fails, it is run again through sudo as `user`. sudo may not ask for a
    /// password.
    pub fn or_as(mut self, user: &str) -> Command {
        self.via_sudo = Some(through_sudo(&self.program, user));
        self
    }

    /// The standard output of the program with `more` as further arguments, run as `user`. root switches to that user
    /// itself; any other user needs sudo, unless it is that user already. `None`: the daemon's own user.
    ///
    /// # Errors
    /// As [`Command::ask`].
    pub fn ask_as(&self, user: Option<&str>, more: &[&str], cx: &Context) -> Result<String> {
        safety::check_conf(&cx.programs.home.join(&self.conf))?;
        let mut program = self.program.clone();
        program.words.extend(more.iter().map(ToString::to_string));
        match user.filter(|user| name_of(geteuid()) != *user) {
            Some(user) if geteuid().is_root() => program.privileges.user = Some(user.into()),
            Some(user) => program = through_sudo(&program, user),
            None => {}
        }
        self.run(&program, cx)
    }

    /// The standard output of the program.
    ///
    /// # Errors
    /// The program cannot be started, or it failed. The error names the program and quotes the last line of its
    /// standard error.
    pub fn ask(&mut self, cx: &Context) -> Result<String> {
        safety::check_conf(&cx.programs.home.join(&self.conf))?;
        let via_sudo = self.via_sudo.as_ref().filter(|_| !geteuid().is_root() && cx.is_file(SUDO));
        let Some(via_sudo) = via_sudo else { return self.run(&self.program, cx) };
        let own = if self.uses_sudo { None } else { Some(self.run(&self.program, cx)) };
        match own {
            Some(Ok(text)) => Ok(text),
            own => {
                let asked = self.run(via_sudo, cx);
                self.uses_sudo = asked.is_ok();
                asked.map_err(|error| match own {
                    Some(Err(own)) => Error::daemon(format!("{own}; and {error}")),
                    _ => error,
                })
            }
        }
    }

    /// The standard output of the program with `more` as further arguments, and what went wrong if the program failed.
    /// The output up to that point can be used.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ask_for(&self, more: &[&str], cx: &Context) -> Result<(String, Option<Error>)> {
        safety::check_conf(&cx.programs.home.join(&self.conf))?;
        let mut program = self.program.clone();
        program.words.extend(more.iter().map(ToString::to_string));
        self.output_of(&program, cx)
    }

    fn run(&self, program: &Program, cx: &Context) -> Result<String> {
        match self.output_of(program, cx)? {
            (text, None) => Ok(text),
            (_, Some(error)) => Err(error),
        }
    }

    fn output_of(&self, program: &Program, cx: &Context) -> Result<(String, Option<Error>)> {
        let deadline = cx.due().min(Instant::now() + self.timeout);
        let ran = run(program, cx.programs, deadline)?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let Some(why) = ran.complaint(program) else { return Ok((text, None)) };
        let complaint = String::from_utf8_lossy(&ran.stderr);
        let complaint = complaint
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .map(|line| format!("; it says {}", quote(line)))
            .unwrap_or_default();
        let problem = format!("{why}{complaint}");
        Ok((text, Some(Error::Fetch { address: program.path.display().to_string(), problem })))
    }
}

/// The same program, run through sudo as `user`. `-n`: sudo fails instead of asking for a password.
fn through_sudo(program: &Program, user: &str) -> Program {
    let Program { path, words, .. } = program;
    let begin = ["-n", "-u", user, "--"].map(String::from).into_iter().chain([path.display().to_string()]);
    let words = begin.chain(words.iter().cloned()).collect();
    Program { path: SUDO.into(), words, ..program.clone() }
}
