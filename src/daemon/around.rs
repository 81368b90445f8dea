//! What a reload does not replace, and what the web server shows of it.

use super::self_metrics;
use crate::check::Spec;
use crate::check::chart::{Drawn, charts};
use crate::checks;
use crate::config::settings::Settings;
use crate::delivery::queue::Queue;
use crate::fetch::program::Programs;
use crate::sink;
use crate::sink::prometheus::Exposition;
use crate::status::Sources;
use crate::web::Pages;
use serde_json::Value;
use std::sync::Arc;

/// The charts of these checks, each check once.
fn drawn(names: &[&str]) -> Vec<Drawn> {
    let specs = checks::all().filter(|spec| names.contains(&spec.name));
    charts(specs.map(|spec| spec as &Spec))
}

fn charts_of(names: &[&str]) -> Value {
    drawn(names).iter().map(Drawn::to_json).collect()
}

/// The same with the daemon's own charts.
fn charts_with_own(names: &[&str]) -> Value {
    drawn(names).into_iter().chain(self_metrics::charts()).map(|chart| chart.to_json()).collect()
}

/// The unit of a metric of a check or of the daemon itself.
fn unit(metric: &str) -> Option<&'static str> {
    checks::unit(metric).or_else(|| self_metrics::unit(metric))
}

/// What a reload does not replace.
pub struct Around {
    pub queue: Arc<Queue>,
    pub programs: Arc<Programs>,
    pub sources: Sources,
}

impl Around {
    /// What the web server shows for a daemon with these settings.
    pub fn pages(&self, settings: &Settings, exposition: Option<Arc<Exposition>>) -> Pages {
        let Settings { home, own, tsdb, .. } = settings;
        Pages {
            sources: self.sources.clone(),
            charts: if settings.tells_itself() { charts_with_own } else { charts_of },
            unit,
            exposition,
            store: sink::local_file(tsdb, home).ok(),
            period: own.check_period,
            programs: Arc::clone(&self.programs),
        }
    }
}
