//! The name of this host in all points.

use crate::config::settings::SelfConfig;
use crate::model::point::Identity;
use crate::sys::host_names;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A resolver that does not answer may take a minute.
const PATIENCE: Duration = Duration::from_secs(3);

/// `hostname` of the settings, else the short or the fully qualified name of this host. If that is `localhost`, as on
/// many hosts because of `/etc/hosts`, the kernel's name is used. The second value is a warning: the full name was not
/// found within 3 s, or this host has no name of its own. Starts a thread, so call it only after the fork.
pub fn host_name(own: &SelfConfig) -> (String, Option<String>) {
    if let Some(name) = &own.hostname {
        return (name.clone(), None);
    }
    let node = host_names::node_name();
    let (name, warning) = match own.shorthostname {
        true => (short(&node).to_string(), None),
        false => full(&node),
    };
    match (is_no_name(&name), is_no_name(&node)) {
        (true, false) => (node, warning),
        (true, true) => {
            let problem = format!("this host is called {name:?}, as many others are: set hostname in [SelfConfig]");
            (name, Some(problem))
        }
        _ => (name, warning),
    }
}

fn full(node: &str) -> (String, Option<String>) {
    let (found, name) = mpsc::channel();
    let look_up = move || {
        let _ = found.send(host_names::fqdn());
    };
    let started = thread::Builder::new().name("host-name".into()).spawn(look_up).is_ok();
    match name.recv_timeout(PATIENCE) {
        Ok(name) if started => (name, None),
        _ => {
            let warning = format!(
                "the full name of this host could not be found within {} s; reporting as {node} \
                 (set hostname in [SelfConfig] to fix the name)",
                PATIENCE.as_secs()
            );
            (node.into(), Some(warning))
        }
    }
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// Whether the name is `localhost`, `localhost.localdomain`, `localhost4` or similar, and so does not identify a host.
fn is_no_name(name: &str) -> bool {
    let first = short(name);
    first.is_empty() || first == "(none)" || first.to_ascii_lowercase().starts_with("localhost")
}

/// The daemon's identity, and the warning of [`host_name`].
pub fn identity(own: &SelfConfig) -> (Identity, Option<String>) {
    let (host, warning) = host_name(own);
    (named(host.into(), own), warning)
}

/// The daemon's identity on a host with that name.
pub fn named(host: Arc<str>, own: &SelfConfig) -> Identity {
    let (cluster, group, location) = (own.cluster_name.clone(), own.host_group.clone(), own.location.clone());
    Identity { host, cluster, group, location }
}
