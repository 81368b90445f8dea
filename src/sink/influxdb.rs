//! InfluxDB, and other servers that take line protocol at `/write` (1.x) or `/api/v2/write` (2.x).

use super::answer::{Answer, End, Failure};
use super::cutter::Limits;
use super::http_post::{Call, Gzip, HeaderValue, HttpPost, Profile, Url};
use super::http_sink::{self, HttpSink, Protocol};
use super::influxdb_words::quoted_lines;
use super::influxdb_words::{Conflict, Numbered, column_types, dropped, go_quoted, is_beyond_retention, is_partial};
use super::judge::{describe_answer, shortened};
use super::line_protocol::{self, FieldType, LineProtocol};
use super::{Encoded, Refused, Verdict};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::{Identity, Point, Value};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

const PROFILE: Profile = Profile {
    address: "address",
    basic: true,
    gzip: Gzip::Remote,
    timeout: 10,
    lanes: 1,
    usual_port: Some("InfluxDB usually listens on 8086"),
    example: "http://server:8086",
};
const LIMITS: Limits = Limits { points: 5_000, bytes: 1 << 20 };
/// InfluxDB 3 answers with about 300 bytes for each refused line.
const ANSWER_BYTES: usize = 4 << 20;
/// Most answers in a row after which points are sent again at once.
const ROUNDS: usize = 8;
const HOUR: Duration = Duration::from_secs(3600);

/// The sink for `tsdtype = InfluxDB` and `InfluxDB2`.
pub type InfluxDb = HttpSink<Influx>;

/// Its protocol.
pub struct Influx {
    lines: LineProtocol,
    target: Target,
    write: Url,
    notes: Vec<String>,
    /// Number of answers in a row after which points were sent again because something was learned about types. Each
    /// round should get some more points stored; after too many rounds the request is halved instead.
    rounds: usize,
    /// When the limit of series was last logged.
    limit_noted: Option<Instant>,
}

/// Where the server stores the points.
enum Target {
    /// 1.x.
    Database(String),
    /// 2.x.
    Bucket { bucket: String, organization: String },
}

/// For 1.x. Reads the configuration; opens no connection.
pub fn configure(tsdb: &Section) -> Result<InfluxDb> {
    let http = HttpPost::configure(tsdb, PROFILE)?;
    let database = tsdb.required("database", "puypuy")?.to_string();
    let write = http.url("write", &[("db", &database), ("precision", "s")]);
    build(tsdb, http, write, Target::Database(database))
}

/// For 2.x. Reads the configuration; opens no connection.
pub fn configure_2(tsdb: &Section) -> Result<InfluxDb> {
    let mut http = HttpPost::configure(tsdb, Profile { basic: false, ..PROFILE })?;
    let organization =
        tsdb.required(if tsdb.text("organization").is_some() { "organization" } else { "org" }, "example")?.to_string();
    let bucket = tsdb.required("bucket", "puypuy")?.to_string();
    let token = tsdb.required("token", "<made by the server for this bucket>")?;
    let token = HeaderValue::from_str(&format!("Token {}", token.trim()))
        .map_err(|_| tsdb.problem("token", "holds a character that no token has"))?;
    http.authorize(token);
    let write = http.url("api/v2/write", &[("org", &organization), ("bucket", &bucket), ("precision", "s")]);
    build(tsdb, http, write, Target::Bucket { bucket, organization })
}

fn build(tsdb: &Section, http: HttpPost, write: Url, target: Target) -> Result<InfluxDb> {
    let lines = LineProtocol::new();
    let protocol = Influx { lines, target, write, notes: Vec::new(), rounds: 0, limit_noted: None };
    Ok(HttpSink::new(protocol, http, LIMITS.configure(tsdb)?))
}

