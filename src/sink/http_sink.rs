//! A sink for a server that is posted to: what is common to all of them. What is said and what answers mean is the
//! protocol's.

use super::answer::{Answer, Failure};
use super::cutter::{Bounds, Limits};
use super::http_post::{Call, HttpPost, Url};
use super::judge::judge;
use super::{Attempt, Encoded, Reached, Request, Sink, Verdict};
use crate::model::error::Result;
use crate::model::point::{Identity, Point};
use crate::net::names::Lookup;
use crate::sys::clock::unix_now;
use std::time::{Duration, Instant};

/// How one kind of server is spoken to.
pub trait Protocol: Send {
    /// The `tsdtype` in its usual spelling.
    fn name(&self) -> &'static str;

    /// Points as bodies within the limits. Pure.
    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, http: &HttpPost) -> Encoded;

    /// Where and how a body is posted.
    fn call(&self) -> Call<'_>;

    /// A page that says who the server is, and stores nothing.
    fn page(&self, http: &HttpPost) -> Url;

    /// A body without a point, which the server judges as any other and of which it stores nothing; `None`: there is no such.
    fn empty(&self) -> Option<&'static [u8]> {
        None
    }

    /// What an answer means where it is more than the status says. `None`: the rules for any server hold.
    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict>;

    /// What it means that there is no answer.
    fn no_answer(&mut self, failure: Failure, _: &Sent) -> Verdict {
        failure.into()
    }

    /// Points that are about to be sent, in case there is something to note about them.
    fn look_at(&mut self, _: &[Point]) {}

    /// The bytes of a request as `batch_bytes` counts them.
    fn counted_bytes(&self, sent: &Sent) -> usize {
        sent.request.body.len()
    }

    /// Sentences for the log since the last call.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// See [`Sink::takes_events`].
    fn takes_events(&self) -> bool {
        false
    }
}

/// A request that was sent.
pub struct Sent<'a> {
    pub request: &'a Request,
    /// Those that it carries.
    pub points: &'a [Point],
    /// Requests that were sent at the same time have the same number.
    pub round: u64,
    pub http: &'a HttpPost,
}

/// The sink that speaks such a protocol.
pub struct HttpSink<P> {
    protocol: P,
    http: HttpPost,
    bounds: Bounds,
    round: u64,
}

impl<P: Protocol> HttpSink<P> {
    pub fn new(protocol: P, http: HttpPost, limits: Limits) -> HttpSink<P> {
        HttpSink { protocol, http, bounds: Bounds::new(limits), round: 0 }
    }

    /// Asks this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.http.set_lookup(lookup);
    }

    /// Replaces connections older than this instead of 300 s.
    pub fn set_max_age(&mut self, max_age: Duration) {
        self.http.set_max_age(max_age);
    }

    fn judge(&mut self, came: Result<Answer, Failure>, request: &Request, points: &[Point]) -> Verdict {
        let sent = Sent { request, points: carried(request, points), round: self.round, http: &self.http };
        let verdict = match came {
            Ok(answer) => judge(&answer, self.protocol.meaning(&answer, &sent), self.http.address_key()),
            Err(failure) => self.protocol.no_answer(failure, &sent),
        };
        if let Verdict::Split { .. } = verdict {
            self.bounds.lower(self.protocol.counted_bytes(&sent));
        }
        verdict
    }
}

impl<P: Protocol> Sink for HttpSink<P> {
    fn name(&self) -> &'static str {
        self.protocol.name()
    }

    fn encode(&self, points: &[Point], identity: &Identity) -> Encoded {
        self.protocol.encode(points, identity, self.bounds.now(), &self.http)
    }

    fn send(&mut self, request: &Request, points: &[Point], attempt: &Attempt) -> Verdict {
        let none = Verdict::Retry { why: "was not sent".into(), after: None, is_suspect: false };
        self.send_all(std::slice::from_ref(request), points, attempt).pop().unwrap_or(none)
    }

    fn send_all(&mut self, requests: &[Request], points: &[Point], attempt: &Attempt) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(requests.len());
        for requests in requests.chunks(self.lanes()) {
            self.round += 1;
            requests.iter().for_each(|request| self.protocol.look_at(carried(request, points)));
            let bodies: Vec<&[u8]> = requests.iter().map(|request| request.body.as_slice()).collect();
            let came = self.http.post(self.protocol.call(), &bodies, attempt.until);
            verdicts.extend(requests.iter().zip(came).map(|(request, came)| self.judge(came, request, points)));
        }
        verdicts
    }

    fn look_at(&mut self, points: &[Point]) {
        self.protocol.look_at(points);
    }

    fn probe(&mut self, until: Instant) -> std::result::Result<Reached, String> {
        let page = self.protocol.page(&self.http);
        let answer = self.http.get(&page, until).map_err(|failure| failure.why)?;
        let date = answer.date.and_then(|date| i64::try_from(date).ok());
        let ahead = date.map(|date| unix_now().saturating_sub(date));
        let version = answer.json().and_then(|json| Some(format!(", version {}", json.get("version")?.as_str()?)));
        let who = format!("{} answers{}", answer.address, version.unwrap_or_default());
        // Others that take the same points need not have that page.
        let has_no_page = matches!(answer.status, 400 | 404 | 405 | 410 | 501);
        if !has_no_page {
            let own = answer.is_success().then_some(Verdict::Delivered);
            objection(judge(&answer, own, self.http.address_key()))?;
        }
        if let Some(body) = self.protocol.empty() {
            let came = self.http.post(self.protocol.call(), &[body], until).pop();
            let request = Request { body: body.to_vec(), points: 0..0 };
            let verdict = came.map(|came| self.judge(came, &request, &[]));
            verdict.map_or(Ok(()), objection)?;
        }
        Ok(Reached { who, ahead })
    }

    fn lanes(&self) -> usize {
        self.http.lanes()
    }

    fn full_request(&self) -> usize {
        self.bounds.full_request()
    }

    fn forget_sizes(&mut self) {
        self.bounds.forget();
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = self.http.notes();
        notes.append(&mut self.protocol.notes());
        notes
    }

    fn takes_events(&self) -> bool {
        self.protocol.takes_events()
    }

    fn is_remote(&self) -> bool {
        !self.http.is_loopback()
    }
}

/// Why points would stay here.
fn objection(verdict: Verdict) -> std::result::Result<(), String> {
    match verdict {
        Verdict::Retry { why, .. } | Verdict::Pause { why } => Err(why),
        Verdict::Delivered | Verdict::Split { .. } | Verdict::Part { .. } | Verdict::Reject { .. } => Ok(()),
    }
}

fn carried<'a>(request: &Request, points: &'a [Point]) -> &'a [Point] {
    points.get(request.points.clone()).unwrap_or_default()
}
