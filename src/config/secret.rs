//! References to values outside of the ini file: `file:/path`, `env:NAME` and `cred:NAME`.
//!
//! They are read together with the ini file, and never shown.

use crate::model::error::plain;
use crate::model::parse::environ;
use std::env;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Largest file that is read: more than any key or certificate needs.
const MAX_BYTES: u64 = 64 << 10;
/// The variable with the folder of systemd's credentials, see `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Shorter values are not masked: they are no secrets, and are in every other sentence.
const LEAST: usize = 4;

/// The environment of the running daemon, from /proc, for a command that reads its configuration.
static BORROWED: OnceLock<Vec<u8>> = OnceLock::new();

/// The result of reading a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub key: String,
    /// As written: `file:/run/secrets/db`.
    pub place: String,
    /// Why it could not be read.
    pub problem: Option<String>,
    /// A warning, although it could be read.
    pub doubt: Option<String>,
}

/// The folder of systemd's credentials, if this process has them.
pub fn credentials() -> Option<PathBuf> {
    variable(CREDENTIALS).map(PathBuf::from)
}

/// From now on resolves `env:` and `cred:` in that environment, the daemon's (`/proc/PID/environ`).
pub fn borrow_environment(environment: Vec<u8>) {
    let _ = BORROWED.set(environment);
}

fn variable(name: &str) -> Option<OsString> {
    let Some(borrowed) = BORROWED.get() else { return env::var_os(name) };
    environ::pairs(borrowed).find(|(known, _)| *known == name).map(|(_, value)| value.into())
}

/// `None` if the value is not a reference; otherwise the value that was read, and the result of reading it.
pub fn fetch(key: &str, value: &str) -> Option<(String, Fetched)> {
    let read = place(value)?.read().and_then(|(text, doubt)| Ok((text_of(text)?, doubt)));
    let (key, place) = (key.to_string(), value.to_string());
    Some(match read {
        Ok((text, doubt)) => (text, Fetched { key, place, problem: None, doubt }),
        Err(problem) => (String::new(), Fetched { key, place, problem: Some(problem), doubt: None }),
    })
}

/// The text with every part of that secret masked.
pub fn mask(sentence: &str, secret: &str) -> String {
    let escaped = secret.escape_debug().to_string();
    let words = secret.split(|letter: char| letter.is_whitespace() || letter == ',');
    let parts = [secret, &escaped].into_iter().chain(words).filter(|part| part.len() >= LEAST);
    parts.fold(sentence.to_string(), |sentence, part| sentence.replace(part, "***"))
}

enum Place {
    File(PathBuf),
    Environment(String),
    Credential(String),
}

/// `None` if the value is not a reference. A password that looks like one has to be written into a file.
fn place(value: &str) -> Option<Place> {
    let (kind, name) = value.split_once(':')?;
    let is_name = |more: &[u8]| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    match kind {
        "file" if name.starts_with('/') && !name.contains('\n') => Some(Place::File(name.into())),
        "env" if !name.is_empty() && is_name(b"_") => Some(Place::Environment(name.into())),
        "cred" if !name.is_empty() && is_name(b"_-.") && !name.starts_with('.') => Some(Place::Credential(name.into())),
        _ => None,
    }
}

impl Place {
    /// Its content, and a warning about it. The error never contains the content.
    fn read(&self) -> Result<(Vec<u8>, Option<String>), String> {
        match self {
            Place::File(path) => {
                let (text, mode) = read(path)?;
                let shown = path.display();
                let doubt =
                    (mode & 0o004 != 0).then(|| format!("everybody on this host can read it; chmod o-r {shown}"));
                Ok((text, doubt))
            }
            Place::Environment(name) => match variable(name) {
                Some(text) => Ok((text.into_encoded_bytes(), None)),
                None => Err("there is no such variable in the environment; set it before the daemon is started".into()),
            },
            Place::Credential(name) => match credentials() {
                Some(folder) => Ok((read(&folder.join(name))?.0, None)),
                None => Err(format!(
                    "there are no credentials: systemd gives them to a service that has LoadCredential={name}:PATH"
                )),
            },
        }
    }
}

/// Content and mode of a file.
fn read(path: &Path) -> Result<(Vec<u8>, u32), String> {
    let shown = path.display();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} is not there; make it, or name another"),
        io::ErrorKind::PermissionDenied => {
            format!("{shown} cannot be read by this user; give it to the user of the daemon, or to a group of it")
        }
        _ => format!("{shown} cannot be read: {}", plain(&error)),
    };
    // O_NONBLOCK: opening a pipe without a writer does not block.
    let file: File =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(format!("{shown} is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{shown} has more than {MAX_BYTES} bytes, so it is no secret"));
    }
    Ok((bytes, about.permissions().mode()))
}

/// The text without trailing line ends.
fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|_| "its content is no text in UTF-8")?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() { Err("there is nothing in it".into()) } else { Ok(text.into()) }
}
