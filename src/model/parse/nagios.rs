//! What a Nagios plugin writes: a line for people, and behind `|` performance data
//! (Monitoring Plugins Development Guidelines, 2.5 and 2.6; what Icinga reads beyond them is read as well).

use std::fmt;

/// Nobody reads more of what cannot be read.
const MOST_UNREAD: usize = 100;

/// What a plugin has written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output<'a> {
    /// The first line without its performance data.
    pub words: &'a str,
    /// The performance data of all lines.
    pub perf: Vec<Perf<'a>>,
    /// What stands there and cannot be read.
    pub unread: Vec<&'a str>,
}

/// One number of the performance data, in the base of its unit where it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Perf<'a> {
    pub label: String,
    pub value: f64,
    /// `s`, `B`, `b` for bits, `%`, `c` for a counter, whatever else the plugin says, or empty.
    pub unit: &'a str,
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

/// Reads all lines. A number that the plugin does not know (`U`, `nan`) is left out.
pub fn parse(output: &str) -> Output<'_> {
    let mut read = Output::default();
    // Behind a bar on a later line all that follows is performance data.
    let mut is_data = false;
    for (number, line) in output.lines().enumerate() {
        let (text, data) = match line.split_once('|') {
            _ if is_data && equals_first(line) => ("", line),
            // A bar without any measure behind it belongs to the words.
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

/// Whether a line has an equals sign before any bar.
fn equals_first(line: &str) -> bool {
    line.split('|').next().is_some_and(|text| text.contains('='))
}

fn is_between(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, ',' | ';' | '|')
}

/// Reads `'label'=value[unit][;warn][;crit][;min][;max]`, and returns what stands behind it; `None` at the end.
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
        // `a= b=1`: a value is missing. `a=b=1` is nothing at all.
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

/// What of `text` stands before `rest`, its end.
fn up_to<'a>(text: &'a str, rest: &str) -> &'a str {
    text.get(..text.len().saturating_sub(rest.len())).unwrap_or(text).trim()
}

/// The label, and what stands behind its equals sign; else where to go on. A quote within quotes is doubled. Blanks are read
/// without quotes, too, but no label begins with a number and a blank.
fn label(text: &str) -> Result<(String, &str), &str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        return quoted_label(quoted);
    }
    let end = text.find(['=', '|', ';']).unwrap_or(text.len());
    let (label, after) = text.split_at_checked(end).unwrap_or((text, ""));
    // What stands before a quote or behind a comma is of no use to the label.
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

/// From the next place on where something new may begin.
fn behind_word(text: &str) -> &str {
    text.find(|letter: char| letter.is_whitespace() || letter == '|')
        .and_then(|end| text.get(end..))
        .unwrap_or_default()
}

/// Up to where a number, a unit or a threshold ends, and what stands there. A comma ends it where no digit follows, or the
/// next label; else it is a decimal comma.
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

/// The threshold behind a semicolon, empty where there is none, and what stands behind it; `None` behind the last.
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

/// Whether it stands for a number that is not known, as the C libraries of several systems write it.
fn is_unknown(text: &str) -> bool {
    let text = text.trim_start_matches(['-', '+']);
    let is = |word: &str| {
        let (start, unit) = text.split_at_checked(word.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(word) && (unit.is_empty() || Unit::known(unit).is_some())
    };
    text == "U" || text.starts_with("1.#") || ["nan", "inf", "infinity"].into_iter().any(is)
}

/// What stands in the place of a number.
enum Number {
    Known(f64),
    Unknown,
    None,
}

/// The number at the beginning with its unit, and what stands behind it.
fn number(text: &str) -> (Number, Unit<'_>, &str) {
    let (written, mut rest) = word(text.trim_start());
    if is_unknown(written) {
        return (Number::Unknown, Unit::NONE, rest);
    }
    let (digits, unit) = digits(written);
    let (Ok(value), Some(mut unit)) = (digits.replace(',', ".").parse::<f64>(), Unit::of(unit)) else {
        return (Number::None, Unit::NONE, rest);
    };
    // `1 %`: a unit that is known and stands alone.
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

/// Sign, digits with a point or a comma, and exponent; and what stands behind them.
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

/// A unit as its base, and what makes a number one of the base: times `times`, or divided by `parts`, which is exact.
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

    /// As the plugin writes it; `None` for what can be no unit.
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

    /// Whose base is known.
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

    /// Bytes, of which plugins count 1024 to a KB, or bits, 1000 to a kb.
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

    /// A unit of physics behind that prefix.
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

    /// A number of a threshold: in this unit, unless it says another one of the same base.
    fn bound(&self, text: &str) -> Option<f64> {
        let (Number::Known(value), own, "") = number(text) else { return None };
        let unit = if own.base.is_empty() { *self } else { own };
        Some(unit.scale(value)).filter(|bound| unit.base == self.base && bound.is_finite())
    }
}
