//! HTTP proxies: which one to use for a server, and the reasons for failures that a proxy causes.

use super::address::{Url, parse_address, show};
use super::http::{Cause, causes, why};
use crate::config::section::Section;
use crate::model::error::{Error, Result, quote};
use reqwest::{NoProxy, Proxy};
use std::net::IpAddr;
use std::time::Duration;

/// Start of the client's error message if the proxy could not open a tunnel to an https server.
const TUNNEL: &str = "tunnel error";

/// A proxy, and the hosts that are reached without it.
#[derive(Clone)]
pub struct Proxying {
    url: String,
    except: Option<String>,
    /// The environment variable that names the proxy; `None`: the key `proxy` names it.
    variable: Option<&'static str>,
}

impl Proxying {
    /// The proxy of a sink, from the key `proxy` or the environment.
    ///
    /// # Errors
    /// The proxy cannot be used; the error names the key or the variable.
    pub fn configure(tsdb: &Section, scheme: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxying>> {
        let Some(proxy) = Proxying::choose(tsdb.text("proxy"), scheme, env) else { return Ok(None) };
        match (proxy.build(), proxy.variable) {
            (Ok(_), _) => Ok(Some(proxy)),
            (Err(problem), None) => Err(tsdb.problem("proxy", &problem)),
            (Err(problem), Some(_)) => Err(Error::daemon(problem)),
        }
    }

    /// The key wins over the environment; its value `none` switches both off. The environment is read as curl does:
    /// `http_proxy` only in lower case, because a CGI server sets HTTP_PROXY from a header of the request.
    pub fn choose(key: Option<&str>, scheme: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<Proxying> {
        let first = |names: &[&'static str]| {
            let set = names.iter().filter_map(|name| Some((*name, env(name)?)));
            set.into_iter().find(|(_, value)| !value.is_empty())
        };
        match key {
            Some(key) if key.eq_ignore_ascii_case("none") => None,
            Some(key) if !key.is_empty() => Some(Proxying { url: key.into(), except: None, variable: None }),
            _ => {
                let own: &[&str] = if scheme == "https" { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy"] };
                let (variable, url) = first(own).or_else(|| first(&["all_proxy", "ALL_PROXY"]))?;
                let except = first(&["no_proxy", "NO_PROXY"]).map(|(_, except)| except);
                Some(Proxying { url, except, variable: Some(variable) })
            }
        }
    }

    /// Address of the proxy, with its credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the connection to the proxy itself uses TLS.
    pub fn is_https(&self) -> bool {
        self.url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
    }

    /// The proxy for a reqwest client.
    ///
    /// # Errors
    /// The address is invalid or its scheme is not supported; the text names the remedy.
    pub fn build(&self) -> Result<Proxy, String> {
        let scheme = self.url.split_once("://").map_or("http", |(scheme, _)| scheme).to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(self.problem(&format!("a proxy with {} is not supported", quote(&scheme))));
        }
        let proxy = Proxy::all(&self.url).map_err(|_| self.problem("cannot read the address of the proxy"))?;
        Ok(proxy.no_proxy(self.except.as_deref().and_then(NoProxy::from_string)))
    }

    fn problem(&self, what: &str) -> String {
        match self.variable {
            None => format!("{what}, set proxy = none to go without"),
            Some(name) => {
                format!("environment variable {name}: {what}, unset it, or set proxy = none in [TSDB] to go without")
            }
        }
    }

    /// The proxy on the way to `server`, for messages; `None` if `no_proxy` excepts the server.
    pub fn towards(&self, server: &Url) -> Option<ProxyHop> {
        let host = server.host_str().unwrap_or_default();
        if self.except.as_deref().is_some_and(|except| is_excepted(host, except)) {
            return None;
        }
        let address = parse_address(&self.url).map_or_else(|_| "of [TSDB]".into(), |url| show(&url));
        let set_in = match self.variable {
            None => "the key proxy".into(),
            Some(name) => format!("the environment variable {name}"),
        };
        Some(ProxyHop { address, set_in, is_tunnel: server.scheme() == "https" })
    }
}

/// Whether `no_proxy` covers the host. Entries are `*`, an address, a network such as `10.0.0.0/8`, or a domain with
/// its subdomains.
fn is_excepted(host: &str, except: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    except.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        match (address, entry.split_once('/')) {
            _ if entry == "*" => true,
            (Some(address), Some((network, bits))) => {
                let parsed = network.parse().ok().zip(bits.parse().ok());
                parsed.is_some_and(|(network, bits)| is_within(address, network, bits))
            }
            (Some(address), None) => entry.parse() == Ok(address),
            (None, _) => {
                let domain = entry.trim_start_matches('.');
                let before = host.strip_suffix(domain).filter(|_| !domain.is_empty());
                before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    })
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let rest = width - bits.min(width);
    u128::checked_shr(address ^ network, rest).unwrap_or(0) == 0
}

/// The proxy on the way to one server, as messages describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHop {
    /// The proxy's address without user and password.
    pub address: String,
    /// `the key proxy` or `the environment variable https_proxy`.
    pub set_in: String,
    /// The server speaks https, so the proxy only forwards encrypted bytes and cannot answer instead of the server.
    pub is_tunnel: bool,
}

impl ProxyHop {
    /// Why a request got no answer, if the proxy is the cause; else `None`.
    pub fn why(&self, error: &reqwest::Error, connect_limit: Duration) -> Option<(Cause, String)> {
        let (address, set_in) = (&self.address, &self.set_in);
        let tunnel = causes(error).map(ToString::to_string).find(|text| text.starts_with(TUNNEL));
        if !error.is_connect() || self.is_tunnel && tunnel.is_none() {
            return None;
        }
        let (cause, why) = why(error, connect_limit);
        Some(match tunnel.as_deref().and_then(|text| text.strip_prefix("tunnel error: ")) {
            Some("proxy authorization required") => {
                (Cause::Refused, format!("the proxy {address} wants user and password, set them in {set_in}"))
            }
            Some("unsuccessful") => {
                let remedy = format!("allow it there, or correct {set_in}");
                (cause, format!("the proxy {address} forbids the connection or cannot reach the server; {remedy}"))
            }
            _ => match why.strip_prefix("cannot connect") {
                Some(rest) => (cause, format!("cannot connect to the proxy {address} (from {set_in}){rest}")),
                None => (cause, format!("the proxy {address}: {why}")),
            },
        })
    }
}
