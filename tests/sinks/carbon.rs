//! Carbon: frames byte by byte, their decoding by two pickle readers, and receivers that fail and stall.

use super::*;
use crate::support::{is_installed, skip};
use proptest::prelude::*;
use puypuy::net::names::Lookup;
use puypuy::sink::carbon::{Carbon, configure};
use serde_pickle::value::Value as Pickle;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

fn sink(address: &str, more: &str) -> Carbon {
    configure(&section(&format!("address = {address}\n{more}"))).unwrap()
}

fn frames(identity: &Identity, points: &[Point]) -> Vec<u8> {
    let encoded = sink("h", "").encode(points, identity);
    assert_eq!((encoded.requests.len(), encoded.refused.len()), (1, 0));
    encoded.requests[0].body.clone()
}

/// The frames of a point with exactly this path.
fn bare(path: &str, time: i64, value: f64) -> Vec<u8> {
    let nobody = Identity { host: "".into(), cluster: "".into(), group: "".into(), location: "".into() };
    let (kind, name) = path.split_once('.').unwrap();
    let point = Point { time, check_type: kind.to_string().into(), ..point(name, Value::Float(value)) };
    frames(&nobody, &[point])
}

/// Decodes frames with the pickle reader of a library: path, time and value.
fn read(mut bytes: &[u8]) -> Vec<(String, i64, f64)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(4);
        let (frame, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        bytes = rest;
        let Pickle::List(items) = serde_pickle::value_from_slice(frame, Default::default()).unwrap() else { panic!() };
        for item in items {
            let Pickle::Tuple(pair) = item else { panic!("{item:?}") };
            let [Pickle::String(path), Pickle::Tuple(inner)] = pair.as_slice() else { panic!("{pair:?}") };
            let [Pickle::I64(time), Pickle::F64(value)] = inner.as_slice() else { panic!("{inner:?}") };
            found.push((path.clone(), *time, *value));
        }
    }
    found
}

/// Decodes the same with python3 as carbon does, which allows no globals. `None` without python3, which is printed
/// once.
fn read_by_python(bytes: &[u8]) -> Option<Vec<(String, i64, f64)>> {
    static HAS_PYTHON: LazyLock<bool> = LazyLock::new(|| {
        let has = is_installed("python3");
        if !has {
            skip("python3 is not installed: pickles are decoded by Rust only");
        }
        has
    });
    if !*HAS_PYTHON {
        return None;
    }
    let program = r#"
import io, json, pickle, struct, sys
class Safe(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError("global " + module + "." + name)
data, found = sys.stdin.buffer.read(), []
while data:
    length, = struct.unpack("!L", data[:4])
    for path, (time, value) in Safe(io.BytesIO(data[4:4 + length]), encoding="utf-8").load():
        assert type(path) is str and type(time) is int and type(value) is float
        found.append([path, time, value.hex()])
    data = data[4 + length:]
print(json.dumps(found))
"#;
    let mut python =
        Command::new("python3").args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(bytes).unwrap();
    let told = python.wait_with_output().unwrap();
    assert!(told.status.success());
    let rows: Vec<(String, i64, String)> = serde_json::from_slice(&told.stdout).unwrap();
    Some(rows.into_iter().map(|(path, time, value)| (path, time, from_hex(&value))).collect())
}

/// Parses `-0x1.8p+3`, the exact notation of Python for floats.
fn from_hex(text: &str) -> f64 {
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (mantissa, exponent) = text.strip_prefix("0x").unwrap().split_once('p').unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).unwrap();
    let exponent = exponent.parse::<i32>().unwrap() - 4 * fraction.len() as i32;
    // In two steps, because 2^1074 does not fit into a float.
    sign * digits as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

fn paths(identity: &Identity, points: Vec<Point>) -> Vec<String> {
    let (points, ..) = normalise(points);
    read(&frames(identity, &points)).into_iter().map(|(path, ..)| path).collect()
}

#[test]
fn frames_are_those_of_the_specification() {
    let wanted: &[u8] = b"\x00\x00\x00\x20\x80\x02\x5d\x28\x28\x58\x03\x00\x00\x00\x61\x2e\x62\x28\
                          \x4a\x00\x2f\x68\x59\x47\x3f\xf8\x00\x00\x00\x00\x00\x00\x74\x74\x65\x2e";
    assert_eq!(bare("a.b", 1_500_000_000, 1.5), wanted);
    let late: &[u8] = b"\x00\x00\x00\x25\x80\x02\x5d\x28\x28\x58\x03\x00\x00\x00\x6e\x2e\x79\x28\
                        \x8a\x08\x00\x00\x00\x80\x00\x00\x00\x00\
                        \x47\x3f\xf0\x00\x00\x00\x00\x00\x00\x74\x74\x65\x2e";
    assert_eq!(bare("n.y", 2_147_483_648, 1.0), late);
}

#[test]
fn the_example_of_the_specification() {
    let point = tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]);
    let wanted = ("prod.web.db01_example_org.eu.system.0.sys_load_1".to_string(), 1_500_000_000, 0.42);
    assert_eq!(read(&frames(&identity(), &[point])), [wanted]);
}

