//! What every HTTP client here is made of: names, proxies, and the sentence that says why there is no answer.

use super::address::shown_location;
use super::names::{self, Lookup};
use super::tls;
use crate::config::section::Section;
use crate::error::{Result, plain, quote};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use rustls::ClientConfig;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Idle connections are closed after this; balancers do so after 60 s.
const IDLE: Duration = Duration::from_secs(30);
/// A connection older than this is replaced, so that a change in DNS or behind a balancer is noticed without an error.
pub const MAX_AGE: Duration = Duration::from_secs(300);
const USER_AGENT: &str = concat!("PuyPuy/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No address, nobody there, or no TLS.
    Connect,
    /// The server's certificate was refused, or its proxy refuses us: waiting does not help.
    Refused,
    /// The connection ended before an answer began.
    Closed,
    Timeout,
    /// Whoever waits lost patience.
    GaveUp,
    /// No client can be made: a file or a proxy that cannot be used.
    Setup,
}

/// Why there is no answer, in one sentence; a connection could take that long to come about.
pub fn why(error: &reqwest::Error, connect_limit: Duration) -> (Cause, String) {
    if let Some(why) = causes(error).find_map(|cause| tls::verification_failure(cause.downcast_ref()?)) {
        return (Cause::Refused, why);
    }
    if causes(error).any(tls::is_not_tls) {
        return (Cause::Connect, "cannot connect: the server does not speak TLS".into());
    }
    let why = innermost(error);
    if why.contains("proxy authorization required") {
        return (Cause::Refused, "the proxy wants user and password, set them in the key proxy".into());
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

/// What a JSON object says of a failure: `error`, `error.message`, `message` or the first of `errors`.
pub fn complaint(json: &serde_json::Value) -> Option<String> {
    let named = ["/error", "/error/message", "/message", "/errors/0"].map(|place| json.pointer(place)?.as_str());
    named.into_iter().flatten().next().map(String::from)
}

/// Where a server sends us instead, as it may be shown: ` to "http://other"`, or nothing.
pub fn redirection(location: Option<&str>) -> String {
    location.map(|to| format!(" to {}", quote(shown_location(to)))).unwrap_or_default()
}

/// What is common to all clients: certificates and names by our own rules, no redirect followed, no proxy unless one is
/// added.
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

/// The error and all that caused it. An `io::Error` hides what it wraps from `source`, so it is looked into.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// The words of the deepest cause, in lower case: the others only repeat that something failed.
pub fn innermost(error: &(dyn StdError + 'static)) -> String {
    let Some(last) = causes(error).last() else { return String::new() };
    match last.downcast_ref::<io::Error>() {
        Some(error) => plain(error),
        None => last.to_string(),
    }
}

/// All addresses of a name, asked for anew at each connection. Literal addresses never come here.
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

/// Where a proxy is asked to go between, and who is not to be reached through it.
#[derive(Clone)]
pub struct Proxying {
    url: String,
    except: Option<String>,
}

impl Proxying {
    pub fn configure(tsdb: &Section, scheme: &str) -> Result<Option<Proxying>> {
        let chosen = Proxying::choose(tsdb.text("proxy"), scheme, &|name| std::env::var(name).ok());
        let Some(proxy) = chosen else { return Ok(None) };
        match proxy.build() {
            Ok(_) => Ok(Some(proxy)),
            Err(problem) => Err(tsdb.problem("proxy", &problem)),
        }
    }

    /// The key wins over the environment, and `none` switches both off. From the environment as curl does it:
    /// `http_proxy` in lower case only, because a CGI server sets HTTP_PROXY from a request.
    pub fn choose(key: Option<&str>, scheme: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<Proxying> {
        let first = |names: &[&str]| names.iter().filter_map(|name| env(name)).find(|value| !value.is_empty());
        match key {
            Some(key) if key.eq_ignore_ascii_case("none") => None,
            Some(key) if !key.is_empty() => Some(Proxying { url: key.into(), except: None }),
            _ => {
                let own: &[&str] = if scheme == "https" { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy"] };
                let url = first(own).or_else(|| first(&["all_proxy", "ALL_PROXY"]))?;
                Some(Proxying { url, except: first(&["no_proxy", "NO_PROXY"]) })
            }
        }
    }

    /// Address of the proxy, with its credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn is_https(&self) -> bool {
        self.url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
    }

    pub fn build(&self) -> Result<Proxy, String> {
        let scheme = self.url.split_once("://").map_or("http", |(scheme, _)| scheme).to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(format!("a proxy with {} is not supported, set proxy = none to go without", quote(&scheme)));
        }
        let proxy = Proxy::all(&self.url).map_err(|_| "cannot read the address of the proxy".to_string())?;
        Ok(proxy.no_proxy(self.except.as_deref().and_then(NoProxy::from_string)))
    }
}
