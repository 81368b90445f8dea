//! InfluxDB, and whatever else takes line protocol at `/write` (1.x) or `/api/v2/write` (2.x): what is sent, and what each
//! answer means.

use super::cutter::Limits;
use super::http_post::{self, Answer, Call, End, Failure, Gzip, HeaderValue, HttpPost, Manner, Url, shortened};
use super::line_protocol::{self, FieldType, LineProtocol};
use super::{Encoded, Patience, Refused, Request, Sink, Verdict};
use crate::config::section::Section;
use crate::error::Result;
use crate::net::names::Lookup;
use crate::point::{Identity, Point, Value};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const MANNER: Manner = Manner { address: "address", basic: true, gzip: Gzip::Remote, timeout: 10 };
const LIMITS: Limits = Limits { points: 5_000, bytes: 1 << 20 };
/// Most of an answer that is read: an error list for about 500 lines.
const ANSWER_BYTES: usize = 64 * 1024;
/// Most times in a row that something is learned and points are sent again.
const ROUNDS: usize = 8;
const HOUR: Duration = Duration::from_secs(3600);

/// The sink for `tsdtype = InfluxDB`.
pub struct InfluxDb {
    http: HttpPost,
    lines: LineProtocol,
    target: Target,
    write: Url,
    ping: Url,
    notes: Vec<String>,
    /// What was learned since the last answer that taught nothing.
    lessons: Vec<Lesson>,
    /// When the limit of series was last spoken of.
    limit_told: Option<Instant>,
}

/// Where the points go in the server.
enum Target {
    /// 1.x.
    Database(String),
    /// 2.x.
    Bucket { bucket: String, organization: String },
}

/// Something that the server taught us about points, which are sent once more because of it.
#[derive(Clone, Debug, PartialEq)]
enum Lesson {
    /// Of a measurement.
    Type(String),
    /// Some field got two types at once; the server did not say which.
    SomeType,
    /// Some points can never be stored as they are.
    Culprits,
}

/// 1.x. Reads its keys; opens no connection.
pub fn configure(tsdb: &Section) -> Result<InfluxDb> {
    let http = HttpPost::configure(tsdb, MANNER)?;
    let database = tsdb.required("database")?.to_string();
    let write = http.url("write", &[("db", &database), ("precision", "s")]);
    build(tsdb, http, write, Target::Database(database))
}

/// 2.x. Reads its keys; opens no connection.
pub fn configure_2(tsdb: &Section) -> Result<InfluxDb> {
    let mut http = HttpPost::configure(tsdb, Manner { basic: false, ..MANNER })?;
    let organization =
        tsdb.required(if tsdb.text("organization").is_some() { "organization" } else { "org" })?.to_string();
    let bucket = tsdb.required("bucket")?.to_string();
    let token = HeaderValue::from_str(&format!("Token {}", tsdb.required("token")?.trim()))
        .map_err(|_| tsdb.problem("token", "holds a character that no token has"))?;
    http.authorize(token);
    let write = http.url("api/v2/write", &[("org", &organization), ("bucket", &bucket), ("precision", "s")]);
    build(tsdb, http, write, Target::Bucket { bucket, organization })
}

fn build(tsdb: &Section, http: HttpPost, write: Url, target: Target) -> Result<InfluxDb> {
    let ping = http.url("ping", &[]);
    let lines = LineProtocol::new(LIMITS.configure(tsdb)?);
    let (notes, lessons) = (Vec::new(), Vec::new());
    Ok(InfluxDb { http, lines, target, write, ping, notes, lessons, limit_told: None })
}

impl InfluxDb {
    /// Asks this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.http.set_lookup(lookup);
    }

    /// Replaces connections older than this instead of 300 s.
    pub fn set_max_age(&mut self, max_age: Duration) {
        self.http.set_max_age(max_age);
    }
}

impl Sink for InfluxDb {
    fn name(&self) -> &'static str {
        match self.target {
            Target::Database(_) => "InfluxDB",
            Target::Bucket { .. } => "InfluxDB2",
        }
    }

    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded {
        self.lines.encode(points, identity)
    }

    fn send(&mut self, request: &Request, points: &[Point], patience: Patience) -> Verdict {
        let call = Call {
            url: &self.write,
            content_type: "text/plain; charset=utf-8",
            body: &request.body,
            limit: ANSWER_BYTES,
            is_unread: is_unread_gzip,
        };
        let came = self.http.post(call, patience);
        let (rounds, is_answered) = (self.lessons.len(), came.is_ok());
        let verdict = http_post::judge(came, |answer| self.meaning(answer, &Sent::new(request, points)));
        if is_answered && self.lessons.len() == rounds && !matches!(verdict, Verdict::Reject { .. }) {
            self.lessons.clear();
        }
        if let Verdict::Split { .. } = verdict {
            self.lines.lower(request.body.len());
        }
        verdict
    }

    fn healthy(&mut self) -> Option<bool> {
        Some(matches!(self.http.status_of(&self.ping), Some(200 | 204)))
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = self.http.notes();
        notes.append(&mut self.notes);
        notes
    }

    fn is_remote(&self) -> bool {
        !self.http.is_loopback()
    }
}

