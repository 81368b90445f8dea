//! Everything written about a check has one source: names, kinds and keys are in its code, text is in its descriptor.
//! The tables of the descriptors, the sections of `conf/*.ini` and the chapters of `docs/checks.md` are generated from
//! these with UPDATE_EXPECT=1, and compared without it.

use super::golden::difference;
use puypuy::check::{COMMON_KEYS, DEVICES, Spec};
use puypuy::checks;
use puypuy::model::point::Kind;
use puypuy::model::table::{Field, How};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Marks a place where somebody has to write text.
const OPEN: &str = "?";

/// Keys that several checks have: key, default, meaning.
const SHARED: &[(&str, &str, &str)] = &[
    ("auth", "False", "send user and pass"),
    ("user", "", "user name for auth"),
    ("pass", "", "password for auth"),
    ("tls", "False", "use TLS"),
    ("verify", "True", "verify the server certificate"),
    ("ca_file", "", "PEM file of certificates to trust in addition to those of the system"),
    ("client_cert", "", "PEM file of the client certificate"),
    ("client_key", "", "PEM file of its private key"),
    ("hysteresis", "2", "an alarm ends when the value is more than this many percentage points below the threshold"),
    ("check_period_seconds", "the daemon's", "seconds between two runs"),
    ("timeout_seconds", "10", "seconds to wait for a response"),
    ("max_series", "2000", "maximum number of series; more are refused, and a fault is logged"),
];

/// Files of `conf` that are written by hand, because their sections are about this machine: none is a further server.
const WRITTEN: &[&str] = &["system.ini", "docker.ini"];

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The difference between the file and the wanted text; with UPDATE_EXPECT the file is rewritten.
fn settle(relative: &str, wanted: &str) -> Option<String> {
    let is = fs::read_to_string(path(relative)).unwrap_or_default();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        if is != wanted {
            fs::write(path(relative), wanted).unwrap();
        }
        return None;
    }
    Some(format!("{relative}: {}; UPDATE_EXPECT=1 writes it", difference(wanted, &is)?))
}

type Rows = Vec<Vec<String>>;

/// A descriptor: its first line, and its parts with their headings.
struct Descriptor {
    head: String,
    parts: Vec<(String, Vec<String>)>,
}

impl Descriptor {
    fn read(spec: &Spec) -> Descriptor {
        let new = format!(
            "# {}: {}\n#\n# What it tells\n#   {OPEN}\n#\n# What it needs\n#   {OPEN}\n#\n# Configuration: conf/{}, section [{}]\n#\n# Tested with\n#   {OPEN}\n#\n# Metrics\n",
            spec.name, spec.purpose, spec.conf, spec.section
        );
        let text = fs::read_to_string(path(&format!("checks_available/{}.ini", spec.name))).unwrap_or(new);
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default().to_string();
        let mut parts: Vec<(String, Vec<String>)> = Vec::new();
        for line in lines.skip_while(|line| *line == "#") {
            match line.strip_prefix("# ").filter(|rest| !rest.starts_with(' ')) {
                Some(heading) => parts.push((heading.into(), Vec::new())),
                None => {
                    let line = line.strip_prefix("#   ").unwrap_or_default();
                    parts
                        .last_mut()
                        .unwrap_or_else(|| panic!("{}: a line without heading", spec.name))
                        .1
                        .push(line.into());
                }
            }
        }
        for (_, lines) in &mut parts {
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
        }
        Descriptor { head, parts }
    }

    fn lines(&self, heading: &str) -> &[String] {
        let part = self.parts.iter().find(|(own, _)| own.starts_with(heading));
        part.map(|(_, lines)| &**lines).unwrap_or_default()
    }

    /// The text of a part around its table.
    fn prose(&self, heading: &str) -> Vec<&str> {
        self.lines(heading).iter().map(String::as_str).filter(|line| !line.contains(" | ")).collect()
    }

    /// The rows of the part's table whose first column has this heading.
    fn rows(&self, heading: &str, first: &str) -> Rows {
        let cells = |line: &String| line.split(" | ").map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
        let rows = self.lines(heading).iter().map(cells).skip_while(|cells| cells[0] != first || cells.len() == 1);
        rows.skip(1).take_while(|cells| cells.len() > 1).collect()
    }

    /// Replaces the table whose first column has this heading, or appends the table to the part.
    fn set(&mut self, heading: &str, columns: &[&str], rows: &Rows) {
        let Some((_, lines)) = self.parts.iter_mut().find(|(own, _)| own.starts_with(heading)) else { return };
        let is_head = |line: &String| {
            line.split(" | ").next().is_some_and(|cell| cell.trim() == columns[0]) && line.contains(" | ")
        };
        let begin = lines.iter().position(is_head).unwrap_or(lines.len());
        let end =
            lines.iter().skip(begin).position(|line| !line.contains(" | ")).map_or(lines.len(), |count| begin + count);
        lines.splice(begin..end, aligned(columns, rows));
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.head);
        for (heading, lines) in &self.parts {
            text += &format!("#\n# {heading}\n");
            for line in lines {
                text += format!("#   {line}").trim_end();
                text.push('\n');
            }
        }
        text
    }
}

