//! The tags of a point as one list: the base tags in the order of the sink, then those of the point.

use crate::model::point::Tags;
use std::borrow::Cow;

/// Key and value of each tag, no key twice: a tag of the point takes the place of the base tag with its key, and a later
/// one that of an earlier. Base tags without a value are left out, and of the point's own tags those beyond the first
/// `most`. `key` makes the keys what the sink can take.
pub fn merge<'a>(
    base: impl IntoIterator<Item = (&'static str, &'a str)>,
    own: &'a Tags,
    most: usize,
    key: fn(&'a str) -> Cow<'a, str>,
) -> Vec<(Cow<'a, str>, &'a str)> {
    let base = base.into_iter().filter(|(_, value)| !value.is_empty());
    let mut merged: Vec<(Cow<str>, &str)> = base.map(|(key, value)| (key.into(), value)).collect();
    let mut left = most;
    for (own_key, value) in own.iter() {
        let own_key = key(own_key);
        match merged.iter_mut().find(|(key, _)| *key == own_key) {
            Some(tag) => tag.1 = value,
            None if left > 0 => {
                left -= 1;
                merged.push((own_key, value));
            }
            None => {}
        }
    }
    merged
}
