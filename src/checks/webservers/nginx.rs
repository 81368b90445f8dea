//! nginx: connections and requests of nginx, from the page of stub_status (nginx documentation,
//! ngx_http_stub_status_module). Tengine has a fourth column after `requests`, and some proxies strip trailing blanks.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Runs, Spec, page};
use crate::fetch::http::{self, Answer};
use crate::model::point::Tags;
use crate::model::table::{Field, Row, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_nginx",
    purpose: "connections and requests of nginx",
    check_type: "nginx",
    conf: CONF,
    section: "NginX",
    keys: &[&["address", "stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS, &[DROPPED]],
    charts: CHARTS,
    build: |section| {
        page(section, &["address", "stats"], |page, out| {
            let row = row(page);
            page.must(row.has_any(FIELDS), "the text of stub_status: is it switched on at this path?")?;
            out.pick(&row, FIELDS, &Tags::default());
            if let (Some(taken), Some(handled)) = (row.count("accepts"), row.count("handled")) {
                out.put(&DROPPED, taken.saturating_sub(handled), &Tags::default());
            }
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["nginx_requests"]),
    Chart::new("Connections").of(&["nginx_writing", "nginx_reading", "nginx_waiting"]).stacked(),
    Chart::new("New connections").of(&["nginx_accept", "nginx_handled", "nginx_dropped"]),
    Chart::new("All connections").of(&["nginx_connections"]),
];

const FIELDS: &[Field] = &[
    gauge("Active connections:", "nginx_connections", "connections"),
    rate("accepts", "nginx_accept", "1/s"),
    rate("handled", "nginx_handled", "1/s"),
    rate("requests", "nginx_requests", "1/s"),
    gauge("Reading:", "nginx_reading", "connections"),
    gauge("Writing:", "nginx_writing", "connections"),
    gauge("Waiting:", "nginx_waiting", "connections"),
];

const DROPPED: Field = rate("", "nginx_dropped", "1/s");

/// Parses pairs such as `Reading: 6 Writing: 179`, and the counters: a line of names above a line of numbers.
fn row(page: &Answer) -> Row<'_> {
    let mut row = Row::default();
    let mut lines = page.text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(names) = line.strip_prefix("server ") {
            let numbers = lines.next().unwrap_or_default().split_ascii_whitespace();
            names.split_ascii_whitespace().zip(numbers).for_each(|(name, number)| row.push(name, number));
        } else if let Some(number) = line.strip_prefix("Active connections:") {
            row.push("Active connections:", number.trim());
        } else {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            words.chunks_exact(2).for_each(|pair| {
                if let [name, number] = pair {
                    row.push(name, *number)
                }
            });
        }
    }
    row
}
