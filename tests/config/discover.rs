//! `puypuy discover`: finds servers by what /proc says listens on a machine, queries each once without credentials, and
//! enables checks.

use crate::support::Home;
use crate::support::pages::{Page, Pages};
use puypuy::checks::{self, signs};
use puypuy::config::{edit, shipped};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const STUB: &str = "Active connections: 1\nserver accepts handled requests\n 2 2 3\nReading: 0 Writing: 1 Waiting: 0\n";

/// A home whose /proc is that of this machine except for sockets and processes: each program given is listening there.
fn home(listeners: &[(&str, &str, u16)]) -> Home {
    let home = Home::new();
    let proc = home.path("proc");
    fs::create_dir_all(proc.join("net")).unwrap();
    for (from, to) in [("/proc", proc.clone()), ("/proc/net", proc.join("net"))] {
        for entry in fs::read_dir(from).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if !name.starts_with(|letter: char| letter.is_ascii_digit()) && !["net", "tcp", "tcp6"].contains(&&*name) {
                symlink(entry.path(), to.join(name)).unwrap();
            }
        }
    }
    let mut table = String::from(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
    );
    for (number, (program, address, port)) in listeners.iter().enumerate() {
        let inode = 7_000 + number;
        let zeros = "00000000:00000000 00:00000000 00000000     0        0";
        table += &format!("{number:4}: {address}:{port:04X} 00000000:0000 0A {zeros} {inode} 1 0 100 0 0 10 0\n");
        if program.is_empty() {
            continue;
        }
        let folder = proc.join(format!("{}", 100 + number));
        fs::create_dir_all(folder.join("fd")).unwrap();
        fs::write(folder.join("comm"), format!("{program}\n")).unwrap();
        fs::write(folder.join("cmdline"), format!("/usr/sbin/{program}\0-g\0")).unwrap();
        symlink(format!("socket:[{inode}]"), folder.join("fd/3")).unwrap();
    }
    fs::write(proc.join("net/tcp"), table).unwrap();
    let proc = proc.display().to_string();
    home.with("proc_root", &proc)
}

fn port(pages: &Pages) -> u16 {
    pages.address().rsplit(':').next().unwrap().parse().unwrap()
}

fn ship(home: &Home, change: impl Fn(String) -> String) -> String {
    fs::create_dir_all(home.path("conf")).unwrap();
    let text = change(shipped::text("conf/webservers.ini").unwrap().into());
    fs::write(home.path("conf/webservers.ini"), &text).unwrap();
    fs::set_permissions(home.path("conf/webservers.ini"), Permissions::from_mode(0o604)).unwrap();
    text
}

#[test]
fn a_server_that_answers_is_enabled_with_its_address() {
    let pages = Pages::on_port(|_| Page::body(STUB));
    let home = home(&[("nginx", "00000000", port(&pages))]);
    let login = "[NginX]\nauth: True\nuser: somebody\npass: secret\n";
    let before = ship(&home, |text| text.replace("[NginX]\n", login).replace('\n', "\r\n"));
    let said = home.puypuy(&["discover"]);
    let address = format!("http://127.0.0.1:{}", port(&pages));
    let line = said.out.lines().find(|line| line.contains("check_nginx")).unwrap_or_default();
    assert!(said.code == 0 && line.starts_with("answers") && line.contains(&address), "{said:?}");
    assert!(said.out.contains("`puypuy discover --enable` switches them on"), "{said:?}");
    assert_eq!(pages.asked(), ["/nginx_status"]);
    assert!(!pages.heads().concat().to_lowercase().contains("authorization"), "{:?}", pages.heads());
    assert_eq!(home.read("conf/webservers.ini"), before);
    assert!(!home.path("checks_enabled/check_nginx.ini").is_symlink());

    let said = home.puypuy(&["discover", "--enable"]);
    assert!(said.out.contains("check_nginx: switched on\n"), "{said:?}");
    assert!(said.out.contains(&format!("conf/webservers.ini [NginX] address: now {address}\n")), "{said:?}");
    let after = before.replace("address: http://127.0.0.1:8088\r\n", &format!("address: {address}\r\n"));
    assert_eq!(home.read("conf/webservers.ini"), after);
    assert_eq!(crate::support::mode(home.path("conf/webservers.ini")), 0o604);
    assert_eq!(fs::read_dir(home.path("conf")).unwrap().count(), 1);
    let link = fs::read_link(home.path("checks_enabled/check_nginx.ini")).unwrap();
    assert_eq!(link, Path::new("../checks_available/check_nginx.ini"));

    // A check that is enabled is not tried again.
    let asked = pages.asked().len();
    let said = home.puypuy(&["discover"]);
    assert!(said.out.lines().any(|line| line.starts_with("on ") && line.contains("check_nginx")), "{said:?}");
    assert_eq!(pages.asked().len(), asked);
}

