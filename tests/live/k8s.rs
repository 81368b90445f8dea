//! check_etcd against Debian's etcd, without TLS and with client certificates, compared with etcd's own page.

use crate::server::{Program, free_port, http, post, program, wait};
use crate::watched::Watched;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
const PUTS: usize = 50;

/// `ca.pem`, and a certificate signed by it, with its key, for server and client.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_string(), "localhost".into()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

pub fn etcd() -> Result<(), String> {
    let etcd = program("etcd", "etcd-server")?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name).display().to_string();
    certificates(folder.path());
    let (open, secured, peers) = (free_port(), free_port(), free_port());
    let clients = format!("http://127.0.0.1:{open},https://127.0.0.1:{secured}");
    let start = || {
        let mut command = Command::new(&etcd);
        command.args(["--data-dir", &inside("data"), "--listen-peer-urls", &format!("http://127.0.0.1:{peers}")]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--cert-file", &inside("server.pem"), "--key-file", &inside("server.key")]);
        command.args(["--client-cert-auth", "--trusted-ca-file", &inside("ca.pem")]);
        let server = Program::start(&mut command, &folder.path().join("etcd.log"));
        wait("etcd", START, || http(open, "GET", "/health").is_some_and(|(status, _)| status == 200));
        server
    };
    let server = RefCell::new(Some(start()));
    let place = format!("metrics: https://127.0.0.1:{secured}/metrics\nca_file: {}\n", inside("ca.pem"));
    let section = format!(
        "[etcd]\nmetrics: http://127.0.0.1:{open}/metrics\n\
         [etcd:secured]\n{place}client_cert: {}\nclient_key: {}\n[etcd:nobody]\n{place}",
        inside("client.pem"),
        inside("client.key")
    );
    let watched = Watched::start("check_etcd", "k8s.ini", &section);
    let secured = [("instance", "secured")];
    assert_eq!(watched.now("etcd_server_has_leader", &[]), 1.0);
    assert_eq!(watched.now("etcd_server_has_leader", &secured), 1.0);
    let said = watched.said();
    assert!(matches!(&said[..], [line] if line.contains("nobody: https://127.0.0.1")), "{said:#?}");

    let by_result = [("grpc_code", "OK")];
    watched.now("etcd_grpc_server_handled", &by_result);
    let before = watched.now("etcd_server_proposals_committed_total", &secured);
    for _ in 0..PUTS {
        let put = post(open, "POST", "/v3/kv/put", "{\"key\":\"a2V5\",\"value\":\"dmFsdWU=\"}");
        assert_eq!(put.map(|(status, _)| status), Some(200));
    }
    watched.until("etcd_server_proposals_committed_total", &secured, |count| count >= before + PUTS as f64);
    // Rates of a second each.
    let sum = || watched.points("etcd_grpc_server_handled", &by_result).iter().map(|(_, rate)| rate).sum::<f64>();
    wait("the rates of what was put", START, || (sum() - PUTS as f64).abs() < 10.0);
    let (_, page) = http(open, "GET", "/metrics").unwrap();
    for name in ["etcd_mvcc_db_total_size_in_bytes", "etcd_disk_wal_fsync_duration_seconds_count"] {
        let own = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap();
        watched.until(name, &[], |told| told == own);
    }

    drop(watched);
    let watched =
        Watched::start("check_etcd", "k8s.ini", &format!("[etcd]\nmetrics: http://127.0.0.1:{open}/metrics\n"));
    watched.now("etcd_server_has_leader", &[]);
    server.take().into_iter().for_each(Program::end);
    wait("a line about the server that went", START, || !watched.said().is_empty());
    let told = || watched.points("etcd_server_has_leader", &[]).len();
    let gone = told();
    server.replace(Some(start()));
    wait("points when the server is back", START, || told() > gone);
    wait("a line that it is back", START, || watched.said().last().is_some_and(|line| line.contains("works again")));
    // While it starts, it takes a second to answer: another log line.
    assert!(watched.said().len() <= 3, "{:#?}", watched.said());
    Ok(())
}
