//! Servers that are jars: from Maven Central into a cache that is kept between runs.

use crate::cache::{kept, output};
use crate::server::program;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// `group:artifact:version`, followed by `:type` or `:type:classifier` if it is no usual jar, and the dependencies to
/// leave out, as `group:artifact`.
pub type Artifact = (&'static str, &'static [&'static str]);

/// The class path of these artifacts and all their dependencies. `name` is the folder of the cache.
pub fn class_path(name: &str, artifacts: &[Artifact]) -> Result<String, String> {
    let folder = kept(name, |folder| {
        let maven = program("mvn", "maven")?;
        fs::write(folder.join("pom.xml"), pom(artifacts)).map_err(|error| error.to_string())?;
        // Checksums are compared, and a wrong one is an error (-C).
        let mut command = Command::new(maven);
        command.args(["-B", "-q", "-C", "-f"]).arg(folder.join("pom.xml"));
        command.args(["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"]);
        output(&mut command).map(drop)
    })?;
    Ok(folder.join("jars/*").display().to_string())
}

/// The file of one artifact, without its dependencies.
pub fn file(artifact: &'static str) -> Result<PathBuf, String> {
    let name = artifact.split(':').skip(1).take(2).collect::<Vec<_>>().join("-");
    let jars = class_path(&name, &[(artifact, &["*:*"])])?;
    let files = fs::read_dir(jars.trim_end_matches('*')).map_err(|error| format!("{jars}: {error}"))?;
    files.flatten().map(|entry| entry.path()).next().ok_or_else(|| format!("{jars}: nothing is there"))
}

/// A Java of the version on which all of them run.
pub fn java() -> Result<PathBuf, String> {
    let known = PathBuf::from("/usr/lib/jvm/java-17-openjdk-amd64/bin/java");
    if known.exists() {
        return Ok(known);
    }
    program("java", "openjdk-17-jdk-headless").map(|found| if known.exists() { known } else { found })
}

fn pom(artifacts: &[Artifact]) -> String {
    let tags = ["groupId", "artifactId", "version", "type", "classifier"];
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
