//! `puypuy check NAME --explain`: the origin of each setting, the requests, and how the points are encoded.

use super::render::columns;
use crate::check::{COMMON_KEYS, DEFAULT_MAX_SERIES};
use crate::checks;
use crate::config::masking::{self, Secrets};
use crate::config::section::Section;
use crate::config::settings::{Settings, kind_named, unknown_kind};
use crate::delivery::normalise::{normalise, points_of};
use crate::fetch::trace::{self, Conversation};
use crate::model::error::{Error, Result};
use crate::model::point::{Batch, Identity, Kind, Point};
use crate::scheduler::prepared::Prepared;
use crate::scripts;
use crate::scripts::module;
use crate::sink::{self, Attempt, Sink};
use crate::state;
use crate::sys::clock::unix_now;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

/// Most requests, and most remarks about points, that are shown.
const MOST: usize = 50;
/// Most characters of an answer that are shown.
const ANSWER: usize = 500;
/// Most characters of an encoded point in a remark.
const POINT: usize = 300;
/// Placeholders in lists of keys, which stand for any key.
const ANY: [&str; 2] = ["*", crate::check::DEVICES];

/// What is known about a check before it runs.
pub struct Explanation {
    section: Section,
    /// All keys that the section may have.
    keys: Vec<&'static str>,
    /// The documentation of the check, and the default values in it.
    manual: String,
    defaults: HashMap<String, String>,
    period: String,
    secrets: Secrets,
    sink: Box<dyn Sink>,
    /// Whether the sink is another one than the configured one.
    is_sample: bool,
}

impl Explanation {
    /// Starts to record requests.
    ///
    /// # Errors
    /// There is no store of that name, or the configured one cannot be built.
    pub fn begin(settings: &Settings, prepared: &Prepared, store: Option<&str>) -> Result<Explanation> {
        let kind = match store {
            None => settings.tsdb.kind,
            Some(word) => {
                kind_named(word).ok_or_else(|| Error::daemon(format!("--sink {word}: {}", unknown_kind(word))))?
            }
        };
        let is_sample = kind != settings.tsdb.kind;
        let sink = if is_sample { sink::sample(kind, settings) } else { sink::build(settings) }?;
        let (mut keys, manual) = match prepared.key.kind() {
            state::Kind::Check => {
                let name = &prepared.key.name;
                let own = checks::find(name).into_iter().flat_map(|spec| spec.keys()).collect::<Vec<_>>();
                (own, format!("checks_available/{name}.ini"))
            }
            state::Kind::Script => (scripts::KEYS.to_vec(), "docs/operating.md".into()),
            state::Kind::Module => (module::KEYS.to_vec(), "docs/modules.md".into()),
        };
        let defaults = defaults(&fs::read_to_string(settings.home.join(&manual)).unwrap_or_default());
        keys.extend(COMMON_KEYS);
        keys.retain(|key| !ANY.contains(key));
        let section = prepared.section.clone();
        let own = &settings.own.section;
        let place = own.entry("check_period_seconds").map(|entry| format!("{}:{}", own.file, entry.line));
        let period = format!("{} ({})", settings.own.check_period.as_secs_f64(), place.unwrap_or("default".into()));
        let secrets = Secrets::of([&section, own, &settings.tsdb.section].into_iter().chain(&settings.web));
        trace::begin();
        Ok(Explanation { section, keys, manual, defaults, period, secrets, sink, is_sample })
    }

    /// Settings and requests; `begun` is when each run began.
    pub fn head(&self, begun: &[Instant]) -> String {
        let mut text = self.settings();
        text.push_str("\nrequests\n");
        let conversations = trace::take();
        if conversations.is_empty() {
            text.push_str(
                "none is noted: it reads files and the kernel, speaks SNMP, or is a script that goes on (mode = stream)\n",
            );
        }
        let more = conversations.len().saturating_sub(MOST);
        for conversation in conversations.iter().take(MOST) {
            let run = begun.iter().filter(|begun| **begun <= conversation.begun).count();
            let _ = write!(text, "run {run}: {}", self.told(conversation));
        }
        if more > 0 {
            let _ = writeln!(text, "... and {more} more");
        }
        text
    }

