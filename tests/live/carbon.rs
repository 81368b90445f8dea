//! carbon-cache 1.1: points are read back through whisper, the library of its files.
//!
//! It has no responses, so it refuses nothing: there is no case with one bad point.

use crate::cases;
use crate::grafana;
use crate::server::{Program, free_port, http, package, program, wait};
use crate::store::{Row, Store, clean, differences, identity};
use puypuy::model::point::{Point, Value};
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

struct Carbon {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    running: Option<Program>,
}

/// All points of all files: path, time, value.
const READ: &str = r#"
import json, os, sys, time, whisper
found = []
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        path = os.path.join(folder, name)
        (start, end, step), values = whisper.fetch(path, int(time.time()) - 1800)
        series = os.path.relpath(path, sys.argv[1])[:-4].replace("/", ".")
        found += [[series, start + place * step, value] for place, value in enumerate(values) if value is not None]
print(json.dumps(found))
"#;

impl Carbon {
    fn new() -> Result<Carbon, String> {
        let program = program("carbon-cache", "graphite-carbon python3-whisper")?;
        let folder = TempDir::new().unwrap();
        let (port, home) = (free_port(), folder.path().display());
        let config = format!(
            "[cache]\nSTORAGE_DIR = {home}/\nCONF_DIR = {home}/\nLOG_DIR = {home}/log/\nPID_DIR = {home}/\n\
             LOCAL_DATA_DIR = {home}/whisper/\nUSER =\nLINE_RECEIVER_INTERFACE = 127.0.0.1\n\
             LINE_RECEIVER_PORT = {}\nPICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {port}\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {}\nMAX_CREATES_PER_MINUTE = inf\n\
             MAX_UPDATES_PER_SECOND = inf\nENABLE_TAGS = False\n",
            free_port(),
            free_port(),
        );
        fs::write(folder.path().join("carbon.conf"), config).unwrap();
        let schema = "[all]\npattern = .*\nretentions = 1s:1h\n";
        fs::write(folder.path().join("storage-schemas.conf"), schema).unwrap();
        ["log", "whisper"].iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap());
        Ok(Carbon { program, folder, port, running: None })
    }
}

impl Carbon {
    /// Graphite's web server over the same files, and its port.
    fn web(&self) -> Result<(Program, u16), String> {
        package("/usr/lib/python3/dist-packages/graphite/settings.py", "graphite-web")?;
        let (port, home) = (free_port(), self.folder.path().display());
        let settings = format!(
            "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nCARBONLINK_HOSTS = []\nSTORAGE_DIR = LOG_DIR = CONF_DIR = '{home}'\n\
             WHISPER_DIR = '{home}/whisper'\nINDEX_FILE = '{home}/index'\n\
             DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': '{home}/db'}}}}\n"
        );
        fs::write(self.folder.path().join("own_settings.py"), settings).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-m", "django", "runserver", "--noreload", &format!("127.0.0.1:{port}")]);
        command.env("GRAPHITE_SETTINGS_MODULE", "own_settings").env("PYTHONPATH", self.folder.path());
        command.env("DJANGO_SETTINGS_MODULE", "graphite.settings");
        let running = Program::start(&mut command, &self.folder.path().join("web.log"));
        wait("Graphite's web server", Duration::from_secs(60), || http(port, "GET", "/render?format=json").is_some());
        Ok((running, port))
    }
}

impl Store for Carbon {
    fn tsdb(&self) -> String {
        format!("tsdtype = Carbon\naddress = 127.0.0.1:{}\n", self.port)
    }

    fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg(format!("--config={}/carbon.conf", self.folder.path().display())).args(["--debug", "start"]);
        command.env("GRAPHITE_ROOT", self.folder.path());
        self.running = Some(Program::start(&mut command, &self.folder.path().join("carbon.log")));
        wait("carbon to listen", Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Ends it by TERM after it has written what it read. Its writer runs once a second, and not once more at the end,
    /// so carbon itself loses the points received since.
    fn kill(&mut self, sent: &[Point]) {
        wait("carbon to write what it has read", Duration::from_secs(60), || differences(self, sent).is_empty());
        self.running.take().unwrap().end();
        let _ = fs::remove_file(self.folder.path().join("carbon-cache-a.pid"));
    }

    fn stored(&self, _: &[Point]) -> BTreeMap<Row, Value> {
        let output = Command::new("/usr/bin/python3")
            .args(["-c", READ])
            .arg(self.folder.path().join("whisper"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        // A file that is just being created cannot be read yet.
        let Ok(found) = serde_json::from_slice::<Vec<(String, i64, f64)>>(&output.stdout) else {
            println!("live: whisper: {}", error.lines().last().unwrap_or_default());
            return BTreeMap::new();
        };
        let rows = found
            .into_iter()
            .map(|(path, time, value)| ((path, Vec::new(), time), crate::store::plain(Value::Float(value))));
        rows.collect()
    }

    fn rows(&self, query: &str) -> usize {
        let matches = |path: &str| {
            let nodes: Vec<&str> = query.split('.').collect();
            let own: Vec<&str> = path.split('.').collect();
            nodes.len() == own.len() && nodes.iter().zip(own).all(|(node, own)| *node == "*" || *node == own)
        };
        self.stored(&[]).keys().filter(|(path, ..)| matches(path)).count()
    }

    fn place(&self, point: &Point) -> Row {
        let node = |text: &str| {
            clean(text).replace(|letter: char| !letter.is_ascii() || " (){},'\"\\|[]*?;/".contains(letter), "_")
        };
        let identity = identity();
        let mut path = vec![node(&identity.cluster), node(&identity.group), identity.host.replace('.', "_")];
        path.push("system".into());
        path.extend(point.tags.iter().map(|(_, value)| node(value)));
        path.push(node(&point.name));
        (path.join("."), Vec::new(), point.time)
    }

    /// Whisper only stores doubles.
    fn number(&self, value: Value) -> Value {
        Value::Float(value.as_f64())
    }
}

pub fn round_trip() -> Result<(), String> {
    let mut carbon = Carbon::new()?;
    cases::round_trip(&mut carbon);
    cases::chart(&carbon, "Carbon");
    Ok(())
}

pub fn dashboard() -> Result<(), String> {
    let mut carbon = Carbon::new()?;
    carbon.start();
    let (_web, port) = carbon.web()?;
    let daemon = grafana::Daemon::start(&format!("[TSDB]\n{}", carbon.tsdb()));
    grafana::panels("graphite", &daemon, |target| grafana::render(port, target));
    Ok(())
}

pub fn restart() -> Result<(), String> {
    cases::restart(&mut Carbon::new()?);
    Ok(())
}
