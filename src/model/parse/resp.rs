//! RESP, the protocol of Redis: a command is an array of texts, and replies come one after the other (Redis documentation,
//! "Redis serialization protocol specification", version 2).

use std::borrow::Cow;

/// Longest line that begins a reply.
const LONGEST_LINE: usize = 4096;

/// What a server says to one command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    Text(Cow<'a, str>),
    Error(Cow<'a, str>),
}

/// These words as one command.
pub fn command(words: &[&str]) -> Vec<u8> {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words.collect::<String>()).into()
}

/// The replies that are there as a whole.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let (reply, rest) = first(bytes)?;
        bytes = rest;
        Some(reply)
    })
}

/// Whether so many replies are there, or what is there begins as none does.
pub fn is_whole(bytes: &[u8], count: usize) -> bool {
    let is_foreign = bytes.first().is_some_and(|first| !b"+-$".contains(first));
    is_foreign || replies(bytes).count() >= count
}

/// The first reply, and what stands behind it.
fn first(bytes: &[u8]) -> Option<(Reply<'_>, &[u8])> {
    let end = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n')?;
    let (line, rest) = (bytes.get(1..end)?.trim_ascii_end(), bytes.get(end + 1..)?);
    match bytes.first()? {
        b'+' => Some((Reply::Text(String::from_utf8_lossy(line)), rest)),
        b'-' => Some((Reply::Error(String::from_utf8_lossy(line)), rest)),
        b'$' => {
            let length: usize = std::str::from_utf8(line).ok()?.parse().ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            Some((Reply::Text(String::from_utf8_lossy(text)), rest.strip_prefix(b"\r\n")?))
        }
        _ => None,
    }
}
