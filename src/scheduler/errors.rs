//! Errors of checks as health events, for a sink that takes events: each text of a check at most once in ten minutes.

use crate::model::point::{HealthEvent, Level, Text, Tick};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(600);
/// Most texts per check within that time, so that a text that changes with each run does not become a flood.
const TEXTS: usize = 16;

/// The errors of one check that were sent.
#[derive(Default)]
pub struct Errors {
    sent: HashMap<String, Instant>,
}

impl Errors {
    /// The event, unless the same text was sent already.
    pub fn event(&mut self, check: &Text, check_type: &Text, text: &str, tick: Tick) -> Option<HealthEvent> {
        self.sent.retain(|_, sent| tick.at.saturating_duration_since(*sent) < EVERY);
        if self.sent.len() >= TEXTS || self.sent.contains_key(text) {
            return None;
        }
        self.sent.insert(text.into(), tick.at);
        Some(HealthEvent {
            name: check.clone(),
            level: Level::Error,
            message: text.into(),
            reaction: -1,
            time: tick.wall,
            check_type: check_type.clone(),
        })
    }
}
