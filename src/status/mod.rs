//! The state of the daemon, for `puypuy status`, the page, `/health`, `/metrics` and the own metrics.
//!
//! Each part publishes its own state (`state` for checks, `delivery/status` for delivery, the tick loop its beat). Here
//! they are combined on request. *Invariant:* nothing here waits for a check, the network or a disk, so that an answer
//! comes at once.

pub mod health;
pub mod numbers;
pub mod overview;

use crate::config::settings::Settings;
use crate::delivery::Moment;
use crate::delivery::status::Status;
use crate::model::beat::Beat;
use crate::model::point::Identity;
use crate::state::{Board, State};
use crate::sys::usage::Usage;
use crate::sys::zone;
use overview::Overview;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The daemon's configuration, as far as it is shown.
#[derive(Clone)]
pub struct About {
    pub host: String,
    /// Unix seconds.
    pub started: i64,
    pub period: Duration,
    /// Name of the sink.
    pub sink: &'static str,
    /// Path of the configuration that was read.
    pub file: PathBuf,
    /// Whether its own metrics go to the sink.
    pub tells_itself: bool,
    /// A configuration file that was changed after it was read; `None` if there is none.
    pub newer: Option<String>,
}

impl About {
    /// From settings that were just read; `started` is in Unix seconds.
    pub fn of(settings: &Settings, identity: &Identity, sink: &'static str, started: i64) -> About {
        About {
            host: identity.host.to_string(),
            started,
            period: settings.own.check_period,
            sink,
            file: settings.file.clone(),
            tells_itself: settings.tells_itself(),
            newer: None,
        }
    }
}

/// Access to everything that is published.
#[derive(Clone)]
pub struct Sources {
    /// Replaced as a whole by a reload.
    about: Arc<Mutex<Arc<About>>>,
    /// Published by delivery.
    delivery: Arc<Mutex<Status>>,
    /// The states of the checks.
    board: Arc<Board>,
    /// When the newest tick was.
    pub beat: Arc<Beat>,
}

impl Sources {
    pub fn new(about: About, delivery: Arc<Mutex<Status>>, board: Arc<Board>, beat: Arc<Beat>) -> Sources {
        Sources { about: Arc::new(Mutex::new(Arc::new(about))), delivery, board, beat }
    }

    /// The daemon's configuration, as far as it is shown.
    pub fn about(&self) -> Arc<About> {
        Arc::clone(&self.about.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces that after a reload.
    pub fn renew(&self, about: About) {
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(about);
    }

    /// The present state of everything.
    pub fn now(&self) -> Now {
        let delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (age, lateness, silence) = (self.beat.age(), self.beat.lateness(), self.beat.silence(self.about().period));
        let (at, checks, usage) = (Moment::now(), self.board.states(), Usage::now());
        Now { at, delivery, checks, age, lateness, silence, usage }
    }

    /// That state as the members of a JSON object.
    pub fn overview(&self, now: Now) -> Map<String, Value> {
        Overview { about: &self.about(), zone: &zone::name(), now }.json()
    }
}

/// The state of everything at one moment.
pub struct Now {
    pub at: Moment,
    pub delivery: Status,
    pub checks: Vec<State>,
    /// Of the newest tick: its age, and how late it began.
    pub age: Duration,
    pub lateness: Duration,
    /// The age, if it is too high; `None` otherwise.
    pub silence: Option<Duration>,
    /// `None` if /proc cannot be read.
    pub usage: Option<Usage>,
}
