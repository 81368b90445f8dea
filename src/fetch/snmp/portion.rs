//! Adapts the size of requests to what an agent is able to answer.

/// The size of requests of one kind; kept from tick to tick.
pub struct Portion {
    least: usize,
    /// The maximum; lowered when the agent fails at it.
    most: usize,
    now: usize,
    /// Size of the last request without an answer, and number of such requests since the last one with the maximum
    /// size.
    missed: usize,
    misses: u32,
}

impl Portion {
    /// `least` is the size that is always tried, `most` the largest one.
    pub fn new(least: usize, most: usize) -> Portion {
        Portion { least, most, now: most, missed: 0, misses: 0 }
    }

    /// Starts a tick: with the maximum size, or with the minimum if the agent did not answer in the last one.
    pub fn begin(&mut self, was_silent: bool) {
        self.now = if was_silent { self.least } else { self.most };
        self.misses = u32::from(was_silent);
    }

    /// The size of the next request.
    pub fn now(&self) -> usize {
        self.now
    }

    /// Whether a request of this size cannot be made smaller.
    pub fn is_least(&self, asked: usize) -> bool {
        asked <= self.least
    }

    /// There was no answer. A datagram may have been lost; if it happens again above the minimum, the size is the
    /// cause.
    pub fn missed(&mut self, asked: usize) {
        if asked > self.least {
            (self.missed, self.misses) = (asked, self.misses.saturating_add(1));
        }
        self.now = self.least;
    }

    /// The agent answered with an error, although the size was above the minimum.
    pub fn refused(&mut self) {
        (self.missed, self.misses, self.now) = (1, 2, self.least);
    }

    /// The agent answered that the result is too big.
    pub fn too_much(&mut self, asked: usize) {
        self.most = (asked / 2).max(self.least);
        self.now = self.most;
    }

    /// The agent answered `count` of the objects it was asked for.
    pub fn got(&mut self, count: usize, asked: usize) {
        if self.misses > 1 {
            self.most = (self.missed / 2).max(self.least);
            self.misses = 1;
        }
        let next = if count < asked { count } else { self.now.saturating_mul(2).max(1) };
        self.now = next.clamp(self.least, self.most.max(self.least));
    }
}
