//! check_redis and check_memcached against Debian's servers, compared with their responses to other clients.

use crate::server::{Program, free_port, program, wait};
use crate::watched::Watched;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(20);
const CONF: &str = "sql_cache.ini";

/// The response of a server until it closes.
fn say(port: u16, words: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(words.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The number in the line that begins like this.
fn number(text: &str, begin: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(begin));
    line.unwrap_or_else(|| panic!("no {begin} in {text}")).trim().parse().unwrap()
}

pub fn redis() -> Result<(), String> {
    let redis = program("redis-server", "redis-server")?;
    let folder = TempDir::new().unwrap();
    let (port, socket) = (free_port(), folder.path().join("socket"));
    let start = || {
        let mut command = Command::new(&redis);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--requirepass", "a \"b"]);
        command
            .args(["--user", "mon", "on", ">pw", "+info", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path());
        let server = Program::start(&mut command, &folder.path().join("log"));
        wait("Redis", START, || say(port, "QUIT\r\n").is_some());
        server
    };
    let server = start();
    let login = "*2\r\n$4\r\nAUTH\r\n$4\r\na \"b\r\n";
    let info = || say(port, &format!("{login}INFO\r\nQUIT\r\n")).unwrap();
    let section = format!(
        "[Redis]\nhost: 127.0.0.1\nport: {port}\nauth: True\nuser: mon\npass: pw\n\
         [Redis:socket]\nhost: {}\nauth: a \"b\n[Redis:wrong]\nhost: 127.0.0.1\nport: {port}\nauth: not it\n",
        socket.display()
    );
    let watched = Watched::start("check_redis", CONF, &section);
    watched.until("redis_keyspace_hits", &[], |rate| rate == 0.0);
    let gets: String = (0..40).map(|at| format!("SET k{at} v\r\nGET k{at}\r\nGET none{at}\r\n")).collect();
    say(port, &format!("{login}{gets}EXPIRE k1 1\r\nQUIT\r\n")).unwrap();
    let sum = |metric| watched.counted(metric, &[]);
    // Rates of a second each: they add up to the number of requests.
    wait("the rates of 40 hits", START, || (sum("redis_keyspace_hits") - 40.0).abs() < 6.0);
    wait("the rates of 40 misses", START, || (sum("redis_keyspace_misses") - 40.0).abs() < 6.0);
    wait("the key that expired", START, || (sum("redis_expired_keys") - 1.0).abs() < 0.3);
    let db = [("db", "db0")];
    assert_eq!(watched.now("redis_db_keys", &db), 39.0);
    let own = info();
    assert_eq!(watched.now("redis_maxclients", &[]), number(&own, "maxclients:"));
    assert!((watched.now("redis_uptime_in_seconds", &[]) - number(&own, "uptime_in_seconds:")).abs() <= 2.0);
    let memory = number(&own, "used_memory:");
    assert!((watched.now("redis_used_memory", &[]) - memory).abs() < memory / 2.0);
    assert_eq!(watched.now("redis_db_keys", &[("db", "db0"), ("instance", "socket")]), 39.0);
    assert!(watched.said().iter().any(|line| line.contains("wrong: ") && line.contains("check user and password")));
    assert!(watched.said().iter().all(|line| !line.contains("not it") && !line.contains("a \"b")));
    drop(watched);

    let section = format!("[Redis]\nhost: 127.0.0.1\nport: {port}\nauth: a \"b\n");
    let watched = Watched::start("check_redis", CONF, &section);
    watched.outage("redis_used_memory", &[], server, Program::end, start);
    Ok(())
}

pub fn memcached() -> Result<(), String> {
    let memcached = program("memcached", "memcached")?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    fs::write(inside("users"), "user:word\n").unwrap();
    let start = |port: u16, more: Option<&Path>| {
        let mut command = Command::new(&memcached);
        command.args(["-p", &port.to_string(), "-l", "127.0.0.1", "-u", "root"]);
        command.args(more.iter().flat_map(|users| [Path::new("-Y"), users]));
        let server = Program::start(&mut command, &inside("log"));
        wait("memcached", START, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    };
    let (open, locked) = (free_port(), free_port());
    let server = start(open, None);
    let _locked = start(locked, Some(&inside("users")));
    let section = format!(
        "[Memcached]\nhost: 127.0.0.1\nport: {open}\nuser: user\npass: word\n\
         [Memcached:locked]\nhost: 127.0.0.1\nport: {locked}\nuser: user\npass: word\n"
    );
    let watched = Watched::start("check_memcached", CONF, &section);
    watched.until("memcached_get_hits", &[], |rate| rate == 0.0);
    let words: String = (0..40).map(|at| format!("set k{at} 0 0 1\r\nv\r\nget k{at}\r\nget none{at}\r\n")).collect();
    say(open, &format!("{words}quit\r\n")).unwrap();
    let sum = |metric| watched.counted(metric, &[]);
    wait("the rates of 40 hits", START, || (sum("memcached_get_hits") - 40.0).abs() < 6.0);
    wait("the rates of 80 gets", START, || (sum("memcached_cmd_get") - 80.0).abs() < 10.0);
    let own = say(open, "stats\r\nquit\r\n").unwrap();
    for (metric, name) in [
        ("memcached_curr_items", "STAT curr_items"),
        ("memcached_bytes_used", "STAT bytes "),
        ("memcached_get_misses", "STAT get_misses"),
        ("memcached_limit_maxbytes", "STAT limit_maxbytes"),
        ("memcached_threads", "STAT threads"),
    ] {
        watched.until(metric, &[], |value| value == number(&own, name));
    }
    // The login was sent only to the server that requires it, and is no item in the other one.
    assert_eq!(watched.now("memcached_curr_items", &[("instance", "locked")]), 0.0);
    assert_eq!((number(&own, "STAT curr_items"), number(&own, "STAT cmd_set")), (40.0, 40.0));
    assert_eq!(watched.said(), [""; 0]);
    drop(watched);

    let watched = Watched::start("check_memcached", CONF, &format!("[Memcached]\nhost: 127.0.0.1\nport: {open}\n"));
    watched.outage("memcached_curr_items", &[], server, Program::end, || start(open, None));
    Ok(())
}
