//! check_coredns against CoreDNS, which answers from a file, from its cache and from a server behind it, compared with
//! the queries and with CoreDNS's own page.

use crate::exposition::on_page;
use crate::golang::{self, Changes};
use crate::server::{Program, free_port, http, wait};
use crate::watched::Watched;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
/// The numbers of record types and of response codes.
const A: u16 = 1;
const TXT: u16 = 16;
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// Queries records of this type, and returns the response code.
fn ask(port: u16, name: &str, kind: u16) -> u8 {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len().try_into().unwrap());
        query.extend(label.bytes());
    }
    query.push(0);
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(START)).unwrap();
    socket.send_to(&query, ("127.0.0.1", port)).unwrap();
    let mut answer = [0; 512];
    assert!(socket.recv(&mut answer).unwrap() >= query.len(), "{answer:?}");
    answer[3] & 15
}

pub fn coredns() -> Result<(), String> {
    let coredns = golang::program("github.com/coredns/coredns@v1.15.0", ".", &Changes::default())?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name).display().to_string();
    let (front, behind, page) = (free_port(), free_port(), free_port());
    fs::write(inside("hosts"), "10.1.2.3 web.example\n10.1.2.4 shop.example\n").unwrap();
    let config = format!(
        ".:{front} {{\n bind 127.0.0.1\n prometheus 127.0.0.1:{page}\n errors\n cache 30\n hosts {} {{\n fallthrough\n }}\n \
         forward . 127.0.0.1:{behind}\n}}\n\
         .:{behind} {{\n bind 127.0.0.1\n template IN A {{\n answer \"{{{{ .Name }}}} 60 IN A 10.9.9.9\"\n }}\n \
         template ANY ANY {{\n rcode NXDOMAIN\n }}\n}}\n",
        inside("hosts")
    );
    fs::write(inside("Corefile"), config).unwrap();
    let start = || {
        let mut command = Command::new(&coredns);
        let server = Program::start(command.args(["-conf", &inside("Corefile")]), &folder.path().join("log"));
        wait("CoreDNS", START, || http(page, "GET", "/metrics").is_some_and(|(status, _)| status == 200));
        server
    };
    let server = start();
    // A counter appears on the page with its first query: here two misses, one of them forwarded, and one hit.
    for (name, kind, code) in
        [("web.example", A, NO_ERROR), ("web.example", A, NO_ERROR), ("first.example", TXT, NO_SUCH_NAME)]
    {
        assert_eq!(ask(front, name, kind), code, "{name}");
    }
    assert_eq!(ask(front, "first.example", A), NO_ERROR);
    let section = format!("[coredns]\nmetrics: http://127.0.0.1:{page}/metrics\n");
    let watched = Watched::start("check_coredns", "k8s.ini", &section);
    watched.now("coredns_dns_requests", &[("zone", "."), ("type", "A")]);

    (0..50).for_each(|_| assert_eq!(ask(front, "web.example", A), NO_ERROR));
    (0..20).for_each(|number| assert_eq!(ask(front, &format!("a{number}.example"), A), NO_ERROR));
    (0..10).for_each(|number| assert_eq!(ask(front, &format!("t{number}.example"), TXT), NO_SUCH_NAME));
    let to = format!("127.0.0.1:{behind}");
    for (metric, tags, count) in [
        ("coredns_dns_requests", &[("zone", "."), ("type", "A")][..], 70.0),
        ("coredns_dns_requests", &[("zone", "."), ("type", "TXT")], 10.0),
        ("coredns_dns_responses", &[("zone", "."), ("rcode", "NOERROR")], 70.0),
        ("coredns_dns_responses", &[("zone", "."), ("rcode", "NXDOMAIN")], 10.0),
        ("coredns_cache_hits", &[("type", "success")], 50.0),
        ("coredns_cache_misses", &[], 30.0),
        ("coredns_forward_requests", &[("to", &to)], 30.0),
        ("coredns_forward_responses", &[("to", &to), ("rcode", "NXDOMAIN")], 10.0),
    ] {
        // Rates of a second each.
        let sum = || watched.counted(metric, tags);
        wait(&format!("{metric} {tags:?}"), START, || (sum() - count).abs() < count / 5.0);
    }
    assert_eq!(on_page(page, "coredns_dns_requests_total", &["type=\"A\""]), Some(73.0));
    for (metric, tags, name, labels) in [
        ("coredns_cache_entries", &[("type", "success")][..], "coredns_cache_entries", &["type=\"success\""][..]),
        ("coredns_hosts_entries", &[], "coredns_hosts_entries", &[]),
        ("coredns_panics_total", &[], "coredns_panics_total", &[]),
        ("coredns_process_start_time_seconds", &[], "process_start_time_seconds", &[]),
        ("coredns_process_max_fds", &[], "process_max_fds", &[]),
    ] {
        watched.until(metric, tags, |value| Some(value) == on_page(page, name, labels));
    }
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    watched.outage("coredns_go_goroutines", &[], server, Program::end, start);
    Ok(())
}
