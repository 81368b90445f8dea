//! A server that replays recorded responses: over HTTP, in another protocol over TCP, through Jolokia, or as a program.
//!
//! A case is a folder with `case.txt` and the responses that it names. The file has the lines of the check's section,
//! and then which request gets which response:
//! ```text
//! address: {http}
//! stats: /nginx_status
//!
//! GET /nginx_status = status.txt
//! ```
//! `{http}` is the server's URL, `{host}` and `{port}` its parts, `{NAME}` the path of the program of a `PROGRAM NAME`
//! line.
//! Requests: `GET PATH` (`PATH?*` with any query), `POST TEXT` (the body contains the text), `MBEAN NAME` (through
//! Jolokia), `TCP TEXT` (the sent bytes contain the text), `ONCE TEXT` (the same, and the server then closes the
//! connection), `CONNECT` (sent without a request), `SQL STATEMENT` (MySQL), `MONGO COMMAND` (JSON, for MongoDB),
//! `PROGRAM NAME` or, if its output depends on its arguments, `PROGRAM NAME WORDS`. The response is a file in `tick1`,
//! `tick2` or the folder itself, or an HTTP status or error number with or without a file; for a program, a number
//! before the file is its exit code. `{transaction}` in a response is that of the request. A line `SECONDS N` sets the
//! time between the two ticks (default 10); `VARIES NAME` names a metric whose value differs in each run.

use crate::support::mongo_server;
use crate::support::mysql_server::{self, Reply};
use crate::support::server::answer;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The content of a case.
pub struct Case {
    folder: PathBuf,
    section: Vec<(String, String)>,
    routes: Vec<Route>,
    /// See [`Replay::seconds`].
    seconds: u64,
    /// Metrics whose values differ in each run.
    pub varying: Vec<String>,
}

#[derive(Clone)]
struct Route {
    kind: String,
    question: String,
    status: u16,
    file: String,
}

impl Case {
    pub fn read(folder: &Path) -> Case {
        let text = fs::read_to_string(folder.join("case.txt")).unwrap();
        let (mut section, mut routes, mut seconds, mut varying) = (Vec::new(), Vec::new(), 10, Vec::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let is_route = line.starts_with(|first: char| first.is_ascii_uppercase());
            if let Some(number) = line.strip_prefix("SECONDS ") {
                seconds = number.parse().unwrap();
                continue;
            }
            if let Some(name) = line.strip_prefix("VARIES ") {
                varying.push(name.into());
                continue;
            }
            if !is_route {
                let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", folder.display()));
                section.push((key.trim().into(), value.trim().into()));
                continue;
            }
            let (question, told) = line.rsplit_once(" = ").unwrap_or_else(|| panic!("{}: {line}", folder.display()));
            let (kind, question) = question.split_once(' ').unwrap_or((question, ""));
            let (status, file) = match told.split_once(' ').unwrap_or((told, "")) {
                (status, file) if status.parse::<u16>().is_ok() => (status.parse().unwrap(), file),
                _ => (200, told),
            };
            routes.push(Route { kind: kind.into(), question: question.into(), status, file: file.into() });
        }
        Case { folder: folder.into(), section, routes, seconds, varying }
    }

    /// Whether any request is over HTTP.
    pub fn is_http(&self) -> bool {
        self.routes.iter().any(|route| ["GET", "POST", "MBEAN"].contains(&&*route.kind))
    }

    /// Whether a program gives the responses.
    pub fn is_program(&self) -> bool {
        self.programs().next().is_some()
    }

    /// Each output of a program, with the program's name and arguments.
    fn programs(&self) -> impl Iterator<Item = (&Route, &str, &str)> {
        let programs = self.routes.iter().filter(|route| route.kind == "PROGRAM");
        programs.map(|route| {
            let (name, words) = route.question.split_once(' ').unwrap_or((&route.question, ""));
            (route, name, words)
        })
    }
}

/// What is done to a response on its way.
#[derive(Clone)]
pub enum Trouble {
    None,
    /// The body is replaced.
    Body(Arc<Change>),
    /// These bytes instead of an HTTP response.
    Raw(Vec<u8>),
    /// No response, and the connection stays open.
    Silence,
    /// One byte now and then.
    Drip,
    /// More bytes than any limit.
    Endless,
}

type Change = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

struct Shared {
    case: Case,
    now: Mutex<(usize, Trouble)>,
}

/// The server of a case, at its first tick.
pub struct Replay {
    shared: Arc<Shared>,
    port: u16,
    programs: TempDir,
}

