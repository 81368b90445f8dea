//! When a percentage becomes a warning and an error, and when it is none any more.

use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::Level;

/// How far below a threshold a percentage must fall, in percentage points.
const HYSTERESIS: f64 = 2.0;

/// `static_enabled`, `high`, `severe` and `hysteresis` of a section.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub is_enabled: bool,
    high: f64,
    severe: f64,
    hysteresis: f64,
}

impl Thresholds {
    /// What [`Thresholds::read`] reads.
    pub const KEYS: &[&str] = &["static_enabled", "high", "severe", "hysteresis"];

    /// Reads the keys; the numbers given here stand where a key is missing.
    ///
    /// # Errors
    /// A value that is no number, or a hysteresis below 0.
    pub fn read(section: &Section, high: f64, severe: f64) -> Result<Thresholds> {
        let hysteresis = section.number("hysteresis", HYSTERESIS)?;
        if hysteresis < 0.0 {
            return Err(section.wrong("hysteresis", "expected percentage points, 0 or more"));
        }
        Ok(Thresholds {
            is_enabled: section.flag("static_enabled", true)?,
            high: section.number("high", high)?,
            severe: section.number("severe", severe)?,
            hysteresis,
        })
    }

    /// The judgement of a percentage that was judged so before: a level once reached is left only well below its threshold,
    /// so that a value on the edge does not flap. `None` when events are switched off.
    pub fn judge(&self, percent: f64, before: Level) -> Option<Level> {
        let reaches = |threshold: f64, level: Level| {
            percent >= threshold || (before >= level && percent > threshold - self.hysteresis)
        };
        self.is_enabled.then(|| match () {
            () if reaches(self.severe, Level::Error) => Level::Error,
            () if reaches(self.high, Level::Warning) => Level::Warning,
            () => Level::Ok,
        })
    }
}
