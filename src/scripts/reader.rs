//! Parses the output of a script, in any of its formats, and reports the numbers.

use super::{TYPE, line};
use crate::check::{Measurement, Out};
use crate::model::error::quote;
use crate::model::parse::{line_protocol, nagios, prometheus, time};
use crate::model::point::{Tags, Value};
use crate::model::table::{How, Raw};
use std::collections::HashMap;

/// Most metrics whose type is remembered.
const REMEMBERED: usize = 10_000;
/// States of a Nagios plugin, indexed by its exit code.
const STATES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

/// The format of a script's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One number per line, see [`line`].
    Lines,
    /// A Nagios plugin, whose exit code is its state.
    Nagios,
    /// See [`prometheus`].
    Prometheus,
    /// InfluxDB's line protocol, see [`line_protocol`].
    LineProtocol,
}

impl Format {
    /// The values of `format`, in the order in which messages list them.
    const WORDS: [(&'static str, Format); 4] = [
        ("lines", Format::Lines),
        ("nagios", Format::Nagios),
        ("prometheus", Format::Prometheus),
        ("influx", Format::LineProtocol),
    ];

    /// The format with that name.
    pub fn from_word(word: &str) -> Option<Format> {
        Format::WORDS.into_iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, format)| format)
    }

    /// Recognises the format from all lines and the exit code; `None` if it is ambiguous.
    pub fn recognise(text: &str, code: Option<i32>) -> Option<Format> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.clone().next()?;
        if is_of_plugin(first, None) {
            return Some(Format::Nagios);
        }
        if lines.clone().any(|line| matches!(line::parse(line), Ok(Some(_)))) {
            return Some(Format::Lines);
        }
        if is_of_plugin(first, code) {
            return Some(Format::Nagios);
        }
        let mut is_first = true;
        lines.find_map(|line| {
            let found = Format::of_line(line, is_first);
            is_first &= line.starts_with('#');
            found
        })
    }

    /// Prometheus and line protocol exclude each other here: a name with braces against a second word with an equals
    /// sign. After the first line, such a word may be part of a text (`at x.y=1`), so a line of line protocol needs
    /// more than a single number there.
    fn of_line(text: &str, is_first: bool) -> Option<Format> {
        if let Some(comment) = text.strip_prefix("# ") {
            let is_of_prometheus = ["TYPE ", "HELP "].iter().any(|word| comment.starts_with(word)) || comment == "EOF";
            return is_of_prometheus.then_some(Format::Prometheus);
        }
        match (prometheus::parse(text), line_protocol::parse(text)) {
            (Ok(prometheus::Line::Sample(_)), Err(_)) if text.contains('{') => Some(Format::Prometheus),
            (Err(_), Ok(Some(line))) => {
                let is_more = !line.tags.is_empty() || line.fields.len() > 1 || line.time.is_some();
                (is_first || is_more).then_some(Format::LineProtocol)
            }
            _ => None,
        }
    }
}

/// Whether a first line has performance data, and thresholds or a state; or names the state that fits the script's exit
/// code.
fn is_of_plugin(line: &str, code: Option<i32>) -> bool {
    let names = |text: &str, states: &[&str]| {
        let is_between = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        text.split(is_between).any(|word| states.contains(&word))
    };
    let nagios::Output { words, perf, .. } = nagios::parse(line);
    // After one of these characters it could be a label or tag of another format.
    let start = words.split(['=', '{']).next().unwrap_or_default();
    let has_thresholds = perf.iter().any(|perf| perf.warning.or(perf.critical).is_some());
    match code {
        _ if line.starts_with('#') => false,
        _ if has_thresholds || !perf.is_empty() && names(words, &STATES) => true,
        Some(0) => names(start, &["OK"]),
        Some(1..=3) => names(start, &STATES),
        _ => false,
    }
}

/// Parses the output of one script, and remembers types from run to run.
#[derive(Default)]
pub struct Reader {
    /// For metrics of line protocol: whether a float was seen. Until then integers stay integers.
    floats: HashMap<String, bool>,
    /// Prometheus metrics that contain counters.
    counts: HashMap<String, Counts>,
}

/// Which lines of a Prometheus metric are counters.
#[derive(Clone, Copy)]
enum Counts {
    /// A counter: all lines.
    All,
    /// A summary or histogram: its `_bucket`, `_sum` and `_count` lines.
    Parts,
}

