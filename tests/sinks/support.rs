//! Tests of the scripted server on which other tests rely.

use crate::support::server::{Server, Step, answer};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn records_requests_and_repeats_the_last_step() {
    let server = Server::start(vec![Step::answer(400, &[("X-Why", "no")], "bad"), Step::status(204)]);
    let told = ask(server.port(), "POST /write?db=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(told, "HTTP/1.1 400 Scripted\r\nX-Why: no\r\nContent-Length: 3\r\n\r\nbad");
    for _ in 0..2 {
        let told = ask(server.port(), "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(told, "HTTP/1.1 204 Scripted\r\n\r\n");
    }
    let requests = server.wait_for(3, Duration::from_secs(5));
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/write?db=a"));
    assert_eq!((requests[0].text(), requests[0].header("HOST")), ("abc", Some("x")));
    assert_eq!((requests[1].path.as_str(), server.connections()), ("/ping", 3));
}

#[test]
fn goes_down_and_comes_back_on_the_same_port() {
    let mut server = Server::always(204);
    let request = "GET / HTTP/1.1\r\n\r\n";
    assert!(ask(server.port(), request).contains("204"));
    server.down();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.up();
    assert!(ask(server.port(), request).contains("204"));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn misbehaves_on_request() {
    let server = Server::start(vec![
        Step::CloseAtAccept,
        Step::Close,
        Step::AnswerAndClose(answer(200, &[("Content-Length", "9")], b"short")),
        Step::Reset(b"HTTP/1.1 20".to_vec()),
        Step::Early(answer(413, &[], b"")),
        Step::Drip { bytes: answer(204, &[], b""), piece: 7, every: Duration::from_millis(1) },
    ]);
    let told: Vec<String> = (0..6).map(|_| ask(server.port(), "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")).collect();
    assert_eq!((told[0].as_str(), told[1].as_str()), ("", ""));
    assert!(told[2].ends_with("\r\n\r\nshort"), "{told:?}");
    assert!(told[4].starts_with("HTTP/1.1 413"), "{told:?}");
    assert!(told[5].starts_with("HTTP/1.1 204"), "{told:?}");
}
