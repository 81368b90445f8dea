//! Parses numbers in settings, with an explanation if a text is not one.

use std::fmt::Display;
use std::str::FromStr;

/// A type of number for settings.
pub trait Number: FromStr + PartialOrd + Display + Copy {}

impl<T: FromStr + PartialOrd + Display + Copy> Number for T {}

/// Parses a number; never NaN or infinite.
///
/// # Errors
/// What is wrong with the text, and what to write instead.
pub fn read<T: Number>(text: &str) -> Result<T, String> {
    let is_finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    match text.parse() {
        Ok(number) if is_finite => Ok(number),
        _ => Err(flaw(text, is_finite)),
    }
}

fn flaw(text: &str, is_finite: bool) -> String {
    let is_of_digits = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit()) && text.parse::<f64>().is_ok();
    if is_finite {
        return match () {
            () if text.contains(['.', 'e', 'E']) => "it must be a whole number, in digits alone".into(),
            () if text.starts_with('-') => "it must not be negative".into(),
            () => "it is too large".into(),
        };
    }
    if is_of_digits(text) {
        return "it is too large to be a number".into();
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | '-' | '+'));
    if let Some((number, unit)) = end.and_then(|end| text.split_at_checked(end)) {
        let unit = unit.trim();
        if is_of_digits(number) && unit.chars().all(|letter| letter.is_alphabetic() || letter == '%') {
            return format!("it has the unit {unit:?}, write the number without one");
        }
        if is_of_digits(number) && unit.starts_with(',') {
            return "it has a comma; a number is written as 1500 or 1.5".into();
        }
    }
    "it is no number".into()
}
