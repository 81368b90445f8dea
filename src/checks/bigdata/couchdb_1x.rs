//! couchdb_1x: requests, responses, reads and writes of CouchDB 1, from its statistics (CouchDB 1.6 documentation,
//! "/_stats").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_couchdb_1x",
    purpose: "requests, answers, reads and writes of CouchDB 1",
    check_type: "couchdb",
    conf: CONF,
    section: "CouchDB",
    keys: &[&["stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[COUNTS, LEVELS],
    charts: CHARTS,
    build: |section| {
        page(&section.with_login(), &["stats"], |page, out| {
            let stats = json::document(&page.text, "the statistics of CouchDB 1")?;
            let is_newer = stats.pointer("/couchdb/httpd").is_some();
            page.must(!is_newer, "the statistics of CouchDB 1: those of later ones are told by check_couchdb_2x")?;
            page.must(
                stats.get("httpd").is_some(),
                "the statistics of CouchDB 1: is stats an address that ends in /_stats?",
            )?;
            for fields in [COUNTS, LEVELS] {
                out.pick_present(&json::row(&stats, fields), fields, &Tags::default());
            }
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&[
        "couchdb_requests",
        "couchdb_bulk_requests",
        "couchdb_view_reads",
        "couchdb_temporary_view_reads",
    ]),
    Chart::new("Answers that are well")
        .of(&["couchdb_200", "couchdb_201", "couchdb_202", "couchdb_301", "couchdb_304"])
        .stacked(),
    Chart::new("Answers that refuse or fail")
        .of(&[
            "couchdb_400",
            "couchdb_401",
            "couchdb_403",
            "couchdb_404",
            "couchdb_405",
            "couchdb_409",
            "couchdb_412",
            "couchdb_500",
        ])
        .stacked(),
    Chart::new("Time spent on requests").of(&["couchdb_request_time"]),
    Chart::new("Reads and writes of documents").of(&["couchdb_database_reads", "couchdb_database_writes"]),
    Chart::new("Requests by method").of(&[
        "couchdb_get",
        "couchdb_put",
        "couchdb_post",
        "couchdb_delete",
        "couchdb_head",
        "couchdb_copy",
    ]),
    Chart::new("Open databases and files").of(&["couchdb_open_databases_current", "couchdb_open_os_files_current"]),
    Chart::new("Clients that wait for changes").of(&["couchdb_clients_requesting_changes_current"]),
    Chart::new("Cache of logins").of(&["couchdb_auth_cache_hits", "couchdb_auth_cache_misses"]),
];

/// Statistics without a value yet are null.
const COUNTS: &[Field] = &[
    rate("/couchdb/auth_cache_misses/current", "couchdb_auth_cache_misses", "1/s"),
    rate("/couchdb/database_writes/current", "couchdb_database_writes", "1/s"),
    rate("/couchdb/auth_cache_hits/current", "couchdb_auth_cache_hits", "1/s"),
    rate("/couchdb/request_time/current", "couchdb_request_time", "ms/s"),
    rate("/couchdb/database_reads/current", "couchdb_database_reads", "1/s"),
    rate("/httpd_request_methods/GET/current", "couchdb_get", "1/s"),
    rate("/httpd_request_methods/PUT/current", "couchdb_put", "1/s"),
    rate("/httpd_request_methods/COPY/current", "couchdb_copy", "1/s"),
    rate("/httpd_request_methods/DELETE/current", "couchdb_delete", "1/s"),
    rate("/httpd_request_methods/POST/current", "couchdb_post", "1/s"),
    rate("/httpd_request_methods/HEAD/current", "couchdb_head", "1/s"),
    rate("/httpd_status_codes/200/current", "couchdb_200", "1/s"),
    rate("/httpd_status_codes/201/current", "couchdb_201", "1/s"),
    rate("/httpd_status_codes/202/current", "couchdb_202", "1/s"),
    rate("/httpd_status_codes/301/current", "couchdb_301", "1/s"),
    rate("/httpd_status_codes/304/current", "couchdb_304", "1/s"),
    rate("/httpd_status_codes/400/current", "couchdb_400", "1/s"),
    rate("/httpd_status_codes/401/current", "couchdb_401", "1/s"),
    rate("/httpd_status_codes/403/current", "couchdb_403", "1/s"),
    rate("/httpd_status_codes/404/current", "couchdb_404", "1/s"),
    rate("/httpd_status_codes/405/current", "couchdb_405", "1/s"),
    rate("/httpd_status_codes/409/current", "couchdb_409", "1/s"),
    rate("/httpd_status_codes/412/current", "couchdb_412", "1/s"),
    rate("/httpd_status_codes/500/current", "couchdb_500", "1/s"),
    rate("/httpd/temporary_view_reads/current", "couchdb_temporary_view_reads", "1/s"),
    rate("/httpd/requests/current", "couchdb_requests", "1/s"),
    rate("/httpd/bulk_requests/current", "couchdb_bulk_requests", "1/s"),
    rate("/httpd/view_reads/current", "couchdb_view_reads", "1/s"),
];

/// Current numbers; the original emitted their change.
const LEVELS: &[Field] = &[
    gauge("/couchdb/open_databases/current", "couchdb_open_databases_current", "databases").int(),
    gauge("/couchdb/open_os_files/current", "couchdb_open_os_files_current", "files").int(),
    gauge("/httpd/clients_requesting_changes/current", "couchdb_clients_requesting_changes_current", "clients").int(),
];
