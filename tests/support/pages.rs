//! A server of pages by path, on a unix socket or a loopback port, whose pages may be late, slow or missing.
//!
//! Unlike [`super::server::Server`] it follows no script, so the order of requests does not matter.

use super::server::answer;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The response to one request.
#[derive(Clone, Debug)]
pub enum Page {
    /// Status 200 and this body.
    Body(Vec<u8>),
    Status(u16, String),
    /// These bytes, whatever they are; then the connection is closed.
    Raw(Vec<u8>),
    /// The body byte by byte, with this pause before each byte.
    Drip(String, Duration),
    Late(Duration, Box<Page>),
    /// Nothing until the client disconnects.
    Silence,
}

impl Page {
    pub fn body(text: impl Into<Vec<u8>>) -> Page {
        Page::Body(text.into())
    }
}

type Pick = dyn Fn(&str) -> Page + Send + Sync;

struct Shared {
    pick: Box<Pick>,
    /// Paths with their queries.
    asked: Mutex<Vec<String>>,
    heads: Mutex<Vec<String>>,
    now: AtomicUsize,
    busiest: AtomicUsize,
    stopping: AtomicBool,
}

impl Shared {
    fn new(pick: impl Fn(&str) -> Page + Send + Sync + 'static) -> Arc<Shared> {
        Arc::new(Shared {
            pick: Box::new(pick),
            asked: Mutex::default(),
            heads: Mutex::default(),
            now: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        })
    }
}

/// Stops listening when dropped.
pub struct Pages {
    shared: Arc<Shared>,
    place: Address,
}

enum Address {
    Socket(PathBuf),
    Port(u16),
}

impl Pages {
    /// On a unix socket with this path.
    pub fn on_socket(path: &Path, pick: impl Fn(&str) -> Page + Send + Sync + 'static) -> Pages {
        let listener = UnixListener::bind(path).unwrap();
        let shared = Shared::new(pick);
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten().take_while(|_| !serving.stopping.load(Ordering::SeqCst)) {
                let serving = serving.clone();
                thread::spawn(move || serve(stream, &serving));
            }
        });
        Pages { shared, place: Address::Socket(path.into()) }
    }

    /// On a free port of 127.0.0.1.
    pub fn on_port(pick: impl Fn(&str) -> Page + Send + Sync + 'static) -> Pages {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared::new(pick);
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten().take_while(|_| !serving.stopping.load(Ordering::SeqCst)) {
                let serving = serving.clone();
                thread::spawn(move || serve(stream, &serving));
            }
        });
        Pages { shared, place: Address::Port(port) }
    }

    /// In the notation of a check's section.
    pub fn address(&self) -> String {
        match &self.place {
            Address::Socket(path) => format!("unix://{}", path.display()),
            Address::Port(port) => format!("http://127.0.0.1:{port}"),
        }
    }

    /// The requested paths with their queries, in order of arrival.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The heads of the requests.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// The maximum number of requests that were handled at the same time.
    pub fn busiest(&self) -> usize {
        self.shared.busiest.load(Ordering::SeqCst)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        match &self.place {
            Address::Socket(path) => drop(UnixStream::connect(path)),
            Address::Port(port) => drop(TcpStream::connect(("127.0.0.1", *port))),
        }
    }
}

/// A connection of either kind.
trait Wire: Read + Write {
    fn shut(&self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn shut(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Both)
    }
}

impl Wire for UnixStream {
    fn shut(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Both)
    }
}

fn serve(mut wire: impl Wire, shared: &Shared) {
    while let Some(head) = read_head(&mut wire) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_string();
        shared.heads.lock().unwrap().push(head);
        shared.asked.lock().unwrap().push(path.clone());
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.busiest.fetch_max(now, Ordering::SeqCst);
        let kept = tell((shared.pick)(&path), &mut wire);
        shared.now.fetch_sub(1, Ordering::SeqCst);
        if !kept.unwrap_or(false) {
            let _ = wire.shut();
            return;
        }
    }
}

/// Returns whether the connection is to be kept.
fn tell(page: Page, wire: &mut impl Wire) -> io::Result<bool> {
    match page {
        Page::Body(body) => wire.write_all(&answer(200, &[], &body)).map(|()| true),
        Page::Status(status, body) => wire.write_all(&answer(status, &[], body.as_bytes())).map(|()| true),
        Page::Raw(bytes) => wire.write_all(&bytes).map(|()| false),
        Page::Drip(body, pause) => {
            let whole = answer(200, &[], body.as_bytes());
            let (head, body) = whole.split_at(whole.len() - body.len());
            wire.write_all(head)?;
            for byte in body {
                thread::sleep(pause);
                wire.write_all(&[*byte])?;
            }
            Ok(true)
        }
        Page::Late(pause, page) => {
            thread::sleep(pause);
            tell(*page, wire)
        }
        Page::Silence => {
            while wire.read(&mut [0; 1024])? > 0 {}
            Ok(false)
        }
    }
}

fn read_head(wire: &mut impl Wire) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        wire.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
