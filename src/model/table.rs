//! Metric tables: which cell of a parsed row becomes which metric, and how.
//!
//! A check declares its metrics once, as `const FIELDS: &[Field]`, with full literal names, so `grep drive_reads` finds
//! the line. [`crate::check::Out::pick`] applies a table to a row. A metric that is computed rather than read is
//! emitted with [`crate::check::Out::put`].

use crate::model::rates::Backward;

/// Counts from here on are invalid: a count that fell below 0 and became unsigned, or a limit that means "unlimited".
/// The margin of one page below 2^63 covers the kernel's "unlimited", which is rounded down to a page. No store takes
/// more than 2^63 as an integer.
pub const NO_COUNT: u64 = (1 << 63) - 4096;

/// How a metric is computed from the raw number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Gauge,
    Percent,
    /// Change per second.
    Rate,
    /// Change since the previous sample, sent as a gauge.
    Delta,
    /// The raw count, sent as read.
    Counter,
}

/// One line of a metric table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Cell of the row; empty if the check computes the value.
    pub cell: &'static str,
    /// Name of the metric. With braces it is a pattern, for metrics whose names come from the source:
    /// `envoy_{scope}_downstream_cx_total`.
    pub metric: &'static str,
    /// Unit of the emitted value: `bytes/s`, `%`, `connections`; empty if only the name or the source tells it.
    pub unit: &'static str,
    pub how: How,
    /// Sent as an integer; computed values are rounded.
    pub int: bool,
    pub scale: f64,
    pub reaction: i8,
    /// A missing cell is no fault.
    pub optional: bool,
    pub backward: Backward,
    /// Upper bound of the emitted value: 100 for a percentage. A larger value is a fault.
    pub most: Option<f64>,
    /// The cell that holds the whole, if this value is a part of something. A larger value than the whole is a fault.
    pub whole: Option<&'static str>,
}

const fn line(cell: &'static str, metric: &'static str, unit: &'static str, how: How) -> Field {
    let (optional, backward) = (false, Backward::Reset);
    Field { cell, metric, unit, how, int: false, scale: 1.0, reaction: 0, optional, backward, most: None, whole: None }
}

/// A level; sent as a float unless [`Field::int`] follows.
pub const fn gauge(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Gauge)
}

/// A percentage.
pub const fn percent(cell: &'static str, metric: &'static str) -> Field {
    line(cell, metric, "%", How::Percent).most(100.0)
}

/// A counter, emitted as change per second. `unit` is that of the rate.
pub const fn rate(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Rate)
}

/// A counter, emitted as change since the previous sample.
pub const fn delta(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Delta)
}

/// A counter, emitted as read, as an integer.
pub const fn counter(cell: &'static str, metric: &'static str, unit: &'static str) -> Field {
    line(cell, metric, unit, How::Counter).int()
}

