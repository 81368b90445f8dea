//! Parses the output of a Nagios plugin: a text, and performance data after `|` (Monitoring Plugins Development
//! Guidelines, 2.5 and 2.6; what Icinga accepts beyond them is accepted as well).

use std::fmt;

/// Maximum number of unreadable pieces that are kept; parsing stops there.
const MOST_UNREAD: usize = 100;

/// The output of a plugin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output<'a> {
    /// The first line without its performance data.
    pub words: &'a str,
    /// The performance data of all lines.
    pub perf: Vec<Perf<'a>>,
    /// Pieces of performance data that cannot be parsed.
    pub unread: Vec<&'a str>,
}

/// One item of performance data, converted to the base unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Perf<'a> {
    pub label: String,
    pub value: f64,
    /// `s`, `B`, `b` for bits, `%`, `c` for a counter, any other unit of the plugin, or empty.
    pub unit: &'a str,
    /// Thresholds in the unit of the value; `None` if the plugin has none.
    pub warning: Option<Range>,
    pub critical: Option<Range>,
}

/// The range without an alarm: from `start` to `end`, inclusive. With `is_inverted`, the range with an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub start: f64,
    pub end: f64,
    pub is_inverted: bool,
}

impl Range {
    /// `[@][start:][end]`. `~` means no lower bound; a missing start is 0; a missing end means no upper bound.
    fn parse(text: &str, unit: &Unit) -> Option<Range> {
        let (is_inverted, text) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let bound = |text| unit.bound(text);
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

    /// Whether the value raises an alarm.
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

/// Parses all lines. Values that the plugin does not know (`U`, `nan`) are left out.
pub fn parse(output: &str) -> Output<'_> {
    let mut read = Output::default();
    // After a bar on a later line, everything is performance data.
    let mut is_data = false;
    for (number, line) in output.lines().enumerate() {
        let (text, data) = match line.split_once('|') {
            _ if is_data && equals_first(line) => ("", line),
            // A bar without performance data after it belongs to the text.
            Some((text, data)) if data.contains('=') || data.trim().is_empty() => (text, data),
            _ => (line, ""),
        };
        match number {
            0 => read.words = text.trim(),
            _ => is_data |= !data.is_empty(),
        }
        let mut rest = data;
        while let Some(next) = read_one(rest.trim_start_matches(is_between), &mut read) {
            rest = next;
        }
    }
    read
}

/// Whether the line has an equals sign before the first bar.
fn equals_first(line: &str) -> bool {
    line.split('|').next().is_some_and(|text| text.contains('='))
}

fn is_between(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, ',' | ';' | '|')
}

/// Parses `'label'=value[unit][;warn][;crit][;min][;max]` into `to`; returns the text after it, `None` at the end.
fn read_one<'a>(text: &'a str, to: &mut Output<'a>) -> Option<&'a str> {
    if text.is_empty() || to.unread.len() >= MOST_UNREAD {
        return None;
    }
    let (label, after) = match label(text) {
        Ok(found) => found,
        Err(next) => {
            to.unread.push(up_to(text, next));
            return Some(next);
        }
    };
    let (number, unit, mut rest) = number(after);
    if rest.starts_with('=') {
        // In `a= b=1` the value of `a` is missing, and `b` is read. `a=b=1` is unreadable as a whole.
        let next = if after.starts_with(char::is_whitespace) { after.trim_start() } else { behind_word(after) };
        to.unread.push(up_to(text, next));
        return Some(next);
    }
    let mut fields = [None; 2];
    let mut count = 0;
    while let Some((field, next)) = next_field(rest) {
        if let Some(place) = fields.get_mut(count) {
            *place = Some(field);
        }
        (count, rest) = (count + 1, next);
    }
    let piece = up_to(text, rest);
    let value = match number {
        Number::Known(value) => value,
        Number::Unknown => return Some(rest),
        Number::None => {
            to.unread.push(piece);
            return Some(rest);
        }
    };
    let mut is_whole = true;
    let mut range = |field: Option<&str>| {
        let text = field.filter(|text| !text.is_empty() && !is_unknown(text))?;
        let range = Range::parse(text, &unit);
        is_whole &= range.is_some();
        range
    };
    let [warning, critical] = fields.map(&mut range);
    to.perf.push(Perf { label, value: unit.scale(value), unit: unit.base, warning, critical });
    if !is_whole {
        to.unread.push(piece);
    }
    Some(rest)
}

/// The part of `text` before `rest`, which is its end.
fn up_to<'a>(text: &'a str, rest: &str) -> &'a str {
    text.get(..text.len().saturating_sub(rest.len())).unwrap_or(text).trim()
}

