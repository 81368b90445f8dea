//! OpenTSDB, and other servers that take `/api/put`: the requests, and the meaning of each answer.

use super::answer::{Answer, Cause, Failure};
use super::cutter::Limits;
use super::http_post::{Call, Gzip, HttpPost, Profile, Url};
use super::http_sink::{HttpSink, Protocol, Sent};
use super::json::{BaseTag, Charset, Clock, Dialect, Json, TooManyTags};
use super::judge::{describe_answer, shortened};
use super::{Encoded, Refused, Request, Verdict};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::{Identity, Point};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// With `sync` the server needs about a second per request, whatever its size; so several are in flight at once.
const PROFILE: Profile = Profile {
    address: "address",
    gzip: Gzip::All,
    basic: true,
    timeout: 15,
    lanes: 8,
    usual_port: Some("OpenTSDB usually listens on 4242"),
    example: "http://server:4242",
};
/// Requests of more than 8,192 bytes need a server that is configured for them.
const LIMITS: Limits = Limits { points: 500, bytes: 7_900 };
const DEFAULT_BODY: usize = 8_192;
/// An error list can have a stack trace for each point.
const ANSWER_BYTES: usize = 4 << 20;
/// A point that fails in an unknown way this many times is refused.
const UNKNOWN_FAILURES: u8 = 5;
/// Most points whose failures are counted, and most requests that are remembered.
const REMEMBERED: usize = 10_000;

static DIALECT: Dialect = Dialect {
    name: "metric",
    clock: Clock::Seconds,
    charset: Charset::Restricted,
    longest: 32_767,
    // The server allows eight tags, five are always there.
    extras: 3,
    base: [BaseTag::Host, BaseTag::Type, BaseTag::Cluster, BaseTag::Group, BaseTag::Location],
    untyped: "untyped",
};

/// The sink for `tsdtype = OpenTSDB`.
pub type OpenTsdb = HttpSink<Tsd>;

/// Its protocol.
pub struct Tsd {
    json: Json,
    put: Url,
    notes: Vec<String>,
    /// Number of failures of an unknown kind, by point.
    unknown_failures: HashMap<Echo, u8>,
    /// Hashes of requests that were sent again because their answer did not match our points.
    mismatches: HashSet<u64>,
    /// The round of the last request whose connection was closed; `None` once another request was answered.
    hang_up: Option<u64>,
    too_many_tags: TooManyTags,
    is_limit_noted: bool,
}

/// Reads the configuration; opens no connection.
pub fn configure(tsdb: &Section) -> Result<OpenTsdb> {
    let http = HttpPost::configure(tsdb, PROFILE)?;
    let path = tsdb.text("datapoints").filter(|path| !path.is_empty()).unwrap_or("/api/put");
    let plain = http.url(path, &[]);
    // With these, the server answers after it has stored the points, and says which ones it did not store.
    let mut wanted = vec![("details", ""), ("sync", ""), ("sync_timeout", "8000")];
    wanted.retain(|(key, _)| !plain.query_pairs().any(|(given, _)| given == *key));
    let protocol = Tsd {
        json: Json::new(&DIALECT),
        put: http.url(path, &wanted),
        notes: Vec::new(),
        unknown_failures: HashMap::new(),
        mismatches: HashSet::new(),
        hang_up: None,
        too_many_tags: TooManyTags::default(),
        is_limit_noted: false,
    };
    Ok(HttpSink::new(protocol, http, LIMITS.configure(tsdb)?))
}

