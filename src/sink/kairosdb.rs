//! KairosDB: what is sent, and what each answer means.

use super::answer::{Answer, Failure};
use super::cutter::Limits;
use super::http_post::{Call, Gzip, HttpPost, Profile, Url};
use super::http_sink::{HttpSink, Protocol, Sent};
use super::json::{BaseTag, Clock, Dialect, Json, Letters};
use super::judge::{said, shortened};
use super::{Encoded, Refused, Request, Verdict};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::{Identity, Point};
use std::collections::BTreeMap;

/// Only servers from 1.3 on read gzip.
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
    letters: Letters::All,
    longest: 65_535,
    extras: usize::MAX,
    base: [BaseTag::Host, BaseTag::Type, BaseTag::Cluster, BaseTag::Group, BaseTag::Location],
    untyped: "untyped",
};

/// The sink for `tsdtype = KairosDB`.
pub type KairosDb = HttpSink<Kairos>;

/// The protocol of it.
pub struct Kairos {
    json: Json,
    put: Url,
}

/// Reads its keys; opens no connection.
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
        Call { url: &self.put, content_type: "application/json", limit: ANSWER_BYTES, is_unread: is_unread_gzip }
    }

    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        match answer.status {
            204 => Some(Verdict::Delivered),
            400 => bad_request(answer, sent.request),
            403 if answer.words().contains("disabled on this KairosDB instance") => {
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
        // All others are stored.
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
        // By chance, or because something on the way cuts what is long: then it is divided.
        return Some(Verdict::Retry { why: why(answer, "; it arrived cut"), after: None, is_suspect: true });
    }
    // What stands before it is stored, what stands behind it was not read.
    let index = request.points.start.checked_add(broken_position(error, &request.body)?)?;
    let refused = vec![Refused { index, status, why: shortened((*error).into()) }];
    let again = request.points.clone().skip_while(|place| *place <= index).collect();
    request.points.contains(&index).then_some(Verdict::Part { refused, again, later: Vec::new() })
}

fn why(answer: &Answer, more: &str) -> String {
    format!("{}: {}{more}", answer.address, said(answer))
}

/// The position in `metric[N]...`, with which a complaint about one point begins.
fn named_position(error: &str) -> Option<usize> {
    error.strip_prefix("metric[")?.split_once(']')?.0.parse().ok()
}

/// The position of the element that holds the letter of `... at line 1 column C`. `None` where no letter is named, or the
/// first, which stands before all elements.
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

/// Whether a server may have taken compressed bytes for text.
fn is_unread_gzip(answer: &std::result::Result<Answer, Failure>) -> bool {
    answer
        .as_ref()
        .is_ok_and(|answer| answer.status == 400 && answer.words().contains("Use JsonReader.setLenient(true)"))
}
