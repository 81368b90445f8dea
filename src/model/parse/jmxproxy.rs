//! MBeans as Tomcat's JMXProxyServlet writes them (Tomcat manager documentation, "JMX Query command"; format taken from
//! MBeanDumper.java in org.apache.tomcat.util.modeler or org.apache.catalina.manager, Tomcat 8 to 11).

use super::jolokia::Found;
use crate::model::error::{Error, Result};
use serde_json::{Map, Value};

/// The MBeans in the answer to a query, in the order of the answer.
///
/// # Errors
/// It is no such answer, or it is an error message of the servlet.
pub fn read(text: &str) -> Result<Vec<Found>> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("OK - ") {
        return Err(Error::parse("an answer of the JMX proxy", first));
    }
    let mut found: Vec<(&str, Map<String, Value>)> = Vec::new();
    let mut is_head = true;
    // A line that starts with a blank or tab continues the value before it; continuations are skipped.
    for line in lines.filter(|line| !line.starts_with([' ', '\t'])) {
        match (line.split_once(": "), found.last_mut()) {
            (Some(("Name", name)), _) if is_head => found.push((name.trim(), Map::new())),
            (Some((name, text)), Some((_, attributes))) => {
                attributes.insert(name.into(), value(text.trim()));
            }
            _ => {}
        }
        is_head = line.is_empty();
    }
    Ok(found.into_iter().map(|(name, attributes)| Found::new(name, Value::Object(attributes))).collect())
}

/// A number, a text, or the members of a composite value up to the first one that is no number. Older versions write
/// the type of the composite before its braces.
fn value(text: &str) -> Value {
    let Some((_, members)) = text.split_once('{') else { return scalar(text) };
    let pairs = members.split([',', '}']).map_while(|pair| pair.trim().split_once('='));
    let numbers = pairs.map(|(name, text)| (name.to_string(), scalar(text))).take_while(|(_, value)| value.is_number());
    Value::Object(numbers.collect())
}

fn scalar(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}
