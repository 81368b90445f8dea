//! Telemetry of the library go-metrics: as JSON, for the last complete interval of ten seconds, or as Prometheus text,
//! since the start (go-metrics, `inmem_endpoint.go` and `prometheus/prometheus.go`). Metric names are returned without
//! the prefix of the server, and without the host name that some settings add to it.

use crate::check::{Counters, Out};
use crate::fetch::http::Answer;
use crate::model::error::Result;
use crate::model::parse::json;
use crate::model::parse::prometheus::{Line, Sample, parse};
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The interval of the JSON document in seconds.
const WINDOW: f64 = 10.0;
/// Gauges of which every server has one. What precedes them in a name is the server's prefix, perhaps with its host
/// name.
const LANDMARKS: [[&str; 2]; 3] = [["runtime", "alloc_bytes"], ["core", "unsealed"], ["session_ttl", "active"]];
/// The default prefixes of the three products.
const SERVERS: [&str; 3] = ["consul", "nomad", "vault"];
/// The sample that identifies the process that counted.
const START: &str = "process_start_time_seconds";

/// A gauge.
pub struct Gauge {
    pub name: String,
    pub labels: Tags,
    pub value: f64,
}

/// Events with one name and one set of labels. NaN: not reported.
struct Event {
    /// The fingerprint of the labels.
    labels: u64,
    count: f64,
    /// Sum of the events' values: milliseconds, or 1 for each event.
    sum: f64,
    max: f64,
}

impl Event {
    fn new(labels: u64) -> Event {
        Event { labels, count: f64::NAN, sum: f64::NAN, max: f64::NAN }
    }
}

/// Events by name.
#[derive(Default)]
pub struct Events(BTreeMap<String, Vec<Event>>);

/// Which value of the events to emit.
#[derive(Clone, Copy)]
pub enum Part {
    /// Sum of the values per second.
    PerSecond,
    /// Number of events in ten seconds.
    Count,
    /// Sum of the values in ten seconds.
    Sum,
}

/// The three fields for a metric of events: for a value that the server has computed, and for changes of a counter, per
/// second and per ten seconds.
pub const fn events(metric: &'static str, unit: &'static str) -> [Field; 3] {
    [gauge("", metric, unit), rate("", metric, unit), rate("", metric, unit).scale(WINDOW)]
}

/// All telemetry of one server.
#[derive(Default)]
pub struct Telemetry {
    gauges: Vec<Gauge>,
    pub counters: Events,
    pub samples: Events,
    /// Events are counted since the start, not for ten seconds.
    is_since_start: bool,
}

impl Telemetry {
    /// Parses an answer.
    ///
    /// # Errors
    /// The answer is not the telemetry of this server.
    pub fn read(answer: &Answer, server: &str, out: &mut Out) -> Result<Telemetry> {
        let wanted = format!("the metrics of {server}");
        let (all, divider) = if answer.text.trim_start().starts_with('{') {
            let document = json::document(&answer.text, "the metrics of go-metrics as JSON")?;
            answer.must(document.get("Gauges").is_some(), &wanted)?;
            (of_json(&document), '.')
        } else {
            let page = of_page(&answer.text, out);
            answer.must(!page.is_empty(), &wanted)?;
            (page, '_')
        };
        let was_empty = all.is_empty();
        let told = all.renamed(&server.to_lowercase(), divider);
        answer.must(was_empty || !told.is_empty(), &wanted)?;
        Ok(told)
    }

    fn is_empty(&self) -> bool {
        self.gauges.is_empty() && self.counters.0.is_empty() && self.samples.0.is_empty()
    }

    /// Removes the prefix from all names.
    fn renamed(self, server: &str, divider: char) -> Telemetry {
        let landmarks = LANDMARKS.map(|[first, second]| format!("{divider}{first}{divider}{second}"));
        let before =
            self.gauges.iter().filter_map(|gauge| landmarks.iter().find_map(|end| gauge.name.strip_suffix(end)));
        let host = before.min_by_key(|name| name.len()).unwrap_or(server).to_string();
        let own = host.split(divider).next().unwrap_or(server).to_string();
        let is_another = own != server && SERVERS.contains(&&*own);
        let behind = |name: &str| {
            if is_another {
                return None;
            }
            let rest = [&host, &own].into_iter().find_map(|begin| name.strip_prefix(&**begin)?.strip_prefix(divider));
            rest.map(cleaned)
        };
        let gauges = self.gauges.into_iter().filter_map(|gauge| Some(Gauge { name: behind(&gauge.name)?, ..gauge }));
        Telemetry {
            gauges: gauges.collect(),
            counters: self.counters.named(&behind),
            samples: self.samples.named(&behind),
            ..self
        }
    }

    pub fn gauges(&self) -> &[Gauge] {
        &self.gauges
    }

