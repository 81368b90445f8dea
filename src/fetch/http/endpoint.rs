//! The server that a check's section names, and the HTTP client for it.

use super::shared::{Common, Made, Trust};
use crate::config::section::Section;
use crate::model::error::{Result, plain};
use crate::net::address::{Url, basic, below, credentials, parse_address, show, without_credentials};
use crate::net::http::{self, innermost};
use crate::net::names::is_loopback;
use crate::net::proxy::Proxying;
use crate::net::tls::Tls;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use rustls::client::Resumption;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Default of `timeout_seconds`, the longest time for a whole page.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of idle connections that are kept from tick to tick.
const SPARE: usize = 4;
/// Maximum size of a token file in bytes.
const TOKEN_BYTES: u64 = 64 << 10;
const UNSENDABLE: &str = "has letters that cannot be sent";
/// Base URL of requests over a Unix socket.
const OVER_SOCKET: &str = "http://localhost";

/// A server from the section of a check.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) base: Url,
    /// Path of the Unix socket, if the server is not reached over TCP.
    pub(super) socket: Option<PathBuf>,
    pub(super) authorization: Option<HeaderValue>,
    /// The names of the keys for the login, for messages.
    pub(super) login: &'static str,
    /// Whether requests have an Origin header with this server, see [`Endpoint::with_origin`].
    pub(super) has_origin: bool,
    /// See [`Endpoint::probed`].
    pub(super) is_probed: bool,
    /// Statuses that are not treated as errors, see [`Endpoint::hearing`].
    pub(super) heard: &'static [u16],
    pub(super) token: Option<(HeaderName, Token)>,
    pub(super) tls: Tls,
    pub(super) timeout: Duration,
}

/// A secret that is sent in a header of each request.
#[derive(Clone)]
pub(super) enum Token {
    Text(HeaderValue),
    /// Read for each request: programs that write such files replace a token before it expires.
    File(PathBuf),
}

impl Token {
    /// The value of the header.
    ///
    /// # Errors
    /// The file cannot be read or holds no token; the text says why.
    pub(super) fn value(&self) -> Result<HeaderValue, String> {
        let path = match self {
            Token::Text(value) => return Ok(value.clone()),
            Token::File(path) => path,
        };
        let mut text = String::new();
        // Opening a pipe would block.
        let file = match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(format!("token_file {} is no file", path.display())),
            _ => fs::File::open(path),
        };
        file.and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
            .map_err(|error| format!("cannot read token_file {}: {}", path.display(), plain(&error)))?;
        secret(text.trim()).ok_or_else(|| format!("token_file {} holds no token", path.display()))
    }
}

/// The text as a header value, marked as sensitive; `None` if it is empty or has invalid characters.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// The keys that [`Endpoint::with_token`] reads.
pub const TOKEN_KEYS: &[&str] = &["token", "token_file"];

/// The keys that [`Endpoint::read`] reads besides those of the address.
pub const KEYS: &[&str] = &["auth", "user", "pass", "verify", "ca_file", "client_cert", "client_key"];

impl Endpoint {
    /// Reads the address in the first key and appends the paths in the other keys. Also reads `auth`, `user`, `pass`,
    /// the TLS keys and `timeout_seconds`.
    pub fn read(section: &Section, keys: &[&str]) -> Result<Endpoint> {
        let (key, more) = keys.split_first().map_or(("", keys), |(key, more)| (*key, more));
        let text = section.required(key, "http://127.0.0.1:8080")?;
        let socket = text.strip_prefix("unix://").map(PathBuf::from);
        if socket.as_ref().is_some_and(|socket| !socket.is_absolute()) {
            return Err(section.wrong(key, "expected the whole path of a socket, as unix:///var/run/docker.sock"));
        }
        let address = if socket.is_some() { OVER_SOCKET } else { text };
        let mut base = parse_address(address).map_err(|problem| section.problem(key, &problem))?;
        for key in more {
            base = below(&base, section.required(key, "/status")?);
        }
        let authorization = credentials(section, &base, true)?.map(|(user, password)| basic(&user, &password));
        let tls = if base.scheme() == "https" { Tls::of_check(section)? } else { Tls::default() };
        let timeout = section.timeout(TIMEOUT)?;
        let base = without_credentials(base);
        let login = "user and password";
        Ok(Endpoint {
            base,
            socket,
            authorization,
            login,
            has_origin: false,
            is_probed: false,
            heard: &[],
            token: None,
            tls,
            timeout,
        })
    }

