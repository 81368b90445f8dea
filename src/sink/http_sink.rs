//! A sink for a server that is posted to: what is common to all of them. What is said and what answers mean is the
//! protocol's.

use super::answer::{Answer, Failure};
use super::cutter::{Bounds, Limits};
use super::http_post::{Call, HttpPost};
use super::judge::judge;
use super::{Attempt, Encoded, Request, Sink, Verdict};
use crate::model::error::Result;
use crate::model::point::{Identity, Point};
use crate::net::names::Lookup;
use std::time::Duration;

/// How one kind of server is spoken to.
pub trait Protocol: Send {
    /// The `tsdtype` in its usual spelling.
    fn name(&self) -> &'static str;

    /// Points as bodies within the limits. Pure.
    fn encode(&self, points: &[Point], identity: &Identity, limits: Limits, http: &HttpPost) -> Encoded;

    /// Where and how a body is posted.
    fn call(&self) -> Call<'_>;

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

fn carried<'a>(request: &Request, points: &'a [Point]) -> &'a [Point] {
    points.get(request.points.clone()).unwrap_or_default()
}
