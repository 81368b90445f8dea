//! The query for a line of a chart in each data source of Grafana; names are made by the code of the sink that writes
//! them.

use puypuy::check::Spec;
use puypuy::check::chart::Look;
use puypuy::sink::{carbon, json, line_protocol, prometheus};
use serde_json::{Value, json};

/// One metric of a chart.
pub struct Line<'a> {
    pub spec: &'a Spec,
    pub metric: &'static str,
    pub look: Look,
    /// Drawn as its change per second.
    pub is_counter: bool,
    /// Unix time in seconds, which Grafana needs in milliseconds.
    pub is_time: bool,
    /// Whether the legend needs the name.
    pub is_named: bool,
    /// The keys of its tags, in order, as recorded: several sets if versions differ.
    pub keys: Vec<Vec<String>>,
}

impl Line<'_> {
    /// The tags that name its lines.
    fn names(&self) -> Vec<&str> {
        if self.look.sum {
            return Vec::new();
        }
        if let Some(each) = self.look.each {
            return vec![each];
        }
        let mut names: Vec<&str> = Vec::new();
        for key in self.keys.iter().flatten() {
            if !names.contains(&&**key) && self.look.only.is_none_or(|(tag, _)| tag != key) {
                names.push(key);
            }
        }
        names
    }

    /// Whether there may be several servers, identified by the tag `instance`.
    fn has_instances(&self) -> bool {
        self.spec.conf != "system.ini"
    }

    /// A legend of these tags, in the notation of the data source, and of the metric name.
    fn legend(&self, tag: impl Fn(&str) -> String, metric: &str) -> String {
        let mut words: Vec<String> = self.names().into_iter().map(tag).collect();
        if self.is_named || words.is_empty() {
            words.push(metric.into());
        }
        words.join(" ")
    }

    fn is_pattern(&self) -> bool {
        self.metric.contains('{')
    }

    /// The name with `other` in place of each variable part of a pattern.
    fn with(&self, other: &str, plain: impl Fn(&str) -> String) -> String {
        let mut parts = self.metric.split('{');
        let first = plain(parts.next().unwrap_or_default());
        parts.fold(first, |text, part| text + other + &plain(part.split_once('}').unwrap().1))
    }
}

/// The name as a regular expression, or the beginning of one.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-/".contains(letter);
    text.chars().map(|letter| if is_plain(letter) { letter.to_string() } else { format!("[{letter}]") }).collect()
}

/// Expressions for text at the beginning, and for text anywhere.
fn left_out(begins: &[&str]) -> (Vec<String>, Vec<String>) {
    let (anywhere, first): (Vec<&str>, Vec<&str>) = begins.iter().partition(|begin| begin.starts_with('*'));
    (first.into_iter().map(quoted).collect(), anywhere.into_iter().map(|part| quoted(&part[1..])).collect())
}

/// A data source.
pub struct Dialect {
    /// The file in `dist/grafana`.
    pub file: &'static str,
    pub title: &'static str,
    /// Its type in Grafana.
    pub plugin: &'static str,
    /// The query of the variable `host`.
    pub hosts: fn() -> Value,
    /// `None` if it cannot express the query.
    pub target: fn(&Line) -> Option<Value>,
}

pub const DIALECTS: &[Dialect] = &[
    Dialect {
        file: "influxdb",
        title: "InfluxDB",
        plugin: "influxdb",
        hosts: || json!("SHOW TAG VALUES WITH KEY = \"host\""),
        target: influxdb,
    },
    Dialect {
        file: "prometheus",
        title: "Prometheus, VictoriaMetrics",
        plugin: "prometheus",
        hosts: || {
            let query = "label_values({__name__=~\"sys_load_1|cpu_load|mem_total|bytes_rx\"}, host)";
            json!({ "query": query, "refId": "hosts" })
        },
        target: prometheus,
    },
    Dialect { file: "graphite", title: "Graphite", plugin: "graphite", hosts: || json!("*.*.*"), target: graphite },
    Dialect {
        file: "opentsdb",
        title: "OpenTSDB",
        plugin: "opentsdb",
        hosts: || json!("tag_values(sys_load_1, host)"),
        target: opentsdb,
    },
];

