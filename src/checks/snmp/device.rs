//! The section of one SNMP device. There are two forms: with `user_name` and `oid_` before each object, or with
//! `SecurityName` and any key as an object.

use crate::check::COMMON_KEYS;
use crate::config::number::Number;
use crate::config::section::Section;
use crate::config::spelling::hint;
use crate::fetch::host::Host;
use crate::fetch::snmp::{Access, Agent, Cipher, Digest, RetryPolicy, Security, User};
use crate::model::error::Result;
use crate::model::parse::oid::Oid;
use std::time::Duration;

/// Names of the settings in both forms.
const USER: [&str; 2] = ["user_name", "securityname"];
const PASSPHRASE: [&str; 2] = ["user_pass", "authpassphrase"];
const PRIVACY: [&str; 2] = ["privacy_pass", "privpassphrase"];
const DIGEST: [&str; 2] = ["auth_protocol", "authprotocol"];
const CIPHER: [&str; 2] = ["privacy_protocol", "privprotocol"];
const ALONE: [&str; 4] = ["server", "port", "security_level", "auth"];
/// Settings that the Python original did not have. If the value of such a key is an OID, the key is an object, not a
/// setting.
const ADDED: [&str; 5] = ["version", "community", "timeout", "retries", "rate"];

/// Names of metrics that the check emits itself, so no object can have them.
const TAKEN: [&str; 3] = ["up", "response_seconds", "uptime_seconds"];

const DIGESTS: [(&str, Digest); 7] = [
    ("md5", Digest::Md5),
    ("sha", Digest::Sha1),
    ("sha1", Digest::Sha1),
    ("sha224", Digest::Sha224),
    ("sha256", Digest::Sha256),
    ("sha384", Digest::Sha384),
    ("sha512", Digest::Sha512),
];
const CIPHERS: [(&str, Cipher); 7] = [
    ("des", Cipher::Des),
    ("aes", Cipher::Aes128),
    ("aes128", Cipher::Aes128),
    ("aes192", Cipher::Aes192),
    ("aes256", Cipher::Aes256),
    ("aes192c", Cipher::Aes192Reeder),
    ("aes256c", Cipher::Aes256Reeder),
];

const DEFAULT_PORT: u16 = 161;
const DEFAULT_COMMUNITY: &str = "public";
/// The total timeout of the original, in seconds.
const DEFAULT_TIMEOUT: f64 = 1.0;
const DEFAULT_RETRIES: u32 = 1;

/// sysUpTime (RFC 3418), in hundredths of a second.
const UPTIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];

/// What to request from a device, and how to emit it.
pub struct Settings {
    pub agent: Agent,
    pub objects: Vec<Object>,
    /// The OID of the time since its start.
    pub uptime: Option<Oid>,
    /// Whether counters are emitted as change per second, too.
    pub rate: bool,
}

/// An object of the device: a key whose value is an OID.
pub struct Object {
    pub key: String,
    pub metric: String,
    pub oid: Oid,
    /// Whether everything below the OID is requested; each row has its index as a tag.
    pub is_walk: bool,
}

impl Settings {
    pub fn read(section: &Section) -> Result<Settings> {
        let objects = objects(section)?;
        let host = Host::new(server(section)?, section.number("port", DEFAULT_PORT)?);
        let timeout = added(section, "timeout", DEFAULT_TIMEOUT)?;
        if !(timeout > 0.0 && timeout <= 60.0) {
            return Err(section.wrong("timeout", "expected seconds above 0 and up to 60"));
        }
        let retries = added(section, "retries", DEFAULT_RETRIES)?;
        if retries > 10 {
            return Err(section.wrong("retries", "expected a number up to 10"));
        }
        let retry_policy = RetryPolicy { timeout: Duration::from_secs_f64(timeout), retries };
        let uptime = Oid::of(UPTIME.to_vec());
        let of_kind = |is_walk: bool| objects.iter().filter(move |object| object.is_walk == is_walk);
        let mut gets: Vec<Oid> = uptime.iter().chain(of_kind(false).map(|object| &object.oid)).cloned().collect();
        gets.sort();
        gets.dedup();
        let walks = of_kind(true).map(|object| object.oid.clone()).collect();
        let agent = Agent::new(host, access(section)?, retry_policy, gets, walks);
        Ok(Settings { agent, objects, uptime, rate: is_set(section, "rate") && section.flag("rate", false)? })
    }
}

/// A numeric setting that the original did not have.
fn added<T: Number>(section: &Section, key: &str, default: T) -> Result<T> {
    if is_set(section, key) { section.number(key, default) } else { Ok(default) }
}

fn server(section: &Section) -> Result<&str> {
    let server = section.required("server", "switch1.example.org")?;
    let address = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server);
    let is_name = !address.contains(['/', ' ']) && (!address.contains(':') || address.matches(':').count() > 1);
    if is_name {
        Ok(address)
    } else {
        Err(section.wrong("server", "expected a host name or an address; the port is a key of its own"))
    }
}

