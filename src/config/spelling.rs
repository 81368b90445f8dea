//! "Did you mean ...?": finds the known name that is nearest to an unknown one.

/// Most edits for a name to count as a misspelling.
const MAX_EDITS: usize = 2;

/// The known name nearest to `word`, if one is near enough; else the only known name that starts with `word`. Case is
/// ignored.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let length = word.chars().count();
    let is_short = length <= 3;
    let most = if is_short { 1 } else { MAX_EDITS };
    // A greater difference in length means more edits; this saves time with thousands of names.
    let near = known.iter().filter(|name| name.chars().count().abs_diff(length) <= most);
    let distances = near.filter_map(|name| Some((edits(&word, &name.to_lowercase(), most)?, *name)));
    if let Some((_, best)) = distances.min_by_key(|(edits, _)| *edits) {
        return Some(best);
    }
    let mut longer = known.into_iter().filter(|name| !is_short && name.to_lowercase().starts_with(&word));
    let first = longer.next()?;
    longer.all(|name| name == first).then_some(first)
}

/// A hint to append to a message: `, did you mean log_file?`, or an empty text.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two words; `None` if there are more
/// than `most`.
fn edits(one: &str, other: &str, most: usize) -> Option<usize> {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(other.len() + 1);
        row.push(i + 1);
        for (j, b) in other.iter().enumerate() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j) + usize::from(a != b)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        // No later row has a smaller number than the smallest of this one.
        if row.iter().all(|edits| *edits > most) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|edits| *edits <= most)
}
