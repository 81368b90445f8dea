//! Compares our ini parser with Python's RawConfigParser on generated files.

use crate::support::{is_installed, skip};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use puypuy::config::ini;
use serde_json::{Map, Value, json};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

const FILES: usize = 4000;

/// Reads every file and prints for each one line: its sections as JSON, or null if it cannot be parsed.
const REFERENCE: &str = r#"
import configparser, json, os, sys
for number in range(int(sys.argv[2])):
    parser = configparser.RawConfigParser()
    try:
        with open(os.path.join(sys.argv[1], '%d.ini' % number), encoding='utf-8-sig') as file:
            parser.read_file(file)
        print(json.dumps({name: dict(parser.items(name)) for name in parser.sections()}))
    except configparser.Error:
        print('null')
"#;

/// Lines of all kinds, usual and unusual ones, more often valid than not.
fn line() -> impl Strategy<Value = String> {
    let indent = "(| | |  |\t|    )";
    let key = "(a|B|key|Key With Space|k\"q|k\\\\b|\\[x|ü)";
    let value = "[ a-c0:=#;%$\"'\\\\\\[\\]ü?{}(),]{0,12}";
    prop_oneof![
        6 => (indent, key, "( ?= ?|: ?| : |=)", value).prop_map(|(indent, key, delimiter, value)| format!("{indent}{key}{delimiter}{value}")),
        2 => (indent, "(S|T|Two Words|a\\]b|DEFAULT|ü|s)", "(| | # x| ; y)").prop_map(|(indent, name, end)| format!("{indent}[{name}]{end}")),
        2 => (indent, "[#;] ?[a= :\\[\\]]{0,6}").prop_map(|(indent, text)| format!("{indent}{text}")),
        2 => ("( |  |\t|      )", "[a-c\\[\\]\"'\\\\%ü]{1,6}( [a-c]{1,3})?").prop_map(|(indent, text)| format!("{indent}{text}")),
        2 => "( |\t){0,3}",
        1 => (indent, "[a-c ]{1,6}").prop_map(|(indent, text)| format!("{indent}{text}")),
        1 => Just("[".to_string()),
        1 => Just("= x".to_string()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(line(), 0..10);
    ("(|\u{feff})", "(\n|\n|\r\n)", prop::bool::weighted(0.9), lines).prop_map(|(mark, end, headed, lines)| {
        let head = if headed { format!("[Begin]{end}") } else { String::new() };
        format!("{mark}{head}{}", lines.join(&end))
    })
}

#[test]
fn reads_what_python_reads() {
    if !is_installed("python3") {
        return skip("python3 is not installed");
    }
    let folder = TempDir::new().unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let texts: Vec<String> = (0..FILES).map(|_| text().new_tree(&mut runner).unwrap().current()).collect();
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.ini")), text).unwrap();
    }
    let said = Command::new("python3").arg("-c").arg(REFERENCE).arg(folder.path()).arg(FILES.to_string()).output();
    let said = said.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let answers: Vec<Value> =
        String::from_utf8(said.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), FILES);

    let (mut same, mut refused) = (0, 0);
    for (number, (text, theirs)) in texts.iter().zip(&answers).enumerate() {
        let ours = ini::load(&folder.path().join(format!("{number}.ini")), "x.ini").unwrap();
        // The only difference: an indented option, which Python silently reads as a continuation and we refuse.
        let slipped = ours.errors.iter().any(|error| error.to_string().contains("indented deeper"));
        if theirs.is_null() {
            assert!(!ours.errors.is_empty(), "Python refuses this and we do not:\n{text}");
            refused += 1;
        } else if !slipped {
            assert!(ours.errors.is_empty(), "Python reads this and we do not: {:?}\n{text}", ours.errors);
            assert_eq!(&sections(&ours), theirs, "\n{text}");
            same += 1;
        }
    }
    assert!(same > FILES / 4 && refused > FILES / 20, "the generator is off: {same} read, {refused} refused");
}

fn sections(ini: &ini::Ini) -> Value {
    let sections = ini.sections.iter().filter(|section| section.name != "DEFAULT").map(|section| {
        let entries: Map<String, Value> =
            section.entries.iter().map(|entry| (entry.key.clone(), json!(entry.value))).collect();
        (section.name.clone(), Value::Object(entries))
    });
    Value::Object(sections.collect())
}
