//! The web server: its settings in `[WebServer]`, and the thread that serves.

pub mod allowed;
mod answer;
#[cfg(feature = "local")]
mod columns;
mod files;
mod hosts;
mod login;
mod nag;
pub mod query;
mod server;
#[cfg(feature = "local")]
mod store;

use crate::config::section::Section;
use crate::fetch::program::Programs;
use crate::model::error::{Error, Result};
use crate::sink::prometheus::Exposition;
use crate::state::Kind;
use crate::status::{Sources, overview};
use crate::sys::host_names;
use allowed::Allowed;
use hosts::Hosts;
use login::Login;
use serde_json::{Value, json};
use server::{Doors, Elsewhere, News};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// By default only this machine can connect.
const ADDRESS: &str = "127.0.0.1:9898";
/// Compressing a page takes about 300 kB of stack; only pages that are used cost memory.
const STACK: usize = 1 << 20;
/// How long to wait until a server has moved to another address.
const PATIENCE: Duration = Duration::from_secs(3);

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
    /// The URL of the page for a browser on this machine; `None` if the daemon does not listen.
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

/// Looks up the unit of a metric.
pub type Unit = fn(&str) -> Option<&'static str>;

/// What the pages are made from.
pub struct Pages {
    /// The state of the daemon.
    pub sources: Sources,
    /// The charts of these checks, as JSON for the page.
    pub charts: fn(&[&str]) -> Value,
    /// The unit of a metric; `None` if no check has it.
    pub unit: Unit,
    /// The last values for `/metrics`, if the sink keeps them.
    pub exposition: Option<Arc<Exposition>>,
    /// The local store's file, if that is the sink.
    pub store: Option<PathBuf>,
    /// The daemon's period.
    pub period: Duration,
    /// For `/nag`.
    pub programs: Arc<Programs>,
}

impl Pages {
    /// The health events that are not OK.
    fn open(&self) -> Vec<Value> {
        overview::open(&self.sources.now())
    }

    /// `/api/status`, with additional members for the page.
    fn overview(&self, store: Option<Figures>) -> String {
        let now = self.sources.now();
        let checks = now.checks.iter().filter(|check| check.kind == Kind::Check);
        let charts = (self.charts)(&checks.map(|check| check.name.as_str()).collect::<Vec<_>>());
        let mut members = self.sources.overview(now);
        members.insert("store".into(), store.map_or(Value::Null, Figures::json));
        members.insert("charts".into(), charts);
        Value::Object(members).to_string()
    }
}

/// Size of the local store.
pub struct Figures {
    pub bytes: u64,
    /// Time of its oldest point, in Unix seconds.
    pub oldest: Option<i64>,
    pub series: u64,
}

impl Figures {
    fn json(self) -> Value {
        json!({ "bytes": self.bytes, "oldest": self.oldest, "series": self.series })
    }
}

/// Reads the section; opens no socket.
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

/// Whether that address can be bound, by binding it for a moment. An address in use is fine if `is_ours` returns true
/// for it.
///
/// # Errors
/// It cannot be bound.
pub fn try_to_listen(web: &Web, is_ours: impl Fn(SocketAddr) -> bool) -> Result<()> {
    match TcpListener::bind(web.addresses.as_slice()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse && web.addresses.iter().any(|at| is_ours(*at)) => Ok(()),
        Err(error) => Err(refused(web, "cannot listen at", error)),
    }
}

/// Replaces `store` in a program without the local store, which then has no file.
#[cfg(not(feature = "local"))]
mod store {
    use super::answer::Answer;
    use super::query::Question;
    use std::path::Path;
    use std::time::Duration;

    pub fn figures(_: &Path, _: i64) -> Option<super::Figures> {
        None
    }

    pub fn ask(_: &Path, _: Question, _: i64, _: Duration, _: super::Unit, _: &[serde_json::Value]) -> Answer {
        Answer::wrong(hyper::StatusCode::NOT_FOUND, "this program was built without the local store (feature local)")
    }
}

fn refused(web: &Web, what: &str, error: std::io::Error) -> Error {
    let cause = crate::model::error::plain(&error);
    Error::daemon(format!("web server: {what} {}: {cause}; set webaddress in [WebServer]", web.shown))
}

