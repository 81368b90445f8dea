//! The web server: `[WebServer]` as settings, and the thread that serves.

pub mod allowed;
mod answer;
#[cfg(feature = "local")]
mod columns;
mod files;
mod hosts;
mod login;
mod nag;
pub mod overview;
pub mod query;
mod server;
mod status;
#[cfg(feature = "local")]
mod store;

use crate::config::section::Section;
use crate::delivery::Moment;
use crate::delivery::status::Status;
use crate::fetch::program::Programs;
use crate::model::beat::Beat;
use crate::model::error::{Error, Result};
use crate::sink::prometheus::Exposition;
use crate::state::{Board, Kind};
use crate::sys::{host_names, zone};
use allowed::Allowed;
use hosts::Hosts;
use login::Login;
use overview::{About, Overview, Store};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

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
    hosts: Hosts,
    login: Login,
    nag: nag::Rules,
}

impl Web {
    /// Where a browser on this machine finds the page, when the daemon listens there.
    pub fn page(&self, listens: impl Fn(SocketAddr) -> bool) -> Option<String> {
        let mut address = *self.addresses.iter().find(|address| listens(**address))?;
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(format!("http://{address}/"))
    }
}

/// What a metric is told in.
pub type Unit = fn(&str) -> Option<&'static str>;

/// What the pages are made of.
pub struct Pages {
    pub about: About,
    /// Of delivery.
    pub status: Arc<Mutex<Status>>,
    /// Of the checks.
    pub board: Arc<Board>,
    /// The charts of the checks of these names, as the page reads them.
    pub charts: fn(&[&str]) -> Value,
    /// The unit of a metric; `None` where no check knows it.
    pub unit: Unit,
    /// The last values, where the sink keeps them.
    pub exposition: Option<Arc<Exposition>>,
    /// The file of the local store, where that is the sink.
    pub store: Option<PathBuf>,
    /// Of the daemon.
    pub period: Duration,
    /// When the newest tick was.
    pub beat: Arc<Beat>,
    /// For `/nag`.
    pub programs: Arc<Programs>,
}

impl Pages {
    /// How delivery is now.
    fn delivery(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `/api/status`.
    fn overview(&self, store: Option<Store>) -> String {
        let (delivery, checks) = (self.delivery(), self.board.states());
        let (about, now, zone) = (&self.about, Moment::now(), zone::name());
        let names: Vec<&str> =
            checks.iter().filter(|check| check.kind == Kind::Check).map(|check| check.name.as_str()).collect();
        let charts = (self.charts)(&names);
        Overview { about, now, zone: &zone, delivery: &delivery, store, checks, charts }.json().to_string()
    }
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
    let (hosts, login) = (Hosts::read(section)?, Login::read(section)?);
    Ok(Web { addresses, shown, allowed, hosts, login, nag: nag::Rules::read(section)? })
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

/// Stands where the local store was left out of the program: then it is no sink, and has no file.
#[cfg(not(feature = "local"))]
mod store {
    use super::answer::Answer;
    use super::query::Question;
    use std::path::Path;
    use std::time::Duration;

    pub fn figures(_: &Path, _: i64) -> Option<super::Store> {
        None
    }

    pub fn ask(_: &Path, _: Question, _: i64, _: Duration, _: super::Unit) -> Answer {
        Answer::wrong(hyper::StatusCode::NOT_FOUND, "this program was built without the local store (feature local)")
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
    if !address.ip().is_loopback() && web.allowed.admits_others() && !web.login.is_needed() {
        log::warn!(
            "web server: allowedip lets other machines see the page, and nobody has to log in: \
             set webuser and webpassword in [WebServer]"
        );
    }
    let Web { allowed, hosts, login, nag, .. } = web.clone();
    let hosts = hosts.with(&[&pages.programs.identity.host, &host_names::node_name()]);
    let doors = server::Doors { allowed, hosts, login, nag };
    thread::Builder::new()
        .name("web".into())
        .stack_size(STACK)
        .spawn(move || server::serve(listener, doors, pages))
        .map_err(|error| refused("no thread to serve", error))?;
    Ok(address)
}
