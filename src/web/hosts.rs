//! Which names in the `Host` header are accepted.
//!
//! Without this check, a foreign site whose name resolves to this address could read our pages through a browser (DNS
//! rebinding).

use super::answer::Answer;
use crate::config::section::Section;
use crate::model::error::Result;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Version};
use std::net::IpAddr;

/// Accepted names, in lower case.
#[derive(Clone, Debug)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads `allowedhost`.
    ///
    /// # Errors
    /// A word that is not a host name.
    pub fn read(section: &Section) -> Result<Hosts> {
        let is_name = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        let words = section.list("allowedhost");
        if let Some(word) = words.iter().find(|word| !is_name(word)) {
            let expected =
                format!("{word:?} is no name of a host as web1.example.org; no port and no pattern goes with it");
            return Err(section.problem("allowedhost", &expected));
        }
        Ok(Hosts(words.iter().map(|word| word.to_ascii_lowercase()).chain(["localhost".into()]).collect()))
    }

    /// Adds these names of this host, long and short.
    pub fn with(mut self, names: &[&str]) -> Hosts {
        let lower = names.iter().map(|name| name.to_ascii_lowercase());
        self.0.extend(lower.flat_map(|name| [name.split('.').next().unwrap_or_default().to_string(), name]));
        self
    }

    /// # Errors
    /// The answer to a request for another host.
    pub fn admit<B>(&self, request: &Request<B>) -> std::result::Result<(), Answer> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        // Browsers always send one. HTTP/1.0 clients may send none.
        if more.is_some() || host.is_none() && request.version() >= Version::HTTP_11 {
            return Err(Answer::bad("expected one header Host"));
        }
        let host = host.map(|host| host.to_str().map_err(|_| Answer::bad("the header Host is no text"))).transpose()?;
        let target = request.uri().authority().map(|authority| authority.as_str());
        match host.into_iter().chain(target).find(|asked| !self.knows(asked)) {
            None => Ok(()),
            Some(asked) => {
                let why = format!(
                    "{asked:?} is no name of this host: ask by its address, or add the name to allowedhost in [WebServer]"
                );
                Err(Answer::wrong(StatusCode::MISDIRECTED_REQUEST, &why))
            }
        }
    }

    /// Whether it is an IP address or one of the names; a port is ignored.
    fn knows(&self, asked: &str) -> bool {
        if let Some((address, _)) = asked.strip_prefix('[').and_then(|asked| asked.split_once(']')) {
            return address.parse::<IpAddr>().is_ok();
        }
        let name = asked.split_once(':').map_or(asked, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || !name.is_empty() && self.0.contains(&name)
    }
}