impl Replay {
    pub fn start(case: Case) -> Replay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { case, now: Mutex::new((1, Trouble::None)) });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(stream));
            }
        });
        let replay = Replay { shared, port, programs: tempfile::tempdir().unwrap() };
        replay.set(1, Trouble::None);
        replay
    }

    /// The time between two ticks.
    pub fn seconds(&self) -> u64 {
        self.shared.case.seconds
    }

    /// Sets the tick whose responses are sent from now on, and what is done to them.
    pub fn set(&self, tick: usize, trouble: Trouble) {
        let programs: Vec<_> = self.shared.case.programs().collect();
        for (place, (route, name, words)) in programs.iter().enumerate() {
            let text = self.write_output(route, (place, name), tick, &trouble);
            let earlier = programs.iter().take(place).any(|(_, own, _)| own == name);
            self.write_program(name, words, &text, earlier);
        }
        *self.shared.now.lock().unwrap() = (tick, trouble);
    }

    /// The shell commands that give this output.
    fn write_output(&self, route: &Route, (place, name): (usize, &str), tick: usize, trouble: &Trouble) -> String {
        let output = self.programs.path().join(format!("{name}.{place}.out"));
        let body = self.shared.file(route, tick);
        let own = if route.status == 200 { 0 } else { route.status };
        let (body, code) = match trouble {
            Trouble::None => (body, own),
            Trouble::Body(change) => (change(&body), own),
            Trouble::Raw(bytes) => (bytes.clone(), 1),
            Trouble::Silence | Trouble::Drip | Trouble::Endless => (Vec::new(), 2),
        };
        fs::write(&output, body).unwrap();
        format!("cat '{}'; exit {code}", output.display())
    }

    /// Adds this output for these arguments to the program; its other outputs stay.
    fn write_program(&self, name: &str, words: &str, answer: &str, is_known: bool) {
        let path = self.programs.path().join(name);
        let before = if is_known { fs::read_to_string(&path).unwrap() } else { "#!/bin/sh\n".into() };
        // Written beside the old file, because a running program cannot be written to.
        let new = path.with_extension("new");
        let words = if words.is_empty() { String::new() } else { format!("' {words} '*") };
        fs::write(&new, format!("{before}case \" $* \" in *{words}) {answer};; esac\n")).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
    }

    /// The lines of the check's section.
    pub fn section(&self) -> Vec<(String, String)> {
        let fill = |value: &str| {
            let value = value.replace("{http}", &format!("http://127.0.0.1:{}", self.port));
            let mut value = value.replace("{host}", "127.0.0.1").replace("{port}", &self.port.to_string());
            for (_, name, _) in self.shared.case.programs() {
                let path = self.programs.path().join(name);
                value = value.replace(&format!("{{{name}}}"), path.to_str().unwrap());
            }
            value
        };
        self.shared.case.section.iter().map(|(key, value)| (key.clone(), fill(value))).collect()
    }

    /// The text with placeholders for parts that differ in each run.
    pub fn shown(&self, text: &str) -> String {
        let text = text.replace(&format!("127.0.0.1:{}", self.port), "SERVER");
        let text = text.replace(&format!("127_0_0_1_{}", self.port), "SERVER");
        let text = text.replace(&format!("=\"{}\"", self.port), "=\"PORT\"");
        text.replace(self.programs.path().to_str().unwrap(), "PROGRAMS")
    }
}

impl Shared {
    fn file(&self, route: &Route, tick: usize) -> Vec<u8> {
        let folder = &self.case.folder;
        let of_tick = folder.join(format!("tick{tick}")).join(&route.file);
        match &*route.file {
            "" => Vec::new(),
            file => fs::read(&of_tick)
                .or_else(|_| fs::read(folder.join(file)))
                .unwrap_or_else(|error| panic!("{}: {error}", of_tick.display())),
        }
    }

    fn route(&self, is: impl Fn(&Route) -> bool) -> Option<&Route> {
        self.case.routes.iter().find(|route| is(route))
    }

