//! Parses JSON while it arrives: one item of a long document at a time, keeping only the wanted values.

use crate::model::error::quote;
use crate::model::table::Raw;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::SliceRead;
use std::fmt;
use std::io::Read;

/// Number of bytes read at a time.
const WINDOW: usize = 256 << 10;
/// Maximum size of one item in bytes.
const MOST: usize = 4 << 20;

/// Parses a document that is an object. `tell` is called for each item of its member `list`, an object, with the item's
/// name and wanted cells, as soon as the item is complete. Returns the cells at `beside`, which are outside of the
/// list. A place is a JSON pointer as in [`super::json::cell`]; `*` in it matches any name.
///
/// # Errors
/// The document is no JSON, is truncated, or has an item that is too long; the text says where. Items passed to `tell`
/// before are valid.
pub fn each(
    from: impl Read,
    (list, of_items): (&str, &[&str]),
    beside: &[&str],
    mut tell: impl FnMut(&str, &Cells),
) -> Result<Cells, String> {
    let mut json = Window::new(from);
    let mut found = Cells::default();
    json.members(|json, key| {
        if key == list {
            return json.members(|json, name| {
                let item = json.parse(|json| Picked::of(of_items.to_vec(), String::new()).read(json))?;
                tell(&name, &item);
                Ok(())
            });
        }
        let wanted: Vec<&str> = beside.iter().filter_map(|place| below(place, &key)).collect();
        found.0.extend(json.parse(|json| Picked::of(wanted.clone(), format!("/{key}")).read(json))?.0);
        Ok(())
    })?;
    json.end()?;
    Ok(found)
}

/// Parses a document that is an object with a member `list`, an array of objects, each with a member `key`, its name.
/// `wanted` returns the wanted places for a name, and those of all names for `None`. `tell` is called with the name and
/// the cells as soon as the item is complete. An item may be larger than the part of the document in memory. Returns
/// whether the list exists.
///
/// # Errors
/// The document is no JSON, is truncated, or has a member of an item that is too long; the text says where. Items
/// passed to `tell` before are valid.
pub fn named<'w>(
    from: impl Read,
    (list, key): (&str, &str),
    wanted: impl Fn(Option<&str>) -> Vec<&'w str>,
    mut tell: impl FnMut(&str, Cells),
) -> Result<bool, String> {
    let mut json = Window::new(from);
    let of_all = wanted(None);
    let mut is_there = false;
    json.members(|json, member| {
        if member != list {
            return json.parse(|json| IgnoredAny::deserialize(json)).map(drop);
        }
        is_there = true;
        json.elements(|json| {
            let (mut name, mut of_name, mut cells) = (None, None, Cells::default());
            json.members(|json, member| {
                if name.is_none() && member == key {
                    let found = json.parse(|json| Picked::of(vec![""], String::new()).read(json))?;
                    name = found.text("").map(String::from);
                    let places = of_name.insert(wanted(name.as_deref()));
                    // Members before the name.
                    cells.0.retain(|(own, _)| places.iter().any(|place| is_at(own, place)));
                    return Ok(());
                }
                let places = of_name.as_ref().unwrap_or(&of_all);
                let wanted: Vec<&str> = places.iter().filter_map(|place| below(place, &member)).collect();
                if wanted.is_empty() {
                    return json.parse(|json| IgnoredAny::deserialize(json)).map(drop);
                }
                let place = format!("/{member}");
                cells.0.extend(json.parse(|json| Picked::of(wanted.clone(), place.clone()).read(json))?.0);
                Ok(())
            })?;
            if let Some(name) = name {
                tell(&name, cells);
            }
            Ok(())
        })
    })?;
    json.end()?;
    Ok(is_there)
}

/// Values of a document with their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells(Vec<(String, Cell)>);

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Count(u64),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Cell {
    fn raw(&self) -> Raw<'_> {
        match self {
            Cell::Count(count) => Raw::Count(*count),
            Cell::Int(number) => Raw::Int(*number),
            Cell::Float(number) => Raw::Float(*number),
            Cell::Text(text) => Raw::Text(text),
        }
    }
}

