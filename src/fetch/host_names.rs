//! Host names for the nodes of a cluster, as the resolver knows them. Lookups have a thread of their own, and their
//! results are cached.
//!
//! *Invariant:* there is never more than one lookup in progress.

use super::http::Endpoint;
use crate::net::names::is_loopback;
use crate::sys::host_names::name_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a name that is not in the cache. A later answer is used from then on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a result stays in the cache.
const KEPT: Duration = Duration::from_secs(600);
/// Maximum number of cached names.
const MOST: usize = 1000;
/// Stack size of the lookup thread; enough for the system's resolver.
const STACK_BYTES: usize = 256 << 10;
/// Host parts of node names that mean "unknown": in CouchDB, and in Couchbase before the node has a name.
const UNKNOWN: &[&str] = &["", "nohost", "$HOST"];

/// The host names of a cluster that is monitored through one of its servers.
pub struct HostNames {
    /// The host of that server; `None`: this host.
    server: Option<String>,
    /// By host part of the node name.
    known: HashMap<String, CachedName>,
    question: Option<(String, Receiver<Option<String>>)>,
}

struct CachedName {
    name: String,
    until: Instant,
}

impl HostNames {
    /// For the cluster of this server.
    pub fn new(server: &Endpoint) -> HostNames {
        let server = (!server.is_local()).then(|| server.host_and_port().0.to_string());
        HostNames { server, known: HashMap::new(), question: None }
    }

    /// The host name for a node. A node that names itself by a loopback address or an unknown name is the monitored
    /// server. `None`: the daemon's host.
    pub fn of(&mut self, node: &str, until: Instant) -> Option<String> {
        let is_itself = UNKNOWN.contains(&node) || is_loopback(node);
        let host = if is_itself { self.server.clone()? } else { node.to_string() };
        Some(self.name(host, until))
    }

    /// The name that the resolver has for the host, or the host itself until it is known.
    fn name(&mut self, host: String, until: Instant) -> String {
        self.receive(Duration::ZERO);
        let known = self.known.get(&host);
        if known.is_none_or(|known| known.until < Instant::now()) && self.question.is_none() {
            let is_new = known.is_none();
            self.ask(&host);
            if is_new {
                self.receive(PATIENCE.min(until.saturating_duration_since(Instant::now())));
            }
        }
        self.known.get(&host).map_or(host, |known| known.name.clone())
    }

    fn ask(&mut self, host: &str) {
        let (sender, answer) = channel();
        let host_name = host.to_string();
        let ask = move || {
            // The receiver is gone if the configuration was reloaded meanwhile.
            let _ = sender.send(name_of(&host_name));
        };
        if thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES).spawn(ask).is_ok() {
            self.question = Some((host.into(), answer));
        }
    }

    /// Waits that long for the lookup, and stores its result.
    fn receive(&mut self, patience: Duration) {
        let Some((host, answer)) = self.question.take() else { return };
        let found = match answer.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => {
                self.question = Some((host, answer));
                return;
            }
            found => found.ok().flatten(),
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        // Many hosts resolve their own address to `localhost`.
        let found = found.filter(|name| !is_loopback(name));
        let before = self.known.remove(&host).map(|known| known.name);
        let name = found.or(before).unwrap_or_else(|| host.clone());
        self.known.insert(host, CachedName { name, until: Instant::now() + KEPT });
    }
}

/// The host in `host:8091` or `[::1]:8091`.
pub fn without_port(address: &str) -> &str {
    match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => address.split(':').next().unwrap_or_default(),
    }
}

/// The first label of a host name. An address or an invalid name is returned unchanged.
pub fn short_name(host: &str) -> &str {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.trim_end_matches('.');
    let is_name = host.len() <= 255 && host.parse::<IpAddr>().is_err() && name.split('.').all(is_label);
    if is_name { name.split('.').next().unwrap_or_default() } else { host }
}
