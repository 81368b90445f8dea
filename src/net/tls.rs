//! TLS: which certificates are trusted, and why a certificate is not trusted, in words.

use crate::config::section::Section;
use crate::model::error::{Result, plain};
use crate::model::parse::time::unix_seconds;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The TLS keys of a section. The files are read again for every client, because certificates are rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    ca_file: Option<PathBuf>,
    ca_path: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    skip: bool,
    /// The setting that switches verification off, for error messages.
    switch: &'static str,
}

impl Tls {
    /// Reads `ca_file`, `ca_path`, `client_cert`, `client_key` and `insecure_skip_verify` of a sink.
    ///
    /// # Errors
    /// A file cannot be used now, or one of `client_cert` and `client_key` is missing.
    pub fn of_sink(tsdb: &Section) -> Result<Tls> {
        Tls::read(tsdb, tsdb.flag("insecure_skip_verify", false)?, "insecure_skip_verify = True")
    }

    /// Reads `ca_file`, `ca_path`, `client_cert`, `client_key` and `verify` of a check.
    ///
    /// # Errors
    /// As for [`Tls::of_sink`].
    pub fn of_check(section: &Section) -> Result<Tls> {
        Tls::read(section, !section.flag("verify", true)?, "verify: False")
    }

    fn read(section: &Section, skip: bool, switch: &'static str) -> Result<Tls> {
        let path = |key: &str| section.text(key).filter(|path| !path.is_empty()).map(PathBuf::from);
        let client = match (path("client_cert"), path("client_key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(section.problem("client_key", "missing, client_cert needs it")),
            (None, Some(_)) => return Err(section.problem("client_cert", "missing, client_key needs it")),
        };
        let tls = Tls { ca_file: path("ca_file"), ca_path: path("ca_path"), client, skip, switch };
        match tls.config() {
            Ok(_) => Ok(tls),
            Err(Unusable { key, problem }) => Err(section.problem(key, &problem)),
        }
    }

    /// The rustls configuration; reads all files.
    pub fn config(&self) -> Result<ClientConfig, Unusable> {
        let own = self.own_certificates()?;
        let roots = if self.skip { RootCertStore::empty() } else { system_and(&own) };
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier { roots, own, skip: self.skip, switch: self.switch, provider: provider.clone() };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::new("address", error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some((cert, key)) = &self.client else { return Ok(config.with_no_client_auth()) };
        let chain = certificates("client_cert", cert)?;
        let key =
            PrivateKeyDer::from_pem_file(key).map_err(|error| Unusable::file("client_key", key, unread(error)))?;
        config.with_client_auth_cert(chain, key).map_err(|error| Unusable::new("client_cert", error))
    }

    /// The configuration for plain http. It trusts no certificate and reads no file, so it works on a machine without
    /// CA certificates.
    pub fn none() -> Result<ClientConfig, Unusable> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::new("address", error))?;
        Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn own_certificates(&self) -> Result<Vec<CertificateDer<'static>>, Unusable> {
        let mut own = Vec::new();
        if let Some(file) = &self.ca_file {
            own = certificates("ca_file", file)?;
        }
        if let Some(folder) = &self.ca_path {
            let mut found = rustls_native_certs::load_certs_from_paths(None, Some(folder));
            if found.certs.is_empty() {
                let problem = found.errors.pop().map_or("no certificate in PEM form".into(), |error| error.to_string());
                return Err(Unusable::file("ca_path", folder, problem));
            }
            own.append(&mut found.certs);
        }
        Ok(own)
    }
}

/// A file that cannot be used, and the key that names it.
#[derive(Debug)]
pub struct Unusable {
    key: &'static str,
    problem: String,
}

impl Unusable {
    fn new(key: &'static str, problem: impl fmt::Display) -> Unusable {
        Unusable { key, problem: problem.to_string() }
    }

