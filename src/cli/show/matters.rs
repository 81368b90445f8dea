//! Which metrics matter first: those of the charts at the top of the page, then those of each check's first chart, and so on.

use crate::check::chart::Chart;
use crate::checks;
use std::collections::HashMap;

/// The place of a metric, the lowest first: that of its chart on the overview, in its check, the check, that in the chart; and the tag and
/// value that the chart shows of it alone.
#[derive(Clone, Copy)]
pub struct Rank {
    place: [usize; 4],
    only: Option<(&'static str, &'static str)>,
}

const LAST: [usize; 4] = [usize::MAX; 4];

/// Ranks of metrics by their names, each looked up once.
#[derive(Default)]
pub struct Ranks(HashMap<String, Rank>);

impl Ranks {
    /// The place of a series of that metric with those tags, as `key=value`.
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