    fn serve(&self, mut stream: TcpStream) {
        let (tick, trouble) = self.now.lock().unwrap().clone();
        let is_own = |kind: &str| self.route(|route| route.kind == kind).is_some();
        if is_own("SQL") || is_own("MONGO") {
            let say = |stream: &mut TcpStream, packets: &[u8]| {
                let trouble = match self.now.lock().unwrap().1.clone() {
                    // A change of the body was already made in the text.
                    Trouble::Body(_) | Trouble::Endless => Trouble::None,
                    trouble => trouble,
                };
                self.say(stream, &trouble, packets, |packets| packets)
            };
            match is_own("SQL") {
                true => {
                    mysql_server::serve(&mut stream, say, |statement| self.sql(statement, tick, &trouble));
                }
                false => mongo_server::serve(&mut stream, say, |command| self.mongo(command)),
            }
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        if let Some(route) = self.route(|route| route.kind == "CONNECT") {
            let body = self.file(route, tick);
            self.say(&mut stream, &trouble, &body, |body| body);
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..count]);
            let (tick, trouble) = self.now.lock().unwrap().clone();
            let is_kept = match request(&heard) {
                Request::Http { path, body, length } => {
                    heard.drain(..length);
                    let (status, told) = self.http(&path, &body, tick);
                    self.say(&mut stream, &trouble, &told, |body| answer(status, &[], &body))
                }
                Request::Unfinished => true,
                Request::Other => {
                    let said = String::from_utf8_lossy(&heard).into_owned();
                    let is_kind = |route: &&Route| ["TCP", "ONCE"].contains(&&*route.kind);
                    let mut asked: Vec<_> = self.case.routes.iter().filter(is_kind).collect();
                    asked.retain(|route| said.contains(&route.question));
                    let told: Vec<u8> = asked.iter().flat_map(|route| self.file(route, tick)).collect();
                    heard.clear();
                    // The end of a changed response is not known.
                    let is_changed = matches!(trouble, Trouble::Body(_));
                    let is_over =
                        asked.iter().any(|route| route.kind == "ONCE") && !matches!(trouble, Trouble::Silence);
                    self.say(&mut stream, &trouble, &told, |body| body) && !is_changed && !is_over
                }
            };
            if !is_kept {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn sql(&self, statement: &str, tick: usize, trouble: &Trouble) -> Reply {
        let Some(route) = self.route(|route| route.kind == "SQL" && route.question == statement) else {
            return Reply::Refused(1064, "You have an error in your SQL syntax".into());
        };
        let told = self.file(route, tick);
        match (route.status, trouble) {
            (200, Trouble::Body(change)) => Reply::Table(change(&told)),
            (200, Trouble::Endless) => Reply::Endless(told),
            (200, _) => Reply::Table(told),
            (code, _) => Reply::Refused(code, String::from_utf8_lossy(&told).trim().into()),
        }
    }

    /// The connection lasts from tick to tick. A response that is no longer JSON is sent as it is.
    fn mongo(&self, command: &str) -> Vec<u8> {
        let (tick, trouble) = self.now.lock().unwrap().clone();
        let Some(route) = self.route(|route| route.kind == "MONGO" && route.question == command) else {
            return mongo_server::bson(&serde_json::json!({ "ok": 0.0, "code": 59, "errmsg": "no such command" }));
        };
        let told = self.file(route, tick);
        let told = if let Trouble::Body(change) = &trouble { change(&told) } else { told };
        serde_json::from_slice(&told).map_or(told, |document| mongo_server::bson(&document))
    }

    /// Status and body.
    fn http(&self, path: &str, body: &str, tick: usize) -> (u16, Vec<u8>) {
        let told = |route: &Route| (route.status, self.file(route, tick));
        if let Ok(serde_json::Value::Array(asked)) = serde_json::from_str(body) {
            let one = |asked: &serde_json::Value| {
                let name = asked["mbean"].as_str().unwrap_or_default();
                let route = self.route(|route| route.kind == "MBEAN" && route.question == name);
                let missing = serde_json::json!({ "status": 404, "error": format!("{name} is not there") });
                route.map_or(missing, |route| serde_json::from_slice(&self.file(route, tick)).unwrap())
            };
            return (200, serde_json::Value::Array(asked.iter().map(one).collect()).to_string().into());
        }
        let is_asked = |route: &Route| match &*route.kind {
            "GET" => body.is_empty() && is_path(&route.question, path),
            "POST" => !body.is_empty() && body.contains(&route.question),
            _ => false,
        };
        let (status, answer) = self.route(is_asked).map_or((404, Vec::new()), told);
        let question: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        match question["transaction"].as_str() {
            Some(word) => (status, String::from_utf8_lossy(&answer).replace("{transaction}", word).into()),
            None => (status, answer),
        }
    }

    /// Returns whether the connection is to be kept.
    fn say(&self, to: &mut TcpStream, trouble: &Trouble, told: &[u8], wrapped: impl Fn(Vec<u8>) -> Vec<u8>) -> bool {
        let bytes = match trouble {
            Trouble::None => wrapped(told.to_vec()),
            Trouble::Body(change) => wrapped(change(told)),
            Trouble::Raw(bytes) => {
                // Closing a connection before all was read resets it, and the sent data is lost.
                let _ = to.write_all(bytes).and_then(|()| to.shutdown(Shutdown::Write));
                let _ = io::copy(to, &mut io::sink());
                return false;
            }
            Trouble::Silence => return true,
            Trouble::Drip => {
                let whole = wrapped(told.to_vec());
                return whole.iter().all(|byte| {
                    thread::sleep(Duration::from_millis(20));
                    to.write_all(&[*byte]).is_ok()
                });
            }
            Trouble::Endless => {
                let _ = to.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while to.write_all(&[b'9'; 1 << 16]).is_ok() {}
                return false;
            }
        };
        to.write_all(&bytes).is_ok()
    }
}

fn is_path(question: &str, path: &str) -> bool {
    let begin = question.strip_suffix("?*").map(|begin| path.split('?').next() == Some(begin));
    begin.unwrap_or(question == path)
}

enum Request {
    Http { path: String, body: String, length: usize },
    Unfinished,
    Other,
}

fn request(heard: &[u8]) -> Request {
    if !["GET ", "POST "].iter().any(|method| heard.starts_with(method.as_bytes())) {
        return Request::Other;
    }
    let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") else { return Request::Unfinished };
    let head = String::from_utf8_lossy(&heard[..end]).into_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let length = end + 4 + length.unwrap_or(0);
    if heard.len() < length {
        return Request::Unfinished;
    }
    let body = String::from_utf8_lossy(&heard[end + 4..length]).into_owned();
    Request::Http { path: head.split(' ').nth(1).unwrap_or_default().into(), body, length }
}
