//! check_mysql with Debian's MariaDB with every kind of login and with MySQL, compared with the results of a client;
//! check_mongodb with FerretDB.

use crate::cache::{kept, output};
use crate::golang::{self, Changes};
use crate::maven::file;
use crate::server::{Program, free_port, needs_root, program, wait};
use crate::watched::Watched;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const CONF: &str = "sql_cache.ini";
const START: Duration = Duration::from_secs(60);

/// A MariaDB or MySQL in its own folder.
struct Database {
    folder: TempDir,
    port: u16,
    program: PathBuf,
    options: Vec<String>,
}

impl Database {
    fn new(program: PathBuf) -> Result<Database, String> {
        needs_root("to become the server's user")?;
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        Ok(Database { folder, port: free_port(), program, options: Vec::new() })
    }

    fn mariadb() -> Result<Database, String> {
        let mut server = Database::new(program("mariadbd", "mariadb-server")?)?;
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--user=mysql", "--auth-root-authentication-method=socket"]);
        output(install.arg(format!("--datadir={}", server.inside("data"))))?;
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        fs::write(server.inside("cert.pem"), certified.cert.pem()).unwrap();
        fs::write(server.inside("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        let files = [("ssl-cert", "cert.pem"), ("ssl-key", "key.pem")];
        server.options = files.map(|(key, file)| format!("--{key}={}", server.inside(file))).to_vec();
        Ok(server)
    }

    /// The last version that is complete on Maven Central.
    fn mysql() -> Result<Database, String> {
        program("mariadb", "mariadb-client")?;
        let unzip = program("unzip", "unzip")?;
        let part = |archive: &Path, files: &[&str], to: &Path| {
            output(Command::new(&unzip).arg("-q").arg(archive).args(files).arg("-d").arg(to)).map(drop)
        };
        let all = file("mysql:mysql-connector-mxj-db-files:5.0.12")?;
        let parts = kept("mysql-5.5.9", |folder| {
            part(&all, &["5-5-9/Linux-x86_64/mysqld", "5-5-9/data_dir.jar", "5-5-9/share_dir.jar"], folder)?;
            let program = folder.join("5-5-9/Linux-x86_64/mysqld");
            fs::set_permissions(program, Permissions::from_mode(0o755)).map_err(|error| error.to_string())
        })?
        .join("5-5-9");
        let mut server = Database::new(parts.join("Linux-x86_64/mysqld"))?;
        part(&parts.join("data_dir.jar"), &[], server.inside("data").as_ref())?;
        part(&parts.join("share_dir.jar"), &[], server.folder.path())?;
        output(Command::new("chown").args(["-R", "mysql", &server.inside("data")]))?;
        server.options = vec![format!("--basedir={}", server.folder.path().display())];
        Ok(server)
    }

    fn inside(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn start(&self) -> Program {
        let mut command = Command::new(&self.program);
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--user=mysql", "--log-warnings=4"]);
        command.arg(format!("--port={}", self.port)).args(&self.options);
        let files = [("datadir", "data"), ("socket", "socket"), ("pid-file", "pid")];
        command.args(files.map(|(key, file)| format!("--{key}={}", self.inside(file))));
        let running = Program::start(&mut command, Path::new(&self.inside("log")));
        wait("the database to answer", START, || self.ask("SELECT 1") == "1");
        running
    }

    fn ask(&self, statement: &str) -> String {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-u", "root", "-N", "-S", &self.inside("socket"), "-e", statement]);
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_string()
    }

    fn status(&self, name: &str) -> f64 {
        let line = self.ask(&format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        line.split_whitespace().nth(1).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

pub fn mariadb() -> Result<(), String> {
    let server = Database::mariadb()?;
    let running = server.start();
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
    let sum = |metric| watched.counted(metric, &[]);
    wait("the rates of 200 selects", START, || sum("mysql_com_select") >= 190.0);
    let counted = server.status("Com_select") - before;
    assert!(sum("mysql_com_select") <= counted * 1.2, "{} told, {counted} counted", sum("mysql_com_select"));
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
    assert_eq!(server.status("Aborted_clients"), 0.0, "connections that were not closed properly");

    let watched =
        Watched::start("check_mysql", CONF, &format!("[MySQL]\nhost: {}\nuser: root\n", server.inside("socket")));
    watched.now("mysql_uptime", &[]);
    watched.outage("mysql_uptime", &[], running, Program::end, || server.start());
    Ok(())
}

pub fn mysql() -> Result<(), String> {
    let server = Database::mysql()?;
    let running = server.start();
    server.ask(
        "CREATE USER puypuy@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT REPLICATION CLIENT ON *.* TO puypuy@'127.0.0.1';
         CREATE DATABASE shop; CREATE TABLE shop.sold(n INT); INSERT INTO shop.sold VALUES (1), (2), (3)",
    );
    let section = format!("[MySQL]\nhost: 127.0.0.1\nport: {}\nuser: puypuy\npass: secret\n", server.port);
    let watched = Watched::start("check_mysql", CONF, &section);
    watched.until("mysql_com_select", &[], |_| true);
    let before = server.status("Com_select");
    server.ask(&"SELECT COUNT(*) FROM shop.sold; ".repeat(200));
    let sum = || watched.counted("mysql_com_select", &[]);
    wait("the rates of 200 selects", START, || sum() >= 190.0);
    assert!(sum() <= (server.status("Com_select") - before) * 1.2, "{} told", sum());
    assert_eq!(watched.now("mysql_max_connections", &[]), 151.0);
    assert!((watched.now("mysql_uptime", &[]) - server.status("Uptime")).abs() <= 3.0);
    let _running = watched.outage("mysql_uptime", &[], running, Program::end, || server.start());
    assert_eq!(server.status("Aborted_clients"), 0.0, "connections that were not closed properly");
    Ok(())
}

pub fn ferretdb() -> Result<(), String> {
    let version = [("build/version/version.txt", "v1.24.0\n")];
    let path = golang::program(
        "github.com/FerretDB/FerretDB@v1.24.0",
        "./cmd/ferretdb",
        &Changes { files: &version, ..Changes::default() },
    )?;
    let folder = TempDir::new().unwrap();
    let state = folder.path().display().to_string();
    let port = free_port();
    let start = || {
        let mut command = Command::new(&path);
        command.args(["--handler=sqlite", "--debug-addr=-", "--telemetry=disable", "--test-enable-new-auth"]);
        command.args(["--setup-database=admin", "--setup-username=mon", "--setup-password=secret"]);
        command.args([format!("--sqlite-url=file:{state}/"), format!("--state-dir={state}")]);
        command.arg(format!("--listen-addr=127.0.0.1:{port}"));
        let running = Program::start(&mut command, &folder.path().join("log"));
        wait("FerretDB", START, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        running
    };
    let running = start();
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
    watched.outage("mongo_uptime", &[], running, Program::end, start);
    Ok(())
}
