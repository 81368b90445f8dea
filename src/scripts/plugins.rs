//! Nagios plugins: their command lines in `[Nagios]`, and their results as points and events.

use crate::check::{COMMON_KEYS, Measurement, Out};
use crate::config::ini;
use crate::config::section::Section;
use crate::fetch::program::{MAX_OUTPUT, Privileges, Program, safety};
use crate::model::error::{Result, quote};
use crate::model::parse::nagios::{self, Perf, Range};
use crate::model::point::{Level, Tags, Value};
use crate::model::table::{Field, How, gauge};
use std::path::Path;
use std::time::Duration;

/// The file and section with the plugins.
pub const CONF: &str = "nagios.ini";
pub const SECTION: &str = "Nagios";
/// `type` tag of their points.
pub const TYPE: &str = "nagios";
/// Default time limit of a plugin, the same as in Nagios.
pub const LIMIT: Duration = Duration::from_secs(10);
const EXPECTED: &str =
    "expected the whole path of a program, and its arguments, such as /usr/lib/nagios/plugins/check_load -w 5 -c 10";
/// Key of a section: whether each measure gets an event of its own, judged by its thresholds.
pub const JUDGE: &str = "judge_measures";
/// The exit code for the state UNKNOWN.
pub const UNKNOWN: i32 = 3;

const STATUS: Field = gauge("", "nagios_status", "state").int();
const VALUE: Field = gauge("", "nagios_value", "");
pub const FIELDS: &[Field] = &[STATUS, VALUE];

/// A plugin of the section.
#[derive(Clone, Debug)]
pub struct Plugin {
    pub name: String,
    pub program: Program,
}

/// All plugins of the section. Each key is one, except for the keys of every check and [`JUDGE`]. Its value is split as
/// a shell would, but no shell is run.
///
/// # Errors
/// A value without a program, or with an unterminated quote. The message does not quote it, because a plugin may get a
/// password.
pub fn read(section: &Section) -> Result<Vec<Plugin>> {
    let is_own = |key: &str| !COMMON_KEYS.iter().chain(&[JUDGE]).any(|known| known.eq_ignore_ascii_case(key));
    let entries = section.entries.iter().filter(|entry| is_own(&entry.key));
    entries
        .map(|entry| {
            let mut words = shell_words::split(&entry.value)
                .map_err(|_| section.problem(&entry.key, "a quote in its command line does not end"))?
                .into_iter();
            let Some(path) = words.next() else { return Err(section.problem(&entry.key, EXPECTED)) };
            if !path.starts_with('/') {
                return Err(section.problem(&entry.key, EXPECTED));
            }
            let (words, privileges) = (words.collect(), Privileges::default());
            let (path, max_output) = (path.into(), MAX_OUTPUT);
            let program = Program { path, interpreter: None, words, privileges, max_output };
            Ok(Plugin { name: entry.key.to_lowercase(), program })
        })
        .collect()
}

/// The present section of that home's file; empty if the file or section is missing.
///
/// # Errors
/// The file cannot be read or has a mistake; or this process is root and others can change the file.
pub fn section(home: &Path) -> Result<Section> {
    let shown = format!("conf/{CONF}");
    safety::check_conf(&home.join(&shown))?;
    ini::section(home, &shown, SECTION)
}

/// Reports a plugin's measures, its state, and its text as a health event. With `judges_measures`, each measure that
/// has thresholds gets an event of its own. That is never worse than the plugin's own state, because many plugins write
/// a lower bound as a plain number.
pub fn tell(name: &str, text: &str, code: i32, judges_measures: bool, out: &mut Out) {
    let nagios::Output { words, perf, unread } = nagios::parse(text);
    let tell = |field: &Field, value: Value, tags: Tags, out: &mut Out| {
        out.tell(Measurement { name: field.metric, value, how: How::Gauge, check_type: TYPE, tags, time: None });
    };
    tell(&STATUS, Value::Int(code.into()), Tags::one("check", name), out);
    let own = match code {
        0 => Level::Ok,
        2 => Level::Error,
        _ => Level::Warning,
    };
    out.health(name.to_string(), own, words.into(), 0);
    for Perf { label, value, unit, warning, critical } in perf {
        let tags = [("check", name), ("label", &*label), ("unit", unit)];
        tell(&VALUE, Value::Float(value), tags.into_iter().filter(|(_, text)| !text.is_empty()).collect(), out);
        if !judges_measures || warning.or(critical).is_none() {
            continue;
        }
        let exceeded = |range: Option<Range>| range.filter(|range| range.alarms(value));
        let (level, words) = match (exceeded(critical), exceeded(warning)) {
            (Some(range), _) => (Level::Error, format!("{label} is {value}{unit}: critical {range}")),
            (None, Some(range)) => (Level::Warning, format!("{label} is {value}{unit}: warning {range}")),
            (None, None) => (Level::Ok, format!("{label} is {value}{unit}")),
        };
        out.health(format!("{name} {label}"), level.min(own), words, 0);
    }
    if let [first, rest @ ..] = &*unread {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        let why = "cannot be read as 'label'=value[unit];warning;critical";
        out.fault_of(name, format!("{}{more} of its performance data {why}", quote(first)));
    }
}

/// Reports a plugin without a result as UNKNOWN.
pub fn tell_unknown(name: &str, why: &str, out: &mut Out) {
    // A bar would start the performance data.
    tell(name, &format!("UNKNOWN: {}", why.replace('|', " ")), UNKNOWN, false, out);
}
