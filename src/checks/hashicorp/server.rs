//! A question to Consul, Nomad or Vault for its telemetry: the address and the token that the section says, and what a refusal
//! means.

use super::telemetry::Telemetry;
use crate::check::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::http::{Answer, Endpoint, Http};
use crate::model::error::{Error, Result, quote};
use crate::model::parse::json;
use serde_json::Value;

/// The names of the key of the address: as the original spelt it, and right.
pub const ADDRESS: &[&str] = &["telemetery", "telemetry", "url"];

/// Statuses that mean something here.
const HEARD: &[u16] = &[400, 401, 403, 500];
/// The answer of a server that has a NaN among its numbers: its JSON cannot say it, Prometheus text can.
const UNWRITABLE: &str = "unsupported value";
const AS_TEXT: &str = "?format=prometheus";

/// What the three differ in.
pub struct Product {
    pub name: &'static str,
    /// In lower case.
    pub token_header: &'static str,
    /// What helps where it refuses.
    pub remedy: &'static str,
}

/// Where the telemetry is asked for.
pub struct Server {
    http: Http,
    product: &'static Product,
    has_token: bool,
}

/// The address of the telemetry.
pub fn endpoint(section: &Section) -> Result<Endpoint> {
    let is_written = |key: &&&str| section.text(key).is_some_and(|text| !text.is_empty());
    let key = ADDRESS.iter().find(is_written).copied().unwrap_or("telemetery");
    Endpoint::read(section, &[key])
}

impl Server {
    /// # Errors
    /// A mistake in the section.
    pub fn read(section: &Section, product: &'static Product) -> Result<Server> {
        let endpoint = endpoint(section)?.hearing(HEARD).with_token(section, product.token_header)?;
        let has_token = endpoint.has_token();
        Ok(Server { http: Http::new(endpoint), product, has_token })
    }

    /// Whether it is shown a token.
    pub fn has_token(&self) -> bool {
        self.has_token
    }

    /// `None` where the server is well and cannot tell.
    ///
    /// # Errors
    /// It is not reached, refuses, or answers something else.
    pub fn ask(&mut self, cx: &Context, out: &mut Out) -> Result<Option<Telemetry>> {
        let mut answer = cx.get(&mut self.http, "")?;
        if answer.status == 500 && answer.text.contains(UNWRITABLE) {
            answer = match cx.get(&mut self.http, AS_TEXT) {
                Ok(answer) if answer.status == 200 => answer,
                _ => {
                    let why = "the server has a NaN among its numbers, as some have soon after the start, and cannot write it as \
                               JSON; with prometheus_retention_time it can";
                    out.absence_of("telemetry", why);
                    return Ok(None);
                }
            };
        }
        if answer.status >= 300 {
            return Err(self.refused(&answer));
        }
        let told = Telemetry::read(&answer, self.product.name, out);
        told.map(Some).map_err(|error| answer.unread(&error))
    }

    fn refused(&self, answer: &Answer) -> Error {
        let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let said = json::text(&document, "/errors/0").unwrap_or(answer.text.trim());
        let said = if said.is_empty() { String::new() } else { format!(": {}", quote(said)) };
        let is_about_token = matches!(answer.status, 401 | 403) || said.contains("token");
        let remedy = if is_about_token { format!("; {}", self.product.remedy) } else { String::new() };
        let (status, address) = (answer.status, answer.address.clone());
        Error::Status { address, status, problem: format!("HTTP {status}{said}{remedy}") }
    }
}

/// A check of a server whose telemetry is all that is asked for.
///
/// # Errors
/// A mistake in the section.
pub fn check<T>(section: &Section, product: &'static Product, tell: T) -> Result<Box<dyn Check>>
where
    T: Fn(&Telemetry, &mut Out) + Send + 'static,
{
    Ok(Box::new(Agent { server: Server::read(section, product)?, tell }))
}

struct Agent<T> {
    server: Server,
    tell: T,
}

impl<T: Fn(&Telemetry, &mut Out) + Send> Check for Agent<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        if let Some(told) = self.server.ask(cx, out)? {
            (self.tell)(&told, out);
        }
        Ok(())
    }
}
