//! RESP, the protocol of Redis: a command is an array of strings, and replies arrive in the order of the commands
//! (Redis documentation, "Redis serialization protocol specification", version 2).

use std::borrow::Cow;

/// Maximum length of the first line of a reply.
const LONGEST_LINE: usize = 4096;

/// The reply to one command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    Text(Cow<'a, str>),
    Error(Cow<'a, str>),
}

/// Encodes a command.
pub fn command(words: &[&str]) -> Vec<u8> {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words.collect::<String>()).into()
}

/// All complete replies at the start of `bytes`.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let (reply, rest) = first(bytes)?;
        bytes = rest;
        Some(reply)
    })
}

/// Whether `count` replies are complete, or the bytes cannot be a reply.
pub fn is_whole(bytes: &[u8], count: usize) -> bool {
    let is_foreign = bytes.first().is_some_and(|first| !b"+-$".contains(first));
    is_foreign || replies(bytes).count() >= count
}

/// The first reply, and the bytes after it. `None` if it is incomplete or of another type.
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
