//! No script output makes a line parser panic, and every parsed result is valid.

#![no_main]

use libfuzzer_sys::fuzz_target;
use puypuy::check::{Fault, Out};
use puypuy::model::parse::nagios;
use puypuy::scripts::plugins;
use puypuy::model::point::Tick;
use puypuy::scripts::reader::{Format, Reader};
use std::time::{Duration, Instant};

const NOW: i64 = 1_800_000_000;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let at = Instant::now();
    let period = Duration::from_secs(20);
    let tick = Tick { wall: NOW, at, deadline: at + period, period };
    let formats = [0, 2].map(|code| Format::recognise(&text, Some(code)).unwrap_or(Format::Lines));
    for format in formats.into_iter().chain([Format::Lines, Format::Prometheus, Format::LineProtocol]) {
        let (mut reader, mut out) = (Reader::default(), Out::new("script", 100, tick));
        for _ in 0..2 {
            reader.read(format, &text, NOW, &mut out);
            check(out.finish());
            out.begin(tick);
        }
    }
    let mut out = Out::new("script", 100, tick);
    plugins::tell("check_x", &text, 1, true, &mut out);
    check(out.finish());
    assert!(nagios::parse(&text).perf.iter().all(|perf| perf.value.is_finite() && !perf.label.is_empty()));
});

/// What must hold for every point.
fn check((batch, faults): (puypuy::model::point::Batch, Vec<Fault>)) {
    for point in &batch.points {
        assert!(point.value.as_f64().is_finite() && !point.name.is_empty(), "{point:?}");
        assert!(point.time > 0 && point.time <= NOW + 3600, "{point:?}");
    }
    // Quoted text stays on one line of the log.
    assert!(faults.iter().all(|fault| !fault.to_string().contains(['\n', '\r'])), "{faults:?}");
}
