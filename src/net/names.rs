//! The name of a server as addresses, within a limit of time.

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
/// Most look-ups of one name at a time: one that hangs must keep neither the next nor other names from being tried, nor pile up.
const AT_ONCE: usize = 2;
/// Most events of sockets that are taken at a time; each has 12 bytes.
const EVENTS: usize = 64;

/// Host name to addresses, by the system's resolver unless a test puts another in its place. Clones of it count together.
#[derive(Clone)]
pub struct Lookup {
    ask: Arc<Ask>,
    /// Of each name, how many more look-ups may begin.
    free: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

impl Lookup {
    /// By that function, which may block.
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

/// What waits run on: the calling thread. Look-ups have threads of their own.
pub fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().max_io_events_per_tick(EVENTS).thread_name("look-up").build()
}

/// All addresses of a name, the first by chance.
///
/// # Errors
/// The name is unknown, has no address, or nobody answered within 5 s.
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

/// Asks the system's resolver and waits for it, however long it takes. At least one address.
///
/// # Errors
/// In words, why there is none.
pub fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs().map_err(|error| io::Error::other(unresolved(&error)))?;
    at_least_one(found.map(|address| address.ip()).collect())
}

fn at_least_one(found: Vec<IpAddr>) -> io::Result<Vec<IpAddr>> {
    if found.is_empty() { Err(io::Error::other("the host name has no address")) } else { Ok(found) }
}

/// `failed to lookup address information: Name or service not known` says it twice.
fn unresolved(error: &io::Error) -> String {
    let text = error.to_string();
    format!("host name: {}", text.rsplit(": ").next().unwrap_or(&text).to_lowercase())
}

/// Whether that host name or address is this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}
