//! A map from text to text, written as a Python dict, `{'a': "b",}`, or as a JSON object.

use std::iter::Peekable;
use std::str::Chars;

/// The key-value pairs in order. Backslash escapes are those of JSON, and `\'`.
///
/// # Errors
/// Says what was expected and what was found.
pub fn texts(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut letters = text.trim().chars().peekable();
    let mut pairs = Vec::new();
    sign(&mut letters, '{')?;
    while !is_next(&mut letters, '}') {
        let name = string(&mut letters)?;
        sign(&mut letters, ':')?;
        pairs.push((name, string(&mut letters)?));
        if !is_next(&mut letters, ',') {
            sign(&mut letters, '}')?;
            break;
        }
    }
    match letters.collect::<String>().trim() {
        "" => Ok(pairs),
        rest => Err(unexpected("the end", rest.chars().next())),
    }
}

fn sign(letters: &mut Peekable<Chars>, wanted: char) -> Result<(), String> {
    if is_next(letters, wanted) { Ok(()) } else { Err(unexpected(&wanted.to_string(), letters.peek().copied())) }
}

/// Skips whitespace; takes the next character if it is `wanted`, and returns whether it was.
fn is_next(letters: &mut Peekable<Chars>, wanted: char) -> bool {
    while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    letters.next_if_eq(&wanted).is_some()
}

fn string(letters: &mut Peekable<Chars>) -> Result<String, String> {
    let quotes = ['"', '\''];
    let quote = quotes.into_iter().find(|quote| is_next(letters, *quote));
    let quote = quote.ok_or_else(|| unexpected("a text in quotes", letters.peek().copied()))?;
    let mut text = String::new();
    loop {
        match letters.next() {
            None => return Err(unexpected(&quote.to_string(), None)),
            Some(end) if end == quote => return Ok(text),
            Some('\\') => escaped(letters, &mut text)?,
            Some(letter) => text.push(letter),
        }
    }
}

fn escaped(letters: &mut Peekable<Chars>, text: &mut String) -> Result<(), String> {
    match letters.next() {
        None => return Err(unexpected("a letter behind \\", None)),
        Some('n') => text.push('\n'),
        Some('t') => text.push('\t'),
        Some('r') => text.push('\r'),
        Some('\n') => {}
        Some(letter @ ('\\' | '\'' | '"' | '/')) => text.push(letter),
        Some('u') => {
            let digits: String = letters.by_ref().take(4).collect();
            let letter = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
            text.push(letter.ok_or_else(|| unexpected("four hexadecimal digits behind \\u", digits.chars().next()))?);
        }
        Some(letter) => text.extend(['\\', letter]),
    }
    Ok(())
}

fn unexpected(wanted: &str, found: Option<char>) -> String {
    let found = found.map_or("nothing more".into(), |found| format!("{found:?}"));
    format!("expected {wanted} and found {found}")
}
