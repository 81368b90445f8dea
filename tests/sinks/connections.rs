//! HTTP connections: reuse, replacement, timeouts, name resolution, proxies; and no secret in any message.

use super::*;
use crate::support::free_port;
use crate::support::server::{Server, Step, answer};
use puypuy::net::names::Lookup;
use puypuy::net::proxy::Proxying;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn one() -> Vec<Point> {
    vec![point("m", Value::Int(1))]
}

/// A body that is large enough to be compressed.
fn many() -> Vec<Point> {
    (0..100).map(|number| point(&format!("name{number}"), Value::Int(number))).collect()
}

fn retry_text(verdict: &Verdict) -> &str {
    let Verdict::Retry { why, after: None, .. } = verdict else { panic!("{verdict:?}") };
    why
}

#[test]
fn one_connection_is_kept_after_any_response() {
    let server = Server::start(vec![
        Step::status(204),
        Step::answer(400, &[], r#"{"error":"partial write: points beyond retention policy dropped=1"}"#),
        Step::answer(503, &[], "busy"),
        Step::Answer(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()),
        Step::status(204),
    ]);
    let mut sink = sink(&server.url(), "");
    for _ in 0..30 {
        send(&mut sink, &one());
    }
    assert_eq!((server.requests().len(), server.connections()), (30, 1));
}

#[test]
fn a_response_that_is_too_long_is_not_read_to_its_end() {
    let page = "x".repeat(100_000);
    let server = Server::start(vec![Step::answer(500, &[], &page), Step::status(204)]);
    let mut sink = sink(&server.url(), "");
    let told = send(&mut sink, &one());
    assert!(matches!(&told, Verdict::Retry { why, .. } if why.len() < 200), "{told:?}");
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    assert!(server.connections() <= 2);
}

#[test]
fn a_kept_connection_that_died_is_replaced_at_once() {
    let server = Server::always(204);
    let mut sink = sink(&server.url(), "");
    for round in 0..5 {
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered, "{round}");
        server.disconnect();
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 5));
}

#[test]
fn a_kept_connection_that_dies_with_the_request_is_repeated_once() {
    for death in [Step::Close, Step::Reset(Vec::new())] {
        let server = Server::start(vec![Step::status(204), death.clone(), Step::status(204)]);
        let mut sink = sink(&server.url(), "");
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered, "{death:?}");
        assert_eq!((server.requests().len(), server.connections()), (3, 2));

        // Not endlessly, and not on a new connection.
        server.script(vec![death.clone()]);
        assert!(retry_text(&send(&mut sink, &one())).contains("connection lost before the answer"));
        assert_eq!(server.requests().len(), 5);
        assert!(retry_text(&send(&mut sink, &one())).contains("connection lost before the answer"));
        assert_eq!(server.requests().len(), 6);
    }
}

#[test]
fn a_server_that_closes_early_is_tried_later() {
    let cut = answer(204, &[], b"")[..20].to_vec();
    for step in [Step::CloseAtAccept, Step::Close, Step::Reset(cut.clone()), Step::AnswerAndClose(cut)] {
        let server = Server::start(vec![step.clone(), Step::status(204)]);
        let mut sink = sink(&server.url(), "");
        let told = send(&mut sink, &one());
        assert!(retry_text(&told).starts_with(&server.url()), "{step:?}: {told:?}");
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    }
}

