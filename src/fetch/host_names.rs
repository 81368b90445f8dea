//! The hosts that the nodes of a cluster name themselves after, under the names that the resolver has for them. It is asked in a
//! thread of its own, and what it said is remembered.
//!
//! *Invariant:* there is never more than one question out.

use super::http::Endpoint;
use crate::net::names::is_loopback;
use crate::sys::host_names::name_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a name that was not asked for before; a later answer counts from then on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a name is believed.
const KEPT: Duration = Duration::from_secs(600);
/// Most hosts that are remembered.
const MOST: usize = 1000;
/// Enough for the system's resolver.
const STACK_BYTES: usize = 256 << 10;
/// What nodes call a host that they do not know: CouchDB, and Couchbase before it has a name.
const UNKNOWN: &[&str] = &["", "nohost", "$HOST"];

/// Of a cluster that is asked through one server.
pub struct HostNames {
    /// That server; `None`: it is on this host.
    asked: Option<String>,
    /// By what nodes say.
    known: HashMap<String, Known>,
    question: Option<(String, Receiver<Option<String>>)>,
}

struct Known {
    name: String,
    until: Instant,
}

impl HostNames {
    pub fn new(server: &Endpoint) -> HostNames {
        let asked = (!server.is_local()).then(|| server.host_and_port().0.to_string());
        HostNames { asked, known: HashMap::new(), question: None }
    }

    /// The host that a node calls so: the server that is asked where it means itself; `None`: the host of the daemon.
    pub fn of(&mut self, node: &str, until: Instant) -> Option<String> {
        let is_itself = UNKNOWN.contains(&node) || is_loopback(node);
        let host = if is_itself { self.asked.clone()? } else { node.to_string() };
        Some(self.name(host, until))
    }

    /// The name of that host; itself as long as the resolver has not said another.
    fn name(&mut self, host: String, until: Instant) -> String {
        self.hear(Duration::ZERO);
        let known = self.known.get(&host);
        if known.is_none_or(|known| known.until < Instant::now()) && self.question.is_none() {
            let is_new = known.is_none();
            self.ask(&host);
            if is_new {
                self.hear(PATIENCE.min(until.saturating_duration_since(Instant::now())));
            }
        }
        self.known.get(&host).map_or(host, |known| known.name.clone())
    }

    fn ask(&mut self, host: &str) {
        let (sender, answer) = channel();
        let asked = host.to_string();
        let ask = move || {
            // Nobody listens any more after a reload; that is fine.
            let _ = sender.send(name_of(&asked));
        };
        if thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES).spawn(ask).is_ok() {
            self.question = Some((host.into(), answer));
        }
    }

    /// Takes the answer where it comes in that time.
    fn hear(&mut self, patience: Duration) {
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
        // `localhost` is what many hosts call their own address.
        let found = found.filter(|name| !is_loopback(name));
        let before = self.known.remove(&host).map(|known| known.name);
        let name = found.or(before).unwrap_or_else(|| host.clone());
        self.known.insert(host, Known { name, until: Instant::now() + KEPT });
    }
}

/// The host of `host:8091`, `[::1]:8091`.
pub fn without_port(address: &str) -> &str {
    match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => address.split(':').next().unwrap_or_default(),
    }
}

/// The first part of the name of a host; all of what is an address, or no name that a host may have.
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
