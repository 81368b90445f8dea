//! Numbers as text: the shortest form that reads back as the same number.

use std::io::Write;

/// Decimal digits.
pub fn push_integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A finite number, without a decimal point if it is whole: `5`, `0.42`, `0.00001`, `1e300`.
pub fn push_float(out: &mut Vec<u8>, number: f64) {
    if is_small_and_whole(number) {
        return push_integer(out, number as i64);
    }
    // Writing to a vector cannot fail.
    let _ = match number.abs() {
        1e-3..1e15 => out.write_all(zmij::Buffer::new().format_finite(number).as_bytes()),
        1e-5..1e16 => write!(out, "{number}"),
        _ => write!(out, "{number:e}"),
    };
}

/// A finite number with a decimal point, for readers that take a number without one for an integer, even with an
/// exponent: `5.0`, `0.42`, `0.00001`, `1.0e300`.
pub fn push_decimal(out: &mut Vec<u8>, number: f64) {
    let start = out.len();
    push_float(out, number);
    let written = out.get(start..).unwrap_or_default();
    if !written.contains(&b'.') {
        let mantissa = written.iter().position(|byte| *byte == b'e').unwrap_or(written.len());
        out.splice(start + mantissa..start + mantissa, *b".0");
    }
}

/// Any number as Prometheus spells it: `5`, `0.42`, `1e-05`, `1e+300`, `NaN`, `+Inf`.
pub fn push_go(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    match number {
        _ if number.is_nan() => out.extend_from_slice(b"NaN"),
        f64::INFINITY => out.extend_from_slice(b"+Inf"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-Inf"),
        _ if (1e-4..1e15).contains(&size) || size == 0.0 => push_float(out, number),
        _ => {
            let text = format!("{number:e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            // Writing to a vector cannot fail.
            let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
        }
    }
}

fn is_small_and_whole(number: f64) -> bool {
    number.abs() < 9e15 && number.trunc() == number
}
