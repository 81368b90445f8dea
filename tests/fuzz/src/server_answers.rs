//! No server response makes a parser panic. The first byte selects the parser for the rest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use puypuy::model::parse::bson::Document;
use puypuy::model::parse::csv::Csv;
use puypuy::model::parse::jolokia::{Bean, read_bulk, read_one};
use puypuy::model::parse::jmx_servlet::{self, Wanted};
use puypuy::model::parse::{dict, jmxproxy, json, json_stream, pairs, prometheus, resp, varnishstat};
use puypuy::model::table::{Field, gauge};

const BEANS: &[Bean] = &[Bean { name: "a:type=B", attributes: &[] }, Bean { name: "a:type=*", attributes: &["C"] }];
const FIELDS: &[Field] = &[gauge("/a/b", "ab", ""), gauge("/c", "c", "")];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match which % 10 {
        0 => {
            let mut page = prometheus::Page::default();
            let samples = text.lines().filter_map(|line| page.line(line, |name| name.len() % 2 == 0));
            samples.for_each(|sample| assert!(!sample.name.is_empty()));
        }
        1 => {
            if let Ok(csv) = Csv::read(&text) {
                csv.rows(&["# pxname", "svname", "scur"], |row| assert!(row.get("nothing").is_none()));
            }
        }
        2 => drop(read_bulk(&text, BEANS)),
        3 => drop(read_one(&text, &BEANS[1])),
        4 => drop(jmxproxy::read(&text)),
        5 => drop(pairs::pairs(&text, ": ").get("Uptime")),
        6 => {
            let _ = resp::is_whole(bytes, 2);
            assert!(resp::replies(bytes).take(100_000).count() <= bytes.len());
        }
        7 => drop(Document::read(bytes)),
        8 => drop((varnishstat::newest_vcl(&text), varnishstat::backend(&text))),
        _ => {
            drop(dict::texts(&text));
            let is_sound = |_: &str, cells: &json_stream::Cells| assert!(cells.iter().count() <= bytes.len());
            drop(json_stream::each(bytes, ("a", &["/b", "/*/c"]), &["/c/0"], is_sound));
            drop(jmx_servlet::read(bytes, &[Wanted { pattern: "Hadoop:a=*", places: vec!["/b", "/c/0"] }]));
            if let Ok(document) = json::document(&text, "a document") {
                drop(json::row(&document, FIELDS));
            }
        }
    }
});
