//! Resolves the name of a host. Each lookup has a thread of its own, so a resolver that hangs blocks nothing else.
//!
//! *Invariant:* a host never has more than one lookup in progress.

use crate::net::names;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// Stack size of a lookup thread; enough for the system's resolver.
const STACK_BYTES: usize = 256 << 10;

/// A host name or IP address, and a port.
pub struct Host {
    name: String,
    port: u16,
    asked: Option<Receiver<io::Result<Vec<IpAddr>>>>,
}

impl Host {
    pub fn new(name: &str, port: u16) -> Host {
        Host { name: name.into(), port, asked: None }
    }

    /// Host and port as text: `router:161`, `[::1]:161`.
    pub fn shown(&self) -> String {
        match self.name.contains(':') {
            true => format!("[{}]:{}", self.name, self.port),
            false => format!("{}:{}", self.name, self.port),
        }
    }

    /// At least one address, IPv4 first. If the lookup takes longer than `until`, a later call returns its result.
    ///
    /// # Errors
    /// The name cannot be resolved, or not in time; the text says why.
    pub fn addresses(&mut self, until: Instant) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = self.name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let answer = match self.asked.take() {
            Some(answer) => answer,
            None => self.ask().map_err(|error| format!("no thread to look up the host name: {error}"))?,
        };
        let found = match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => {
                self.asked = Some(answer);
                return Err("the resolver does not answer when it is asked for the host name".into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the look-up of the host name broke off".into()),
        };
        let mut found = found.map_err(|error| error.to_string())?;
        found.sort_by_key(IpAddr::is_ipv6);
        found.dedup();
        Ok(found.into_iter().map(|address| SocketAddr::new(address, self.port)).collect())
    }

    fn ask(&self) -> io::Result<Receiver<io::Result<Vec<IpAddr>>>> {
        let (sender, answer) = channel();
        let name = self.name.clone();
        let ask = move || {
            // The receiver is gone if the configuration was reloaded meanwhile.
            let _ = sender.send(names::look_up(&name));
        };
        thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES).spawn(ask)?;
        Ok(answer)
    }
}
