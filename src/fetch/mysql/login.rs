//! The login, from the server's greeting to its OK (MySQL source documentation, "Connection Phase"; MariaDB,
//! "Connecting"). The only user of the crate `mysql_common`, which computes the proofs of passwords.

use super::reader::Reader;
use super::talk::{MOST_PACKET, Talk};
use super::{Failed, NO_SENSE, Server};
use crate::model::error::quote;
use mysql_common::crypto;
use mysql_common::scramble::{create_response_for_ed25519, scramble_native, scramble_sha256};
use std::panic::catch_unwind;
use std::time::Instant;

/// Maximum number of messages from the server during a login.
const MOST_ROUNDS: usize = 8;
/// Maximum size of the server's public key in bytes; a key of 16384 bits has 3 kB.
const MOST_KEY: usize = 4096;

const LONG_PASSWORD: u32 = 1;
const PROTOCOL_41: u32 = 0x200;
const SSL: u32 = 0x800;
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x8_0000;
const CONNECT_ATTRS: u32 = 0x10_0000;
/// utf8mb4_general_ci.
const CHARSET: u8 = 45;

const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";

impl Server {
    /// Opens a connection and logs in.
    pub(super) fn log_in(&mut self, deadline: Instant) -> Result<Talk, Failed> {
        let connection = self.place.open(deadline).map_err(Failed::Unreached)?;
        let is_socket = self.place.is_socket();
        let mut talk = Talk::new(connection, is_socket);
        let first = talk.receive()?;
        let greeting = Greeting::read(&first).ok_or("what answers is no server of MySQL or MariaDB of this century")?;
        let mut flags = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | CONNECT_ATTRS;
        flags &= greeting.flags | LONG_PASSWORD;
        let head = |flags: u32| {
            let size = u32::try_from(MOST_PACKET).unwrap_or(u32::MAX);
            [&flags.to_le_bytes()[..], &size.to_le_bytes(), &[CHARSET], &[0; 23]].concat()
        };
        match &self.tls {
            Some((tls, _)) if greeting.flags & SSL != 0 && !is_socket => {
                flags |= SSL;
                talk.send(&head(flags))?;
                talk.secure(&self.host, tls)?;
            }
            Some((_, true)) if !is_socket => {
                return Err("the server speaks no TLS: switch it on there, or write tls: prefer".into());
            }
            _ => {}
        }
        let Greeting { mut nonce, mut plugin, .. } = greeting;
        // The greeting names the server's default plugin. After the login packet the server asks for that of the
        // account.
        let proof = match self.proof(&plugin, &nonce) {
            Ok(proof) => proof,
            Err(_) => {
                plugin = NATIVE.into();
                self.proof(NATIVE, &nonce)?
            }
        };
        let mut login = [&head(flags)[..], self.user.as_bytes(), &[0]].concat();
        login.extend(short(&proof));
        login.extend([plugin.as_bytes(), &[0]].concat());
        if flags & CONNECT_ATTRS != 0 {
            login.extend(short(&[short(b"program_name"), short(b"puypuy")].concat()));
        }
        talk.send(&login)?;
        for _ in 0..MOST_ROUNDS {
            let answer = talk.receive()?;
            match answer.split_first() {
                Some((0, _)) => {
                    talk.begin();
                    return Ok(talk);
                }
                Some((0xfe, [])) => {
                    return Err("the account has a password of before MySQL 4.1: set it anew there".into());
                }
                Some((0xfe, other)) => {
                    let mut other = Reader(other);
                    plugin = other.text().ok_or(NO_SENSE)?;
                    nonce = other.0.to_vec();
                    talk.send(&self.proof(&plugin, &nonce)?)?;
                }
                // The server has the password in its cache and continues without further messages.
                Some((1, [3])) if plugin == SHA2 => {}
                Some((1, [4])) if plugin == SHA2 => self.send_password(&mut talk, &nonce)?,
                _ => return Err(NO_SENSE.into()),
            }
        }
        Err(NO_SENSE.into())
    }

    /// The proof of the password for this authentication plugin.
    fn proof(&self, plugin: &str, nonce: &[u8]) -> Result<Vec<u8>, String> {
        let pass = self.pass.as_bytes();
        let nonce_of = |length| nonce.get(..length).ok_or_else(|| NO_SENSE.to_string());
        Ok(match plugin {
            NATIVE => scramble_native(nonce_of(20)?, pass).map(Vec::from).unwrap_or_default(),
            SHA2 => scramble_sha256(nonce_of(20)?, pass).map(Vec::from).unwrap_or_default(),
            "client_ed25519" => create_response_for_ed25519(pass, nonce_of(32)?).to_vec(),
            // The kernel tells the server the user of this process.
            "auth_socket" | "unix_socket" => Vec::new(),
            other => {
                let kind = quote(other);
                return Err(format!(
                    "the account logs in by {kind}, which is not spoken here: give it another kind of password"
                ));
            }
        })
    }

    /// Sends the password itself, which the server wants if it is not in its cache: in clear over a private connection,
    /// else encrypted with the server's public key.
    fn send_password(&self, talk: &mut Talk, nonce: &[u8]) -> Result<(), Failed> {
        let mut pass = [self.pass.as_bytes(), &[0]].concat();
        if talk.is_private {
            return talk.send(&pass);
        }
        talk.send(&[2])?;
        let answer = talk.receive()?;
        let key = answer.strip_prefix(&[1]).filter(|key| key.len() <= MOST_KEY).ok_or(NO_SENSE)?;
        pass.iter_mut().zip(nonce.iter().take(20).cycle()).for_each(|(byte, mask)| *byte ^= mask);
        // The crate panics if the key is invalid.
        let hidden = catch_unwind(|| crypto::encrypt(&pass, key))
            .map_err(|_| "the server's key to hide the password is none")?;
        talk.send(&hidden)
    }
}

/// The first packet of the server.
struct Greeting {
    flags: u32,
    nonce: Vec<u8>,
    plugin: String,
}

impl Greeting {
    fn read(packet: &[u8]) -> Option<Greeting> {
        let mut reader = Reader(packet);
        if reader.take(1)? != [10] {
            return None;
        }
        reader.text()?;
        reader.take(4)?;
        let mut nonce = reader.take(8)?.to_vec();
        reader.take(1)?;
        let low = reader.take(2)?;
        reader.take(3)?;
        let high = reader.take(2)?;
        reader.take(11)?;
        nonce.extend_from_slice(reader.take(12)?);
        reader.take(1)?;
        let flags = u32::from_le_bytes([low, high].concat().try_into().ok()?);
        let plugin = reader.text().unwrap_or_else(|| NATIVE.into());
        (flags & PROTOCOL_41 != 0).then_some(Greeting { flags, nonce, plugin })
    }
}

/// A string with its length in one byte; for fewer than 251 bytes.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat()
}
