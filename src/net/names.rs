//! The name of a server as addresses, within a limit of time.

use super::random;
use std::error::Error;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const LOOKUP: Duration = Duration::from_secs(5);

/// Host name to addresses, blocking; the system's resolver unless a test puts another in its place.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The system's resolver: hosts file, search domains, local cache.
pub fn system() -> Lookup {
    Arc::new(look_up)
}

/// What waits run on: the calling thread.
pub fn runtime() -> io::Result<Runtime> {
    // Two lookups at most: one that hangs must not keep the next from being tried, nor pile up.
    Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(2).build()
}

/// All addresses of a name, the first by chance.
///
/// # Errors
/// The name is unknown, has no address, or nobody answered within 5 s.
pub async fn addresses(lookup: Lookup, host: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
    let host = host.to_string();
    let asked = tokio::task::spawn_blocking(move || lookup(&host));
    let mut found = match tokio::time::timeout(LOOKUP, asked).await {
        Ok(found) => at_least_one(found??)?,
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
