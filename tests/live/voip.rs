//! check_janus against Debian's Janus: sessions and handles that are created and destroyed.

use crate::server::{Program, free_port, http, post, program, wait};
use crate::watched::Watched;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);

pub fn janus() -> Result<(), String> {
    let janus = program("janus", "janus")?;
    let library = ["/usr/lib/x86_64-linux-gnu/janus", "/usr/lib/aarch64-linux-gnu/janus", "/usr/lib/janus"];
    let library = library.into_iter().find(|path| Path::new(path).is_dir()).ok_or("its plugins are nowhere")?;
    let folder = TempDir::new().unwrap();
    let inside = |name: &str| folder.path().join(name);
    for entry in fs::read_dir("/etc/janus").map_err(|error| error.to_string())?.flatten() {
        fs::copy(entry.path(), inside(entry.file_name().to_str().unwrap())).unwrap();
    }
    let (port, admin) = (free_port(), free_port());
    let kinds = ["plugins", "transports", "events", "loggers"];
    let folders: String = kinds.map(|kind| format!("{kind}_folder = \"{library}/{kind}\" ")).concat();
    let own = format!(
        "general: {{ configs_folder = \"{}\" {folders} admin_secret = \"hohohohoho\" interface = \"127.0.0.1\" }}\n\
         plugins: {{ disable = \"libjanus_sip.so,libjanus_nosip.so\" }}\n",
        folder.path().display()
    );
    fs::write(inside("janus.jcfg"), own).unwrap();
    let transport = format!(
        "general: {{ base_path = \"/janus\" http = true port = {port} ip = \"127.0.0.1\" https = false }}\n\
         admin: {{ admin_base_path = \"/admin\" admin_http = true admin_port = {admin} admin_ip = \"127.0.0.1\" admin_https = false }}\n"
    );
    fs::write(inside("janus.transport.http.jcfg"), transport).unwrap();
    let start = || {
        let mut command = Command::new(&janus);
        command.arg("-F").arg(folder.path()).arg("-C").arg(inside("janus.jcfg")).arg("-L").arg(inside("janus.log"));
        let server = Program::start(&mut command, &inside("output"));
        wait("Janus", START, || http(port, "GET", "/janus/info").is_some_and(|(status, _)| status == 200));
        server
    };
    let server = start();
    let section = format!("[Janus]\nadminapi: http://127.0.0.1:{admin}/admin\nsecret: hohohohoho\nsessions: True\n");
    let watched = Watched::start("check_janus", "voip.ini", &section);
    watched.until("janus_sessions", &[], |count| count == 0.0);
    let ask = |path: &str, body: Value| -> Value {
        serde_json::from_str(&post(port, "POST", path, &body.to_string()).unwrap().1).unwrap()
    };
    let create = || ask("/janus", json!({"janus": "create", "transaction": "t"}))["data"]["id"].as_u64().unwrap();
    let sessions = [create(), create()];
    let plugin = "janus.plugin.echotest";
    let attach = json!({"janus": "attach", "plugin": plugin, "transaction": "t"});
    (0..3).for_each(|_| drop(ask(&format!("/janus/{}", sessions[0]), attach.clone())));
    watched.until("janus_handlers_total", &[], |count| count == 3.0);
    assert_eq!(watched.now("janus_sessions", &[]), 2.0);
    for (session, count) in sessions.iter().zip([3.0, 0.0]) {
        assert_eq!(watched.now("janus_handlers", &[("session", &session.to_string())]), count);
    }
    ask(&format!("/janus/{}", sessions[0]), json!({"janus": "destroy", "transaction": "t"}));
    watched.until("janus_handlers_total", &[], |count| count == 0.0);
    assert_eq!(watched.said(), Vec::<String>::new());
    let _server = watched.outage("janus_sessions", &[], server, Program::end, start);

    let wrong = section.replace("hohohohoho", "wrong");
    let refused = Watched::start("check_janus", "voip.ini", &wrong);
    wait("the refusal", START, || refused.said().iter().any(|line| line.contains("403 Unauthorized request")));
    assert!(refused.said().iter().all(|line| !line.contains("wrong\"")), "{:?}", refused.said());
    Ok(())
}
