//! Packets to and fro: statements and the rows of their answers (MySQL source documentation, "Command Phase").

use super::reader::Reader;
use super::{Failed, NO_SENSE, NO_SUCH_STATEMENT};
use crate::fetch::tcp::Connection;
use crate::model::error::quote;
use crate::net::tls::Tls;

/// Longest packet, most columns, most rows and most bytes of them that are read of an answer; what is more is no answer.
pub const MOST_PACKET: usize = 1 << 20;
const MOST_COLUMNS: u64 = 500;
const MOST_ROWS: usize = 5000;
const MOST_BYTES: usize = 4 << 20;

const QUIT: u8 = 1;
const QUERY: u8 = 3;

/// The answer to a statement.
#[derive(Default)]
pub struct Rows {
    /// Which of its forms was answered.
    pub form: usize,
    pub columns: Vec<String>,
    /// NULL is `None`.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Packets to and fro. Whatever becomes of it, it ends with a farewell.
pub struct Talk {
    /// `None` where it broke when TLS was to begin.
    connection: Option<Connection>,
    /// Of the next packet.
    number: u8,
    /// Nobody else can listen.
    pub is_private: bool,
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.part(&packet(self.number, &[QUIT]));
        }
    }
}

impl Talk {
    pub fn new(connection: Connection, is_private: bool) -> Talk {
        Talk { connection: Some(connection), number: 0, is_private }
    }

    /// From here on each statement, and the farewell, is a command of its own.
    pub fn begin(&mut self) {
        self.number = 0;
    }

    fn connection(&mut self) -> Result<&mut Connection, Failed> {
        self.connection.as_mut().ok_or(Failed::Broken(NO_SENSE.into()))
    }

    pub fn secure(&mut self, name: &str, tls: &Tls) -> Result<(), Failed> {
        let open = self.connection.take().ok_or(NO_SENSE)?;
        self.connection = Some(open.secured(name, tls)?);
        self.is_private = true;
        Ok(())
    }

    pub fn say(&mut self, payload: &[u8]) -> Result<(), Failed> {
        let packet = packet(self.number, payload);
        self.number = self.number.wrapping_add(1);
        Ok(self.connection()?.say(&packet)?)
    }

    /// The next packet, unless it is an error.
    pub fn hear(&mut self) -> Result<Vec<u8>, Failed> {
        let head = self.connection()?.hear(4)?;
        let &[low, middle, high, number] = head.as_slice() else { return Err(NO_SENSE.into()) };
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        if length == 0 || length > MOST_PACKET {
            return Err(NO_SENSE.into());
        }
        let payload = self.connection()?.hear(length)?;
        match payload.split_first() {
            Some((0xff, error)) => return Err(refusal(error)),
            _ if number != self.number => return Err(NO_SENSE.into()),
            _ => self.number = number.wrapping_add(1),
        }
        Ok(payload)
    }

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
        self.say(&[&[QUERY], statement.as_bytes()].concat())?;
        let first = self.hear()?;
        let count = match first.first() {
            Some(0) => return Ok(Rows::default()),
            _ => Reader(&first).length().filter(|count| *count <= MOST_COLUMNS).ok_or(NO_SENSE)?,
        };
        let mut answer = Rows::default();
        for _ in 0..count {
            let column = self.hear()?;
            answer.columns.push(Reader(&column).column().ok_or(NO_SENSE)?);
        }
        if !is_end(&self.hear()?) {
            return Err(NO_SENSE.into());
        }
        let mut bytes = 0;
        loop {
            let packet = self.hear()?;
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

/// Number and words of an error, and what can be done. What is said of a login names the account, and is left out.
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
