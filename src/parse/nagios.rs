//! What a Nagios plugin writes: a line for people, and behind `|` performance data
//! (Monitoring Plugins Development Guidelines, 2.6).

/// One number of the performance data, in seconds, bytes, percent or as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Perf {
    pub label: String,
    pub value: f64,
    /// `s`, `B`, `%`, `c` for a counter, or empty.
    pub unit: &'static str,
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
        let number = numbers.split(';').next().unwrap_or_default();
        if let Some((value, unit)) = quantity(number).filter(|_| !label.is_empty()) {
            perf.push(Perf { label, value, unit });
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

/// The number in its base unit.
fn quantity(text: &str) -> Option<(f64, &'static str)> {
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').map(|last| last + 1)?;
    let (number, unit) = text.split_at_checked(end)?;
    // Some locales write a comma.
    let number: f64 = number.replace(',', ".").parse().ok()?;
    let (factor, unit) = match unit {
        "s" => (1.0, "s"),
        "ms" => (1e-3, "s"),
        "us" => (1e-6, "s"),
        "ns" => (1e-9, "s"),
        "%" => (1.0, "%"),
        "c" => (1.0, "c"),
        "B" => (1.0, "B"),
        "KB" | "kB" => (1024.0, "B"),
        "MB" => (1024.0 * 1024.0, "B"),
        "GB" => (1024.0 * 1024.0 * 1024.0, "B"),
        "TB" => (1024.0 * 1024.0 * 1024.0 * 1024.0, "B"),
        _ => (1.0, ""),
    };
    let value = number * factor;
    value.is_finite().then_some((value, unit))
}
