//! Test certificates, and servers that use them.

use super::server::{Server, Step};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = params(&[], "Own Test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A server with this certificate, signed by the authority.
pub fn signed(authority: &Authority, params: CertificateParams) -> Server {
    let key = KeyPair::generate().unwrap();
    let issuer: &Issuer<'static, KeyPair> = authority;
    let certificate = params.signed_by(&key, issuer).unwrap();
    Server::start_tls(vec![Step::status(204)], config(&[certificate.der().to_vec()], &key, None))
}

/// A server with a self-signed certificate, and that certificate.
pub fn self_signed(mut params: CertificateParams, says_it_is_a_ca: bool) -> (Server, String) {
    if says_it_is_a_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let server = Server::start_tls(vec![Step::status(204)], config(&[certificate.der().to_vec()], &key, None));
    (server, certificate.pem())
}

pub fn config(chain: &[Vec<u8>], key: &KeyPair, clients: Option<&Authority>) -> Arc<rustls::ServerConfig> {
    let builder =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Arc::new(builder.with_single_cert(chain.iter().cloned().map(Into::into).collect(), key).unwrap())
}

pub fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}
