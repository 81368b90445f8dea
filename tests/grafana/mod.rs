//! The dashboards in `dist/grafana` are generated from the charts of the checks: they are compared, and rewritten with
//! UPDATE_EXPECT=1.

mod dialects;

use crate::checks::charts::told;
use crate::checks::golden::difference;
use dialects::{DIALECTS, Dialect, Line};
use puypuy::check::Spec;
use puypuy::check::chart::{Drawn, Look, Tile, charts};
use puypuy::checks;
use puypuy::model::table::How;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Schema version of Grafana 10 and 11.
const SCHEMA: u32 = 39;
/// Columns of a dashboard.
const WIDTH: usize = 24;

/// The keys of the tags of each recorded metric, and all fields of its check.
type Keys = BTreeMap<String, Vec<Vec<String>>>;

fn keys(spec: &Spec) -> Keys {
    let mut keys = Keys::new();
    for (name, tags) in told(spec) {
        let own: Vec<String> = tags.into_iter().map(|(key, _)| key).collect();
        let known = keys.entry(name).or_default();
        if !known.contains(&own) {
            known.push(own);
        }
    }
    keys
}

/// The unit in Grafana's notation.
fn unit(unit: &str) -> String {
    match unit {
        "%" => "percent",
        "bytes" => "bytes",
        "bytes/s" => "binBps",
        "KiB" => "kbytes",
        "KiB/s" => "KiBs",
        "s" => "s",
        "ms" => "ms",
        "us" => "µs",
        "ns" => "ns",
        "s/s" => "percentunit",
        "days" => "d",
        "1/s" => "cps",
        "packets/s" => "pps",
        "Mbit/s" => "Mbits",
        "mW" => "mwatt",
        "°C" => "celsius",
        "unix s" => "dateTimeFromNow",
        "ms/s" | "us/s" | "ns/s" | "pages/s" | "MHz" => return format!("suffix: {unit}"),
        "ratio" | "state" | "code" | "bits" | "0 or 1" | "" => "none",
        _ => "short",
    }
    .into()
}

struct Board<'a> {
    dialect: &'a Dialect,
    keys: &'a BTreeMap<&'static str, Keys>,
    specs: BTreeMap<&'static str, &'static Spec>,
    /// The number of the last panel.
    last: usize,
}

