//! A loopback HTTP/1.1 server on plain threads that responds by a script, byte for byte, and records its requests.
//!
//! ```ignore
//! let server = Server::start(vec![Step::status(503), Step::answer(400, &[("Retry-After", "7")], "no"), Step::status(204)]);
//! post(server.url());
//! assert_eq!(server.requests()[0].path, "/write?db=test&precision=s");
//! ```
//! Each request uses one step; the last step is repeated forever. `Server::always(204)` just records.
#![allow(dead_code)] // Each group of tests uses another part of it.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Writes these bytes and closes, whatever their headers promise: a truncated body, a keep-alive connection that is
    /// closed.
    AnswerAndClose(Vec<u8>),
    /// Writes the bytes in pieces of this size, with a pause before each piece; keeps the connection.
    Drip { bytes: Vec<u8>, piece: usize, every: Duration },
    /// Writes these bytes and resets the connection (RST instead of FIN).
    Reset(Vec<u8>),
    /// Writes these bytes as soon as the head is read, leaves the body unread and closes.
    Early(Vec<u8>),
    /// Reads the request and sends nothing until the client disconnects.
    Silence,
    /// Closes the connection right after accept. Used by a connection, not by a request.
    CloseAtAccept,
    /// Reads the request and closes without a byte.
    Close,
    /// Waits, then does the other step.
    After(Duration, Box<Step>),
    /// Responds to a CONNECT with 200 and connects the client to this address.
    Tunnel(std::net::SocketAddr),
    /// Does the step that this function returns for the request.
    Think(Rule),
}

/// A function that chooses the step for a request.
#[derive(Clone)]
pub struct Rule(Arc<dyn Fn(&Recorded) -> Step + Send + Sync>);

impl std::fmt::Debug for Rule {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str("Rule")
    }
}

impl Step {
    /// A complete response without a body.
    pub fn status(status: u16) -> Step {
        Step::Answer(answer(status, &[], b""))
    }

    /// A complete response with the right Content-Length.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Step {
        Step::Answer(answer(status, headers, body.as_ref()))
    }

    /// The step that this function returns for the request.
    pub fn think(thought: impl Fn(&Recorded) -> Step + Send + Sync + 'static) -> Step {
        Step::Think(Rule(Arc::new(thought)))
    }

    /// The same step after a pause.
    pub fn after(self, pause: Duration) -> Step {
        Step::After(pause, Box::new(self))
    }

    fn closes_at_accept(&self) -> bool {
        matches!(self, Step::CloseAtAccept)
    }
}

/// The bytes of a response. Content-Length is added if the status has a body and `headers` do not set it.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let told = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if status != 204 && !told {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A received request.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub method: String,
    /// The target as sent: path with query, or the whole URL for a proxy.
    pub path: String,
    /// In order, names as sent.
    pub headers: Vec<(String, String)>,
    /// Decompressed if `Content-Encoding: gzip` was sent and is true.
    pub body: Vec<u8>,
    /// The body as it was on the wire.
    pub raw: Vec<u8>,
    /// The number of the connection, counted from 0.
    pub connection: usize,
    pub at: Instant,
}

impl Recorded {
    /// The first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Shared {
    steps: Mutex<VecDeque<Step>>,
    requests: Mutex<Vec<Recorded>>,
    /// Open connections by number; the entry is removed with the thread that serves it.
    open: Mutex<HashMap<usize, TcpStream>>,
    accepted: AtomicUsize,
    stopping: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Stops and closes everything when dropped.
pub struct Server {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Responds by the script; the last step is repeated.
    pub fn start(steps: Vec<Step>) -> Server {
        Server::launch(steps, None)
    }

    /// The same with TLS.
    pub fn start_tls(steps: Vec<Step>, tls: Arc<rustls::ServerConfig>) -> Server {
        Server::launch(steps, Some(tls))
    }

    /// Responds to every request with this status and no body.
    pub fn always(status: u16) -> Server {
        Server::start(vec![Step::status(status)])
    }

    fn launch(steps: Vec<Step>, tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        assert!(!steps.is_empty(), "a script needs a step");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { steps: Mutex::new(steps.into()), tls, ..Shared::default() });
        let mut server = Server { shared, port, accepting: None };
        server.accept_from(listener);
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:port`, or `https://localhost:port` with TLS.
    pub fn url(&self) -> String {
        match self.shared.tls {
            None => format!("http://127.0.0.1:{}", self.port),
            Some(_) => format!("https://localhost:{}", self.port),
        }
    }

    /// All requests so far, in the order in which they were completely read.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests once there are `count` of them; panics after `limit`.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Recorded> {
        let end = Instant::now() + limit;
        loop {
            let requests = self.requests();
            if requests.len() >= count {
                return requests;
            }
            assert!(Instant::now() < end, "{} of {count} requests within {limit:?}", requests.len());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// The number of connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open.lock().unwrap().len()
    }

    /// Sets another script from now on.
    pub fn script(&self, steps: Vec<Step>) {
        assert!(!steps.is_empty(), "a script needs a step");
        *self.shared.steps.lock().unwrap() = steps.into();
    }

