//! OddEye: requests are forms; answers look like JSON but are not.

use super::answer::Answer;
use super::cutter::{Frame, Limits};
use super::http_post::{Call, Gzip, HttpPost, Profile, Url};
use super::http_sink::{HttpSink, Protocol, Sent};
use super::json::{BaseTag, Charset, Clock, Dialect, Json, TooManyTags};
use super::judge::{describe_answer, shortened};
use super::{Encoded, Verdict};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::percent::push_encoded;
use crate::model::point::{Identity, Point};
use std::collections::BTreeSet;

const PROFILE: Profile = Profile {
    address: "url",
    basic: false,
    gzip: Gzip::Never,
    timeout: 10,
    lanes: 1,
    usual_port: None,
    example: "https://api.oddeye.co/oddeye-barlus/put/tsdb",
};
/// The container that runs the server's servlet accepts forms of up to 200,000 bytes.
const LIMITS: Limits = Limits { points: 500, bytes: 180_000 };
const ANSWER_BYTES: usize = 64 << 10;
/// An empty answer to a longer form than this means that the form was too long.
const SHORT_FORM: usize = 50_000;
/// Most empty answers in a row that are treated as transient.
const TRANSIENT_EMPTY_ANSWERS: u32 = 2;

static DIALECT: Dialect = Dialect {
    name: "metric",
    clock: Clock::Seconds,
    charset: Charset::Restricted,
    longest: 32_767,
    // The server takes seven tags, five are always there.
    extras: 2,
    base: [BaseTag::Host, BaseTag::Cluster, BaseTag::Group, BaseTag::Location, BaseTag::Type],
    untyped: "None",
};

/// The sink for `tsdtype = OddEye`.
pub type OddEye = HttpSink<Barlus>;

/// Its protocol, named after the server that takes the forms.
pub struct Barlus {
    json: Json,
    url: Url,
    /// The form up to the first point.
    head: Vec<u8>,
    notes: Vec<String>,
    too_many_tags: TooManyTags,
    /// Empty answers in a row.
    empty_answers: u32,
}

/// Reads the configuration; opens no connection. The reaction of a health event is multiplied by `error_handler`.
pub fn configure(tsdb: &Section, error_handler: u32) -> Result<OddEye> {
    let address = if tsdb.text("url").is_none() && tsdb.text("address").is_some() { "address" } else { "url" };
    let http = HttpPost::configure(tsdb, Profile { address, ..PROFILE })?;
    let uuid = tsdb.required("uuid", "<that of your account>")?;
    let mut head = b"UUID=".to_vec();
    push_encoded(&mut head, uuid.as_bytes());
    if tsdb.flag("sandbox", false)? {
        // The server only checks that it is present, whatever its value.
        head.extend_from_slice(b"&sandbox=true");
    }
    head.extend_from_slice(b"&data=%5B");
    let json = Json::with_events(&DIALECT, error_handler.into());
    let url = http.url("", &[]);
    let protocol =
        Barlus { json, url, head, notes: Vec::new(), too_many_tags: TooManyTags::default(), empty_answers: 0 };
    Ok(HttpSink::new(protocol, http, LIMITS.configure(tsdb)?))
}

impl Protocol for Barlus {
    fn name(&self) -> &'static str {
        "OddEye"
    }

    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, _: &HttpPost) -> Encoded {
        let frame = Frame { open: &self.head, between: b"%2C", close: b"%5D" };
        self.json.encode_wrapped(points, identity, limits, frame, push_encoded)
    }

    fn look_at(&mut self, points: &[Point]) {
        self.notes.extend(self.too_many_tags.notes(points, &DIALECT));
    }

    /// There is no such page: the root of the server, without the path that takes points.
    fn page(&self, http: &HttpPost) -> Url {
        let mut url = http.url("", &[]);
        url.set_path("/");
        url.set_query(None);
        url
    }

    fn call(&self) -> Call<'_> {
        let content_type = "application/x-www-form-urlencoded";
        Call { url: &self.url, content_type, limit: ANSWER_BYTES, rejects_gzip: |_| false }
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn takes_events(&self) -> bool {
        true
    }

    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict> {
        let empty_answers = std::mem::take(&mut self.empty_answers);
        let text = answer.text();
        let remedy = match answer.status {
            200 if text.trim().is_empty() => return Some(self.empty_answer(empty_answers, answer, sent)),
            200 if is_ok(&text) => {
                self.note_dropped(answer, &text);
                return Some(Verdict::Delivered);
            }
            402 => "settle the account",
            406 => "check uuid",
            418 => "the account of this uuid is switched off",
            // An empty form: waiting would not help.
            424 if text.contains("Empty Data") => {
                return Some(Verdict::Reject { status: 424, why: why(answer) });
            }
            424 => "check uuid, and that the server can read its accounts",
            _ => return None,
        };
        Some(Verdict::Pause { why: format!("{}; {remedy}", why(answer)) })
    }
}

impl Barlus {
    /// The servlet failed: it could not read the form, the form was too long, or a point was bad.
    fn empty_answer(&mut self, before: u32, answer: &Answer, sent: &Sent) -> Verdict {
        let why = format!("{}: HTTP 200 without a word, which means a failure", answer.address);
        if sent.request.body.len() > SHORT_FORM && sent.points.len() > 1 {
            return Verdict::Split { status: 200, why };
        }
        if before >= TRANSIENT_EMPTY_ANSWERS {
            self.empty_answers = before; // The halves are not treated as transient either.
            return Verdict::Reject { status: 200, why };
        }
        self.empty_answers = before + 1;
        Verdict::Retry { why, after: None, is_suspect: true }
    }

    /// The server counts the points it drops, but does not name them.
    fn note_dropped(&mut self, answer: &Answer, text: &str) {
        let dropped = messages(text);
        if let Some(first) = dropped.first() {
            let kinds: BTreeSet<&String> = dropped.iter().collect();
            let first = shortened(first.clone());
            let address = &answer.address;
            let (count, kinds) = (dropped.len(), kinds.len());
            self.notes.push(format!("{address}: {count} points dropped there, for {kinds} reasons, such as: {first}"));
        }
    }
}

fn why(answer: &Answer) -> String {
    let said = match messages(&answer.text()).into_iter().next() {
        Some(message) => format!("HTTP {}: {}", answer.status, crate::model::error::quote(&shortened(message))),
        None => describe_answer(answer),
    };
    format!("{}: {said}", answer.address)
}

/// `{"state":OK}`, with OK unquoted.
fn is_ok(text: &str) -> bool {
    let state = text.split_once("\"state\":").map(|(_, state)| state.trim_start());
    state.is_some_and(|state| state.strip_prefix("OK").is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)))
}

/// The quoted texts after `message` (some versions write `messge`), whether that key is quoted or not.
fn messages(text: &str) -> Vec<String> {
    let places = text.match_indices("mess");
    let behind = places.filter_map(|(place, _)| {
        let rest = text.get(place..)?;
        let rest = rest.strip_prefix("message").or_else(|| rest.strip_prefix("messge"))?;
        let rest = rest.strip_prefix('"').unwrap_or(rest).trim_start().strip_prefix(':')?.trim_start();
        serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
    });
    behind.collect()
}
