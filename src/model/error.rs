//! The one error type. Every variant says where: file and line, section and key, path or address.
//!
//! Texts are lower case, without a full stop, subject first. What came from outside is quoted and cut to 80 characters,
//! and never holds a credential: whoever builds an [`Error::Fetch`] or [`Error::Status`] gives an address without user, password and query.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum Error {
    /// A mistake in an ini file. `key` and `section` are empty where the mistake is not about one.
    Config { file: String, line: usize, section: String, key: String, problem: String },
    /// A file, folder or device that did not do what was asked.
    File { path: PathBuf, doing: &'static str, source: io::Error },
    /// Text of a watched system that could not be understood.
    Parse { wanted: &'static str, text: String },
    /// A conversation with another program or machine that failed.
    Fetch { address: String, problem: String },
    /// A server's answer that is not what was asked for; the problem names its status.
    Status { address: String, status: u16, problem: String },
    /// What the daemon itself cannot do, as a whole sentence.
    Daemon(String),
    /// What a check is for is not on this host, as a whole sentence; told once, and the check goes on looking for it.
    Absent(String),
}

/// How the problem begins that `net/` and `fetch/` tell of a server with which there is no conversation.
const AWAY: [&str; 5] = [
    "cannot connect",
    "connection lost before the answer",
    "no whole answer",
    "the answer broke off",
    "the server closed the connection",
];

impl Error {
    /// Use as `.map_err(Error::file("open", &path))`.
    pub fn file(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::File { path: path.as_ref().into(), doing, source }
    }

    /// `wanted` names what should have been there, `text` is what was.
    pub fn parse(wanted: &'static str, text: &str) -> Error {
        Error::Parse { wanted, text: quote(text) }
    }

    pub fn daemon(sentence: impl Into<String>) -> Error {
        Error::Daemon(sentence.into())
    }

    /// Whether there was no conversation, or it broke off: a server that is stopped, hangs, or starts again.
    pub fn is_away(&self) -> bool {
        matches!(self, Error::Fetch { problem, .. } if AWAY.iter().any(|begin| problem.starts_with(begin)))
    }

    /// Whether nothing listens at the address that was asked, in the words of the system.
    pub fn is_of_nobody(&self) -> bool {
        matches!(self, Error::Fetch { problem, .. } if problem.ends_with(": connection refused"))
    }

    /// Whether the thing asked for is simply not there (any more): a device that left between two reads is no fault.
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

/// The same without that secret, which some servers repeat.
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

/// The system's words without Rust's `(os error 2)`, in lower case as all our messages.
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
