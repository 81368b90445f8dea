//! Requests the telemetry of Consul, Nomad or Vault, with the section's address and token, and explains refusals.

use super::telemetry::Telemetry;
use crate::check::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::http::{Answer, Endpoint, Http};
use crate::model::error::{Error, Result, quote};
use crate::model::parse::json;
use serde_json::Value;

/// Names of the key with the address: as the original misspelled it, and correct ones.
pub const ADDRESS: &[&str] = &["telemetery", "telemetry", "url"];

/// HTTP statuses that are interpreted here.
const HEARD: &[u16] = &[400, 401, 403, 500];
/// Error message of a server that has a NaN among its values: JSON cannot express it, the Prometheus format can.
const UNWRITABLE: &str = "unsupported value";
const AS_TEXT: &str = "?format=prometheus";

/// The differences between the three products.
pub struct Product {
    pub name: &'static str,
    /// HTTP header of the token, in lower case.
    pub token_header: &'static str,
    /// What to do if the server refuses access.
    pub remedy: &'static str,
}

/// The server whose telemetry is requested.
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

    /// Whether requests have a token.
    pub fn has_token(&self) -> bool {
        self.has_token
    }

    /// Requests the telemetry. `None` if the server works but cannot encode its values.
    ///
    /// # Errors
    /// The server cannot be reached, refuses access, or returns something else.
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

/// A check of a server that needs nothing but its telemetry.
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