impl Protocol for Tsd {
    fn name(&self) -> &'static str {
        "OpenTSDB"
    }

    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, http: &HttpPost) -> Encoded {
        let generous = Limits { bytes: usize::MAX, ..limits };
        let mut out = Encoded::default();
        // The size of a body as it is sent is known only after compression.
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..points.len()).collect();
        while let Some(range) = ranges.pop() {
            let Some(part) = points.get(range.clone()) else { continue };
            let encoded = self.json.encode(part, identity, generous).counted_from(range.start);
            out.refused.extend(encoded.refused);
            for request in encoded.requests {
                let bytes = http.wire_bytes(&request.body);
                if bytes <= limits.bytes {
                    out.requests.push(request);
                } else if request.points.len() > 1 {
                    ranges.extend(parts(&request.points, bytes.div_ceil(limits.bytes)));
                } else {
                    let why = format!("takes {bytes} bytes alone, the limit of a request is {}", limits.bytes);
                    out.refused.push(Refused { index: request.points.start, status: 0, why });
                }
            }
        }
        out.requests.sort_by_key(|request| request.points.start);
        out
    }

    fn look_at(&mut self, points: &[Point]) {
        self.notes.extend(self.too_many_tags.notes(points, &DIALECT));
    }

    fn page(&self, http: &HttpPost) -> Url {
        http.url("/api/version", &[])
    }

    fn call(&self) -> Call<'_> {
        Call { url: &self.put, content_type: "application/json", limit: ANSWER_BYTES, rejects_gzip }
    }

    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        self.hang_up = None;
        match answer.status {
            204 => return Some(Verdict::Delivered),
            200 | 400 => {}
            404 => {
                let remedy = "check address and datapoints, and that the server is not read-only (tsd.mode)";
                return Some(Verdict::Pause { why: why(answer, &format!("{}; {remedy}", describe_answer(answer))) });
            }
            _ => return None,
        }
        if let Some(details) = answer.json().and_then(|json| Details::read(&json)) {
            return Some(self.details(details, answer, sent.request));
        }
        let text = answer.message();
        if text.contains("Chunked request not supported") {
            self.note_limit(sent);
            return Some(Verdict::Split { status: answer.status, why: why(answer, "the body is too long") });
        }
        text.contains("Unable to check Authentication").then(|| Verdict::Pause {
            why: why(
                answer,
                &format!("{}; the user may not write, check user and its rights", describe_answer(answer)),
            ),
        })
    }

    /// A server that does not accept such a long body may just close the connection.
    fn no_answer(&mut self, failure: Failure, sent: &Sent) -> Verdict {
        let is_hang_up = failure.cause == Cause::Closed;
        // When a server goes down, all requests in flight count as one close.
        let is_second = is_hang_up && self.hang_up.is_some_and(|round| round != sent.round);
        if !is_second || self.counted_bytes(sent) <= DEFAULT_BODY {
            self.hang_up = is_hang_up.then(|| self.hang_up.unwrap_or(sent.round));
            return failure.into();
        }
        self.hang_up = None;
        self.note_limit(sent);
        Verdict::Split { status: 0, why: failure.why }
    }

    fn counted_bytes(&self, sent: &Sent) -> usize {
        sent.http.wire_bytes(&sent.request.body)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

/// The range in about `count` parts, at least two, the last part first.
fn parts(range: &Range<usize>, count: usize) -> Vec<Range<usize>> {
    let length = range.len().div_ceil(count.max(2)).max(1);
    let starts = range.clone().step_by(length);
    let mut parts: Vec<Range<usize>> = starts.map(|start| start..range.end.min(start + length)).collect();
    parts.reverse();
    parts
}

impl Tsd {
    /// An answer that counts the points and names those that were not stored.
    fn details(&mut self, details: Details, answer: &Answer, request: &Request) -> Verdict {
        let count = request.points.len() as u64;
        if details.failed == 0 && details.timeouts == 0 {
            return match details.success {
                success if success == count => Verdict::Delivered,
                success => {
                    let what = format!("{success} points were stored, and {count} were sent");
                    self.mismatch(&what, answer, request)
                }
            };
        }
        let places = places(request);
        let named: Vec<(usize, &Complaint)> =
            details.errors.iter().filter_map(|error| Some((*places.get(&error.echo)?, error))).collect();
        if details.timeouts == 0 && named.len() as u64 != details.failed {
            let what = format!("{} points failed, and {} of them are ours", details.failed, named.len());
            return self.mismatch(&what, answer, request);
        }
        let (mut refused, mut later) = (Vec::new(), Vec::new());
        let mut is_storage = true;
        for (index, Complaint { echo, error }) in named {
            let is_refused = match classify(error) {
                ErrorClass::Refuse => true,
                ErrorClass::Later => false,
                ErrorClass::Unknown => {
                    is_storage = false;
                    self.count_unknown_failure(echo)
                }
            };
            match is_refused {
                true => refused.push(Refused { index, status: answer.status, why: remedy(error) }),
                false => later.push(Refused { index, status: answer.status, why: shortened(error.clone()) }),
            }
        }
        if details.timeouts > 0 {
            // The server then names the wrong points: all that are not refused may be missing.
            let why = "storage timed out on the server";
            let unsure = request.points.clone().filter(|index| refused.iter().all(|lost| lost.index != *index));
            later = unsure.map(|index| Refused { index, status: answer.status, why: why.into() }).collect();
        }
        let is_none_stored = details.success == 0 && later.len() == request.points.len();
        if is_storage && is_none_stored {
            let first = details.errors.first().map_or("storage timed out", |first| first.error.as_str());
            let why = why(answer, &format!("nothing was stored: {}", shortened(first.into())));
            return Verdict::Retry { why, after: None, is_suspect: false };
        }
        Verdict::Part { refused, again: Vec::new(), later }
    }

    /// Counts one more failure of an unknown kind. Returns whether there were enough to refuse the point.
    fn count_unknown_failure(&mut self, echo: &Echo) -> bool {
        if self.unknown_failures.len() >= REMEMBERED {
            self.unknown_failures.clear(); // Each costs some more attempts.
        }
        let times = self.unknown_failures.entry(echo.clone()).or_default();
        *times += 1;
        let is_enough = *times >= UNKNOWN_FAILURES;
        if is_enough {
            self.unknown_failures.remove(echo);
        }
        is_enough
    }

    /// Something on the way to the server changed the points. The first time it is treated as transient.
    fn mismatch(&mut self, what: &str, answer: &Answer, request: &Request) -> Verdict {
        let mut hasher = DefaultHasher::new();
        request.body.hash(&mut hasher);
        let hash = hasher.finish();
        if self.mismatches.remove(&hash) {
            return Verdict::Reject { status: answer.status, why: why(answer, what) };
        }
        if self.mismatches.len() >= REMEMBERED {
            self.mismatches.clear(); // Each costs one more attempt.
        }
        self.mismatches.insert(hash);
        Verdict::Part { refused: Vec::new(), again: request.points.clone().collect(), later: Vec::new() }
    }

    fn note_limit(&mut self, sent: &Sent) {
        if !std::mem::replace(&mut self.is_limit_noted, true) {
            let (address, bytes) = (sent.http.address(), self.counted_bytes(sent));
            self.notes.push(format!(
                "{address}: takes no request of {bytes} bytes; leave batch_bytes at {}, or set \
                 tsd.http.request.enable_chunked = true and a larger tsd.http.request.max_chunk in opentsdb.conf",
                LIMITS.bytes
            ));
        }
    }
}

fn why(answer: &Answer, what: &str) -> String {
    format!("{}: {what}", answer.address)
}

/// `{"success":1,"failed":2,"errors":[{"error":"...","datapoint":{...}}],"timeouts":0}`
struct Details {
    success: u64,
    failed: u64,
    timeouts: u64,
    errors: Vec<Complaint>,
}

struct Complaint {
    echo: Echo,
    error: String,
}

impl Details {
    /// `None` for another kind of answer.
    fn read(json: &Value) -> Option<Details> {
        let failed = json.get("failed")?.as_u64()?;
        let errors = json.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let complaint = |error: &Value| Complaint {
            echo: error.get("datapoint").map(Echo::read).unwrap_or_default(),
            error: error.get("error").and_then(Value::as_str).unwrap_or_default().into(),
        };
        let success = json.get("success")?.as_u64()?;
        let timeouts = json.get("timeouts").and_then(Value::as_u64).unwrap_or(0);
        Some(Details { success, failed, timeouts, errors: errors.iter().map(complaint).collect() })
    }
}

/// What identifies a point in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Echo {
    metric: String,
    timestamp: i64,
    tags: BTreeMap<String, String>,
}

