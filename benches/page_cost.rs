//! The memory of thirty HTTP checks, each with its own thread and connection, compared with thirty idle threads.
//!
//! `cargo bench --bench page_cost`; it fails if the difference exceeds [`MOST_KIB`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[allow(dead_code)]
mod measured;

use measured::{Killed, pss_kib};
use puypuy::check::{Context, DEFAULT_MAX_SERIES, Out};
use puypuy::checks;
use puypuy::config::section::{Entry, Section};
use puypuy::fetch::program::Programs;
use puypuy::model::point::{Identity, Tick};
use puypuy::model::roots::Roots;
use puypuy::sys::memory::limit_heaps;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const CHECKS: u64 = 30;
const TICKS: i64 = 5;
const PERIOD: Duration = Duration::from_millis(200);
/// Stack size of a worker of the daemon, in bytes.
const STACK: usize = 512 << 10;
const MOST_KIB: u64 = 2176;
/// The argument with which this program acts as the server, in a separate process.
const SERVE: &str = "serve";

/// Answers every request with a page of nginx, and prints its port.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let page = include_str!("../tests/checks/nginx/1.22.1/tick1/status.txt");
    for mut stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let mut heard = [0; 4096];
            while matches!(stream.read(&mut heard), Ok(1..)) {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len()).unwrap();
            }
        });
    }
}

/// Runs check_nginx a few times, reports that, and keeps its connection.
fn check(port: &str, is_done: Sender<()>) {
    let spec = checks::find("check_nginx").unwrap();
    let entry = |(key, value): (&str, String)| Entry { key: key.into(), value, line: 1 };
    let keys = [("address", format!("http://127.0.0.1:{port}")), ("stats", "/nginx_status".into())];
    let section = Section { name: spec.section.into(), line: 1, entries: keys.map(entry).into(), ..Section::default() };
    let mut check = (spec.build)(&section).unwrap();
    let none = String::new;
    let identity = Identity { host: "bench".into(), cluster: none(), group: none(), location: none() };
    let (programs, roots) = (Programs::new("/".into(), identity), Roots::default());
    let tick = |number| {
        let at = Instant::now();
        Tick { wall: number, at, deadline: at + Duration::from_secs(5), period: PERIOD }
    };
    let mut out = Out::new(spec.check_type, DEFAULT_MAX_SERIES, tick(0));
    for number in 1..=TICKS {
        thread::sleep(PERIOD);
        out.begin(tick(number));
        check.run(&Context { tick: tick(number), roots: &roots, programs: &programs }, &mut out).unwrap();
        assert!(!out.finish().0.is_empty());
    }
    is_done.send(()).unwrap();
    loop {
        thread::park();
    }
}

/// The memory in KiB of this many threads that run `work`, measured when all have reported that they are done.
fn cost(threads: u64, work: impl Fn(Sender<()>) + Clone + Send + 'static) -> u64 {
    let (is_done, done) = channel();
    let before = pss_kib(std::process::id());
    for _ in 0..threads {
        let (work, is_done) = (work.clone(), is_done.clone());
        thread::Builder::new().stack_size(STACK).spawn(move || work(is_done)).unwrap();
    }
    done.iter().take(threads as usize).count();
    pss_kib(std::process::id()) - before
}

fn main() {
    if std::env::args().any(|word| word == SERVE) {
        return serve();
    }
    limit_heaps();
    let mut server = Command::new(std::env::current_exe().unwrap());
    let mut server = Killed(server.arg(SERVE).stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let port = port.trim().to_string();
    let ask = move |is_done| check(&port, is_done);
    let idle = |is_done: Sender<()>| {
        is_done.send(()).unwrap();
        loop {
            thread::park();
        }
    };
    let first = cost(1, ask.clone());
    let (checks, idle) = (cost(CHECKS, ask), cost(CHECKS, idle));
    println!("the first check of a page     {first:6} KiB, the program's code included");
    println!("{CHECKS} more                       {checks:6} KiB");
    println!("{CHECKS} threads that do nothing    {idle:6} KiB");
    assert!(checks <= idle + MOST_KIB, "{CHECKS} checks may cost {MOST_KIB} KiB more than as many idle threads");
}
