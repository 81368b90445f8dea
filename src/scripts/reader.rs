//! What a script wrote, in any of the formats, into numbers.

use super::{TYPE, line};
use crate::check::{Out, Told};
use crate::model::error::quote;
use crate::model::parse::{line_protocol, nagios, prometheus};
use crate::model::point::{Tags, Value};
use crate::model::table::{How, Raw};
use std::collections::HashMap;

/// Metrics whose type is remembered.
const REMEMBERED: usize = 10_000;
/// A clock that is ahead by more than this many seconds is a mistake.
const AHEAD: i64 = 3600;

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

    /// By the first line that says something; [`Format::Lines`] where it could be more than one.
    pub fn recognise(text: &str) -> Format {
        let Some(first) = text.lines().map(str::trim).find(|line| says_something(line)) else { return Format::Lines };
        let is_told = |label: &str| first.contains(label);
        if first.starts_with('#') {
            return Format::Prometheus;
        }
        if !matches!(line::parse(first), Err(line::NO_LINE | line::NO_NUMBER)) {
            return Format::Lines;
        }
        if ["OK", "WARNING", "CRITICAL", "UNKNOWN"].into_iter().any(is_told) && !nagios::parse(first).1.is_empty() {
            return Format::Nagios;
        }
        // Each of the two is also what the other never is: a name with braces, a second word with an equals sign.
        match (prometheus::parse(first), line_protocol::parse(first)) {
            (Ok(prometheus::Line::Sample(sample)), Err(_)) if !sample.labels.is_empty() => Format::Prometheus,
            (Err(_), Ok(Some(_))) => Format::LineProtocol,
            _ => Format::Lines,
        }
    }
}

/// Whether it is more than blank or a comment; the comments of Prometheus say something.
fn says_something(line: &str) -> bool {
    !line.is_empty() && (!line.starts_with('#') || line.starts_with("# TYPE ") || line.starts_with("# HELP "))
}

/// Reads the lines of one script, and knows what earlier ones have settled.
#[derive(Default)]
pub struct Reader {
    /// Whether a metric has been a float: an integer stays one until then.
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
                Format::Lines | Format::Nagios => self.tell_line(line, out),
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

    fn tell_line(&mut self, text: &str, out: &mut Out) -> Result<(), &'static str> {
        let Some(line::Line { name, value, check_type, is_rate, tags }) = line::parse(text)? else { return Ok(()) };
        let how = if is_rate { How::Rate } else { How::Gauge };
        self.tell(Told { name, value, how, check_type, tags, time: None }, out);
        Ok(())
    }

    /// Counts go as they are, marked as such: their names say what they are, and dashboards expect it.
    fn tell_sample(&mut self, text: &str, now: i64, out: &mut Out) -> Result<(), &'static str> {
        let sample = match prometheus::parse(text)? {
            prometheus::Line::Nothing => return Ok(()),
            prometheus::Line::Type { name, kind } => {
                let counts = match kind {
                    "counter" => Counts::All,
                    "summary" | "histogram" => Counts::Parts,
                    _ => return Ok(()),
                };
                if self.counts.len() >= REMEMBERED {
                    self.counts.clear();
                }
                self.counts.insert(name.into(), counts);
                return Ok(());
            }
            prometheus::Line::Sample(sample) => sample,
        };
        let parts = ["_total", "_bucket", "_sum", "_count"].into_iter();
        let part = parts.filter_map(|part| sample.name.strip_suffix(part)).find_map(|name| self.counts.get(name));
        let is_count = part.is_some() || matches!(self.counts.get(sample.name), Some(Counts::All));
        let how = if is_count { How::Counter } else { How::Gauge };
        let time = time_within(sample.time, 1000, now)?;
        // A summary of nothing is NaN: there is no number to tell.
        let Some(value) = Value::finite(sample.value) else { return Ok(()) };
        let tags = sample.labels.into_iter().collect();
        self.tell(Told { name: sample.name, value, how, check_type: TYPE, tags, time }, out);
        Ok(())
    }

    /// Each field that is a number is a metric of its own: `cpu_idle`, and `cpu` alone where the field is `value`.
    fn tell_fields(&mut self, text: &str, now: i64, out: &mut Out) -> Result<(), &'static str> {
        let Some(line) = line_protocol::parse(text)? else { return Ok(()) };
        let time = time_within(line.time, 1_000_000_000, now)?;
        let tags: Tags = line.tags.into_iter().collect();
        for (field, value) in line.fields {
            let Some(value) = whole_or_float(value) else { continue };
            let name = match &*field {
                "value" => line.measurement.clone(),
                field => format!("{}_{field}", line.measurement),
            };
            let told = Told { name: &name, value, how: How::Gauge, check_type: TYPE, tags: tags.clone(), time };
            self.tell(told, out);
        }
        Ok(())
    }

    fn tell(&mut self, mut told: Told, out: &mut Out) {
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

/// `None` for a text, and for a number that is not finite.
fn whole_or_float(raw: Raw) -> Option<Value> {
    match raw {
        Raw::Int(number) => Some(Value::Int(number)),
        Raw::Count(number) => Some(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)),
        Raw::Float(number) => Value::finite(number),
        Raw::Text(_) => None,
    }
}

/// The time of a line in seconds, from a number of which `parts` are a second.
fn time_within(time: Option<i64>, parts: i64, now: i64) -> Result<Option<i64>, &'static str> {
    match time.map(|time| time.div_euclid(parts)) {
        Some(seconds) if seconds <= 0 || seconds > now.saturating_add(AHEAD) => {
            Err("its time is before 1970 or ahead of the clock; is it in the right unit?")
        }
        seconds => Ok(seconds),
    }
}