impl Echo {
    fn read(point: &Value) -> Echo {
        let text = |value: &Value| value.as_str().map(String::from);
        let tags = point.get("tags").and_then(Value::as_object).into_iter().flatten();
        Echo {
            metric: point.get("metric").and_then(text).unwrap_or_default(),
            timestamp: point.get("timestamp").and_then(Value::as_i64).unwrap_or_default(),
            tags: tags.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect(),
        }
    }
}

/// The index of each point of a request among the encoded points.
fn places(request: &Request) -> HashMap<Echo, usize> {
    let points: Vec<Value> = serde_json::from_slice(&request.body).unwrap_or_default();
    points.iter().map(Echo::read).zip(request.points.clone()).collect()
}

/// What happens to a point that the server complains about.
enum ErrorClass {
    Refuse,
    Later,
    /// Unknown: it is tried some more times.
    Unknown,
}

fn classify(error: &str) -> ErrorClass {
    const REFUSE: &[&str] = &[
        "Metric name was empty",
        "Invalid timestamp",
        "Empty value",
        "Missing tags",
        "Unable to parse value to a number",
        "Invalid metric name",
        "Invalid tag name",
        "Invalid tag value",
        "Too many tags",
        "Need at least one tag",
        "value is NaN or Infinite",
        "Unknown metric",
    ];
    const LATER: &[&str] = &["Storage exception", "Please throttle", "Timeout exception", "Write timedout"];
    let begins = |known: &[&str]| known.iter().any(|known| error.starts_with(known));
    match error {
        _ if begins(LATER) => ErrorClass::Later,
        _ if begins(REFUSE) || error.contains("timestamp=") => ErrorClass::Refuse,
        _ => ErrorClass::Unknown,
    }
}

/// The error, with a remedy if we know one.
fn remedy(error: &str) -> String {
    let text = shortened(error.into());
    match error.starts_with("Unknown metric") {
        true => format!(
            "{text}: set tsd.core.auto_create_metrics = true in opentsdb.conf (for tags auto_create_tagks and \
             auto_create_tagvs), or create it with `tsdb mkmetric`"
        ),
        false => text,
    }
}

/// Whether the server may have parsed a compressed body as text.
fn rejects_gzip(answer: &std::result::Result<Answer, Failure>) -> bool {
    const UNREAD: [&str; 2] = ["Unable to parse the given JSON", "The JSON must start as an object or an array"];
    match answer {
        Ok(answer) => answer.status == 400 && UNREAD.iter().any(|known| answer.message().contains(known)),
        Err(failure) => failure.cause == Cause::Closed,
    }
}
