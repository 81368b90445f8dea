//! Ranks metrics by importance: first those of the overview's charts, then those of each check's first chart, etc.

use crate::check::chart::Chart;
use crate::checks;
use std::collections::HashMap;

/// The rank of a metric, lowest first: its chart's place on the overview, the chart's place in its check, the check's
/// place, the metric's place in the chart. `only` is a tag and value if the chart shows only series with these.
#[derive(Clone, Copy)]
pub struct Rank {
    place: [usize; 4],
    only: Option<(&'static str, &'static str)>,
}

const LAST: [usize; 4] = [usize::MAX; 4];

/// A cache of ranks by metric name.
#[derive(Default)]
pub struct Ranks(HashMap<String, Rank>);

impl Ranks {
    /// The rank of a series with that metric and these tags, as `key=value`.
    pub fn of(&mut self, metric: &str, tags: &[String]) -> [usize; 4] {
        let known = self.0.get(metric).copied();
        let Rank { place, only } = known.unwrap_or_else(|| {
            let rank = rank(metric);
            self.0.insert(metric.into(), rank);
            rank
        });
        let is_shown = only.is_none_or(|(key, value)| tags.iter().any(|tag| *tag == format!("{key}={value}")));
        if is_shown { place } else { LAST }
    }
}

fn rank(metric: &str) -> Rank {
    let field = checks::field(metric, |_| true);
    let mut best = Rank { place: LAST, only: None };
    for (check, spec) in checks::all().enumerate() {
        for (at, chart) in spec.charts.iter().enumerate() {
            let Some(within) = chart.names().position(|name| field.is_some_and(|field| field.metric == name)) else {
                continue;
            };
            let place = [on_overview(chart), at, check, within];
            if place < best.place {
                best = Rank { place, only: chart.look.only };
            }
        }
    }
    best
}

fn on_overview(chart: &Chart) -> usize {
    chart.look.first.map_or(usize::from(u8::MAX), usize::from)
}
