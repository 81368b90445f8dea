//! Sockets counted by netlink and from /proc/net, on this machine and with our own connections.

use super::machine::{Machine, Worker, spec};
use puypuy::fetch::sockets::{Protocol, ask, read};
use puypuy::model::roots::Roots;
use std::net::{TcpListener, TcpStream, UdpSocket};

const ESTABLISHED: usize = 0;
const LISTEN: usize = 9;

#[test]
fn netlink_and_proc_count_the_same_sockets() {
    let roots = Roots::default();
    let ways: [(&str, &dyn Fn(Protocol) -> _); 3] = [
        ("netlink", &|protocol| ask(&roots, protocol, u64::MAX)),
        ("netlink of many", &|protocol| ask(&roots, protocol, 0)),
        ("/proc/net", &|protocol| read(&roots, protocol)),
    ];
    // Other tests open and close connections meanwhile: there are at least our own.
    let listeners: Vec<_> = (0..150).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let six = TcpListener::bind("[::1]:0");
    let clients: Vec<_> = listeners.iter().map(|one| TcpStream::connect(one.local_addr().unwrap()).unwrap()).collect();
    let served: Vec<_> = listeners.iter().map(|one| one.accept().unwrap()).collect();
    let datagrams: Vec<_> = (0..40).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (way, count) in ways {
        let tcp = match count(Protocol::Tcp) {
            Ok(tcp) => tcp,
            Err(error) if way != "/proc/net" => {
                crate::support::skip(&format!("no sock_diag here: {error}"));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(tcp.states[LISTEN] >= 150 + u64::from(six.is_ok()), "{way}: {tcp:?}");
        assert!(tcp.states[ESTABLISHED] >= (clients.len() + served.len()) as u64, "{way}: {tcp:?}");
        assert!(tcp.all() < 100_000, "{way}: {tcp:?}");
        match count(Protocol::Udp) {
            Ok(udp) => assert!(udp.all() >= datagrams.len() as u64, "{way}: {udp:?}"),
            Err(error) => crate::support::skip(&format!("{way}: {error}")),
        }
    }
    let told = Worker::new(spec("check_tcpconn"), &[]).tick(&roots);
    assert!(told.number("tcp_connections", "listen").unwrap() >= 150.0, "{:?}", told.faults);
    assert_eq!(told.tags("tcp_connections").len(), 13);
}

#[test]
fn without_ipv6_there_is_ipv4() {
    let machine = Machine::of("vm");
    for file in ["proc/net/tcp6", "proc/net/udp6"] {
        std::fs::remove_file(machine.path().join(file)).unwrap();
    }
    let told = Worker::new(spec("check_tcpconn"), &[]).tick(&machine.roots);
    assert_eq!((told.number("tcp_connections", "listen"), told.number("udp_clients", "udp")), (Some(1.0), Some(1.0)));
    assert!(told.faults.is_empty(), "{:?}", told.faults);
}
