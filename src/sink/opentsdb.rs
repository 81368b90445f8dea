//! OpenTSDB, and whatever else takes `/api/put`: what is sent, and what each answer means.

use super::cutter::Limits;
use super::http_post::{self, Answer, Call, Cause, Failure, Gzip, HttpPost, Manner, Url, shortened};
use super::json::{BaseTag, Clock, Crowded, Dialect, Json, Letters};
use super::{Encoded, Patience, Refused, Request, Sink, Verdict};
use crate::config::section::Section;
use crate::error::Result;
use crate::point::{Identity, Point};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

const MANNER: Manner = Manner { address: "address", gzip: Gzip::All, basic: true, timeout: 15 };
/// A body of more than 8,192 bytes on the wire needs a server that is configured for it.
const LIMITS: Limits = Limits { points: 500, bytes: 7_900 };
const DEFAULT_BODY: usize = 8_192;
/// An error list with the stack trace of each point.
const ANSWER_BYTES: usize = 4 << 20;
/// Times that a point may fail in an unknown way before it is refused.
const DOUBTS: u8 = 5;
/// Points whose failures are counted at once.
const REMEMBERED: usize = 10_000;

static DIALECT: Dialect = Dialect {
    name: "metric",
    clock: Clock::Seconds,
    letters: Letters::Few,
    longest: 32_767,
    // The server allows eight tags, five are always there.
    extras: 3,
    base: [BaseTag::Host, BaseTag::Type, BaseTag::Cluster, BaseTag::Group, BaseTag::Location],
    untyped: "untyped",
};

/// The sink for `tsdtype = OpenTSDB`.
pub struct OpenTsdb {
    http: HttpPost,
    json: Json,
    put: Url,
    health: Url,
    notes: Vec<String>,
    /// Failures of an unknown kind, by point.
    doubts: HashMap<Echo, u8>,
    /// The last answer named points that are not ours.
    is_puzzled: bool,
    /// Requests in a row that ended without an answer.
    hang_ups: u32,
    crowded: Crowded,
    is_limit_told: bool,
}

/// Reads its keys; opens no connection.
pub fn configure(tsdb: &Section) -> Result<OpenTsdb> {
    let http = HttpPost::configure(tsdb, MANNER)?;
    let path = tsdb.text("datapoints").filter(|path| !path.is_empty()).unwrap_or("/api/put");
    let plain = http.url(path, &[]);
    // Only with these does the server say what became of each point, after it has stored them.
    let mut wanted = vec![("details", ""), ("sync", ""), ("sync_timeout", "8000")];
    wanted.retain(|(key, _)| !plain.query_pairs().any(|(given, _)| given == *key));
    let put = http.url(path, &wanted);
    // Needs the storage behind the server, unlike /api/version.
    let health = http.url("/api/suggest", &[("type", "metrics"), ("max", "1")]);
    let json = Json::new(&DIALECT, LIMITS.configure(tsdb)?);
    Ok(OpenTsdb {
        http,
        json,
        put,
        health,
        notes: Vec::new(),
        doubts: HashMap::new(),
        is_puzzled: false,
        hang_ups: 0,
        crowded: Crowded::default(),
        is_limit_told: false,
    })
}

