//! Servers that fail at every tick in different ways: no connection or descriptor stays open.

use crate::support::mysql_server::{OK, VERSION, greeting, packet, read, refusal};
use crate::support::{Home, signal, wait_for};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The port of a server, and its number of connections so far.
type Server = (u16, Arc<AtomicUsize>);

/// A server that does this with each connection, and closes it.
fn server(serve: impl Fn(&mut TcpStream) -> io::Result<()> + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = serve(&mut stream);
        }
    });
    (port, count)
}

/// After a request, half a response.
fn half(answer: &'static [u8]) -> Server {
    server(|stream| stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(answer)))
}

#[test]
fn servers_that_fail_at_every_tick_leave_nothing_open() {
    // Nothing listens on port 1.
    let page = |name: &str, port: u16| format!("[{name}]\naddress: http://127.0.0.1:{port}\nstats: /status\n");
    let place =
        |name: &str, port: u16| format!("[{name}]\nhost: 127.0.0.1\nport: {port}\nuser: me\npass: x\nauth: True\n");
    let http = half(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nActive");
    let refused = half(b"HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\n");
    let login = server(|stream| {
        stream.write_all(&greeting(VERSION, "mysql_native_password"))?;
        read(stream);
        stream.write_all(&refusal(2, 1045, "Access denied"))
    });
    let amid = server(|stream| {
        stream.write_all(&greeting(VERSION, "mysql_native_password"))?;
        read(stream);
        stream.write_all(&[packet(2, OK), packet(1, &[1])].concat())?;
        read(stream);
        Ok(())
    });
    let mongo = half(&[60, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0xdd, 7, 0, 0, 0]);
    let redis = half(b"$500\r\nredis_version:7");
    let home = Home::new().with("check_period_seconds", "0.1");
    fs::create_dir_all(home.path("conf")).unwrap();
    let pages = [("NginX", 1), ("NginX:half", http.0), ("NginX:refused", refused.0)];
    let places = [
        ("MySQL", 1),
        ("MySQL:login", login.0),
        ("MySQL:amid", amid.0),
        ("MongoDB", 1),
        ("MongoDB:half", mongo.0),
        ("Redis", 1),
        ("Redis:half", redis.0),
    ];
    fs::write(home.path("conf/webservers.ini"), pages.map(|(name, port)| page(name, port)).concat()).unwrap();
    fs::write(home.path("conf/sql_cache.ini"), places.map(|(name, port)| place(name, port)).concat()).unwrap();
    for check in ["check_nginx", "check_mysql", "check_mongodb", "check_redis"] {
        fs::write(home.path("checks_enabled").join(check), "").unwrap();
    }
    let pid = home.start();
    let open = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let all = [http, refused, login, amid, mongo, redis];
    let have_failed = |times| all.iter().all(|(_, count)| count.load(Ordering::SeqCst) >= times);
    wait_for("the first ticks", || have_failed(5));
    // During a tick there are more, so the minimum is used.
    let mut before = usize::MAX;
    wait_for("some more", || {
        before = before.min(open());
        have_failed(10)
    });
    wait_for("many more", || have_failed(30));
    wait_for("no more open than before", || open() <= before);
    signal(pid, "TERM");
}