impl Cells {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All values with their places, as the cells of a row.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'_>)> {
        self.0.iter().map(|(place, cell)| (place.as_str(), cell.raw()))
    }

    /// The text at this place.
    pub fn text(&self, place: &str) -> Option<&str> {
        self.iter().find_map(|(own, raw)| match raw {
            Raw::Text(text) if own == place => Some(text),
            _ => None,
        })
    }

    /// The values whose places match the pattern, each with the name that `*` matches.
    pub fn each<'c>(&'c self, pattern: &'c str) -> impl Iterator<Item = (&'c str, Raw<'c>)> {
        let (begin, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        self.iter().filter_map(move |(place, raw)| {
            let name = place.strip_prefix(begin)?.strip_suffix(end)?;
            (!name.contains('/')).then_some((name, raw))
        })
    }
}

/// Whether this is the place, or one that it matches.
fn is_at(own: &str, place: &str) -> bool {
    own.split('/').skip(1).try_fold(place, below) == Some("")
}

/// The rest of a place below the member `name`; `None` if the place is not in that member.
fn below<'p>(place: &'p str, name: &str) -> Option<&'p str> {
    let place = place.strip_prefix('/')?;
    let rest = place.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    rest.or_else(|| place.strip_prefix('*'))
}

/// A serde visitor that keeps the values at the wanted places.
struct Picked<'w> {
    /// Wanted places, relative to the current value.
    wanted: Vec<&'w str>,
    place: String,
    found: Cells,
}

impl<'w> Picked<'w> {
    fn of(wanted: Vec<&'w str>, place: String) -> Picked<'w> {
        Picked { wanted, place, found: Cells::default() }
    }

    fn read<'de>(mut self, json: impl Deserializer<'de, Error = serde_json::Error>) -> serde_json::Result<Cells> {
        (&mut self).deserialize(json)?;
        Ok(self.found)
    }

    fn keep(&mut self, cell: Cell) {
        if self.wanted.contains(&"") {
            self.found.0.push((self.place.clone(), cell));
        }
    }

    /// Descends to the member `name`; `None` if nothing is wanted there. Pass the result to [`Picked::leave`].
    fn enter(&mut self, name: &str) -> Option<(Vec<&'w str>, usize)> {
        let wanted: Vec<&str> = self.wanted.iter().filter_map(|place| below(place, name)).collect();
        if wanted.is_empty() {
            return None;
        }
        let above = (std::mem::replace(&mut self.wanted, wanted), self.place.len());
        self.place.push('/');
        self.place.push_str(name);
        Some(above)
    }

