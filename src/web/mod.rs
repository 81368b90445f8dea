//! The web server: `[WebServer]` as settings, and the thread that serves.

pub mod allowed;
mod nag;
mod server;
mod status;

use crate::config::section::Section;
use crate::delivery::status::Status;
use crate::fetch::program::Programs;
use crate::model::error::{Error, Result};
use crate::sink::prometheus::Exposition;
use allowed::Allowed;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::thread;

/// Nobody but this machine, unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9898";
/// Compressing a page takes some 300 kB of it; only what is touched costs memory.
const STACK: usize = 1 << 20;

/// `[WebServer]`.
#[derive(Clone, Debug)]
pub struct Web {
    addresses: Vec<SocketAddr>,
    shown: String,
    allowed: Allowed,
    nag: nag::Rules,
}

/// What the pages are made of.
pub struct Pages {
    /// Of delivery.
    pub status: Arc<Mutex<Status>>,
    /// The last values, where the sink keeps them.
    pub exposition: Option<Arc<Exposition>>,
    /// For `/nag`.
    pub programs: Arc<Programs>,
}

/// Reads the section. Opens nothing.
pub fn configure(section: &Section) -> Result<Web> {
    let shown = section.text("webaddress").filter(|text| !text.is_empty()).unwrap_or(ADDRESS).to_string();
    let expected = "expected address:port, as 127.0.0.1:9898, 0.0.0.0:9898 or [::]:9898";
    let addresses = shown.to_socket_addrs().map_err(|_| section.wrong("webaddress", expected))?.collect();
    let allowed = Allowed::parse(&section.list("allowedip")).map_err(|word| {
        let expected = format!("{word:?} is no address and no network as 10.0.0.0/8");
        section.problem("allowedip", &expected)
    })?;
    Ok(Web { addresses, shown, allowed, nag: nag::Rules::read(section)? })
}

/// Whether that address can be listened at, by trying it for a moment. One that is in use is fine where `is_ours` says so.
///
/// # Errors
/// It cannot be listened at.
pub fn try_to_listen(web: &Web, is_ours: impl Fn(SocketAddr) -> bool) -> Result<()> {
    match TcpListener::bind(web.addresses.as_slice()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse && web.addresses.iter().any(|at| is_ours(*at)) => Ok(()),
        Err(error) => Err(refused(web, "cannot listen at", error)),
    }
}

fn refused(web: &Web, what: &str, error: std::io::Error) -> Error {
    let cause = crate::model::error::plain(&error);
    Error::daemon(format!("web server: {what} {}: {cause}; set webaddress in [WebServer]", web.shown))
}

/// Listens, and serves in a thread of its own from then on. Returns where it listens.
///
/// # Errors
/// The address cannot be listened at.
pub fn start(web: Web, pages: Pages) -> Result<SocketAddr> {
    let refused = |what: &str, error: std::io::Error| refused(&web, what, error);
    let listener = TcpListener::bind(web.addresses.as_slice()).map_err(|error| refused("cannot listen at", error))?;
    listener.set_nonblocking(true).map_err(|error| refused("cannot listen at", error))?;
    let address = listener.local_addr().map_err(|error| refused("cannot listen at", error))?;
    log::info!("web server: listening at {address}");
    let Web { allowed, nag, .. } = web.clone();
    thread::Builder::new()
        .name("web".into())
        .stack_size(STACK)
        .spawn(move || server::serve(listener, allowed, nag, pages))
        .map_err(|error| refused("no thread to serve", error))?;
    Ok(address)
}
