//! Errors of checks as health events, for a sink that takes events: each text of a check once in ten minutes.

use crate::model::point::{HealthEvent, Level, Text, Tick};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(600);
/// Texts of one check within that time. A text that changes with each run shall not become a flood.
const TEXTS: usize = 16;

/// What was told of one check.
#[derive(Default)]
pub struct Errors {
    told: HashMap<String, Instant>,
}

impl Errors {
    /// The event, unless it was told already.
    pub fn event(&mut self, check: &Text, check_type: &Text, text: &str, tick: Tick) -> Option<HealthEvent> {
        self.told.retain(|_, told| tick.at.saturating_duration_since(*told) < EVERY);
        if self.told.len() >= TEXTS || self.told.contains_key(text) {
            return None;
        }
        self.told.insert(text.into(), tick.at);
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