#[test]
fn a_server_that_does_not_answer_is_reported_with_a_remedy() {
    let pages = Pages::on_port(|_| Page::Status(404, "no".into()));
    let wanted = Pages::on_port(|_| Page::Status(401, "who?".into()));
    let hanging = Pages::on_port(|_| Page::Silence);
    let home = home(&[
        ("nginx", "0100007F", port(&pages)),
        ("haproxy", "0100007F", port(&wanted)),
        ("lighttpd", "0100007F", port(&hanging)),
        ("redis-server", "010200C0", 6379),
        ("mysqld", "0100007F", 1),
    ]);
    let said = home.puypuy(&["discover", "--enable"]);
    let line = |name: &str| said.out.lines().find(|line| line.contains(name)).unwrap_or_default().to_string();
    let (nginx, haproxy, redis) = (line("check_nginx"), line("check_haproxy"), line("check_redis"));
    assert!(
        nginx.starts_with("missing") && nginx.contains(&format!("nginx listens on 127.0.0.1:{}", port(&pages))),
        "{said:?}"
    );
    assert!(nginx.contains("HTTP 404") && nginx.contains("location = /nginx_status { stub_status;"), "{nginx}");
    assert!(haproxy.contains("HTTP 401") && haproxy.contains("set auth, user and pass"), "{haproxy}");
    assert!(redis.contains("redis-server listens on 192.0.2.1:6379 and not on loopback"), "{redis}");
    assert!(line("check_lighttpd").starts_with("missing"), "{said:?}");
    assert!(line("check_mysql").contains("cannot connect: connection refused"), "{said:?}");
    for name in ["check_nginx.ini", "check_haproxy.ini", "check_redis.ini", "check_lighttpd.ini", "check_mysql.ini"] {
        assert!(!home.path("checks_enabled").join(name).is_symlink(), "{name}");
    }
    assert!(said.out.contains("not seen here: ") && said.out.contains("by hand  check_snmp: "), "{said:?}");
}

#[test]
fn values_set_by_the_user_stay_and_links_are_not_followed() {
    let pages = Pages::on_port(|_| Page::body(STUB));
    let home = home(&[("nginx", "00000000", port(&pages))]);
    let own = ship(&home, |text| text.replace("address: http://127.0.0.1:8088\n", "address: http://10.0.0.1\n"));
    let said = home.puypuy(&["discover", "--enable"]);
    assert!(said.code == 1 && said.err.contains("check_nginx: stays off: conf/webservers.ini:"), "{said:?}");
    assert!(said.err.contains("[NginX] address: is yours and left as it is; what answers is http://127"), "{said:?}");
    assert_eq!(home.read("conf/webservers.ini"), own);
    assert!(!home.path("checks_enabled/check_nginx.ini").is_symlink());

    fs::write(home.path("elsewhere"), shipped::text("conf/webservers.ini").unwrap()).unwrap();
    fs::remove_file(home.path("conf/webservers.ini")).unwrap();
    symlink(home.path("elsewhere"), home.path("conf/webservers.ini")).unwrap();
    let said = home.puypuy(&["discover", "--enable"]);
    assert!(said.code == 1 && said.err.contains("is a link or no file, and is left alone"), "{said:?}");
    assert_eq!(home.read("elsewhere"), shipped::text("conf/webservers.ini").unwrap());
}