/// What went out: lines and the points they stand for, one for one.
struct Sent<'a> {
    /// Position of the first point.
    start: usize,
    lines: Vec<&'a str>,
    points: &'a [Point],
}

impl<'a> Sent<'a> {
    fn new(request: &'a Request, points: &'a [Point]) -> Sent<'a> {
        let text = std::str::from_utf8(&request.body).unwrap_or_default();
        let points = points.get(request.points.clone()).unwrap_or_default();
        Sent { start: request.points.start, lines: text.lines().collect(), points }
    }

    /// Position, line and point.
    fn iter(&self) -> impl Iterator<Item = (usize, &'a str, &'a Point)> {
        let pairs = self.lines.iter().zip(self.points);
        pairs.enumerate().map(|(offset, (line, point))| (self.start + offset, *line, point))
    }

    fn all(&self) -> Vec<usize> {
        self.iter().map(|(index, ..)| index).collect()
    }

    fn all_but(&self, named: &[usize]) -> Vec<usize> {
        self.iter().map(|(index, ..)| index).filter(|index| named.binary_search(index).is_err()).collect()
    }

    fn of_measurement(&self, name: &str) -> Vec<usize> {
        self.iter().filter(|(.., point)| line_protocol::measurement(point) == name).map(|(index, ..)| index).collect()
    }

    /// Whether all points have one time, and so lie in one shard of the server.
    fn has_one_time(&self) -> bool {
        let mut times = self.points.iter().map(|point| point.time);
        times.next().is_none_or(|first| times.all(|time| time == first))
    }
}

