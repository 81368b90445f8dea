//! Runs a command in a child process that can be abandoned when it hangs.
//!
//! A thread that hangs in the kernel, for example at a link to a dead mount, keeps its process from ending, even after
//! SIGKILL.

use crate::model::error::{Error, Result};
use crate::sys::process;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::close;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

/// What a shell adds to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;

/// Runs the command in a child process; returns its exit code as soon as the command is done. Call this before there is
/// any other thread.
///
/// # Errors
/// The child process could not be started.
pub fn run(command: impl FnOnce() -> u8) -> Result<ExitCode> {
    go(command, PollTimeout::NONE)
}

/// The same with a time limit: then the child is killed, and abandoned if it does not end.
///
/// # Errors
/// As [`run`]; or the time limit has passed.
pub fn run_within(limit: Duration, command: impl FnOnce() -> u8) -> Result<ExitCode> {
    go(command, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX))
}

fn go(command: impl FnOnce() -> u8, limit: PollTimeout) -> Result<ExitCode> {
    let failed = |error: io::Error| Error::daemon(format!("cannot begin a process: {error}"));
    let (mut reader, writer) = io::pipe().map_err(failed)?;
    let Some(child) = process::fork().map_err(failed)? else {
        drop(reader);
        leave(writer, command())
    };
    drop(writer);
    if poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], limit) == Ok(0) {
        // If it hangs in the kernel, it ends when the kernel call returns.
        let _ = kill(child, Signal::SIGKILL);
        return Err(Error::daemon(
            "given up: config.ini, or a place that it names, does not answer; is it on a mount that hangs?",
        ));
    }
    let mut code = [0];
    if reader.read_exact(&mut code).is_ok() {
        return Ok(ExitCode::from(code[0]));
    }
    let code = match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => code,
        Ok(WaitStatus::Signaled(_, signal, _)) => BY_SIGNAL + signal as i32,
        _ => 1,
    };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Reports that the command is done, after closing the standard streams, so that readers of our output see its end.
fn leave(mut done: PipeWriter, code: u8) -> ! {
    let _ = (io::stdout().flush(), io::stderr().flush());
    for stream in 0..=2 {
        let _ = close(stream);
    }
    let _ = done.write_all(&[code]);
    process::exit_at_once(code.into())
}
