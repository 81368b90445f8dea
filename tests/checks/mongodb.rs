//! check_mongodb with servers that refuse, have no accounts, close the connection, or are not MongoDB.

use super::machine::{Measurement, Worker, spec};
use crate::support::mongo_server::{bson, message, serve};
use puypuy::model::parse::bson::Document;
use puypuy::model::roots::Roots;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

type Serving = dyn Fn(&mut TcpStream) + Send + Sync;

/// Handles each connection with this function, and keeps the connections open.
struct Server {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    fn start(serving: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving: Arc<Serving> = Arc::new(serving);
        let open = Arc::new(Mutex::new(Vec::new()));
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::clone(&open);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let serving = Arc::clone(&serving);
                thread::spawn(move || {
                    serving(&mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Server { port, open }
    }

    fn of(reply: impl Fn(&str) -> Value + Send + Sync + 'static) -> Server {
        Server::start(move |stream| serve(stream, |to, bytes| to.write_all(bytes).is_ok(), |name| bson(&reply(name))))
    }

    fn connections(&self) -> usize {
        self.open.lock().unwrap().len()
    }

    fn check(&self, more: &[(&str, &str)]) -> Worker {
        let port = self.port.to_string();
        let lines = [("host", "127.0.0.1"), ("port", &*port), ("user", "Asterix"), ("pass", "Zaubertrank")];
        Worker::new(spec("check_mongodb"), &[&lines[..], more, &[("timeout_seconds", "0.4")]].concat())
    }
}

fn tick(worker: &mut Worker) -> Measurement {
    let told = worker.tick(&Roots::default());
    for fault in &told.faults {
        assert!(!fault.contains("Asterix") && !fault.contains("Zaubertrank"), "{fault}");
    }
    told
}

fn healthy(_: &str) -> Value {
    json!({ "uptime": 10.0, "connections": { "current": 3 }, "ok": 1.0 })
}

#[test]
fn one_connection_serves_all_ticks_and_is_reopened_at_once() {
    let server = Server::of(healthy);
    let mut worker = server.check(&[]);
    for _ in 0..5 {
        assert_eq!(tick(&mut worker).number("mongo_connections_current", ""), Some(3.0));
    }
    assert_eq!(server.connections(), 1);
    server.open.lock().unwrap()[0].shutdown(Shutdown::Both).unwrap();
    assert_eq!(tick(&mut worker).number("mongo_connections_current", ""), Some(3.0));
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_refusal_is_reported_once() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let server = Server::of(move |_| {
        *counted.lock().unwrap() += 1;
        json!({ "ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": "command serverStatus requires authentication" })
    });
    let mut worker = server.check(&[]);
    for _ in 0..3 {
        let told = tick(&mut worker);
        assert!(
            told.faults[0].starts_with("absent: ") && told.faults[0].contains("clusterMonitor"),
            "{:?}",
            told.faults
        );
    }
    assert_eq!(*asked.lock().unwrap(), 1);
}

#[test]
fn an_arbiter_is_reported_as_such_and_not_queried_again() {
    let server = Server::start(|stream| {
        let mut asked = [0; 4096];
        while matches!(stream.read(&mut asked), Ok(16..)) {
            let answer = json!({ "arbiterOnly": true, "setName": "rs0", "ok": 1.0 });
            let number = [asked[4], asked[5], asked[6], asked[7]];
            stream.write_all(&message(number, &bson(&answer))).unwrap();
        }
    });
    let mut worker = server.check(&[("auth", "True")]);
    for _ in 0..3 {
        let told = tick(&mut worker);
        assert!(told.faults[0].starts_with("absent: ") && told.faults[0].contains("an arbiter"), "{:?}", told.faults);
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_login_that_is_refused_names_no_account() {
    let server = Server::of(|_| json!({ "ok": 0.0, "code": 18, "errmsg": "Authentication failed for Asterix." }));
    let told = tick(&mut server.check(&[("auth", "True")]));
    assert!(told.faults[0].contains("error 18, the login was refused"), "{:?}", told.faults);
    let told = tick(&mut Server::of(|_| json!({ "payload": "x", "ok": 1.0 })).check(&[("auth", "True")]));
    assert!(told.faults[0].contains("the login makes no sense"), "{:?}", told.faults);
}

/// The server's side of a SCRAM login for Asterix, whose account has this password; returns its last response.
fn logging_in(stream: &TcpStream, is_sha_256: bool, pass: &str, is_liar: bool) -> Option<()> {
    use base64::prelude::{BASE64_STANDARD as BASE64, Engine};
    use ring::{digest, hmac, pbkdf2};
    let asked = || {
        let mut bytes = [0; 4096];
        let count = (&*stream).read(&mut bytes).ok().filter(|count| *count > 21)?;
        Some((Document::read(&bytes[21..count]).unwrap(), [bytes[4], bytes[5], bytes[6], bytes[7]]))
    };
    let answer = |to: [u8; 4], payload: &str, is_done: bool| {
        // The payload as binary: written as a text of the same length, with its type changed.
        let head = json!({ "conversationId": 7, "done": is_done, "ok": 1.0 });
        let mut bytes = bson(&head);
        bytes.pop();
        bytes.extend([&[5][..], b"payload\0", &u32::try_from(payload.len()).unwrap().to_le_bytes(), &[0]].concat());
        bytes.extend([payload.as_bytes(), &[0]].concat());
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        bytes[..4].copy_from_slice(&length);
        (&*stream).write_all(&message(to, &bytes)).ok()
    };
    let (_, number) = asked()?;
    let mechanisms = json!(["SCRAM-SHA-1", "SCRAM-SHA-256"]);
    let hello = bson(&json!({ "saslSupportedMechs": mechanisms, "ok": 1.0 }));
    (&*stream).write_all(&message(number, &hello)).ok()?;
    let (start, number) = asked()?;
    assert_eq!(start.text("mechanism"), Some(if is_sha_256 { "SCRAM-SHA-256" } else { "SCRAM-SHA-1" }));
    let text = |document: &Document| String::from_utf8(document.bytes("payload").unwrap().to_vec()).unwrap();
    let first = text(&start).strip_prefix("n,,n=Asterix,r=")?.to_string();
    let said = format!("r={first}more,s={},i=4096", BASE64.encode(b"salt of the sea!"));
    answer(number, &said, false)?;
    let (last, number) = asked()?;
    let last = text(&last);
    let (end, proof) = last.split_once(",p=")?;
    let all = format!("n=Asterix,r={first},{said},{end}");
    let (kind, hash, derived) = match is_sha_256 {
        true => (hmac::HMAC_SHA256, &digest::SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
        false => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA1_FOR_LEGACY_USE_ONLY, pbkdf2::PBKDF2_HMAC_SHA1),
    };
    let mut salted = vec![0; hash.output_len()];
    pbkdf2::derive(derived, 4096.try_into().unwrap(), b"salt of the sea!", pass.as_bytes(), &mut salted);
    let signed = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(kind, key), text).as_ref().to_vec();
    let key = signed(&salted, b"Client Key");
    let signature = signed(digest::digest(hash, &key).as_ref(), all.as_bytes());
    let wanted: Vec<u8> = key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    assert_eq!(BASE64.decode(proof).unwrap(), wanted, "the proof");
    let own = if is_liar { b"no key".to_vec() } else { signed(&salted, b"Server Key") };
    answer(number, &format!("v={}", BASE64.encode(signed(&own, all.as_bytes()))), false)?;
    let (_, number) = asked()?;
    answer(number, "", true)?;
    let (_, number) = asked()?;
    (&*stream).write_all(&message(number, &bson(&healthy("")))).ok()
}

#[test]
fn both_kinds_of_login_verify_the_password_and_the_server() {
    let md5: String = <md5::Md5 as md5::Digest>::digest("Asterix:mongo:Zaubertrank")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (mechanism, is_sha_256, pass) in
        [("SCRAM-SHA-1", false, md5), ("SCRAM-SHA-256", true, "Zaubertrank".into()), ("", true, "Zaubertrank".into())]
    {
        for is_liar in [false, true] {
            let pass = pass.clone();
            let server = Server::start(move |stream| {
                logging_in(stream, is_sha_256, &pass, is_liar);
            });
            let told =
                tick(&mut server.check(&[("auth", "True"), ("auth_mechanism", mechanism), ("timeout_seconds", "9")]));
            let points = told.number("mongo_connections_current", "");
            assert_eq!(points, (!is_liar).then_some(3.0), "{mechanism}: {:?}", told.faults);
            assert!(!is_liar || told.faults[0].contains("does not know the password"), "{:?}", told.faults);
        }
    }
}

#[test]
fn invalid_messages_give_an_error() {
    let good = message([1, 0, 0, 0], &bson(&json!({ "ok": 1.0 })));
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec()),
        ("half", good[..20].to_vec()),
        ("two gigabytes", changed(3, 0x7f)),
        ("shorter than a head", changed(0, 3)),
        ("another operation", changed(12, 1)),
        ("an answer to another", changed(8, 77)),
        ("another kind of part", changed(20, 1)),
        ("a document longer than it is", changed(21, 200)),
        ("a document of no length", changed(21, 0)),
    ] {
        let server = Server::start(move |stream| {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(&bytes);
        });
        let begun = Instant::now();
        let told = tick(&mut server.check(&[]));
        assert!(told.points.is_empty() && told.faults[0].starts_with("error: "), "{what}: {:?}", told.faults);
        assert!(begun.elapsed() < Duration::from_secs(3), "{what}");
    }
}

#[test]
fn valid_documents_are_read_and_invalid_ones_are_not() {
    let document = json!({ "a": { "b": [1, 5_000_000_000i64, 0.5, "x", true, null] }, "c": -1 });
    let bytes = bson(&document);
    let read = Document::read(&bytes).unwrap();
    assert_eq!(["a.b.0", "a.b.1", "a.b.2", "c"].map(|path| read.number(path)), [1.0, 5e9, 0.5, -1.0].map(Some));
    assert_eq!((read.text("a.b.3"), read.is("a.b.4"), read.get("a.b.5")), (Some("x"), true, None));
    for length in 0..bytes.len() {
        assert!(Document::read(&bytes[..length]).is_err(), "{length} bytes");
    }
    for at in 0..bytes.len() {
        for byte in [0, 1, 2, 3, 5, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            let _ = Document::read(&bytes);
        }
    }
    let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(Document::read(&bson(&deep)).is_err());
}