    fn file(key: &'static str, path: &Path, problem: impl fmt::Display) -> Unusable {
        Unusable::new(key, format!("{}: {problem}", path.display()))
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// The reason why a PEM file cannot be used, with the remedy.
fn unread(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {}; mend that, or name another", plain(&error)),
        other => format!("is not in PEM form: {other}"),
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let file = CertificateDer::pem_file_iter(path).map_err(|error| Unusable::file(key, path, unread(error)))?;
    let found: Vec<_> = file.collect::<Result<_, _>>().map_err(|error| Unusable::file(key, path, unread(error)))?;
    if found.is_empty() {
        return Err(Unusable::file(key, path, "no certificate in PEM form"));
    }
    Ok(found)
}

/// The certificates of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and those of the user. It is no
/// error if there are none: the handshake will report which server is not trusted.
fn system_and(own: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(own.iter().cloned());
    roots
}

/// Verifies chain, validity and name in the usual way, with one addition: a certificate in `ca_file` is also accepted
/// as the server's own certificate, even if it is marked as a CA. `openssl req -x509` makes such certificates.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    own: Vec<CertificateDer<'static>>,
    skip: bool,
    switch: &'static str,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(server)?;
        if self.own.iter().any(|own| own == server) {
            within_validity(server, now)?;
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        }
        verify_server_name(&parsed, name)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.skip {
            self.check(server, intermediates, name, now).map_err(|error| explained(error, server, self.switch))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.skip {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.skip {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn within_validity(server: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let Some(shown) = CertificateInfo::read(server) else { return Err(CertificateError::BadEncoding) };
    if now.as_secs() < shown.from.seconds {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > shown.until.seconds {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// Why a certificate was refused, as one sentence: the failed check, the subject, and the remedy.
#[derive(Debug)]
struct Untrusted(String);

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untrusted {}

fn explained(error: rustls::Error, server: &CertificateDer<'_>, switch: &str) -> rustls::Error {
    let shown = CertificateInfo::read(server).unwrap_or_default();
    let why = sentence(&error, &shown);
    let remedy = "trust a private CA or a self-signed certificate with ca_file";
    let why = format!("{why}; {remedy}; only {switch} goes without this check");
    CertificateError::Other(OtherError(Arc::new(Untrusted(why)))).into()
}

fn sentence(error: &rustls::Error, shown: &CertificateInfo) -> String {
    use CertificateError as E;
    let CertificateInfo { subject, issuer, from, until, .. } = shown;
    match error {
        rustls::Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => {
            format!("expired certificate: {subject:?} was valid until {}", until.text)
        }
        rustls::Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => {
            format!("certificate not valid yet: {subject:?} is valid from {}", from.text)
        }
        rustls::Error::InvalidCertificate(E::NotValidForNameContext { expected, presented }) => {
            format!("wrong name in the certificate: it is for {presented:?}, not for {:?}", expected.to_str())
        }
        _ if shown.is_self_signed => format!("unknown issuer: the certificate of {subject:?} is self-signed"),
        rustls::Error::InvalidCertificate(E::UnknownIssuer) => {
            format!("unknown issuer: the certificate of {subject:?} was issued by {issuer:?}")
        }
        other => format!("bad certificate of {subject:?}: {other}"),
    }
}

/// The end of a certificate's validity in Unix seconds. `None` if it cannot be parsed.
pub fn valid_until(certificate: &[u8]) -> Option<u64> {
    Some(CertificateInfo::read(certificate)?.until.seconds)
}

/// Why the certificate was refused, if that is the error.
pub fn verification_failure(error: &rustls::Error) -> Option<String> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(own))) => Some(own.to_string()),
        rustls::Error::InvalidCertificate(other) => Some(format!("bad certificate: {other}")),
        _ => None,
    }
}

/// Whether the other side answered the handshake with bytes that are no TLS.
pub fn is_not_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let message = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    error.downcast_ref() == Some(&message)
}

/// The parts of a certificate that messages show, read from its DER form (RFC 5280, section 4.1).
#[derive(Debug, Default)]
struct CertificateInfo {
    subject: String,
    issuer: String,
    is_self_signed: bool,
    from: Moment,
    until: Moment,
}

/// A time in UTC, as text `2026-01-31 12:00:00 UTC` and in Unix seconds.
#[derive(Debug, Default)]
struct Moment {
    text: String,
    seconds: u64,
}

const CONTEXT_0: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

impl CertificateInfo {
    fn read(certificate: &[u8]) -> Option<CertificateInfo> {
        let (_, certificate, _) = element(certificate)?;
        let (_, mut fields, _) = element(certificate)?;
        if fields.first() == Some(&CONTEXT_0) {
            fields = element(fields)?.2; // version
        }
        let (_, _, fields) = element(fields)?; // serial number
        let (_, _, fields) = element(fields)?; // signature algorithm
        let (_, issuer, fields) = element(fields)?;
        let (_, validity, fields) = element(fields)?;
        let (_, subject, _) = element(fields)?;
        let (kind, from, validity) = element(validity)?;
        let from = moment(kind, from)?;
        let (kind, until, _) = element(validity)?;
        let until = moment(kind, until)?;
        Some(CertificateInfo {
            subject: name(subject),
            issuer: name(issuer),
            is_self_signed: issuer == subject,
            from,
            until,
        })
    }
}

/// Tag and content of the first element, and the bytes after it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if *first >= 0x80 {
        let (digits, after) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The common name, else the organization, else an empty text.
fn name(sequence: &[u8]) -> String {
    let wanted = [COMMON_NAME, ORGANIZATION];
    let text = wanted.iter().find_map(|oid| attribute(sequence, oid)).unwrap_or_default();
    String::from_utf8_lossy(text).chars().take(80).collect()
}

fn attribute<'a>(mut sequence: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while let Some((_, set, rest)) = element(sequence) {
        let (_, pair, _) = element(set)?;
        let (_, oid, value) = element(pair)?;
        if oid == wanted {
            return Some(element(value)?.1);
        }
        sequence = rest;
    }
    None
}

/// Parses UTCTime, `YYMMDDHHMMSSZ`, or GeneralizedTime, which has a year of four digits.
fn moment(kind: u8, digits: &[u8]) -> Option<Moment> {
    let digits = std::str::from_utf8(digits).ok()?;
    let digits = match kind {
        UTC_TIME if digits < "50" => format!("20{digits}"),
        UTC_TIME => format!("19{digits}"),
        _ => digits.to_string(),
    };
    let part = |from: usize, length: usize| digits.get(from..from + length)?.parse::<u32>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 2)?, part(6, 2)?);
    let (hour, minute, second) = (part(8, 2)?, part(10, 2)?, part(12, 2)?);
    let seconds = unix_seconds(year, month, day, [hour, minute, second]);
    let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
    Some(Moment { text, seconds })
}
