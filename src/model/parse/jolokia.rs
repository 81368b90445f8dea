//! Requests to Jolokia and its answers: MBeans with attributes (Jolokia reference, "Jolokia protocol", 1.x and 2.x).

use super::json;
use crate::model::error::{Error, Result, quote};
use crate::model::percent;
use serde_json::{Value, json};

const ANSWER: &str = "an answer of Jolokia";
/// Start of the text that Jolokia returns for a missing attribute.
const MISSING: &str = "ERROR: ";
/// Jolokia's status for an MBean or attribute that does not exist.
const NOT_FOUND: u64 = 404;

/// An MBean, or a pattern for several, to request.
#[derive(Clone, Copy, Debug)]
pub struct Bean {
    /// The MBean's name, or a pattern.
    pub name: &'static str,
    /// The attributes to request; empty: all of them.
    pub attributes: &'static [&'static str],
}

/// An MBean in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The properties of its name, without quotes.
    properties: Vec<(String, String)>,
    /// Its attributes, a JSON object.
    pub attributes: Value,
}

impl Found {
    /// An MBean with this name; attributes that it lacks are removed.
    pub fn new(name: &str, mut attributes: Value) -> Found {
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.retain(|_, value| !value.as_str().is_some_and(|text| text.starts_with(MISSING)));
        }
        Found { properties: properties(name), attributes }
    }

    /// Key and value of each property in its name.
    pub fn properties(&self) -> &[(String, String)] {
        &self.properties
    }

    /// The property with this key.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

/// The body of a POST that requests all of these at once.
pub fn post_body(beans: &[Bean]) -> String {
    let one = |bean: &Bean| {
        let mut asked = json!({ "type": "read", "mbean": bean.name, "config": { "ignoreErrors": true } });
        if let (Some(asked), false) = (asked.as_object_mut(), bean.attributes.is_empty()) {
            asked.insert("attribute".into(), json!(bean.attributes));
        }
        asked
    };
    Value::Array(beans.iter().map(one).collect()).to_string()
}

/// The path of a GET that requests one. Jolokia escapes with `!` and separates with `/`.
pub fn get_path(bean: &Bean) -> String {
    let escaped = |text: &str| {
        let text = text.replace('!', "!!").replace('/', "!/").replace('"', "!\"");
        encoded(&text)
    };
    let attributes = bean.attributes.iter().map(|name| escaped(name)).collect::<Vec<_>>().join(",");
    let behind = if attributes.is_empty() { attributes } else { format!("/{attributes}") };
    format!("/read/{}{behind}?ignoreErrors=true", escaped(bean.name))
}

/// Percent-encodes all characters but those that Jolokia's names need.
fn encoded(text: &str) -> String {
    percent::encode_but(text, "!:=,*")
}

/// The answer to [`post_body`]: for each entry the MBeans found, or why Jolokia could not read it.
///
/// # Errors
/// It is no answer to this request, or Jolokia refused the request as a whole.
pub fn read_bulk(text: &str, beans: &[Bean]) -> Result<Vec<Result<Vec<Found>, String>>> {
    match json::document(text, ANSWER)? {
        Value::Array(answers) if answers.len() == beans.len() => {
            Ok(answers.into_iter().zip(beans).map(|(answer, bean)| read(answer, bean)).collect())
        }
        // Jolokia refuses a whole request with a single answer.
        answer if is_answer(&answer) => match beans.first().map(|bean| read(answer, bean)) {
            Some(Err(why)) => Err(Error::daemon(why)),
            _ => Err(Error::parse("one answer of Jolokia to each question", text)),
        },
        _ => Err(Error::parse(ANSWER, text)),
    }
}

/// The answer to [`get_path`]: the MBeans found, or why Jolokia could not read it.
///
/// # Errors
/// It is no answer of Jolokia.
pub fn read_one(text: &str, bean: &Bean) -> Result<Result<Vec<Found>, String>> {
    match json::document(text, ANSWER)? {
        answer if is_answer(&answer) => Ok(read(answer, bean)),
        _ => Err(Error::parse(ANSWER, text)),
    }
}

/// Whether this is an answer of Jolokia, and not that of another server at this address.
fn is_answer(answer: &Value) -> bool {
    let has = |member| answer.get(member).is_some();
    json::count(answer, "/status").is_some() || has("value") || has("error")
}

/// A missing MBean is no error but an empty list: which MBeans exist depends on the server's version and modules.
fn read(mut answer: Value, bean: &Bean) -> Result<Vec<Found>, String> {
    let status = json::count(&answer, "/status");
    let value = answer.get_mut("value").map(Value::take);
    match (status, value) {
        (Some(200) | None, Some(Value::Object(value))) if is_pattern(bean.name) => {
            Ok(value.into_iter().filter(|(_, own)| own.is_object()).map(|(name, own)| Found::new(&name, own)).collect())
        }
        (Some(200), Some(Value::Null) | None) | (Some(NOT_FOUND), _) => Ok(Vec::new()),
        (Some(200) | None, Some(value)) if is_bare(&value, bean) => {
            let attributes = bean.attributes.iter().map(|name| (name.to_string(), value.clone())).collect();
            Ok(vec![Found::new(bean.name, Value::Object(attributes))])
        }
        (Some(200) | None, Some(value @ Value::Object(_))) => Ok(vec![Found::new(bean.name, value)]),
        _ => {
            let said = answer.get("error").and_then(Value::as_str).map(quote);
            let status = status.map_or("no status".into(), |status| format!("status {status}"));
            Err(said.map_or(status.clone(), |said| format!("{status}: {said}")))
        }
    }
}

/// Whether `value` is the bare value of a single requested attribute, which is how GET returns it.
fn is_bare(value: &Value, bean: &Bean) -> bool {
    matches!(bean.attributes, [only] if value.get(only).is_none())
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Key and value of each property in the name of an MBean, `domain:key=value,key="quoted, value"`, without quotes.
pub fn properties(name: &str) -> Vec<(String, String)> {
    let mut rest = name.split_once(':').map_or("", |(_, rest)| rest);
    let mut all = Vec::new();
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted),
            None => {
                let (value, behind) = behind.split_once(',').unwrap_or((behind, ""));
                (value.to_string(), behind)
            }
        };
        all.push((key.trim_start_matches(',').to_string(), value));
        rest = behind;
    }
    all
}

/// The text up to the closing quote, and the rest after it. A backslash escapes (javax.management.ObjectName.quote).
fn quoted_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(letters.next().map(|(_, next)| if next == 'n' { '\n' } else { next })),
            other => value.push(other),
        }
    }
    (value, "")
}
