//! The charts of a check, declared beside its metric tables. The web page and the Grafana dashboards are generated
//! from them.

use super::Spec;
use crate::model::table::{Field, How};
use serde_json::{Map, Value, json};

/// Maximum number of metrics in one generated chart.
const LINES: usize = 8;

/// A chart as a check declares it.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    pub title: &'static str,
    /// In drawing order. A name with braces is a pattern, as in [`Field::metric`].
    pub metrics: &'static [&'static str],
    pub look: Look,
}

/// Which series of the metrics a chart shows, and how it draws them.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Metrics drawn below the axis.
    pub below: &'static [&'static str],
    /// Show only series that have this tag with this value.
    pub only: Option<(&'static str, &'static str)>,
    /// Tag, and prefixes of its values; series with such a value are left out. A prefix that starts with `*` matches
    /// anywhere in the value.
    pub without: Option<(&'static str, &'static [&'static str])>,
    /// Draw one line per value of this tag; series without the tag are left out if others have it. `None`: one line per
    /// metric.
    pub each: Option<&'static str>,
    /// Add up all series of a metric.
    pub sum: bool,
    pub stacked: bool,
    /// Upper end of an axis that starts at 0. `None`: the page scales the axis to the data.
    pub full: Option<f64>,
    /// Names of the health events shown with this chart; a name with braces is a pattern.
    pub events: &'static [&'static str],
    /// Position on the overview, lowest first. `None`: not on the overview.
    pub first: Option<u8>,
    pub tile: Option<Tile>,
}

/// The number at the top of the page that is computed from a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    Cpu,
    Memory,
    Disk,
    Network,
    Uptime,
}

impl Tile {
    /// The name of the tile on the web page.
    pub fn word(self) -> &'static str {
        match self {
            Tile::Cpu => "cpu",
            Tile::Memory => "memory",
            Tile::Disk => "disk",
            Tile::Network => "network",
            Tile::Uptime => "uptime",
        }
    }
}

const PLAIN: Look = Look {
    below: &[],
    only: None,
    without: None,
    each: None,
    sum: false,
    stacked: false,
    full: None,
    events: &[],
    first: None,
    tile: None,
};

impl Chart {
    /// The title must be unique within the check.
    pub const fn new(title: &'static str) -> Chart {
        Chart { title, metrics: &[], look: PLAIN }
    }

    /// The metrics of the chart. They must have one unit; counts of different things may share a chart.
    pub const fn of(mut self, metrics: &'static [&'static str]) -> Chart {
        self.metrics = metrics;
        self
    }

    /// A chart with two directions, for example received and sent: `above` is drawn above the axis, `below` below it.
    pub const fn mirror(mut self, above: &'static [&'static str], below: &'static [&'static str]) -> Chart {
        self.metrics = above;
        self.look.below = below;
        self
    }

    /// Shows only series that have this tag with this value.
    pub const fn only(mut self, tag: &'static str, value: &'static str) -> Chart {
        self.look.only = Some((tag, value));
        self
    }

    /// Leaves out series whose tag value starts with one of these prefixes; a prefix that starts with `*` matches
    /// anywhere in the value.
    pub const fn without(mut self, tag: &'static str, begins: &'static [&'static str]) -> Chart {
        self.look.without = Some((tag, begins));
        self
    }

    /// Draws one line per value of this tag.
    pub const fn each(mut self, tag: &'static str) -> Chart {
        self.look.each = Some(tag);
        self
    }

    /// Adds up all series of a metric into one line.
    pub const fn sum(mut self) -> Chart {
        self.look.sum = true;
        self
    }

    /// Stacks the lines, for parts of a whole.
    pub const fn stacked(mut self) -> Chart {
        self.look.stacked = true;
        self
    }

    /// Fixes the axis to the range from 0 to `most`.
    pub const fn full(mut self, most: f64) -> Chart {
        self.look.full = Some(most);
        self
    }

    /// Shows these health events with the chart; a name with braces is a pattern.
    pub const fn events(mut self, names: &'static [&'static str]) -> Chart {
        self.look.events = names;
        self
    }

    /// Puts the chart on the overview; the lowest `place` comes first.
    pub const fn first(mut self, place: u8) -> Chart {
        self.look.first = Some(place);
        self
    }

    /// Feeds this number at the top of the page.
    pub const fn tile(mut self, tile: Tile) -> Chart {
        self.look.tile = Some(tile);
        self
    }

    /// All metrics of the chart, above and below the axis.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.metrics.iter().chain(self.look.below).copied()
    }

    /// The unit of the axis; empty for counts of different things. `None` if the units cannot share an axis, or if a
    /// metric is not in the tables of `spec`.
    pub fn unit(&self, spec: &Spec) -> Option<&'static str> {
        let unit = |name| spec.field(name).map(drawn_unit).filter(|unit| !unit.is_empty());
        let units = self.names().map(unit).collect::<Option<Vec<_>>>()?;
        let first = *units.first()?;
        if units.iter().all(|unit| *unit == first) {
            return Some(first);
        }
        units.iter().all(|unit| !MEASURES.contains(unit)).then_some("")
    }
}

