//! Servers that come as jars: from Maven Central into a cache that outlives the run.

use crate::server::program;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `group:artifact:version`, and what of its own dependencies is left out, as `group:artifact`.
pub type Artifact = (&'static str, &'static [&'static str]);

/// The class path of these and all they need. `name` names the folder of the cache.
pub fn class_path(name: &str, artifacts: &[Artifact]) -> Result<String, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.unwrap_or_else(std::env::temp_dir).join("puypuy-live").join(name);
    if !folder.exists() {
        let maven = program("mvn", "maven")?;
        println!("live: fetching the jars of {name}");
        let unfinished = folder.with_extension(format!("{}.unfinished", std::process::id()));
        fs::create_dir_all(&unfinished).map_err(|error| format!("{}: {error}", unfinished.display()))?;
        fs::write(unfinished.join("pom.xml"), pom(artifacts)).unwrap();
        // Checksums are compared, and a wrong one is an error (-C).
        let mut command = Command::new(maven);
        command.args(["-B", "-q", "-C", "-f"]).arg(unfinished.join("pom.xml"));
        command.args(["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"]);
        let output = command.stdin(Stdio::null()).output().map_err(|error| format!("mvn: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).lines().take(3).collect::<Vec<_>>().join(" ");
            let _ = fs::remove_dir_all(&unfinished);
            return Err(format!("the jars of {name} cannot be had: {said}"));
        }
        fs::rename(&unfinished, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(folder.join("jars/*").display().to_string())
}

/// A Java of the version that all of them run on.
pub fn java() -> Result<PathBuf, String> {
    let known = PathBuf::from("/usr/lib/jvm/java-17-openjdk-amd64/bin/java");
    if known.exists() {
        return Ok(known);
    }
    program("java", "openjdk-17-jdk-headless").map(|found| if known.exists() { known } else { found })
}

fn pom(artifacts: &[Artifact]) -> String {
    let tags = ["groupId", "artifactId", "version"];
    let coordinates = |text: &str| -> String {
        text.split(':').zip(tags).map(|(word, tag)| format!("<{tag}>{word}</{tag}>")).collect()
    };
    let dependency = |(artifact, without): &Artifact| {
        let without: String =
            without.iter().map(|one| format!("<exclusion>{}</exclusion>", coordinates(one))).collect();
        format!("<dependency>{}<exclusions>{without}</exclusions></dependency>", coordinates(artifact))
    };
    let dependencies: String = artifacts.iter().map(dependency).collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion>{}<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>",
        coordinates("live:live:1")
    )
}
