//! A trial start: finds everything that would keep a daemon from starting, while the old one still runs.
//!
//! It runs in a separate process, as the user that the daemon would become. It takes no lock, changes no file and
//! leaves no folder behind.

use super::fork::{self, Awaited, Ready};
use super::places::Attempt;
use super::privileges;
use super::{places, running, signals, sockets};
use crate::config::settings::Settings;
use crate::delivery::disk;
use crate::model::error::Result;
use crate::scheduler::difference::Taken;
use crate::{sink, web};
use nix::unistd::User;
use std::path::Path;
use std::time::Duration;

/// How long a restart waits for it. It only checks files, so it is normally fast.
pub const BEFORE_RESTART: Awaited = Awaited {
    limit: Duration::from_secs(10),
    late: "a start was tried and hangs, given up after 10 s: a folder, file or name in config.ini is looked up in a place that does not answer; nothing was stopped or started",
    dead: "a start was tried and ended without a word: it was killed, or memory is short; nothing was stopped or started",
};

/// For a command that has more to check.
pub const BRIEF: Awaited = Awaited {
    limit: Duration::from_secs(3),
    late: "a start was tried and hangs, given up after 3 s: a folder, file or name in config.ini is looked up in a place that does not answer; unmount that, or name another",
    ..BEFORE_RESTART
};

/// Tries everything that can be tried without serving.
///
/// # Errors
/// What would keep a daemon with these settings from starting.
pub fn trial(settings: &Settings, awaited: &Awaited) -> Result<()> {
    let (target, _) = privileges::target(&settings.own)?;
    let old = running::running(&settings.own)?;
    let tried = fork::daemonize(Path::new("/"), awaited, |report| {
        signals::let_go();
        let tried = as_user(settings, target, old).and_then(|()| report.ready(&Ready::new(Taken::default())));
        i32::from(tried.inspect_err(|error| report.failed(error)).is_err())
    });
    tried.map(|_| ())
}

fn as_user(settings: &Settings, target: Option<User>, old: Option<i32>) -> Result<()> {
    let seen_to = privileges::prepare(settings, &target, Attempt::Trial)?;
    let sockets = old.map(sockets::of);
    privileges::drop_to(target)?;
    places::check(settings, &seen_to, Attempt::Trial)?;
    disk::free_for(&settings.own.tmpdir.join("spool"), old)?;
    sink::build(settings)?;
    let Some(web) = settings.web.as_ref().map(web::configure).transpose()? else { return Ok(()) };
    if !settings.web_is_needed {
        return Ok(());
    }
    web::try_to_listen(&web, |address| sockets.as_ref().is_some_and(|sockets| sockets.listen(address)))
}
