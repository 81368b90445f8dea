//! A sink that posts to a server over HTTP: the common part. A [`Protocol`] defines bodies and answers.

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

/// The protocol of one kind of server.
pub trait Protocol: Send {
    /// The `tsdtype` in its usual spelling.
    fn name(&self) -> &'static str;

    /// Points as request bodies within the limits. Pure.
    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, http: &HttpPost) -> Encoded;

    /// Where and how a body is posted.
    fn call(&self) -> Call<'_>;

    /// A page that identifies the server; a GET of it stores nothing.
    fn page(&self, http: &HttpPost) -> Url;

    /// A body without points, which the server checks like any other and of which it stores nothing; `None` if the
    /// protocol has no such body.
    fn empty(&self) -> Option<&'static [u8]> {
        None
    }

    /// The verdict on an answer that needs more than its status. `None`: the general rules apply.
    fn meaning(&mut self, answer: &Answer, sent: &Sent) -> Option<Verdict>;

    /// The verdict when there is no answer.
    fn no_answer(&mut self, failure: Failure, _: &Sent) -> Verdict {
        failure.into()
    }

    /// Called with points about to be sent, so that the protocol can add a note about them.
    fn look_at(&mut self, _: &[Point]) {}

    /// The size of a request that `batch_bytes` limits.
    fn counted_bytes(&self, sent: &Sent) -> usize {
        sent.request.body.len()
    }

    /// Takes the messages for the log since the last call.
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
    /// Its points.
    pub points: &'a [Point],
    /// Requests that were sent at the same time have the same number.
    pub round: u64,
    pub http: &'a HttpPost,
}

/// The sink for a protocol.
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

    /// Uses this instead of the system's resolver.
    pub fn set_lookup(&mut self, lookup: Lookup) {
        self.http.set_lookup(lookup);
    }

    /// Replaces connections older than this, instead of 300 s.
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
        // A compatible server may lack that page.
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

/// The reason why points could not be sent, if there is one.
fn objection(verdict: Verdict) -> std::result::Result<(), String> {
    match verdict {
        Verdict::Retry { why, .. } | Verdict::Pause { why } => Err(why),
        Verdict::Delivered | Verdict::Split { .. } | Verdict::Part { .. } | Verdict::Reject { .. } => Ok(()),
    }
}

fn carried<'a>(request: &Request, points: &'a [Point]) -> &'a [Point] {
    points.get(request.points.clone()).unwrap_or_default()
}