    fn settings(&self) -> String {
        let Explanation { section, keys, manual, defaults, period, .. } = self;
        let mut text = String::new();
        if section.name.is_empty() {
            let _ = writeln!(text, "settings: it has no section");
        } else if section.is_missing() {
            let _ = writeln!(
                text,
                "settings: there is no section [{}] in {}, so all are defaults",
                section.name, section.file
            );
        }
        let sections = std::iter::once(section).filter(|section| !section.is_missing()).chain(&section.devices);
        for section in sections {
            let _ = writeln!(text, "settings of [{}], {}:{}", section.name, section.file, section.line);
            let rows = section.entries.iter().map(|entry| {
                let value = self.secrets.mask(&masking::shown(section, entry)).escape_debug().to_string();
                [format!("  {}", entry.key), value, format!("{}:{}", section.file, entry.line)]
            });
            text.push_str(&columns(&rows.collect::<Vec<_>>(), &[]));
        }
        let unset: BTreeSet<&&str> = keys.iter().filter(|key| section.entry(key).is_none()).collect();
        let rows = unset.into_iter().map(|key| {
            let value = match (*key, defaults.get(*key)) {
                ("check_period_seconds", _) => period.clone(),
                (_, Some(default)) => default.clone(),
                ("max_series", None) => DEFAULT_MAX_SERIES.to_string(),
                (_, None) => String::new(),
            };
            [format!("  {key}"), value, "default".into()]
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            let _ = writeln!(text, "not set, see {manual}");
            text.push_str(&columns(&rows, &[]));
        }
        text
    }

    /// A request, and the first bytes of its answer.
    fn told(&self, conversation: &Conversation) -> String {
        let Conversation { question, connected, first_byte, whole, outcome, head, size, .. } = conversation;
        let mut parts = vec![self.secrets.mask(outcome)];
        let times = [("connected", connected), ("first byte", first_byte), ("all", whole)];
        parts.extend(times.iter().filter_map(|(what, took)| Some(format!("{what} after {}", ms((**took)?)))));
        parts.push(format!("{size} bytes"));
        parts.retain(|part| !part.is_empty());
        let mut text = format!("{}: {}\n", self.secrets.mask(question), parts.join(", "));
        // Masked before it is cut: a truncated secret would not be recognised.
        let shown = self.secrets.mask(&String::from_utf8_lossy(head));
        let cut: String = shown.chars().take(ANSWER).collect();
        cut.lines().for_each(|line| text += &format!("  | {}\n", escaped(line)));
        if cut.len() < shown.len() || head.len() < *size {
            let _ = writeln!(text, "  | ... and more");
        }
        text
    }

    /// How the points are encoded, and remarks about them.
    pub fn foot(mut self, batch: Batch, identity: &Identity) -> String {
        let (points, mut sentences) = self.prepare(batch);
        let encoded = self.sink.encode(&points, identity);
        for refused in &encoded.refused {
            let name = points.get(refused.index).map_or("a point", |point| &point.name);
            sentences.push(format!("{name} is refused: {}", refused.why));
        }
        self.sink.look_at(&points);
        let page = self.page(&points, identity);
        sentences.extend(self.sink.notes());
        sentences.extend(points.iter().filter_map(|point| self.otherwise(point, identity)));

        let name = self.sink.name();
        let whose =
            if self.is_sample { "of that kind, not the one that is configured" } else { "as config.ini has it" };
        let mut text = format!("\nfor {name}, {whose}\n");
        let bodies = encoded.requests.iter().map(|request| (&request.body, request.points.len()));
        let bodies: Vec<_> = bodies.filter(|(body, _)| !body.is_empty()).collect();
        match (page, bodies.as_slice()) {
            (Some(page), _) => {
                let _ = writeln!(text, "what a scraper is given:");
                text.push_str(&self.secrets.mask(&page));
            }
            (None, []) if encoded.requests.is_empty() => text.push_str("nothing: there is no point to send\n"),
            (None, []) => {
                let count: usize = encoded.requests.iter().map(|request| request.points.len()).sum();
                let _ = writeln!(text, "{count} points become rows of its file; no bytes are sent");
            }
            (None, bodies) => {
                for (place, (body, count)) in bodies.iter().enumerate() {
                    let (place, of, size) = (place + 1, bodies.len(), body.len());
                    let _ = writeln!(
                        text,
                        "request {place} of {of}: {count} points, {size} bytes, before they are compressed where that is done"
                    );
                    text.push_str(&self.secrets.mask(&bytes(body)));
                    text.push('\n');
                }
            }
        }
        let _ = writeln!(text, "\nwhat becomes of the points");
        let mut said = BTreeSet::new();
        sentences.retain(|sentence| said.insert(sentence.clone()));
        match sentences.as_slice() {
            [] if points.is_empty() => text.push_str("there is none\n"),
            [] => text.push_str("each is sent as it was told\n"),
            all => {
                for sentence in all.iter().take(MOST) {
                    let _ = writeln!(text, "- {}", escaped(&self.secrets.mask(sentence)));
                }
                let more = all.len().saturating_sub(MOST);
                if more > 0 {
                    let _ = writeln!(text, "- ... and {more} more");
                }
            }
        }
        text
    }

    /// The normalised points, and remarks about what that has changed.
    fn prepare(&self, batch: Batch) -> (Vec<Point>, Vec<String>) {
        let takes_events = self.sink.takes_events();
        let mut sentences = Vec::new();
        for event in batch.events.iter().filter(|_| !takes_events) {
            sentences.push(format!(
                "event {} becomes the number health_status with the tag event={}: this store knows no events",
                event.name, event.name
            ));
        }
        for point in &batch.points {
            let (cleaned, refused, _) = normalise(vec![point.clone()]);
            sentences.extend(
                refused.into_iter().map(|(point, why)| format!("a point of {} is dropped: {why}", point.check_type)),
            );
            sentences.extend(cleaned.first().and_then(|cleaned| change(point, cleaned)));
        }
        let (points, _, merged) = points_of(batch, takes_events);
        if merged > 0 {
            sentences.push(format!("{merged} points are dropped: a later one has the same name, tags and time"));
        }
        (points, sentences)
    }

    /// The metrics page with these points; `None` unless the sink is scraped.
    fn page(&mut self, points: &[Point], identity: &Identity) -> Option<String> {
        let exposition = self.sink.exposition()?;
        let now = Instant::now();
        let attempt = Attempt { identity, wall: unix_now(), until: now };
        for request in self.sink.encode(points, identity).requests {
            self.sink.send(&request, points, &attempt);
        }
        Some(exposition.page(now))
    }

    /// A remark about a point whose name or tags do not appear unchanged in its encoded bytes.
    fn otherwise(&self, point: &Point, identity: &Identity) -> Option<String> {
        let encoded = self.sink.encode(std::slice::from_ref(point), identity);
        let body = &encoded.requests.first()?.body;
        if body.is_empty() || point.kind == Kind::Special {
            return None;
        }
        let shown = bytes(body);
        let words = std::iter::once(&*point.name).chain(point.tags.iter().flat_map(|(key, value)| [key, value]));
        let changed: Vec<&str> = words.filter(|word| !shown.contains(*word)).collect();
        let first = changed.first()?;
        let body: String = shown.chars().take(POINT).collect();
        Some(format!("{}: {first:?} is written otherwise: {body}", point.name))
    }
}

/// A remark about what normalising has changed.
fn change(before: &Point, after: &Point) -> Option<String> {
    if before == after {
        return None;
    }
    let name = format!("{:?}", before.name);
    if before.name != after.name {
        return Some(format!(
            "{name} is renamed {:?}: a name has no control characters and no outer blanks",
            after.name
        ));
    }
    let has = |tag: &(&str, &str)| after.tags.iter().any(|kept| kept == *tag);
    let changed: Vec<String> =
        before.tags.iter().filter(|tag| !has(tag)).map(|(key, value)| format!("{key}={value:.60}")).collect();
    Some(format!(
        "{name}: dropped or written otherwise are {}: a tag is not empty, has no control characters and no outer blanks, and at most 1024 bytes",
        changed.join(", ")
    ))
}

fn ms(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// As it can be shown in a terminal: text as it is, anything else with its bytes escaped.
fn bytes(body: &[u8]) -> String {
    let is_odd = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    match std::str::from_utf8(body) {
        Ok(text) if !text.contains(is_odd) => text.trim_end_matches('\n').into(),
        _ => body.escape_ascii().to_string(),
    }
}

/// The text with control characters escaped.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, letter| {
        if letter.is_control() {
            shown.extend(letter.escape_default())
        } else {
            shown.push(letter)
        }
        shown
    })
}

/// The defaults of the keys in a descriptor, from its table `key | default | meaning`.
fn defaults(descriptor: &str) -> HashMap<String, String> {
    let rows = descriptor.lines().skip_while(|line| !line.starts_with("# Configuration")).skip(1);
    let rows = rows.map_while(|line| line.strip_prefix("#   "));
    let cells = rows.filter_map(|row| {
        let mut cells = row.split('|').map(str::trim);
        Some((cells.next()?.to_string(), cells.next()?.to_string()))
    });
    cells.collect()
}
