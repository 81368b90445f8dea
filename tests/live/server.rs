//! Real programs on loopback: installing, finding free ports, starting, waiting for a response, ending.

pub use crate::ports::free_port;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One case at a time installs.
static INSTALLS: Mutex<()> = Mutex::new(());

/// The program of a Debian package, which is installed if it is missing and we may; `package` may be several packages.
pub fn program(name: &str, package: &str) -> Result<PathBuf, String> {
    let find = || {
        let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/lib/nagios/plugins"];
        folders.map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists())
    };
    let _installs = INSTALLS.lock().unwrap_or_else(PoisonError::into_inner);
    if find().is_none() {
        install(package);
    }
    find().ok_or_else(|| format!("there is no {name} and {package} cannot be installed here"))
}

/// The Debian packages that contain this file.
pub fn package(file: &str, package: &str) -> Result<(), String> {
    let _installs = INSTALLS.lock().unwrap_or_else(PoisonError::into_inner);
    if !Path::new(file).exists() {
        install(package);
    }
    if Path::new(file).exists() { Ok(()) } else { Err(format!("{package} cannot be installed here")) }
}

fn install(package: &str) {
    println!("live: installing {package}");
    let script = format!(
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {package}"
    );
    let _ = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output();
}

/// Users other than root cannot run the case: `Err` says what root is needed for.
pub fn needs_root(what: &str) -> Result<(), String> {
    let uid = Command::new("id").arg("-u").output().unwrap().stdout;
    if uid.trim_ascii() == b"0" { Ok(()) } else { Err(format!("it takes root {what}")) }
}

/// The account name of the test.
pub fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().into()
}

/// A child that ends with the test.
pub struct Program(pub Child);

impl Program {
    pub fn start(command: &mut Command, log: &Path) -> Program {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let command = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Program(command.spawn().unwrap())
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self) {
        self.signal("-TERM");
        self.0.wait().unwrap();
    }

    pub fn signal(&self, word: &str) {
        let sent = Command::new("kill").args([word, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {word}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Status and body of a request; `None` while nothing answers.
pub fn http(port: u16, method: &str, path: &str) -> Option<(u16, String)> {
    post(port, method, path, "")
}

/// The same with a body.
pub fn post(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let (status, _, body) = exchange(port, &format!("{method} {path} HTTP/1.0"), body)?;
    Some((status, body))
}

/// The same with a JSON body, and a JSON response.
pub fn json(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let kind = "application/json";
    let begin = format!("{method} {path} HTTP/1.0\r\nContent-Type: {kind}\r\nAccept: {kind}");
    let (status, _, body) = exchange(port, &begin, body)?;
    Some((status, serde_json::from_str(&body).unwrap_or_default()))
}

/// A page of a server that requires HTTP/1.1.
pub fn http_1_1(port: u16, path: &str) -> Option<(u16, String)> {
    let (status, head, mut rest) = exchange(port, &format!("GET {path} HTTP/1.1\r\nConnection: close"), "")?;
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return Some((status, rest));
    }
    let mut body = String::new();
    loop {
        let (length, more) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some((status, body));
        }
        body += more.get(..length)?;
        rest = more.get(length + 2..)?.to_string();
    }
}

/// Status, head and body.
fn exchange(port: u16, begin: &str, body: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let head = format!("{begin}\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, head.to_string(), body.to_string()))
}

/// Text encoded for a query string.
pub fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|byte| if plain(&byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Waits for a condition, at most this long.
pub fn wait(what: &str, limit: Duration, mut until: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !until() {
        assert!(Instant::now() < end, "waited {limit:?} for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
