//! InfluxDB: each answer of the server, and what is made of it.

use super::*;
use crate::support::server::Server;

#[test]
fn posts_lines_and_is_content_with_204() {
    let server = Server::always(204);
    let mut sink = sink(&server.url(), "");
    let point = tagged("sys_load_1", Value::Float(0.42), &[("core", "0")]);
    assert_eq!(send(&mut sink, &[point]), Verdict::Delivered);
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/write?db=test&precision=s"));
    let line = "sys_load_1,cluster=prod,core=0,group=web,host=db01.example.org,location=eu,type=system value=0.42 1500000000\n";
    assert_eq!(request.text(), line);
    assert_eq!(request.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request.header("content-length"), Some(line.len().to_string().as_str()));
    assert_eq!(request.header("user-agent"), Some(concat!("PuyPuy/", env!("CARGO_PKG_VERSION"))));
    for absent in ["expect", "referer", "authorization", "content-encoding", "transfer-encoding", "cookie"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

#[test]
fn keeps_one_connection() {
    let server = Server::always(204);
    let mut sink = sink(&server.url(), "");
    for _ in 0..20 {
        assert_eq!(send(&mut sink, &[point("m", Value::Int(1))]), Verdict::Delivered);
    }
    assert_eq!((server.requests().len(), server.connections()), (20, 1));
}