impl Board<'_> {
    fn datasource(&self) -> Value {
        json!({ "type": self.dialect.plugin, "uid": "${datasource}" })
    }

    /// The queries of a chart: above the axis, and below.
    fn targets(&self, chart: &Drawn, metrics: &[&'static str]) -> Vec<(Value, bool)> {
        let spec = self.specs[chart.check];
        let all = metrics.len() + chart.look.below.len();
        let below = chart.look.below.iter().map(|metric| (*metric, true));
        let lines = metrics.iter().map(|metric| (*metric, false)).chain(below);
        let mut targets = Vec::new();
        for (metric, is_below) in lines {
            let field = spec.field(metric).unwrap();
            let recorded = self.keys[chart.check].iter().filter(|(name, _)| field.tells(name));
            let mut keys: Vec<Vec<String>> = recorded.flat_map(|(_, keys)| keys.clone()).collect();
            keys.sort();
            keys.dedup();
            let line = Line {
                spec,
                metric,
                look: chart.look,
                is_counter: field.how == How::Counter,
                is_time: chart.unit.starts_with("unix"),
                is_named: all > 1 || metric.contains('{'),
                keys,
            };
            if let Some(mut target) = (self.dialect.target)(&line) {
                let reference = char::from(b'A' + targets.len() as u8).to_string();
                target["refId"] = reference.into();
                targets.push((target, is_below));
            }
        }
        targets
    }

    /// `None` if the data source has nothing for it.
    fn panel(&mut self, chart: &Drawn, kind: &str, metrics: &[&'static str], place: [usize; 4]) -> Option<Value> {
        let targets = self.targets(chart, metrics);
        if targets.is_empty() {
            return None;
        }
        self.last += 1;
        let [x, y, w, h] = place;
        let Look { full, stacked, .. } = chart.look;
        let below = targets.iter().filter(|(_, is_below)| *is_below).map(|(target, _)| {
            json!({
                "matcher": { "id": "byFrameRefID", "options": target["refId"] },
                "properties": [{ "id": "custom.transform", "value": "negative-Y" }],
            })
        });
        let overrides: Vec<Value> = below.collect();
        let mut defaults = json!({ "unit": unit(chart.unit) });
        if let Some(full) = full {
            (defaults["min"], defaults["max"]) = (0.into(), full.into());
        }
        let options = match kind {
            "timeseries" => {
                // For a host whose period is longer than the resolution of the screen.
                defaults["custom"] = json!({ "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "axisSoftMin": 0, "spanNulls": 180_000 });
                if stacked {
                    defaults["custom"]["stacking"] = json!({ "mode": "normal", "group": "A" });
                    defaults["custom"]["fillOpacity"] = 70.into();
                }
                json!({ "tooltip": { "mode": "multi", "sort": "desc" } })
            }
            "bargauge" => {
                json!({ "displayMode": "basic", "orientation": "horizontal", "reduceOptions": { "calcs": ["lastNotNull"] } })
            }
            _ => json!({ "reduceOptions": { "calcs": ["lastNotNull"] } }),
        };
        Some(json!({
            "id": self.last,
            "type": kind,
            "title": chart.title,
            "gridPos": { "x": x, "y": y, "w": w, "h": h },
            "datasource": self.datasource(),
            "targets": targets.into_iter().map(|(target, _)| target).collect::<Vec<_>>(),
            "fieldConfig": { "defaults": defaults, "overrides": overrides },
            "options": options,
        }))
    }

    /// Places charts side by side, from this line on; returns the line below them.
    fn grid(&mut self, charts: &[&Drawn], columns: usize, height: usize, from: usize) -> (Vec<Value>, usize) {
        let width = WIDTH / columns;
        let mut panels: Vec<Value> = Vec::new();
        for chart in charts {
            let (x, y) = (panels.len() % columns * width, from + panels.len() / columns * height);
            let kind = if chart.unit.starts_with("unix") { "stat" } else { "timeseries" };
            panels.extend(self.panel(chart, kind, &chart.metrics, [x, y, width, height]));
        }
        let rows = panels.len().div_ceil(columns);
        (panels, from + rows * height)
    }

    fn row(&mut self, title: &str, y: usize, panels: Option<Vec<Value>>) -> Value {
        self.last += 1;
        json!({
            "id": self.last,
            "type": "row",
            "title": title,
            "gridPos": { "x": 0, "y": y, "w": WIDTH, "h": 1 },
            "collapsed": panels.is_some(),
            "panels": panels.unwrap_or_default(),
        })
    }
}

/// A number at the top for each tile: its kind, its width and its position.
fn tile(tile: Tile) -> (&'static str, usize, usize) {
    match tile {
        Tile::Cpu => ("gauge", 0, 4),
        Tile::Memory => ("gauge", 4, 4),
        Tile::Disk => ("bargauge", 8, 8),
        Tile::Network => ("stat", 16, 4),
        Tile::Uptime => ("stat", 20, 4),
    }
}

fn specs() -> impl Iterator<Item = &'static Spec> {
    checks::all()
}

fn dashboard(dialect: &Dialect, keys: &BTreeMap<&'static str, Keys>) -> Value {
    let mut board = Board { dialect, keys, specs: specs().map(|spec| (spec.name, spec)).collect(), last: 0 };
    let all = charts(specs());
    let mut panels = Vec::new();
    for chart in &all {
        if let Some((kind, x, width)) = chart.look.tile.map(tile) {
            panels.extend(board.panel(chart, kind, &chart.metrics[..1], [x, 0, width, 5]));
        }
    }
    let first: Vec<&Drawn> = all.iter().filter(|chart| chart.look.first.is_some()).collect();
    let (overview, mut y) = board.grid(&first, 2, 8, 5);
    panels.extend(overview);
    for spec in specs() {
        let own: Vec<&Drawn> =
            all.iter().filter(|chart| chart.check == spec.name && chart.look.first.is_none()).collect();
        let (inside, _) = board.grid(&own, 3, 7, y + 1);
        if !inside.is_empty() {
            let title = format!("{}: {}", spec.name.trim_start_matches("check_"), spec.purpose);
            panels.push(board.row(&title, y, Some(inside)));
            y += 1;
        }
    }
    json!({
        "title": format!("PuyPuy ({})", dialect.title),
        "uid": format!("puypuy-{}", dialect.file),
        "tags": ["puypuy"],
        "schemaVersion": SCHEMA,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "label": "Data source", "type": "datasource", "query": dialect.plugin },
            {
                "name": "host",
                "label": "Host",
                "type": "query",
                "datasource": { "type": dialect.plugin, "uid": "${datasource}" },
                "query": (dialect.hosts)(),
                "refresh": 2,
                "sort": 1,
            },
        ] },
        "panels": panels,
    })
}

/// One panel per line, so that a change of a chart is a change of one line.
fn text(dashboard: &Value) -> String {
    let mut text = String::new();
    push(&mut text, dashboard, "");
    text + "\n"
}

/// Objects with panels take several lines, all others one.
fn push(text: &mut String, value: &Value, indent: &str) {
    let panels = value["panels"].as_array().filter(|panels| !panels.is_empty());
    let Some(panels) = panels else { return *text += &format!("{indent}{value}") };
    let own = value.as_object().unwrap().iter().filter(|(key, _)| *key != "panels");
    let own: Vec<String> = own.map(|(key, value)| format!("{}:{value}", json!(key))).collect();
    *text += &format!("{indent}{{{},\"panels\":[\n", own.join(","));
    for (place, panel) in panels.iter().enumerate() {
        *text += if place > 0 { ",\n" } else { "" };
        push(text, panel, &format!("{indent}  "));
    }
    *text += &format!("\n{indent}]}}");
}

#[test]
fn the_dashboards_are_generated_from_the_charts() {
    let mut wrong = Vec::new();
    let keys = specs().map(|spec| (spec.name, keys(spec))).collect();
    for dialect in DIALECTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dist/grafana/{}.json", dialect.file));
        let made = dashboard(dialect, &keys);
        let text = text(&made);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), made);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, text).unwrap();
        } else if let Some(difference) = difference(&fs::read_to_string(&path).unwrap_or_default(), &text) {
            wrong.push(format!("{}: {difference}; UPDATE_EXPECT=1 writes it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
