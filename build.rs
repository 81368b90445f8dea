//! Prepares the files of the web page: without comments, line breaks and indentation, compressed with gzip.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

const FOLDER: &str = "src/web/page";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FOLDER}");
    let out = env::var("OUT_DIR")?;
    for file in fs::read_dir(FOLDER)? {
        let file = file?;
        let name = file.file_name().into_string().map_err(|_| "a name that is not UTF-8")?;
        let text = fs::read_to_string(file.path())?;
        let short = match name.rsplit('.').next() {
            Some("js") => minifier::js::minify(&text)?.to_string(),
            Some("css") => minifier::css::minify(&text)?.to_string(),
            _ => text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n"),
        };
        let packed = fs::File::create(Path::new(&out).join(format!("{name}.gz")))?;
        let mut packed = GzEncoder::new(packed, Compression::best());
        packed.write_all(short.as_bytes())?;
        packed.finish()?;
    }
    Ok(())
}
