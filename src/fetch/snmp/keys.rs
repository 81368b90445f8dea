//! Signing and encryption for SNMPv3: keys derived from a passphrase and an engine id (RFC 3414, 3826, 7860). The only
//! user of digests and ciphers.

use super::{Cipher, Digest, Security};
use aes::{Aes128, Aes192, Aes256};
use cfb_mode::cipher::block_padding::NoPadding;
use cfb_mode::cipher::{AsyncStreamCipher, BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use des::Des;
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::{DynDigest, KeyInit};
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// The passphrase is repeated to this number of bytes.
const REPEATED: usize = 1 << 20;
/// Block size of DES in bytes.
const BLOCK: usize = 8;

/// The keys of a user for one engine.
#[derive(Clone)]
pub struct Keys {
    pub digest: Digest,
    signing: Vec<u8>,
    privacy: Option<(Cipher, Vec<u8>)>,
}

impl Keys {
    /// `None` if the user neither signs nor encrypts, or if a passphrase is empty.
    pub fn new(security: &Security, engine: &[u8]) -> Option<Keys> {
        let (digest, passphrase, privacy) = match security {
            Security::Plain => return None,
            Security::Signed(digest, passphrase) => (*digest, passphrase, None),
            Security::Encrypted(digest, passphrase, cipher, privacy) => (*digest, passphrase, Some((*cipher, privacy))),
        };
        let signing = key(digest, passphrase.as_bytes(), engine)?;
        let privacy = match privacy {
            Some((cipher, passphrase)) => Some((cipher, privacy_key(digest, cipher, passphrase.as_bytes(), engine)?)),
            None => None,
        };
        Some(Keys { digest, signing, privacy })
    }

    /// Whether messages are encrypted.
    pub fn encrypts(&self) -> bool {
        self.privacy.is_some()
    }

    /// The signature of the concatenated parts.
    pub fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let sign = match self.digest {
            Digest::Md5 => mac::<Hmac<Md5>>,
            Digest::Sha1 => mac::<Hmac<Sha1>>,
            Digest::Sha224 => mac::<Hmac<Sha224>>,
            Digest::Sha256 => mac::<Hmac<Sha256>>,
            Digest::Sha384 => mac::<Hmac<Sha384>>,
            Digest::Sha512 => mac::<Hmac<Sha512>>,
        };
        let mut signature = sign(&self.signing, parts)?;
        signature.truncate(self.digest.signature_bytes());
        Some(signature)
    }

    /// Encrypts with this salt, for an engine with this clock. Returns the ciphertext and the privacy parameters for
    /// the message.
    pub fn encrypt(&self, plain: &[u8], boots: u32, time: u32, salt: u64) -> Option<(Vec<u8>, [u8; 8])> {
        let (cipher, key) = self.privacy.as_ref()?;
        let mut text = plain.to_vec();
        if *cipher == Cipher::Des {
            let [_, _, _, _, random @ ..] = salt.to_be_bytes();
            let privacy_params = (u64::from(boots) << 32 | u64::from(u32::from_be_bytes(random))).to_be_bytes();
            text.resize(plain.len().next_multiple_of(BLOCK), 0);
            let (key, start) = of_des(key, privacy_params)?;
            let length = text.len();
            cbc::Encryptor::<Des>::new_from_slices(key, &start)
                .ok()?
                .encrypt_padded_mut::<NoPadding>(&mut text, length)
                .ok()?;
            return Some((text, privacy_params));
        }
        let privacy_params = salt.to_be_bytes();
        let start = start_of_aes(boots, time, privacy_params);
        match key.len() {
            16 => cfb_mode::Encryptor::<Aes128>::new_from_slices(key, &start).ok()?.encrypt(&mut text),
            24 => cfb_mode::Encryptor::<Aes192>::new_from_slices(key, &start).ok()?.encrypt(&mut text),
            _ => cfb_mode::Encryptor::<Aes256>::new_from_slices(key, &start).ok()?.encrypt(&mut text),
        }
        Some((text, privacy_params))
    }

    /// Decrypts a message from an engine with this clock. Padding may be left at the end.
    pub fn decrypt(&self, text: &[u8], boots: u32, time: u32, privacy_params: [u8; 8]) -> Option<Vec<u8>> {
        let (cipher, key) = self.privacy.as_ref()?;
        let mut text = text.to_vec();
        if *cipher == Cipher::Des {
            let (key, start) = of_des(key, privacy_params)?;
            cbc::Decryptor::<Des>::new_from_slices(key, &start)
                .ok()?
                .decrypt_padded_mut::<NoPadding>(&mut text)
                .ok()?;
            return Some(text);
        }
        let start = start_of_aes(boots, time, privacy_params);
        match key.len() {
            16 => cfb_mode::Decryptor::<Aes128>::new_from_slices(key, &start).ok()?.decrypt(&mut text),
            24 => cfb_mode::Decryptor::<Aes192>::new_from_slices(key, &start).ok()?.decrypt(&mut text),
            _ => cfb_mode::Decryptor::<Aes256>::new_from_slices(key, &start).ok()?.decrypt(&mut text),
        }
        Some(text)
    }
}

