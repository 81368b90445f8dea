//! check_solr against a Solr from Maven Central, compared with its other pages.

use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, json, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(90);
const JARS: &[Artifact] = &[
    ("org.apache.solr:solr-core:9.8.1", &[]),
    ("io.dropwizard.metrics:metrics-jetty10:4.2.26", &[]),
    ("org.eclipse.jetty:jetty-servlet:10.0.22", &[]),
    ("org.eclipse.jetty:jetty-server:10.0.22", &[]),
    ("org.eclipse.jetty:jetty-security:10.0.22", &[]),
    ("org.apache.logging.log4j:log4j-slf4j2-impl:2.21.0", &[]),
];
const MEGABYTES: u32 = 192;
/// The numbers of stored documents and of queries.
const COUNT: usize = 40;

/// Solr in a Jetty that counts requests like that of the distribution.
const SOURCE: &str = r#"
import com.codahale.metrics.SharedMetricRegistries;
import io.dropwizard.metrics.jetty10.InstrumentedHandler;
import java.util.EnumSet;
import javax.servlet.DispatcherType;
import javax.servlet.http.*;
import org.apache.solr.servlet.*;
import org.eclipse.jetty.server.*;
import org.eclipse.jetty.server.handler.*;
import org.eclipse.jetty.servlet.ServletContextHandler;

public class Solr {
    public static class Nothing extends HttpServlet {
        protected void service(HttpServletRequest request, HttpServletResponse response) throws java.io.IOException {
            response.sendError(404);
        }
    }

    public static void main(String[] words) throws Exception {
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(words[0]));
        server.addConnector(connector);
        ServletContextHandler solr = new ServletContextHandler(ServletContextHandler.SESSIONS);
        solr.setContextPath("/solr");
        solr.addEventListener(new CoreContainerProvider());
        solr.addFilter(SolrDispatchFilter.class, "/*", EnumSet.of(DispatcherType.REQUEST));
        solr.addServlet(Nothing.class, "/*");
        InstrumentedHandler counting = new InstrumentedHandler(SharedMetricRegistries.getOrCreate("solr.jetty"));
        counting.setHandler(new DefaultHandler());
        HandlerCollection all = new HandlerCollection();
        all.setHandlers(new Handler[] {new ContextHandlerCollection(solr), counting});
        server.setHandler(all);
        server.start();
        server.join();
    }
}
"#;
const CONFIG: &str = "<config><luceneMatchVersion>9.8.1</luceneMatchVersion><schemaFactory class=\"ClassicIndexSchemaFactory\"/>\
                      <requestHandler name=\"/select\" class=\"solr.SearchHandler\"/></config>";
const SCHEMA: &str = "<schema name=\"live\" version=\"1.6\"><fieldType name=\"text\" class=\"solr.StrField\"/>\
                      <field name=\"id\" type=\"text\" indexed=\"true\" stored=\"true\" required=\"true\"/>\
                      <uniqueKey>id</uniqueKey></schema>";

struct Solr {
    folder: TempDir,
    jars: String,
    port: u16,
}

impl Solr {
    fn new() -> Result<Solr, String> {
        let (folder, jars) = (TempDir::new().unwrap(), class_path("solr-9.8.1", JARS)?);
        let inside = |name: &str| folder.path().join(name);
        fs::create_dir_all(inside("home/books/conf")).unwrap();
        for (name, text) in [
            ("Solr.java", SOURCE),
            ("home/solr.xml", "<solr></solr>"),
            ("home/books/core.properties", "name=books\n"),
            ("home/books/conf/solrconfig.xml", CONFIG),
            ("home/books/conf/schema.xml", SCHEMA),
        ] {
            fs::write(inside(name), text).unwrap();
        }
        Ok(Solr { folder, jars, port: free_port() })
    }

    fn run(&self) -> Result<Program, String> {
        let place = self.folder.path().display();
        let mut command = Command::new(java()?);
        command.arg(format!("-Xmx{MEGABYTES}m")).args(["-XX:+UseG1GC", "-cp", &self.jars]);
        command.arg(format!("-Dsolr.solr.home={place}/home"));
        command.args(["log", "install"].map(|word| format!("-Dsolr.{word}.dir={place}")));
        command.arg(self.folder.path().join("Solr.java")).arg(self.port.to_string());
        let running = Program::start(&mut command, &self.folder.path().join("log"));
        wait("Solr", START, || self.number("/books/select?q=*:*", "/response/numFound").is_some());
        Ok(running)
    }

    /// The number at this place of a page.
    fn number(&self, page: &str, place: &str) -> Option<f64> {
        let (_, told) = json(self.port, "GET", &format!("/solr{page}"), "")?;
        told.pointer(place).and_then(Value::as_f64)
    }
}

pub fn solr() -> Result<(), String> {
    let solr = Solr::new()?;
    let running = solr.run()?;
    let section = format!("[Solr]\nstats: http://127.0.0.1:{}/solr/admin/metrics?group=all&wt=json\n", solr.port);
    let watched = Watched::start("check_solr", "bigdata.ini", &section);
    let of_core = [("core", "books")];
    watched.until("solr_core_documents", &of_core, |count| count == 0.0);
    for metric in ["solr_core_queries", "solr_core_updates"] {
        watched.until(metric, &of_core, |rate| rate == 0.0);
    }
    watched.now("solr_post_requests", &[]);
    for number in 0..COUNT {
        let document = format!("[{{\"id\": \"{number}\"}}]");
        let stored = json(solr.port, "POST", "/solr/books/update?commit=true", &document);
        assert_eq!(stored.map(|(status, _)| status), Some(200));
        let found = solr.number("/books/select?q=*:*", "/response/numFound");
        assert_eq!(found, Some(number as f64 + 1.0));
    }
    let cores = "/admin/cores?action=STATUS";
    watched.until("solr_core_documents", &of_core, |count| {
        count == COUNT as f64 && Some(count) == solr.number(cores, "/status/books/index/numDocs")
    });
    watched.counts("solr_core_updates", &of_core, COUNT);
    watched.counts("solr_core_queries", &of_core, COUNT);
    watched.counts("solr_post_requests", &[], COUNT);
    watched.until("solr_core_index_size", &of_core, |size| {
        Some(size) == solr.number(cores, "/status/books/index/sizeInBytes")
    });
    watched.until("solr_heap_max", &[], |most| {
        most == f64::from(MEGABYTES << 20) && Some(most) == solr.number("/admin/info/system", "/jvm/memory/raw/max")
    });
    watched.until("solr_gc_g1-young-generation_count", &[], |count| count > 0.0);
    assert_eq!(solr.number("/books/select?q=nosuch:x", "/error/code"), Some(400.0));
    wait("the rate of errors", START, || watched.counted("solr_core_query_errors", &of_core) > 0.5);
    watched.outage("solr_heap_used", &[], running, Program::end, || solr.run().unwrap());
    Ok(())
}
