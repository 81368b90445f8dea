//! Drops root's privileges for good, to the user of `run_user`.
//!
//! *Invariant:* root makes, opens or gives away nothing in a folder that others can change, because they could have put
//! a link there. The user does what is needed in such folders, after root has become that user.

use super::places::{self, Attempt};
use crate::config::settings::{SelfConfig, Settings};
use crate::model::error::{Error, Result};
use crate::sys::descent::{self, Descent, descend};
use crate::sys::users::become_user;
use nix::unistd::{User, fchown, geteuid};
use std::path::{Path, PathBuf};

/// The user to become; `None`: no change.
pub type Target = Option<User>;

/// Looks up `run_user`; `None` if it is not set.
///
/// # Errors
/// There is no such user, or the look-up failed.
pub fn run_user(own: &SelfConfig) -> Result<Target> {
    let Some(name) = &own.run_user else { return Ok(None) };
    let key = if own.section.text("run_user") == Some(name) { "run_user" } else { "puypuy_user" };
    let unknown = || {
        let made = shell_words::quote(name);
        own.section.problem(key, &format!("there is no user {name} on this host: useradd -r {made}, or name another"))
    };
    let found = User::from_name(name)
        .map_err(|error| own.section.problem(key, &format!("cannot look up user {name}: {error}")))?;
    found.ok_or_else(unknown).map(Some)
}

/// The user to become, and a warning. Fails if root would have to become a user that does not exist.
pub fn target(own: &SelfConfig) -> Result<(Target, Option<String>)> {
    match run_user(own) {
        Ok(None) => Ok((None, None)),
        Ok(Some(user)) if user.uid == geteuid() => Ok((None, None)),
        found if !geteuid().is_root() => {
            let (name, is_known) = (own.run_user.as_deref().unwrap_or_default(), found.is_ok());
            let warning = format!(
                "[SelfConfig] run_user: only root can become {}{name}; running as the user that started it",
                if is_known { "" } else { "the unknown user " }
            );
            Ok((None, Some(warning)))
        }
        found => Ok((found?, None)),
    }
}

/// Does what only root can do. In folders of root's it makes the topmost missing folder and the log and pid file, and
/// gives them to the user; and it gives the user everything below `var` that is root's. Other existing folders, such as
/// `/var/log`, keep their owner. Returns the paths that the user does not have to care about.
pub fn prepare(settings: &Settings, target: &Target, attempt: Attempt) -> Result<Vec<PathBuf>> {
    let Some(user) = target else { return Ok(Vec::new()) };
    let is_trial = attempt == Attempt::Trial;
    let mut seen_to = Vec::new();
    let var = settings.home.join("var");
    match reach(&var)? {
        Descent::There(folder) => {
            let given = if is_trial { Ok(()) } else { descent::give_all(user, &folder) };
            given.map_err(Error::file("change the owner of what lies in", &var))?;
            seen_to.push(var);
        }
        Descent::Missing(parent, name) => {
            make(user, (&parent, &name), &var, 0o750, is_trial)?;
            seen_to.push(var);
        }
        Descent::Foreign => {}
    }
    for (folder, mode) in places::folders(settings) {
        if let Descent::Missing(parent, name) = reach(&folder)? {
            make(user, (&parent, &name), &folder, mode, is_trial)?;
            seen_to.push(folder);
        }
    }
    for (path, mode) in places::files(&settings.own) {
        let Some((folder, name)) = path.parent().zip(path.file_name()) else { continue };
        let Descent::There(folder) = reach(folder)? else { continue };
        let failed = Error::file("give to its user", path);
        let is_done = match is_trial {
            true => descent::has_for(user, &folder, name),
            false => descent::file_for(user, &folder, name, mode).and_then(|file| {
                let given = file.as_ref().map(|file| fchown(file, Some(user.uid), Some(user.gid)));
                given.transpose().map(|given| given.is_some()).map_err(Into::into)
            }),
        };
        if is_done.map_err(failed)? {
            seen_to.push(path.into());
        }
    }
    Ok(seen_to)
}

fn reach(folder: &Path) -> Result<Descent> {
    descend(folder).map_err(Error::file("reach the folder", folder))
}

type Missing<'a> = (&'a std::os::fd::OwnedFd, &'a std::ffi::OsStr);

fn make(user: &User, (parent, name): Missing, folder: &Path, mode: u32, is_trial: bool) -> Result<()> {
    let made = match is_trial {
        true => descent::try_to_make(parent, name),
        false => descent::make_for(user, parent, name, mode),
    };
    made.map_err(Error::file("make the folder", folder))
}

/// Becomes the user for good.
pub fn drop_to(target: Target) -> Result<()> {
    target.map_or(Ok(()), |user| become_user(&user))
}
