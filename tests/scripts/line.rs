//! The lines of scripts: which are read, which are refused, and that no input makes the reader panic.

use proptest::prelude::*;
use puypuy::model::point::Value;
use puypuy::scripts::line::{Line, parse};

fn line<'a>(
    name: &'a str,
    value: Value,
    check_type: &'a str,
    is_rate: bool,
    tags: &[(&'static str, &str)],
) -> Line<'a> {
    Line { name, value, check_type, is_rate, tags: tags.iter().copied().collect() }
}

#[test]
fn lines_with_a_number() {
    for (text, wanted) in [
        ("a 1 t stack", line("a", Value::Int(1), "t", false, &[])),
        ("  a\t-7  t \t rate \r", line("a", Value::Int(-7), "t", true, &[])),
        ("a 1.50 t stack", line("a", Value::Float(1.5), "t", false, &[])),
        ("a 1. t stack", line("a", Value::Float(1.0), "t", false, &[])),
        ("a +.5 t stack", line("a", Value::Float(0.5), "t", false, &[])),
        ("a 1e3 t stack", line("a", Value::Float(1000.0), "t", false, &[])),
        ("a 18446744073709551615 t stack", line("a", Value::Float(18446744073709551615.0), "t", false, &[])),
        ("a 1 t stack k=v x=", line("a", Value::Int(1), "t", false, &[("k", "v"), ("x", "")])),
        ("a 1 t stack k==v", line("a", Value::Int(1), "t", false, &[("k", "=v")])),
    ] {
        assert_eq!(parse(text), Ok(Some(wanted)), "{text:?}");
    }
}

#[test]
fn lines_that_are_ignored() {
    for text in ["", "   ", "\r", "# a 1 t stack", "  #", "#"] {
        assert_eq!(parse(text), Ok(None), "{text:?}");
    }
}

#[test]
fn lines_that_are_refused() {
    for (text, why) in [
        ("a", "expected name, value, check_type"),
        ("a 1 t", "expected name, value, check_type"),
        ("a 1 t sum", "neither stack nor rate"),
        ("a one t stack", "no number"),
        ("a nan t stack", "no number"),
        ("a inf t stack", "no number"),
        ("a 0x10 t stack", "no number"),
        ("a 1e999 t stack", "no number"),
        ("a . t stack", "no number"),
        ("a 1,5 t stack", "no number"),
        ("a 1 t stack more", "tags as key=value"),
        ("a 1 t stack =v", "tags as key=value"),
    ] {
        assert!(parse(text).is_err_and(|told| told.contains(why)), "{text:?}: {:?}", parse(text));
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(text in "(\\PC|[ \t\r=#.0-9e+-]){0,60}") {
        if let Ok(Some(line)) = parse(&text) {
            prop_assert!(!line.name.is_empty() && line.value.as_f64().is_finite());
        }
    }

    #[test]
    fn printed_values_are_read_unchanged(value in any::<i64>(), float in -1e15..1e15f64) {
        prop_assert_eq!(parse(&format!("a {value} t stack")).unwrap().unwrap().value, Value::Int(value));
        let text = format!("a {float:.4} t stack");
        prop_assert_eq!(parse(&text).unwrap().unwrap().value.as_f64(), format!("{float:.4}").parse::<f64>().unwrap());
    }
}
