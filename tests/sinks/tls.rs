//! TLS: which certificates are trusted, why others are not, and that changed files are noticed.

use super::*;
use crate::support::server::{Server, Step};
use crate::support::tls::{authority, config, file, params, self_signed, signed};
use puypuy::sink::influxdb::configure;
use rcgen::{Issuer, KeyPair, date_time_ymd};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use tempfile::TempDir;

fn trusting(server: &Server, ca_file: &Path) -> InfluxDb {
    sink(&server.url(), &format!("ca_file = {}", ca_file.display()))
}

fn one() -> Vec<Point> {
    vec![point("m", Value::Int(1))]
}

/// The message about a refused certificate, which always names both keys that help.
fn refusal(sink: &mut InfluxDb) -> String {
    let told = send(sink, &one());
    let Verdict::Pause { why } = told else { panic!("{told:?}") };
    assert!(why.starts_with("https://") && why.contains("ca_file") && why.contains("insecure_skip_verify"), "{why}");
    why
}

#[test]
fn a_private_authority_is_trusted_as_file_and_as_folder() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let server = signed(&authority, params(&["localhost"], "influx"));
    let path = file(&folder, "ca.pem", &authority.pem());
    let mut by_file = trusting(&server, &path);
    for _ in 0..3 {
        assert_eq!(send(&mut by_file, &one()), Verdict::Delivered);
    }
    assert_eq!(server.connections(), 1);
    let mut by_folder = sink(&server.url(), &format!("ca_path = {}", folder.path().display()));
    assert_eq!(send(&mut by_folder, &one()), Verdict::Delivered);
}

#[test]
fn an_unknown_issuer_is_named() {
    let server = signed(&authority(), params(&["localhost"], "influx"));
    let why = refusal(&mut sink(&server.url(), ""));
    assert!(why.contains("unknown issuer: the certificate of \"influx\" was issued by \"Own Test CA\""), "{why}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_wrong_name_is_named() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let server = signed(&authority, params(&["influx.example.org"], "influx"));
    let path = file(&folder, "ca.pem", &authority.pem());
    let why = refusal(&mut trusting(&server, &path));
    assert!(why.contains("wrong name in the certificate"), "{why}");
    assert!(why.contains("influx.example.org") && why.contains("not for \"localhost\""), "{why}");
}

#[test]
fn an_address_needs_its_own_entry() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let path = file(&folder, "ca.pem", &authority.pem());
    for (names, is_good) in [(&["127.0.0.1"], true), (&["localhost"], false)] {
        let server = signed(&authority, params(names, "influx"));
        let address = server.url().replace("localhost", "127.0.0.1");
        let told = send(&mut sink(&address, &format!("ca_file = {}", path.display())), &one());
        assert_eq!(told == Verdict::Delivered, is_good, "{told:?}");
    }
}

#[test]
fn an_expired_certificate_is_named() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let path = file(&folder, "ca.pem", &authority.pem());
    let mut expired = params(&["localhost"], "influx");
    expired.not_before = date_time_ymd(2001, 1, 1);
    expired.not_after = date_time_ymd(2002, 2, 3);
    let why = refusal(&mut trusting(&signed(&authority, expired), &path));
    assert!(why.contains("expired certificate: \"influx\" was valid until 2002-02-03 00:00:00 UTC"), "{why}");
    let mut early = params(&["localhost"], "influx");
    early.not_before = date_time_ymd(2098, 7, 6);
    let why = refusal(&mut trusting(&signed(&authority, early), &path));
    assert!(why.contains("not valid yet: \"influx\" is valid from 2098-07-06 00:00:00 UTC"), "{why}");
}

#[test]
fn a_self_signed_certificate_is_refused_unless_configured() {
    let folder = TempDir::new().unwrap();
    for says_it_is_a_ca in [false, true] {
        let (server, pem) = self_signed(params(&["localhost"], "my influx"), says_it_is_a_ca);
        let why = refusal(&mut sink(&server.url(), ""));
        assert!(why.contains("unknown issuer: the certificate of \"my influx\" is self-signed"), "{why}");
        let path = file(&folder, "own.pem", &pem);
        assert_eq!(send(&mut trusting(&server, &path), &one()), Verdict::Delivered, "CA: {says_it_is_a_ca}");

        let (other, _) = self_signed(params(&["localhost"], "my influx"), says_it_is_a_ca);
        assert!(refusal(&mut trusting(&other, &path)).contains("influx"));
    }
}

#[test]
fn a_configured_certificate_must_still_be_valid_and_have_the_name() {
    let folder = TempDir::new().unwrap();
    let (server, pem) = self_signed(params(&["other.example.org"], "x"), true);
    let why = refusal(&mut trusting(&server, &file(&folder, "name.pem", &pem)));
    assert!(why.contains("wrong name"), "{why}");
    let mut expired = params(&["localhost"], "x");
    expired.not_after = date_time_ymd(2002, 2, 3);
    let (server, pem) = self_signed(expired, true);
    let why = refusal(&mut trusting(&server, &file(&folder, "time.pem", &pem)));
    assert!(why.contains("expired certificate: \"x\" was valid until 2002-02-03"), "{why}");
    let mut early = params(&["localhost"], "x");
    early.not_before = date_time_ymd(2060, 2, 3);
    let (server, pem) = self_signed(early, true);
    let why = refusal(&mut trusting(&server, &file(&folder, "early.pem", &pem)));
    assert!(why.contains("not valid yet"), "{why}");
}