fn aligned(columns: &[&str], rows: &Rows) -> Vec<String> {
    let head = columns.iter().map(ToString::to_string).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width =
        |at: usize| all.iter().map(|row| row[at].chars().count()).filter(|width| *width < 60).max().unwrap_or(0);
    let last = columns.len() - 1;
    let pad = |(at, cell): (usize, &String)| {
        if at == last { cell.clone() } else { format!("{cell:width$}", width = width(at)) }
    };
    all.iter().map(|row| row.iter().enumerate().map(pad).collect::<Vec<_>>().join(" | ")).collect()
}

pub fn kind(how: How) -> &'static str {
    match how {
        How::Gauge | How::Delta => Kind::Gauge.word(),
        How::Percent => Kind::Percent.word(),
        How::Rate => Kind::Rate.word(),
        How::Counter => Kind::Counter.word(),
    }
}

fn keys(spec: &Spec, known: &Rows) -> Rows {
    let shared =
        |key: &str| SHARED.iter().find(|(own, ..)| *own == key).map(|(key, default, meaning)| [*key, default, meaning]);
    let row = |key: &str| match known.iter().find(|row| row[0] == key) {
        Some(row) => row.clone(),
        None => shared(key).unwrap_or([key, "", OPEN]).map(String::from).to_vec(),
    };
    spec.keys().chain(COMMON_KEYS.iter().copied()).map(row).collect()
}

/// The unit as shown in a table; an empty unit in the code differs from series to series.
fn unit(field: &Field) -> &'static str {
    if field.unit.is_empty() { "varies" } else { field.unit }
}

fn metrics(spec: &Spec, known: &Rows) -> Rows {
    let mut rows: Rows = Vec::new();
    for field in spec.fields.iter().copied().flatten() {
        if !rows.iter().any(|row| row[0] == field.metric) {
            let meaning = known.iter().find(|row| row[0] == field.metric).map_or(OPEN, |row| &row[3]);
            rows.push([field.metric, kind(field.how), unit(field), meaning].map(String::from).to_vec());
        }
    }
    // In the order of the existing table; new rows come last.
    rows.sort_by_key(|row| known.iter().position(|old| old[0] == row[0]).unwrap_or(usize::MAX));
    rows
}

/// In this order, because each is generated from the previous one.
#[test]
fn documents_are_generated_from_code_and_descriptors() {
    let wrong = [descriptors(), shipped_sections(), chapters()].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn descriptors() -> Vec<String> {
    let mut wrong = Vec::new();
    for spec in checks::all() {
        let mut descriptor = Descriptor::read(spec);
        let keys = keys(spec, &descriptor.rows("Configuration", "key"));
        descriptor.set("Configuration", &["key", "default", "meaning"], &keys);
        let metrics = metrics(spec, &descriptor.rows("Metrics", "name"));
        descriptor.set("Metrics", &["name", "kind", "unit", "meaning"], &metrics);
        let text = descriptor.text();
        let open = text.lines().find(|line| line.split([' ', '|']).any(|word| word == OPEN));
        wrong.extend(settle(&format!("checks_available/{}.ini", spec.name), &text));
        wrong.extend(open.map(|line| format!("{}: somebody has to write this: {line}", spec.name)));
    }
    wrong
}

/// The shipped section of a check: its own keys with their meaning, shared keys behind a `#`. A key that is already in
/// the file stays behind its `#` or not, as it is.
fn section(spec: &Spec, old: &str) -> String {
    let mut text = String::new();
    let rows = Descriptor::read(spec).rows("Configuration", "key");
    for row in rows.iter().filter(|row| spec.has_key(&row[0])) {
        let [key, default, meaning] = row.as_slice() else { panic!("{}: {row:?}", spec.name) };
        let is_shared = SHARED.iter().any(|(own, ..)| own == key);
        let has = |begin: &str| old.lines().any(|line| line.starts_with(&format!("{begin}{key}:")));
        let mark = if has("#") || is_shared && !has("") { "#" } else { "" };
        if !is_shared {
            text += &format!("# {}.\n", capital(meaning));
        }
        text += format!("{mark}{key}: {default}").trim_end();
        text.push('\n');
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn shipped_sections() -> Vec<String> {
    const HEAD: &str = "# A key behind a # is shown with its default value; checks_available/*.ini explains all keys. Every section also takes\n\
        # check_period_seconds, timeout_seconds and max_series. Add a section [NAME:OTHER] for each further server; its metrics get\n\
        # the tag instance=OTHER.\n";
    let mut wrong = Vec::new();
    let is_made = |spec: &&Spec| !WRITTEN.contains(&spec.conf) && !spec.has_key("*") && !spec.has_key(DEVICES);
    let mut files: Vec<_> = checks::all().map(|spec| spec as &Spec).filter(is_made).map(|spec| spec.conf).collect();
    files.dedup();
    for file in files {
        let relative = format!("conf/{file}");
        let old = fs::read_to_string(path(&relative)).unwrap_or_default();
        let part = |spec: &Spec| {
            let begin = format!("\n[{}]\n", spec.section);
            old.split(&begin).nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default().to_string()
        };
        let specs = checks::all().map(|spec| spec as &Spec).filter(is_made).filter(|spec| spec.conf == file);
        // Two checks for the same server, of which only one is enabled, share a section: that of the first.
        let mut known = HashSet::new();
        let specs = specs.filter(|spec| known.insert(spec.section));
        let sections = specs.map(|spec| format!("\n[{}]\n{}", spec.section, section(spec, &part(spec))));
        wrong.extend(settle(&relative, &(HEAD.to_string() + &sections.collect::<String>())));
    }
    wrong
}

/// The points of the newest recorded server in its second tick, shortened.
fn sample(spec: &Spec) -> Option<String> {
    let folder = path(&format!("tests/checks/{}", spec.name.trim_start_matches("check_")));
    let mut cases: Vec<_> = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.join("case.txt").is_file());
    // A folder whose name begins with a letter is a special case.
    cases.sort_by_key(|case| (case.file_name().unwrap().as_encoded_bytes()[0].is_ascii_digit(), case.clone()));
    let case = cases.pop()?;
    let text = fs::read_to_string(case.join("expect.txt")).ok()?;
    let mut lines = text.split("--- tick 2\n").nth(1)?.lines().filter(|line| !line.starts_with("fault "));
    let shown: Vec<_> = lines
        .by_ref()
        .take(12)
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let value = rest.split(' ').next().unwrap_or_default();
            let tags = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(tags, _)| tags);
            if line.starts_with("event ") {
                line.to_string()
            } else {
                format!("{name} {value} {tags}").trim_end().to_string()
            }
        })
        .collect();
    let more = lines.count();
    let more = if more > 0 { format!("\n… and {more} more") } else { String::new() };
    let version = case.file_name()?.to_string_lossy().into_owned();
    Some(format!("A tick of {version}, as recorded:\n\n```\n{}{more}\n```\n", shown.join("\n")))
}

