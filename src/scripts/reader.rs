//! What a script wrote, in any of the formats, into numbers.

use super::{TYPE, line};
use crate::check::{Measurement, Out};
use crate::model::error::quote;
use crate::model::parse::{line_protocol, nagios, prometheus, time};
use crate::model::point::{Tags, Value};
use crate::model::table::{How, Raw};
use std::collections::HashMap;

/// Metrics whose type is remembered.
const REMEMBERED: usize = 10_000;
/// States of a Nagios plugin, each by the code with which it exits.
const STATES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

/// What a script writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A number a line, see [`line`].
    Lines,
    /// As a Nagios plugin, whose exit code is its judgement.
    Nagios,
    /// See [`prometheus`].
    Prometheus,
    /// InfluxDB's, see [`line_protocol`].
    LineProtocol,
}

impl Format {
    /// The words of `format`, in the order in which they are told to people.
    const WORDS: [(&'static str, Format); 4] = [
        ("lines", Format::Lines),
        ("nagios", Format::Nagios),
        ("prometheus", Format::Prometheus),
        ("influx", Format::LineProtocol),
    ];

    /// The format of that name.
    pub fn from_word(word: &str) -> Option<Format> {
        Format::WORDS.into_iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, format)| format)
    }

    /// By all lines, and the code with which the script exited; `None` where it could be more than one.
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

    /// Each of the two is also what the other never is: a name with braces, a second word with an equals sign. Behind the first
    /// line, that may be a word among others (`at x.y=1`): a line of line protocol must have more than one number there.
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

/// Whether a first line has performance data and either thresholds or a state, or names a state and is of a script that exited
/// accordingly.
fn is_of_plugin(line: &str, code: Option<i32>) -> bool {
    let names = |text: &str, states: &[&str]| {
        let is_between = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        text.split(is_between).any(|word| states.contains(&word))
    };
    let nagios::Output { words, perf, .. } = nagios::parse(line);
    // Behind one of these it could be a label or a tag of another format.
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

/// Reads the lines of one script, and knows what earlier ones have settled.
#[derive(Default)]
pub struct Reader {
    /// Whether a metric of line protocol has been a float: an integer stays one until then.
    floats: HashMap<String, bool>,
    /// Metrics of Prometheus whose lines are counts.
    counts: HashMap<String, Counts>,
}

/// Which lines of a metric of Prometheus are counts.
#[derive(Clone, Copy)]
enum Counts {
    /// A counter: all.
    All,
    /// A summary or a histogram: those of its parts.
    Parts,
}

impl Reader {
    /// Tells all that can be read; a bad line costs itself, and the first is quoted.
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

    /// Counts go as they are, marked as such: their names say what they are, and dashboards expect it.
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
        // A summary of nothing is NaN: there is no number to tell.
        let Some(value) = Value::finite(sample.value) else { return Ok(()) };
        let tags = Tags::of(sample.labels.iter());
        out.tell(Measurement { name: &sample.name, value, how, check_type: TYPE, tags, time });
        Ok(())
    }

    /// Each field that is a number is a metric of its own: `cpu_idle`, and `cpu` alone where the field is `value`.
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
    // `0` may be the first of `0.41`: only a count whose change is told is a whole number for sure.
    let (how, value) = if is_rate { (How::Rate, value) } else { (How::Gauge, Value::Float(value.as_f64())) };
    out.tell(Measurement { name, value, how, check_type, tags, time: None });
    Ok(())
}

/// `None` for a text, and for a number that is not finite.
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
