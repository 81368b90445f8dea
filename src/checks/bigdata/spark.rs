//! The base of both checks of standalone Spark: the JVM through Jolokia, and the page of Spark's web interface as JSON
//! (Spark documentation, "Monitoring"; org.apache.spark.deploy.JsonProtocol).

use crate::check::{Beans, Check, Context, Out, jolokia, jvm};
use crate::config::section::Section;
use crate::fetch::http::{Endpoint, Http};
use crate::model::error::{Error, Result};
use crate::model::parse::jolokia::Bean;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::Field;
use serde_json::Value;

/// The keys of both checks, besides those of HTTP.
pub const KEYS: &[&str] = &["stats", "webui"];

/// Spark's megabyte, in bytes.
pub const MEGABYTE: f64 = 1_048_576.0;

const BEANS: &[Bean] = &[jvm::RUNTIME, jvm::MEMORY, jvm::THREADS, jvm::COLLECTORS];
/// Index of the last one.
const COLLECTORS: usize = 3;
/// Path of the page in the web interface.
const PAGE: &str = "/json/";

/// The tables of one of the checks.
pub struct Tables {
    /// Name of the page, for the error if another page is received.
    pub wanted: &'static str,
    /// A cell that every page of this kind has.
    pub sure: &'static str,
    pub jvm: &'static [Field],
    /// For each known garbage collector, its name and its fields.
    pub collectors: &'static [(&'static str, &'static [Field])],
    /// Fields for any other collector.
    pub other: &'static [Field],
}

/// Either check. `tell` gets the page of the web interface, if the section has its address.
///
/// # Errors
/// A mistake in the section.
pub fn check(section: &Section, tables: &'static Tables, tell: fn(&Value, &mut Out)) -> Result<Box<dyn Check>> {
    let jvm = jolokia(section, "stats", BEANS, |beans, out| {
        tell_jvm(beans, tables, out);
        Ok(())
    })?;
    // The web interface is another server, for which Jolokia's credentials are not meant.
    let strange = section.without("auth");
    let has_web = section.text("webui").is_some_and(|text| !text.is_empty());
    let web = if has_web { Some(Http::new(Endpoint::read(&strange, &["webui"])?)) } else { None };
    Ok(Box::new(Spark { jvm, web, tables, tell }))
}

struct Spark {
    jvm: Box<dyn Check>,
    web: Option<Http>,
    tables: &'static Tables,
    tell: fn(&Value, &mut Out),
}

impl Check for Spark {
    /// If the web interface fails, only its points are missing. If both fail, it is one error, because both belong to
    /// one process.
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let jvm = self.jvm.run(cx, out);
        let Some(web) = &mut self.web else { return jvm };
        match (jvm, tell_page(cx, web, self.tables, self.tell, out)) {
            (Err(jvm), Err(web)) => Err(Error::daemon(format!("{jvm}; webui: {web}"))),
            (jvm, Err(web)) => {
                out.fault_of("webui", web.to_string());
                jvm
            }
            (jvm, Ok(())) => jvm,
        }
    }
}

fn tell_page(cx: &Context, web: &mut Http, tables: &Tables, tell: fn(&Value, &mut Out), out: &mut Out) -> Result<()> {
    let answer = cx.get(web, PAGE)?;
    let page: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    answer.must(page.pointer(tables.sure).is_some(), tables.wanted)?;
    tell(&page, out);
    Ok(())
}

fn tell_jvm(beans: &Beans, tables: &Tables, out: &mut Out) {
    jvm::counted(beans.at(0), out);
    for place in 1..COLLECTORS {
        jvm::tell(beans.at(place), tables.jvm, &Tags::default(), out);
    }
    jvm::tell_named(beans.at(COLLECTORS), tables.collectors, tables.other, out);
}

/// Emits the length of the array in the field's cell.
pub fn tell_length(page: &Value, field: &'static Field, out: &mut Out) {
    if page.pointer(field.cell).is_some_and(Value::is_array) {
        out.put(field, json::array(page, field.cell).len() as u64, &Tags::default());
    }
}