fn influxdb(line: &Line) -> Option<Value> {
    let name = |text: &str| line_protocol::measurement(text).into_owned();
    let from = match line.is_pattern() {
        true => format!("/^{}$/", line.with(".+", |part| quoted(&name(part)))),
        false => format!("\"{}\"", name(line.metric)),
    };
    let mut filter = "\"host\" = '$host'".to_string();
    if let Some((tag, value)) = line.look.only {
        filter += &format!(" AND \"{tag}\" = '{value}'");
    }
    if let Some((tag, begins)) = line.look.without {
        let (first, anywhere) = left_out(begins);
        let parts: Vec<String> = first.into_iter().map(|begin| format!("^{begin}")).chain(anywhere).collect();
        filter += &format!(" AND \"{tag}\" !~ /{}/", parts.join("|"));
    }
    // Series without the tag would be shown without a name.
    if let Some(tag) = line.look.each {
        filter += &format!(" AND \"{tag}\" != ''");
    }
    let by = |tags: &str| format!("GROUP BY time($__interval){tags} fill(none)");
    let instance = line.has_instances().then_some("instance");
    let tags: String = line.names().into_iter().chain(instance).map(|tag| format!(", \"{tag}\"")).collect();
    let query = match (line.look.sum, line.is_counter, line.is_time) {
        (true, ..) => format!(
            "SELECT sum(\"value\") FROM (SELECT mean(\"value\") AS \"value\" FROM {from} WHERE {filter} AND $timeFilter {}) WHERE $timeFilter {}",
            by(", *"),
            by("")
        ),
        (_, true, _) => format!(
            "SELECT non_negative_derivative(mean(\"value\"), 1s) FROM {from} WHERE {filter} AND $timeFilter {}",
            by(&tags)
        ),
        (_, _, true) => {
            format!("SELECT mean(\"value\") * 1000 FROM {from} WHERE {filter} AND $timeFilter {}", by(&tags))
        }
        _ => format!("SELECT mean(\"value\") FROM {from} WHERE {filter} AND $timeFilter {}", by(&tags)),
    };
    let metric = if line.is_pattern() { "$m" } else { line.metric };
    let instance = if line.has_instances() { " $tag_instance" } else { "" };
    Some(json!({
        "alias": line.legend(|tag| format!("$tag_{tag}"), metric) + instance,
        "query": query,
        "rawQuery": true,
        "resultFormat": "time_series",
    }))
}

fn prometheus(line: &Line) -> Option<Value> {
    let name = |text: &str| prometheus::metric_name(text).into_owned();
    let mut labels = vec!["host=\"$host\"".to_string()];
    labels.extend(line.look.only.map(|(tag, value)| format!("{tag}=\"{value}\"")));
    labels.extend(line.look.each.map(|tag| format!("{tag}!=\"\"")));
    labels.extend(line.look.without.map(|(tag, begins)| {
        let (first, anywhere) = left_out(begins);
        let parts = first
            .into_iter()
            .map(|begin| format!("{begin}.*"))
            .chain(anywhere.into_iter().map(|part| format!(".*{part}.*")));
        format!("{tag}!~\"{}\"", parts.collect::<Vec<_>>().join("|"))
    }));
    // A rate drops the metric name: series that differ in nothing else must keep it as a label.
    let (mut selected, legend_name) = match line.is_pattern() {
        true => {
            labels.insert(0, format!("__name__=~\"{}\"", line.with(".+", |part| quoted(&name(part)))));
            let own = line.spec.fields.iter().copied().flatten().map(|field| field.metric);
            let others: Vec<String> = own
                .filter(|other| *other != line.metric && !other.contains('{'))
                .map(name)
                .filter(|other| line.spec.field(line.metric).is_some_and(|field| field.tells(other)))
                .collect();
            if !others.is_empty() {
                labels.insert(1, format!("__name__!~\"{}\"", others.join("|")));
            }
            (
                format!("label_replace({{{}}}, \"metric\", \"$1\", \"__name__\", \"(.+)\")", labels.join(",")),
                "{{metric}}".into(),
            )
        }
        false => (format!("{}{{{}}}", name(line.metric), labels.join(",")), name(line.metric)),
    };
    if line.is_counter {
        // Without a step it queries once a minute, which is too seldom for a rate.
        let step = if line.is_pattern() { ":$__interval" } else { "" };
        selected = format!("rate({selected}[$__rate_interval{step}])");
    }
    if line.look.sum {
        selected = format!("sum({selected})");
    }
    if line.is_time {
        selected += " * 1000";
    }
    // The scraper has a label with this name, too, and renames ours.
    let instance = if line.has_instances() { " {{exported_instance}}" } else { "" };
    let legend = line.legend(|tag| format!("{{{{{tag}}}}}"), &legend_name) + instance;
    Some(json!({ "expr": selected, "legendFormat": legend, "range": true }))
}

