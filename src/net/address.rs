//! Server addresses: parsing what people configure, showing them without secrets, and their credentials.

use super::names::is_loopback;
use crate::config::section::Section;
use crate::model::error::{Result, quote};
use crate::model::percent;
use base64::Engine;
pub use reqwest::Url;
use reqwest::header::HeaderValue;

/// Parses an http or https address; without a scheme it is http. The error text does not quote the address, because it
/// may contain a password.
pub fn parse_address(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let url = Url::parse(&whole)
        .map_err(|error| format!("cannot be read as an address: {error}; write for example http://server:8086"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url),
        scheme => Err(format!(
            "expected http:// or https:// and a host, found {}; write for example http://server:8086",
            quote(scheme)
        )),
    }
}

/// Appends a path to the path of the address, and the query of `path` to its query.
pub fn below(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut url = base.clone();
    if !path.is_empty() {
        url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    }
    add_query(&mut url, query);
    url
}

/// Appends `more` to the query of the address.
pub fn add_query(url: &mut Url, more: &str) {
    let all: Vec<&str> = url.query().into_iter().chain([more]).filter(|query| !query.is_empty()).collect();
    let all = all.join("&");
    url.set_query(Some(&*all).filter(|all| !all.is_empty()));
}

/// The address without user, password and fragment.
pub fn without_credentials(mut url: Url) -> Url {
    // Errors are impossible here: the scheme is http or https.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}

/// User and password to send, if any: the keys `auth`, `user` and `pass` if `basic`, else those in the address. `auth:
/// False` switches both off.
pub fn credentials(section: &Section, base: &Url, basic: bool) -> Result<Option<(String, String)>> {
    let is_set = basic && section.text("auth").is_some_and(|auth| !auth.is_empty());
    if basic && section.flag("auth", false)? {
        let user = section.required("user", "puypuy")?;
        if user.contains(':') {
            return Err(section.problem("user", "must not contain a colon, Basic authentication cannot carry it"));
        }
        return Ok(Some((user.into(), section.text("pass").unwrap_or_default().into())));
    }
    if is_set || base.username().is_empty() {
        return Ok(None);
    }
    Ok(Some((percent::decode(base.username()), percent::decode(base.password().unwrap_or_default()))))
}

/// A warning if the credentials can be read on the network: plain http to another machine.
pub fn exposed(base: &Url) -> Option<String> {
    let is_open = base.scheme() == "http" && !is_loopback(base.host_str().unwrap_or_default());
    is_open.then(|| format!("{}: the password goes over plain http, anybody in between can read it", show(base)))
}

/// The value of an Authorization header. It is marked as sensitive, so debug output does not show it.
pub fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// The address without user, password and query, for messages.
pub fn show(url: &Url) -> String {
    shown(url, url.port())
}

/// The same, with the port even if it is the default port of the scheme.
pub fn show_with_port(url: &Url) -> String {
    shown(url, url.port_or_known_default())
}

fn shown(url: &Url, port: Option<u16>) -> String {
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{}://{}{port}{path}", url.scheme(), url.host_str().unwrap_or_default())
}

/// The target of a redirect for messages: without its query, and not at all if it may contain a password.
pub fn shown_location(location: &str) -> &str {
    location.split(['?', '#']).next().filter(|place| !place.contains('@')).unwrap_or("another place")
}