    fn leave(&mut self, (wanted, length): (Vec<&'w str>, usize)) {
        self.wanted = wanted;
        self.place.truncate(length);
    }
}

impl<'de> DeserializeSeed<'de> for &mut Picked<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Picked<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<(), E> {
        self.keep(Cell::Count(count));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.keep(Cell::Int(number));
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.keep(Cell::Float(number));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if !text.is_empty() {
            self.keep(Cell::Text(text.into()));
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for number in 0_usize.. {
            let is_over = match self.enter(&number.to_string()) {
                Some(above) => {
                    let item = items.next_element_seed(&mut *self)?;
                    self.leave(above);
                    item.is_none()
                }
                None => items.next_element::<IgnoredAny>()?.is_none(),
            };
            if is_over {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            match self.enter(&name) {
                Some(above) => {
                    members.next_value_seed(&mut *self)?;
                    self.leave(above);
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The part of a document that is in memory.
struct Window<R> {
    from: R,
    text: Vec<u8>,
    /// Index of the first byte not yet parsed.
    at: usize,
    /// Number of bytes of the document before the window.
    passed: usize,
    has_ended: bool,
}

impl<R: Read> Window<R> {
    fn new(from: R) -> Window<R> {
        Window { from, text: Vec::new(), at: 0, passed: 0, has_ended: false }
    }

    /// Checks that nothing follows the document.
    fn end(mut self) -> Result<(), String> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.unread("there is more behind its end")),
        }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Reads more bytes behind those not yet parsed, each time doubling the window. Returns `false` at the end of the
    /// input.
    fn more(&mut self) -> Result<bool, String> {
        if self.has_ended {
            return Ok(false);
        }
        self.text.drain(..self.at);
        (self.passed, self.at) = (self.passed + self.at, 0);
        if self.text.len() >= MOST {
            return Err(self.unread(&format!("a part of it is longer than {} MiB", MOST >> 20)));
        }
        let before = self.text.len();
        let wanted = before.max(WINDOW).min(MOST - before);
        // A read error counts as the end: complete items are still valid, and the document is then found to be
        // truncated.
        let read = (&mut self.from).take(wanted as u64).read_to_end(&mut self.text);
        let count = self.text.len() - before;
        self.has_ended = read.is_err() || count < wanted;
        Ok(count > 0)
    }

    /// The next byte that is no whitespace, without taking it; `None` at the end.
    fn peek(&mut self) -> Result<Option<u8>, String> {
        loop {
            let blanks = self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.at += blanks;
            match self.rest().first().copied() {
                Some(byte) => return Ok(Some(byte)),
                None if self.more()? => {}
                None => return Ok(None),
            }
        }
    }

    /// Takes one of these bytes; `wanted` is the error message if another one follows.
    fn take(&mut self, one_of: &[u8], wanted: &str) -> Result<u8, String> {
        match self.peek()? {
            Some(byte) if one_of.contains(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            Some(_) => Err(self.unread(wanted)),
            None => Err(self.unread("it ends in the middle")),
        }
    }

    /// Parses an object: `read` is called with each member's name and must parse its value.
    fn members(&mut self, mut read: impl FnMut(&mut Self, String) -> Result<(), String>) -> Result<(), String> {
        self.take(b"{", "expected an object")?;
        if self.peek()? == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.parse(|json| String::deserialize(json))?;
            self.take(b":", "expected a colon")?;
            read(self, name)?;
            if self.take(b",}", "expected a comma or the end of an object")? == b'}' {
                return Ok(());
            }
        }
    }

    /// Parses an array: `read` must parse one item.
    fn elements(&mut self, mut read: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.take(b"[", "expected an array")?;
        if self.peek()? == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            read(self)?;
            if self.take(b",]", "expected a comma or the end of an array")? == b']' {
                return Ok(());
            }
        }
    }

    /// Parses the next value; reads more input until the value is complete.
    fn parse<T>(
        &mut self,
        read: impl Fn(&mut serde_json::Deserializer<SliceRead>) -> serde_json::Result<T>,
    ) -> Result<T, String> {
        loop {
            let mut json = serde_json::Deserializer::from_slice(self.rest());
            let value = read(&mut json);
            let end = self.at + json.into_iter::<IgnoredAny>().byte_offset();
            // A value that ends where the window ends may be incomplete.
            let may_go_on = match &value {
                Ok(_) => end >= self.text.len(),
                Err(error) => error.is_eof(),
            };
            if may_go_on && self.more()? {
                continue;
            }
            return match value {
                Ok(value) => {
                    self.at = end;
                    Ok(value)
                }
                Err(error) if error.is_eof() => Err(self.unread("it ends in the middle")),
                Err(_) => Err(self.unread("it is no JSON")),
            };
        }
    }

    fn unread(&self, problem: &str) -> String {
        let next: Vec<u8> = self.rest().iter().take(60).copied().collect();
        let place = self.passed + self.at;
        match next.is_empty() {
            true => problem.into(),
            false => format!("{problem}, at byte {place}: {}", quote(&String::from_utf8_lossy(&next))),
        }
    }
}