    /// The value of the gauge with this name; the sum, if there are several sets of labels.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        let values = self.gauges.iter().filter(|gauge| gauge.name == name).map(|gauge| gauge.value);
        values.reduce(|sum, value| sum + value)
    }

    /// For each name, the sum of its gauges.
    pub fn sums(&self) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        self.gauges.iter().for_each(|gauge| *sums.entry(&*gauge.name).or_default() += gauge.value);
        sums
    }

    /// Emits the gauges of a table that exist.
    pub fn tell(&self, fields: &'static [Field], out: &mut Out) {
        for field in fields {
            if let Some(value) = self.gauge(field.cell) {
                out.put(field, value, &Tags::default());
            }
        }
    }

    /// Emits mean and maximum of the samples in these tables. Prometheus text does not have them.
    pub fn tell_each(&self, means: &'static [Field], greatest: &'static [Field], out: &mut Out) {
        if self.is_since_start {
            return;
        }
        let told = |field: &Field| self.samples.0.get(field.cell);
        for field in means {
            let all = told(field).into_iter().flatten();
            let (count, sum) = all.fold((0.0, 0.0), |(count, sum), event| (count + event.count, sum + event.sum));
            if count > 0.0 {
                out.put(field, sum / count, &Tags::default());
            }
        }
        for field in greatest {
            if let Some(most) = told(field).into_iter().flatten().map(|event| event.max).reduce(f64::max) {
                out.put(field, most, &Tags::default());
            }
        }
    }

    /// Emits this value of the events named `name`, as `metric`. `lines` are the fields made by [`events`].
    pub fn tell_events(
        &self,
        found: &Events,
        name: &str,
        part: Part,
        lines: &'static [Field; 3],
        metric: &str,
        out: &mut Out,
    ) {
        let [as_told, change, of_window] = lines;
        let Some(all) = found.0.get(name) else { return };
        let number = |event: &Event| if matches!(part, Part::Count) { event.count } else { event.sum };
        let numbers = all.iter().map(|event| (event, number(event))).filter(|(_, number)| number.is_finite());
        if self.is_since_start {
            let line = if matches!(part, Part::PerSecond) { change } else { of_window };
            let counts: Counters = numbers.map(|(event, number)| (event.labels, number)).collect();
            return out.put_sum_as(metric, line, &counts, &Tags::default());
        }
        if let Some(sum) = numbers.map(|(_, number)| number).reduce(|sum, number| sum + number) {
            let told = if matches!(part, Part::PerSecond) { sum / WINDOW } else { sum };
            out.put_as(metric, as_told, told, &Tags::default());
        }
    }
}

impl Events {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn add(&mut self, name: &str, event: Event) {
        self.0.entry(name.into()).or_default().push(event);
    }

    fn named(self, behind: &impl Fn(&str) -> Option<String>) -> Events {
        let mut all = Events::default();
        for (name, events) in self.0 {
            if let Some(name) = behind(&name) {
                all.0.entry(name).or_default().extend(events);
            }
        }
        all
    }
}

/// Replaces the characters that a metric name cannot have.
fn cleaned(name: &str) -> String {
    let letter = |letter: char| if letter.is_alphanumeric() || letter == ':' { letter } else { '_' };
    name.to_lowercase().chars().map(letter).collect()
}

fn of_json(document: &Value) -> Telemetry {
    let mut all = Telemetry::default();
    for entry in json::array(document, "/Gauges") {
        if let (Some(name), Some(value)) = (json::text(entry, "/Name"), json::float(entry, "/Value")) {
            let labels = entry.pointer("/Labels").and_then(Value::as_object).into_iter().flatten();
            let labels = labels.filter_map(|(label, text)| Some((label.clone(), text.as_str()?)));
            all.gauges.push(Gauge { name: name.into(), labels: labels.collect(), value });
        }
    }
    for (place, events) in [("/Counters", &mut all.counters), ("/Samples", &mut all.samples)] {
        for entry in json::array(document, place) {
            let [count, sum, max] =
                ["/Count", "/Sum", "/Max"].map(|place| json::float(entry, place).unwrap_or(f64::NAN));
            if let Some(name) = json::text(entry, "/Name") {
                events.add(name, Event { labels: 0, count, sum, max });
            }
        }
    }
    all
}

/// Reads gauges, counters and summaries of a Prometheus page; quantiles are ignored.
fn of_page(page: &str, out: &mut Out) -> Telemetry {
    let mut all = Telemetry { is_since_start: true, ..Telemetry::default() };
    let mut kinds: HashMap<String, &str> = HashMap::new();
    let mut summaries: BTreeMap<(String, u64), Event> = BTreeMap::new();
    let mut unread = None;
    for line in page.lines() {
        let Sample { name, labels, value, .. } = match parse(line) {
            Ok(Line::Type { name, kind }) => {
                kinds.insert(name.into_owned(), kind);
                continue;
            }
            Ok(Line::Sample(sample)) if sample.value.is_finite() => sample,
            Ok(_) => continue,
            Err(why) => {
                unread.get_or_insert(why);
                continue;
            }
        };
        if name == START {
            out.counted_by(&value.to_string());
        }
        let fingerprint = labels.fingerprint();
        let kind = |name: &str| kinds.get(name).copied().unwrap_or_default();
        let of_summary = |end| name.strip_suffix(end).filter(|name| kind(name) == "summary").map(String::from);
        if kind(&name) == "gauge" {
            all.gauges.push(Gauge { name: name.into_owned(), labels: Tags::of(labels.iter()), value });
        } else if kind(&name) == "counter" {
            all.counters.add(&name, Event { count: value, sum: value, ..Event::new(fingerprint) });
        } else if let Some(name) = of_summary("_sum") {
            summaries.entry((name, fingerprint)).or_insert_with(|| Event::new(fingerprint)).sum = value;
        } else if let Some(name) = of_summary("_count") {
            summaries.entry((name, fingerprint)).or_insert_with(|| Event::new(fingerprint)).count = value;
        }
    }
    for ((name, _), event) in summaries {
        all.samples.add(&name, event);
    }
    if let Some(why) = unread {
        out.fault(format!("lines cannot be read, the first: {why}"));
    }
    all
}