/// All keys that are no settings, in the order of the section.
fn objects(section: &Section) -> Result<Vec<Object>> {
    let mut objects: Vec<Object> = Vec::new();
    for entry in &section.entries {
        let key = entry.key.to_lowercase();
        if is_setting(section, &key) {
            continue;
        }
        if COMMON_KEYS.contains(&key.as_str()) {
            return Err(section.problem(&key, "is of all devices together; it belongs into [SNMP]"));
        }
        let name = key.replace("oid_", "");
        if name.is_empty() || TAKEN.contains(&name.as_str()) {
            return Err(section.problem(&key, "the check itself tells a metric of that name; choose another"));
        }
        let value = entry.value.trim();
        let root = value.strip_suffix('*');
        // The value is not quoted in the error: it may be the passphrase of a misspelled key.
        let Some(oid) = Oid::read(root.unwrap_or(value).trim_end_matches('.')) else {
            let hint = hint(&key, settings());
            let problem = format!(
                "neither a setting{hint} nor an object: an OID such as .1.3.6.1.2.1.1.3.0 or .1.3.6.1.2.1.2.2.1.10.*"
            );
            return Err(section.problem(&key, &problem));
        };
        let metric = format!("snmp_{name}");
        if let Some(other) = objects.iter().find(|other| other.metric == metric) {
            return Err(section.problem(&key, &format!("is told as {metric}, as {} is already", other.key)));
        }
        objects.push(Object { key, metric, oid, is_walk: root.is_some() });
    }
    Ok(objects)
}

fn settings() -> impl Iterator<Item = &'static str> {
    [USER, PASSPHRASE, PRIVACY, DIGEST, CIPHER].into_iter().flatten().chain(ALONE).chain(ADDED)
}

fn is_setting(section: &Section, key: &str) -> bool {
    settings().any(|setting| setting == key) && (!ADDED.contains(&key) || is_set(section, key))
}

/// Whether this key, which the original did not have, is a setting and not an object.
fn is_set(section: &Section, key: &str) -> bool {
    section.text(key).is_some_and(|value| !value.starts_with('.'))
}

/// The first of these two keys that has a value, and the value.
fn either<'a>(section: &'a Section, names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
    names.into_iter().find_map(|name| Some((name, section.text(name).filter(|value| !value.is_empty())?)))
}

fn needed<'a>(section: &'a Section, names: [&'static str; 2], why: &str) -> Result<(&'static str, &'a str)> {
    let [name, other] = names;
    let missing = || section.problem(name, &format!("missing or empty, and so is {other}; {why} needs it"));
    either(section, names).ok_or_else(missing)
}

fn access(section: &Section) -> Result<Access> {
    let community =
        || match section.text("community").filter(|community| is_set(section, "community") && !community.is_empty()) {
            Some(community) => community.to_string(),
            None => DEFAULT_COMMUNITY.into(),
        };
    let is_of_user = either(section, USER).is_some() || section.text("security_level").is_some();
    let version = section.text("version").filter(|_| is_set(section, "version")).map(str::to_lowercase);
    match version.as_deref().map(|version| version.trim_start_matches('v')) {
        Some("1") => Ok(Access::V1 { community: community() }),
        Some("2" | "2c") => Ok(Access::V2c { community: community() }),
        Some("3") => user(section).map(Access::V3),
        Some(_) => Err(section.wrong("version", "expected 1, 2c or 3")),
        // The documentation of the original says SNMPv2c, but the original used SNMPv1.
        None if section.text("auth").is_some() && !section.flag("auth", false)? => {
            Ok(Access::V2cOrV1 { community: community() })
        }
        None if is_of_user || section.text("auth").is_some() => user(section).map(Access::V3),
        None if is_set(section, "community") => Ok(Access::V2c { community: community() }),
        None => Err(section.problem("user_name", "missing, and so is community: one of them is needed, or version")),
    }
}

fn user(section: &Section) -> Result<User> {
    let level = section.text("security_level").filter(|level| !level.is_empty()).unwrap_or("authPriv");
    let signed = |why: &str| -> Result<(Digest, String)> {
        let digest = protocol(section, DIGEST, why, &DIGESTS, "MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512")?;
        Ok((digest, needed(section, PASSPHRASE, why)?.1.into()))
    };
    let security = match level.to_ascii_lowercase().as_str() {
        "noauthnopriv" => Security::Plain,
        "authnopriv" => {
            let (digest, passphrase) = signed("security_level authNoPriv")?;
            Security::Signed(digest, passphrase)
        }
        "authpriv" => {
            let why = "security_level authPriv";
            let (digest, passphrase) = signed(why)?;
            let expected = "DES, AES, AES-192, AES-256, AES-192-C or AES-256-C; 3DES is not supported";
            let cipher = protocol(section, CIPHER, why, &CIPHERS, expected)?;
            Security::Encrypted(digest, passphrase, cipher, needed(section, PRIVACY, why)?.1.into())
        }
        _ => return Err(section.wrong("security_level", "expected noAuthNoPriv, authNoPriv or authPriv")),
    };
    Ok(User { name: needed(section, USER, "SNMPv3")?.1.into(), security })
}

/// The protocol named by one of these keys; case and dashes do not matter.
fn protocol<T: Copy>(
    section: &Section,
    names: [&'static str; 2],
    why: &str,
    known: &[(&str, T)],
    expected: &str,
) -> Result<T> {
    let (key, value) = needed(section, names, why)?;
    let plain = value.to_lowercase().replace(['-', '_'], "");
    let found = known.iter().find(|(name, _)| *name == plain).map(|(_, protocol)| *protocol);
    found.ok_or_else(|| section.wrong(key, &format!("expected {expected}")))
}
