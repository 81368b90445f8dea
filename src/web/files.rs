//! The static files of the page: part of the program, as `build.rs` has prepared them.

use flate2::read::GzDecoder;
use hyper::body::Bytes;
use std::io::Read;

macro_rules! prepared {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz"))
    };
}

/// A file of the page.
pub struct File {
    pub path: &'static str,
    /// Its content type.
    pub kind: &'static str,
    /// Its text, compressed with gzip.
    pub zipped: &'static [u8],
}

pub const FILES: &[File] = &[
    File { path: "/", kind: "text/html; charset=utf-8", zipped: prepared!("index.html") },
    File { path: "/icon.svg", kind: "image/svg+xml", zipped: prepared!("icon.svg") },
    File { path: "/page.css", kind: "text/css; charset=utf-8", zipped: prepared!("page.css") },
    File { path: "/page.js", kind: "text/javascript; charset=utf-8", zipped: prepared!("page.js") },
];

impl File {
    /// Its text, for clients that do not accept gzip.
    pub fn plain(&self) -> Bytes {
        let mut plain = Vec::new();
        // A part of the program is intact.
        let _ = GzDecoder::new(self.zipped).read_to_end(&mut plain);
        plain.into()
    }

    /// Its ETag, weak because the plain and the compressed form share it.
    pub fn tag(&self) -> String {
        format!("W/\"{:08x}\"", crc32fast::hash(self.zipped))
    }

    /// Whether the browser has it in its cache, by its `If-None-Match` header (RFC 9110, 13.1.2).
    pub fn is_known(&self, tags: &str) -> bool {
        let known = self.tag();
        let own = known.trim_start_matches("W/");
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == own || tag == "*")
    }
}
