//! The HTTPS listener's certificate, from a private authority made at start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::StartError;

/// Every name the listener may be reached by.
const NAMES: [&str; 12] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "login.microsoftonline.com",
    "graph.microsoft.com",
    "management.azure.com",
    "management.core.windows.net",
    "*.vault.azure.net",
    "*.dfs.core.windows.net",
    "*.blob.core.windows.net",
    "*.azuredatabricks.net",
    // A wildcard covers one label, and the seeded workspace's name has two before the domain.
    "*.2.azuredatabricks.net",
];

/// A server certificate and the authority to trust for it.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
}

impl Identity {
    /// Makes an authority and a certificate; the authority's key is dropped on return.
    pub(crate) fn new() -> Result<Self, StartError> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "lockkeeper simulator authority");
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(failed)?)
            .map_err(failed)?;

        let mut leaf = CertificateParams::new(NAMES.map(str::to_owned).to_vec()).map_err(failed)?;
        leaf.distinguished_name
            .push(DnType::CommonName, "lockkeeper simulator");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = leaf.signed_by(&key, &issuer).map_err(failed)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            ca_pem: issuer.pem(),
        })
    }
}

fn failed(reason: impl std::fmt::Display) -> StartError {
    StartError::Key {
        what: "TLS certificate",
        reason: reason.to_string(),
    }
}