impl Protocol for Influx {
    fn name(&self) -> &'static str {
        match self.target {
            Target::Database(_) => "InfluxDB",
            Target::Bucket { .. } => "InfluxDB2",
        }
    }

    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, _: &HttpPost) -> Encoded {
        self.lines.encode(points, identity, limits)
    }

    fn page(&self, http: &HttpPost) -> Url {
        http.url("ping", &[])
    }

    /// A body without lines: the server checks user or token, database or bucket, and the right to write there before
    /// it reads the lines.
    fn empty(&self) -> Option<&'static [u8]> {
        Some(b"")
    }

    fn call(&self) -> Call<'_> {
        Call { url: &self.write, content_type: "text/plain; charset=utf-8", limit: ANSWER_BYTES, rejects_gzip }
    }

    fn meaning(&mut self, answer: &Answer, sent: &http_sink::Sent) -> Option<Verdict> {
        let verdict = self.read(answer, &Sent::new(sent));
        let is_again = matches!(&verdict, Some(Verdict::Part { again, .. }) if !again.is_empty());
        if is_again && self.rounds < ROUNDS {
            self.rounds += 1;
            return verdict;
        }
        // Each half of a refused request gets all rounds again.
        self.rounds = 0;
        if is_again { Some(reject(answer)) } else { verdict }
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

/// A request that was sent: its lines and their points, one for one.
struct Sent<'a> {
    /// Index of the first point in the encoded points.
    start: usize,
    lines: Vec<&'a str>,
    points: &'a [Point],
}

impl<'a> Sent<'a> {
    fn new(sent: &http_sink::Sent<'a>) -> Sent<'a> {
        let text = std::str::from_utf8(&sent.request.body).unwrap_or_default();
        Sent { start: sent.request.points.start, lines: text.lines().collect(), points: sent.points }
    }

    /// Index, line and point of each line.
    fn iter(&self) -> impl Iterator<Item = (usize, &'a str, &'a Point)> {
        let pairs = self.lines.iter().zip(self.points);
        pairs.enumerate().map(|(offset, (line, point))| (self.start + offset, *line, point))
    }

    fn all(&self) -> Vec<usize> {
        self.iter().map(|(index, ..)| index).collect()
    }

    fn all_but(&self, named: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let named: BTreeSet<usize> = named.into_iter().collect();
        self.iter().map(|(index, ..)| index).filter(|index| !named.contains(index)).collect()
    }

    fn of_measurement(&self, name: &str) -> Vec<usize> {
        self.iter()
            .filter(|(.., point)| line_protocol::measurement(&point.name) == name)
            .map(|(index, ..)| index)
            .collect()
    }

    /// Whether all points have the same time, and so belong to the same shard of the server.
    fn has_one_time(&self) -> bool {
        let mut times = self.points.iter().map(|point| point.time);
        times.next().is_none_or(|first| times.all(|time| time == first))
    }
}

/// What a type conflict has taught about a measurement.
enum Lesson {
    /// Its points are to be sent again, with the server's type.
    Again,
    /// Its points can never be stored: the server's type is not numeric, or is the one that they had.
    Never,
    /// Shards of the server have different types: only points of one time can be written in one type.
    Shards,
}

impl Influx {
    /// The verdict on an answer, without regard to the number of rounds.
    fn read(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        let text = answer.message();
        match answer.status {
            204 => Some(Verdict::Delivered),
            400 => self.bad_request(&text, answer, sent),
            404 if self.is_2() || text.contains("database not found") => Some(pause(answer, &self.missing())),
            401 if self.is_2() => Some(pause(answer, "check token")),
            403 if self.is_2() => Some(pause(answer, "let the token write to the bucket")),
            422 if self.is_2() => self.bad_request(&text, answer, sent),
            403 if text.contains("not authorized") => Some(pause(answer, &self.missing_grant())),
            500 if text.contains("hinted handoff queue not empty") => Some(Verdict::Delivered),
            500 if text.contains("retention policy not found") => {
                Some(pause(answer, "its default retention policy is missing on the server"))
            }
            _ => None,
        }
    }

    fn bad_request(&mut self, text: &str, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        if answer.end == End::Cut {
            return Some(reject(answer)); // The list is not whole: halves have shorter ones.
        }
        if let Some(conflict) = Conflict::parse(text) {
            return Some(self.conflict(&conflict, answer, sent));
        }
        if let Some(numbered) = Numbered::read(answer) {
            return Some(self.numbered(numbered, answer, sent));
        }
        if let Some((Some(wanted), Some(written))) = column_types(text) {
            return Some(self.column_conflict(wanted, written, answer, sent));
        }
        if text.contains("field type conflict") {
            return Some(self.unnamed_conflict(answer, sent));
        }
        if let Some((before, _)) = text.split_once("unable to parse '") {
            return Some(unparsed(text, is_partial(before), answer, sent));
        }
        if is_beyond_retention(text) {
            let count = dropped(text).map_or("some".into(), |count| count.to_string());
            let (address, place) = (&answer.address, self.place());
            self.notes.push(format!(
                "{address}: older than the retention policy of {place:?} and dropped there: {count} points"
            ));
            return Some(Verdict::Part { refused: Vec::new(), again: Vec::new(), later: Vec::new() });
        }
        if text.contains("max-values-per-tag limit exceeded") {
            return Some(too_many_values(text, answer, sent));
        }
        if text.contains("max-series-per-database limit exceeded") {
            self.note_series_limit(answer);
            return Some(reject(answer));
        }
        if ["database is required", "invalid precision", "gzip"].iter().any(|ours| text.contains(ours)) {
            return Some(pause(answer, "the server does not understand our request, check address and gzip"));
        }
        None
    }

