//! Authentication with SCRAM (RFC 5802, RFC 7677) as MongoDB uses it ("Authentication" in its driver specifications).

use crate::model::error::quote;
use base64::prelude::{BASE64_STANDARD, Engine};
use md5::{Digest, Md5};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hmac, pbkdf2};
use std::num::NonZeroU32;

/// Maximum number of hash iterations that a server may request; MongoDB's default is 15,000.
const MOST_ROUNDS: u32 = 1_000_000;

/// The mechanisms, as MongoDB names them.
pub const SHA_1: &str = "SCRAM-SHA-1";
pub const SHA_256: &str = "SCRAM-SHA-256";

/// A login in progress.
pub struct Scram {
    is_sha_256: bool,
    pass: String,
    /// The first message without its GS2 header.
    first: String,
    nonce: String,
    /// The key and message for the server's signature, once they are known.
    wanted: Option<(hmac::Key, String)>,
}

impl Scram {
    /// # Errors
    /// The mechanism is not supported, or there are no random numbers.
    pub fn new(mechanism: &str, user: &str, pass: &str) -> Result<Scram, String> {
        let is_sha_256 = match mechanism {
            SHA_256 => true,
            SHA_1 => false,
            other => return Err(format!("{}: {SHA_1} and {SHA_256} are spoken here", quote(other))),
        };
        let mut random = [0; 24];
        SystemRandom::new().fill(&mut random).map_err(|_| "the system has no random numbers")?;
        let nonce = BASE64_STANDARD.encode(random);
        let pass = if is_sha_256 { pass.to_string() } else { hex(&Md5::digest(format!("{user}:mongo:{pass}"))) };
        let first = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        Ok(Scram { is_sha_256, pass, first, nonce, wanted: None })
    }

    /// The first message of the client.
    pub fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The final message of the client, with the proof of the password, for the server's answer to the first one.
    /// `None` if that answer is malformed.
    pub fn last(&mut self, said: &str) -> Option<String> {
        let part = |key: &str| said.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = part("r=").filter(|nonce| nonce.starts_with(&self.nonce))?;
        let salt = BASE64_STANDARD.decode(part("s=")?).ok()?;
        let rounds = part("i=")?.parse().ok().filter(|rounds| *rounds <= MOST_ROUNDS).and_then(NonZeroU32::new)?;
        let (kind, hash, length) = self.kinds();
        let mut salted = vec![0; length];
        let derived = if self.is_sha_256 { pbkdf2::PBKDF2_HMAC_SHA256 } else { pbkdf2::PBKDF2_HMAC_SHA1 };
        pbkdf2::derive(derived, rounds, &salt, self.pass.as_bytes(), &mut salted);
        let signed = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(kind, key), text).as_ref().to_vec();
        let key = signed(&salted, b"Client Key");
        let end = format!("c=biws,r={nonce}");
        let all = format!("{},{said},{end}", self.first);
        let signature = signed(digest(hash, &key).as_ref(), all.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        self.wanted = Some((hmac::Key::new(kind, &signed(&salted, b"Server Key")), all));
        Some(format!("{end},p={}", BASE64_STANDARD.encode(proof)))
    }

    /// Whether the server's final message proves that it knows the password, too.
    pub fn is_proved(&self, said: &str) -> bool {
        let signature = said.split(',').find_map(|part| part.strip_prefix("v="));
        let signature = signature.and_then(|text| BASE64_STANDARD.decode(text).ok()).unwrap_or_default();
        let wanted = self.wanted.as_ref();
        wanted.is_some_and(|(key, all)| hmac::verify(key, all.as_bytes(), &signature).is_ok())
    }

    fn kinds(&self) -> (hmac::Algorithm, &'static Algorithm, usize) {
        match self.is_sha_256 {
            true => (hmac::HMAC_SHA256, &SHA256, 32),
            false => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &SHA1_FOR_LEGACY_USE_ONLY, 20),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