#[test]
fn a_port_of_a_hidden_program_is_tried_if_only_one_check_uses_it() {
    let home = home(&[("", "0100007F", 22222), ("", "0100007F", 80), ("sshd", "0100007F", 15672)]);
    let said = home.puypuy(&["discover"]);
    let lines =
        |name: &str| said.out.lines().filter(|line| line.contains(name) && !line.starts_with("not seen")).count();
    assert_eq!((lines("check_twemproxy"), lines("check_nginx"), lines("check_rabbitmq ")), (1, 0, 0), "{said:?}");
    assert!(said.out.contains("perhaps  check_twemproxy"), "{said:?}");
}

#[test]
fn quickstart_enables_what_answers_unless_a_check_was_enabled_before() {
    let pages = Pages::on_port(|_| Page::body(STUB));
    let listeners = [("nginx", "00000000", port(&pages))];
    let home = home(&listeners);
    let said = home.puypuy(&["quickstart"]);
    assert!(said.code == 0 && said.out.contains("check_nginx: switched on\n"), "{said:?}");
    assert!(said.out.contains("nginx_waiting"), "{said:?}");
    // It works without the shipped files, too.
    assert!(home.read("conf/webservers.ini").contains(&format!("address: {}\n", pages.address())));

    let chosen = self::home(&listeners);
    chosen.puypuy(&["enable", "memory"]);
    assert_eq!(chosen.puypuy(&["quickstart"]).code, 0);
    assert!(!chosen.path("checks_enabled/check_nginx.ini").is_symlink());
}

#[test]
fn every_check_has_exactly_one_matching_sign() {
    for spec in checks::all() {
        assert_eq!(signs::SIGNS.iter().filter(|sign| sign.check == spec.name).count(), 1, "{}", spec.name);
    }
    for sign in signs::SIGNS {
        let Some(spec) = checks::find(sign.check) else { continue };
        let keys: Vec<&str> = match &sign.place {
            signs::Place::Page { key, more, .. } => {
                std::iter::once(*key).chain(more.iter().map(|(key, _)| *key)).collect()
            }
            signs::Place::Port => vec!["host", "port"],
            signs::Place::Socket { key, .. } => vec![key],
            signs::Place::Here | signs::Place::ByHand(_) => continue,
        };
        assert!(keys.iter().all(|key| spec.has_key(key)), "{}: {keys:?}", sign.check);
        let is_asked =
            matches!(sign.place, signs::Place::Socket { .. }) || !sign.ports.is_empty() && !sign.programs.is_empty();
        assert!(is_asked, "{}", sign.check);
    }
}

#[test]
fn only_one_value_is_replaced() {
    let set = |text: &str| edit::set(text, "A", "key", "new");
    for (before, after) in [
        ("[A]\nkey = old # kept? no\n; c\n", "[A]\nkey = new\n; c\n"),
        ("; c\r\n[A]\r\n  KEY:old  \r\nb = 1\r\n", "; c\r\n[A]\r\n  KEY:new\r\nb = 1\r\n"),
        ("[A]\nkey:\n[B]\nkey: 1", "[A]\nkey: new\n[B]\nkey: 1"),
        ("[A]", "[A]\nkey: new\n"),
        ("[B]\nkey: 1", "[B]\nkey: 1\n\n[A]\nkey: new\n"),
        ("", "[A]\nkey: new\n"),
        ("[DEFAULT]\nkey = 1\n[A]\nb = 2\n", "[DEFAULT]\nkey = 1\n[A]\nkey: new\nb = 2\n"),
        ("[A]\nkey", "no"),
        ("[A]\nkey: old\n  more\n", "no"),
        ("[A]\rkey: old\rb: 1\r", "no"),
    ] {
        match set(before) {
            Ok(text) => assert_eq!(text, after, "{before:?}"),
            Err(why) => assert_eq!(after, "no", "{before:?}: {why}"),
        }
    }
    for (name, text) in shipped::FILES {
        let on_disk = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        assert_eq!(*text, on_disk, "{name}");
    }
    let conf = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")).unwrap().flatten();
    let files = conf.filter(|entry| entry.path().extension().is_some_and(|end| end == "ini"));
    assert_eq!(files.count() + 1, shipped::FILES.len());
}
