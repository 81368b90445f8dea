//! Percent encoding (RFC 3986) for addresses, queries and forms.

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Appends percent-encoded bytes. Letters, digits and `-._~` are not encoded.
pub fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    push_but(out, bytes, b"");
}

/// Encodes a text in the same way.
pub fn encode(text: &str) -> String {
    encode_but(text, "")
}

/// The same, but the ASCII characters in `kept` are not encoded either.
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

/// Decodes a text. A `%` without two hexadecimal digits is kept; bytes that are no UTF-8 become U+FFFD.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        // Parsing alone would accept a sign.
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.map(|digits| u8::from_str_radix(digits, 16)) {
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
