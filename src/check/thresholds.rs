//! When a percentage raises a warning or an error, and when it clears.

use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::Level;

/// Default of `hysteresis`: how far below its threshold a percentage must fall to leave the level, in percentage
/// points.
const HYSTERESIS: f64 = 2.0;
/// Maximum threshold in percent. The load relative to the number of CPUs can be many times 100%.
const MOST: f64 = 10_000.0;

/// The keys `static_enabled`, `high`, `severe` and `hysteresis` of a section.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub is_enabled: bool,
    high: f64,
    severe: f64,
    hysteresis: f64,
}

impl Thresholds {
    /// The keys that [`Thresholds::read`] reads.
    pub const KEYS: &[&str] = &["static_enabled", "high", "severe", "hysteresis"];

    /// Reads the keys; `high` and `severe` are the defaults.
    ///
    /// # Errors
    /// A value is no percentage, `high` is above `severe`, or the hysteresis is so large that a warning would never
    /// clear.
    pub fn read(section: &Section, high: f64, severe: f64) -> Result<Thresholds> {
        let is_enabled = section.flag("static_enabled", true)?;
        let [high, severe] = [("high", high), ("severe", severe)]
            .map(|(key, default)| section.within(key, default, 0.0..=MOST, "percent"));
        let (high, severe) = (high?, severe?);
        let hysteresis = section.within("hysteresis", HYSTERESIS, 0.0..=MOST, "percentage points")?;
        if is_enabled && high > severe {
            let problem = format!("{high} is above severe, which is {severe}, so no warning would come; lower it");
            return Err(section.problem("high", &problem));
        }
        if is_enabled && hysteresis > high && section.text("hysteresis").is_some() {
            let problem = format!("{hysteresis} is more than high, which is {high}, so no warning would end; lower it");
            return Err(section.problem("hysteresis", &problem));
        }
        Ok(Thresholds { is_enabled, high, severe, hysteresis })
    }

    /// The level of a percentage, given the level before. A level that was reached is left only when the percentage
    /// falls below its threshold by more than the hysteresis, so a value near the threshold does not flap. `None` if
    /// events are switched off.
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