/// How long an address may be in use before that is an error: the kernel closes the socket of a daemon that was just
/// stopped a little after it has released the lock of its pid file.
const CLOSING: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// Binds the address; does not serve yet.
///
/// # Errors
/// The address cannot be bound.
pub fn listen(web: &Web) -> Result<TcpListener> {
    let until = Instant::now() + CLOSING;
    loop {
        match TcpListener::bind(web.addresses.as_slice()) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => thread::sleep(PAUSE),
            bound => return bound.map_err(|error| refused(web, "cannot listen at", error)),
        }
    }
}

/// A running server; it ends when this is dropped.
pub struct Running {
    pub address: SocketAddr,
    /// The addresses that it was configured with.
    asked: Vec<SocketAddr>,
    news: UnboundedSender<Box<News>>,
}

/// Binds the address, and serves in a thread of its own.
///
/// # Errors
/// The address cannot be bound.
pub fn start(web: Web, pages: Pages) -> Result<Running> {
    let listener = listen(&web)?;
    serve(web, listener, pages)
}

/// Serves in a thread of its own.
///
/// # Errors
/// The thread could not be started.
pub fn serve(web: Web, listener: TcpListener, pages: Pages) -> Result<Running> {
    let refused = |what: &str, error: std::io::Error| refused(&web, what, error);
    let address = listener.local_addr().map_err(|error| refused("cannot listen at", error))?;
    let (doors, asked) = (doors(&web, address, &pages), web.addresses.clone());
    let (news, heard) = unbounded_channel();
    thread::Builder::new()
        .name("web".into())
        .stack_size(STACK)
        .spawn(move || server::serve(listener, doors, pages, heard))
        .map_err(|error| refused("no thread to serve", error))?;
    log::info!("web server: listening at {address}");
    Ok(Running { address, asked, news })
}

/// How a running server gets to its new address.
pub enum Move {
    Stays,
    /// With this listener.
    To(TcpListener),
    /// The new address has the same port and can only be bound after the old one is closed.
    Instead,
}

impl Running {
    /// Prepares a change to these settings; changes nothing yet.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn prepare(&self, web: &Web) -> Result<Move> {
        if web.addresses == self.asked {
            return Ok(Move::Stays);
        }
        let is_own_port = web.addresses.iter().any(|address| address.port() == self.address.port());
        match TcpListener::bind(web.addresses.as_slice()) {
            Ok(listener) => Ok(Move::To(listener)),
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_own_port => Ok(Move::Instead),
            Err(error) => Err(refused(web, "cannot listen at", error)),
        }
    }

    /// Applies new settings to all later connections.
    ///
    /// # Errors
    /// The address cannot be bound after all, so the server stays at the old one.
    pub fn renew(&mut self, web: Web, to: Move, pages: Pages) -> Result<()> {
        let gone = |error| refused(&web, "is not there any more to listen at", error);
        let (address, place, heard) = match to {
            Move::Stays => (self.address, None, None),
            Move::To(listener) => (listener.local_addr().map_err(gone)?, Some(Elsewhere::Listener(listener)), None),
            Move::Instead => {
                let address = web.addresses.first().copied().unwrap_or(self.address);
                let (outcome, heard) = channel();
                (address, Some(Elsewhere::Instead(web.addresses.clone(), outcome)), Some(heard))
            }
        };
        let (doors, is_moved) = (doors(&web, address, &pages), place.is_some());
        self.news.send(Box::new(News { doors, pages, place })).map_err(|_| gone(ErrorKind::NotConnected.into()))?;
        if let Some(Ok(Err(error))) = heard.map(|heard| heard.recv_timeout(PATIENCE)) {
            return Err(refused(&web, "goes on where it was, because it cannot listen at", error));
        }
        self.asked.clone_from(&web.addresses);
        self.address = address;
        if is_moved {
            log::info!("web server: listening at {}", self.address);
        }
        Ok(())
    }
}

/// The access rules of a server at that address.
fn doors(web: &Web, address: SocketAddr, pages: &Pages) -> Doors {
    let Web { allowed, hosts, login, nag, .. } = web.clone();
    if !address.ip().is_loopback() && allowed.admits_others() && !login.is_needed() {
        log::warn!(
            "web server: allowedip lets other machines see the page, and nobody has to log in: \
             set webuser and webpassword in [WebServer]"
        );
    }
    let hosts = hosts.with(&[&pages.programs.identity().host, &host_names::node_name()]);
    Doors { allowed, hosts, login, nag }
}