    /// Authenticates with `SCHEME SECRET` instead of user and password, if `key` has a secret. `login` names the keys
    /// of all ways to log in, for messages.
    pub fn with_secret(mut self, section: &Section, key: &str, scheme: &str, login: &'static str) -> Result<Endpoint> {
        self.login = login;
        if let Some(text) = section.text(key).filter(|text| !text.is_empty()) {
            let value = secret(&format!("{scheme} {text}"));
            self.authorization = Some(value.ok_or_else(|| section.problem(key, UNSENDABLE))?);
        }
        Ok(self)
    }

    /// Tests the server itself, not the content of a page: any status is an answer, every request has a new connection,
    /// and only the start of a long page is kept.
    pub fn probed(mut self) -> Endpoint {
        self.is_probed = true;
        self
    }

    /// Treats these statuses as answers instead of errors, because the check knows what they mean.
    pub fn hearing(mut self, statuses: &'static [u16]) -> Endpoint {
        self.heard = statuses;
        self
    }

    /// Sends the token from the key `token`, or from the file in `token_file`, in this header, if one of them is set.
    ///
    /// # Errors
    /// The token has characters that a header cannot have.
    pub fn with_token(mut self, section: &Section, header: &'static str) -> Result<Endpoint> {
        let written = |key| section.text(key).filter(|text| !text.is_empty());
        let token = match (written("token"), written("token_file")) {
            (Some(text), _) => {
                let problem = || section.problem("token", UNSENDABLE);
                Some(Token::Text(secret(text).ok_or_else(problem)?))
            }
            (None, file) => file.map(|path| Token::File(path.into())),
        };
        self.token = token.map(|token| (HeaderName::from_static(header), token));
        Ok(self)
    }

    /// Whether requests have a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Host name or address without brackets, and port.
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.base.host_str().unwrap_or_default();
        (host.trim_matches(['[', ']']), self.base.port_or_known_default().unwrap_or_default())
    }

    /// The path of the address.
    pub fn path(&self) -> &str {
        self.base.path()
    }

    /// Sends an Origin header with this server's own address; some servers require it.
    pub fn with_origin(mut self) -> Endpoint {
        self.has_origin = true;
        self
    }

    /// Removes the last part of the path, if it is this one.
    pub fn above(mut self, last: &str) -> Endpoint {
        let path = self.base.path().trim_end_matches('/');
        if let Some(above) = path.strip_suffix(last).filter(|above| above.ends_with('/')).map(String::from) {
            self.base.set_path(&above);
        }
        self
    }

    /// Whether the server is on this host.
    pub fn is_local(&self) -> bool {
        self.socket.is_some() || self.base.host_str().is_some_and(is_loopback)
    }

    /// The address of a page without user, password and query, for messages.
    pub fn shown(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        match &self.socket {
            Some(socket) => format!("unix://{}{path}", socket.display()),
            None => show(&below(&self.base, path)),
        }
    }

    /// Builds the client. With `is_anew`, the certificate files are read again instead of taken from the cache.
    pub(super) fn client(&self, common: &Common, is_anew: bool) -> Result<Made, String> {
        let is_near = self.socket.is_some() || is_loopback(self.base.host_str().unwrap_or_default());
        let env = |name: &str| std::env::var(name).ok();
        let proxy = if is_near { None } else { Proxying::choose(None, self.base.scheme(), &env) };
        let is_plain = self.base.scheme() == "http" && proxy.as_ref().is_none_or(|proxy| !proxy.is_https());
        let Trust { config: mut tls, born } = common.trust((!is_plain).then_some(&self.tls), is_anew)?;
        if self.is_probed {
            // A resumed session would not show the certificate that is in use now.
            tls.resumption = Resumption::disabled();
        }
        let mut headers = HeaderMap::new();
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let origin = HeaderValue::from_str(&self.base.origin().ascii_serialization()).ok();
        headers.extend(origin.filter(|_| self.has_origin).map(|value| (ORIGIN, value)));
        let spare = if self.is_probed { 0 } else { SPARE };
        let mut builder =
            http::builder(tls, common.lookup.clone()).default_headers(headers).pool_max_idle_per_host(spare);
        builder = builder.tls_info(self.is_probed);
        if let Some(socket) = &self.socket {
            builder = builder.unix_socket(socket.clone());
        }
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.build()?);
        }
        let client = builder.build().map_err(|error| innermost(&error.without_url()))?;
        Ok(Made { client, born })
    }
}