#[test]
fn verification_can_be_switched_off() {
    let mut expired = params(&["elsewhere"], "x");
    expired.not_after = date_time_ymd(2002, 2, 3);
    let (server, _) = self_signed(expired, true);
    let mut sink = sink(&server.url(), "insecure_skip_verify = True");
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
}

#[test]
fn a_client_certificate_is_shown_to_the_server() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let key = KeyPair::generate().unwrap();
    let issuer: &Issuer<'static, KeyPair> = &authority;
    let certificate = params(&["localhost"], "influx").signed_by(&key, issuer).unwrap();
    let config = config(&[certificate.der().to_vec()], &key, Some(&authority));
    let server = Server::start_tls(vec![Step::status(204)], config);
    let ca = file(&folder, "ca.pem", &authority.pem());
    let without = send(&mut trusting(&server, &ca), &one());
    assert!(matches!(without, Verdict::Retry { .. }), "{without:?}");

    let key = KeyPair::generate().unwrap();
    let certificate = params(&["me"], "me").signed_by(&key, issuer).unwrap();
    let cert = file(&folder, "cert.pem", &certificate.pem());
    let key = file(&folder, "key.pem", &key.serialize_pem());
    let keys = format!("ca_file = {}\nclient_cert = {}\nclient_key = {}", ca.display(), cert.display(), key.display());
    assert_eq!(send(&mut sink(&server.url(), &keys), &one()), Verdict::Delivered);
    let swapped = keys.replace("key.pem", "ca.pem");
    let section = section(&format!("address = {}\ndatabase = test\n{swapped}", server.url()));
    assert!(configure(&section).err().unwrap().to_string().contains("client_key"));
}

#[test]
fn a_file_that_changed_is_read_before_the_next_try() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let server = signed(&authority, params(&["localhost"], "influx"));
    let path = file(&folder, "ca.pem", &crate::support::tls::authority().pem());
    let mut sink = trusting(&server, &path);
    refusal(&mut sink);
    file(&folder, "ca.pem", &authority.pem());
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);

    // A missing file pauses delivery, and the points wait.
    server.disconnect();
    std::fs::remove_file(&path).unwrap();
    let told = send(&mut sink, &one());
    let fine =
        matches!(&told, Verdict::Delivered) || matches!(&told, Verdict::Pause { why } if why.contains("ca_file"));
    assert!(fine, "{told:?}");
}

#[test]
fn a_server_without_tls_is_tried_later() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let told = send(&mut sink(&address, ""), &one());
    assert!(matches!(&told, Verdict::Retry { why, .. } if why.ends_with("the server does not speak TLS")), "{told:?}");
}

#[test]
fn https_goes_through_a_proxy_as_a_tunnel() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let server = signed(&authority, params(&["influx.test"], "influx"));
    let proxy = Server::start(vec![Step::Tunnel(([127, 0, 0, 1], server.port()).into())]);
    let path = file(&folder, "ca.pem", &authority.pem());
    let keys = format!("ca_file = {}\nproxy = {}", path.display(), proxy.url());
    let mut sink = sink("https://influx.test:8086", &keys);
    assert_eq!(send(&mut sink, &one()), Verdict::Delivered);
    assert_eq!(
        (proxy.requests()[0].method.as_str(), proxy.requests()[0].path.as_str()),
        ("CONNECT", "influx.test:8086")
    );
    assert_eq!(server.requests()[0].path, "/write?db=test&precision=s");
}

/// Sends one point to the address in the environment and prints the verdict. Runs in its own process, because the
/// environment is shared by all tests.
#[test]
#[ignore = "run by other tests"]
fn child() {
    let address = std::env::var("PUYPUY_TEST_ADDRESS").unwrap();
    println!("{:?}", send(&mut sink(&address, ""), &one()));
}

fn verdict_of_child(address: &str, ca_file: &Path) -> String {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "sinks::tls::child", "--ignored", "--nocapture"]);
    child.env("PUYPUY_TEST_ADDRESS", address).env("SSL_CERT_FILE", ca_file).env_remove("SSL_CERT_DIR");
    String::from_utf8(child.output().unwrap().stdout).unwrap()
}

#[test]
fn the_environment_may_name_the_system_store() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let server = signed(&authority, params(&["localhost"], "influx"));
    let path = file(&folder, "system.pem", &authority.pem());
    let told = verdict_of_child(&server.url(), &path);
    assert!(told.contains("Delivered"), "{told}");
}

#[test]
fn a_system_without_certificates_can_still_use_plain_http() {
    let nothing = Path::new("/no/such/file");
    let server = Server::always(204);
    let told = verdict_of_child(&server.url(), nothing);
    assert!(told.contains("Delivered"), "{told}");
    let secured = signed(&authority(), params(&["localhost"], "influx"));
    let told = verdict_of_child(&secured.url(), nothing);
    assert!(told.contains("Pause") && told.contains("unknown issuer"), "{told}");
}