    /// The server names only the first conflict, and `dropped` counts only the points of one shard.
    fn conflict(&mut self, conflict: &Conflict, answer: &Answer, sent: &Sent) -> Verdict {
        let named = sent.of_measurement(conflict.measurement);
        let Some(first) = named.first() else { return reject(answer) };
        let are_all_named = conflict.dropped.is_none_or(|count| count <= named.len()) && sent.has_one_time();
        let is_rest_stored = conflict.is_partial && are_all_named;
        match self.learn(*first, FieldType::from_word(conflict.existing), answer, sent) {
            Lesson::Again => {
                let again = if is_rest_stored { named } else { sent.all() };
                Verdict::Part { refused: Vec::new(), again, later: Vec::new() }
            }
            Lesson::Never => {
                let again = if is_rest_stored { Vec::new() } else { sent.all_but(named.iter().copied()) };
                Verdict::Part { refused: refused(named, answer), again, later: Vec::new() }
            }
            Lesson::Shards => reject(answer),
        }
    }

    /// Lines that the server lists by number: those with a wrong type are sent again with the right one, the others are
    /// refused.
    fn numbered(&mut self, numbered: Numbered, answer: &Answer, sent: &Sent) -> Verdict {
        let Numbered { lines, is_rest_stored } = numbered;
        if lines.iter().any(|(position, _)| *position >= sent.points.len()) {
            return reject(answer); // Not our lines.
        }
        let (mut refused, mut again) = (Vec::new(), Vec::new());
        for (position, why) in lines {
            let index = sent.start + position;
            let lesson = column_types(&why).map(|(wanted, _)| self.learn(index, wanted, answer, sent));
            match lesson {
                Some(Lesson::Again) => again.push(index),
                Some(Lesson::Shards) => return reject(answer),
                Some(Lesson::Never) | None => refused.push(Refused { index, status: answer.status, why }),
            }
        }
        if !is_rest_stored {
            again = sent.all_but(refused.iter().map(|refused| refused.index));
        }
        Verdict::Part { refused, again, later: Vec::new() }
    }

    /// A wrong type, without the line. The measurement is known only if no other one has the type that the server
    /// complains about.
    fn column_conflict(&mut self, wanted: FieldType, written: FieldType, answer: &Answer, sent: &Sent) -> Verdict {
        let mut suspects = sent.iter().filter(|(_, line, _)| line_protocol::field_type(line) == written);
        let Some((index, _, suspect)) = suspects.next() else { return reject(answer) };
        let name = line_protocol::measurement(&suspect.name);
        if suspects.any(|(.., point)| line_protocol::measurement(&point.name) != name) {
            return reject(answer);
        }
        match self.learn(index, Some(wanted), answer, sent) {
            Lesson::Again => Verdict::Part { refused: Vec::new(), again: sent.all(), later: Vec::new() },
            Lesson::Never | Lesson::Shards => reject(answer),
        }
    }

    /// From now on writes the measurement of that point with the server's type.
    fn learn(&mut self, index: usize, wanted: Option<FieldType>, answer: &Answer, sent: &Sent) -> Lesson {
        let Some((_, line, point)) = sent.iter().find(|(other, ..)| *other == index) else { return Lesson::Never };
        let Some(wanted) = wanted.filter(|wanted| *wanted != line_protocol::field_type(line)) else {
            return Lesson::Never;
        };
        let name = line_protocol::measurement(&point.name);
        match self.lines.known_type(&name) {
            // The type was learned after this request had been encoded.
            Some(known) if known == wanted => Lesson::Again,
            Some(_) if !sent.has_one_time() => Lesson::Shards,
            known => {
                self.lines.set_type(&name, wanted);
                if wanted == FieldType::Integer && known.is_none() {
                    let address = &answer.address;
                    let note = format!("{address}: {name:?} holds integers there, its values are rounded from now on");
                    self.notes.push(note);
                }
                Lesson::Again
            }
        }
    }