impl Digest {
    /// Length of a signature in a message, in bytes.
    pub fn signature_bytes(self) -> usize {
        match self {
            Digest::Md5 | Digest::Sha1 => 12,
            Digest::Sha224 => 16,
            Digest::Sha256 => 24,
            Digest::Sha384 => 32,
            Digest::Sha512 => 48,
        }
    }

    fn hasher(self) -> Box<dyn DynDigest> {
        match self {
            Digest::Md5 => Box::new(Md5::default()),
            Digest::Sha1 => Box::new(Sha1::default()),
            Digest::Sha224 => Box::new(Sha224::default()),
            Digest::Sha256 => Box::new(Sha256::default()),
            Digest::Sha384 => Box::new(Sha384::default()),
            Digest::Sha512 => Box::new(Sha512::default()),
        }
    }

    fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut hasher = self.hasher();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize().into_vec()
    }
}

/// Compares two signatures in constant time.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |found, (one, other)| found | (one ^ other)) == 0
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().to_vec())
}

/// The key of a passphrase for one engine (RFC 3414, A.2).
fn key(digest: Digest, passphrase: &[u8], engine: &[u8]) -> Option<Vec<u8>> {
    let mut repeated = passphrase.repeat(REPEATED.checked_div(passphrase.len())? + 1);
    repeated.truncate(REPEATED);
    let everywhere = digest.hash(&[&repeated]);
    Some(digest.hash(&[&everywhere, engine, &everywhere]))
}

/// A key of the length that the cipher needs.
fn privacy_key(digest: Digest, cipher: Cipher, passphrase: &[u8], engine: &[u8]) -> Option<Vec<u8>> {
    let wanted = match cipher {
        Cipher::Des | Cipher::Aes128 => 16,
        Cipher::Aes192 | Cipher::Aes192Reeder => 24,
        Cipher::Aes256 | Cipher::Aes256Reeder => 32,
    };
    let mut key = self::key(digest, passphrase, engine)?;
    if key.len() < wanted {
        // Every digest has at least half of the bytes that a cipher needs, so one extension is enough.
        let more = match cipher {
            Cipher::Aes192Reeder | Cipher::Aes256Reeder => self::key(digest, &key, engine)?,
            _ => digest.hash(&[&key]),
        };
        key.extend(more);
    }
    key.truncate(wanted);
    Some(key)
}

/// The DES key and the initialisation vector (RFC 3414, 8.1.1.1).
fn of_des(key: &[u8], privacy_params: [u8; 8]) -> Option<(&[u8], [u8; 8])> {
    let (key, mixed) = key.split_at_checked(BLOCK)?;
    let mixed = u64::from_be_bytes(mixed.try_into().ok()?) ^ u64::from_be_bytes(privacy_params);
    Some((key, mixed.to_be_bytes()))
}

/// The initialisation vector of AES (RFC 3826, 3.1.2.1).
fn start_of_aes(boots: u32, time: u32, privacy_params: [u8; 8]) -> [u8; 16] {
    let clock = u64::from(boots) << 32 | u64::from(time);
    (u128::from(clock) << 64 | u128::from(u64::from_be_bytes(privacy_params))).to_be_bytes()
}
