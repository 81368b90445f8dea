//! Prometheus text: a sample a line, and comments that say of which kind a metric is
//! (Prometheus documentation, "Text-based format"; what OpenMetrics adds is read as well, exemplars are left out).

/// What one line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// Blank, or a comment.
    Nothing,
    /// `# TYPE name counter`
    Type {
        name: &'a str,
        kind: &'a str,
    },
    Sample(Sample<'a>),
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    pub name: &'a str,
    pub labels: Vec<(String, String)>,
    /// May be NaN or infinite: the format has words for both.
    pub value: f64,
    /// As written: milliseconds since 1970.
    pub time: Option<i64>,
}

/// Reads a line.
///
/// # Errors
/// It is something else; the text says what is wrong with it.
pub fn parse(text: &str) -> Result<Line<'_>, &'static str> {
    let text = text.trim();
    if let Some(comment) = text.strip_prefix('#') {
        let mut words = comment.split_ascii_whitespace();
        return Ok(match (words.next(), words.next(), words.next()) {
            (Some("TYPE"), Some(name), Some(kind)) => Line::Type { name, kind },
            _ => Line::Nothing,
        });
    }
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    let end = text.find(|c: char| c == '{' || c.is_ascii_whitespace()).ok_or("no value behind the name")?;
    let (name, rest) = text.split_at_checked(end).ok_or("no value behind the name")?;
    if !is_name(name) {
        return Err("the name has characters that a metric cannot have");
    }
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let rest = rest.split_once(" # ").map_or(rest, |(rest, _exemplar)| rest);
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().and_then(|word| word.parse().ok()).ok_or("the value is no number")?;
    let time = match words.next() {
        Some(word) => Some(word.parse().map_err(|_| "the time is no number of milliseconds")?),
        None => None,
    };
    match words.next() {
        Some(_) => Err("more than name, value and time"),
        None => Ok(Line::Sample(Sample { name, labels, value, time })),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

type Labels = Vec<(String, String)>;

/// `name="value",...}` and what stands behind it.
fn labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, behind) = rest.split_once('=').ok_or("the labels have no end")?;
        let quoted = behind.trim_start().strip_prefix('"').ok_or("the value of a label is not in quotes")?;
        let (value, behind) = quoted_text(quoted).ok_or("the value of a label has no end")?;
        labels.push((name.trim().into(), value));
        let behind = behind.trim_start();
        rest = match behind.strip_prefix(',') {
            Some(more) => more,
            None if behind.starts_with('}') => behind,
            None => return Err("no comma between two labels"),
        };
    }
}

/// Up to the closing quote, and what stands behind it. `\n`, `\"` and `\\` stand for what they mean.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}
