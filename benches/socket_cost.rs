//! The cost of counting sockets with 100,000 of them open on this machine: by netlink, and from /proc/net.
//!
//! `cargo bench --bench socket_cost`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use puypuy::fetch::sockets::{Counts, EXACT, Protocol, ask, read};
use puypuy::model::roots::Roots;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SOCKETS: usize = 100_000;
/// A process can hardly have more open files.
const CONNECTIONS_EACH: usize = 5_000;
const HOLD: &str = "hold";
const ROUNDS: usize = 10;
const MOST: Duration = Duration::from_millis(20);

/// Keeps both ends of many connections open until its input ends.
fn hold() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap());
    let connections: Vec<_> = (0..CONNECTIONS_EACH).map(connect).collect();
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]);
    drop(connections);
}

fn start() -> Child {
    let own = std::env::current_exe().unwrap();
    let raised = r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", raised]).arg(own).arg(HOLD).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn best(count: impl Fn() -> Counts) -> (Duration, u64) {
    let round = |_| {
        let begun = Instant::now();
        let all = count().all();
        (begun.elapsed(), all)
    };
    (0..ROUNDS).map(round).min().unwrap()
}

fn main() {
    if std::env::args().any(|word| word == HOLD) {
        return hold();
    }
    let mut holders: Vec<Child> = (0..SOCKETS / CONNECTIONS_EACH / 2).map(|_| start()).collect();
    for holder in &mut holders {
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
    }
    let roots = Roots::default();
    let (netlink, all) = best(|| ask(&roots, Protocol::Tcp, EXACT).unwrap());
    let (files, _) = best(|| read(&roots, Protocol::Tcp).unwrap());
    println!("{all} TCP sockets: netlink {:.1} ms, /proc/net {:.1} ms", milliseconds(netlink), milliseconds(files));
    for mut holder in holders {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
    assert!(all as usize >= SOCKETS, "only {all} sockets were open");
    assert!(netlink < MOST, "counting took {netlink:?}");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
