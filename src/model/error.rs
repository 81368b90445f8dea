//! The error type of the whole program. Every variant names the place: file and line, section and key, path or address.
//!
//! Texts are lower case, without a full stop, and start with their subject. Text from outside is quoted and cut to 80
//! characters. No text holds a credential: [`Error::Fetch`] and [`Error::Status`] must be built with an address without
//! user, password and query.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// See the module's documentation for the style of the texts.
#[derive(Debug)]
pub enum Error {
    /// A mistake in an ini file. `section` and `key` are empty if the mistake is not about one; `line` is 0 if it has
    /// no line.
    Config { file: String, line: usize, section: String, key: String, problem: String },
    /// An operation on a file, folder or device failed. `doing` completes the sentence "cannot ...".
    File { path: PathBuf, doing: &'static str, source: io::Error },
    /// Text from a watched system that cannot be parsed. `wanted` names what was expected.
    Parse { wanted: &'static str, text: String },
    /// Communication with another program or machine failed.
    Fetch { address: String, problem: String },
    /// A server answered, but with a status that is no success; the problem names it.
    Status { address: String, status: u16, problem: String },
    /// The daemon itself cannot do something; a whole sentence.
    Daemon(String),
    /// This host does not have what the check watches; a whole sentence. It is logged once, and the check looks again
    /// at every run.
    Absent(String),
}

/// The beginnings of the problems that `net/` and `fetch/` report when a server is unreachable or closes the
/// connection.
const AWAY: [&str; 5] = [
    "cannot connect",
    "connection lost before the answer",
    "no whole answer",
    "the answer broke off",
    "the server closed the connection",
];

impl Error {
    /// Use it as `.map_err(Error::file("open", &path))`.
    pub fn file(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::File { path: path.as_ref().into(), doing, source }
    }

    /// `wanted` names what was expected, `text` is what was found.
    pub fn parse(wanted: &'static str, text: &str) -> Error {
        Error::Parse { wanted, text: quote(text) }
    }

    /// An [`Error::Daemon`] with this sentence.
    pub fn daemon(sentence: impl Into<String>) -> Error {
        Error::Daemon(sentence.into())
    }

    /// Whether there was no connection, or it broke: the server is stopped, hangs or restarts.
    pub fn is_away(&self) -> bool {
        matches!(self, Error::Fetch { problem, .. } if AWAY.iter().any(|begin| problem.starts_with(begin)))
    }

    /// Whether the connection was refused: nothing listens on that address. Recognised by the system's message.
    pub fn is_connection_refused(&self) -> bool {
        matches!(self, Error::Fetch { problem, .. } if problem.ends_with(": connection refused"))
    }

    /// Whether the thing does not exist (any more). A device that was removed between two reads is no fault.
    pub fn is_gone(&self) -> bool {
        match self {
            Error::File { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
                    || matches!(source.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::ESRCH))
            }
            Error::Status { status, .. } => matches!(status, 404 | 410),
            _ => false,
        }
    }
}

/// Makes text from outside fit for one log line: in quotes, with control characters escaped. At most 80 characters are
/// shown, escapes counted as they are written.
pub fn quote(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut width = 0;
    let beyond = text.char_indices().find(|(_, letter)| {
        width += if *letter == '\'' { 1 } else { letter.escape_debug().len() };
        width > SHOWN
    });
    match beyond.and_then(|(end, _)| text.get(..end)) {
        Some(begin) => format!("{:?}", format!("{begin}…")),
        None => format!("{text:?}"),
    }
}

/// The same, with `secret` replaced by `***`: some servers repeat it in their messages.
pub fn quote_without(text: &str, secret: &str) -> String {
    if secret.is_empty() { quote(text) } else { quote(&text.replace(secret, "***")) }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Config { file, line, section, key, problem } => {
                f.write_str(file)?;
                if *line > 0 {
                    write!(f, ":{line}")?;
                }
                if !section.is_empty() {
                    write!(f, " [{section}]")?;
                }
                if !key.is_empty() {
                    write!(f, " {key}")?;
                }
                write!(f, ": {problem}")
            }
            Error::File { path, doing, source } => write!(f, "{}: cannot {doing}: {}", path.display(), plain(source)),
            Error::Parse { wanted, text } => write!(f, "cannot read {wanted} in {text}"),
            Error::Fetch { address, problem } | Error::Status { address, problem, .. } => {
                write!(f, "{address}: {problem}")
            }
            Error::Daemon(sentence) | Error::Absent(sentence) => f.write_str(sentence),
        }
    }
}

/// The system's message without Rust's `(os error 2)`, and in lower case as all our messages.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
