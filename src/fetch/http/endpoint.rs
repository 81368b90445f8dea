//! A server as the section of a check names it, and the client that asks it.

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

/// Longest wait for a whole page unless `timeout_seconds` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that are kept from tick to tick.
const SPARE: usize = 4;
/// Most bytes of a file that holds a token.
const TOKEN_BYTES: u64 = 64 << 10;
const UNSENDABLE: &str = "has letters that cannot be sent";
/// What the URLs of requests over a unix socket begin with.
const OVER_SOCKET: &str = "http://localhost";

/// A server as the section of a check names it.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) base: Url,
    /// The socket where the server is not reached over TCP.
    pub(super) socket: Option<PathBuf>,
    pub(super) authorization: Option<HeaderValue>,
    /// The keys of that.
    pub(super) login: &'static str,
    /// Whether requests say that they come from a page of this server.
    pub(super) has_origin: bool,
    /// Whether the server itself is what is asked for, see [`Endpoint::probed`].
    pub(super) is_probed: bool,
    /// Statuses of refusals that are answers, see [`Endpoint::hearing`].
    pub(super) heard: &'static [u16],
    pub(super) token: Option<(HeaderName, Token)>,
    pub(super) tls: Tls,
    pub(super) timeout: Duration,
}

/// The secret in a header of each request.
#[derive(Clone)]
pub(super) enum Token {
    Text(HeaderValue),
    /// Read at each request: who writes such files writes them anew before the token in them ends.
    File(PathBuf),
}

impl Token {
    pub(super) fn value(&self) -> Result<HeaderValue, String> {
        let path = match self {
            Token::Text(value) => return Ok(value.clone()),
            Token::File(path) => path,
        };
        let mut text = String::new();
        // A pipe would be waited for.
        let file = match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(format!("token_file {} is no file", path.display())),
            _ => fs::File::open(path),
        };
        file.and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
            .map_err(|error| format!("cannot read token_file {}: {}", path.display(), plain(&error)))?;
        secret(text.trim()).ok_or_else(|| format!("token_file {} holds no token", path.display()))
    }
}

/// As the value of a header; `None` for what cannot be one.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// The keys that [`Endpoint::with_token`] reads.
pub const TOKEN_KEYS: &[&str] = &["token", "token_file"];

/// The keys that [`Endpoint::read`] reads beside those of the address.
pub const KEYS: &[&str] = &["auth", "user", "pass", "verify", "ca_file", "client_cert", "client_key"];

impl Endpoint {
    /// The address under the first key, with the paths under the others behind it. Reads `auth`, `user`, `pass`, the keys
    /// of TLS and `timeout_seconds`, too.
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

    /// The same server, shown the secret under that key where there is one, as `SCHEME SECRET` and instead of user and password.
    /// `login` names the keys of all ways to log in.
    pub fn with_secret(mut self, section: &Section, key: &str, scheme: &str, login: &'static str) -> Result<Endpoint> {
        self.login = login;
        if let Some(text) = section.text(key).filter(|text| !text.is_empty()) {
            let value = secret(&format!("{scheme} {text}"));
            self.authorization = Some(value.ok_or_else(|| section.problem(key, UNSENDABLE))?);
        }
        Ok(self)
    }

    /// The same server, not for what is on a page: any status is an answer, a new connection is made each time, and of a long
    /// page the beginning is kept.
    pub fn probed(mut self) -> Endpoint {
        self.is_probed = true;
        self
    }

    /// The same server, whose answers of these statuses are no failures: the check knows what they mean.
    pub fn hearing(mut self, statuses: &'static [u16]) -> Endpoint {
        self.heard = statuses;
        self
    }

    /// The same server, shown in that header what `token` says, or the file that `token_file` names, where one of them is set.
    ///
    /// # Errors
    /// A token that no header can carry.
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

    /// Whether it is shown a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Its name or address, without brackets, and its port.
    pub fn host_and_port(&self) -> (&str, u16) {
        let host = self.base.host_str().unwrap_or_default();
        (host.trim_matches(['[', ']']), self.base.port_or_known_default().unwrap_or_default())
    }

    /// The path of its address.
    pub fn path(&self) -> &str {
        self.base.path()
    }

    /// The same server, told at each request that a page of its own asks: some answer nobody else.
    pub fn with_origin(mut self) -> Endpoint {
        self.has_origin = true;
        self
    }

    /// The same server without that last part of the path.
    pub fn above(mut self, last: &str) -> Endpoint {
        let path = self.base.path().trim_end_matches('/');
        if let Some(above) = path.strip_suffix(last).filter(|above| above.ends_with('/')).map(String::from) {
            self.base.set_path(&above);
        }
        self
    }

    /// Whether the server is reached on this host.
    pub fn is_local(&self) -> bool {
        self.socket.is_some() || self.base.host_str().is_some_and(is_loopback)
    }

    /// As it may be shown: without user, password and query.
    pub fn shown(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        match &self.socket {
            Some(socket) => format!("unix://{}{path}", socket.display()),
            None => show(&below(&self.base, path)),
        }
    }

    /// What asks it; with `is_anew` it trusts whom the files of its keys name now.
    pub(super) fn client(&self, common: &Common, is_anew: bool) -> Result<Made, String> {
        let is_near = self.socket.is_some() || is_loopback(self.base.host_str().unwrap_or_default());
        let env = |name: &str| std::env::var(name).ok();
        let proxy = if is_near { None } else { Proxying::choose(None, self.base.scheme(), &env) };
        let is_plain = self.base.scheme() == "http" && proxy.as_ref().is_none_or(|proxy| !proxy.is_https());
        let Trust { config: mut tls, born } = common.trust((!is_plain).then_some(&self.tls), is_anew)?;
        if self.is_probed {
            // The certificate that is in use, not the one that was.
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
