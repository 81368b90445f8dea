//! Servers that come as Go modules: built from their source.

use crate::cache::{kept, output};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The program of that package of a module, `path@version`, with files that its source lacks.
pub fn program(module: &str, package: &str, files: &[(&str, &str)]) -> Result<PathBuf, String> {
    let (path, version) = module.split_once('@').unwrap();
    let name = format!("{}-{}", path.rsplit('/').next().unwrap().to_lowercase(), version.trim_start_matches('v'));
    let folder = kept(&name, |folder| {
        let told = output(Command::new("go").args(["mod", "download", "-json", module]).current_dir(folder))?;
        let told: serde_json::Value = serde_json::from_str(&told).map_err(|error| format!("go: {error}"))?;
        let source = folder.join("source");
        output(Command::new("cp").arg("-r").arg(told["Dir"].as_str().unwrap_or_default()).arg(&source))?;
        output(Command::new("chmod").args(["-R", "u+w"]).arg(&source))?;
        for (file, text) in files {
            fs::write(source.join(file), text).map_err(|error| format!("{file}: {error}"))?;
        }
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(folder.join("program")).arg(package);
        output(build.env("GOFLAGS", "-mod=mod").current_dir(&source))?;
        fs::remove_dir_all(&source).map_err(|error| error.to_string())
    })?;
    Ok(folder.join("program"))
}