impl InfluxDb {
    /// What this server means where it is more than the status says. `None`: the rules for any server hold.
    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        let text = answer.words();
        match answer.status {
            204 => Some(Verdict::Delivered),
            200 if answer.body.is_empty() => Some(Verdict::Delivered),
            400 => self.bad_request(&text, answer, sent),
            404 if self.is_2() || text.contains("database not found") => Some(self.pause(answer, &self.missing())),
            401 if self.is_2() => Some(self.pause(answer, "check token")),
            403 if self.is_2() => Some(self.pause(answer, "let the token write to the bucket")),
            422 if self.is_2() => self.bad_request(&text, answer, sent),
            403 if text.contains("not authorized") => Some(self.pause(answer, &self.missing_grant())),
            500 if text.contains("hinted handoff queue not empty") => Some(Verdict::Delivered),
            500 if text.contains("retention policy not found") => {
                Some(self.pause(answer, "its default retention policy is missing on the server"))
            }
            _ => None,
        }
    }

    fn bad_request(&mut self, text: &str, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        if answer.end == End::Cut {
            return Some(self.reject(answer)); // The list is not whole: halves have shorter ones.
        }
        if let Some(conflict) = Conflict::parse(text) {
            return Some(self.conflict(&conflict, answer, sent));
        }
        if let Some(verdict) = numbered(answer, sent) {
            return Some(verdict);
        }
        if text.contains("field type conflict") {
            return Some(self.unnamed_conflict(answer, sent));
        }
        if text.contains("unable to parse '") {
            return Some(self.unparsed(text, answer, sent));
        }
        if is_beyond_retention(text) {
            let count = dropped(text).map_or("some".into(), |count| count.to_string());
            let (address, place) = (self.http.address(), self.place());
            self.notes.push(format!(
                "{address}: older than the retention policy of {place:?} and dropped there: {count} points"
            ));
            return Some(Verdict::Part { refused: Vec::new(), again: Vec::new(), later: Vec::new() });
        }
        if text.contains("max-values-per-tag limit exceeded") {
            return Some(self.too_many_values(text, answer, sent));
        }
        if text.contains("max-series-per-database limit exceeded") {
            self.tell_series_limit();
            return Some(self.reject(answer));
        }
        if ["database is required", "invalid precision", "gzip"].iter().any(|ours| text.contains(ours)) {
            return Some(self.pause(answer, "the server does not understand our request, check address and gzip"));
        }
        None
    }

    /// A field that has another type on the server than in our lines: write it that way from now on.
    fn conflict(&mut self, conflict: &Conflict, answer: &Answer, sent: &Sent) -> Verdict {
        let named = sent.of_measurement(conflict.measurement);
        // Only the first conflict is named, and only the points of one shard are counted.
        let is_alone = conflict.dropped.is_none_or(|count| count <= named.len()) && sent.has_one_time();
        let as_sent = sent.iter().find(|(index, ..)| named.first() == Some(index));
        let as_sent = as_sent.map(|(_, line, _)| line_protocol::field_type(line));
        let wanted = FieldType::from_word(conflict.existing).filter(|wanted| as_sent != Some(*wanted));
        let is_patient = self.lessons.len() < ROUNDS;
        match wanted {
            _ if named.is_empty() || !is_patient && !is_alone => self.reject(answer),
            Some(wanted) if is_patient => self.learn(conflict.measurement, wanted, answer, sent).unwrap_or_else(|| {
                let again = if is_alone { named } else { sent.all() };
                Verdict::Part { refused: Vec::new(), again, later: Vec::new() }
            }),
            // A type that holds no number, or it was written in that type already.
            _ => {
                let again = if is_alone { Vec::new() } else { sent.all_but(&named) };
                self.lessons.push(Lesson::Culprits);
                Verdict::Part { refused: refused(named.into_iter(), answer), again, later: Vec::new() }
            }
        }
    }

    /// Remembers the type. A verdict where that does not help.
    fn learn(&mut self, measurement: &str, wanted: FieldType, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        self.lines.set_type(measurement, wanted);
        let lesson = Lesson::Type(measurement.into());
        let is_new = !self.lessons.contains(&lesson);
        if !is_new && !sent.has_one_time() {
            // Two shards of the server disagree: only points of one time can be written in one type.
            return Some(self.reject(answer));
        }
        self.lessons.push(lesson);
        if wanted == FieldType::Integer && is_new {
            let address = self.http.address();
            self.notes
                .push(format!("{address}: {measurement:?} holds integers there, its values are rounded from now on"));
        }
        None
    }

    /// Two types for one new field in one request, or in requests of several writers at the same moment.
    fn unnamed_conflict(&mut self, answer: &Answer, sent: &Sent) -> Verdict {
        if self.lessons.contains(&Lesson::SomeType) {
            return self.reject(answer);
        }
        self.lessons.push(Lesson::SomeType);
        for name in mixed_measurements(sent.points) {
            self.lines.set_type(&name, FieldType::Float);
        }
        Verdict::Part { refused: Vec::new(), again: sent.all(), later: Vec::new() }
    }

    /// Lines that the server could not read; it quotes them.
    fn unparsed(&self, text: &str, answer: &Answer, sent: &Sent) -> Verdict {
        let quoted = quoted_lines(text, sent);
        if quoted.is_empty() {
            return self.reject(answer);
        }
        let mut refused = Vec::new();
        let mut again = Vec::new();
        for (index, line, _) in sent.iter() {
            match quoted.get(line) {
                Some(why) => refused.push(Refused { index, status: answer.status, why: why.clone() }),
                None => again.push(index),
            }
        }
        if text.starts_with("partial write") {
            again.clear(); // All others are stored.
        }
        Verdict::Part { refused, again, later: Vec::new() }
    }

    /// A tag with more values than the server allows: points that carry this value are lost, the others are not.
    fn too_many_values(&mut self, text: &str, answer: &Answer, sent: &Sent) -> Verdict {
        let (Some(measurement), Some(key), Some(value)) =
            (go_quoted(text, "measurement="), go_quoted(text, "tag="), go_quoted(text, " value="))
        else {
            return self.reject(answer);
        };
        let (named, again): (Vec<_>, Vec<_>) =
            sent.iter().partition(|(_, line, _)| line_protocol::has_tag(line, &measurement, &key, &value));
        if named.is_empty() || self.lessons.len() >= ROUNDS {
            return self.reject(answer);
        }
        self.lessons.push(Lesson::Culprits);
        let refused = refused(named.into_iter().map(|(index, ..)| index), answer);
        Verdict::Part { refused, again: again.into_iter().map(|(index, ..)| index).collect(), later: Vec::new() }
    }

    fn tell_series_limit(&mut self) {
        if self.limit_told.is_some_and(|told| told.elapsed() < HOUR) {
            return;
        }
        self.limit_told = Some(Instant::now());
        let (address, place) = (self.http.address(), self.place());
        self.notes.push(format!(
            "{address}: {place:?} has as many series as the server allows, new ones are refused; \
             raise max-series-per-database in its configuration"
        ));
    }

    fn reject(&self, answer: &Answer) -> Verdict {
        Verdict::Reject { status: answer.status, why: why(answer) }
    }

    fn pause(&self, answer: &Answer, remedy: &str) -> Verdict {
        Verdict::Pause { why: format!("{}: {}; {remedy}", self.http.address(), http_post::said(answer)) }
    }

    fn is_2(&self) -> bool {
        matches!(self.target, Target::Bucket { .. })
    }

    /// The name of the database or bucket.
    fn place(&self) -> &str {
        match &self.target {
            Target::Database(name) | Target::Bucket { bucket: name, .. } => name,
        }
    }

    /// What to do about a place that is not there.
    fn missing(&self) -> String {
        match &self.target {
            Target::Database(name) => {
                format!("create it with CREATE DATABASE {}, or correct the key database", quoted_name(name))
            }
            Target::Bucket { bucket, organization } => {
                format!("create bucket {bucket:?} in organization {organization:?}, or correct bucket and organization")
            }
        }
    }

    fn missing_grant(&self) -> String {
        format!("let the user write there with GRANT WRITE ON {} TO the user", quoted_name(self.place()))
    }
}

