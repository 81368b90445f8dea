//! The HTTP client of the checks: timeouts, size limits, certificates, hidden credentials, and dead connections.

use super::machine::{section, spec};
use crate::support::pages::{Page, Pages};
use crate::support::server::{Server, Step, answer};
use crate::support::tls::{authority, file, params, self_signed, signed};
use crate::support::wait_for;
use puypuy::fetch::http::{Answer, Endpoint, Http, Question};
use puypuy::model::error::{Error, Result};
use puypuy::net::names::{self, Lookup};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn endpoint(lines: &[(&str, &str)]) -> Result<Endpoint> {
    Endpoint::read(&section(spec("check_oddeye"), lines), &["url"])
}

fn http(lines: &[(&str, &str)]) -> Http {
    Http::new(endpoint(lines).unwrap())
}

fn within(seconds: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(seconds)
}

/// Requests the page of the address itself.
fn get(lines: &[(&str, &str)]) -> Result<Answer> {
    http(lines).ask(Question::get(""), within(5.0))
}

fn questions(paths: &[String]) -> Vec<Question> {
    paths.iter().map(|path| Question::get(path)).collect()
}

fn problem(lines: &[(&str, &str)]) -> String {
    get(lines).unwrap_err().to_string()
}

#[test]
fn a_page_is_requested_as_configured() {
    let server = Pages::on_port(|_| Page::Body(b"caf\xe9".to_vec()));
    let host = server.address().replace("http://", "");
    let mut http = http(&[("url", &format!("{host}/base/?a=1"))]);
    assert_eq!(http.ask(Question::get(""), within(5.0)).unwrap().text, "caf\u{fffd}");
    let answer = http.ask(Question::get("/page?b=2"), within(5.0)).unwrap();
    assert_eq!(answer.address, format!("http://{host}/base/page"));
    assert_eq!(server.asked(), ["/base/?a=1", "/base/page?a=1&b=2"]);
    let head = &server.heads()[0];
    let agent = concat!("\r\nuser-agent: PuyPuy/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert!(head.contains(agent) && !head.contains("authorization"), "{head}");
}

#[test]
fn paths_under_other_keys_belong_to_the_address() {
    let server = Pages::on_port(|_| Page::body("x"));
    let lines = [("address", &*server.address()), ("stats", "/server-status?auto")];
    let section = section(spec("check_oddeye"), &lines);
    Http::new(Endpoint::read(&section, &["address", "stats"]).unwrap()).ask(Question::get(""), within(5.0)).unwrap();
    assert_eq!(server.asked(), ["/server-status?auto"]);
    let missing = Endpoint::read(&section, &["address", "page"]).err().unwrap().to_string();
    assert_eq!(missing, "conf/system.ini:1 [OddEye] page: missing; write for example page = /status");
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let server = Pages::on_port(|_| Page::Status(500, String::new()));
    let host = server.address().replace("http://", "");
    // user "me", password "s:ecret?"
    let basic = "\r\nauthorization: Basic bWU6czplY3JldD8=\r\n";
    let url = format!("http://me:s%3Aecret%3F@{host}/x?token=s:ecret?");
    for lines in [
        vec![("url", url.as_str())],
        vec![("url", &*server.address()), ("auth", "True"), ("user", "me"), ("pass", "s:ecret?")],
    ] {
        let error = problem(&lines);
        assert!(error.ends_with("HTTP 500") && !error.contains("ecret") && !error.contains("me:"), "{error}");
        assert!(server.heads().last().unwrap().contains(basic), "{:?}", server.heads());
    }
    for url in ["http://me:secret@", "ftp://me:secret@x", "http://me:secret@x:port"] {
        let error = endpoint(&[("url", url)]).err().unwrap().to_string();
        assert!(error.starts_with("conf/system.ini:2 [OddEye] url: ") && !error.contains("secret"), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = problem(&[("url", &format!("http://me:secret@{closed}/?key=secret"))]);
    assert_eq!(error, format!("http://{closed}: cannot connect: connection refused"));
}

#[test]
fn a_status_that_is_no_success_is_an_error_that_names_it() {
    let nothing =
        "HTTP 404; nothing is at this address: check its path, and whether the server has this page switched on";
    for (status, headers, body, words) in [
        (500, vec![], "<html>oops</html>", "HTTP 500"),
        (404, vec![], r#"{"message":"no such page"}"#, "HTTP 404: \"no such page\""),
        (404, vec![], "<html>Not Found</html>", nothing),
        (401, vec![], "", "HTTP 401; check user and password"),
        (
            302,
            vec![("Location", "http://192.0.2.1/login?key=secret")],
            "",
            "HTTP 302: redirected to \"http://192.0.2.1/login\", name the final place",
        ),
    ] {
        let server = Server::start(vec![Step::answer(status, &headers, body)]);
        let error = get(&[("url", &server.url())]).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: {words}", server.url()));
        assert_eq!(error.is_gone(), status == 404);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_page_has_a_time_limit_however_it_arrives() {
    let slow = |page: Page| {
        let server = Pages::on_port(move |_| page.clone());
        let begun = Instant::now();
        let error = http(&[("url", &server.address())]).ask(Question::get(""), within(0.3)).unwrap_err().to_string();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(error, format!("{}: no whole answer within 0.3 s", server.address()));
        begun.elapsed()
    };
    slow(Page::Silence);
    slow(Page::Drip("x".repeat(10_000), Duration::from_millis(5)));

    let server = Pages::on_port(|_| Page::Silence);
    let error = problem(&[("url", &server.address()), ("timeout_seconds", "0.2")]);
    assert!(error.ends_with("no whole answer within 0.2 s"), "{error}");
    let late = http(&[("url", &server.address())]).ask(Question::get(""), Instant::now()).unwrap_err().to_string();
    assert!(late.ends_with("no time was left to ask before the tick was over"), "{late}");
}

#[test]
fn a_page_has_a_size_limit_whatever_its_header_says() {
    let huge =
        |length: &str| [format!("HTTP/1.1 200 OK\r\n{length}\r\n").into_bytes(), vec![b'x'; (32 << 20) + 1]].concat();
    for length in ["", "Content-Length: 33554433\r\n"] {
        let bytes = huge(length);
        let server = Pages::on_port(move |_| Page::Raw(bytes.clone()));
        let error = problem(&[("url", &server.address())]);
        assert_eq!(error, format!("{}: the answer is longer than 32 MiB", server.address()));
    }
    // Many concurrent responses share the limit.
    let server = Pages::on_port(|path| Page::Body(vec![b'x'; if path == "/1" { 600 << 10 } else { 100 }]));
    let paths: Vec<String> = (0..100).map(|number| format!("/{number}")).collect();
    let mut refused = Vec::new();
    http(&[("url", &server.address())]).ask_all(&questions(&paths), within(5.0), |at, answer| {
        if let Err(error) = answer {
            refused.push((at, error.to_string()));
        }
    });
    assert_eq!(refused, [(1, format!("{}/1: the answer is longer than 512 KiB", server.address()))]);
}

#[test]
fn a_truncated_response_is_reported_as_such() {
    let server = Server::start(vec![Step::AnswerAndClose(answer(200, &[("Content-Length", "9")], b"short"))]);
    let error = problem(&[("url", &server.url())]);
    assert!(error.starts_with(&format!("{}: the answer broke off: ", server.url())), "{error}");
    let server = Server::start(vec![Step::Close]);
    let error = problem(&[("url", &server.url())]);
    assert!(error.starts_with(&format!("{}: connection lost before the answer: ", server.url())), "{error}");
    assert_eq!(server.connections(), 2, "retried once, and not more often");
}

#[test]
fn connections_are_kept_and_replaced_when_dead() {
    let server = Server::start(vec![Step::answer(200, &[], "x")]);
    let mut kept = http(&[("url", &server.url())]);
    for _ in 0..3 {
        kept.ask(Question::get(""), within(5.0)).unwrap();
    }
    assert_eq!(server.connections(), 1);
    server.disconnect();
    kept.ask(Question::get(""), within(5.0)).unwrap();
    server.script(vec![Step::Close, Step::answer(200, &[], "x")]);
    kept.ask(Question::get(""), within(5.0)).unwrap();
    assert_eq!(server.connections(), 3);
}

#[test]
fn certificates_are_verified() {
    let folder = TempDir::new().unwrap();
    let (server, pem) = self_signed(params(&["localhost"], "my page"), true);
    let error = problem(&[("url", &server.url())]);
    let why = "unknown issuer: the certificate of \"my page\" is self-signed; trust a private CA or a self-signed certificate \
               with ca_file; only verify: False goes without this check";
    assert_eq!(error, format!("{}: {why}", server.url()));
    assert_eq!(server.requests().len(), 0);
    let trusted = file(&folder, "own.pem", &pem);
    get(&[("url", &server.url()), ("ca_file", trusted.to_str().unwrap())]).unwrap();
    get(&[("url", &server.url()), ("verify", "False")]).unwrap();

    let own = authority();
    let server = signed(&own, params(&["other.example.org"], "x"));
    let path = file(&folder, "ca.pem", &own.pem());
    let error = problem(&[("url", &server.url()), ("ca_file", path.to_str().unwrap())]);
    assert!(error.contains("wrong name in the certificate"), "{error}");
}

#[test]
fn a_changed_certificate_file_is_read_after_a_failure() {
    let (folder, own) = (TempDir::new().unwrap(), authority());
    let server = signed(&own, params(&["localhost"], "x"));
    let path = file(&folder, "ca.pem", &authority().pem());
    let mut http = http(&[("url", &server.url()), ("ca_file", path.to_str().unwrap())]);
    assert!(http.ask(Question::get(""), within(5.0)).unwrap_err().to_string().contains("trust a private CA"));
    file(&folder, "ca.pem", &own.pem());
    http.ask(Question::get(""), within(5.0)).unwrap();
}

#[test]
fn a_server_without_tls_is_reported_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(problem(&[("url", &address)]), format!("{address}: cannot connect: the server does not speak TLS"));
}

#[test]
fn each_of_many_pages_gets_its_own_response() {
    let server = Pages::on_port(|path| match path {
        "/bad" => Page::Status(503, String::new()),
        "/late" => Page::Late(Duration::from_millis(50), Box::new(Page::body("late"))),
        other => Page::body(other),
    });
    let paths = ["/a", "/bad", "/late", "/b"].map(String::from);
    let mut got: Vec<Option<Result<String, Error>>> = (0..4).map(|_| None).collect();
    http(&[("url", &server.address())])
        .ask_all(&questions(&paths), within(5.0), |at, answer| got[at] = Some(answer.map(|answer| answer.text)));
    let got: Vec<_> = got.into_iter().map(|answer| answer.unwrap().map_err(|error| error.to_string())).collect();
    let bad = format!("{}/bad: HTTP 503", server.address());
    assert_eq!(got, [Ok("/a".into()), Err(bad), Ok("late".into()), Ok("/b".into())]);
}

#[test]
fn an_unknown_host_name_is_reported_as_such() {
    let error = problem(&[("url", "http://no-such-host.invalid/x?token=secret")]);
    assert!(error.starts_with("http://no-such-host.invalid/x: cannot connect: host name: "), "{error}");
}

#[test]
fn no_check_waits_for_another() {
    let (silent, lively) = (Pages::on_port(|_| Page::Silence), Pages::on_port(|_| Page::body("x")));
    let lines = [("url", silent.address()), ("timeout_seconds", "60".into())];
    let hanging = thread::spawn(move || {
        let lines = lines.each_ref().map(|(key, value)| (*key, &**value));
        http(&lines).ask(Question::get(""), within(60.0))
    });
    wait_for("the request to the server that does not respond", || !silent.asked().is_empty());
    get(&[("url", &lively.address())]).unwrap();

    // A check that takes a long time for a page.
    let (go_on, may_go_on) = channel::<()>();
    let (taken, is_taken) = channel();
    let address = lively.address();
    let thinking = thread::spawn(move || {
        http(&[("url", &address)]).ask_all(&questions(&["/long".into(), "/more".into()]), within(60.0), |_, answer| {
            answer.unwrap();
            taken.send(()).unwrap();
            let _ = may_go_on.recv();
        });
    });
    is_taken.recv().unwrap();
    get(&[("url", &lively.address())]).unwrap();
    drop(go_on);
    thinking.join().unwrap();

    let address = lively.address();
    let panicking = thread::spawn(move || {
        http(&[("url", &address)])
            .ask_all(&questions(&["/a".into(), "/b".into()]), within(60.0), |_, _| panic!("a bug"));
    });
    panicking.join().unwrap_err();
    get(&[("url", &lively.address())]).unwrap();
    assert!(!hanging.is_finished());
}

#[test]
fn a_finished_exchange_leaves_no_connection() {
    let server = Server::start(vec![Step::answer(200, &[], "x")]);
    let mut kept = http(&[("url", &server.url())]);
    kept.ask(Question::get(""), within(5.0)).unwrap();
    assert_eq!(server.open(), 1);
    drop(kept);
    wait_for("the end of the kept connection", || server.open() == 0);
    server.script(vec![Step::Silence]);
    let mut impatient = http(&[("url", &server.url())]);
    impatient.ask(Question::get(""), within(0.2)).unwrap_err();
    wait_for("the end of the abandoned request", || server.open() == 0);
}

#[test]
fn a_failing_server_costs_the_others_no_connection() {
    let (folder, own, other) = (TempDir::new().unwrap(), authority(), authority());
    let (right, wrong) = (signed(&own, params(&["localhost"], "x")), signed(&other, params(&["localhost"], "y")));
    let trusted = file(&folder, "ca.pem", &own.pem());
    let [mut first, mut second] =
        [&right, &wrong].map(|server| http(&[("url", &server.url()), ("ca_file", trusted.to_str().unwrap())]));
    for _ in 0..3 {
        first.ask(Question::get(""), within(5.0)).unwrap();
        assert!(second.ask(Question::get(""), within(5.0)).unwrap_err().to_string().contains("trust a private CA"));
    }
    file(&folder, "ca.pem", &(own.pem() + &other.pem()));
    for http in [&mut second, &mut first] {
        http.ask(Question::get(""), within(5.0)).unwrap();
    }
    assert_eq!(right.connections(), 1);
}

#[test]
fn a_hanging_name_lookup_delays_no_other() {
    let (asked, held) = (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(true), Condvar::new())));
    let (counted, waits) = (Arc::clone(&asked), Arc::clone(&held));
    let lookup = Lookup::by(move |name| {
        if name == "dead.test" {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(waits.1.wait_while(waits.0.lock().unwrap(), |held| *held).unwrap());
        }
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    });
    let runtime = names::runtime().unwrap();
    runtime.block_on(async {
        let dead: Vec<_> = (0..10).map(|_| tokio::spawn(names::addresses(lookup.clone(), "dead.test"))).collect();
        while asked.load(Ordering::SeqCst) < 2 {
            names::addresses(lookup.clone(), "lively.test").await.unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "no more than two threads hang");
        *held.0.lock().unwrap() = false;
        held.1.notify_all();
        for one in dead {
            one.await.unwrap().unwrap();
        }
    });
    assert_eq!(asked.load(Ordering::SeqCst), 10);
}