    /// Closes all connections; the server continues to listen.
    pub fn disconnect(&self) {
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Stops listening and closes all connections: new connections are refused.
    pub fn down(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // Wakes the thread that waits in accept.
        let _ = accepting.join();
        self.disconnect();
    }

    /// Listens again, on the same port.
    pub fn up(&mut self) {
        if self.accepting.is_none() {
            self.accept_from(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
        }
    }

    fn accept_from(&mut self, listener: TcpListener) {
        self.shared.stopping.store(false, Ordering::SeqCst);
        let shared = self.shared.clone();
        self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept() else { continue };
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.peek().closes_at_accept() {
            shared.next();
            continue;
        }
        let _ = stream.set_nodelay(true);
        shared.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
        let shared = shared.clone();
        thread::spawn(move || {
            let _ = serve(stream, number, &shared);
            shared.open.lock().unwrap().remove(&number);
        });
    }
}

/// Reads and answers requests until one side closes.
fn serve(stream: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(stream, shared.tls.clone())?;
    loop {
        let head = read_head(&mut wire)?;
        let mut request = parse_head(&head, number)?;
        if let Step::Early(bytes) = shared.peek() {
            shared.next();
            shared.record(request);
            wire.write_all(&bytes)?;
            // Not closed before the client had time to read: unread bytes would turn the FIN into a RST.
            thread::sleep(Duration::from_millis(200));
            return wire.close();
        }
        request.raw = vec![0; request.header("content-length").map_or(0, |length| length.parse().unwrap())];
        wire.read_exact(&mut request.raw)?;
        request.body = unzipped(&request);
        let mut step = shared.next();
        while let Step::Think(Rule(think)) = step {
            step = think(&request);
        }
        shared.record(request);
        if !perform(step, &mut wire)? {
            return wire.close();
        }
    }
}

/// Returns whether the connection is to be kept.
fn perform(step: Step, wire: &mut Wire) -> io::Result<bool> {
    match step {
        Step::Answer(bytes) => wire.write_all(&bytes).map(|()| true),
        Step::AnswerAndClose(bytes) => wire.write_all(&bytes).map(|()| false),
        Step::Drip { bytes, piece, every } => {
            for part in bytes.chunks(piece) {
                thread::sleep(every);
                wire.write_all(part)?;
            }
            Ok(true)
        }
        Step::Reset(bytes) => {
            wire.write_all(&bytes)?;
            // Gives the client time to read, because a RST may overtake the data.
            thread::sleep(Duration::from_millis(50));
            socket2::SockRef::from(wire.socket()).set_linger(Some(Duration::ZERO))?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Step::Early(_) | Step::CloseAtAccept | Step::Close | Step::Think(_) => Ok(false),
        Step::Silence => {
            while wire.read(&mut [0; 1024])? > 0 {}
            Ok(false)
        }
        Step::After(pause, step) => {
            thread::sleep(pause);
            perform(*step, wire)
        }
        Step::Tunnel(to) => tunnel(wire, to).map(|()| false),
    }
}

fn tunnel(wire: &mut Wire, to: std::net::SocketAddr) -> io::Result<()> {
    wire.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let near = wire.socket().try_clone()?;
    let far = TcpStream::connect(to)?;
    let (mut up, mut down) = ((near.try_clone()?, far.try_clone()?), (far, near));
    let upward = thread::spawn(move || io::copy(&mut up.0, &mut up.1));
    let _ = io::copy(&mut down.0, &mut down.1);
    let _ = down.1.shutdown(Shutdown::Both);
    let _ = upward.join();
    Ok(())
}

impl Shared {
    fn peek(&self) -> Step {
        self.steps.lock().unwrap().front().unwrap().clone()
    }

    fn next(&self) -> Step {
        let mut steps = self.steps.lock().unwrap();
        if steps.len() > 1 { steps.pop_front().unwrap() } else { steps.front().unwrap().clone() }
    }

    fn record(&self, request: Recorded) {
        self.requests.lock().unwrap().push(request);
    }
}

/// A connection with or without TLS.
enum Wire {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>),
}

impl Wire {
    fn new(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Wire> {
        let Some(tls) = tls else { return Ok(Wire::Plain(stream)) };
        let connection = rustls::ServerConnection::new(tls).map_err(io::Error::other)?;
        Ok(Wire::Tls(Box::new(rustls::StreamOwned::new(connection, stream))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    fn close(&mut self) -> io::Result<()> {
        if let Wire::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Both)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// Byte by byte, so that nothing of the body is consumed.
fn read_head(wire: &mut Wire) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        wire.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn parse_head(head: &str, connection: usize) -> io::Result<Recorded> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(String::from);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Err(io::Error::other("request line")) };
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.into(), v.into())).collect();
    Ok(Recorded { method, path, headers, body: Vec::new(), raw: Vec::new(), connection, at: Instant::now() })
}

fn unzipped(request: &Recorded) -> Vec<u8> {
    let mut plain = Vec::new();
    match request.header("content-encoding") {
        Some("gzip") if flate2::read::GzDecoder::new(&request.raw[..]).read_to_end(&mut plain).is_ok() => plain,
        _ => request.raw.clone(),
    }
}