fn chapter(spec: &Spec) -> String {
    let descriptor = Descriptor::read(spec);
    let purpose = descriptor.head.split_once(": ").map_or("", |(_, purpose)| purpose).trim_end_matches('.');
    let mut text = format!(
        "## {}\n\n{}. Type `{}`, section `[{}]` of `conf/{}`.\n",
        spec.name,
        capital(purpose),
        spec.check_type,
        spec.section,
        spec.conf
    );
    let mut say = |lead: &str, lines: Vec<&str>| {
        if !lines.is_empty() {
            text += &format!("\n{lead}{}\n", lines.join("\n"));
        }
    };
    say("", descriptor.prose("What it tells"));
    say("*Needs:* ", descriptor.prose("What it needs"));
    let table = |columns: &[&str], rows: &Rows| {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let name = |row: &Vec<String>| {
            row.iter().enumerate().map(|(at, cell)| if at == 0 { format!("`{cell}`") } else { cell.clone() }).collect()
        };
        line(columns.iter().map(ToString::to_string).collect())
            + &format!("|{}\n", "---|".repeat(columns.len()))
            + &rows.iter().map(|row| line(name(row))).collect::<String>()
    };
    let rows = descriptor.rows("Configuration", "key");
    say("", vec![table(&["key", "default", "meaning"], &rows).trim_end()]);
    say("", descriptor.prose("Metrics"));
    let mut rows = descriptor.rows("Metrics", "name");
    for row in &mut rows {
        let own = spec.fields.iter().copied().flatten().filter(|field| field.metric == row[0]);
        let mut cells: Vec<_> = own.map(|field| field.cell).filter(|cell| !cell.is_empty()).collect();
        cells.dedup();
        row.insert(3, cells.join(", "));
    }
    say("", vec![table(&["name", "kind", "unit", "called by the server", "meaning"], &rows).trim_end()]);
    let rows = descriptor.rows("Sources", "source");
    if !rows.is_empty() {
        say("", vec![table(&["source", "metrics", "missing"], &rows).trim_end()]);
    }
    let events = descriptor.prose("Health events").iter().map(|line| format!("- {line}")).collect::<Vec<_>>();
    if !events.is_empty() {
        say("Health events:\n\n", events.iter().map(String::as_str).collect());
    }
    say("*Tested with:* ", descriptor.prose("Tested with"));
    text.extend(sample(spec).map(|sample| format!("\n{sample}")));
    text
}

fn chapters() -> Vec<String> {
    const MARK: &str = "\n<!-- the chapters from here on are made from the descriptors -->\n";
    let old = fs::read_to_string(path("docs/checks.md")).unwrap();
    let written = old.split(MARK).next().unwrap_or_default();
    let mut text = written.to_string() + MARK;
    let mut family = "";
    for spec in checks::all() {
        if spec.conf != family {
            family = spec.conf;
            text += &format!("\n# conf/{family}\n");
        }
        text += &format!("\n{}", chapter(spec));
    }
    settle("docs/checks.md", &text).into_iter().collect()
}