/// Units of measured quantities. Every other unit is the plural noun of the thing that is counted.
pub const MEASURES: &[&str] = &[
    "%",
    "bytes",
    "bytes/s",
    "KiB",
    "KiB/s",
    "s",
    "ms",
    "us",
    "ns",
    "s/s",
    "ms/s",
    "us/s",
    "ns/s",
    "days",
    "1/s",
    "packets/s",
    "pages/s",
    "ratio",
    "state",
    "code",
    "bits",
    "0 or 1",
    "unix s",
    "unix us",
    "Mbit/s",
    "MHz",
    "MiB",
    "mW",
    "°C",
];

/// The unit in which a metric is drawn. A counter is drawn as its change per second.
pub fn drawn_unit(field: &Field) -> &'static str {
    match (field.how, field.unit) {
        (How::Counter, "bytes") => "bytes/s",
        (How::Counter, "KiB") => "KiB/s",
        (How::Counter, "s") => "s/s",
        (How::Counter, "ms") => "ms/s",
        (How::Counter, "us") => "us/s",
        (How::Counter, "ns") => "ns/s",
        (How::Counter, unit) if !unit.is_empty() => "1/s",
        (_, unit) => unit,
    }
}

/// A chart as the page draws it, declared by the check or generated.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub check: &'static str,
    pub title: String,
    pub unit: &'static str,
    pub metrics: Vec<&'static str>,
    pub look: Look,
}

/// The charts of all these checks in page order: first those of the overview, then the charts of each check.
pub fn charts<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Vec<Drawn> {
    let mut all: Vec<Drawn> = specs.into_iter().flat_map(of).collect();
    all.sort_by_key(|chart| chart.look.first.unwrap_or(u8::MAX));
    all
}

/// The charts that a check declares, and generated charts for its remaining metrics: metrics of one table with one unit
/// share a chart. Metrics without a unit get no chart here; the page makes one chart for each of them.
fn of(spec: &Spec) -> Vec<Drawn> {
    let declared = |chart: &Chart| {
        let (check, title, metrics) = (spec.name, chart.title.into(), chart.metrics.to_vec());
        Drawn { check, title, unit: chart.unit(spec).unwrap_or_default(), metrics, look: chart.look }
    };
    let mut charts: Vec<Drawn> = spec.charts.iter().map(declared).collect();
    let mut taken: Vec<&str> = spec.charts.iter().flat_map(Chart::names).collect();
    let mut others: Vec<Drawn> = Vec::new();
    for table in spec.fields {
        let begun = others.len();
        for field in *table {
            let (unit, metric) = (drawn_unit(field), field.metric);
            if unit.is_empty() || taken.contains(&metric) {
                continue;
            }
            taken.push(metric);
            // A pattern may stand for any number of lines, so it gets a chart of its own.
            let is_alone = |chart: &Drawn| chart.metrics.iter().chain([&metric]).any(|name| name.contains('{'));
            let has_room = |chart: &&mut Drawn| chart.unit == unit && chart.metrics.len() < LINES && !is_alone(chart);
            match others.iter_mut().skip(begun).find(has_room) {
                Some(chart) => chart.metrics.push(metric),
                None => {
                    let (check, title) = (spec.name, String::new());
                    others.push(Drawn { check, title, unit, metrics: vec![metric], look: PLAIN });
                }
            }
        }
    }
    for mut chart in others {
        chart.title = match &*chart.metrics {
            [only] => only.to_string(),
            _ => title(chart.unit, &charts),
        };
        charts.push(chart);
    }
    charts
}

/// A title for a generated chart that no other chart of the check has.
fn title(unit: &str, charts: &[Drawn]) -> String {
    let words = match unit {
        "%" => "Shares",
        "bytes" | "KiB" => "Sizes",
        "bytes/s" | "KiB/s" => "Traffic",
        "s" | "ms" | "us" | "ns" | "days" => "Times",
        "unix s" | "unix us" => "Times of day",
        "0 or 1" | "state" | "code" => "States",
        unit if unit.ends_with("/s") => "Rates",
        unit => unit,
    };
    let mut letters = words.chars();
    let words: String = letters.next().iter().flat_map(|first| first.to_uppercase()).chain(letters).collect();
    let names = std::iter::once(words.clone()).chain((2..).map(|number| format!("{words} {number}")));
    names.into_iter().find(|name| charts.iter().all(|chart| chart.title != *name)).unwrap_or(words)
}

impl Drawn {
    /// The chart in the JSON form that the page reads.
    pub fn to_json(&self) -> Value {
        let Look { below, only, without, each, sum, stacked, full, events, first, tile } = self.look;
        let mut members = Map::new();
        let mut put = |key: &str, value: Value| _ = members.insert(key.into(), value);
        put("title", json!(self.title));
        put("check", json!(self.check));
        put("unit", json!(self.unit));
        put("metrics", json!(self.metrics));
        let optional = [
            ("below", (!below.is_empty()).then(|| json!(below))),
            ("only", only.map(|(tag, value)| json!({ tag: value }))),
            ("without", without.map(|(tag, begins)| json!({ tag: begins }))),
            ("each", each.map(|tag| json!(tag))),
            ("sum", sum.then_some(json!(true))),
            ("stacked", stacked.then_some(json!(true))),
            ("full", full.map(|most| json!(most))),
            ("events", (!events.is_empty()).then(|| json!(events))),
            ("first", first.map(|_| json!(true))),
            ("tile", tile.map(|tile| json!(tile.word()))),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                put(key, value);
            }
        }
        Value::Object(members)
    }
}
