//! The key that signs tokens, and its public half.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rcgen::{CertificateParams, DnType, PKCS_RSA_SHA256};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use rsa::{pkcs8::EncodePrivateKey as _, rand_core::OsRng};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::StartError;

/// Makes a new 2048-bit RSA key: PKCS#8 in base64.
pub(crate) fn generate() -> Result<Zeroizing<String>, StartError> {
    let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).map_err(failed)?;
    let der = key.to_pkcs8_der().map_err(failed)?;
    Ok(Zeroizing::new(BASE64_STANDARD.encode(der.as_bytes())))
}

/// Signs tokens with RS256, and verifies them.
pub(crate) struct Signer {
    pair: KeyPair,
    key_id: String,
    certificate: Vec<u8>,
}

impl Signer {
    pub(crate) fn from_pkcs8(base64: &str) -> Result<Self, StartError> {
        let der = Zeroizing::new(BASE64_STANDARD.decode(base64).map_err(failed)?);
        let pair = KeyPair::from_pkcs8(&der).map_err(failed)?;
        let certificate = certificate(&der)?;
        let key_id = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate));
        Ok(Self {
            pair,
            key_id,
            certificate,
        })
    }

    /// A compact JWS over the claims.
    ///
    /// Returns none only if the system has no randomness for blinding.
    pub(crate) fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": self.key_id, "kid": self.key_id});
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .ok()?;
        Some(format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }

    /// Whether this key made the signature.
    pub(crate) fn verifies(&self, signed: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public().as_ref())
            .verify(signed.as_bytes(), signature)
            .is_ok()
    }

    /// The JSON Web Key Set that resource servers fetch (reference, section 1.6).
    pub(crate) fn jwks(&self, issuer: &str) -> Value {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair.public());
        json!({"keys": [{
            "kty": "RSA",
            "use": "sig",
            "kid": self.key_id,
            "x5t": self.key_id,
            "n": BASE64_URL_SAFE_NO_PAD.encode(&public.n),
            "e": BASE64_URL_SAFE_NO_PAD.encode(&public.e),
            "x5c": [BASE64_STANDARD.encode(&self.certificate)],
            "issuer": issuer,
        }]})
    }
}

/// A certificate over the key that is the same at every start: RSA signatures of this kind have
/// no random part, and the serial number follows from the key.
fn certificate(der: &[u8]) -> Result<Vec<u8>, StartError> {
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(der),
        &PKCS_RSA_SHA256,
    )
    .map_err(failed)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "accounts.accesscontrol.windows.net");
    Ok(params.self_signed(&key).map_err(failed)?.der().to_vec())
}

fn failed(reason: impl std::fmt::Display) -> StartError {
    StartError::Key {
        what: "token-signing key",
        reason: reason.to_string(),
    }
}
