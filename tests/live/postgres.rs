//! The shipped script check_postgres.sh, with a PostgreSQL in which a lock is waited for and rows are inserted.

use crate::server::{Program, needs_root, program, wait};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const NAME: &str = "check_postgres.sh";
/// The server refuses to run as root.
const USER: [&str; 3] = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"];
const NOBODY: u32 = 65534;

struct Postgres {
    folder: TempDir,
    bin: PathBuf,
}

impl Postgres {
    fn new() -> Result<Postgres, String> {
        needs_root("to become the server's user")?;
        program("pg_createcluster", "postgresql")?;
        let versions = fs::read_dir("/usr/lib/postgresql").map_err(|error| error.to_string())?;
        let folders = versions.map(|version| version.unwrap().path().join("bin"));
        let bin = folders.filter(|bin| bin.join("initdb").exists()).max().ok_or("there is no initdb")?;
        let folder = TempDir::new().unwrap();
        chown(folder.path(), Some(NOBODY), None).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let postgres = Postgres { folder, bin };
        let made = postgres.as_user("initdb").args(["-U", "puypuy", "-A", "trust", "-D"]).arg(postgres.data()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(postgres)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn as_user(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(USER).arg(self.bin.join(program)).current_dir(self.folder.path());
        command
    }

    /// Only on a socket in its folder.
    fn start(&self) -> Program {
        let mut command = self.as_user("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path()).args(["-c", "listen_addresses="]);
        let running = Program::start(&mut command, &self.folder.path().join("log"));
        wait("PostgreSQL to answer", Duration::from_secs(60), || self.ask("postgres", "SELECT 1") == "1");
        running
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new("psql");
        command.arg("-h").arg(self.folder.path()).args(["-U", "puypuy", "-XAtq", database]);
        command
    }

    fn ask(&self, database: &str, query: &str) -> String {
        let output = self.psql(database).args(["-c", query]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// The output of the script in the second of two samples.
    fn told(&self, home: &Path) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
        command.arg("--home").arg(home).args(["check", NAME, "--every", "2s", "--format", "json"]);
        let output = command.output().unwrap();
        let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{error}");
        let points = out.lines().filter(|line| line.starts_with('{'));
        points.map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The script with the location of the server in it, as its header says.
fn home(postgres: &Postgres) -> TempDir {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("config.ini"), "[TSDB]\ntsdtype = Local\n").unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts_available").join(NAME);
    let text = fs::read_to_string(shipped).unwrap();
    let place = format!("export PGHOST={} PGUSER=puypuy\nexport PGDATABASE=", postgres.folder.path().display());
    let placed = text.replacen("export PGDATABASE=", &place, 1);
    assert_ne!(placed, text);
    fs::create_dir(home.path().join("scripts_available")).unwrap();
    let path = home.path().join("scripts_available").join(NAME);
    fs::write(&path, placed).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    home
}

fn number(points: &[Value], name: &str, tag: Option<(&str, &str)>) -> Option<f64> {
    let is_wanted = |point: &&Value| {
        point["name"] == format!("postgres_{name}") && tag.is_none_or(|(key, value)| point["tags"][key] == value)
    };
    points.iter().find(is_wanted).and_then(|point| point["value"].as_f64())
}

pub fn script() -> Result<(), String> {
    let postgres = Postgres::new()?;
    let home = home(&postgres);
    let mut running = postgres.start();
    postgres.ask("postgres", "CREATE DATABASE \"my shop\"");
    postgres.ask("my shop", "CREATE TABLE sold (n int); CREATE TABLE held (n int)");
    let log = postgres.folder.path().join("clients");
    let hold = "BEGIN; LOCK TABLE held; SELECT pg_sleep(600)";
    let _holder = Program::start(postgres.psql("my shop").args(["-c", hold]), &log);
    let waits = |granted: &str| {
        let query = format!("SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted = {granted}");
        postgres.ask("my shop", &query) == "1"
    };
    wait("the lock to be held", Duration::from_secs(20), || waits("true"));
    let _waiter = Program::start(postgres.psql("my shop").args(["-c", "SELECT * FROM held"]), &log);
    wait("the lock to be waited for", Duration::from_secs(20), || waits("false"));
    let insert = "SELECT 'INSERT INTO sold SELECT generate_series(1, 50)' FROM generate_series(1, 1000000) \\gexec";
    let statements = postgres.folder.path().join("statements");
    fs::write(&statements, insert).unwrap();
    let _inserting = Program::start(postgres.psql("my shop").arg("-f").arg(statements), &log);
    let inserted = "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'sold' AND n_tup_ins > 0";
    wait("rows to be counted", Duration::from_secs(20), || postgres.ask("my shop", inserted) == "1");

    let points = postgres.told(home.path());
    let of_shop = |name: &str| number(&points, name, Some(("db", "my_shop")));
    assert_eq!(number(&points, "up", None), Some(1.0), "{points:#?}");
    assert_eq!(number(&points, "locks_waiting", None), Some(1.0), "{points:#?}");
    let states = points.iter().filter(|point| point["name"] == "postgres_connections");
    assert_eq!(states.filter_map(|point| point["value"].as_f64()).sum::<f64>(), 3.0, "{points:#?}");
    assert!(number(&points, "connections", Some(("state", "active"))).is_some_and(|active| active >= 2.0));
    assert_eq!(number(&points, "connections_max", None), Some(100.0));
    assert!(number(&points, "oldest_transaction_seconds", None).is_some_and(|age| age > 2.0), "{points:#?}");
    let (rows, commits) = (of_shop("rows_inserted").unwrap(), of_shop("commits").unwrap());
    assert!(commits > 1.0 && (rows / commits - 50.0).abs() < 5.0, "{rows} rows in {commits} transactions a second");
    let size: f64 = postgres.ask("my shop", "SELECT pg_database_size('my shop')").parse().unwrap();
    let told = of_shop("size_bytes").unwrap();
    assert!(told > 7e6 && told <= size, "{told} told, {size} now");

    // At once: with TERM it would wait for its clients.
    running.signal("-INT");
    running.0.wait().unwrap();
    let points = postgres.told(home.path());
    assert_eq!((points.len(), number(&points, "up", None)), (1, Some(0.0)), "{points:#?}");
    Ok(())
}