/// Paths have the values of tags, not their keys: their positions are those that were recorded. The location may be
/// empty.
fn graphite(line: &Line) -> Option<Value> {
    let node = |text: &str| {
        let mut path = String::new();
        carbon::push_component(&mut path, text);
        path.trim_end_matches('.').to_string()
    };
    let Line { look, .. } = line;
    let wanted = [look.each, look.only.map(|(tag, _)| tag), look.without.map(|(tag, _)| tag)];
    let wanted: Vec<&str> = wanted.into_iter().flatten().collect();
    let mut forms = line.keys.clone();
    forms.retain(|keys| wanted.iter().all(|tag| keys.iter().any(|key| key == tag)));
    if forms.is_empty() {
        let mut keys: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        keys.dedup();
        forms.push(keys);
    }
    let metric = line.with("*", |part| node(part));
    let one = |keys: &Vec<String>| {
        let place = |tag: &str| keys.iter().position(|key| key == tag).map(|at| at as i32 - keys.len() as i32 - 1);
        let value = |key: &String| look.only.filter(|(tag, _)| tag == key).map_or("*".into(), |(_, value)| node(value));
        let rest: Vec<String> =
            std::iter::once(node(line.spec.check_type)).chain(keys.iter().map(value)).chain([metric.clone()]).collect();
        let rest = rest.join(".");
        let mut target = format!("group(*.*.$host.*.{rest},*.*.$host.{rest})");
        if let Some((tag, begins)) = look.without {
            let behind = keys.len() - keys.iter().position(|key| key == tag).unwrap();
            // A dot opens another level, which the path above does not match.
            let (first, anywhere) = left_out(begins);
            let parts = first
                .into_iter()
                .chain(anywhere.into_iter().filter(|part| part != "[.]").map(|part| format!("[^.]*{part}")));
            let parts: Vec<String> = parts.collect();
            target = format!("exclude({target},'[.]({})[^.]*([.][^.]+){{{behind}}}$')", parts.join("|"));
        }
        if line.is_counter {
            target = format!("perSecond({target})");
        }
        if line.is_time {
            target = format!("scale({target},1000)");
        }
        if look.sum {
            return format!("alias(sumSeries({target}),'{}')", line.metric);
        }
        let mut places: Vec<i32> = line.names().into_iter().filter_map(place).collect();
        if line.is_named || places.is_empty() {
            places.push(-1);
        }
        let places: Vec<String> = places.iter().map(i32::to_string).collect();
        format!("aliasByNode({target},{})", places.join(","))
    };
    let mut targets: Vec<String> = forms.iter().map(one).collect();
    targets.sort();
    // Tags with other keys make the same path.
    targets.dedup();
    let target = match &*targets {
        [only] => only.clone(),
        several => format!("group({})", several.join(",")),
    };
    Some(json!({ "target": target }))
}

/// It has no query for several metrics at a time, and none that multiplies.
fn opentsdb(line: &Line) -> Option<Value> {
    if line.is_pattern() || line.is_time {
        return None;
    }
    let name = json::restricted(line.metric).into_owned();
    let mut filters = vec![json!({ "type": "literal_or", "tagk": "host", "filter": "$host", "groupBy": false })];
    filters.extend(
        line.look
            .only
            .map(|(tag, value)| json!({ "type": "literal_or", "tagk": tag, "filter": value, "groupBy": false })),
    );
    if let Some((tag, begins)) = line.look.without {
        let (first, anywhere) = left_out(begins);
        let parts: Vec<String> =
            first.into_iter().chain(anywhere.into_iter().map(|part| format!(".*{part}"))).collect();
        let filter = format!("^(?!{}).*$", parts.join("|"));
        filters.push(json!({ "type": "regexp", "tagk": tag, "filter": filter, "groupBy": false }));
    }
    // A series without one of these tags would be left out.
    let always =
        |tag: &&str| line.look.each.is_some() || line.keys.iter().all(|keys| keys.iter().any(|key| key == tag));
    let names: Vec<&str> = line.names().into_iter().filter(always).collect();
    filters.extend(names.iter().map(|tag| json!({ "type": "wildcard", "tagk": tag, "filter": "*", "groupBy": true })));
    let mut words: Vec<String> = names.iter().map(|tag| format!("$tag_{tag}")).collect();
    if line.is_named || words.is_empty() {
        words.push(name.clone());
    }
    let mut target = json!({
        "metric": name,
        "aggregator": if line.look.sum { "sum" } else { "avg" },
        "downsampleAggregator": "avg",
        "downsampleFillPolicy": "none",
        "alias": words.join(" "),
        "filters": filters,
    });
    if line.is_counter {
        target["shouldComputeRate"] = true.into();
        target["isCounter"] = true.into();
    }
    Some(target)
}
