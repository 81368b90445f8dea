//! Every check on the recorded responses of real servers, `tests/checks/<name>/<version>`, compared with `expect.txt`
//! (UPDATE_EXPECT=1 writes it), and on responses that no server should send.

use super::golden::compare;
use super::machine::{Measurement, line};
use super::mutations::{self, LOGIN, Trial, at_once};
use super::replay::{Case, Trouble};
use puypuy::check::Spec;
use puypuy::model::point::Point;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn cases() -> Vec<(&'static Spec, Vec<PathBuf>)> {
    mutations::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks"))
}

#[test]
fn recorded_servers_give_the_expected_points() {
    let mut wrong = Vec::new();
    for (spec, versions) in cases() {
        for folder in versions {
            let what = folder.display().to_string();
            let mut trial = Trial::start(spec, &folder, &[]);
            let varying = Case::read(&folder).varying;
            let mut text = String::new();
            for tick in 1..=2 {
                let told = trial.tick(tick, Trouble::None, &what);
                let shown = |point: &Point| {
                    let varies = varying.iter().any(|name| *name == point.name);
                    trial.replay.shown(&line(point, varies.then_some("*")))
                };
                let mut lines: Vec<_> = told.points.iter().map(shown).collect();
                lines.sort();
                text += &format!("--- tick {tick}\n{}", lines.concat());
                text.extend(told.events.iter().map(|event| {
                    format!("event {} {} {} {:?}\n", event.name, event.level.word(), event.reaction, event.message)
                }));
                text.extend(told.faults.iter().map(|fault| format!("fault {}\n", trial.replay.shown(fault))));
                in_the_tables(spec, &told, &what);
            }
            wrong.extend(compare(&folder.join("expect.txt"), &text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A part in braces in a metric name of a table stands for any text.
fn in_the_tables(spec: &Spec, told: &Measurement, what: &str) {
    let fits = |pattern: &str, name: &str| match (pattern.find('{'), pattern.rfind('}')) {
        (Some(begin), Some(end)) => {
            let (head, tail) = (&pattern[..begin], &pattern[end + 1..]);
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        _ => pattern == name,
    };
    for point in &told.points {
        let mut fields = spec.fields.iter().copied().flatten();
        assert!(fields.any(|field| fits(field.metric, &point.name)), "{what}: {} is in no table", point.name);
    }
}

/// Servers and proxies write numbers in different ways: 7, 7.0 and "7" are the same.
#[test]
fn a_number_is_the_same_however_it_is_written() {
    let forms: [fn(&str) -> String; 2] = [|digits| format!("{digits}.0e+00"), |digits| format!("\"{digits}\"")];
    let wrong = Mutex::new(Vec::new());
    at_once(8, cases(), |spec, folder, _| {
        let case = Case::read(folder);
        if !case.is_http() || spec.name == "check_http_api" {
            return;
        }
        let told = |trouble: &dyn Fn() -> Trouble| -> Vec<String> {
            let mut trial = Trial::start(spec, folder, &[]);
            let mut all = Vec::new();
            for tick in 1..=2 {
                let points = trial.tick(tick, trouble(), &folder.display().to_string()).points;
                let points = points.iter().filter(|point| !case.varying.iter().any(|name| *name == point.name));
                all.extend(points.map(|point| trial.replay.shown(&line(point, None))));
            }
            all.sort();
            all
        };
        let control = told(&|| Trouble::None);
        for form in forms {
            let written = told(&|| Trouble::Body(Arc::new(move |told: &[u8]| rewritten(told, form))));
            if written != control {
                let lost = control.iter().filter(|line| !written.contains(line));
                let lost: Vec<_> = lost.map(|line| line.trim_end()).collect();
                wrong.lock().unwrap().push(format!("{}: {} is not 7: {lost:?}", folder.display(), form("7")));
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rewrites the whole numbers of a JSON document in this form.
fn rewritten(told: &[u8], form: fn(&str) -> String) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(told) else { return told.to_vec() };
    if serde_json::from_str::<serde_json::Value>(text).is_err() {
        return told.to_vec();
    }
    let (mut all, mut number, mut is_text, mut is_escaped) = (String::new(), String::new(), false, false);
    for letter in text.chars().chain(['\n']) {
        if !is_text && (letter.is_ascii_digit() || "+-.eE".contains(letter) && !number.is_empty() || letter == '-') {
            number.push(letter);
            continue;
        }
        // Larger integers have no exact float.
        let is_whole = (1..=15).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        all += &if is_whole { form(&number) } else { number.clone() };
        number.clear();
        is_text ^= letter == '"' && !is_escaped;
        is_escaped = is_text && letter == '\\' && !is_escaped;
        all.push(letter);
    }
    all.into()
}

/// If another server or none is at the address, the check reports that and emits no points.
#[test]
fn a_page_of_another_server_is_an_error() {
    let wrong = Mutex::new(Vec::new());
    let first = cases().into_iter().map(|(spec, versions)| (spec, versions.into_iter().take(1).collect()));
    at_once(8, first, |spec, folder, _| {
        if !Case::read(folder).is_http() || spec.name == "check_http_api" {
            return;
        }
        for (status, body) in [
            ("200 OK", "{\"status\":\"ok\"}"),
            ("200 OK", "<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"),
            // Metrics that every program has, and an unknown one.
            ("200 OK", "process_open_fds 7\nprocess_start_time_seconds 1e9\ngo_goroutines 3\nup 1\n"),
            ("404 Not Found", "<html><body>Not Found</body></html>"),
        ] {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let what = format!("{}: {status} {body}", folder.display());
            let told = Trial::start(spec, folder, &[]).tick(1, Trouble::Raw(answer.into()), &what);
            let words = match status {
                "200 OK" => ["expected", "cannot read", "cannot connect"],
                _ => ["check its path", "HTTP 404", "cannot connect"],
            };
            let is_told = |fault: &String| words.iter().any(|word| fault.contains(word));
            if !told.points.is_empty() || !told.faults.iter().any(is_told) {
                let points: Vec<_> = told.points.iter().map(|point| &point.name).collect();
                wrong.lock().unwrap().push(format!("{what}: {points:?} {:?}", told.faults));
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_servers_only_cost_points() {
    // Most of it is waiting. Only one case of each check: the mutations cover the others.
    at_once(
        8,
        cases().into_iter().map(|(spec, versions)| (spec, versions.into_iter().take(1).collect())),
        |spec, folder, _| {
            let case = Case::read(folder);
            // A program needs one to three processes, so only every third change.
            let (is_http, step) = (case.is_http(), if case.is_program() { 3 } else { 1 });
            let mut control = Trial::start(spec, folder, &[]);
            control.tick(1, Trouble::None, "control");
            let control = control.tick(2, Trouble::None, "control").points.len();
            for (name, trouble) in troubles(is_http).into_iter().step_by(step) {
                let what = format!("{}: {name}", folder.display());
                let mut trial = Trial::start(spec, folder, LOGIN);
                trial.tick(1, Trouble::None, &what);
                let begun = Instant::now();
                let told = trial.tick(1, trouble, &what);
                assert!(begun.elapsed() < Duration::from_secs(8), "{what}: took {:?}", begun.elapsed());
                assert!(told.faults.len() < 100, "{what}: {} faults", told.faults.len());
                trial.tick(1, Trouble::None, &what);
                let recovered = trial.tick(2, Trouble::None, &what);
                let all = recovered.points.len();
                assert_eq!(all, control, "{what}: points are missing after it was over: {:?}", recovered.faults);
            }
        },
    );
}

/// In debug mode; `tests/fuzz/run` makes ten thousand of each check.
#[test]
fn mutated_responses_only_cost_points() {
    mutations::run(&cases(), 250);
}

/// Responses that no server should send.
fn troubles(is_http: bool) -> Vec<(String, Trouble)> {
    let body = |change: fn(&[u8]) -> Vec<u8>| Trouble::Body(Arc::new(change));
    let mut all = vec![
        ("an empty answer".into(), body(|_| Vec::new())),
        ("a page".into(), body(|_| b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>".to_vec())),
        ("half".into(), body(|told| told[..told.len() / 2].to_vec())),
        ("binary".into(), body(|told| told.iter().map(|byte| byte.wrapping_mul(167).wrapping_add(13)).collect())),
        ("control characters".into(), body(|_| vec![4; 4096])),
        ("no UTF-8".into(), body(|_| vec![0xff; 4096])),
        ("twice".into(), body(|told| [told, told].concat())),
        ("null".into(), body(|_| b"null".to_vec())),
        ("an empty list".into(), body(|_| b"[]".to_vec())),
        ("an empty object".into(), body(|_| b"{}".to_vec())),
        ("deep".into(), body(|_| vec![b'['; 100_000])),
        ("no line ends".into(), body(|told| told.iter().copied().filter(|byte| *byte != b'\n').collect())),
        ("silence".into(), Trouble::Silence),
        ("slow".into(), Trouble::Drip),
    ];
    for word in [
        "",
        "-1",
        "1e400",
        "NaN",
        "nan",
        "Infinity",
        "18446744073709551615",
        "18446744073709551616",
        "0x10",
        "\"x\"",
        "null",
        "{}",
        "[]",
        "1.5",
        "99999999999999999999999999",
    ] {
        all.push((format!("all numbers {word:?}"), Trouble::Body(Arc::new(move |told| with_numbers(told, word)))));
    }
    if is_http {
        let raw = |text: &str| Trouble::Raw(text.as_bytes().to_vec());
        all.extend([
            ("500".into(), raw("HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno")),
            ("401".into(), raw("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")),
            ("404".into(), raw("HTTP/1.1 404 Where\r\nContent-Length: 0\r\n\r\n")),
            ("redirected".into(), raw("HTTP/1.1 302 There\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")),
            ("cut".into(), raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf")),
            ("no HTTP".into(), raw("SSH-2.0-OpenSSH_9.2\r\n")),
            ("TLS".into(), Trouble::Raw(vec![0x15, 3, 1, 0, 2, 2, 40])),
            ("a hundred megabytes".into(), Trouble::Endless),
        ]);
    }
    all
}

/// The text with this word in place of each of its numbers.
fn with_numbers(told: &[u8], word: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(told);
    let mut out = String::new();
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() && !before.is_ascii_alphanumeric() && !"._-/".contains(before) {
            while letters.next_if(|next| next.is_ascii_digit() || *next == '.').is_some() {}
            out += word;
            before = '0';
        } else {
            out.push(letter);
            before = letter;
        }
    }
    out.into()
}
