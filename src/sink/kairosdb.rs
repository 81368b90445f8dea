//! KairosDB: the requests, and the meaning of each answer.

use super::answer::{Answer, Failure};
use super::cutter::Limits;
use super::http_post::{Call, Gzip, HttpPost, Profile, Url};
use super::http_sink::{HttpSink, Protocol, Sent};
use super::json::{BaseTag, Charset, Clock, Dialect, Json};
use super::judge::{describe_answer, shortened};
use super::{Encoded, Refused, Request, Verdict};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::{Identity, Point};
use std::collections::BTreeMap;

/// Gzip is off: servers before 1.3 cannot read it.
const PROFILE: Profile = Profile {
    address: "address",
    gzip: Gzip::Never,
    basic: true,
    timeout: 10,
    lanes: 1,
    usual_port: Some("KairosDB usually listens on 8080"),
    example: "http://server:8080",
};
const LIMITS: Limits = Limits { points: 2_000, bytes: 1 << 20 };
/// An error list with an entry for each of 2,000 points takes 143 kB.
const ANSWER_BYTES: usize = 4 << 20;

static DIALECT: Dialect = Dialect {
    name: "name",
    clock: Clock::Milliseconds,
    charset: Charset::Any,
    longest: 65_535,
    extras: usize::MAX,
    base: [BaseTag::Host, BaseTag::Type, BaseTag::Cluster, BaseTag::Group, BaseTag::Location],
    untyped: "untyped",
};

/// The sink for `tsdtype = KairosDB`.
pub type KairosDb = HttpSink<Kairos>;

/// Its protocol.
pub struct Kairos {
    json: Json,
    put: Url,
}

/// Reads the configuration; opens no connection.
pub fn configure(tsdb: &Section) -> Result<KairosDb> {
    let http = HttpPost::configure(tsdb, PROFILE)?;
    let path = tsdb.text("datapoints").filter(|path| !path.is_empty()).unwrap_or("/api/v1/datapoints");
    let protocol = Kairos { json: Json::new(&DIALECT), put: http.url(path, &[]) };
    Ok(HttpSink::new(protocol, http, LIMITS.configure(tsdb)?))
}

impl Protocol for Kairos {
    fn name(&self) -> &'static str {
        "KairosDB"
    }

    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, _: &HttpPost) -> Encoded {
        self.json.encode(points, identity, limits)
    }

    fn page(&self, http: &HttpPost) -> Url {
        http.url("/api/v1/version", &[])
    }

    fn call(&self) -> Call<'_> {
        Call { url: &self.put, content_type: "application/json", limit: ANSWER_BYTES, rejects_gzip }
    }

    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        match answer.status {
            204 => Some(Verdict::Delivered),
            400 => bad_request(answer, sent.request),
            403 if answer.message().contains("disabled on this KairosDB instance") => {
                Some(Verdict::Pause { why: why(answer, "; add INGEST to kairosdb.server.type in its configuration") })
            }
            404 | 405 => Some(Verdict::Pause { why: why(answer, "; check address and datapoints") }),
            _ => None,
        }
    }
}

fn bad_request(answer: &Answer, request: &Request) -> Option<Verdict> {
    let json = answer.json()?;
    let errors: Vec<&str> = json.get("errors")?.as_array()?.iter().filter_map(|error| error.as_str()).collect();
    let status = answer.status;
    let named: Option<BTreeMap<usize, &str>> =
        errors.iter().map(|error| Some((named_position(error)?, *error))).collect();
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        // All other points are stored.
        let refused = named.into_iter().map(|(position, error)| Refused {
            index: request.points.start.saturating_add(position),
            status,
            why: shortened(error.into()),
        });
        let refused = refused.filter(|refused| request.points.contains(&refused.index)).collect();
        return Some(Verdict::Part { refused, again: Vec::new(), later: Vec::new() });
    }
    let [error] = errors.as_slice() else { return None };
    if error.contains("No content due to end of input") || error.contains("java.io.EOFException") {
        // Either by chance, or because something on the way truncates long bodies: if it fails again, the batch is
        // halved.
        return Some(Verdict::Retry { why: why(answer, "; it arrived cut"), after: None, is_suspect: true });
    }
    // Points before the broken one are stored, points after it were not read.
    let index = request.points.start.checked_add(broken_position(error, &request.body)?)?;
    let refused = vec![Refused { index, status, why: shortened((*error).into()) }];
    let again = request.points.clone().skip_while(|place| *place <= index).collect();
    request.points.contains(&index).then_some(Verdict::Part { refused, again, later: Vec::new() })
}

fn why(answer: &Answer, more: &str) -> String {
    format!("{}: {}{more}", answer.address, describe_answer(answer))
}

/// The position N in `metric[N]...`, with which an error about a point starts.
fn named_position(error: &str) -> Option<usize> {
    error.strip_prefix("metric[")?.split_once(']')?.0.parse().ok()
}

/// The index of the element that contains column C of `... at line 1 column C`. `None` if there is no column, or it is
/// the first, which lies before all elements.
fn broken_position(error: &str, body: &[u8]) -> Option<usize> {
    let (_, column) = error.split_once(" at line 1 column ")?;
    let end = column.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(column.len());
    let column: usize = column.get(..end)?.parse().ok()?;
    let text = std::str::from_utf8(body).ok()?;
    let (mut depth, mut is_string, mut is_escaped, mut position) = (0, false, false, 0);
    for letter in text.chars().take(column) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_string = !is_string,
            _ if is_string => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 1 => position += 1,
            _ => {}
        }
    }
    (column > 1).then_some(position)
}

/// Whether the server may have parsed a compressed body as text.
fn rejects_gzip(answer: &std::result::Result<Answer, Failure>) -> bool {
    answer
        .as_ref()
        .is_ok_and(|answer| answer.status == 400 && answer.message().contains("Use JsonReader.setLenient(true)"))
}
