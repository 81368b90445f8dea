//! Queries to MySQL and MariaDB.
//!
//! *Invariant:* every connection ends with COM_QUIT. If it is only closed, the server counts an aborted connection
//! against this host and logs it.

mod login;
mod reader;
mod talk;

use super::tcp;
use crate::config::section::Section;
use crate::model::error::{Error, Result};
use crate::net::tls::Tls;
use std::time::Instant;
pub use talk::Rows;

/// The keys that [`Server::read`] reads.
pub const KEYS: &[&str] =
    &["host", "port", "socket", "user", "pass", "tls", "verify", "ca_file", "client_cert", "client_key"];

const PORT: u16 = 3306;
/// A server blocks a host after many incomplete logins. Therefore, after this number of them in a row, [`LEFT_OUT`]
/// ticks are skipped.
const BROKEN_LOGINS: u32 = 3;
const LEFT_OUT: u32 = 5;

/// Error code of a syntax error: the server does not know the statement.
pub const NO_SUCH_STATEMENT: u16 = 1064;
const NO_SENSE: &str = "an answer that no server of MySQL or MariaDB gives";

/// A server from the section of a check.
pub struct Server {
    place: tcp::Server,
    host: String,
    user: String,
    pass: String,
    /// TLS settings, and whether TLS is required.
    tls: Option<(Tls, bool)>,
    broken_logins: u32,
    to_leave_out: u32,
    /// Why the last login failed; repeated as the error of skipped ticks.
    last: String,
}

/// Why there is no answer.
enum Failed {
    /// Code and message of the server's error.
    Refused(u16, String),
    /// No connection could be opened.
    Unreached(String),
    Broken(String),
}

impl From<String> for Failed {
    fn from(problem: String) -> Failed {
        Failed::Broken(problem)
    }
}

impl From<&str> for Failed {
    fn from(problem: &str) -> Failed {
        Failed::Broken(problem.into())
    }
}

impl Server {
    /// Reads `host` and `port`, or `socket` (`host` may be a socket path, too), `user`, `pass`, `tls`, the TLS keys,
    /// and `timeout_seconds`.
    ///
    /// # Errors
    /// A mistake in the section.
    pub fn read(section: &Section) -> Result<Server> {
        let text = |key| section.text(key).unwrap_or_default().to_string();
        let tls = match text("tls").to_ascii_lowercase().as_str() {
            "prefer" => Some(false),
            "require" => Some(true),
            _ => section.flag("tls", false)?.then_some(true),
        };
        let tls = tls.map(|must| Ok((Tls::of_check(section)?, must))).transpose()?;
        // TLS starts in the middle of the login, so the connection is opened without it.
        let mut place = section.with("tls", "False");
        if let Some(socket) = section.text("socket").filter(|socket| !socket.is_empty()) {
            place = place.with("host", socket);
        }
        let place = tcp::Server::read(&place, PORT)?;
        let (host, user, pass) = (text("host"), text("user"), text("pass"));
        Ok(Server { place, host, user, pass, tls, broken_logins: 0, to_leave_out: 0, last: String::new() })
    }

    /// Opens a connection and sends the statements one after the other. A statement may have several forms for
    /// different versions; the first one that the server knows counts. `tell` gets the rows with the index in
    /// `statements`, or [`Error::Status`] with the server's code and message if it refuses the statement.
    ///
    /// # Errors
    /// [`Error::Fetch`] if the connection or login fails, or if not everything is answered in time.
    pub fn ask(
        &mut self,
        statements: &[Vec<&str>],
        deadline: Instant,
        mut tell: impl FnMut(usize, Result<Rows>),
    ) -> Result<()> {
        let address = self.place.address();
        let failed = |problem| Error::Fetch { address: address.clone(), problem };
        let refused = |status, problem| Error::Status { address: address.clone(), status, problem };
        if self.to_leave_out > 0 {
            self.to_leave_out -= 1;
            return Err(failed(self.last.clone()));
        }
        let mut talk = match self.log_in(deadline) {
            Ok(talk) => talk,
            Err(Failed::Refused(code, said)) => return Err(refused(code, said)),
            Err(Failed::Unreached(problem)) => return Err(failed(problem)),
            Err(Failed::Broken(problem)) => {
                self.last = problem.clone();
                self.broken_logins += 1;
                if self.broken_logins == BROKEN_LOGINS {
                    (self.broken_logins, self.to_leave_out) = (0, LEFT_OUT);
                }
                return Err(failed(problem));
            }
        };
        self.broken_logins = 0;
        for (at, forms) in statements.iter().enumerate().filter(|(_, forms)| !forms.is_empty()) {
            match talk.ask_in(forms) {
                Ok(rows) => tell(at, Ok(rows)),
                Err(Failed::Refused(code, said)) => tell(at, Err(refused(code, said))),
                Err(Failed::Broken(problem) | Failed::Unreached(problem)) => return Err(failed(problem)),
            }
        }
        Ok(())
    }
}
