//! check_mysql with Debian's MariaDB in every kind of login, compared with its own client; check_mongodb with FerretDB.

use crate::server::{Program, free_port, needs_root, program, wait};
use crate::watched::Watched;
use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const CONF: &str = "sql_cache.ini";
const START: Duration = Duration::from_secs(60);

struct MariaDb {
    folder: TempDir,
    port: u16,
}

impl MariaDb {
    fn new() -> Result<MariaDb, String> {
        needs_root("to become the server's user")?;
        program("mariadbd", "mariadb-server")?;
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--user=mysql", "--auth-root-authentication-method=socket"]);
        let made = install.arg(format!("--datadir={}", data.display())).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        fs::write(folder.path().join("cert.pem"), certified.cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        Ok(MariaDb { folder, port: free_port() })
    }

    fn inside(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn start(&self) -> Program {
        let mut command = Command::new(program("mariadbd", "mariadb-server").unwrap());
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--user=mysql", "--log-warnings=4"]);
        command.arg(format!("--port={}", self.port));
        let files = [
            ("datadir", "data"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("ssl-cert", "cert.pem"),
            ("ssl-key", "key.pem"),
        ];
        command.args(files.map(|(key, file)| format!("--{key}={}", self.inside(file))));
        let running = Program::start(&mut command, Path::new(&self.inside("log")));
        wait("MariaDB to answer", START, || self.ask("SELECT 1") == "1");
        running
    }

    fn ask(&self, statement: &str) -> String {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-N", "-S", &self.inside("socket"), "-e", statement]);
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_string()
    }

    fn status(&self, name: &str) -> f64 {
        let line = self.ask(&format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        line.split_whitespace().nth(1).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

pub fn mariadb() -> Result<(), String> {
    let server = MariaDb::new()?;
    let running = RefCell::new(Some(server.start()));
    server.ask(
        "INSTALL SONAME 'auth_ed25519'; CREATE USER puypuy@'127.0.0.1' IDENTIFIED BY 'secret';
         CREATE USER ed@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('x');
         CREATE USER tls@'127.0.0.1' IDENTIFIED BY 'secret' REQUIRE SSL;
         CREATE DATABASE shop; CREATE TABLE shop.sold(n INT); INSERT INTO shop.sold VALUES (1), (2), (3);
         GRANT SELECT ON shop.* TO puypuy@'127.0.0.1'",
    );
    let place = format!("host: 127.0.0.1\nport: {}\n", server.port);
    let section = format!(
        "[MySQL]\n{place}user: puypuy\npass: secret\ncustom: True\nquery: {{'sold': 'SELECT COUNT(*) FROM shop.sold'}}\n\
         [MySQL:ed]\n{place}user: ed\npass: x\n[MySQL:root]\nhost: {}\nuser: root\n\
         [MySQL:tls]\n{place}user: tls\npass: secret\ntls: require\nca_file: {}\n[MySQL:plain]\n{place}user: tls\npass: secret\n",
        server.inside("socket"),
        server.inside("cert.pem"),
    );
    let watched = Watched::start("check_mysql", CONF, &section);
    watched.until("mysql_com_select", &[], |_| true);
    let before = server.status("Com_select");
    let selects = "SELECT COUNT(*) FROM shop.sold; ".repeat(200);
    server.ask(&selects);
    let sum = |metric| watched.points(metric, &[]).iter().map(|(_, rate)| rate).sum::<f64>();
    wait("the rates of 200 selects", START, || sum("mysql_com_select") >= 190.0);
    let counted = server.status("Com_select") - before;
    assert!(sum("mysql_com_select") <= counted + 10.0, "{} told, {counted} counted", sum("mysql_com_select"));
    assert_eq!(watched.now("mysql_custom_querry", &[("prettyname", "sold")]), 3.0);
    assert_eq!(watched.now("mysql_max_connections", &[]), 151.0);
    for name in ["ed", "root", "tls"] {
        let told = watched.now("mysql_uptime", &[("instance", name)]);
        assert!((told - server.status("Uptime")).abs() <= 3.0, "{name}: {told}");
    }
    let said = watched.said();
    assert!(said.iter().any(|line| line.contains("plain: ") && line.contains("error 1045")), "{said:#?}");
    assert!(said.iter().all(|line| !line.contains("secret")), "{said:#?}");
    drop(watched);
    assert_eq!(server.status("Aborted_clients"), 0.0, "connections that ended without a farewell");

    let watched =
        Watched::start("check_mysql", CONF, &format!("[MySQL]\nhost: {}\nuser: root\n", server.inside("socket")));
    watched.now("mysql_uptime", &[]);
    let (stop, start) =
        (|| running.borrow_mut().take().unwrap().end(), || *running.borrow_mut() = Some(server.start()));
    watched.outage("mysql_uptime", &[], stop, start);
    Ok(())
}

pub fn ferretdb() -> Result<(), String> {
    let path = Path::new("/usr/local/bin/ferretdb");
    if !path.exists() {
        return Err(format!("there is no {}: Go builds it from github.com/FerretDB/FerretDB v1.24.0", path.display()));
    }
    let folder = TempDir::new().unwrap();
    let state = folder.path().display().to_string();
    let port = free_port();
    let start = || {
        let mut command = Command::new(path);
        command.args(["--handler=sqlite", "--debug-addr=-", "--telemetry=disable", "--test-enable-new-auth"]);
        command.args(["--setup-database=admin", "--setup-username=mon", "--setup-password=secret"]);
        command.args([format!("--sqlite-url=file:{state}/"), format!("--state-dir={state}")]);
        command.arg(format!("--listen-addr=127.0.0.1:{port}"));
        let running = Program::start(&mut command, &folder.path().join("log"));
        wait("FerretDB", START, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        running
    };
    let running = RefCell::new(Some(start()));
    let place = format!("host: 127.0.0.1\nport: {port}\nauth: True\nuser: mon\n");
    let section = format!(
        "[MongoDB]\n{place}pass: secret\nauth_mechanism: SCRAM-SHA-1\n[MongoDB:new]\n{place}pass: secret\nauth_mechanism: SCRAM-SHA-256\n\
         [MongoDB:asked]\n{place}pass: secret\n[MongoDB:wrong]\n{place}pass: not it\n"
    );
    let watched = Watched::start("check_mongodb", CONF, &section);
    for tags in [&[][..], &[("instance", "new")], &[("instance", "asked")]] {
        watched.now("mongo_uptime", tags);
    }
    let said = watched.said();
    assert!(said.iter().any(|line| line.contains("wrong: ") && line.contains("error 18")), "{said:#?}");
    assert!(said.iter().all(|line| !line.contains("secret") && !line.contains("not it")), "{said:#?}");
    drop(watched);

    let watched = Watched::start("check_mongodb", CONF, &format!("[MongoDB]\n{place}pass: secret\n"));
    let (stop, start) = (|| running.borrow_mut().take().unwrap().end(), || *running.borrow_mut() = Some(start()));
    watched.outage("mongo_uptime", &[], stop, start);
    Ok(())
}
