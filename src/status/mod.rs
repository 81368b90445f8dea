//! How the daemon is: the one source of `puypuy status`, the page, `/health`, `/metrics` and what it tells of itself as points.
//!
//! Those who work publish (`state` for checks, `delivery/status` for delivery, the tick loop its beat); here it is put together when
//! somebody asks. *Invariant:* nothing here waits for a check, the network or a disk: who asks has an answer at once.

pub mod health;
pub mod numbers;
pub mod overview;

use crate::delivery::Moment;
use crate::delivery::status::Status;
use crate::model::beat::Beat;
use crate::state::{Board, State};
use crate::sys::usage::Usage;
use crate::sys::zone;
use overview::{About, Overview};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where all that is published can be read.
#[derive(Clone)]
pub struct Sources {
    /// Exchanged as a whole when the configuration is.
    about: Arc<Mutex<Arc<About>>>,
    /// Of delivery.
    delivery: Arc<Mutex<Status>>,
    /// Of the checks.
    board: Arc<Board>,
    /// When the newest tick was.
    pub beat: Arc<Beat>,
}

impl Sources {
    pub fn new(about: About, delivery: Arc<Mutex<Status>>, board: Arc<Board>, beat: Arc<Beat>) -> Sources {
        Sources { about: Arc::new(Mutex::new(Arc::new(about))), delivery, board, beat }
    }

    /// What the daemon is by its configuration.
    pub fn about(&self) -> Arc<About> {
        Arc::clone(&self.about.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same from now on.
    pub fn renew(&self, about: About) {
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(about);
    }

    /// How all of it is now.
    pub fn now(&self) -> Now {
        let delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (age, lateness, silence) = (self.beat.age(), self.beat.lateness(), self.beat.silence(self.about().period));
        let (at, checks, usage) = (Moment::now(), self.board.states(), Usage::now());
        Now { at, delivery, checks, age, lateness, silence, usage }
    }

    /// The same as the members of a JSON object.
    pub fn overview(&self, now: Now) -> Map<String, Value> {
        Overview { about: &self.about(), zone: &zone::name(), now }.json()
    }
}

/// What there is to tell at a moment.
pub struct Now {
    pub at: Moment,
    pub delivery: Status,
    pub checks: Vec<State>,
    /// Of the newest tick: how old it is, and how long after it was due it began.
    pub age: Duration,
    pub lateness: Duration,
    /// Its age again, where that is too old.
    pub silence: Option<Duration>,
    /// `None` where the kernel does not say.
    pub usage: Option<Usage>,
}
