//! The tags of a point in one list: the base tags in the sink's order, then the point's own.

use crate::model::point::Tags;
use std::borrow::Cow;

/// Key and value of each tag, with unique keys: the point's own tag replaces a base tag, and a later tag an earlier
/// one. Base tags without a value are left out, and so are the point's own tags beyond the first `most`. `key` maps a
/// key to one that the sink accepts.
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
