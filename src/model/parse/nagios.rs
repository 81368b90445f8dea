//! What a Nagios plugin writes: a line for people, and behind `|` performance data
//! (Monitoring Plugins Development Guidelines, 2.5 and 2.6).

use std::fmt;

/// One number of the performance data, in seconds, bytes, percent or as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Perf {
    pub label: String,
    pub value: f64,
    /// `s`, `B`, `%`, `c` for a counter, or empty.
    pub unit: &'static str,
    /// In the unit of the value, as `critical`; `None` where the plugin was given none.
    pub warning: Option<Range>,
    pub critical: Option<Range>,
}

/// Where a number is well: from `start` to `end`, both included. The other way round where `is_inverted`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub start: f64,
    pub end: f64,
    pub is_inverted: bool,
}

impl Range {
    /// `[@][start:][end]`, with `~` for no lower end; without a start it is 0, and without an end there is none.
    fn parse(text: &str, factor: f64) -> Option<Range> {
        let (is_inverted, text) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let bound = |text: &str| text.parse().ok().filter(|bound: &f64| bound.is_finite()).map(|bound| bound * factor);
        let (start, end) = match text.split_once(':') {
            Some(("~", end)) => (f64::NEG_INFINITY, end),
            Some(("", end)) => (0.0, end),
            Some((start, end)) => (bound(start)?, end),
            None => (0.0, text),
        };
        let end = match end {
            "" if text.contains(':') => f64::INFINITY,
            end => bound(end)?,
        };
        Some(Range { start, end, is_inverted })
    }

    /// Whether that number is one to be told of.
    pub fn alarms(&self, value: f64) -> bool {
        (self.start..=self.end).contains(&value) == self.is_inverted
    }
}

impl fmt::Display for Range {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Range { start, end, is_inverted } = self;
        to.write_str(if *is_inverted { "inside " } else { "outside " })?;
        match (start.is_finite(), end.is_finite()) {
            (true, true) => write!(to, "{start} to {end}"),
            (true, false) => write!(to, "{start} and more"),
            (false, true) => write!(to, "{end} and less"),
            (false, false) => to.write_str("any number"),
        }
    }
}

/// The first line without its performance data, and the performance data of all lines. Numbers that cannot be read, such
/// as `U` for one that the plugin does not know, are left out.
pub fn parse(output: &str) -> (&str, Vec<Perf>) {
    let mut perf = Vec::new();
    let first = output.lines().next().unwrap_or_default();
    let text = first.split_once('|').map_or(first, |(text, _)| text).trim();
    // Behind a bar on a later line all that follows is performance data.
    let mut is_data = false;
    for (number, line) in output.lines().enumerate() {
        let data = match line.split_once('|') {
            Some((_, data)) => {
                is_data |= number > 0;
                data
            }
            None if is_data => line,
            None => continue,
        };
        read(data, &mut perf);
    }
    (text, perf)
}

/// `'label'=value[unit];warn;crit;min;max`, with blanks between; a quote within quotes is doubled.
fn read(data: &str, perf: &mut Vec<Perf>) {
    let mut rest = data.trim_start();
    while !rest.is_empty() {
        let Some((label, after)) = label(rest) else { return };
        let (numbers, next) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        let mut numbers = numbers.split(';');
        let number = numbers.next().unwrap_or_default();
        if let Some(Quantity { number, factor, unit }) = quantity(number).filter(|_| !label.is_empty()) {
            let mut range = || numbers.next().and_then(|text| Range::parse(text, factor));
            perf.push(Perf { label, value: number * factor, unit, warning: range(), critical: range() });
        }
        rest = next.trim_start();
    }
}

/// The label, and what stands behind its `=`.
fn label(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let (label, after) = text.split_once('=')?;
        return Some((label.trim().into(), after));
    };
    let mut label = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('\'')?;
        label.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return Some((label, after.trim_start().strip_prefix('=')?)),
        }
    }
}

/// A number and what makes it one of its base unit.
struct Quantity {
    number: f64,
    factor: f64,
    unit: &'static str,
}

/// `None` for what is no number, or none that is finite.
fn quantity(text: &str) -> Option<Quantity> {
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').map(|last| last + 1)?;
    let (number, unit) = text.split_at_checked(end)?;
    // Some locales write a comma.
    let number: f64 = number.replace(',', ".").parse().ok()?;
    const K: f64 = 1024.0;
    let (factor, unit) = match unit {
        "s" => (1.0, "s"),
        "ms" => (1e-3, "s"),
        "us" => (1e-6, "s"),
        "ns" => (1e-9, "s"),
        "%" => (1.0, "%"),
        "c" => (1.0, "c"),
        "B" => (1.0, "B"),
        "KB" | "kB" => (K, "B"),
        "MB" => (K * K, "B"),
        "GB" => (K * K * K, "B"),
        "TB" => (K * K * K * K, "B"),
        _ => (1.0, ""),
    };
    (number * factor).is_finite().then_some(Quantity { number, factor, unit })
}
