//! The files of the page and `/health`: headers, allowed host names, the password, and when the daemon listens.

use super::{Served, ask, configured, free_port, get, get_json, status};
use crate::support::{Home, wait_for};
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", "index.html"),
    ("/page.js", "text/javascript; charset=utf-8", "page.js"),
    ("/page.css", "text/css; charset=utf-8", "page.css"),
    ("/icon.svg", "image/svg+xml", "icon.svg"),
];

/// The value of this header.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The text without comments: those of a whole line, those behind code, and `/* .. */`.
fn without_comments(source: &str) -> String {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<&str> = code.map(|line| line.split(" // ").next().unwrap()).collect();
    let mut parts = code.join("\n");
    while let Some((before, rest)) = parts.split_once("/*") {
        parts = format!("{before}{}", rest.split_once("*/").unwrap().1);
    }
    parts
}

/// A file is served without comments, line breaks and needless spaces. Those in texts are kept: every string is there
/// as it is, and so are all words that one space separates.
fn is_the_source(source: &str, served: &str) {
    let source = without_comments(source);
    let letters = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(letters(served), letters(&source));
    for line in source.lines() {
        for string in line.split('"').skip(1).step_by(2) {
            assert!(served.contains(&format!("\"{string}\"")), "\"{string}\" is missing");
        }
        for words in line.trim().split(|letter: char| letter != ' ' && !letter.is_alphanumeric()) {
            assert!(served.contains(words.trim()), "{words:?} is missing");
        }
    }
}

#[test]
fn the_files_are_cached_and_compressed_if_accepted() {
    let address = Served::default().start();
    for (path, kind, file) in FILES {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page").join(file)).unwrap();
        let (head, body) = get(address, path, "");
        assert_eq!((status(&head), header(&head, "content-type")), (200, Some(kind)), "{head}");
        assert_eq!(header(&head, "cache-control"), Some("no-cache"), "{path}");
        let text = body;
        is_the_source(&source, std::str::from_utf8(&text).unwrap());
        let tag = header(&head, "etag").unwrap();

        let (head, body) = get(address, path, "Accept-Encoding: gzip, deflate, br\r\n");
        assert_eq!((header(&head, "content-encoding"), header(&head, "etag")), (Some("gzip"), Some(tag)));
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, text);

        for known in [tag.to_string(), format!("\"x\", {tag}"), tag.replace("W/", ""), "*".into()] {
            let (head, body) = get(address, path, &format!("If-None-Match: {known}\r\n"));
            assert_eq!((status(&head), header(&head, "etag"), body.len()), (304, Some(tag), 0), "{known}");
        }
        assert_eq!(status(&get(address, path, "If-None-Match: \"x\"\r\n").0), 200);

        let head = ask(address, format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", text.len())), "{head}");
        let posted = ask(address, format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        assert!(String::from_utf8(posted).unwrap().starts_with("HTTP/1.1 405"));
    }
}

#[test]
fn every_response_has_the_security_headers() {
    let address = Served::default().start();
    for path in ["/", "/page.js", "/health", "/metrics", "/api/series", "/api/points", "/nowhere", "/nag"] {
        let (head, _) = get(address, path, "");
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(&head, name), Some(value), "{path}\n{head}");
        }
        assert_eq!(header(&head, "set-cookie"), None);
    }
}

