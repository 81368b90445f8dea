//! check_mysql with servers that are full, refuse, restart, break off, or are not MySQL.

use super::machine::{Measurement, Worker, spec};
use crate::support::mysql_server::{OK, Reply, VERSION, greeting, packet, read, refusal, serve};
use puypuy::model::parse::dict;
use puypuy::model::roots::Roots;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

type Serving = dyn Fn(&mut TcpStream) + Send + Sync;

/// Handles one connection after the other with these functions, the last one repeatedly, and counts them.
struct Server {
    port: u16,
    now: Arc<Mutex<(Arc<Serving>, usize)>>,
}

impl Server {
    fn start(serving: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let now: Arc<Mutex<(Arc<Serving>, usize)>> = Arc::new(Mutex::new((Arc::new(serving), 0)));
        let shared = Arc::clone(&now);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let serving = {
                    let mut now = shared.lock().unwrap();
                    now.1 += 1;
                    Arc::clone(&now.0)
                };
                thread::spawn(move || {
                    serving(&mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Server { port, now }
    }

    fn set(&self, serving: impl Fn(&mut TcpStream) + Send + Sync + 'static) {
        self.now.lock().unwrap().0 = Arc::new(serving);
    }

    fn connections(&self) -> usize {
        self.now.lock().unwrap().1
    }

    fn check(&self, more: &[(&str, &str)]) -> Worker {
        let port = self.port.to_string();
        let own = [("host", "127.0.0.1"), ("port", &*port), ("user", "Asterix"), ("pass", "Zaubertrank")];
        let own = own.into_iter().chain([("timeout_seconds", "0.4")]);
        let lines: Vec<_> = own.filter(|(key, _)| more.iter().all(|(other, _)| other != key)).collect();
        Worker::new(spec("check_mysql"), &[&lines, more].concat())
    }
}

fn tick(worker: &mut Worker) -> Measurement {
    let told = worker.tick(&Roots::default());
    for fault in &told.faults {
        assert!(!fault.contains("Asterix") && !fault.contains("Zaubertrank"), "{fault}");
    }
    told
}

fn error(told: &Measurement) -> &str {
    told.faults.iter().find(|fault| fault.starts_with("error: ")).map_or("", String::as_str)
}

fn all(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

/// The responses of a healthy server with this uptime.
fn reply(statement: &str, uptime: u32) -> Reply {
    match statement {
        "SHOW GLOBAL STATUS" => {
            Reply::Table(format!("Variable_name\tValue\nQueries\t{}\nUptime\t{uptime}\n", uptime * 10 + 1).into())
        }
        "SHOW GLOBAL VARIABLES LIKE 'max_connections'" => Reply::Table(b"Variable_name\tValue\n".to_vec()),
        "SELECT 1" => Reply::Table(b"1\n1\n".to_vec()),
        _ => Reply::Refused(1064, "no".into()),
    }
}

fn healthy(stream: &mut TcpStream) {
    serve(stream, all, |statement| reply(statement, 100));
}

#[test]
fn a_refusal_before_the_greeting_is_reported_with_its_remedy() {
    for (code, said, wanted) in [
        (1040u16, "Too many connections", "error 1040, too many connections: raise max_connections"),
        (1040, "#08004Too many connections", "error 1040, too many connections: raise max_connections"),
        (1129, "Host '10.0.0.1' is blocked", "FLUSH HOSTS"),
        (1130, "Host '10.0.0.1' is not allowed to connect", "has no account for this host"),
        (1053, "Server shutdown in progress", "error 1053: \"Server shutdown in progress\""),
        (1053, "#08S01Server shutdown in progress", "error 1053: \"Server shutdown in progress\""),
    ] {
        let server = Server::start(move |stream| {
            let first = [&[0xff], &code.to_le_bytes()[..], said.as_bytes()].concat();
            all(stream, &packet(0, &first));
        });
        let told = tick(&mut server.check(&[]));
        assert!(error(&told).contains(wanted), "{code} {said}: {:?}", told.faults);
    }
}

#[test]
fn a_login_that_is_refused_names_no_account() {
    let server = Server::start(|stream| {
        all(stream, &greeting(VERSION, "caching_sha2_password"));
        read(stream);
        all(stream, &refusal(2, 1045, "Access denied for user 'Asterix'@'localhost' (using password: YES)"));
    });
    let mut worker = server.check(&[]);
    for run in 1..=12 {
        assert!(error(&tick(&mut worker)).contains("error 1045, the login was refused"), "run {run}");
    }
    // A complete refusal does not count as a broken login.
    assert_eq!(server.connections(), 12);
}

#[test]
fn after_broken_logins_the_check_pauses() {
    let server = Server::start(|stream| {
        all(stream, &greeting(VERSION, "mysql_native_password"));
        read(stream);
    });
    let mut worker = server.check(&[]);
    for run in 1..=8 {
        assert!(error(&tick(&mut worker)).contains("the server closed the connection"), "run {run}");
        assert_eq!(server.connections(), run.min(3), "run {run}");
    }
    server.set(healthy);
    assert!(tick(&mut worker).number("mysql_uptime", "").is_some());
}

#[test]
fn every_connection_is_closed_properly() {
    let quits = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&quits);
    let server = Server::start(move |stream| {
        let is_told = serve(stream, all, |statement| match statement {
            "SELECT SLEEP(9)" => {
                thread::sleep(Duration::from_secs(1));
                Reply::Refused(1317, "interrupted".into())
            }
            "SELECT 2" => Reply::Refused(1146, "no such table".into()),
            other => reply(other, 100),
        });
        heard.lock().unwrap().push(is_told);
    });
    let custom = |query| [("custom", "True"), ("query", query)];
    for (query, points) in
        [("{'a': 'SELECT 1'}", 1), ("{'b': 'SELECT 2', 'a': 'SELECT 1'}", 1), ("{'c': 'SELECT SLEEP(9)'}", 0)]
    {
        let told = tick(&mut server.check(&custom(query)));
        let own = told.points.iter().filter(|point| point.name == "mysql_custom_querry").count();
        assert_eq!(own, points, "{query}: {:?}", told.faults);
        assert!(told.number("mysql_uptime", "").is_some(), "{query}: earlier points are reported");
    }
    let end = Instant::now() + Duration::from_secs(5);
    while quits.lock().unwrap().len() < 3 && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(*quits.lock().unwrap(), [true, true, true]);
}

#[test]
fn unreadable_own_statements_only_affect_themselves() {
    let server = Server::start(healthy);
    for (query, wanted) in [("{'a': 7}", "expected a text in quotes and found '7'"), ("", "must not be empty")] {
        let told = tick(&mut server.check(&[("custom", "yes"), ("query", query)]));
        assert!(told.number("mysql_uptime", "").is_some());
        assert!(
            told.faults.iter().any(|fault| fault.starts_with("custom: ") && fault.contains(wanted)),
            "{:?}",
            told.faults
        );
    }
    let told = tick(&mut server.check(&[("custom", "no"), ("query", "no map")]));
    assert_eq!(told.faults, Vec::<String>::new());
}

#[test]
fn counters_of_a_restarted_server_give_no_rate() {
    let server = Server::start(healthy);
    let mut worker = server.check(&[]);
    tick(&mut worker);
    server.set(|stream| {
        serve(stream, all, |statement| reply(statement, 110));
    });
    assert_eq!(tick(&mut worker).number("mysql_queries", ""), Some(10.0));
    server.set(|stream| {
        serve(stream, all, |statement| match statement {
            "SHOW GLOBAL STATUS" => Reply::Table(b"Variable_name\tValue\nQueries\t99999\nUptime\t5\n".to_vec()),
            other => reply(other, 5),
        });
    });
    assert_eq!(tick(&mut worker).number("mysql_queries", ""), None);
}

#[test]
fn refused_replication_is_queried_once_until_the_server_fails() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let serving = move |stream: &mut TcpStream| {
        serve(stream, all, |statement| match statement {
            "SHOW REPLICA STATUS" => {
                heard.lock().unwrap().push(statement.to_string());
                Reply::Refused(1227, "Access denied".into())
            }
            other => reply(other, 100),
        });
    };
    let server = Server::start(serving.clone());
    let mut worker = server.check(&[]);
    let is_told = |told: &Measurement| told.faults.iter().any(|fault| fault.starts_with("replication: "));
    for _ in 0..3 {
        assert!(is_told(&tick(&mut worker)));
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    server.set(|_| ());
    // Otherwise it would count as working again.
    assert!(is_told(&tick(&mut worker)));
    server.set(serving);
    assert!(is_told(&tick(&mut worker)));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn invalid_packets_give_an_error() {
    let login = |answer: Vec<u8>| {
        Box::new(move |stream: &mut TcpStream| {
            all(stream, &greeting(VERSION, "mysql_native_password"));
            read(stream);
            all(stream, &answer);
            read(stream);
        })
    };
    let query = |answer: Vec<u8>| {
        Box::new(move |stream: &mut TcpStream| {
            all(stream, &greeting(VERSION, "mysql_native_password"));
            read(stream);
            all(stream, &packet(2, OK));
            read(stream);
            all(stream, &answer);
            read(stream);
        })
    };
    let first = |answer: Vec<u8>| {
        Box::new(move |stream: &mut TcpStream| {
            all(stream, &answer);
        })
    };
    let plugin = |name: &str| packet(2, &[&[0xfe], name.as_bytes(), b"\x0012345678901234567890\0"].concat());
    let servers: Vec<(&str, Box<Serving>)> = vec![
        ("nothing", first(Vec::new())),
        ("an empty packet", first(packet(0, &[]))),
        ("half a greeting", first(greeting(VERSION, "x")[..20].to_vec())),
        ("a greeting without its end", first(packet(0, &greeting(VERSION, "x")[4..30]))),
        ("another protocol", first(packet(0, &[9, b'4', 0, 0, 0]))),
        ("SSH", first(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec())),
        ("HTTP", first(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())),
        ("an error without a number", first(packet(0, &[0xff]))),
        ("sixteen megabytes", first([&[0xff, 0xff, 0xff, 0][..], &vec![10; 1 << 20]].concat())),
        ("no version", first(greeting("", "mysql_native_password"))),
        ("an empty answer to the login", login(packet(2, &[]))),
        ("a login out of order", login(packet(9, OK))),
        ("an unknown kind of login", login(plugin("dialog"))),
        ("a password to be read by all", login(plugin("mysql_clear_password"))),
        ("the oldest kind of login", login(packet(2, &[0xfe]))),
        ("ed25519 without its question", login(packet(2, b"\xfeclient_ed25519\0"))),
        ("sha2 that goes on without a word", login([plugin("caching_sha2_password"), packet(4, &[1])].concat())),
        (
            "sha2 with a key that is none",
            login([plugin("caching_sha2_password"), packet(4, &[1, 4]), packet(6, b"\x01no key")].concat()),
        ),
        ("an empty answer", query(packet(1, &[]))),
        ("a file asked for", query([packet(1, b"\xfb/etc/passwd"), packet(3, OK)].concat())),
        ("a billion columns", query(packet(1, &[0xfe, 0, 0, 0, 0x40, 0, 0, 0, 0]))),
        ("rows shorter than the columns", query([packet(1, &[2]), packet(2, b"\x03def"), packet(3, b"")].concat())),
    ];
    for (what, serving) in servers {
        let server = Server::start(serving);
        let mut worker = server.check(&[]);
        let begun = Instant::now();
        let told = tick(&mut worker);
        assert!(told.points.is_empty() && !error(&told).is_empty(), "{what}: {:?}", told.faults);
        assert!(begun.elapsed() < Duration::from_secs(4), "{what}: {:?}", begun.elapsed());
        println!("{what}: {}", error(&told).replace(&server.port.to_string(), "PORT"));
        server.set(healthy);
        assert!(tick(&mut worker).number("mysql_uptime", "").is_some(), "{what}: nothing after it");
    }
}

#[test]
fn endless_rows_are_not_read_to_their_end() {
    let server = Server::start(|stream| {
        serve(stream, all, |_| Reply::Endless(b"Variable_name\tValue\nUptime\t1\n".to_vec()));
    });
    let begun = Instant::now();
    let told = tick(&mut server.check(&[]));
    assert!(error(&told).contains("more than 5000 rows"), "{:?}", told.faults);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn version_strings_of_compatible_servers_are_understood() {
    for version in [
        "5.5.5-10.11.19-MariaDB",
        "8.0.11-TiDB-v8.5.0",
        "8.0.30-Vitess",
        "5.7.25-OceanBase_CE-v4.3.5",
        "11.8.2-MariaDB-log",
    ] {
        let server = Server::start(move |stream| {
            all(stream, &greeting(version, "mysql_native_password"));
            read(stream);
            all(stream, &packet(2, OK));
            while let Some(asked) = read(stream) {
                let text = String::from_utf8_lossy(&asked[1..]).into_owned();
                if asked == [1] {
                    break;
                }
                all(stream, &refusal(1, 1064, &text));
            }
        });
        let told = tick(&mut server.check(&[]));
        assert!(error(&told).contains("error 1064"), "{version}: {:?}", told.faults);
    }
}

#[test]
fn python_dicts_and_json_are_read() {
    let pairs = |list: &[(&str, &str)]| Ok(list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect());
    let shipped = r#"{"name_1": "SELECT COUNT(*) FROM test.abc", 'name_2': 'SELECT "x" FROM test.xyz',}"#;
    let wanted = [("name_1", "SELECT COUNT(*) FROM test.abc"), ("name_2", "SELECT \"x\" FROM test.xyz")];
    assert_eq!(dict::texts(shipped), pairs(&wanted));
    assert_eq!(dict::texts("{}"), pairs(&[]));
    assert_eq!(dict::texts(r#"{"a": "x\n\u00e9\"'\'\\\d",  'b':'\''}"#), pairs(&[("a", "x\né\"''\\\\d"), ("b", "'")]));
    for wrong in [
        "",
        "[]",
        "{",
        "{'a'}",
        "{'a': 1}",
        "{'a': 'b'",
        "{'a': 'b'} x",
        "{'a': 'b",
        "{'a': '\\u00",
        "{,}",
        "{'a': 'b' 'c'}",
    ] {
        assert!(dict::texts(wrong).is_err(), "{wrong}");
    }
}
