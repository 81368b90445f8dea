//! How much an agent is asked for at a time: as much as it has answered, found out anew where something is not.

/// One of these for each kind of question, kept from tick to tick.
pub struct Portion {
    least: usize,
    /// The most that it is known, or hoped, to answer.
    most: usize,
    now: usize,
    /// How much it was asked for in vain the last time, and how often something was in vain since it was asked for `most`.
    missed: usize,
    misses: u32,
}

impl Portion {
    pub fn new(least: usize, most: usize) -> Portion {
        Portion { least, most, now: most, missed: 0, misses: 0 }
    }

    /// For another tick. An agent that was silent in the last one is asked for the least at first.
    pub fn begin(&mut self, was_silent: bool) {
        self.now = if was_silent { self.least } else { self.most };
        self.misses = u32::from(was_silent);
    }

    pub fn now(&self) -> usize {
        self.now
    }

    pub fn is_least(&self, asked: usize) -> bool {
        asked <= self.least
    }

    /// Nothing came. That may be a datagram that was lost; when it happens again with more than the least, it is the size.
    pub fn missed(&mut self, asked: usize) {
        if asked > self.least {
            (self.missed, self.misses) = (asked, self.misses.saturating_add(1));
        }
        self.now = self.least;
    }

    /// The agent answers an error, and not yet to the least.
    pub fn refused(&mut self) {
        (self.missed, self.misses, self.now) = (1, 2, self.least);
    }

    /// The agent says that it was too much.
    pub fn too_much(&mut self, asked: usize) {
        self.most = (asked / 2).max(self.least);
        self.now = self.most;
    }

    /// The agent gave so much of what it was asked for.
    pub fn got(&mut self, count: usize, asked: usize) {
        if self.misses > 1 {
            self.most = (self.missed / 2).max(self.least);
            self.misses = 1;
        }
        let next = if count < asked { count } else { self.now.saturating_mul(2).max(1) };
        self.now = next.clamp(self.least, self.most.max(self.least));
    }
}
