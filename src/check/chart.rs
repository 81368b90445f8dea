//! The charts of a check: data beside its tables, from which the page and the dashboards for Grafana are made.

use super::Spec;
use crate::model::table::{Field, How};
use serde_json::{Map, Value, json};

/// Most metrics of a chart that nobody has laid out.
const LINES: usize = 8;

/// A chart as a check declares it.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    pub title: &'static str,
    /// In the order in which they are drawn. One with braces is a pattern, as in tables.
    pub metrics: &'static [&'static str],
    pub look: Look,
}

/// Which series of its metrics a chart shows, and how.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Drawn below the axis.
    pub below: &'static [&'static str],
    /// Tag and value that a series must have.
    pub only: Option<(&'static str, &'static str)>,
    /// A tag, and beginnings of its values that are left out; behind a `*` what may stand anywhere in the value.
    pub without: Option<(&'static str, &'static [&'static str])>,
    /// A line for each value of that tag; without it one for each metric.
    pub each: Option<&'static str>,
    /// All series of a metric added up.
    pub sum: bool,
    pub stacked: bool,
    /// The axis goes from 0 to this.
    pub full: Option<f64>,
    /// Health events that belong to it; with braces as metrics.
    pub events: &'static [&'static str],
    /// Its place on the overview, the lowest at the top.
    pub first: Option<u8>,
    pub tile: Option<Tile>,
}

/// The number at the top of the page that a chart feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    Cpu,
    Memory,
    Disk,
    Network,
    Uptime,
}

impl Tile {
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
    /// Unique in a check.
    pub const fn new(title: &'static str) -> Chart {
        Chart { title, metrics: &[], look: PLAIN }
    }

    /// Metrics of one unit; things that are counted may stand beside each other.
    pub const fn of(mut self, metrics: &'static [&'static str]) -> Chart {
        self.metrics = metrics;
        self
    }

    /// The first above the axis, the second below: what comes in, and what goes out.
    pub const fn mirror(mut self, above: &'static [&'static str], below: &'static [&'static str]) -> Chart {
        self.metrics = above;
        self.look.below = below;
        self
    }

    /// Series with that tag alone.
    pub const fn only(mut self, tag: &'static str, value: &'static str) -> Chart {
        self.look.only = Some((tag, value));
        self
    }

    /// No series whose tag begins so; behind a `*`, holds it.
    pub const fn without(mut self, tag: &'static str, begins: &'static [&'static str]) -> Chart {
        self.look.without = Some((tag, begins));
        self
    }

    /// A line for each value of that tag.
    pub const fn each(mut self, tag: &'static str) -> Chart {
        self.look.each = Some(tag);
        self
    }

    /// All series of a metric as one line.
    pub const fn sum(mut self) -> Chart {
        self.look.sum = true;
        self
    }

    /// One upon the other: parts of a whole.
    pub const fn stacked(mut self) -> Chart {
        self.look.stacked = true;
        self
    }

    /// From 0 to that number.
    pub const fn full(mut self, most: f64) -> Chart {
        self.look.full = Some(most);
        self
    }

    pub const fn events(mut self, names: &'static [&'static str]) -> Chart {
        self.look.events = names;
        self
    }

    /// On the overview, at that place.
    pub const fn first(mut self, place: u8) -> Chart {
        self.look.first = Some(place);
        self
    }

    pub const fn tile(mut self, tile: Tile) -> Chart {
        self.look.tile = Some(tile);
        self
    }

    /// Its metrics, above the axis and below.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.metrics.iter().chain(self.look.below).copied()
    }

    /// What its axis is of; `None` where its metrics do not go together, or one of them does not exist.
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

/// Units of what is measured; every other is the plural of what is counted.
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

/// The unit in which a metric is drawn: a counter as its change per second.
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

/// A chart of a check as it is drawn, laid out by hand or not.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub check: &'static str,
    pub title: String,
    pub unit: &'static str,
    pub metrics: Vec<&'static str>,
    pub look: Look,
}

/// All charts of these checks in the order of the page: the overview, then those of each check.
pub fn charts<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Vec<Drawn> {
    let mut all: Vec<Drawn> = specs.into_iter().flat_map(of).collect();
    all.sort_by_key(|chart| chart.look.first.unwrap_or(u8::MAX));
    all
}

/// The charts that a check declares, and others for the metrics that are in none of these: metrics of one table and one unit
/// together. What has no unit of its own is in none: the page makes a chart of each.
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
            // Nobody knows how many lines a pattern becomes.
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

/// A title for what nobody has laid out, which no chart has so far.
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
    /// As the page reads it.
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
