//! A start on trial, in a process of its own and as the user that the daemon would become: whatever would keep a daemon from
//! starting is found while the old one runs. It takes no lock, changes no file, and leaves no folder behind.

use super::fork::{self, Awaited, Ready};
use super::privileges::{self, Attempt};
use super::{places, running, signals};
use crate::config::settings::Settings;
use crate::delivery::disk;
use crate::model::error::Result;
use crate::scheduler::difference::Taken;
use crate::{sink, web};
use nix::unistd::{Uid, User};
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// It only looks at files, so it is soon done.
const TRIAL: Awaited = Awaited {
    limit: Duration::from_secs(10),
    late: "a start was tried and hangs, given up after 10 s: a folder, file or name in config.ini is looked up in a place that does not answer; nothing was stopped or started",
    dead: "a start was tried and ended without a word: it was killed, or memory is short; nothing was stopped or started",
};

/// Tries everything that can be tried.
///
/// # Errors
/// What would keep a daemon with these settings from starting.
pub fn trial(settings: &Settings) -> Result<()> {
    let (target, _) = privileges::target(&settings.own)?;
    let old = running::running(&settings.own)?;
    let tried = fork::daemonize(Path::new("/"), &TRIAL, |report| {
        signals::let_go();
        let tried = as_user(settings, target, old).and_then(|()| report.ready(&Ready::new(Taken::default())));
        i32::from(tried.inspect_err(|error| report.failed(error)).is_err())
    });
    tried.map(|_| ())
}

fn as_user(settings: &Settings, target: Option<User>, old: Option<i32>) -> Result<()> {
    let seen_to = privileges::prepare(settings, &target, Attempt::Trial)?;
    let sockets = old.map(sockets_of);
    privileges::drop_to(target)?;
    places::check(settings, &seen_to, Attempt::Trial)?;
    disk::free_for(&settings.own.tmpdir.join("spool"), old)?;
    sink::build(settings)?;
    let Some(web) = settings.web.as_ref().map(web::configure).transpose()? else { return Ok(()) };
    web::try_to_listen(&web, |address| sockets.as_ref().is_some_and(|sockets| listens(sockets, address)))
}

/// The sockets of the old daemon.
enum Sockets {
    Numbers(HashSet<u64>),
    /// Those of this user: a process that was root shows its own to root alone.
    Of(Uid),
}

fn sockets_of(pid: i32) -> Sockets {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Sockets::Of(Uid::effective()) };
    let number = |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let targets = open.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    Sockets::Numbers(targets.filter_map(|target| number(target.to_str()?)).collect())
}

/// Whether one of these sockets listens at the port of that address, as `/proc/net/tcp` tells.
fn listens(sockets: &Sockets, address: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", address.port());
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        fs::read_to_string(table).unwrap_or_default().lines().skip(1).any(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let at = |place: usize| words.get(place).copied().unwrap_or_default();
            let is_one = match sockets {
                Sockets::Numbers(numbers) => at(9).parse().is_ok_and(|number| numbers.contains(&number)),
                Sockets::Of(user) => at(7).parse() == Ok(user.as_raw()),
            };
            at(1).ends_with(&port) && at(3) == LISTEN && is_one
        })
    })
}
