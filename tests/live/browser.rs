//! The page in a browser: Debian's Chromium, controlled through its own driver (WebDriver, JSON over HTTP).

use crate::server::{Program, free_port, program, wait};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::thread::{sleep, spawn};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const CHECKS: &[&str] =
    &["cpustats", "disks", "haproxy", "load_average", "memory", "network_bytes", "pressure", "tcpconn"];
/// A statistics page of HAProxy with frontends, backends and servers.
const HAPROXY: &str = include_str!("../checks/haproxy/haproxy-2.6.12/tick1/stats.csv");
/// Prints more series of one metric than a chart has lines, two series that differ only in the name of their tag, and
/// extreme numbers.
const CROWD: &str = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo \"crowd{n=\\\"$n\\\"} $n\"; done\n\
                     echo 'twins{pool=\"a\"} 1'; echo 'twins{queue=\"a\"} 2'\n\
                     echo cold -5; echo huge 1.7e308";
/// A tag value that looks like HTML, which the page must show as text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";

/// A daemon with the checks of the host, with a period of a second.
struct Host {
    home: TempDir,
    port: u16,
    daemon: Option<Program>,
}

impl Host {
    fn start() -> Host {
        Host::to("tsdtype = Local\nfile = store.db")
    }

    /// With these keys of `[TSDB]`.
    fn to(tsdb: &str) -> Host {
        let home = TempDir::new().unwrap();
        let inside = |name: &str| home.path().join(name);
        for folder in ["conf", "checks_enabled", "scripts_enabled"] {
            fs::create_dir(inside(folder)).unwrap();
        }
        for check in CHECKS {
            symlink("../x", inside(&format!("checks_enabled/check_{check}.ini"))).unwrap();
        }
        fs::write(inside("conf/scripts.ini"), "[check_hostile.sh]\nformat = prometheus\n").unwrap();
        let script = inside("scripts_enabled/check_hostile.sh");
        let once = "mkdir told 2>/dev/null && echo told_once 1";
        fs::write(
            &script,
            format!("#!/bin/sh\necho 'hostile_depth{{queue=\"{HOSTILE}\"}} 5'\n{once}\n{CROWD}\nexit 0\n"),
        )
        .unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let haproxy = format!("[HAProxy]\nurl = http://127.0.0.1:{}/;csv\n", serve(HAPROXY));
        fs::write(inside("conf/loadbalancer.ini"), haproxy).unwrap();
        let port = free_port();
        let config = format!(
            "[SelfConfig]\ncheck_period_seconds = 1\nlog_file = {}\n[TSDB]\n{tsdb}\n\
             [WebServer]\nwebserver = yes\nwebaddress = 127.0.0.1:{port}\n",
            inside("log").display()
        );
        fs::write(inside("config.ini"), config).unwrap();
        let mut host = Host { home, port, daemon: None };
        host.run();
        host
    }