/// The label, and the text after its equals sign. `Err` has the text at which to continue. Inside quotes a quote is
/// doubled. A label without quotes may contain blanks, but not start with a number followed by a blank.
fn label(text: &str) -> Result<(String, &str), &str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        return quoted_label(quoted);
    }
    let end = text.find(['=', '|', ';']).unwrap_or(text.len());
    let (label, after) = text.split_at_checked(end).unwrap_or((text, ""));
    // Text before a quote, or before a comma and a blank, is no part of the label.
    if let Some(quote) = label.find(" '").or_else(|| label.rfind(", ")) {
        return Err(text.get(quote + 1..).unwrap_or_default());
    }
    let Some(after) = after.strip_prefix('=') else { return Err(after) };
    let label = label.trim();
    let first = label.split_once(char::is_whitespace).map(|(first, _)| number(first));
    let is_stray = matches!(first, Some((Number::Known(_) | Number::Unknown, _, "")));
    if label.is_empty() || is_stray { Err(behind_word(after)) } else { Ok((label.into(), after)) }
}

fn quoted_label(mut rest: &str) -> Result<(String, &str), &str> {
    let mut label = String::new();
    loop {
        let Some((part, after)) = rest.split_once('\'') else { return Err("") };
        label.push_str(part);
        if let Some(more) = after.strip_prefix('\'') {
            label.push('\'');
            rest = more;
            continue;
        }
        return match after.trim_start().strip_prefix('=') {
            Some(after) if !label.trim().is_empty() => Ok((label, after)),
            _ => Err(behind_word(after)),
        };
    }
}

/// The text from the next place at which a new item may start.
fn behind_word(text: &str) -> &str {
    text.find(|letter: char| letter.is_whitespace() || letter == '|')
        .and_then(|end| text.get(end..))
        .unwrap_or_default()
}

/// Splits where a number, unit or threshold ends. A comma is a decimal comma if a digit follows; it ends the word
/// before anything else, and before the next label.
fn word(text: &str) -> (&str, &str) {
    let ends = |(at, letter): (usize, char)| match letter {
        ';' | '|' | '=' => true,
        ',' => {
            let next = text.get(at + 1..).unwrap_or_default();
            let run = next.find(is_between).and_then(|end| next.get(..end)).unwrap_or(next);
            !next.starts_with(|first: char| first.is_ascii_digit()) || run.contains('=')
        }
        letter => letter.is_whitespace(),
    };
    let end = text.char_indices().find(|found| ends(*found)).map_or(text.len(), |(at, _)| at);
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The threshold after a semicolon, which may be empty, and the text after it; `None` if there is no semicolon.
fn next_field(text: &str) -> Option<(&str, &str)> {
    let adjacent = text.trim_start().strip_prefix(';')?;
    let text = adjacent.trim_start();
    let (field, next) = word(text);
    let is_next_label = next.trim_start().starts_with('=') || field.starts_with('\'');
    let begins_one = |first: char| first.is_ascii_digit() || matches!(first, '@' | '~' | ':' | '-' | '+' | '.');
    let is_behind_blank = text.len() < adjacent.len() && !field.is_empty();
    let is_field = !is_behind_blank || field.starts_with(begins_one) || is_unknown(field);
    Some(if is_field && !is_next_label { (field, next) } else { ("", text) })
}

/// Whether the text means "unknown": `U`, or NaN and infinity as the C libraries of several systems print them.
fn is_unknown(text: &str) -> bool {
    let text = text.trim_start_matches(['-', '+']);
    let is = |word: &str| {
        let (start, unit) = text.split_at_checked(word.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(word) && (unit.is_empty() || Unit::known(unit).is_some())
    };
    text == "U" || text.starts_with("1.#") || ["nan", "inf", "infinity"].into_iter().any(is)
}

/// What was found where a number is expected.
enum Number {
    Known(f64),
    Unknown,
    None,
}

/// The number at the start with its unit, and the text after it.
fn number(text: &str) -> (Number, Unit<'_>, &str) {
    let (written, mut rest) = word(text.trim_start());
    if is_unknown(written) {
        return (Number::Unknown, Unit::NONE, rest);
    }
    let (digits, unit) = digits(written);
    let (Ok(value), Some(mut unit)) = (digits.replace(',', ".").parse::<f64>(), Unit::of(unit)) else {
        return (Number::None, Unit::NONE, rest);
    };
    // `1 %`: a known unit, separated by a blank.
    if unit.base.is_empty() {
        let (next, behind) = word(rest.trim_start());
        let is_label = behind.trim_start().starts_with('=');
        if let Some(known) = Unit::known(next).filter(|_| !is_label) {
            (unit, rest) = (known, behind);
        }
    }
    match unit.scale(value).is_finite() {
        true => (Number::Known(value), unit, rest),
        false => (Number::None, unit, rest),
    }
}

/// The sign, digits with a point or comma, and exponent; and the text after them.
fn digits(text: &str) -> (&str, &str) {
    let behind_sign = text.strip_prefix(['-', '+']).unwrap_or(text);
    let tail = behind_sign.trim_start_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ','));
    let exponent = tail.strip_prefix(['e', 'E']).map(|tail| tail.strip_prefix(['-', '+']).unwrap_or(tail));
    let tail = match exponent.filter(|exponent| exponent.starts_with(|first: char| first.is_ascii_digit())) {
        Some(exponent) => exponent.trim_start_matches(|letter: char| letter.is_ascii_digit()),
        None => tail,
    };
    text.split_at_checked(text.len().saturating_sub(tail.len())).unwrap_or((text, ""))
}