/// A name as InfluxQL writes it.
fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn refused(named: impl Iterator<Item = usize>, answer: &Answer) -> Vec<Refused> {
    let why = why(answer);
    named.map(|index| Refused { index, status: answer.status, why: why.clone() }).collect()
}

fn why(answer: &Answer) -> String {
    shortened(answer.words())
}

/// Whether a server may have taken compressed bytes for lines.
fn is_unread_gzip(answer: &std::result::Result<Answer, Failure>) -> bool {
    let Ok(answer) = answer else { return false };
    let text = answer.words();
    answer.status == 400 && (text.contains("gzip") || text.contains("parse"))
}

/// Measurements with integers and floats among these points.
fn mixed_measurements(points: &[Point]) -> Vec<String> {
    let mut seen: HashMap<_, (bool, bool)> = HashMap::new();
    for point in points {
        let (integer, float) = seen.entry(line_protocol::measurement(point)).or_default();
        match point.value {
            Value::Int(_) => *integer = true,
            Value::Float(_) => *float = true,
        }
    }
    seen.into_iter().filter(|(_, kinds)| *kinds == (true, true)).map(|(name, _)| name.into_owned()).collect()
}

/// `field type conflict: input field "value" on measurement "M" is type T1, already exists as type T2 dropped=K`
struct Conflict<'a> {
    measurement: &'a str,
    existing: &'a str,
    dropped: Option<usize>,
}

impl<'a> Conflict<'a> {
    fn parse(text: &'a str) -> Option<Conflict<'a>> {
        let (_, rest) = text.split_once("field type conflict: input field \"value\" on measurement \"")?;
        let (before, existing) = rest.rsplit_once(", already exists as type ")?;
        let (measurement, _) = before.rsplit_once("\" is type ")?;
        let end = existing.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(existing.len());
        Some(Conflict { measurement, existing: existing.get(..end)?, dropped: dropped(existing) })
    }
}

/// The number in `dropped=K`.
fn dropped(text: &str) -> Option<usize> {
    let (_, rest) = text.rsplit_once("dropped=")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

fn is_beyond_retention(text: &str) -> bool {
    ["points beyond retention policy", "Retention Policy Lower Bound", "Write Window"]
        .iter()
        .any(|known| text.contains(known))
}

/// The text after `key` in the quotes of Go's `%q`, which JSON reads but for rare escapes.
fn go_quoted(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
}

/// InfluxDB 3 stores nothing of a request with a bad line, and counts out which it is, from 1.
fn numbered(answer: &Answer, sent: &Sent) -> Option<Verdict> {
    let json = answer.json()?;
    let number = usize::try_from(json.pointer("/data/line_number")?.as_u64()?).ok()?;
    let (index, ..) = sent.iter().nth(number.checked_sub(1)?)?;
    let why =
        json.pointer("/data/error_message").and_then(|text| text.as_str()).map_or_else(|| why(answer), String::from);
    let refused = vec![Refused { index, status: answer.status, why: shortened(why) }];
    Some(Verdict::Part { refused, again: sent.all_but(&[index]), later: Vec::new() })
}

/// Those of our lines that the text quotes in `unable to parse 'LINE': reason`, each with the reason.
fn quoted_lines<'a>(text: &str, sent: &Sent<'a>) -> HashMap<&'a str, String> {
    let ours: HashMap<&str, &'a str> = sent.iter().map(|(_, line, _)| (line, line)).collect();
    let complaints = text.split("unable to parse '").skip(1);
    // A line may hold the mark itself, so every place where it may end is tried.
    let quoted = complaints.filter_map(|complaint| {
        complaint.match_indices("': ").find_map(|(end, _)| {
            let line = ours.get(complaint.get(..end)?)?;
            let reason = complaint.get(end + 3..)?.lines().next().unwrap_or_default();
            let reason = reason.trim_end_matches(" dropped=0");
            Some((*line, shortened(format!("unable to parse: {reason}"))))
        })
    });
    quoted.collect()
}