    fn run(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
        command.arg("--home").arg(self.home.path()).arg("run");
        self.daemon = Some(Program::start(&mut command, &self.home.path().join("output")));
        wait("the page to be served", PATIENCE, || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn kill(&mut self) {
        self.daemon = None;
    }

    /// Starts the daemon anew, now with an event of memory that is an ERROR.
    fn run_with_an_error(&mut self) {
        self.kill();
        let thresholds = "[Memory Stats]\nhigh: 0.001\nsevere: 0.002\n";
        fs::write(self.home.path().join("conf/system.ini"), thresholds).unwrap();
        self.run();
    }

    fn address(&self, behind: &str) -> String {
        format!("http://127.0.0.1:{}/{behind}", self.port)
    }
}

/// Answers every request on a loopback port with this text, until the program ends.
fn serve(text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The daemon's request fits into one segment.
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    port
}

/// A headless browser.
struct Browser {
    _driver: Program,
    _folder: TempDir,
    port: u16,
    session: String,
}

impl Browser {
    fn start() -> Result<Browser, String> {
        let chromium = program("chromium", "chromium")?;
        let driver = program("chromedriver", "chromium-driver")?;
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let driver = Program::start(Command::new(driver).arg(format!("--port={port}")), &folder.path().join("log"));
        wait("the driver to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": chromium,
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", profile],
            },
        } } });
        let session = exchange(port, "POST", "/session", &capabilities);
        let session = session["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {session}")).to_string();
        Ok(Browser { _driver: driver, _folder: folder, port, session })
    }

    fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        exchange(self.port, method, &format!("/session/{}{path}", self.session), &body)
    }

    /// The value of an expression in the page.
    fn tell(&self, expression: &str) -> Value {
        self.ask("POST", "/execute/sync", json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// Waits until an expression is true.
    fn until(&self, expression: &str) {
        wait(expression, PATIENCE, || self.tell(expression) == json!(true));
    }

    /// A command of the Chrome DevTools protocol.
    fn order(&self, command: &str, params: Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": params }))
    }

    fn open(&self, address: &str) {
        self.ask("POST", "/url", json!({ "url": address }));
    }

    /// Opens the address as a new visitor.
    fn open_afresh(&self, address: &str) {
        self.open("about:blank");
        self.open(address);
    }

    /// Waits until values of some charts are drawn.
    fn open_charts(&self, address: &str) {
        self.open(address);
        self.until("document.querySelectorAll('.drawn .line[d^=M]').length > 3");
    }

    fn screen(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.order("Emulation.setDeviceMetricsOverride", screen);
    }

    fn keys(&self, keys: &[&str]) {
        let press = |key: &&str| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let actions: Vec<Value> = keys.iter().flat_map(press).collect();
        self.ask("POST", "/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// Presses at the first of these positions of the first chart, given as fractions of its width, and releases at the
    /// last.
    fn drag(&self, kind: &str, shares: &[f64]) {
        let edge = self.tell(
            "(() => { const { x, y, width, height } = document.querySelector('.drawn .plot').getBoundingClientRect(); \
             return [x, y + height / 2, width]; })()",
        );
        let number = |place: usize| edge[place].as_f64().unwrap();
        let to = |share: &f64| {
            let x = (number(0) + number(2) * share).round();
            json!({ "type": "pointerMove", "x": x, "y": number(1).round(), "duration": 20 })
        };
        let mut actions: Vec<Value> = shares.iter().map(to).collect();
        actions.insert(1, json!({ "type": "pointerDown", "button": 0 }));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let pointer =
            json!({ "type": "pointer", "id": kind, "parameters": { "pointerType": kind }, "actions": actions });
        self.ask("POST", "/actions", json!({ "actions": [pointer] }));
    }

    /// The console messages since the last call.
    fn console(&self) -> Value {
        self.ask("POST", "/se/log", json!({ "type": "browser" }))
    }
}

impl Drop for Browser {
    /// The browser ends with its session, not with the driver.
    fn drop(&mut self) {
        self.ask("DELETE", "", json!({}));
    }
}

/// A request to the driver; returns the value of its response.
fn exchange(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let body = body.to_string();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        match line.trim().to_ascii_lowercase().split_once(':') {
            Some(("content-length", number)) => length = number.trim().parse().unwrap(),
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut text = vec![0; length];
    answer.read_exact(&mut text).unwrap();
    let mut answer: Value = serde_json::from_slice(&text).unwrap();
    answer["value"].take()
}

/// The minimum contrast of text, and of lines, against the background (WCAG 2.2, 1.4.3).
const CONTRAST: &str = "(() => {
    const light = (color) => {
        const [r, g, b] = color.match(/[\\d.]+/g).map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = light(getComputedStyle(document.querySelector('.card')).backgroundColor);
    const contrast = (node, what) => {
        const own = light(getComputedStyle(node)[what]);
        return (Math.max(own, behind) + 0.05) / (Math.min(own, behind) + 0.05);
    };
    const all = (choice, what) => [...document.querySelectorAll(choice)].map((node) => contrast(node, what));
    return Math.min(...all('h3, .said, .legend span, .legend b, .tile span, .tile b, #verdict', 'color'),
        ...all('.drawn svg text', 'fill'), ...all('.drawn .line', 'stroke'));
})()";

/// Every operation on the page while the daemon works.
pub fn page() -> Result<(), String> {
    let browser = Browser::start()?;
    let host = Host::start();
    browser.screen(1280, 900);
    browser.open_charts(&host.address(""));
    // The store is younger than the shortest span.
    browser.until("location.hash === '#span=900'");
    looks(&browser);
    pointer(&browser);
    keyboard(&browser);
    lines(&browser, &host);
    hostile(&browser, &host);
    assert_eq!(browser.console(), json!([]));
    Ok(())
}

fn looks(browser: &Browser) {
    browser.until("document.querySelectorAll('.tile').length === 6");
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.order("Emulation.setEmulatedMedia", json!({ "features": features }));
        grounds.push(browser.tell("getComputedStyle(document.body).backgroundColor"));
        let contrast = browser.tell(CONTRAST).as_f64().unwrap();
        assert!(contrast >= 4.6, "{scheme}: {contrast}");
    }
    assert_ne!(grounds[0], grounds[1]);
    for width in [1280, 390, 320] {
        browser.screen(width, 800);
        browser.until(&format!("innerWidth === {width}"));
        browser.until("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
        let small = "[...document.querySelectorAll('button')].filter((button) => button.offsetParent \
                     && (button.offsetHeight < 24 || !(button.textContent.trim() || button.ariaLabel))) \
                     .map((button) => button.outerHTML)";
        assert_eq!(browser.tell(small), json!([]), "{width}: buttons too small, or without a name");
    }
    browser.screen(1280, 900);
}

fn pointer(browser: &Browser) {
    browser.drag("mouse", &[0.5, 0.6, 0.9]);
    browser.until("location.hash.startsWith('#from=')");
    browser.until("document.querySelector('#live').ariaPressed === 'false'");
    browser.keys(&[ESCAPE]);
    browser.until("!location.hash.startsWith('#from=')");
    // A tap does not zoom, and the cursor stays.
    browser.until("document.querySelectorAll('.drawn .line[d^=M]').length > 3");
    browser.drag("touch", &[0.7]);
    browser.until("document.querySelectorAll('.cursor').length > 3");
    assert_eq!(browser.tell("location.hash.startsWith('#from=')"), json!(false));
    browser.until("/^\\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('.drawn .said').textContent)");
}

fn keyboard(browser: &Browser) {
    for (key, hash) in [("1", "#span=900"), ("5", "#span=604800"), ("2", "#span=3600")] {
        browser.keys(&[key]);
        browser.until(&format!("location.hash === '{hash}'"));
    }
    browser.keys(&["-"]);
    browser.until("location.hash.startsWith('#from=')");
    browser.keys(&[" "]);
    browser.until("location.hash === '#span=3600'");
    browser.keys(&[" "]);
    browser.until("document.querySelector('#live').textContent === 'Paused'");
    browser.keys(&[" "]);
    browser.until("document.querySelector('#live').textContent === 'Live'");
    browser.keys(&["?"]);
    browser.until("document.querySelector('dialog').open");
    browser.keys(&[ESCAPE]);
    browser.until("!document.querySelector('dialog').open");
    browser.until("document.querySelectorAll('.drawn .line[d^=M]').length > 3");
    browser.tell("document.querySelector('.drawn svg').focus()");
    browser.keys(&[RIGHT]);
    browser.until("/^\\d\\d:\\d\\d:\\d\\d: /.test(document.querySelector('#spoken').textContent)");
}

/// The series that are drawn, and their labels.
fn lines(browser: &Browser, host: &Host) {
    // Of many series the largest are drawn, and only these are requested from then on.
    browser.open_afresh(&host.address("#span=900&find=crowd"));
    browser.until("document.querySelector('#found .said')?.textContent === 'the 8 largest of 12'");
    let labels = "[...document.querySelectorAll('#found .legend button')].map((button) => button.title)";
    assert_eq!(browser.tell(labels), json!(["5", "6", "7", "8", "9", "10", "11", "12"]));
    browser.until(
        "performance.getEntriesByType('resource').some(({ name }) => name.includes('&step=') \
         && new URL(name).searchParams.get('ids').split(',').length === 8)",
    );
    browser.open_afresh(&host.address("#span=900&find=twins"));
    browser.until(&format!("`${{{labels}}}` === 'a,twins queue a'"));
    let axis = "`${[...document.querySelectorAll('#found svg text')].map((text) => text.textContent)}`";
    browser.open_afresh(&host.address("#span=900&find=cold"));
    browser.until(&format!("{axis}.startsWith('-6,-4,-2,0')"));
    browser.open_afresh(&host.address("#span=900&find=huge"));
    browser.until(&format!("{axis}.startsWith('0,')"));
    // One metric of frontends and servers: the chart of frontends has no servers.
    browser.open_afresh(&host.address("#span=900"));
    let chart = "[...document.querySelectorAll('.card')].find(({ textContent }) => textContent.startsWith('Frontends: sessions'))";
    browser.until(&format!("{chart} !== undefined"));
    browser.tell(&format!("{chart}.scrollIntoView()"));
    browser.until(&format!(
        "`${{[...{chart}.querySelectorAll('.legend button')].map(({{ title }}) => title)}}` === 'stats,web'"
    ));
}

fn hostile(browser: &Browser, host: &Host) {
    browser.keys(&["/"]);
    browser.keys(&["h", "o", "s", "t", "i", "l", "e", "_"]);
    browser.until("document.querySelectorAll('#found .card.drawn').length === 1");
    browser.until("location.hash.endsWith('&find=hostile_')");
    browser.keys(&[ESCAPE]);
    browser.until("document.querySelector('#found').hidden && !document.querySelector('#charts').hidden");
    // An address shows everybody the same.
    let find = "%3Cimg%20onerror";
    browser.open_afresh(&host.address(&format!("#span=900&find={find}")));
    browser.until("document.querySelectorAll('#found .card.drawn').length === 1");
    let shown = format!("document.querySelector('#found svg').ariaLabel.includes('{HOSTILE}')");
    browser.until(&shown);
    assert_eq!(browser.tell("document.querySelector('main img')"), Value::Null);
    // A line with one point, as at the beginning of each series.
    browser.open_afresh(&host.address("#span=3600&find=told_once"));
    browser.until("document.querySelectorAll('#found .drawn .line[d^=M]').length === 1");
}

/// Without the local store: what is wrong, the checks and the delivery, and nothing that does not work.
pub fn storeless() -> Result<(), String> {
    let browser = Browser::start()?;
    let mut host = Host::to(&format!("tsdtype = InfluxDB\naddress = http://127.0.0.1:{}\ndatabase = d", free_port()));
    host.run_with_an_error();
    browser.screen(390, 900);
    browser.open(&host.address(""));
    browser.until("document.querySelector('#verdict').textContent.startsWith('ERROR: InfluxDB takes no points and ')");
    browser.until("/Memory-Usage/.test(document.querySelector('#troubles').textContent)");
    let is_hidden = "['#find', '#spans', '#places [data-to=charts]', '#charts .card'] \
                     .every((choice) => !document.querySelector(choice)?.offsetParent)";
    assert_eq!(browser.tell(is_hidden), json!(true));
    browser.until("document.querySelectorAll('#checks li b.ok').length > 3");
    browser.until("/connection refused/.test(document.querySelector('#delivery').textContent)");
    assert_eq!(browser.console(), json!([]));
    Ok(())
}

/// The daemon is killed and started again: the picture stays, in grey, with its time, and then continues.
pub fn outage() -> Result<(), String> {
    let browser = Browser::start()?;
    let mut host = Host::start();
    browser.screen(1280, 900);
    browser.open_charts(&host.address("#span=900"));
    let line = "document.querySelector('.drawn .line[d^=M]').getAttribute('d')";
    browser.until(&format!("{line}.length > 10"));
    let end = browser.tell("Math.floor(Date.now() / 1000)").as_i64().unwrap();
    host.kill();
    browser.until("document.querySelector('#verdict').textContent === 'No answer'");
    browser.until("/of \\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('#silence').textContent)");
    browser.until("document.body.classList.contains('silent')");
    let before = browser.tell(line);
    assert!(before.as_str().is_some_and(|path| path.len() > 10), "{before}");
    host.run_with_an_error();
    browser.until("document.querySelector('#silence').hidden && !document.body.classList.contains('silent')");
    wait("a line that goes on", PATIENCE, || browser.tell(line) != before);
    // A range that ends before an event begins has no bar of it.
    let memory = "[...document.querySelectorAll('.card.drawn')].find(({ textContent }) => textContent.startsWith('Memory in use'))";
    browser.until(&format!("{memory}?.querySelector('.flag.error') != null"));
    browser.open_afresh(&host.address(&format!("#from={}&to={end}", end - 60)));
    browser.until(&format!("{memory} !== undefined"));
    assert_eq!(browser.tell(&format!("{memory}.querySelector('.flag')?.outerHTML ?? null")), Value::Null);
    Ok(())
}

/// Ten minutes live with a period of a second: neither the heap nor the number of nodes grows.
pub fn soak() -> Result<(), String> {
    let browser = Browser::start()?;
    let host = Host::start();
    browser.screen(1280, 900);
    browser.open_charts(&host.address("#span=900"));
    let weigh = || {
        browser.order("HeapProfiler.collectGarbage", json!({}));
        let heap = browser.order("Runtime.getHeapUsage", json!({}))["usedSize"].as_f64().unwrap();
        let nodes = browser.tell("document.querySelectorAll('#charts *').length").as_f64().unwrap();
        println!("live: {:.2} MiB, {nodes} nodes", heap / (1 << 20) as f64);
        (heap, nodes)
    };
    let mut weights = Vec::new();
    for _ in 0..10 {
        sleep(Duration::from_secs(60));
        weights.push(weigh());
    }
    let [(heap, nodes), .., (heap_at_last, nodes_at_last)] = weights[..] else { panic!("{weights:?}") };
    assert!(heap_at_last < heap * 1.2 && nodes_at_last < nodes * 1.1, "{weights:?}");
    assert_eq!(browser.console(), json!([]));
    Ok(())
}
