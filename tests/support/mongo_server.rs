//! A scripted MongoDB server: answers commands with documents that are written as JSON (MongoDB manual, "Wire
//! Protocol").

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A document as BSON: integers as int32 if they fit.
pub fn bson(document: &Value) -> Vec<u8> {
    let members: Vec<(String, &Value)> = match document {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let mut body = Vec::new();
    for (name, value) in members {
        let (kind, bytes) = match value {
            Value::Null => (10, Vec::new()),
            Value::Bool(is) => (8, vec![u8::from(*is)]),
            Value::String(text) => (2, [&length(text.len() + 1)[..], text.as_bytes(), &[0]].concat()),
            Value::Object(_) => (3, bson(value)),
            Value::Array(_) => (4, bson(value)),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) if i32::try_from(number).is_ok() => {
                    (16, i32::try_from(number).unwrap().to_le_bytes().to_vec())
                }
                (Some(number), _) => (18, number.to_le_bytes().to_vec()),
                (None, Some(number)) => (18, number.to_le_bytes().to_vec()),
                _ => (1, number.as_f64().unwrap().to_le_bytes().to_vec()),
            },
        };
        body.extend([&[kind], name.as_bytes(), &[0], &bytes].concat());
    }
    [&length(body.len() + 5)[..], &body, &[0]].concat()
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap().to_le_bytes()
}

/// A message with this document, the response to the request with this number.
pub fn message(to: [u8; 4], document: &[u8]) -> Vec<u8> {
    let head = [length(21 + document.len()), [9, 0, 0, 0], to, 2013u32.to_le_bytes(), [0; 4]].concat();
    [&head[..], &[0], document].concat()
}

/// Serves until the client disconnects. `reply` gets the name of a command and returns a whole document.
pub fn serve(stream: &mut TcpStream, say: impl Fn(&mut TcpStream, &[u8]) -> bool, reply: impl Fn(&str) -> Vec<u8>) {
    let mut head = [0; 16];
    while stream.read_exact(&mut head).is_ok() {
        let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize - 16];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        // After flags, section kind, length, and the type of the first member.
        let name: Vec<u8> = body[10..].iter().copied().take_while(|byte| *byte != 0).collect();
        let document = match String::from_utf8_lossy(&name).as_ref() {
            "isMaster" => bson(&serde_json::json!({ "ismaster": true, "maxWireVersion": 21, "ok": 1.0 })),
            name => reply(name),
        };
        if !say(stream, &message([head[4], head[5], head[6], head[7]], &document)) {
            return;
        }
    }
    let _ = stream.flush();
}