/// A unit as base unit and conversion: multiply by `times`, divide by `parts` (division by a power of ten is exact).
#[derive(Clone, Copy, Debug)]
struct Unit<'a> {
    base: &'a str,
    times: f64,
    parts: f64,
}

impl<'a> Unit<'a> {
    const NONE: Unit<'static> = Unit { base: "", times: 1.0, parts: 1.0 };

    fn times(base: &'static str, times: f64) -> Option<Unit<'static>> {
        Some(Unit { base, times, parts: 1.0 })
    }

    fn parts(base: &'static str, parts: f64) -> Option<Unit<'static>> {
        Some(Unit { base, times: 1.0, parts })
    }

    /// The unit as the plugin writes it; `None` if it contains characters that no unit has.
    fn of(text: &'a str) -> Option<Unit<'a>> {
        let is_odd = |letter: char| {
            let is_part = !letter.is_ascii()
                || letter.is_ascii_alphabetic()
                || matches!(letter, '%' | '/' | '_' | '^' | '*' | '$');
            !is_part || letter.is_control()
        };
        match text {
            "" => Some(Unit::NONE),
            text => Unit::known(text).or_else(|| (!text.contains(is_odd)).then_some(Unit { base: text, ..Unit::NONE })),
        }
    }

    /// A unit whose base unit is known.
    fn known(text: &str) -> Option<Unit<'static>> {
        match text {
            "%" => Unit::times("%", 1.0),
            "c" => Unit::times("c", 1.0),
            "s" => Unit::times("s", 1.0),
            "m" => Unit::times("s", 60.0),
            "h" => Unit::times("s", 3600.0),
            "d" => Unit::times("s", 86_400.0),
            "ms" => Unit::parts("s", 1e3),
            "us" | "µs" | "μs" => Unit::parts("s", 1e6),
            "ns" => Unit::parts("s", 1e9),
            _ => {
                let of_data = match text.strip_suffix("/s").or_else(|| text.strip_suffix("ps")) {
                    Some(data) => Unit::data(data, "B/s", "b/s"),
                    None => Unit::data(text, "B", "b"),
                };
                let base = ["Hz", "W", "V", "A"].into_iter();
                of_data.or_else(|| base.filter_map(|base| Unit::prefixed(base, text.strip_suffix(base)?)).next())
            }
        }
    }

    /// Bytes, where plugins mean 1024 bytes with KB, or bits, where kb means 1000.
    fn data(text: &str, bytes: &'static str, bits: &'static str) -> Option<Unit<'static>> {
        let (prefix, base, thousand) = match (text.strip_suffix('B'), text.strip_suffix('b')) {
            (Some(prefix), _) => (prefix, bytes, 1024.0_f64),
            (_, Some(prefix)) => (prefix, bits, 1000.0),
            _ => return None,
        };
        let (prefix, thousand) = match prefix.strip_suffix('i').filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => (prefix, 1024.0),
            None => (prefix, thousand),
        };
        let power = ["", "K", "M", "G", "T", "P", "E"].iter().position(|known| prefix.eq_ignore_ascii_case(known))?;
        Unit::times(base, (0..power).fold(1.0, |factor, _| factor * thousand))
    }

    /// A physical unit with an SI prefix.
    fn prefixed(base: &'static str, prefix: &str) -> Option<Unit<'static>> {
        match prefix {
            "" => Unit::times(base, 1.0),
            "k" | "K" => Unit::times(base, 1e3),
            "M" => Unit::times(base, 1e6),
            "G" => Unit::times(base, 1e9),
            "T" => Unit::times(base, 1e12),
            "m" => Unit::parts(base, 1e3),
            "u" | "µ" | "μ" => Unit::parts(base, 1e6),
            "n" => Unit::parts(base, 1e9),
            _ => None,
        }
    }

    fn scale(&self, value: f64) -> f64 {
        value * self.times / self.parts
    }

    /// A bound of a threshold: in this unit, unless it is written with another one of the same base.
    fn bound(&self, text: &str) -> Option<f64> {
        let (Number::Known(value), own, "") = number(text) else { return None };
        let unit = if own.base.is_empty() { *self } else { own };
        Some(unit.scale(value)).filter(|bound| unit.base == self.base && bound.is_finite())
    }
}