    /// A new field had two types in one request, or in requests of several writers at the same moment. The second
    /// attempt finds the type of the first.
    fn unnamed_conflict(&mut self, answer: &Answer, sent: &Sent) -> Verdict {
        if self.rounds > 0 {
            return reject(answer);
        }
        for name in mixed_measurements(sent.points) {
            self.lines.set_type(&name, FieldType::Float);
        }
        Verdict::Part { refused: Vec::new(), again: sent.all(), later: Vec::new() }
    }

    fn note_series_limit(&mut self, answer: &Answer) {
        if self.limit_noted.is_some_and(|told| told.elapsed() < HOUR) {
            return;
        }
        self.limit_noted = Some(Instant::now());
        let (address, place) = (&answer.address, self.place());
        self.notes.push(format!(
            "{address}: {place:?} has as many series as the server allows, new ones are refused; \
             raise max-series-per-database in its configuration"
        ));
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

    /// What to do if the database or bucket does not exist.
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

/// Lines that the server could not parse; it quotes them.
fn unparsed(text: &str, is_rest_stored: bool, answer: &Answer, sent: &Sent) -> Verdict {
    let quoted = quoted_lines(text, &sent.lines);
    if quoted.is_empty() {
        return reject(answer);
    }
    let (mut refused, mut again) = (Vec::new(), Vec::new());
    for (index, line, _) in sent.iter() {
        match quoted.get(line) {
            Some(why) => refused.push(Refused { index, status: answer.status, why: why.clone() }),
            None if is_rest_stored => {}
            None => again.push(index),
        }
    }
    Verdict::Part { refused, again, later: Vec::new() }
}

/// A tag has more values than the server allows: points with the value that it names are refused, the others are sent
/// again.
fn too_many_values(text: &str, answer: &Answer, sent: &Sent) -> Verdict {
    let (Some(measurement), Some(key), Some(value)) =
        (go_quoted(text, "measurement="), go_quoted(text, "tag="), go_quoted(text, " value="))
    else {
        return reject(answer);
    };
    let named = sent.iter().filter(|(_, line, _)| line_protocol::has_tag(line, &measurement, &key, &value));
    let named: Vec<usize> = named.map(|(index, ..)| index).collect();
    if named.is_empty() {
        return reject(answer);
    }
    // 1.8 does not store any of the others either.
    let again = sent.all_but(named.iter().copied());
    Verdict::Part { refused: refused(named, answer), again, later: Vec::new() }
}

/// A name as an InfluxQL identifier.
fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn refused(named: Vec<usize>, answer: &Answer) -> Vec<Refused> {
    let why = shortened(answer.message());
    named.into_iter().map(|index| Refused { index, status: answer.status, why: why.clone() }).collect()
}

fn reject(answer: &Answer) -> Verdict {
    Verdict::Reject { status: answer.status, why: shortened(answer.message()) }
}

fn pause(answer: &Answer, remedy: &str) -> Verdict {
    Verdict::Pause { why: format!("{}: {}; {remedy}", answer.address, describe_answer(answer)) }
}

/// Whether the server may have parsed a compressed body as lines.
fn rejects_gzip(answer: &std::result::Result<Answer, Failure>) -> bool {
    let Ok(answer) = answer else { return false };
    let text = answer.message();
    answer.status == 400 && (text.contains("gzip") || text.contains("parse"))
}

/// Measurements with both integers and floats among these points.
fn mixed_measurements(points: &[Point]) -> Vec<String> {
    let mut seen: HashMap<_, (bool, bool)> = HashMap::new();
    for point in points {
        let (integer, float) = seen.entry(line_protocol::measurement(&point.name)).or_default();
        match point.value {
            Value::Int(_) => *integer = true,
            Value::Float(_) => *float = true,
        }
    }
    seen.into_iter().filter(|(_, kinds)| *kinds == (true, true)).map(|(name, _)| name.into_owned()).collect()
}
