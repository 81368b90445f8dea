//! Sends statements and receives their rows, packet by packet (MySQL source documentation, "Command Phase").

use super::reader::Reader;
use super::{Failed, NO_SENSE, NO_SUCH_STATEMENT};
use crate::fetch::tcp::Connection;
use crate::model::error::quote;
use crate::net::tls::Tls;

/// Limits of an answer: size of a packet in bytes, columns, rows, and total size of the rows in bytes. A larger answer
/// is an error.
pub const MOST_PACKET: usize = 1 << 20;
const MOST_COLUMNS: u64 = 500;
const MOST_ROWS: usize = 5000;
const MOST_BYTES: usize = 4 << 20;

const QUIT: u8 = 1;
const QUERY: u8 = 3;

/// The answer to a statement.
#[derive(Default)]
pub struct Rows {
    /// Index of the form of the statement that was answered.
    pub form: usize,
    pub columns: Vec<String>,
    /// `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A connection at the level of packets. Dropping it sends COM_QUIT.
pub struct Talk {
    /// `None` if starting TLS failed.
    connection: Option<Connection>,
    /// Sequence number of the next packet.
    number: u8,
    /// Nobody can read the traffic: a Unix socket or TLS.
    pub is_private: bool,
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.send_last(&packet(self.number, &[QUIT]));
        }
    }
}

impl Talk {
    pub fn new(connection: Connection, is_private: bool) -> Talk {
        Talk { connection: Some(connection), number: 0, is_private }
    }

    /// Restarts the sequence numbers, as every command requires.
    pub fn begin(&mut self) {
        self.number = 0;
    }

    fn connection(&mut self) -> Result<&mut Connection, Failed> {
        self.connection.as_mut().ok_or(Failed::Broken(NO_SENSE.into()))
    }

    /// Starts TLS on the connection.
    pub fn secure(&mut self, name: &str, tls: &Tls) -> Result<(), Failed> {
        let open = self.connection.take().ok_or(NO_SENSE)?;
        self.connection = Some(open.secured(name, tls)?);
        self.is_private = true;
        Ok(())
    }

    /// Sends one packet.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Failed> {
        let packet = packet(self.number, payload);
        self.number = self.number.wrapping_add(1);
        Ok(self.connection()?.send(&packet)?)
    }

    /// The next packet. An error packet becomes [`Failed::Refused`].
    pub fn receive(&mut self) -> Result<Vec<u8>, Failed> {
        let head = self.connection()?.receive(4)?;
        let &[low, middle, high, number] = head.as_slice() else { return Err(NO_SENSE.into()) };
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        if length == 0 || length > MOST_PACKET {
            return Err(NO_SENSE.into());
        }
        let payload = self.connection()?.receive(length)?;
        match payload.split_first() {
            Some((0xff, error)) => return Err(refusal(error)),
            _ if number != self.number => return Err(NO_SENSE.into()),
            _ => self.number = number.wrapping_add(1),
        }
        Ok(payload)
    }

    /// The rows of the first of these forms of a statement that the server knows.
    pub fn ask_in(&mut self, forms: &[&str]) -> Result<Rows, Failed> {
        let mut last = Err(NO_SENSE.into());
        for (form, statement) in forms.iter().enumerate() {
            last = self.ask(statement).map(|rows| Rows { form, ..rows });
            self.begin();
            if !matches!(last, Err(Failed::Refused(NO_SUCH_STATEMENT, _))) {
                break;
            }
        }
        last
    }

    fn ask(&mut self, statement: &str) -> Result<Rows, Failed> {
        self.send(&[&[QUERY], statement.as_bytes()].concat())?;
        let first = self.receive()?;
        let count = match first.first() {
            Some(0) => return Ok(Rows::default()),
            _ => Reader(&first).length().filter(|count| *count <= MOST_COLUMNS).ok_or(NO_SENSE)?,
        };
        let mut answer = Rows::default();
        for _ in 0..count {
            let column = self.receive()?;
            answer.columns.push(Reader(&column).column().ok_or(NO_SENSE)?);
        }
        if !is_end(&self.receive()?) {
            return Err(NO_SENSE.into());
        }
        let mut bytes = 0;
        loop {
            let packet = self.receive()?;
            bytes += packet.len();
            if is_end(&packet) {
                return Ok(answer);
            }
            if answer.rows.len() == MOST_ROWS || bytes > MOST_BYTES {
                return Err(format!("more than {MOST_ROWS} rows or {} MiB in an answer", MOST_BYTES >> 20).into());
            }
            let mut reader = Reader(&packet);
            let row: Option<Vec<_>> = (0..count).map(|_| reader.cell()).collect();
            answer.rows.push(row.ok_or(NO_SENSE)?);
        }
    }
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, ..] = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes();
    [&[low, middle, high, number], payload].concat()
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// Code and message of the server's error, or what to do about it. Messages about a login name the account and are left
/// out.
fn refusal(error: &[u8]) -> Failed {
    let Some((code, said)) = error.split_first_chunk() else { return NO_SENSE.into() };
    let code = u16::from_le_bytes(*code);
    let said = said.strip_prefix(b"#").and_then(|rest| rest.get(5..)).unwrap_or(said);
    let remedy = match code {
        1040 | 1203 => "too many connections: raise max_connections there, or find out who holds them",
        1044 | 1045 | 1698 => {
            "the login was refused: see user and pass, for which hosts the account is, and whether it needs tls: require"
        }
        1129 => "the server has blocked this host after too many broken connections: FLUSH HOSTS there unblocks it",
        1130 => "the server has no account for this host: CREATE USER name@'this host' there",
        1251 | 1275 | 1524 | 2059 => {
            "the account logs in by what the server does not offer: give it another kind of password there"
        }
        _ => return Failed::Refused(code, format!("error {code}: {}", quote(&String::from_utf8_lossy(said)))),
    };
    Failed::Refused(code, format!("error {code}, {remedy}"))
}
