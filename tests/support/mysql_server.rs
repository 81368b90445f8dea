//! A scripted MySQL server: accepts every login, and answers statements with rows from text, in the format of the mysql
//! client (MySQL source documentation, "Client/Server Protocol").

use std::io::{Read, Write};
use std::net::TcpStream;

/// The response to a statement.
pub enum Reply {
    /// A line of column names, and a line for each row, with tabs between the cells; without a line: OK, no rows.
    Table(Vec<u8>),
    /// Its only row, endlessly.
    Endless(Vec<u8>),
    Refused(u16, String),
}

pub const VERSION: &str = "8.4.3";
const NATIVE: &str = "mysql_native_password";
/// PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x0200 | 0x2000 | 0x8000 | 0x8_0000;
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
pub const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

pub fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, ..] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&[low, middle, high, number], payload].concat()
}

pub fn greeting(version: &str, plugin: &str) -> Vec<u8> {
    let [low, high] =
        [CAPABILITIES & 0xffff, CAPABILITIES >> 16].map(|half| u16::try_from(half).unwrap().to_le_bytes());
    let parts: &[&[u8]] = &[
        &[10],
        version.as_bytes(),
        &[0, 7, 0, 0, 0],
        b"12345678\0",
        &low,
        &[45, 2, 0],
        &high,
        &[21],
        &[0; 10],
        b"901234567890\0",
        plugin.as_bytes(),
        &[0],
    ];
    packet(0, &parts.concat())
}

pub fn refusal(number: u8, code: u16, text: &str) -> Vec<u8> {
    packet(number, &[&[0xff], &code.to_le_bytes()[..], b"#42000", text.as_bytes()].concat())
}

/// Serves until the client disconnects; returns whether the client said so. `say` writes, and returns whether the
/// client still listens.
pub fn serve(
    stream: &mut TcpStream,
    say: impl Fn(&mut TcpStream, &[u8]) -> bool,
    reply: impl Fn(&str) -> Reply,
) -> bool {
    if !say(stream, &greeting(VERSION, NATIVE)) || read(stream).is_none() || !say(stream, &packet(2, OK)) {
        return false;
    }
    while let Some(asked) = read(stream) {
        let (command, text) = asked.split_at(1);
        if command == [1] {
            return true;
        }
        let is_heard = match reply(&String::from_utf8_lossy(text)) {
            Reply::Refused(code, words) => say(stream, &refusal(1, code, &words)),
            Reply::Table(text) => {
                let (head, rows, last) = table(&text);
                say(stream, &[head, rows, last].concat())
            }
            Reply::Endless(text) => {
                let (head, rows, _) = table(&text);
                say(stream, &head);
                let mut row = rows;
                while stream.write_all(&row).is_ok() {
                    row[3] = row[3].wrapping_add(1);
                }
                false
            }
        };
        if !is_heard {
            return false;
        }
    }
    false
}

/// The payload of the next packet.
pub fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut payload).ok()?;
    (!payload.is_empty()).then_some(payload)
}

/// The packets before the rows, the rows, and the end packet.
fn table(text: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(|line| line.split('\t'));
    let Some(columns) = lines.next() else { return (packet(1, OK), Vec::new(), Vec::new()) };
    let columns: Vec<&str> = columns.collect();
    let mut number = 0u8;
    let mut next = |payload: &[u8]| {
        number = number.wrapping_add(1);
        packet(number, payload)
    };
    let mut head = next(&length(columns.len()));
    for column in &columns {
        let mut definition = [string("def"), string(""), string(""), string(""), string(column), string("")].concat();
        definition.extend([0x0c, 45, 0, 0, 4, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
        head.extend(next(&definition));
    }
    head.extend(next(EOF));
    let cell = |cell: &str| if cell == "NULL" { vec![0xfb] } else { string(cell) };
    let rows = lines.flat_map(|cells| next(&cells.flat_map(cell).collect::<Vec<u8>>())).collect();
    (head, rows, next(EOF))
}

fn string(text: &str) -> Vec<u8> {
    [&length(text.len())[..], text.as_bytes()].concat()
}

/// A length-encoded integer.
fn length(count: usize) -> Vec<u8> {
    match u8::try_from(count) {
        Ok(count @ ..=250) => vec![count],
        _ => [&[0xfd], &u32::try_from(count).unwrap().to_le_bytes()[..3]].concat(),
    }
}
