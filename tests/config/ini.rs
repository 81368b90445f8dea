//! The ini parser: how each unusual notation is read, and that no input makes it panic.

use proptest::prelude::*;
use puypuy::config::ini::{Ini, parse};

fn read(text: &str) -> Ini {
    parse(text, "test.ini")
}

/// The value of `[S] k`.
fn value(line: &str) -> String {
    let ini = read(&format!("[S]\n{line}\n"));
    assert!(ini.errors.is_empty(), "{line:?}: {:?}", ini.errors);
    ini.section("S").unwrap().text("k").unwrap_or_else(|| panic!("{line:?}: no k in {ini:?}")).to_string()
}

fn errors(text: &str) -> Vec<String> {
    read(text).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_literal() {
    for (line, expected) in [
        ("k = v", "v"),
        ("k: v", "v"),
        ("k=v", "v"),
        ("K = v", "v"),
        ("k : a=b", "a=b"),
        ("k = http://127.0.0.1:8888/haproxy?stats;csv", "http://127.0.0.1:8888/haproxy?stats;csv"),
        ("k: http://x:8086", "http://x:8086"),
        ("k = 1 ; note", "1 ; note"),
        ("k = x#y", "x#y"),
        ("k = \"quoted\"", "\"quoted\""),
        ("k = 'single'", "'single'"),
        ("k = \"half", "\"half"),
        ("k = Te$ting %d %(home)s ${x}", "Te$ting %d %(home)s ${x}"),
        (r"k = C:\new\table\x41", r"C:\new\table\x41"),
        (r"k = end\", r"end\"),
        ("k =", ""),
        ("k:", ""),
        ("k = = : =", "= : ="),
        ("k = [x]", "[x]"),
        ("\tk: v", "v"),
        ("k = ünï→", "ünï→"),
        ("k = a\n  b\n\n  c", "a\nb\n\nc"),
        ("k = a\n  # remark\n  b", "a\nb"),
        ("k =\n  a\n  b", "\na\nb"),
        ("k = a\n   [b]", "a\n[b]"),
        ("# k = x\n; k = y\n  # k = z\nk = v", "v"),
    ] {
        assert_eq!(value(line), expected, "{line:?}");
    }
}

#[test]
fn files_of_other_systems_are_read() {
    for text in ["\u{feff}[S]\r\nk = v\r\n", "[S]\rk = v\r", "  [S]  \n k = v", "[S] trailing\nk = v"] {
        let ini = read(text);
        assert!(ini.errors.is_empty(), "{text:?}: {:?}", ini.errors);
        assert_eq!(ini.section("S").unwrap().text("k"), Some("v"), "{text:?}");
    }
    let ini = read("[Section With Space]\nk=1\n[section with space]\nk=2\n[a]b]\nk=3");
    let names: Vec<_> = ini.sections.iter().map(|section| section.name.as_str()).collect();
    assert_eq!(names, ["Section With Space", "section with space", "a]b"]);
}

#[test]
fn entries_know_their_lines() {
    let ini = read("# one\n\n[S]\na = 1\n  2\n\n# seven\nb = 3\n[T]\na = 4\n");
    let lines: Vec<_> = ini.sections.iter().flat_map(|section| &section.entries).map(|entry| entry.line).collect();
    assert_eq!(lines, [4, 8, 10]);
    assert_eq!(ini.sections.iter().map(|section| section.line).collect::<Vec<_>>(), [3, 9]);
}

#[test]
fn defaults_reach_every_section() {
    let ini = read("[DEFAULT]\na = 1\nb = 2\n[S]\nb = 3\n");
    let section = ini.section("S").unwrap();
    assert_eq!((section.text("a"), section.text("b")), (Some("1"), Some("3")));
}

#[test]
fn mistakes_have_a_position_and_affect_nothing_else() {
    for (text, expected) in [
        (
            "[TSDB]\ntsdtype: A\naddress: x\ntsdtype: B\nz = 1",
            "test.ini:4 [TSDB] tsdtype: appears a second time, first in line 2; two back ends left uncommented? keep one",
        ),
        (
            "[S]\nz = 1\n[T]\n[S]\nk = 2",
            "test.ini:4 [S]: this section appears a second time, first in line 1; keep one",
        ),
        ("z = 1\n[S]\nz = 1", "test.ini:1: \"z = 1\" stands before the first [section]"),
        ("[S]\nz = 1\nnonsense", "test.ini:3 [S]: \"nonsense\": no `key = value` or `key: value`"),
        ("[S]\nz = 1\n= 2", "test.ini:3 [S]: \"= 2\": no `key = value` or `key: value`"),
        ("[S]\nz = 1\n[T", "test.ini:3 [S]: \"[T\": no closing bracket"),
        (
            "[S]\nk = 1\n  user: x\nz = 1",
            "test.ini:3: \"user: x\": indented deeper than the key above it, so it would become a part of that value; \
             write it at the same depth",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text:?}");
        let ini = read(text);
        let kept = ini.sections.iter().any(|section| section.text("z") == Some("1"));
        assert!(kept || text.starts_with('z'), "{text:?}: {ini:?}");
    }
}

#[test]
fn all_mistakes_are_reported() {
    assert_eq!(errors("[S]\nbad\nalso bad\nk = 1\nk = 2\n[").len(), 4);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\PC|[\\n\\r\\t =:\\[\\]#;\\\\\"'\\x00\\x0b\\x1c\\u{85}\\u{a0}]){0,200}") {
        read(&text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("x.ini");
        std::fs::write(&file, bytes).unwrap();
        puypuy::config::ini::load(&file, "x.ini").unwrap();
    }
}
