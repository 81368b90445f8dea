//! Places where a check could find its server, derived from this machine's processes and listening sockets. Pure.

use crate::checks::signs::{Place, SIGNS, Sign};
use crate::fetch::listeners::{Listener, Machine};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Programs that forward a port to a container.
const FORWARDERS: [&str; 5] = ["docker-proxy", "rootlesskit", "rootlessport", "slirp4netns", "pasta"];
/// Ports where web servers use TLS, with a certificate that is not valid for loopback.
const TLS: [u16; 2] = [443, 8443];
/// Most places that are tried per check.
const MOST: usize = 4;

/// A place to try.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    pub address: SocketAddr,
    /// The program that listens there; empty if it is not visible.
    pub program: String,
}

/// What was found for a check.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Places to try, and whether the server's program is running.
    Candidates(Vec<Candidate>, bool),
    /// The server runs but nothing can be tried, for that reason.
    Untried(String),
    Nothing,
}

/// What was found for a check that asks over the network.
pub fn seen(sign: &Sign, machine: &Machine) -> Seen {
    let running = machine.processes.iter().find(|process| sign.programs.iter().any(|name| process.runs(name)));
    if running.is_none() && !sign.behind.is_empty() {
        return Seen::Nothing;
    }
    let (mut found, mut beyond) = (Vec::new(), None);
    for listener in &machine.listeners {
        let Some(program) = serves(sign, listener, running.is_some()) else { continue };
        match on_loopback(listener.address) {
            Some(address) => {
                let address = SocketAddr::new(address, listener.port);
                found.push(Candidate { address, program });
            }
            None => beyond = Some((SocketAddr::new(listener.address, listener.port), program)),
        }
    }
    let place = |at: &Candidate| sign.ports.iter().position(|port| *port == at.address.port()).unwrap_or(usize::MAX);
    // IPv4 first: a server that listens on all IPv6 addresses usually accepts both.
    found.sort_by_key(|at| (place(at), at.address.port(), at.address.is_ipv6()));
    found.dedup_by_key(|at| at.address.port());
    found.truncate(MOST);
    if !found.is_empty() {
        let is_sure = running.is_some() || found.iter().any(|at| !at.program.is_empty());
        return Seen::Candidates(found, is_sure);
    }
    let key = match sign.place {
        Place::Page { key, .. } => key,
        _ => "host",
    };
    match (beyond, running) {
        (Some((address, program)), _) => Seen::Untried(format!(
            "{} listens on {address} and not on loopback, where alone is tried: set {key} in its section by hand",
            if program.is_empty() { "something" } else { &program }
        )),
        (None, Some(process)) => {
            let usual: Vec<String> = sign.ports.iter().map(u16::to_string).collect();
            let (name, usual) = (process.name(), usual.join(", "));
            Seen::Untried(format!("{name} runs, and does not listen where it is usually asked, at port {usual}"))
        }
        (None, None) => Seen::Nothing,
    }
}

/// The program that listens there, if the check is to be tried there; an empty text if the program is not visible.
fn serves(sign: &Sign, listener: &Listener, runs: bool) -> Option<String> {
    let port = listener.port;
    let is_usual = sign.ports.contains(&port);
    let names = if sign.behind.is_empty() { sign.programs } else { sign.behind };
    match &listener.owner {
        Some(owner) if names.iter().any(|name| owner.runs(name)) => {
            let is_tried = is_usual || sign.is_anywhere && !TLS.contains(&port);
            is_tried.then(|| owner.name().to_string())
        }
        Some(owner) if !FORWARDERS.iter().any(|name| owner.runs(name)) => None,
        _ => {
            let is_of_it_alone = SIGNS.iter().filter(|other| other.ports.contains(&port)).count() == 1;
            (is_usual && (runs || is_of_it_alone)).then(String::new)
        }
    }
}

/// The loopback address through which that socket can be reached.
fn on_loopback(address: IpAddr) -> Option<IpAddr> {
    match address {
        address if address.is_loopback() => Some(address),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Ipv4Addr::LOCALHOST.into()),
        _ => None,
    }
}
