//! Resolves host names to IP addresses, with a timeout.

use super::random;
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

const LOOKUP: Duration = Duration::from_secs(5);
/// Maximum number of lookups of one name at the same time. A lookup that hangs must not block the next one or other
/// names, and hanging lookups must not accumulate.
const AT_ONCE: usize = 2;
/// Maximum number of socket events per poll; each takes 12 bytes of memory.
const EVENTS: usize = 64;

/// Resolves host names, with the system's resolver or with a function of a test. Clones share the limit [`AT_ONCE`].
#[derive(Clone)]
pub struct Lookup {
    ask: Arc<Ask>,
    /// By host name, the permits for lookups.
    free: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

impl Lookup {
    /// Resolves with this function, which may block.
    pub fn by(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Lookup {
        Lookup { ask: Arc::new(ask), free: Arc::default() }
    }

    fn free(&self, host: &str) -> Arc<Semaphore> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(host.into()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }
}

/// The system's resolver: hosts file, search domains, local cache.
pub fn system() -> Lookup {
    Lookup::by(look_up)
}

/// A tokio runtime that runs on the calling thread; blocking lookups get threads of their own.
pub fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().max_io_events_per_tick(EVENTS).thread_name("look-up").build()
}

/// All addresses of a name, rotated to a random first one.
///
/// # Errors
/// The name is unknown, has no address, or the resolver did not answer within 5 s.
pub async fn addresses(lookup: Lookup, host: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
    let host = host.to_string();
    let asked = async {
        let permit = lookup.free(&host).acquire_owned().await?;
        let found = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (lookup.ask)(&host)
        });
        Ok::<_, Box<dyn Error + Send + Sync>>(found.await??)
    };
    let mut found = match tokio::time::timeout(LOOKUP, asked).await {
        Ok(found) => at_least_one(found?)?,
        Err(_) => return Err(format!("no answer from DNS within {} s", LOOKUP.as_secs()).into()),
    };
    let start = random() as usize % found.len();
    found.rotate_left(start);
    Ok(found)
}

/// Asks the system's resolver and waits for its answer, without a timeout. Returns at least one address.
///
/// # Errors
/// The name cannot be resolved; the error says why.
pub fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs().map_err(|error| io::Error::other(unresolved(&error)))?;
    at_least_one(found.map(|address| address.ip()).collect())
}

fn at_least_one(found: Vec<IpAddr>) -> io::Result<Vec<IpAddr>> {
    if found.is_empty() { Err(io::Error::other("the host name has no address")) } else { Ok(found) }
}

/// Cuts the first half of `failed to lookup address information: Name or service not known`.
fn unresolved(error: &io::Error) -> String {
    let text = error.to_string();
    format!("host name: {}", text.rsplit(": ").next().unwrap_or(&text).to_lowercase())
}

/// Whether this host name or address means this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}
