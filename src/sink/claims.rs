//! Name collisions: which series was first under a name on the wire, so that another series gets another name.

use crate::model::fingerprint::fingerprint;
use crate::model::point::{Point, Series};
use foldhash::HashMap;
use std::fmt::Write;

/// Most names that are remembered.
const REMEMBERED: usize = 10_000;
/// When the memory is full, names that were in none of this many batches are forgotten.
const UNUSED: u32 = 360;

/// Which series has which name. A series that came second keeps its other name while both series are seen.
#[derive(Debug, Default)]
pub struct Claims {
    /// By the fingerprint of the name. Of two with the same fingerprint one would get another name.
    held: HashMap<u64, Holder>,
    batch: u32,
    is_full: bool,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Holder {
    first: Series,
    /// The last batch with this series or one that collided with it.
    seen: u32,
}

/// To which series a name belongs.
enum Claim {
    New,
    Own,
    Other(Series),
}

impl Claims {
    /// Starts a batch.
    pub fn begin(&mut self) {
        self.batch = self.batch.saturating_add(1);
        if self.held.len() >= REMEMBERED {
            let oldest = self.batch.saturating_sub(UNUSED);
            self.held.retain(|_, holder| holder.seen >= oldest);
        }
    }

    /// `None` if the series of `point` has the name `plain`. If another series has it, returns the first free name of
    /// those that `other` makes of that series and the numbers from 1 on.
    pub fn settle(&mut self, point: &Point, plain: &str, other: impl Fn(&Series, u32) -> String) -> Option<String> {
        let Claim::Other(first) = self.claim(plain, point) else { return None };
        let mut number = 1;
        loop {
            let name = other(&first, number);
            match self.claim(&name, point) {
                Claim::Own => return Some(name),
                Claim::New => {
                    let (first, second) = (describe_series(&first), describe_series(&point.series()));
                    self.notes.push(format!("{first} and {second} both become {plain}: the second is {name}"));
                    return Some(name);
                }
                Claim::Other(_) => number += 1,
            }
        }
    }

    /// Takes the messages for the log since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn claim(&mut self, name: &str, point: &Point) -> Claim {
        let name = fingerprint(name);
        if let Some(holder) = self.held.get_mut(&name) {
            holder.seen = self.batch;
            return if holder.first.key() == point.key() { Claim::Own } else { Claim::Other(holder.first.clone()) };
        }
        if self.held.len() < REMEMBERED {
            self.held.insert(name, Holder { first: point.series(), seen: self.batch });
            return Claim::New;
        }
        if !self.is_full {
            self.is_full = true;
            self.notes.push(format!("more than {REMEMBERED} names: where two of the others meet is not noticed"));
        }
        Claim::Own
    }
}

/// The series as text; different series give different texts.
pub fn describe_series(Series { name, check_type, host, tags }: &Series) -> String {
    let mut text = name.to_string();
    let mut tags: Vec<_> = tags.iter().collect();
    tags.sort_unstable();
    let _ = write!(text, " {tags:?} of type {check_type:?}");
    if let Some(host) = host {
        let _ = write!(text, " of {host:?}");
    }
    text
}
