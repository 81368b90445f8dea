//! A loopback server of line protocol and `/api/put`: responds 204 after a delay, and remembers which points arrived
//! when.

use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What has arrived so far.
#[derive(Default)]
pub struct Came {
    pub requests: usize,
    /// When each point first arrived, by its number.
    pub first: HashMap<i64, Instant>,
    /// Points that arrived again.
    pub repeated: usize,
}

pub struct Server {
    pub port: u16,
    came: Arc<Mutex<Came>>,
}

impl Server {
    /// Responds to each request after this delay, whatever its size, and to any number of requests concurrently.
    pub fn start(delay: Duration) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::<Mutex<Came>>::default();
        let server = Server { port, came: Arc::clone(&came) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let came = Arc::clone(&came);
                thread::spawn(move || serve(stream.unwrap(), delay, &came));
            }
        });
        server
    }

    pub fn came(&self) -> MutexGuard<'_, Came> {
        self.came.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, delay: Duration, came: &Mutex<Came>) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    while let Some(body) = request(&mut lines) {
        let now = Instant::now();
        let numbers = numbers(&body);
        {
            let mut came = came.lock().unwrap();
            came.requests += 1;
            for number in numbers {
                let known = came.first.len();
                came.first.entry(number).or_insert(now);
                came.repeated += usize::from(came.first.len() == known);
            }
        }
        thread::sleep((now + delay).saturating_duration_since(Instant::now()));
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}

/// The next body; `None` at the end of the connection.
fn request(lines: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut length, mut is_gzip) = (0, false);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        is_gzip |= line.starts_with("content-encoding:") && line.ends_with("gzip");
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    if !is_gzip {
        return Some(body);
    }
    let mut plain = Vec::new();
    GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
    Some(plain)
}

/// The values of the points, which are integers, in either format.
fn numbers(body: &[u8]) -> Vec<i64> {
    let text = std::str::from_utf8(body).unwrap();
    let before = if text.starts_with('[') { "\"value\":" } else { " value=" };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    text.split(before).skip(1).map(|rest| rest[..digits(rest)].parse().unwrap()).collect()
}
