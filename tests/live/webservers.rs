//! Web servers of Debian on loopback, compared with their own pages and tools, and stopped under the running daemon.

use crate::maven;
use crate::server::{Program, free_port, http, needs_root, package, program, wait};
use crate::watched::Watched;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const CONF: &str = "webservers.ini";
const OF_COLLECTOR: &[(&str, &str)] = &[("gctype", "g1_young")];

/// A server with its own folder, on a port.
struct Server {
    folder: TempDir,
    port: u16,
    command: fn(&Path, u16) -> Command,
}

impl Server {
    fn new(files: &[(&str, &str)], command: fn(&Path, u16) -> Command) -> Server {
        Server::within(&[], files, command)
    }

    /// With these folders in its own.
    fn within(folders: &[&str], files: &[(&str, &str)], command: fn(&Path, u16) -> Command) -> Server {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        // Its workers do not run as root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let place = folder.path().to_str().unwrap();
        for name in folders {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for (name, text) in files {
            let text = text.replace("$T", place).replace("$PORT", &port.to_string());
            fs::write(folder.path().join(name), text).unwrap();
        }
        Server { folder, port, command }
    }

    fn start(&self) -> Running {
        let running = Running::start(&mut (self.command)(self.folder.path(), self.port), &self.path("log"));
        wait("the server", Duration::from_secs(60), || http(self.port, "GET", "/").is_some());
        running
    }

    fn page(&self, path: &str) -> String {
        http(self.port, "GET", path).map(|(_, page)| page).unwrap_or_default()
    }

    /// The number after this label on its own page.
    fn number(&self, path: &str, label: &str) -> f64 {
        let page = self.page(path);
        let text = page.split(label).nth(1).unwrap_or_else(|| panic!("no {label} in {page}"));
        text.split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A server with its workers, which end with it however the case ends.
struct Running(Option<Program>);

impl Running {
    /// In its own process group, because Apache signals all of it.
    fn start(command: &mut Command, log: &Path) -> Running {
        Running(Some(Program::start(command.process_group(0), log)))
    }

    fn end(mut self) {
        self.0.take().unwrap().end();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(program) = &self.0 {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", program.0.id())]).status();
        }
    }
}

const NGINX: &str =
    "daemon off; user www-data; pid $T/nginx.pid; error_log $T/error.log; events { worker_connections 256; }
http { access_log off; client_body_temp_path $T/b; proxy_temp_path $T/p; fastcgi_temp_path $T/f; uwsgi_temp_path $T/u;
  scgi_temp_path $T/s;
  server { listen 127.0.0.1:$PORT;
    location / { return 200 \"ok\\n\"; }
    location = /err { return 500; }
    location = /nginx_status { stub_status; }
    location = /fpm-status { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_NAME $uri;
      fastcgi_param SCRIPT_FILENAME $uri; fastcgi_pass unix:$T/fpm.sock; } } }";

fn nginx_server(more: &[(&str, &str)]) -> Result<Server, String> {
    needs_root("to become the server's user")?;
    program("nginx", "nginx")?;
    Ok(Server::new(&[&[("nginx.conf", NGINX)], more].concat(), |folder, _| {
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(folder.join("nginx.conf"));
        command
    }))
}

pub fn nginx() -> Result<(), String> {
    let server = nginx_server(&[])?;
    let running = server.start();
    let section = format!("[NginX]\naddress: http://127.0.0.1:{}\nstats: /nginx_status\n", server.port);
    let watched = Watched::start("check_nginx", CONF, &section);
    // The daemon's own connection, and its own request.
    watched.until("nginx_requests", &[], |rate| (0.9..1.1).contains(&rate));
    for _ in 0..40 {
        server.page("/");
    }
    watched.until("nginx_requests", &[], |rate| rate > 10.0);
    watched.until("nginx_dropped", &[], |rate| rate == 0.0);
    watched.until("nginx_connections", &[], |count| count == server.number("/nginx_status", "connections: ") - 1.0);
    watched.outage("nginx_connections", &[], running, Running::end, || server.start());
    Ok(())
}

pub fn apache() -> Result<(), String> {
    needs_root("to become the server's user")?;
    program("apache2", "apache2")?;
    let modules = ["mpm_event", "authz_core", "status"];
    let modules = modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let text = "ServerName 127.0.0.1\nServerRoot $T\nListen 127.0.0.1:$PORT\nPidFile $T/pid\nErrorLog $T/error.log\n\
                DocumentRoot $T\nUser www-data\nGroup www-data\nExtendedStatus On\n\
                <Location /server-status>\nSetHandler server-status\n</Location>\n";
    let server = Server::new(&[("httpd.conf", &(modules.concat() + text))], |folder, _| {
        let mut command = Command::new("/usr/sbin/apache2");
        command.arg("-f").arg(folder.join("httpd.conf")).arg("-DFOREGROUND");
        command
    });
    let running = server.start();
    let section = format!("[Apache]\nurl: http://127.0.0.1:{}/server-status?auto\n", server.port);
    let watched = Watched::start("check_apache", CONF, &section);
    watched.until("apache_requests_rate", &[], |rate| rate > 0.5);
    let path = "/server-status?auto";
    for (metric, label) in [("apache_busyworkers", "BusyWorkers: "), ("apache_idleworkers", "IdleWorkers: ")] {
        watched.until(metric, &[], |count| count == server.number(path, label));
    }
    // Its own page was read in between.
    watched.until("apache_totalaccesses", &[], |count| count >= server.number(path, "Total Accesses: ") - 3.0);
    let slots = server.page(path).split("Scoreboard: ").nth(1).unwrap().lines().next().unwrap().matches('.').count();
    watched.until("apache_scoreboard_open", &[], |count| count == slots as f64);
    watched.outage("apache_busyworkers", &[], running, Running::end, || server.start());
    Ok(())
}

pub fn lighttpd() -> Result<(), String> {
    program("lighttpd", "lighttpd")?;
    let text = "server.modules = ( \"mod_status\" )\nserver.document-root = \"$T\"\nserver.bind = \"127.0.0.1\"\n\
                server.port = $PORT\nserver.errorlog = \"$T/error.log\"\nstatus.status-url = \"/server-status\"\n";
    let server = Server::new(&[("lighttpd.conf", text)], |folder, _| {
        let mut command = Command::new("/usr/sbin/lighttpd");
        command.arg("-D").arg("-f").arg(folder.join("lighttpd.conf"));
        command
    });
    let running = server.start();
    let section = format!("[Lighttpd]\naddress: http://127.0.0.1:{}\nstats: /server-status?auto\n", server.port);
    let watched = Watched::start("check_lighttpd", CONF, &section);
    watched.until("lighttpd_accesses", &[], |rate| (0.9..1.1).contains(&rate));
    for _ in 0..40 {
        server.page("/");
    }
    watched.until("lighttpd_accesses", &[], |rate| rate > 10.0);
    let slots = |label| server.number("/server-status?auto", label);
    // The requesting connection is one of them.
    watched.until("lighttpd_idleservers", &[], |count| (slots("IdleServers: ") - count).abs() <= 1.0);
    watched.outage("lighttpd_idleservers", &[], running, Running::end, || server.start());
    Ok(())
}

pub fn phpfpm() -> Result<(), String> {
    const FPM: &str = "[global]\nerror_log = $T/fpm.log\ndaemonize = no\n[www]\nuser = www-data\ngroup = www-data\n\
                       listen = $T/fpm.sock\nlisten.owner = www-data\npm = static\npm.max_children = 3\n\
                       pm.status_path = /fpm-status\n";
    program("php-fpm8.2", "php8.2-fpm")?;
    let server = nginx_server(&[("fpm.conf", FPM)])?;
    let _nginx = server.start();
    let start = || {
        let mut command = Command::new("/usr/sbin/php-fpm8.2");
        command.arg("-F").arg("-y").arg(server.path("fpm.conf"));
        let running = Running::start(&mut command, &server.path("log"));
        wait("PHP-FPM", Duration::from_secs(20), || server.page("/fpm-status").contains("accepted conn"));
        running
    };
    let running = start();
    for form in ["", "?json"] {
        let section = format!("[PhpFPM]\naddress: http://127.0.0.1:{}\nstats: /fpm-status{form}\n", server.port);
        let watched = Watched::start("check_phpfpm", CONF, &section);
        watched.until("phpfpm_conns_per_sec", &[], |rate| rate > 0.9);
        watched.until("phpfpm_proc_total", &[], |count| count == server.number("/fpm-status", "total processes: "));
        watched.until("phpfpm_proc_active", &[], |count| count == 1.0);
    }
    let section = format!("[PhpFPM]\naddress: http://127.0.0.1:{}\nstats: /fpm-status\n", server.port);
    let watched = Watched::start("check_phpfpm", CONF, &section);
    watched.until("phpfpm_uptime", &[], |seconds| seconds > 0.0);
    watched.outage("phpfpm_uptime", &[], running, Running::end, start);
    Ok(())
}

pub fn varnish() -> Result<(), String> {
    let varnishstat = program("varnishstat", "varnish")?;
    let backend = nginx_server(&[])?;
    let _nginx = backend.start();
    let vcl = format!(
        "vcl 4.1; backend web {{ .host = \"127.0.0.1\"; .port = \"{}\"; .probe = {{ .interval = 1s; }} }}",
        backend.port
    );
    let server = Server::new(&[("web.vcl", &vcl)], |folder, port| {
        let mut command = Command::new("/usr/sbin/varnishd");
        command.arg("-F").args(["-a", &format!("127.0.0.1:{port}"), "-s", "malloc,32m", "-n"]).arg(folder.join("v"));
        command.arg("-f").arg(folder.join("web.vcl"));
        command
    });
    let running = server.start();
    let folder = server.path("v");
    let own = |counter: &str| -> f64 {
        let told = Command::new(&varnishstat).arg("-n").arg(&folder).args(["-1", "-f", counter]).output().unwrap();
        String::from_utf8(told.stdout).unwrap().split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let section = format!("[Varnish]\nvarnishstat: {} -t 1 -n {}\n", varnishstat.display(), folder.display());
    let watched = Watched::start("check_varnish", CONF, &section);
    watched.until("varnish_client_req", &[], |_| true);
    for _ in 0..20 {
        server.page("/page");
    }
    watched.until("varnish_client_req", &[], |rate| rate > 5.0);
    watched.until("varnish_threads", &[], |count| count == own("MAIN.threads"));
    watched.until("varnish_backend_req", &[], |count| count == own("MAIN.backend_req"));
    watched.until("varnish_storage_bytes", &[("storage", "s0")], |bytes| bytes == own("SMA.s0.g_bytes"));
    watched.until("varnish_vbe_happy", &[("backend", "web")], |happy| happy == 1.0);
    watched.outage("varnish_threads", &[], running, Running::end, || server.start());
    Ok(())
}

pub fn tomcat() -> Result<(), String> {
    program("java", "openjdk-17-jre-headless")?;
    let home = Path::new("/usr/share/tomcat10");
    package("/usr/share/tomcat10-admin/manager", "tomcat10 tomcat10-admin")?;
    let shipped =
        |name: &str| fs::read_to_string(home.join("etc").join(name)).map_err(|error| format!("{name}: {error}"));
    let conf = shipped("server.xml")?.replace("port=\"8005\"", "port=\"-1\"");
    let conf = conf.replace("<Connector port=\"8080\"", "<Connector port=\"$PORT\" address=\"127.0.0.1\"");
    let users = "<tomcat-users><role rolename=\"manager-jmx\"/>\
                 <user username=\"foo\" password=\"foo\" roles=\"manager-jmx\"/></tomcat-users>";
    let manager = "<Context docBase=\"/usr/share/tomcat10-admin/manager\" privileged=\"true\"/>";
    let folders = ["conf/Catalina/localhost", "webapps", "logs", "temp", "work"];
    let web = shipped("web.xml")?;
    let files = [
        ("conf/server.xml", &*conf),
        ("conf/web.xml", &web),
        ("conf/tomcat-users.xml", users),
        ("conf/Catalina/localhost/manager.xml", manager),
    ];
    let server = Server::within(&folders, &files, |folder, _| {
        let mut command = Command::new("bash");
        command.arg("/usr/share/tomcat10/bin/catalina.sh").arg("run").env("CATALINA_HOME", "/usr/share/tomcat10");
        command.env("CATALINA_BASE", folder).env("CATALINA_OPTS", "-Xmx128m -XX:+UseG1GC");
        command
    });
    let running = server.start();
    let section = format!("[Tomcat]\nurl: http://127.0.0.1:{}/manager/jmxproxy\nuser: foo\npass: foo\n", server.port);
    let watched = Watched::start("check_tomcat", CONF, &section);
    // Six queries per tick.
    let connector = format!("http-nio-127.0.0.1-{}", server.port);
    let of_connector = [("connector", &*connector)];
    watched.until("tomcat_requests_rate", &of_connector, |rate| (5.0..7.0).contains(&rate));
    watched.until("tomcat_heap_max", &[], |bytes| bytes == f64::from(128 << 20));
    for (metric, tags) in [
        ("tomcat_nonheap_used", &[][..]),
        ("tomcat_threadcount", &[]),
        ("tomcat_gc_collectioncount", OF_COLLECTOR),
        ("tomcat_maxthreads", &of_connector),
    ] {
        watched.until(metric, tags, |number| number >= 0.0);
    }
    for _ in 0..20 {
        server.page("/nothing");
    }
    watched.until("tomcat_errors_rate", &of_connector, |rate| rate > 5.0);
    watched.outage("tomcat_heap_used", &[], running, Running::end, || server.start());
    Ok(())
}

pub fn jetty() -> Result<(), String> {
    program("java", "openjdk-17-jre-headless")?;
    package("/usr/share/jetty9/start.jar", "jetty9")?;
    let agent = maven::file("org.jolokia:jolokia-jvm:1.7.2")?;
    let port = free_port();
    let options = format!("-javaagent:{}=port={port},host=127.0.0.1", agent.display());
    let server = Server::within(&["webapps"], &[("options", &options)], |folder, port| {
        let mut command = jetty_start(folder);
        command.args(["jetty.http.host=127.0.0.1", &format!("jetty.http.port={port}")]);
        command
    });
    let modules = ["--create-startd", "--add-to-start=http,deploy,jmx,stats,session-cache-hash"];
    assert!(
        jetty_start(server.folder.path())
            .env_remove("JDK_JAVA_OPTIONS")
            .args(modules)
            .output()
            .unwrap()
            .status
            .success()
    );
    let running = server.start();
    let section = format!("[Jetty]\nstats: http://127.0.0.1:{port}/jolokia/read\n");
    let watched = Watched::start("check_jetty", CONF, &section);
    watched.until("jetty_requests_rate", &[], |rate| rate == 0.0);
    for _ in 0..20 {
        server.page("/nothing");
    }
    watched.until("jetty_requests_per_sec", &[], |rate| rate > 5.0);
    // And one until it answered.
    watched.until("jetty_responses4xx", &[], |count| count >= 21.0);
    for (metric, tags) in [
        ("jetty_heap_used", &[][..]),
        ("jetty_threadcount", &[]),
        ("jetty_gc_collectioncount", OF_COLLECTOR),
        ("jetty_busythreads", &[("pool", "0")]),
    ] {
        watched.until(metric, tags, |number| number >= 0.0);
    }
    watched.outage("jetty_heap_used", &[], running, Running::end, || server.start());
    Ok(())
}

/// In this folder, with the options given there.
fn jetty_start(folder: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .env("JDK_JAVA_OPTIONS", fs::read_to_string(folder.join("options")).unwrap())
        .args(["-Xmx96m", "-XX:+UseG1GC"]);
    command.arg("-Djetty.home=/usr/share/jetty9").arg(format!("-Djetty.base={}", folder.display()));
    command.args(["-jar", "/usr/share/jetty9/start.jar"]).current_dir(folder);
    command
}

pub fn pages() -> Result<(), String> {
    let server = nginx_server(&[])?;
    let running = server.start();
    let address = format!("http://127.0.0.1:{}", server.port);
    let watched = Watched::start("check_http_api", CONF, &format!("[HTTP]\nupstream: {address}/ok, {address}/err\n"));
    let host = format!("127_0_0_1_{}", server.port);
    let [ok, err] = ["ok", "err"].map(|page| format!("{address}/{page}"));
    let [ok, err] = [&ok, &err].map(|url| [("apihost", &*host), ("url", &**url)]);
    watched.until("http_api", &ok, |seconds| seconds > 0.0 && seconds < 1.0);
    watched.until("http_api_size", &ok, |bytes| bytes == 3.0);
    watched.until("http_api_status", &err, |status| status == 500.0);
    assert_eq!((watched.now("http_api_success", &err), watched.points("http_api", &err)), (0.0, Vec::new()));
    running.end();
    watched.until("http_api_success", &ok, |success| success == 0.0);
    let _running = server.start();
    watched.until("http_api_success", &ok, |success| success == 1.0);
    Ok(())
}
