//! The common configuration of all HTTP clients, and the reasons for a failed request in words.

use super::address::shown_location;
use super::names::{self, Lookup};
use super::tls;
use crate::model::error::{plain, quote};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, redirect};
use rustls::ClientConfig;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Idle connections are closed after this time. Load balancers usually close them after 60 s.
const IDLE: Duration = Duration::from_secs(30);
/// A connection older than this is replaced, so that changes in DNS or behind a load balancer take effect without an
/// error.
pub const MAX_AGE: Duration = Duration::from_secs(300);
const USER_AGENT: &str = concat!("PuyPuy/", env!("CARGO_PKG_VERSION"));

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No address for the name, no connection, or the server does not speak TLS.
    Connect,
    /// The server's certificate was refused, or the proxy wants a login. Waiting does not help.
    Refused,
    /// The connection was closed before the answer.
    Closed,
    Timeout,
    /// The client cannot be built: a file or a proxy of the configuration cannot be used.
    Setup,
    /// Our own deadline was reached, which says nothing about the server.
    GivenUp,
}

/// Why a request got no answer, as one sentence. `connect_limit` is the timeout of the connection, for the message.
pub fn why(error: &reqwest::Error, connect_limit: Duration) -> (Cause, String) {
    if let Some(why) = of_tls(error) {
        return why;
    }
    let why = innermost(error);
    if why.contains("proxy authorization required") {
        return (Cause::Refused, "the proxy wants user and password, put them into its address".into());
    }
    match error {
        _ if error.is_connect() && error.is_timeout() => {
            (Cause::Connect, format!("cannot connect within {} s", connect_limit.as_secs()))
        }
        _ if error.is_connect() => (Cause::Connect, format!("cannot connect: {why}")),
        _ if error.is_timeout() => (Cause::Timeout, why),
        _ if error.is_builder() => (Cause::Setup, why),
        _ => (Cause::Closed, format!("connection lost before the answer: {why}")),
    }
}

/// Why a connection of any protocol broke, as one sentence.
pub fn why_broken(error: &io::Error) -> String {
    of_tls(error).map_or_else(|| innermost(error), |(_, why)| why)
}

/// The reason, if TLS is the cause of the error.
fn of_tls(error: &(dyn StdError + 'static)) -> Option<(Cause, String)> {
    if let Some(why) = causes(error).find_map(|cause| tls::verification_failure(cause.downcast_ref()?)) {
        return Some((Cause::Refused, why));
    }
    let is_not = causes(error).any(tls::is_not_tls);
    is_not.then(|| (Cause::Connect, "cannot connect: the server does not speak TLS".into()))
}

/// Whether the connection was refused or timed out.
pub fn is_nobody_there(error: &reqwest::Error) -> bool {
    let is_refused = |cause: &(dyn StdError + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    error.is_connect() && (error.is_timeout() || causes(error).any(is_refused))
}

/// The error message in a JSON answer: `error`, `error.message`, `message`, or the first entry of `errors`.
pub fn complaint(json: &serde_json::Value) -> Option<String> {
    let named = ["/error", "/error/message", "/message", "/errors/0"].map(|place| json.pointer(place)?.as_str());
    named.into_iter().flatten().next().map(String::from)
}

/// The target of a redirect, to be appended to a message: ` to "http://other"`, or nothing.
pub fn redirection(location: Option<&str>) -> String {
    location.map(|to| format!(" to {}", quote(shown_location(to)))).unwrap_or_default()
}

/// The settings of all clients: our own TLS verification and name resolution, no redirects, and no proxy unless the
/// caller adds one.
pub fn builder(tls: ClientConfig, lookup: Lookup) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .dns_resolver(Names(lookup))
        .pool_idle_timeout(IDLE)
        .redirect(redirect::Policy::none())
        .referer(false)
        .http1_only()
        .no_proxy()
}

/// The error and the chain of its causes. `io::Error` does not return a wrapped error as its source, so it is unwrapped
/// here.
pub(super) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// The message of the innermost cause. The outer ones only repeat that something failed.
pub fn innermost(error: &(dyn StdError + 'static)) -> String {
    let Some(last) = causes(error).last() else { return String::new() };
    match last.downcast_ref::<io::Error>() {
        Some(error) => plain(error),
        None => last.to_string(),
    }
}

/// A resolver for reqwest. It is asked for every new connection, but not for addresses that are no names.
struct Names(Lookup);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.0.clone();
        Box::pin(async move {
            let found = names::addresses(lookup, name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
