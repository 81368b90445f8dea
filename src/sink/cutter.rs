//! Cuts points into requests of bounded size.
//!
//! *Invariant:* the elements of a request are its points, one for one and in order, so that a position named by a
//! server identifies a point. A point that cannot be written ends the current request.

use super::{Encoded, Refused, Request};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::Point;
use std::ops::Range;

/// Limits of one request. A single element that is longer than `bytes` is sent alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub points: usize,
    pub bytes: usize,
}

impl Limits {
    /// `batch_points` and `batch_bytes` of the section; `self` is the default.
    pub fn configure(self, tsdb: &Section) -> Result<Limits> {
        let above_zero = |key, default| tsdb.within(key, default, 1..=u32::MAX as usize, "a number");
        Ok(Limits { points: above_zero("batch_points", self.points)?, bytes: above_zero("batch_bytes", self.bytes)? })
    }

    /// A request of that many bytes was too large for the server: the next ones have at most half of that.
    pub fn lower(&mut self, bytes: usize) {
        self.bytes = self.bytes.min((bytes / 2).max(1));
    }
}

/// The configured limits, and smaller ones that a server's refusals have led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    configured: Limits,
    now: Limits,
}

impl Bounds {
    pub fn new(configured: Limits) -> Bounds {
        Bounds { configured, now: configured }
    }

    /// The limits of the next request.
    pub fn now(&self) -> Limits {
        self.now
    }

    /// A request of that many bytes was too large for the server.
    pub fn lower(&mut self, bytes: usize) {
        self.now.lower(bytes);
    }

    /// Returns to the configured limits.
    pub fn forget(&mut self) {
        self.now = self.configured;
    }

    /// Number of points in a full request.
    pub fn full_request(&self) -> usize {
        self.configured.points
    }
}

/// The bytes around and between the elements of a body.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub open: &'a [u8],
    pub between: &'a [u8],
    pub close: &'a [u8],
}

/// Writes each point with `write` and cuts the elements into requests.
///
/// `room` estimates the bytes of an element, so that a request needs one allocation. `write` gets the body to append
/// to, the index of the point, the point, and whether it must not copy from the element before (which was moved, or is
/// in another body). If `write` fails, what it appended is removed, and the error is the reason of the refusal.
pub fn cut<'a>(
    points: &'a [Point],
    limits: Limits,
    frame: Frame,
    room: impl Fn(&Point) -> usize,
    mut write: impl FnMut(&mut Vec<u8>, usize, &'a Point, bool) -> std::result::Result<(), String>,
) -> Encoded {
    let mut out = Encoded::default();
    let mut open = Open { points, limits, frame, room, body: Vec::new(), range: 0..0 };
    open.begin(0);
    let mut is_fresh = true;
    for (index, point) in points.iter().enumerate() {
        if open.range.len() == limits.points {
            open.end(index, &mut out);
            is_fresh = true;
        }
        let before = open.body.len();
        if !open.range.is_empty() {
            open.body.extend_from_slice(frame.between);
        }
        let start = open.body.len();
        if let Err(why) = write(&mut open.body, index, point, is_fresh) {
            open.body.truncate(before);
            out.refused.push(Refused { index, status: 0, why });
            open.end(index + 1, &mut out);
            is_fresh = true;
            continue;
        }
        is_fresh = false;
        if open.body.len() + frame.close.len() > limits.bytes && !open.range.is_empty() {
            let element = open.body.split_off(start);
            open.body.truncate(before);
            open.end(index, &mut out);
            open.body.extend_from_slice(&element);
            is_fresh = true;
        }
        open.range.end = index + 1;
    }
    open.end(points.len(), &mut out);
    out
}

/// The request that is being written.
struct Open<'a, R> {
    points: &'a [Point],
    limits: Limits,
    frame: Frame<'a>,
    room: R,
    body: Vec<u8>,
    range: Range<usize>,
}

impl<R: Fn(&Point) -> usize> Open<'_, R> {
    fn begin(&mut self, index: usize) {
        let mut room = self.frame.open.len() + self.frame.close.len();
        for point in self.points.iter().skip(index).take(self.limits.points) {
            room += (self.room)(point) + self.frame.between.len();
            if room > self.limits.bytes {
                break;
            }
        }
        self.range = index..index;
        self.body = Vec::with_capacity(if index < self.points.len() { room } else { 0 });
        self.body.extend_from_slice(self.frame.open);
    }

    /// Ends the request and begins the next one, whose first point is at `next`.
    fn end(&mut self, next: usize, out: &mut Encoded) {
        if self.range.is_empty() {
            self.range = next..next;
            return;
        }
        self.body.extend_from_slice(self.frame.close);
        out.requests.push(Request { body: std::mem::take(&mut self.body), points: self.range.clone() });
        self.begin(next);
    }
}