#[test]
fn a_truncated_response_counts_by_its_status_if_that_suffices() {
    let short = |status| Step::AnswerAndClose(answer(status, &[("Content-Length", "99")], b"{\"error\""));
    for (status, wanted) in
        [(400, "retry"), (401, "pause"), (403, "pause"), (404, "pause"), (413, "retry"), (503, "retry")]
    {
        let server = Server::start(vec![short(status)]);
        let told = match send(&mut sink(&server.url(), ""), &one()) {
            Verdict::Retry { .. } => "retry",
            Verdict::Pause { .. } => "pause",
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(told, wanted, "{status}");
    }
}

#[test]
fn a_response_before_the_request_was_read_is_understood() {
    let server = Server::start(vec![Step::Early(answer(413, &[("Connection", "close")], b""))]);
    let points: Vec<Point> = (0..5_000).map(|number| point(&format!("name{number}"), Value::Int(number))).collect();
    let told = send(&mut sink(&server.url(), ""), &points);
    assert!(matches!(told, Verdict::Split { status: 413, .. }), "{told:?}");
}

#[test]
fn a_compressed_response_is_read() {
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    io::Write::write_all(&mut zipped, br#"{"error":"database is required"}"#).unwrap();
    let server = Server::start(vec![Step::answer(400, &[("Content-Encoding", "gzip")], zipped.finish().unwrap())]);
    let told = send(&mut sink(&server.url(), ""), &one());
    assert!(matches!(&told, Verdict::Pause { why } if why.contains("database is required")), "{told:?}");
}

#[test]
fn a_slow_response_is_awaited_and_silence_is_not() {
    let bytes = answer(204, &[("X-Filler", "slow")], b"");
    let server = Server::start(vec![
        Step::Drip { bytes, piece: 20, every: Duration::from_millis(100) },
        Step::Silence,
        Step::status(204),
    ]);
    let mut sink = sink(&server.url(), "timeout = 1\nconnect_timeout = 1");
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    let start = Instant::now();
    let told = send(&mut sink, &one());
    assert!(retry_text(&told).ends_with("no answer within 1 s"), "{told:?}");
    assert!(matches!(told, Verdict::Retry { is_suspect: true, .. }), "{told:?}");
    assert!((1..4).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    assert_eq!((server.requests().len(), server.connections()), (3, 2));
}

#[test]
fn our_own_deadline_says_nothing_about_the_server() {
    let server = Server::start(vec![Step::Silence]);
    let mut sink = sink(&server.url(), "");
    let (points, start) = (one(), Instant::now());
    let request = only_request(&sink, &points);
    let attempt = Attempt { identity: &identity(), wall: 0, until: start + Duration::from_millis(300) };
    let told = sink.send(&request, &points, &attempt);
    assert!(matches!(told, Verdict::Retry { is_suspect: false, .. }), "{told:?}");
    assert!(retry_text(&told).ends_with("gave up waiting for the answer"), "{told:?}");
    assert!((300..1_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let bytes = answer(400, &[("Content-Length", "99")], b"{");
    server.script(vec![Step::Drip { bytes, piece: 400, every: Duration::ZERO }]);
    let attempt = Attempt { until: Instant::now() + Duration::from_millis(300), ..attempt };
    let told = sink.send(&request, &points, &attempt);
    assert!(matches!(told, Verdict::Retry { is_suspect: false, .. }), "{told:?}");
}

#[test]
fn a_server_that_is_down_and_comes_back() {
    let mut server = Server::always(204);
    let mut sink = sink(&server.url(), "");
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    server.down();
    let told = send(&mut sink, &one());
    assert_eq!(retry_text(&told), format!("{}: cannot connect: connection refused", server.url()));
    server.up();
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
}

type Asked = Arc<Mutex<Vec<String>>>;

/// A sink for `influx.test` with this function as its resolver.
fn resolving(port: u16, lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> (InfluxDb, Asked) {
    let asked = Asked::default();
    let note = asked.clone();
    let mut sink = sink(&format!("http://influx.test:{port}"), "connect_timeout = 2\nproxy = none");
    sink.set_lookup(Lookup::by(move |name| {
        note.lock().unwrap().push(name.into());
        lookup(name)
    }));
    (sink, asked)
}

fn addresses(text: &[&str]) -> io::Result<Vec<IpAddr>> {
    Ok(text.iter().map(|address| address.parse().unwrap()).collect())
}

#[test]
fn one_of_two_addresses_may_be_dead() {
    let server = Server::always(204);
    // Nothing listens on the second address; the order of the addresses is random.
    for _ in 0..8 {
        let (mut sink, _) = resolving(server.port(), |_| addresses(&["127.0.0.1", "127.0.0.2", "::1"]));
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    }
}

#[test]
fn the_first_address_is_chosen_at_random() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let second = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let called = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    for (index, listener) in [first, second].into_iter().enumerate() {
        let called = called.clone();
        // Closes every connection.
        std::thread::spawn(move || {
            listener.incoming().for_each(|_| {
                called[index].fetch_add(1, Ordering::SeqCst);
            })
        });
    }
    for _ in 0..40 {
        let (mut sink, _) = resolving(port, |_| addresses(&["127.0.0.1", "127.0.0.2"]));
        retry_text(&send(&mut sink, &one()));
    }
    let called: Vec<usize> = called.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    assert!(called.iter().all(|count| *count > 0) && called.iter().sum::<usize>() == 40, "{called:?}");
}

#[test]
fn names_are_resolved_at_each_new_connection_and_only_then() {
    let server = Server::always(204);
    let (mut sink, asked) = resolving(server.port(), |_| addresses(&["127.0.0.1"]));
    for _ in 0..5 {
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    }
    assert_eq!(*asked.lock().unwrap(), ["influx.test"]);
    server.disconnect();
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn an_old_connection_is_replaced_and_its_name_resolved_again() {
    let server = Server::always(204);
    let (mut sink, asked) = resolving(server.port(), |_| addresses(&["127.0.0.1"]));
    sink.set_max_age(Duration::from_millis(300));
    for _ in 0..2 {
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
        std::thread::sleep(Duration::from_millis(310));
    }
    assert_eq!((asked.lock().unwrap().len(), server.connections(), server.requests().len()), (2, 2, 4));
}

#[test]
fn a_name_with_a_new_address_is_found() {
    let server = Server::always(204);
    let place = Arc::new(Mutex::new("127.0.0.1"));
    let current = place.clone();
    let (mut sink, _) = resolving(server.port(), move |_| addresses(&[*current.lock().unwrap()]));
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    *place.lock().unwrap() = "127.0.0.3";
    server.disconnect();
    assert!(retry_text(&send(&mut sink, &one())).contains("cannot connect"));
    *place.lock().unwrap() = "127.0.0.1";
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
}

#[test]
fn a_name_that_does_not_resolve_is_tried_later() {
    let (mut none, _) = resolving(1, |_| Ok(Vec::new()));
    assert!(retry_text(&send(&mut none, &one())).ends_with("cannot connect: the host name has no address"));
    let (mut unknown, _) = resolving(1, |_| Err(io::Error::other("host name: name or service not known")));
    let told = send(&mut unknown, &one());
    assert_eq!(retry_text(&told), "http://influx.test:1: cannot connect: host name: name or service not known");
}

#[test]
fn a_hanging_lookup_delays_neither_the_exchange_nor_the_end() {
    let start = Instant::now();
    let (mut sink, _) = resolving(1, |_| {
        std::thread::sleep(Duration::from_secs(20));
        addresses(&["127.0.0.1"])
    });
    assert!(retry_text(&send(&mut sink, &one())).contains("cannot connect within 2 s"));
    drop(sink);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn the_system_resolver_is_the_default() {
    let server = Server::always(204);
    let mut sink = sink(&server.url().replace("127.0.0.1", "localhost"), "");
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
}

#[test]
fn compression_depends_on_the_key_and_on_whether_the_server_is_remote() {
    for (more, wanted) in [("", None), ("gzip = auto", None), ("gzip = no", None), ("gzip = yes", Some("gzip"))] {
        let server = Server::always(204);
        let mut sink = sink(&server.url(), more);
        assert_eq!(send(&mut sink, &many()), Verdict::Delivered);
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
        let requests = server.requests();
        assert_eq!(requests[0].header("content-encoding"), wanted, "{more}");
        assert_eq!(requests[0].header("content-length"), Some(requests[0].raw.len().to_string().as_str()));
        assert_eq!(requests[0].text().lines().count(), 100, "{more}");
        assert_eq!(requests[1].header("content-encoding"), None, "a small body");
    }
    let server = Server::always(204);
    let (mut far, _) = resolving(server.port(), |_| addresses(&["127.0.0.1"]));
    assert_eq!(send(&mut far, &many()), Verdict::Delivered);
    assert_eq!(server.requests()[0].header("content-encoding"), Some("gzip"));
}

#[test]
fn a_server_that_cannot_decompress_gets_plain_requests_from_then_on() {
    let unread = [
        Step::answer(400, &[], "{\"error\":\"unable to parse '\\u001f\\u008b': missing fields\"}"),
        Step::answer(400, &[], r#"{"error":"gzip: invalid header"}"#),
        Step::status(415),
    ];
    for step in unread {
        let server = Server::start(vec![step, Step::status(204)]);
        let mut sink = sink(&server.url(), "gzip = yes");
        assert_eq!(send(&mut sink, &many()), Verdict::Delivered);
        assert!(sink.notes()[0].contains("gzip is off"));
        assert_eq!(send(&mut sink, &many()), Verdict::Delivered);
        let coded: Vec<bool> =
            server.requests().iter().map(|request| request.header("content-encoding").is_some()).collect();
        assert_eq!(coded, [true, false, false]);
    }
}

#[test]
fn a_server_that_did_decompress_is_not_asked_twice() {
    let refusal = Step::answer(400, &[], r#"{"error":"unable to parse 'x': no"}"#);
    let server = Server::start(vec![Step::status(204), refusal]);
    let mut sink = sink(&server.url(), "gzip = yes");
    assert_eq!(send(&mut sink, &many()), Verdict::Delivered);
    assert!(matches!(send(&mut sink, &many()), Verdict::Reject { .. }));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn credentials_are_sent_only_when_asked_for() {
    let basic = Some("Basic dGVzdDpUZSR0aW5n"); // test:Te$ting
    let rows = [
        ("", "", None),
        ("", "user = test\npass = Te$ting", None),
        ("", "user = test\npass = Te$ting\nauth = False", None),
        ("", "user = test\npass = Te$ting\nauth = no", None),
        ("", "user = test\npass = Te$ting\nauth = True", basic),
        ("", "user = test\npass = Te$ting\nauth = yes", basic),
        ("test:Te%24ting@", "", basic),
        ("test:Te%24ting@", "auth = no", None),
        // A % without two digits stands for itself.
        ("test:Te%+2ting@", "", Some("Basic dGVzdDpUZSUrMnRpbmc=")), // test:Te%+2ting
        ("other:x@", "user = test\npass = Te$ting\nauth = yes", basic),
        ("test@", "", Some("Basic dGVzdDo=")),
    ];
    for (in_url, more, wanted) in rows {
        let server = Server::always(204);
        let mut sink = sink(&server.url().replace("//", &format!("//{in_url}")), more);
        assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
        let requests = server.requests();
        assert_eq!(requests[0].header("authorization"), wanted, "{in_url} {more}");
        assert!(!requests[0].path.contains("test:"), "{}", requests[0].path);
    }
}

#[test]
fn an_unencrypted_password_is_warned_about_once() {
    let mut sink = sink("http://influx.test", "auth = yes\nuser = u\npass = hunter2");
    let notes = sink.notes();
    assert!(notes.len() == 1 && notes[0].contains("plain http") && !notes[0].contains("hunter2"), "{notes:?}");
    assert_eq!(sink.notes(), Vec::<String>::new());
    let mut near = super::sink("http://127.0.0.1", "auth = yes\nuser = u\npass = hunter2");
    assert_eq!(near.notes(), Vec::<String>::new());
}

#[test]
fn no_message_contains_a_secret() {
    let hint = |step| {
        let server = Server::start(vec![step]);
        let address = server.url().replace("//", "//planted1:planted2@") + "/?token=planted3";
        let mut sink = sink(&address, "");
        let told = format!("{:?} {:?}", send(&mut sink, &many()), sink.notes());
        assert!(!told.contains("planted"), "{told}");
        drop(server);
        let told = format!("{:?} {:?}", send(&mut sink, &one()), sink.notes());
        assert!(!told.contains("planted"), "{told}");
    };
    for status in [200, 204, 302, 400, 401, 403, 404, 407, 413, 422, 429, 500] {
        hint(Step::status(status));
    }
    for step in
        [Step::Close, Step::CloseAtAccept, Step::Reset(Vec::new()), Step::Answer(b"HTTP/9 what\r\n\r\n".to_vec())]
    {
        hint(step);
    }
    let far = "http://planted1:planted2@influx.test/?token=planted3";
    for lookup in [Ok(Vec::new()), Err(()), addresses(&["127.0.0.4"]).map_err(|_| ())] {
        let mut sink = sink(far, "proxy = none\nconnect_timeout = 1");
        sink.set_lookup(Lookup::by(move |_| lookup.clone().map_err(|()| io::Error::other("no"))));
        let told = format!("{:?} {:?}", send(&mut sink, &one()), sink.notes());
        assert!(!told.contains("planted"), "{told}");
    }
    let through = format!("proxy = http://planted4:planted5@127.0.0.1:{}", free_port());
    let mut sink = sink(far, &through);
    let told = format!("{:?} {:?}", send(&mut sink, &one()), sink.notes());
    assert!(!told.contains("planted"), "{told}");
}

#[test]
fn a_proxy_gets_the_whole_address_and_its_own_password() {
    let proxy = Server::always(204);
    let key = proxy.url().replace("//", "//p:q@");
    let mut sink = sink("http://influx.test:8086", &format!("proxy = {key}\nauth = yes\nuser = u\npass = v"));
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    let request = &proxy.requests()[0];
    assert_eq!(request.path, "http://influx.test:8086/write?db=test&precision=s");
    assert_eq!(request.header("host"), Some("influx.test:8086"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic cDpx"));
    assert_eq!(request.header("authorization"), Some("Basic dTp2"));
}

#[test]
fn loopback_is_never_reached_through_a_proxy() {
    let (proxy, server) = (Server::always(500), Server::always(204));
    let mut sink = sink(&server.url(), &format!("proxy = {}", proxy.url()));
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    assert_eq!((proxy.requests().len(), server.requests().len()), (0, 1));
}

#[test]
fn a_proxy_that_requires_a_password_pauses_delivery() {
    let proxy = Server::always(407);
    let key = proxy.url().replace("//", "//user:hunter2@");
    for address in ["http://influx.test:8086", "https://influx.test:8086"] {
        let told = send(&mut sink(address, &format!("proxy = {key}")), &one());
        let Verdict::Pause { why } = &told else { panic!("{told:?}") };
        assert!(why.contains(&format!("the proxy {}", proxy.url())) && why.contains("key proxy"), "{why}");
        assert!(why.starts_with(address) && !why.contains("hunter2"), "{why}");
    }
    assert_eq!(proxy.requests()[1].method, "CONNECT");
}

#[test]
fn a_proxy_that_refuses_is_named() {
    for status in [403, 502] {
        let proxy = Server::always(status);
        let told = send(&mut sink("https://influx.test", &format!("proxy = {}", proxy.url())), &one());
        let wanted = format!(
            "https://influx.test: the proxy {} forbids the connection or cannot reach the server; allow it there, or \
             correct the key proxy",
            proxy.url()
        );
        assert_eq!(retry_text(&told), wanted);
    }
    for (status, is_pause) in [(403, true), (502, false), (503, false), (504, false)] {
        let proxy = Server::always(status);
        let told = send(&mut sink("http://influx.test", &format!("proxy = {}", proxy.url())), &one());
        let (Verdict::Retry { why, .. } | Verdict::Pause { why }) = &told else { panic!("{told:?}") };
        assert!(why.contains(&format!("HTTP {status} through the proxy {}", proxy.url())), "{why}");
        assert_eq!(matches!(told, Verdict::Pause { .. }), is_pause);
    }
    // Only the server can have sent this.
    let proxy = Server::always(400);
    let told = send(&mut sink("http://influx.test", &format!("proxy = {}", proxy.url())), &one());
    assert!(matches!(&told, Verdict::Reject { why, .. } if !why.contains("proxy")), "{told:?}");
}

#[test]
fn a_proxy_that_is_away_is_not_reported_as_the_server() {
    let proxy = format!("http://127.0.0.1:{}", free_port());
    for address in ["http://influx.test", "https://influx.test"] {
        let told = send(&mut sink(address, &format!("proxy = {proxy}")), &one());
        let wanted = format!("{address}: cannot connect to the proxy {proxy} (from the key proxy): connection refused");
        assert_eq!(retry_text(&told), wanted);
    }
}

#[test]
fn a_proxy_of_the_environment_is_named_by_its_variable() {
    let env = |name: &str| match name {
        "all_proxy" => Some("socks5://u:hunter2@p:1080".to_string()),
        "https_proxy" => Some("http://p:3128".to_string()),
        "no_proxy" => Some("localhost, .example.org,10.0.0.0/8,192.0.2.1".to_string()),
        _ => None,
    };
    let why = Proxying::configure(&section(""), "http", &env).err().unwrap().to_string();
    assert!(why.contains("environment variable all_proxy: a proxy with \"socks5\" is not supported"), "{why}");
    assert!(why.contains("proxy = none") && !why.contains("config.ini") && !why.contains("hunter2"), "{why}");
    let proxy = Proxying::configure(&section(""), "https", &env).ok().flatten().unwrap();
    let between = |address: &str| proxy.towards(&puypuy::net::address::parse_address(address).unwrap());
    let told = between("https://influx.test").unwrap();
    assert_eq!(
        (told.address.as_str(), told.set_in.as_str()),
        ("http://p:3128", "the environment variable https_proxy")
    );
    for far in ["https://influx.test", "https://badexample.org", "https://11.0.0.1", "https://192.0.2.11"] {
        assert!(between(far).is_some(), "{far}");
    }
    for near in ["https://a.example.org", "https://EXAMPLE.org:8086", "https://10.9.8.7", "https://192.0.2.1"] {
        assert!(between(near).is_none(), "{near}");
    }
}

#[test]
fn a_default_port_is_shown_when_the_connection_is_refused() {
    for (address, shown) in [("127.0.0.1", "http://127.0.0.1:80"), ("https://127.0.0.1/p", "https://127.0.0.1:443/p")] {
        let told = send(&mut sink(address, ""), &one());
        let wanted = format!("{shown}: cannot connect: connection refused; InfluxDB usually listens on 8086");
        assert_eq!(retry_text(&told), wanted);
    }
}

#[test]
fn a_proxy_is_chosen_as_curl_does() {
    let choose = |key: Option<&str>, scheme: &str, env: &[(&str, &str)]| {
        let get = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        Proxying::choose(key, scheme, &get).map(|proxy| proxy.url().to_string())
    };
    let all =
        [("all_proxy", "all"), ("ALL_PROXY", "ALL"), ("https_proxy", "s"), ("HTTPS_PROXY", "S"), ("http_proxy", "h")];
    assert_eq!(choose(None, "http", &all).as_deref(), Some("h"));
    assert_eq!(choose(None, "https", &all).as_deref(), Some("s"));
    assert_eq!(choose(Some(""), "https", &all[3..]).as_deref(), Some("S"));
    assert_eq!(choose(None, "http", &all[..4]).as_deref(), Some("all"));
    assert_eq!(choose(None, "http", &[("HTTP_PROXY", "from a request")]), None);
    assert_eq!(choose(None, "http", &[("http_proxy", ""), ("ALL_PROXY", "ALL")]).as_deref(), Some("ALL"));
    assert_eq!(choose(Some("none"), "http", &all), None);
    assert_eq!(choose(Some("None"), "https", &all), None);
    assert_eq!(choose(Some("http://mine"), "http", &all).as_deref(), Some("http://mine"));
}
