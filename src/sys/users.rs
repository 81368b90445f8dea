//! Users of this host, and becoming one of them.

use crate::model::error::{Error, Result};
use nix::unistd::{Gid, Uid, User, initgroups, setgid, setuid};
use std::ffi::CString;

/// Looks up a user by name.
pub fn find(name: &str) -> std::result::Result<User, NotFound> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(NotFound::Unknown(format!("there is no user {name} on this host"))),
        Err(error) => Err(NotFound::NoAnswer(format!("cannot look up user {name}: {error}"))),
    }
}

/// Why a user was not found.
pub enum NotFound {
    Unknown(String),
    /// The user database did not answer; the user may exist.
    NoAnswer(String),
}

impl NotFound {
    pub fn is_unknown(self) -> bool {
        matches!(self, NotFound::Unknown(_))
    }

    /// The reason, which names the user.
    pub fn why(self) -> String {
        match self {
            NotFound::Unknown(why) | NotFound::NoAnswer(why) => why,
        }
    }
}

/// Becomes the user, with the user's groups and without a way back.
pub fn become_user(user: &User) -> Result<()> {
    let name = &user.name;
    let failed = |doing: &'static str| {
        let name = name.clone();
        move |error: nix::Error| Error::daemon(format!("cannot become user {name}: {doing}: {error}"))
    };
    let login = CString::new(name.as_str()).map_err(|_| Error::daemon("run_user: not a user name"))?;
    initgroups(&login, user.gid).map_err(failed("initgroups"))?;
    setgid(user.gid).map_err(failed("setgid"))?;
    setuid(user.uid).map_err(failed("setuid"))?;
    if !user.uid.is_root() && (setuid(Uid::from_raw(0)).is_ok() || setgid(Gid::from_raw(0)).is_ok()) {
        return Err(Error::daemon(format!("cannot become user {name}: root could be had back")));
    }
    Ok(())
}

/// The name of a user, or the number if there is no name.
pub fn name_of(user: Uid) -> String {
    User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}