#[test]
fn hostile_names_and_tags() {
    for (name, wanted) in [
        ("cpu load,avg=1", "cpu_load_avg=1"),
        ("#temp", "#temp"),
        ("1st", "1st"),
        ("a.b..c.", "a.b.c"),
        ("x(y){z}'\"|[1]*?;/", "x_y__z_____1_____"),
    ] {
        let told = paths(&hostile(), vec![point(name, Value::Float(0.5))]);
        assert_eq!(told, [format!("prod_eu.web=1.db01_example_org.system.{wanted}")], "{name:?}");
    }
    for (value, wanted) in [
        (r"C:\", "C:_."),
        (r"C:\temp", "C:_temp."),
        ("a b,c=d", "a_b_c=d."),
        (r"a\,b", "a__b."),
        (r#"he said "hi""#, "he_said__hi_."),
        ("x\ny", "x_y."),
        ("", ""),
        ("  ", ""),
        ("привет", "______."),
        ("10.0.0.1", "10.0.0.1."),
        ("a;rm=b", "a_rm=b."),
    ] {
        let told = paths(&hostile(), vec![tagged("m", Value::Int(1), &[("x", value)])]);
        assert_eq!(told, [format!("prod_eu.web=1.db01_example_org.system.{wanted}m")], "{value:?}");
    }
    let mut elsewhere = tagged("m", Value::Int(1), &[("host", "other"), ("b", "2"), ("a", "1"), ("d", "4")]);
    elsewhere.host = Some("not.this".into());
    assert_eq!(paths(&hostile(), vec![elsewhere]), ["prod_eu.web=1.db01_example_org.system.other.2.1.4.m"]);
    let mut nameless = point("m", Value::Int(1));
    nameless.check_type = "".into();
    assert_eq!(paths(&identity(), vec![nameless]), ["prod.web.db01_example_org.eu.untyped.m"]);
}

#[test]
fn a_path_level_is_no_longer_than_a_file_name() {
    let told = paths(&identity(), vec![tagged(&"n".repeat(300), Value::Int(1), &[("x", &"é".repeat(300))])]);
    assert_eq!(told, [format!("prod.web.db01_example_org.eu.system.{}.{}", "_".repeat(240), "n".repeat(240))]);
}

#[test]
fn only_points_that_cannot_be_encoded_are_refused() {
    let long = "x".repeat(70_000);
    let points = [
        point("a", Value::Int(1)),
        point("b", Value::Float(f64::NAN)),
        point(&long, Value::Int(1)),
        point("...", Value::Int(1)),
        point("c", Value::Float(f64::INFINITY)),
        point("d", Value::Int(i64::MAX)),
    ];
    let encoded = sink("h", "").encode(&points, &identity());
    assert_eq!(encoded.refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let read = read(&encoded.requests[0].body);
    assert_eq!(read.iter().map(|(path, ..)| path.rsplit('.').next().unwrap()).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(read[1].2, i64::MAX as f64);
    assert!(sink("h", "").encode(&points[1..3], &identity()).requests.is_empty());
}

#[test]
fn frames_are_bounded_and_all_go_over_one_connection() {
    let points: Vec<Point> = (0..1_201).map(|n| point(&format!("m{n}"), Value::Int(n))).collect();
    for (more, count) in [("", 3), ("batch_bytes = 1000", 0), ("batch_points = 1201", 1), ("batch_bytes = 1", 1201)] {
        let encoded = sink("h", more).encode(&points, &identity());
        let [request] = encoded.requests.as_slice() else { panic!() };
        let mut bytes = request.body.as_slice();
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            lengths.push(length);
            bytes = &bytes[4 + length..];
        }
        assert!(lengths.len() == count || count == 0, "{more}: {}", lengths.len());
        if more == "batch_bytes = 1000" {
            let (last, full) = lengths.split_last().unwrap();
            assert!(*last <= 996 && full.iter().all(|length| (800..=996).contains(length)), "{lengths:?}");
        }
        let values: Vec<f64> = read(&request.body).into_iter().map(|(_, _, value)| value).collect();
        assert_eq!(values, (0..1_201).map(f64::from).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn two_readers_decode_the_original_points(
        rows in prop::collection::vec(("\\PC{1,20}", any::<f64>(), -3_000_000_000..5_000_000_000i64, "[ -~]{0,9}"), 1..30)
    ) {
        let points = rows.iter().map(|(name, value, time, tag)| {
            let value = if value.is_finite() { *value } else { 0.0 };
            Point { time: *time, ..tagged(name, Value::Float(value), &[("k", tag)]) }
        });
        let (points, ..) = normalise(points.collect());
        let encoded = sink("h", "batch_points = 7").encode(&points, &identity());
        let lost: Vec<usize> = encoded.refused.iter().map(|refused| refused.index).collect();
        prop_assert!(lost.iter().all(|index| points[*index].name.trim_matches('.').is_empty()));
        for request in &encoded.requests {
            let found = read(&request.body);
            let wanted = points.iter().enumerate().filter(|(index, _)| !lost.contains(index)).map(|(_, point)| point);
            for ((path, time, value), point) in found.iter().zip(wanted.clone()) {
                prop_assert_eq!((*time, *value), (point.time, point.value.as_f64()));
                let is_clean = |node: &str| !node.is_empty() && node.len() <= 240 && !node.contains([' ', '/', '\\', '*']);
                prop_assert!(path.is_ascii() && path.split('.').all(is_clean), "{}", path);
                prop_assert!(path.starts_with("prod.web.db01_example_org.eu.system."));
            }
            prop_assert_eq!(found.len(), wanted.count());
            if let Some(by_python) = read_by_python(&request.body) {
                prop_assert_eq!(by_python, found);
            }
        }
    }
}

/// A receiver for one connection.
fn receiver(work: impl FnOnce(TcpStream) -> Vec<u8> + Send + 'static) -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, thread::spawn(move || work(listener.accept().unwrap().0)))
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The reason of the retry after the receiver got a part.
fn why(verdict: Verdict) -> String {
    let Verdict::Retry { why, after: None, is_suspect: true } = verdict else { panic!("{verdict:?}") };
    why
}

/// The reason of the retry when the failure says nothing about the points.
fn why_not_begun(verdict: Verdict) -> String {
    let Verdict::Retry { why, after: None, is_suspect: false } = verdict else { panic!("{verdict:?}") };
    why
}

#[test]
fn a_receiver_that_reads_to_the_end_counts_as_delivered() {
    let (address, received) = receiver(read_all);
    let points = [point("m", Value::Int(1)), point("n", Value::Float(2.5))];
    let mut sink = sink(&format!("http://{address}/"), "auth: false\nuser = x");
    assert_eq!(send(&mut sink, &points), Verdict::Delivered);
    assert_eq!(received.join().unwrap(), frames(&identity(), &points));
    assert!(sink.notes()[0].contains("never says that it stored anything"));
    assert!(sink.notes().is_empty() && !sink.is_remote());
}

#[test]
fn a_receiver_that_is_away_or_closes_counts_as_failed() {
    // Closed with unread bytes, or before they arrived: a reset, or an end that looks like an acknowledgement.
    for round in 0..100 {
        let (address, listener) = receiver(move |_| {
            thread::sleep(Duration::from_micros(round * 5));
            Vec::new()
        });
        let told = why(send(&mut sink(&address, ""), &[point(&"m".repeat(200), Value::Int(1))]));
        assert!(told.starts_with(&format!("{address}: ")), "{told}");
        listener.join().unwrap();
    }
    let (address, listener) = receiver(|_| Vec::new());
    drop(TcpStream::connect(&address));
    listener.join().unwrap();
    let told = why_not_begun(send(&mut sink(&address, ""), &[point("m", Value::Int(1))]));
    assert_eq!(told, format!("{address}: cannot connect: connection refused"));
}

#[test]
fn a_reset_after_everything_was_written_is_no_delivery() {
    let (address, done) = receiver(|mut stream| {
        let mut some = [0; 10];
        stream.read_exact(&mut some).unwrap();
        drop(stream); // Unread bytes: the kernel sends a reset.
        some.to_vec()
    });
    why(send(&mut sink(&address, ""), &[point(&"m".repeat(200), Value::Int(1))]));
    done.join().unwrap();
}

#[test]
fn a_receiver_that_stops_reading_times_out() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (address, done) = receiver(move |stream| {
        let _ = wait.recv();
        drop(stream);
        Vec::new()
    });
    let mut sink = sink(&address, "timeout = 1");
    let start = Instant::now();
    let told = why(send(&mut sink, &[point("m", Value::Int(1))]));
    assert!(told.contains("not read to the end: no answer within "), "{told}");
    assert!(start.elapsed() < Duration::from_secs(3));
    let _ = release.send(());
    done.join().unwrap();
}

#[test]
fn an_exchange_ends_at_its_deadline() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (address, done) = receiver(move |stream| {
        let _ = wait.recv();
        drop(stream);
        Vec::new()
    });
    let mut sink = sink(&address, "");
    let points = [point("m", Value::Int(1))];
    let request = only_request(&sink, &points);
    let (identity, start) = (identity(), Instant::now());
    let attempt = Attempt { identity: &identity, wall: 0, until: start + Duration::from_millis(300) };
    let told = why_not_begun(sink.send(&request, &points, &attempt));
    assert!(told.contains("no answer within") && start.elapsed() < Duration::from_secs(3), "{told}");
    let _ = release.send(());
    done.join().unwrap();
}

#[test]
fn without_confirmation_the_kernel_is_enough() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (address, done) = receiver(move |stream| {
        let _ = wait.recv();
        read_all(stream)
    });
    let mut sink = sink(&address, "carbon_confirm = False");
    assert_eq!(send(&mut sink, &[point("m", Value::Int(1))]), Verdict::Delivered);
    assert!(sink.notes().iter().any(|note| note.contains("carbon_confirm is off")));
    release.send(()).unwrap();
    assert!(!done.join().unwrap().is_empty());
}

#[test]
fn every_address_of_a_name_is_tried_and_the_name_is_resolved_each_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || {
        for _ in 0..4 {
            let (stream, _) = listener.accept().unwrap();
            let alive = stream.try_clone().unwrap();
            read_all(stream);
            let _ = alive.shutdown(Shutdown::Both);
        }
    });
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = asked.clone();
    let mut sink = sink(&format!("carbon.example:{port}"), "");
    // Nobody listens at the first address: it refuses at once.
    sink.set_lookup(Lookup::by(move |host| {
        assert_eq!(host, "carbon.example");
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(vec!["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()])
    }));
    for _ in 0..4 {
        assert_eq!(send(&mut sink, &[point("m", Value::Int(1))]), Verdict::Delivered);
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 4);
    served.join().unwrap();
    assert!(sink.is_remote());
}

#[test]
fn addresses_in_every_notation() {
    for good in ["h", "h:2004", "tcp://h:2004", "http://h:2004/", "[::1]:2004", "::1", "127.0.0.1"] {
        configure(&section(&format!("address = {good}"))).map(|_| ()).unwrap();
    }
    for bad in ["h:", "h:0", "h:99999", "h:2004x", "[::1", "https://h:2004", ":2004", "a b:1", "h/x"] {
        let error = configure(&section(&format!("address = {bad}"))).err().unwrap().to_string();
        assert!(error.ends_with("expected host:port, such as server:2004"), "{bad}: {error}");
    }
}

#[test]
fn a_server_that_sends_bytes_is_no_carbon_receiver() {
    const WEB: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\n\r\n";
    let long = "m".repeat(200);
    let few = [point(&long, Value::Int(1))];
    let many: Vec<Point> = (0..50_000).map(|n| point(&format!("{long}{n}"), Value::Int(n))).collect();
    let after_all = |mut stream: TcpStream| {
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(WEB).unwrap();
        Vec::new()
    };
    let and_resets = |mut stream: TcpStream| {
        stream.read_exact(&mut [0; 10]).unwrap();
        stream.write_all(WEB).unwrap();
        Vec::new()
    };
    let and_stays = |mut stream: TcpStream| {
        stream.write_all(WEB).unwrap();
        thread::sleep(Duration::from_secs(2));
        Vec::new()
    };
    let one_byte = |mut stream: TcpStream| {
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(&[7]).unwrap();
        Vec::new()
    };
    let quote = r#"("HTTP/1.1 400 Bad Request  Server: nginx/")"#;
    for (work, points, quote) in [
        (after_all as fn(TcpStream) -> Vec<u8>, &few[..], quote),
        (and_resets, &few, quote),
        (and_resets, &many, quote),
        (and_stays, &many, quote),
        (one_byte, &few, r#"("")"#),
    ] {
        let (address, done) = receiver(work);
        let start = Instant::now();
        let Verdict::Pause { why } = send(&mut sink(&address, ""), points) else { panic!("{quote}") };
        let remedy = "check `address` in [TSDB], the usual port is 2004";
        assert_eq!(why, format!("{address}: something else than a Carbon pickle receiver answered {quote}: {remedy}"));
        assert!(start.elapsed() < Duration::from_secs(8));
        done.join().unwrap();
    }
}

#[test]
fn colliding_paths_are_kept_apart_and_logged_once() {
    let of = |name: &str, tags: &[(&str, &str)]| tagged(name, Value::Int(1), tags);
    let batch = [
        of("m", &[("a", "1")]),
        of("m", &[("b", "1")]),
        of("n o", &[]),
        of("n/o", &[]),
        of("m", &[("a", "é")]),
        of("m", &[("a", "ü")]),
    ];
    let mut sink = sink("h", "batch_points = 2");
    let told = |sink: &Carbon, points: &[Point]| -> Vec<String> {
        let body = sink.encode(points, &identity()).requests.remove(0).body;
        let paths = read(&body).into_iter().map(|(path, ..)| path);
        paths.map(|path| path.trim_start_matches("prod.web.db01_example_org.eu.system.").into()).collect()
    };
    let wanted = ["1.m", "1.m_17d72e25", "n_o", "n_o_8de412ba", "_.m", "_.m_3ab91823"];
    assert_eq!(told(&sink, &batch), wanted);
    // The same at every tick, whichever of the points are in it and in whatever order.
    assert_eq!(told(&sink, &batch[1..2]), wanted[1..2]);
    let reversed: Vec<Point> = batch.iter().rev().cloned().collect();
    assert_eq!(told(&sink, &reversed).iter().rev().collect::<Vec<_>>(), wanted.iter().collect::<Vec<_>>());
    let later = Point { time: 1_500_000_010, ..batch[1].clone() };
    assert_eq!(told(&sink, &[later]), wanted[1..2]);
    let notes: Vec<String> = sink.notes().into_iter().filter(|note| note.contains("both become")).collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    let (a, b) = (r#"m [("a", "1")] of type "system""#, r#"m [("b", "1")] of type "system""#);
    let path = "prod.web.db01_example_org.eu.system.1.m";
    assert_eq!(notes[0], format!("{a} and {b} both become {path}: the second is {path}_{}", &wanted[1][4..]));
}
