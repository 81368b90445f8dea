//! What all conversations share: the runtime that drives them, and whom servers with the same keys of TLS trust.

use crate::model::error::plain;
use crate::net::http::MAX_AGE;
use crate::net::names::{self, Lookup};
use crate::net::tls::Tls;
use reqwest::Client;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

/// A client, and when it or what it trusts was made.
pub(super) struct Made {
    pub(super) client: Client,
    pub(super) born: Instant,
}

/// What all conversations have in common.
pub(super) struct Common {
    /// Driven by those who wait on it, one at a time; each waits for no other than its own pages.
    pub(super) runtime: Runtime,
    pub(super) lookup: Lookup,
    /// By the keys of TLS; `None` is for plain HTTP.
    pub(super) trusts: Mutex<HashMap<Option<Tls>, SharedTrust>>,
}

/// `None` until somebody has read it.
type SharedTrust = Arc<Mutex<Option<Trust>>>;

/// Whom servers with the same keys of TLS trust.
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

/// Made at the first request: before the daemon forks there must be none.
static COMMON: OnceLock<Common> = OnceLock::new();

impl Common {
    pub(super) fn get() -> Result<&'static Common, String> {
        if let Some(common) = COMMON.get() {
            return Ok(common);
        }
        let runtime = names::runtime().map_err(|error| plain(&error))?;
        Ok(COMMON.get_or_init(|| Common { runtime, lookup: names::system(), trusts: Mutex::default() }))
    }

    /// Tidies where anybody has asked anything yet.
    pub(super) fn tidy_if_made() {
        if let Some(common) = COMMON.get() {
            common.tidy();
        }
    }

    /// Lets connections notice that the server has closed them, or that nobody here wants them any more.
    pub(super) fn tidy(&self) {
        self.runtime.block_on(async {
            yield_now().await;
            yield_now().await;
        });
    }

    /// As one of those read it who have the same keys, and wait for it: files may hang. With `is_anew` it is read now, for the one
    /// who asks alone: what is wrong with one server changes no other.
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

/// One that is being read, or is not too old.
fn is_worth_keeping(trust: &SharedTrust) -> bool {
    trust.try_lock().map_or(true, |trust| trust.as_ref().is_some_and(Trust::is_fresh))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
