//! The static files of the page: part of the program, compressed once.

use crate::model::gzip::zipped;
use flate2::Compression;
use hyper::body::Bytes;

/// Path, content type and text of each.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
];

/// A file of the page.
pub struct File {
    pub path: &'static str,
    pub kind: &'static str,
    pub plain: Bytes,
    pub zipped: Bytes,
    /// Its ETag, weak because the plain and the compressed form share it.
    pub tag: String,
}

/// All files of the page.
pub fn all() -> Vec<File> {
    let file = |(path, kind, text): &(&'static str, &'static str, &'static str)| File {
        path,
        kind,
        plain: Bytes::from_static(text.as_bytes()),
        zipped: zipped(text.as_bytes(), Compression::best()).into(),
        tag: format!("W/\"{:08x}-{:x}\"", crc32fast::hash(text.as_bytes()), text.len()),
    };
    FILES.iter().map(file).collect()
}

impl File {
    /// Whether the browser has it in its cache, by its `If-None-Match` header (RFC 9110, 13.1.2).
    pub fn is_known(&self, tags: &str) -> bool {
        let own = self.tag.trim_start_matches("W/");
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == own || tag == "*")
    }
}
