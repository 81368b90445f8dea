//! MBeans as Tomcat's JMXProxyServlet writes them (Tomcat manager documentation, "JMX Query command"; the lines as in
//! org.apache.tomcat.util.modeler or org.apache.catalina.manager, MBeanDumper.java, of 8 to 11).

use super::jolokia::Found;
use crate::model::error::{Error, Result};
use serde_json::{Map, Value};

/// Those that the answer to a query has, in its order.
///
/// # Errors
/// It is no such answer, or says what is wrong with the query.
pub fn read(text: &str) -> Result<Vec<Found>> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("OK - ") {
        return Err(Error::parse("an answer of the JMX proxy", first));
    }
    let mut found: Vec<(&str, Map<String, Value>)> = Vec::new();
    let mut is_head = true;
    // What goes on in a further line stands behind a blank or a tab.
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

/// A number, a text, or the members of a composite that are numbers: the first ones in its braces, before which older
/// versions write its type.
fn value(text: &str) -> Value {
    let Some((_, members)) = text.split_once('{') else { return scalar(text) };
    let pairs = members.split([',', '}']).map_while(|pair| pair.trim().split_once('='));
    let numbers = pairs.map(|(name, text)| (name.to_string(), scalar(text))).take_while(|(_, value)| value.is_number());
    Value::Object(numbers.collect())
}

fn scalar(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}