impl Sink for OpenTsdb {
    fn name(&self) -> &'static str {
        "OpenTSDB"
    }

    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded {
        let wire = self.json.limits();
        let generous = Json::new(&DIALECT, Limits { bytes: usize::MAX, ..wire });
        let mut out = Encoded::default();
        // Only compressing tells how long a body is on the wire.
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..points.len()).collect();
        while let Some(range) = ranges.pop() {
            let Some(part) = points.get(range.clone()) else { continue };
            let encoded = generous.encode(part, identity).behind(range.start);
            out.refused.extend(encoded.refused);
            for request in encoded.requests {
                let bytes = self.http.wire_bytes(&request.body);
                if bytes <= wire.bytes {
                    out.requests.push(request);
                } else if request.points.len() > 1 {
                    ranges.extend(parts(&request.points, bytes.div_ceil(wire.bytes)));
                } else {
                    let why = format!("takes {bytes} bytes alone, the limit of a request is {}", wire.bytes);
                    out.refused.push(Refused { index: request.points.start, status: 0, why });
                }
            }
        }
        out.requests.sort_by_key(|request| request.points.start);
        out
    }

    fn send(&mut self, request: &Request, points: &[Point], patience: Patience) -> Verdict {
        self.notes.extend(self.crowded.notes(points.get(request.points.clone()).unwrap_or_default(), &DIALECT));
        let call = Call {
            url: &self.put,
            content_type: "application/json",
            body: &request.body,
            limit: ANSWER_BYTES,
            is_unread: is_unread_gzip,
        };
        let verdict = match self.http.post(call, patience) {
            Err(failure) => self.no_answer(failure, request),
            answered => {
                self.hang_ups = 0;
                http_post::judge(answered, |answer| self.meaning(answer, request))
            }
        };
        if let Verdict::Split { .. } = verdict {
            self.json.lower(self.http.wire_bytes(&request.body));
        }
        verdict
    }

    fn healthy(&mut self) -> Option<bool> {
        Some(self.http.status_of(&self.health) == Some(200))
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

/// The range in about so many parts, at least two, the last first.
fn parts(range: &Range<usize>, count: usize) -> Vec<Range<usize>> {
    let length = range.len().div_ceil(count.max(2)).max(1);
    let starts = range.clone().step_by(length);
    let mut parts: Vec<Range<usize>> = starts.map(|start| start..range.end.min(start + length)).collect();
    parts.reverse();
    parts
}

impl OpenTsdb {
    /// What this server means where it is more than the status says. `None`: the rules for any server hold.
    fn meaning(&mut self, answer: &Answer, request: &Request) -> Option<Verdict> {
        let was_puzzled = std::mem::take(&mut self.is_puzzled);
        match answer.status {
            204 => return Some(Verdict::Delivered),
            200 | 400 => {}
            404 => {
                let remedy = "check address and datapoints, and that the server is not read-only (tsd.mode)";
                return Some(Verdict::Pause { why: self.why(&format!("{}; {remedy}", http_post::said(answer))) });
            }
            _ => return None,
        }
        if let Some(details) = answer.json().and_then(|json| Details::read(&json)) {
            return Some(self.details(details, answer, request, was_puzzled));
        }
        let text = answer.words();
        if text.contains("Chunked request not supported") {
            self.tell_limit(request);
            return Some(Verdict::Split { status: answer.status, why: self.why("the body is too long") });
        }
        text.contains("Unable to check Authentication").then(|| Verdict::Pause {
            why: self.why(&format!("{}; the user may not write, check user and its rights", http_post::said(answer))),
        })
    }

    /// An answer that counts the points and names those that were not stored.
    fn details(&mut self, details: Details, answer: &Answer, request: &Request, was_puzzled: bool) -> Verdict {
        if details.failed == 0 && details.timeouts == 0 {
            return Verdict::Delivered;
        }
        let sent = Sent::read(request);
        let named: Vec<(usize, &Complaint)> =
            details.errors.iter().filter_map(|error| Some((*sent.0.get(&error.echo)?, error))).collect();
        if details.timeouts == 0 && named.len() as u64 != details.failed {
            // Something between changed the points. Once may be chance.
            self.is_puzzled = !was_puzzled;
            let why = self.why(&format!("{} points failed, and {} of them are ours", details.failed, named.len()));
            return match was_puzzled {
                true => Verdict::Reject { status: answer.status, why },
                false => {
                    Verdict::Part { refused: Vec::new(), again: request.points.clone().collect(), later: Vec::new() }
                }
            };
        }
        let (mut refused, mut later) = (Vec::new(), Vec::new());
        let mut is_storage = true;
        for (index, Complaint { echo, error }) in named {
            let is_refused = match fate(error) {
                Fate::Refuse => true,
                Fate::Later => false,
                Fate::Doubt => {
                    is_storage = false;
                    self.doubt(echo)
                }
            };
            match is_refused {
                true => refused.push(Refused { index, status: answer.status, why: remedy(error) }),
                false => later.push(index),
            }
        }
        if details.timeouts > 0 {
            // The server names the wrong points: all that are not refused may be missing.
            later = request.points.clone().filter(|index| refused.iter().all(|lost| lost.index != *index)).collect();
        }
        if is_storage && refused.is_empty() && later.len() == request.points.len() {
            let first = details.errors.first().map_or("storage timed out", |first| first.error.as_str());
            let why = self.why(&format!("nothing was stored: {}", shortened(first.into())));
            return Verdict::Retry { why, after: None, server_error: false };
        }
        Verdict::Part { refused, again: Vec::new(), later }
    }

    /// Counts one more failure of an unknown kind; whether that were enough now.
    fn doubt(&mut self, echo: &Echo) -> bool {
        if self.doubts.len() >= REMEMBERED {
            self.doubts.clear(); // Each costs some more attempts.
        }
        let times = self.doubts.entry(echo.clone()).or_default();
        *times += 1;
        let is_enough = *times >= DOUBTS;
        if is_enough {
            self.doubts.remove(echo);
        }
        is_enough
    }

    /// A server that does not want such a long body may just hang up.
    fn no_answer(&mut self, failure: Failure, request: &Request) -> Verdict {
        self.hang_ups = if failure.cause == Cause::Closed { self.hang_ups + 1 } else { 0 };
        if self.hang_ups < 2 || self.http.wire_bytes(&request.body) <= DEFAULT_BODY {
            return failure.into();
        }
        self.hang_ups = 0;
        self.tell_limit(request);
        Verdict::Split { status: 0, why: failure.why }
    }

    fn tell_limit(&mut self, request: &Request) {
        if !std::mem::replace(&mut self.is_limit_told, true) {
            let bytes = self.http.wire_bytes(&request.body);
            self.notes.push(self.why(&format!(
                "takes no request of {bytes} bytes; leave batch_bytes at {}, or set tsd.http.request.enable_chunked = \
                 true and a larger tsd.http.request.max_chunk in opentsdb.conf",
                LIMITS.bytes
            )));
        }
    }

    fn why(&self, what: &str) -> String {
        format!("{}: {what}", self.http.address())
    }
}

/// `{"success":1,"failed":2,"errors":[{"error":"...","datapoint":{...}}],"timeouts":0}`
struct Details {
    failed: u64,
    timeouts: u64,
    errors: Vec<Complaint>,
}

struct Complaint {
    echo: Echo,
    error: String,
}

impl Details {
    /// `None` where it is another kind of answer.
    fn read(json: &Value) -> Option<Details> {
        let failed = json.get("failed")?.as_u64()?;
        let errors = json.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let complaint = |error: &Value| Complaint {
            echo: error.get("datapoint").map(Echo::read).unwrap_or_default(),
            error: error.get("error").and_then(Value::as_str).unwrap_or_default().into(),
        };
        let timeouts = json.get("timeouts").and_then(Value::as_u64).unwrap_or(0);
        Some(Details { failed, timeouts, errors: errors.iter().map(complaint).collect() })
    }
}

/// What tells one point of a request from the others.
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

/// The positions of the points of a request.
struct Sent(HashMap<Echo, usize>);

impl Sent {
    fn read(request: &Request) -> Sent {
        let points: Vec<Value> = serde_json::from_slice(&request.body).unwrap_or_default();
        Sent(points.iter().map(Echo::read).zip(request.points.clone()).collect())
    }
}

/// What becomes of a point that the server complains of.
enum Fate {
    Refuse,
    Later,
    /// Nobody knows: some more attempts.
    Doubt,
}

fn fate(error: &str) -> Fate {
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
        _ if begins(LATER) => Fate::Later,
        _ if begins(REFUSE) || error.contains("timestamp=") => Fate::Refuse,
        _ => Fate::Doubt,
    }
}

/// The complaint, with what a person can do about it.
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

/// Whether a server may have taken compressed bytes for text.
fn is_unread_gzip(answer: &std::result::Result<Answer, Failure>) -> bool {
    const UNREAD: [&str; 2] = ["Unable to parse the given JSON", "The JSON must start as an object or an array"];
    match answer {
        Ok(answer) => answer.status == 400 && UNREAD.iter().any(|known| answer.words().contains(known)),
        Err(failure) => failure.cause == Cause::Closed,
    }
}
