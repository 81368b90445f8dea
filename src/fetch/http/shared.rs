//! What all HTTP clients of checks share: the thread that drives their connections, name resolution, and the TLS
//! configurations.

use crate::model::error::plain;
use crate::net::http::MAX_AGE;
use crate::net::names::{self, Lookup};
use crate::net::tls::Tls;
use reqwest::Client;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;
use tokio::runtime::Handle;

/// Stack size of the thread that drives all connections, in bytes.
const STACK: usize = 512 << 10;

/// A client, and when it or its TLS configuration was created.
pub(super) struct Made {
    pub(super) client: Client,
    pub(super) born: Instant,
}

/// Shared by all clients.
pub(super) struct Common {
    /// The runtime of the thread that drives all connections. A check waits for its answers in its own thread.
    pub(super) runtime: Handle,
    pub(super) lookup: Lookup,
    /// TLS configurations by TLS keys; the key `None` is for plain HTTP.
    pub(super) trusts: Mutex<HashMap<Option<Tls>, SharedTrust>>,
}

/// `None` until the files have been read.
type SharedTrust = Arc<Mutex<Option<Trust>>>;

/// A TLS configuration with the certificates that servers with the same TLS keys trust.
#[derive(Clone)]
pub(super) struct Trust {
    pub(super) config: ClientConfig,
    pub(super) born: Instant,
}

impl Trust {
    fn read(tls: Option<&Tls>) -> Result<Trust, String> {
        let config = tls.map_or_else(Tls::none, Tls::config).map_err(|error| error.to_string())?;
        Ok(Trust { config, born: Instant::now() })
    }

    fn is_fresh(&self) -> bool {
        self.born.elapsed() < MAX_AGE
    }
}

/// Created at the first request, because it must not exist when the daemon forks.
static COMMON: Mutex<Option<Arc<Common>>> = Mutex::new(None);

impl Common {
    /// The shared state, created on first use.
    ///
    /// # Errors
    /// The system cannot create the runtime or its thread; the text says why.
    pub(super) fn get() -> Result<Arc<Common>, String> {
        let mut common = lock(&COMMON);
        if let Some(common) = &*common {
            return Ok(Arc::clone(common));
        }
        Ok(Arc::clone(common.insert(Arc::new(Common::start()?))))
    }

    fn start() -> Result<Common, String> {
        let runtime = names::runtime().map_err(|error| plain(&error))?;
        let handle = runtime.handle().clone();
        let drive = move || runtime.block_on(pending::<()>());
        let thread = thread::Builder::new().name("pages".into()).stack_size(STACK).spawn(drive);
        thread.map_err(|error| plain(&error))?;
        Ok(Common { runtime: handle, lookup: names::system(), trusts: Mutex::default() })
    }

    /// The TLS configuration for these keys, from the cache or read from the files. Only callers with the same keys
    /// wait while files are read, which may hang. With `is_anew` the files are read for this caller only, and the cache
    /// stays as it is, so that problems with one server do not affect others.
    pub(super) fn trust(&self, tls: Option<&Tls>, is_anew: bool) -> Result<Trust, String> {
        if is_anew && tls.is_some() {
            return Trust::read(tls);
        }
        let shared = {
            let mut trusts = lock(&self.trusts);
            trusts.retain(|_, trust| is_worth_keeping(trust));
            Arc::clone(trusts.entry(tls.cloned()).or_default())
        };
        let mut trust = lock(&shared);
        match &*trust {
            Some(trust) if trust.is_fresh() => Ok(trust.clone()),
            _ => Ok(trust.insert(Trust::read(tls)?).clone()),
        }
    }
}

/// Whether it is being read, or is fresh.
fn is_worth_keeping(trust: &SharedTrust) -> bool {
    trust.try_lock().map_or(true, |trust| trust.as_ref().is_some_and(Trust::is_fresh))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
