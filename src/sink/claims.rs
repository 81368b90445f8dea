//! Names that meet: which series came first under a name on the wire, so that another one gets a name of its own.

use crate::model::point::Point;
use std::collections::HashMap;
use std::fmt::Write;

/// Names that are remembered.
const REMEMBERED: usize = 10_000;
/// Where the memory is full, names that were in none of so many batches are forgotten.
const UNUSED: u64 = 360;

/// Who holds which name. A series that comes second keeps its other name for as long as the two are seen.
#[derive(Debug, Default)]
pub struct Claims {
    held: HashMap<String, Holder>,
    batch: u64,
    is_full: bool,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Holder {
    /// A point of the series.
    first: Point,
    /// The last batch with it, or with one that it met.
    seen: u64,
}

/// Whose a name is.
enum Claim {
    New,
    Own,
    Other(Point),
}

impl Claims {
    /// A batch begins.
    pub fn begin(&mut self) {
        self.batch += 1;
        if self.held.len() >= REMEMBERED {
            let oldest = self.batch.saturating_sub(UNUSED);
            self.held.retain(|_, holder| holder.seen >= oldest);
        }
    }

    /// `None` where the name `plain` is that of the point's series. Where another series came first under it: the first of the
    /// names that is free, of those that `other` makes of that series and the numbers from 1 on.
    pub fn settle(&mut self, point: &Point, plain: &str, other: impl Fn(&Point, u32) -> String) -> Option<String> {
        let Claim::Other(first) = self.claim(plain, point) else { return None };
        let mut number = 1;
        loop {
            let name = other(&first, number);
            match self.claim(&name, point) {
                Claim::Own => return Some(name),
                Claim::New => {
                    let (first, second) = (describe(&first), describe(point));
                    self.notes.push(format!("{first} and {second} both become {plain}: the second is {name}"));
                    return Some(name);
                }
                Claim::Other(_) => number += 1,
            }
        }
    }

    /// Sentences that came up since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn claim(&mut self, name: &str, point: &Point) -> Claim {
        if let Some(holder) = self.held.get_mut(name) {
            holder.seen = self.batch;
            return if holder.first.key() == point.key() { Claim::Own } else { Claim::Other(holder.first.clone()) };
        }
        if self.held.len() < REMEMBERED {
            self.held.insert(name.into(), Holder { first: point.clone(), seen: self.batch });
            return Claim::New;
        }
        if !self.is_full {
            self.is_full = true;
            self.notes.push(format!("more than {REMEMBERED} names: where two of the others meet is not noticed"));
        }
        Claim::Own
    }
}

/// The series in words; no two series in the same.
pub fn describe(point: &Point) -> String {
    let mut text = point.name.to_string();
    let mut tags: Vec<_> = point.tags.iter().collect();
    tags.sort_unstable();
    let _ = write!(text, " {tags:?} of type {:?}", point.check_type);
    if let Some(host) = &point.host {
        let _ = write!(text, " of {host:?}");
    }
    text
}
