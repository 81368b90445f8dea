//! When a percentage becomes a warning and an error, and when it is none any more.

use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::Level;

/// How far below a threshold a percentage must fall, in percentage points.
const HYSTERESIS: f64 = 2.0;
/// Of the processors, a load can be many times the whole.
const MOST: f64 = 10_000.0;

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
    /// A value that is no percentage, `high` above `severe`, or a hysteresis with which no judgement would ever end.
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