#[test]
fn a_browser_may_only_use_the_names_of_this_host() {
    let address = Served { keys: &[("allowedhost", "Charts.Example.org, other")], ..Served::default() }.start();
    let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let asked = |path: &str, hosts: &str| {
        let answer = ask(address, format!("GET {path} HTTP/1.1\r\n{hosts}\r\n").as_bytes());
        status(&String::from_utf8(answer).unwrap())
    };
    for host in [
        "localhost",
        "LOCALHOST:9898",
        "127.0.0.1",
        "127.0.0.1:9898",
        "10.1.2.3:80",
        "[::1]:9898",
        "[2001:db8::1]",
        "h",
        "h.",
        &node,
        "charts.example.org",
        "OTHER:443",
    ] {
        for path in ["/", "/api/events", "/metrics", "/health"] {
            let status = asked(path, &format!("Host: {host}\r\n"));
            assert!(status == 200 || status == 404 && path == "/api/events", "{host} {path} {status}");
        }
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example:9898",
        "localhost.evil.example",
        "xlocalhost",
        "[evil]",
        "::1",
        ":9898",
        "",
        "h..",
        "*",
    ] {
        for path in ["/", "/api/events", "/metrics", "/health", "/nag", "/nowhere"] {
            assert_eq!(asked(path, &format!("Host: {host}\r\n")), 421, "{host} {path}");
        }
    }
    let (_, told) = get_json(address, "/nowhere");
    assert!(told["error"].as_str().unwrap().contains("/metrics"), "{told}");
    let evil = ask(address, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let evil = String::from_utf8(evil).unwrap();
    assert!(evil.ends_with("{\"error\":\"\\\"evil.example\\\" is no name of this host: ask by its address, or add the name to allowedhost in [WebServer]\"}\n"), "{evil}");
    assert_eq!(asked("/", ""), 400);
    assert_eq!(asked("/", "Host: localhost\r\nHost: evil.example\r\n"), 400);
    assert_eq!(asked("http://evil.example/", "Host: localhost\r\n"), 421);
    // Older programs send no Host header.
    assert!(ask(address, b"GET /health HTTP/1.0\r\n\r\n").starts_with(b"HTTP/1.0 200"));
}

#[test]
fn a_password_is_for_the_page_and_its_numbers() {
    let (user, password) = ("admin", "s3cret: \u{fc}");
    let address = Served { keys: &[("webuser", user), ("webpassword", password)], ..Served::default() }.start();
    // admin:s3cret: ü
    let right = "Authorization: basic  YWRtaW46czNjcmV0OiDDvA==\r\n";
    for path in ["/", "/page.js", "/api/series"] {
        let (head, body) = get(address, path, "");
        assert_eq!((status(&head), header(&head, "www-authenticate")), (401, Some("Basic realm=\"PuyPuy\"")), "{path}");
        assert!(String::from_utf8(body).unwrap().starts_with("{\"error\":"));
        assert_ne!(status(&get(address, path, right).0), 401);
    }
    for path in ["/metrics", "/health"] {
        assert_eq!(status(&get(address, path, "").0), 200);
    }
    // All at once, because each wrong one has to wait.
    std::thread::scope(|scope| {
        for wrong in [
            "Basic YWRtaW46czNjcmV0",
            "Basic !",
            "Basic",
            "Bearer YWRtaW46czNjcmV0OiDDvA==",
            "Basic YWRtaW46czNjcmV0OiDDvDE=",
        ] {
            scope.spawn(move || {
                let (head, _) = get(address, "/", &format!("Authorization: {wrong}\r\n"));
                assert_eq!(status(&head), 401, "{wrong}");
            });
        }
    });
}

#[test]
fn health_is_the_age_of_the_newest_tick() {
    let well = Served::default().start();
    let (head, body) = get(well, "/health", "");
    assert_eq!((status(&head), body.as_slice()), (200, &b"ok\n"[..]));
    let late = Served { tick: Instant::now() - Duration::from_secs(31), ..Served::default() }.start();
    let (head, body) = get(late, "/health", "");
    let text = String::from_utf8(body).unwrap();
    assert!(status(&head) == 503 && text == "the newest tick is 31 s old, one every 10 s is due\n", "{text}");
}

fn log_has(home: &Home, text: &str) -> bool {
    home.log().contains(text)
}

#[test]
fn a_daemon_with_the_local_store_listens_unless_disabled() {
    let home = Home::new();
    let port = free_port();
    configured(&home, port, "tsdtype = Local\n", "");
    let said = home.puypuy(&["quickstart"]);
    let page = format!("http://127.0.0.1:{port}/");
    assert!(said.code == 0 && said.out.ends_with(&format!("its page: {page}\n")), "{said:?}");
    assert!(home.puypuy(&["status"]).out.ends_with(&format!("its page: {page}\n")));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(status(&get(address, "/", "").0), 200);
    assert_eq!(get(address, "/health", "").1, b"ok\n");
    wait_for("series", || {
        let (_, told) = get_json(address, "/api/series");
        told["series"].as_array().unwrap().iter().any(|series| series["name"] == "sys_load_1")
    });

    // Another daemon runs without the port, and prints no address.
    let other = Home::new();
    configured(&other, port, "tsdtype = Local\n", "");
    other.start();
    wait_for("a log line about it", || log_has(&other, &format!("WARN web server: cannot listen at 127.0.0.1:{port}")));
    assert!(log_has(&other, "set webaddress in [WebServer]; it goes on without the page"), "{}", other.log());
    assert!(!other.puypuy(&["status"]).out.contains("its page"));
    assert_eq!(other.puypuy(&["restart"]).code, 0);

    let silent = Home::new();
    configured(&silent, free_port(), "tsdtype = Local\n", "webserver = no\n");
    silent.start();
    assert!(log_has(&silent, "ready") && !log_has(&silent, "web server"), "{}", silent.log());
}

#[test]
fn a_page_open_to_others_without_a_password_is_logged_at_each_start() {
    let warning = "allowedip lets other machines see the page, and nobody has to log in: set webuser and webpassword";
    for (web, is_told) in [
        ("webaddress = 0.0.0.0:0\nallowedip = 127.0.0.1, 10.0.0.0/8\n", true),
        ("webaddress = 0.0.0.0:0\nallowedip = 0.0.0.0/0\n", true),
        ("webaddress = 0.0.0.0:0\nallowedip = 127.0.0.0/8, ::1\n", false),
        ("webaddress = 0.0.0.0:0\n", false),
        ("webaddress = 127.0.0.1:0\nallowedip = 10.0.0.0/8\n", false),
        ("webaddress = 0.0.0.0:0\nallowedip = 10.0.0.0/8\nwebuser = admin\nwebpassword = s3cret\n", false),
    ] {
        let home = Home::new();
        let own = home.read("config.ini").split("[TSDB]").next().unwrap().to_string();
        fs::write(home.path("config.ini"), format!("{own}[TSDB]\n[WebServer]\n{web}")).unwrap();
        home.start();
        assert!(log_has(&home, "web server: listening at"), "{}", home.log());
        assert_eq!(log_has(&home, warning), is_told, "{web}\n{}", home.log());
        assert!(!log_has(&home, "s3cret"));
    }
}

/// A health event of a real check reaches the page with its message. An error of another check is no event: it would
/// never end.
#[test]
fn an_event_of_a_check_is_open_on_the_page_and_an_error_is_not_an_event() {
    let home = Home::new();
    let port = free_port();
    configured(&home, port, "tsdtype = Local\n", "");
    fs::create_dir(home.path("conf")).unwrap();
    fs::write(home.path("conf/system.ini"), "[Memory Stats]\nhigh: 0.001\nsevere: 0.002\n").unwrap();
    let nobody = format!("[NginX]\naddress: http://127.0.0.1:{}\nstats: /status\n", free_port());
    fs::write(home.path("conf/webservers.ini"), nobody).unwrap();
    home.puypuy(&["enable", "memory", "nginx"]);
    home.start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for("an error of the check", || log_has(&home, "WARN check_nginx: "));
    let events = |path| get_json(address, path).1["events"].as_array().unwrap().clone();
    wait_for("the event", || events("/api/events").iter().any(|change| change["event"] == "Memory-Usage"));
    let (changes, open) = (events("/api/events"), events("/api/status"));
    assert!(changes.len() == 1 && open.len() == 1, "{changes:?} {open:?}");
    assert_eq!(get_json(address, "/api/events").1["open"].as_array(), Some(&open));
    let message = changes[0]["message"].as_str().unwrap();
    assert!(changes[0]["level"] == "ERROR" && message.contains("memory usage"), "{changes:?}");
    for (of_change, of_open) in [("event", "event"), ("level", "level"), ("time", "since")] {
        assert_eq!(changes[0][of_change], open[0][of_open], "{changes:?} {open:?}");
    }
    // The numbers are not affected.
    let (_, told) = get_json(address, "/api/series");
    let is_level = |series: &&serde_json::Value| series["name"] == "health_status";
    let levels: Vec<_> = told["series"].as_array().unwrap().iter().filter(is_level).collect();
    assert!(levels.len() == 1 && levels[0]["tags"]["event"] == "Memory-Usage", "{levels:?}");
}