impl Reader {
    /// Reports everything that can be parsed. A bad line is skipped; the first one is quoted in a fault.
    pub fn read(&mut self, format: Format, text: &str, now: i64, out: &mut Out) {
        let (mut bad, mut first) = (0, None);
        for (number, line) in text.lines().enumerate() {
            let read = match format {
                Format::Prometheus => self.tell_sample(line, now, out),
                Format::LineProtocol => self.tell_fields(line, now, out),
                Format::Lines | Format::Nagios => tell_line(line, out),
            };
            if let Err(why) = read {
                bad += 1;
                first.get_or_insert_with(|| format!("line {}, {}: {why}", number + 1, quote(line)));
            }
        }
        match (bad, first) {
            (1, Some(first)) => out.fault(first),
            (count, Some(first)) => out.fault(format!("{first}; {count} bad lines in all")),
            _ => {}
        }
    }

    /// Counters are reported as they are, marked as counters, because their names and existing dashboards expect that.
    fn tell_sample(&mut self, text: &str, now: i64, out: &mut Out) -> Result<(), &'static str> {
        let sample = match prometheus::parse(text)? {
            prometheus::Line::Nothing | prometheus::Line::End => return Ok(()),
            prometheus::Line::Type { name, kind } => {
                let counts = match kind {
                    "counter" => Counts::All,
                    "summary" | "histogram" => Counts::Parts,
                    _ => return Ok(()),
                };
                if self.counts.len() >= REMEMBERED {
                    self.counts.clear();
                }
                self.counts.insert(name.into_owned(), counts);
                return Ok(());
            }
            prometheus::Line::Sample(sample) => sample,
        };
        let parts = ["_total", "_bucket", "_sum", "_count"].into_iter();
        let part = parts.filter_map(|part| sample.name.strip_suffix(part)).find_map(|name| self.counts.get(name));
        let is_count = part.is_some() || matches!(self.counts.get(&*sample.name), Some(Counts::All));
        let how = if is_count { How::Counter } else { How::Gauge };
        let time = seconds(sample.time, now)?;
        // A summary without observations has NaN quantiles: there is nothing to report.
        let Some(value) = Value::finite(sample.value) else { return Ok(()) };
        let tags = Tags::of(sample.labels.iter());
        out.tell(Measurement { name: &sample.name, value, how, check_type: TYPE, tags, time });
        Ok(())
    }

    /// Each numeric field is a metric of its own, such as `cpu_idle`; the field `value` is called `cpu` only.
    fn tell_fields(&mut self, text: &str, now: i64, out: &mut Out) -> Result<(), &'static str> {
        let Some(line) = line_protocol::parse(text)? else { return Ok(()) };
        let time = seconds(line.time, now)?;
        let tags: Tags = line.tags.into_iter().collect();
        for (field, value) in line.fields {
            let Some(value) = whole_or_float(value) else { continue };
            let name = match &*field {
                "value" => line.measurement.clone(),
                field => format!("{}_{field}", line.measurement),
            };
            let told = Measurement { name: &name, value, how: How::Gauge, check_type: TYPE, tags: tags.clone(), time };
            self.tell_typed(told, out);
        }
        Ok(())
    }

    fn tell_typed(&mut self, mut told: Measurement, out: &mut Out) {
        if self.floats.len() >= REMEMBERED {
            self.floats.clear();
        }
        let is_float = matches!(told.value, Value::Float(_));
        match self.floats.get_mut(told.name) {
            None => drop(self.floats.insert(told.name.into(), is_float)),
            Some(true) => told.value = Value::Float(told.value.as_f64()),
            Some(known) if is_float => {
                *known = true;
                out.fault(format!("{} was an integer, is a float from now on", quote(told.name)));
            }
            Some(_) => {}
        }
        out.tell(told);
    }
}

fn tell_line(text: &str, out: &mut Out) -> Result<(), &'static str> {
    let Some(line::Line { name, value, check_type, is_rate, tags }) = line::parse(text)? else { return Ok(()) };
    // A `0` may be followed by `0.41`: only a rate's count is surely an integer.
    let (how, value) = if is_rate { (How::Rate, value) } else { (How::Gauge, Value::Float(value.as_f64())) };
    out.tell(Measurement { name, value, how, check_type, tags, time: None });
    Ok(())
}

/// `None` for text, and for a number that is not finite.
fn whole_or_float(raw: Raw) -> Option<Value> {
    match raw {
        Raw::Int(number) => Some(Value::Int(number)),
        Raw::Count(number) => Some(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)),
        Raw::Float(number) => Value::finite(number),
        Raw::Text(_) => None,
    }
}

/// The time of a line in seconds.
fn seconds(time: Option<i64>, now: i64) -> Result<Option<i64>, &'static str> {
    let within =
        |time| time::seconds_of(time, now).ok_or("its time is before 1980 or ahead of the clock, in whatever unit");
    time.map(within).transpose()
}