/// Whether `name` matches the pattern, in which `{word}` stands for one or more characters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('{').map(|part| part.split_once('}').map_or(part, |(_, text)| text));
    let Some(mut rest) = parts.next().and_then(|begin| name.strip_prefix(begin)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    // Taking the first match of each part is enough: it leaves the most text for the parts that follow.
    for part in parts {
        let mut letters = rest.chars();
        letters.next();
        match letters.as_str().split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.strip_suffix(end).is_some_and(|open| !open.is_empty())
}

impl Field {
    /// Whether the field can emit the metric `name`: it is its own, or its pattern matches.
    pub fn tells(&self, name: &str) -> bool {
        fits(self.metric, name)
    }

    /// Sends an integer.
    pub const fn int(mut self) -> Field {
        self.int = true;
        self
    }

    /// Sends a float; for [`counter`].
    pub const fn float(mut self) -> Field {
        self.int = false;
        self
    }

    /// Multiplies the raw number by `factor` (sectors to bytes, milliseconds to percent).
    pub const fn scale(mut self, factor: f64) -> Field {
        self.scale = factor;
        self
    }

    /// Sets OddEye's switch for learned alerts, see [`Point::reaction`](super::point::Point::reaction).
    pub const fn reaction(mut self, reaction: i8) -> Field {
        self.reaction = reaction;
        self
    }

    /// A missing cell is no fault.
    pub const fn optional(mut self) -> Field {
        self.optional = true;
        self
    }

    /// A value above `most`, or a rate above it, is a fault.
    pub const fn most(mut self, most: f64) -> Field {
        self.most = Some(most);
        self
    }

    /// A percentage that may exceed 100, such as that of one CPU used by several threads.
    pub const fn unbounded(mut self) -> Field {
        self.most = None;
        self
    }

    /// A value larger than the cell `whole` of the same row is a fault.
    pub const fn part_of(mut self, whole: &'static str) -> Field {
        self.whole = Some(whole);
        self
    }

    /// What it means if the counter is smaller than before.
    pub const fn backward(mut self, rule: Backward) -> Field {
        self.backward = rule;
        self
    }
}

/// The value of a cell, borrowed from the parsed text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    Count(u64),
    Int(i64),
    Float(f64),
    /// Text that is parsed as a number only if a field asks for the cell.
    Text(&'a str),
}

impl Raw<'_> {
    /// Parses digits. Rust's parser also takes `nan`, `inf` and `infinity`; these are refused here.
    pub fn number(text: &str) -> Option<Raw<'static>> {
        let text = text.trim();
        if text.ends_with(|last: char| last.is_ascii_alphabetic()) {
            return None;
        }
        if let Ok(n) = text.parse::<u64>() {
            return Some(Raw::Count(n));
        }
        if let Ok(n) = text.parse::<i64>() {
            return Some(Raw::Int(n));
        }
        text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Raw::Float)
    }

    /// The value as a count, which may be written as `7.0` or `4e+06`; `None` if it is negative, a fraction or no number.
    pub fn count(self) -> Option<u64> {
        let whole = |number: f64| {
            let is_whole = number.fract() == 0.0 && (0.0..NO_COUNT as f64).contains(&number);
            is_whole.then_some(number as u64)
        };
        match self {
            Raw::Count(count) => Some(count),
            Raw::Int(number) => u64::try_from(number).ok(),
            Raw::Float(number) => whole(number),
            Raw::Text(digits) => {
                let digits = digits.trim_ascii();
                digits.parse().ok().or_else(|| whole(digits.parse().ok()?))
            }
        }
    }
}

impl From<u64> for Raw<'_> {
    fn from(n: u64) -> Self {
        Raw::Count(n)
    }
}

impl From<i64> for Raw<'_> {
    fn from(n: i64) -> Self {
        Raw::Int(n)
    }
}

impl From<f64> for Raw<'_> {
    fn from(n: f64) -> Self {
        Raw::Float(n)
    }
}

impl<'a> From<&'a str> for Raw<'a> {
    fn from(text: &'a str) -> Self {
        Raw::Text(text)
    }
}

/// The named cells of one thing: a disk, a core, a status page.
#[derive(Clone, Debug, Default)]
pub struct Row<'a>(Vec<(&'a str, Raw<'a>)>);

impl<'a> Row<'a> {
    /// A row with these cells.
    pub fn of<R: Into<Raw<'a>>>(cells: impl IntoIterator<Item = (&'a str, R)>) -> Row<'a> {
        Row(cells.into_iter().map(|(name, raw)| (name, raw.into())).collect())
    }

    /// An empty row with capacity for this many cells.
    pub fn with_room(cells: usize) -> Row<'a> {
        Row(Vec::with_capacity(cells))
    }

    /// The first cell with that name.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().find(|(cell, _)| *cell == name).map(|(_, raw)| *raw)
    }

    /// The count in the first cell with that name.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.count()
    }

    /// Whether it has a cell of one of these fields.
    pub fn has_any(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.get(field.cell).is_some())
    }

    pub fn push(&mut self, name: &'a str, raw: impl Into<Raw<'a>>) {
        self.0.push((name, raw.into()));
    }
}

/// A part of a whole. The whole is not 0, and the part is not larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    part: u64,
    whole: u64,
}

impl Share {
    /// `None` if the part is larger than the whole, or if the whole is 0 or no valid count.
    pub fn of(part: u64, whole: u64) -> Option<Share> {
        (1..NO_COUNT).contains(&whole).then_some(Share { part, whole }).filter(|_| part <= whole)
    }

    /// The share of the rest: whole minus part.
    pub fn rest(self) -> Share {
        Share { part: self.whole.saturating_sub(self.part), ..self }
    }

    /// The part, as a count.
    pub fn part(self) -> u64 {
        self.part
    }

    /// The share in percent, 0 to 100.
    pub fn percent(self) -> f64 {
        self.part as f64 * 100.0 / self.whole as f64
    }
}
