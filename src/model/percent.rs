//! Percent encoding (RFC 3986): of text in addresses, queries and forms.

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Appends bytes as they may stand anywhere: letters, digits and `-._~` stay.
pub fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    push_but(out, bytes, b"");
}

/// The same of a text.
pub fn encode(text: &str) -> String {
    encode_but(text, "")
}

/// The same, and those of `kept` stay, too.
pub fn encode_but(text: &str, kept: &str) -> String {
    let mut encoded = Vec::with_capacity(text.len());
    push_but(&mut encoded, text.as_bytes(), kept.as_bytes());
    String::from_utf8(encoded).unwrap_or_default()
}

fn push_but(out: &mut Vec<u8>, bytes: &[u8], kept: &[u8]) {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The text that was encoded so; what is no encoding stays as it is.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        match after.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}
