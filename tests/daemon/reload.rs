//! A changed configuration is applied while everything runs, as a whole or not at all.

use crate::support::server::{Server, Step};
use crate::support::tls::authority;
use crate::support::{Home, free_port, is_root, signal, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

/// The keys of InfluxDB.
fn influx(server: &str) -> Vec<(&'static str, String)> {
    vec![("tsdtype", "InfluxDB".into()), ("address", server.into()), ("database", "d".into())]
}

fn to(home: Home, tsdb: &[(&'static str, String)]) -> Home {
    let tsdb: Vec<(&str, &str)> = tsdb.iter().map(|(key, value)| (*key, value.as_str())).collect();
    home.to(&tsdb)
}

/// Sets an old modification time: after a change of the folder all sections are read again.
fn enable(home: &Home, checks: &[&str]) {
    for check in checks {
        symlink("../x", home.path(&format!("checks_enabled/check_{check}.ini"))).unwrap();
    }
    let folder = File::open(home.path("checks_enabled")).unwrap();
    folder.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

fn conf(home: &Home, text: &str) {
    fs::create_dir_all(home.path("conf")).unwrap();
    // Atomic, because the daemon may read at any time.
    fs::write(home.path("new"), text).unwrap();
    fs::rename(home.path("new"), home.path("conf/system.ini")).unwrap();
}

/// The lines of this metric that a server received.
fn lines(server: &Server, metric: &str) -> Vec<String> {
    let bodies: Vec<String> = server.requests().iter().map(|request| request.text().to_string()).collect();
    let lines = bodies.iter().flat_map(|body| body.lines()).filter(|line| line.starts_with(&format!("{metric},")));
    lines.map(String::from).collect()
}

/// Whether the daemon has applied its reload with this number; `None` until that has ended.
fn said(home: &Home, number: u64) -> Option<bool> {
    let mut stream = UnixStream::connect(home.path("tmp/puypuy.sock")).ok()?;
    stream.write_all(b"reload\n").ok()?;
    let word: serde_json::Value = serde_json::from_reader(stream).ok()?;
    word["done"].as_bool().filter(|_| word["number"] == number)
}

fn names(pid: i32, folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_str().unwrap().to_string()).collect()
}

/// The IDs of the threads, except those that come and go.
fn threads(pid: i32) -> BTreeMap<String, String> {
    let name = |thread: &String| fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm")).unwrap_or_default();
    let all = names(pid, "task").into_iter().map(|thread| (name(&thread), thread));
    all.filter(|(name, _)| !name.starts_with("look-up")).map(|(name, thread)| (thread, name)).collect()
}

/// `RELOADS=1000` sets the number of reloads.
#[test]
fn hundreds_of_reloads_lose_no_tick_thread_or_descriptor() {
    let server = Server::always(204);
    let home = to(Home::new(), &influx(&server.url()));
    enable(&home, &["cpustats", "load_average", "openfiles"]);
    conf(&home, "[CPU Stats]\nhigh = 90\n");
    let pid = home.start();
    wait_for("the first ticks", || lines(&server, "sys_load_1").len() >= 3);
    let count: u64 = std::env::var("RELOADS").map_or(300, |count| count.parse().unwrap());
    let (before, mut descriptors) = (threads(pid), 0);
    for number in 1..=count {
        let (value, is_good) = if number % 2 == 0 { ("8x", false) } else { ("8", true) };
        conf(&home, &format!("[CPU Stats]\nhigh = {value}{}\n", number % 10));
        signal(pid, "HUP");
        wait_for("the answer of the daemon", || said(&home, number) == Some(is_good));
        if number == 2 {
            descriptors = names(pid, "fd").len();
        }
    }
    let ticks = lines(&server, "sys_load_1").len();
    wait_for("two more ticks", || lines(&server, "sys_load_1").len() >= ticks + 2);
    assert_eq!(threads(pid), before, "threads");
    let now = names(pid, "fd").len();
    assert!(now <= descriptors + 2, "{now} descriptors, {descriptors} before");
    for metric in ["sys_load_1", "file_handles_allocated"] {
        let times: Vec<i64> =
            lines(&server, metric).iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!times.is_empty(), "{metric}");
        let wanted: Vec<i64> = (times[0]..).take(times.len()).collect();
        assert_eq!(times, wanted, "{metric}: a tick was lost or repeated");
    }
    let log = home.log();
    assert_eq!(log.matches("INFO reloaded\n").count() as u64, count.div_ceil(2), "{log}");
    assert!(log.contains("check_cpustats: its section has changed"), "{log}");
    assert!(!log.contains("check_load_average: its section has changed"), "{log}");
}

#[test]
fn with_any_mistake_everything_continues_as_before() {
    let server = Server::always(204);
    let home = to(Home::new(), &influx(&server.url()));
    enable(&home, &["load_average", "cpustats"]);
    let said = home.puypuy(&["reload"]);
    assert!(said.code == 1 && said.err.contains("not running; `puypuy start` starts it"), "{said:?}");
    let pid = home.start();
    let good = home.read("config.ini");
    let refused = |text: &str, parts: &[&str]| {
        fs::write(home.path("config.ini"), text).unwrap();
        let said = home.puypuy(&["reload"]);
        let all = said.out.clone() + &said.err;
        assert_eq!(said.code, 1, "{said:?}");
        parts.iter().for_each(|part| assert!(all.contains(part), "{part}: {all}"));
        assert!(all.contains("nothing was reloaded"), "{all}");
    };
    refused(
        &good.replace("check_period_seconds = 1", "check_period_seconds = x"),
        &["config.ini:2 [SelfConfig] check_period_seconds"],
    );
    refused(&good.replace("cluster_name = test", "cluster_name = other\nhost_group test"), &["config.ini:4 "]);
    // Errors that only show when something is tried have a line number, too.
    let log = home.path("log/puypuy.log").display().to_string();
    let nowhere = home.path("config.ini/x.log").display().to_string();
    refused(&good.replace(&log, &nowhere), &["config.ini:6 [SelfConfig] log_file: ", "config.ini: not a folder; "]);
    refused(
        &good.replace(&log, "/proc/nowhere/x.log"),
        &["config.ini:6 [SelfConfig] log_file: /proc/nowhere: cannot make the folder"],
    );
    conf(&home, "[CPU Stats]\nhigh = 1\n[Load Average]\nhigh = x\n");
    refused(
        &good.replace("cluster_name = test", "cluster_name = other"),
        &["conf/system.ini:4 [Load Average] high: \"x\""],
    );
    // The same by the signal, without the command that checks the files first.
    signal(pid, "HUP");
    wait_for("the daemon's own look", || {
        home.log().contains("ERROR reload: checks_enabled/check_load_average.ini: conf/system.ini:4 ")
    });
    wait_for("its end", || home.log().contains("ERROR nothing was reloaded; everything goes on as before"));
    let before = lines(&server, "sys_load_1").len();
    wait_for("two more ticks", || lines(&server, "sys_load_1").len() > before + 1);
    assert!(lines(&server, "sys_load_1").iter().all(|line| line.contains("cluster=test")));
    assert!(!home.log().contains("its section has changed"), "{}", home.log());
    // The corrected file is applied.
    conf(&home, "");
    fs::write(home.path("config.ini"), good).unwrap();
    assert_eq!(home.puypuy(&["reload"]).code, 0);
    assert_eq!(home.pid(), pid);
}

#[test]
fn changed_parts_are_replaced_and_waiting_points_are_delivered() {
    let (silent, server) = (TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(), Server::always(204));
    let home = to(Home::new().with("host_group", "before"), &influx(&format!("http://{silent}")));
    enable(&home, &["load_average"]);
    fs::create_dir(home.path("scripts_enabled")).unwrap();
    let script = home.path("scripts_enabled/check_group");
    fs::write(&script, "#!/bin/sh\necho group 1 test stack of=$PUYPUY_GROUP\n").unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let pid = home.start();
    wait_for("the spool to be used", || home.log().contains("points are kept in the spool"));
    let home = to(home.with("host_group", "after"), &influx(&server.url()));
    let home = home.with("log_file", "log/other.log").with("debug_log", "yes").with("check_period_seconds", "0.5");
    let said = home.puypuy(&["reload"]);
    assert_eq!((said.code, said.out.lines().last()), (0, Some("reloaded")), "{said:?}");
    assert_eq!(said.err, "", "{said:?}");
    wait_for("the other log", || home.read("log/other.log").contains("INFO reloaded\n"));
    // Points from the spool and new ones both have the new name, because the spool does not contain the identity.
    wait_for("points of before and after", || {
        let times: BTreeSet<String> =
            lines(&server, "sys_load_1").iter().map(|line| line.rsplit(' ').next().unwrap().to_string()).collect();
        times.len() >= 4
    });
    assert!(lines(&server, "sys_load_1").iter().all(|line| line.contains("group=after")));
    wait_for("a script that knows", || lines(&server, "group").iter().any(|line| line.contains("of=after")));
    assert_eq!(home.pid(), pid);
    // A refused request, or a wait longer than the old server's backoff, would show up here.
    wait_for("an empty spool", || home.puypuy(&["spool", "ls"]).out.contains("nothing waits"));
}

#[test]
fn a_new_period_holds_at_once() {
    let server = Server::always(204);
    let home = to(Home::new().with("check_period_seconds", "3600"), &influx(&server.url()));
    enable(&home, &["load_average"]);
    home.start();
    wait_for("the first tick", || !lines(&server, "sys_load_1").is_empty());
    let home = home.with("check_period_seconds", "0.5");
    assert_eq!(home.puypuy(&["reload"]).code, 0);
    let times = || -> BTreeSet<String> {
        lines(&server, "sys_load_1").iter().map(|line| line.rsplit(' ').next().unwrap().to_string()).collect()
    };
    // Much earlier than the loop would look for anything by itself.
    wait_for("ticks of the new period", || times().len() >= 4);
}

#[test]
fn the_web_server_moves_closes_and_opens() {
    let port = free_port();
    let home = Home::new();
    enable(&home, &["load_average"]);
    let plain = home.read("config.ini");
    let web = |text: &str| fs::write(home.path("config.ini"), plain.replace("webserver = no\n", text)).unwrap();
    let ask = |path: &str| {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut answer = String::new();
        let Ok(mut stream) = TcpStream::connect(at) else { return answer };
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    web(&format!("webaddress = 127.0.0.1:{port}\n"));
    home.start();
    assert!(ask("/api/status").starts_with("HTTP/1.1 200"));
    let reload = || {
        let said = home.puypuy(&["reload"]);
        assert_eq!(said.code, 0, "{said:?}");
    };
    web(&format!("webaddress = 0.0.0.0:{port}\nwebuser = a\nwebpassword = b\n"));
    reload();
    assert!(home.log().contains(&format!("web server: listening at 0.0.0.0:{port}")), "{}", home.log());
    assert!(ask("/api/status").starts_with("HTTP/1.1 401"));
    web("webserver = no\n");
    reload();
    wait_for("the end of the server", || ask("/health").is_empty());
    web(&format!("webserver = yes\nwebaddress = 127.0.0.1:{port}\n"));
    reload();
    assert!(ask("/api/status").starts_with("HTTP/1.1 200"));
    // Another program has the port: nothing changes.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    web(&format!("webserver = yes\nwebaddress = {}\n", taken.local_addr().unwrap()));
    let said = home.puypuy(&["reload"]);
    assert!(said.code == 1 && said.err.contains(" [WebServer] webaddress: web server: cannot listen at"), "{said:?}");
    assert!(said.err.starts_with("puypuy: config.ini:"), "{said:?}");
    assert!(ask("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn changes_that_need_a_restart_or_reload_are_logged() {
    let home = Home::new();
    enable(&home, &["load_average"]);
    home.start();
    let old = home.read("config.ini");
    wait_for("a second to pass since the start", || home.log().contains("ready"));
    fs::write(
        home.path("config.ini"),
        old.replace("cluster_name = test", "run_user = nobody\nrootfs = /\nproc_root = /p\ncluster_name = new"),
    )
    .unwrap();
    let word = "WARN config.ini was changed after it was read; `puypuy reload` takes it over\n";
    wait_for("the answer", || home.log().contains(word));
    let said = home.puypuy(&["reload"]);
    if !is_root() {
        assert_eq!(said.code, 0, "{said:?}");
        for key in ["run_user", "proc_root"] {
            assert!(said.err.contains(&format!("[SelfConfig] {key}: takes effect at the next restart")), "{said:?}");
        }
        assert!(!said.err.contains("rootfs"), "{said:?}");
    }
    assert_eq!(home.log().matches(word).count(), 1);
    // The socket is elsewhere: the daemon is found, but does not answer there.
    let home = home.with("tmpdir", "elsewhere");
    let said = home.puypuy(&["reload"]);
    assert!(
        said.code == 1
            && said.err.contains("tmpdir in [SelfConfig] was changed, which takes effect at the next restart"),
        "{said:?}"
    );
}

/// A request is never answered: the reload does not wait for it, and the new sink is used after the old request has
/// timed out.
#[test]
fn a_hanging_sink_does_not_delay_a_reload() {
    let (hangs, server) = (Server::start(vec![Step::Silence]), Server::always(204));
    let mut tsdb = influx(&hangs.url());
    tsdb.push(("timeout", "2".into()));
    let home = to(Home::new(), &tsdb);
    enable(&home, &["load_average"]);
    home.start();
    wait_for("a request that hangs", || !hangs.requests().is_empty());
    let home = to(home, &influx(&server.url()));
    assert_eq!(home.puypuy(&["reload"]).code, 0);
    let first = {
        wait_for("all points at the other server", || lines(&server, "sys_load_1").len() >= 4);
        let mut times: Vec<i64> =
            lines(&server, "sys_load_1").iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        times.sort_unstable();
        times
    };
    let wanted: Vec<i64> = (first[0]..).take(first.len()).collect();
    assert_eq!(first, wanted);
}

/// A certificate that was renewed under the same path is read again, although no section changed.
#[test]
fn a_renewed_certificate_is_read() {
    let server = Server::always(204);
    let home = Home::new();
    let ca = home.path("ca.pem");
    fs::write(&ca, authority().pem()).unwrap();
    let mut tsdb = influx(&server.url());
    tsdb.push(("ca_file", ca.display().to_string()));
    let home = to(home, &tsdb);
    enable(&home, &["load_average"]);
    home.start();
    wait_for("the first request", || !server.requests().is_empty());
    let connection = || server.requests().last().unwrap().connection;
    let before = connection();
    assert_eq!(home.puypuy(&["reload"]).code, 0);
    fs::write(&ca, authority().pem()).unwrap();
    assert_eq!(connection(), before);
    assert_eq!(home.puypuy(&["reload"]).code, 0);
    wait_for("a connection of another sink", || connection() > before);
}

#[test]
fn a_secret_is_read_again() {
    let server = Server::always(204);
    let home = Home::new();
    fs::write(home.path("pass"), "one").unwrap();
    let mut tsdb = influx(&server.url());
    tsdb.extend([
        ("auth", "yes".into()),
        ("user", "a".into()),
        ("pass", format!("file:{}", home.path("pass").display())),
    ]);
    let home = to(home, &tsdb);
    enable(&home, &["load_average"]);
    home.start();
    let has = |wanted: &str| server.requests().iter().any(|request| request.header("Authorization") == Some(wanted));
    wait_for("the first password", || has("Basic YTpvbmU="));
    fs::write(home.path("pass"), "two").unwrap();
    assert_eq!(home.puypuy(&["reload"]).code, 0);
    wait_for("the second password", || has("Basic YTp0d28="));
    fs::remove_file(home.path("pass")).unwrap();
    let said = home.puypuy(&["reload"]);
    assert!(said.code == 1 && said.out.contains("[TSDB] pass: file:"), "{said:?}");
}
