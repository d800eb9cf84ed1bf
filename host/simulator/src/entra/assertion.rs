//! Client assertions: signed with the application's own certificate, or by an outside identity
//! provider that a federated identity credential trusts (reference, sections 1.4 and 1.5).

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use webpki::{
    EndEntityCert,
    ring::{RSA_PKCS1_2048_8192_SHA256 as RS256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY as PS256},
};

use super::{Application, Federated, sts_error, sts_error::StsError};
use crate::{State, World};

/// The longest life of an outside token.
const LONGEST: Duration = Duration::hours(25);
/// How far clocks may differ.
const SKEW: Duration = Duration::minutes(5);
/// How many keys of an issuer are looked at.
const KEYS: usize = 100;

struct Jwt<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    header: Value,
    claims: Value,
}

impl<'a> Jwt<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json =
            |part: &str| serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            signed,
            signature: BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?,
            header: json(header)?,
            claims: json(claims)?,
        })
    }

    fn text(&self, claim: &str) -> &str {
        self.claims
            .get(claim)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn algorithm(&self) -> &str {
        self.header
            .get("alg")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn time(&self, claim: &str) -> Option<OffsetDateTime> {
        let seconds = self.claims.get(claim)?.as_f64()?;
        #[allow(clippy::cast_possible_truncation, reason = "a NumericDate in seconds")]
        let whole = seconds as i64;
        OffsetDateTime::from_unix_timestamp(whole).ok()
    }

    fn has_audience(&self, wanted: impl Fn(&str) -> bool) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => wanted(one),
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).any(wanted),
            _ => false,
        }
    }

    fn check_time(&self, now: OffsetDateTime) -> Result<(), StsError> {
        let until = self
            .time("exp")
            .ok_or_else(|| sts_error::bad_assertion("It has no exp claim."))?;
        let from = self.time("nbf").or_else(|| self.time("iat")).unwrap_or(now);
        if now >= until || now + SKEW < from {
            return Err(sts_error::assertion_out_of_time(now, from, until));
        }
        Ok(())
    }
}

/// Whether the assertion proves the application.
pub(crate) fn check(
    world: &World,
    state: &State,
    application: &Application,
    assertion: &str,
) -> Result<(), StsError> {
    let jwt = Jwt::read(assertion)
        .ok_or_else(|| sts_error::bad_assertion("The assertion is not a signed JWT."))?;
    if jwt.text("iss").eq_ignore_ascii_case(&application.app_id) {
        check_own(world, state, application, &jwt)
    } else {
        check_federated(world, state, application, &jwt)
    }
}

fn check_own(
    world: &World,
    state: &State,
    application: &Application,
    jwt: &Jwt<'_>,
) -> Result<(), StsError> {
    let algorithm: &dyn SignatureVerificationAlgorithm = match jwt.algorithm() {
        "RS256" => RS256,
        "PS256" => PS256,
        _ => {
            return Err(sts_error::bad_assertion(
                "The algorithm is neither PS256 nor RS256.",
            ));
        }
    };
    let certificates = application
        .keys
        .iter()
        .filter_map(|key| BASE64_STANDARD.decode(key.get("key")?.as_str()?).ok());
    let signed = certificates.into_iter().any(|der| {
        EndEntityCert::try_from(&CertificateDer::from(der)).is_ok_and(|certificate| {
            certificate
                .verify_signature(algorithm, jwt.signed.as_bytes(), &jwt.signature)
                .is_ok()
        })
    });
    if !signed {
        return Err(sts_error::bad_assertion(
            "The key was not found among the application's certificates.",
        ));
    }
    let tenants = [&state.entra.tenant_id, &state.entra.domain];
    let for_us = jwt.has_audience(|audience| {
        tenants.iter().any(|tenant| {
            ["/oauth2/v2.0/token", "/oauth2/token", "/v2.0"]
                .iter()
                .any(|tail| audience.ends_with(&format!("/{tenant}{tail}")))
        })
    });
    if !for_us {
        return Err(sts_error::bad_assertion(
            "Its audience is not this token endpoint.",
        ));
    }
    if !jwt.text("sub").eq_ignore_ascii_case(jwt.text("iss")) {
        return Err(sts_error::bad_assertion("Its subject is not its issuer."));
    }
    jwt.check_time(world.now())
}

fn check_federated(
    world: &World,
    state: &State,
    application: &Application,
    jwt: &Jwt<'_>,
) -> Result<(), StsError> {
    let (issuer, subject) = (jwt.text("iss"), jwt.text("sub"));
    let trusting: Vec<&Federated> = application
        .federated
        .iter()
        .filter(|trust| trust.issuer == issuer)
        .collect();
    if trusting.is_empty() {
        return Err(sts_error::no_federation(700_211, "issuer", issuer));
    }
    let matching: Vec<&&Federated> = trusting
        .iter()
        .filter(|trust| trust.subject == subject && world.sees(trust.sts_from))
        .collect();
    if matching.is_empty() {
        let but_for_case = trusting
            .iter()
            .any(|trust| trust.subject != subject && trust.subject.eq_ignore_ascii_case(subject));
        return Err(if but_for_case {
            sts_error::federation_case(subject)
        } else {
            sts_error::no_federation(700_213, "subject", subject)
        });
    }
    if !matching
        .iter()
        .any(|trust| jwt.has_audience(|audience| audience == trust.audience))
    {
        let audience = match jwt.claims.get("aud") {
            Some(Value::String(one)) => one.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        return Err(sts_error::no_federation(700_212, "audience", &audience));
    }
    check_issuer_signature(state, issuer, jwt)?;
    jwt.check_time(world.now())?;
    match (jwt.time("exp"), jwt.time("iat").or_else(|| jwt.time("nbf"))) {
        (Some(until), Some(from)) if until - from > LONGEST => Err(sts_error::assertion_too_long()),
        _ => Ok(()),
    }
}

fn check_issuer_signature(state: &State, issuer: &str, jwt: &Jwt<'_>) -> Result<(), StsError> {
    if jwt.algorithm() != "RS256" {
        return Err(sts_error::bad_assertion("The algorithm is not RS256."));
    }
    let known = state.entra.issuers.iter().find(|known| known.issuer == issuer).ok_or_else(|| {
        sts_error::bad_assertion(
            "The issuer's keys could not be fetched (the simulator knows those given to POST /__simulator/issuers).",
        )
    })?;
    let key_id = jwt.header.get("kid").and_then(Value::as_str);
    let keys = known.jwks.get("keys").and_then(Value::as_array);
    let signed = keys.into_iter().flatten().take(KEYS).any(|key| {
        let same_id = key_id.is_none() || key.get("kid").and_then(Value::as_str) == key_id;
        same_id && verifies(key, jwt) == Some(true)
    });
    if signed {
        Ok(())
    } else {
        Err(sts_error::bad_assertion(
            "It contains an invalid signature.",
        ))
    }
}

fn verifies(key: &Value, jwt: &Jwt<'_>) -> Option<bool> {
    let part = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
    let public = RsaPublicKeyComponents {
        n: part("n")?,
        e: part("e")?,
    };
    let verified = public.verify(
        &RSA_PKCS1_2048_8192_SHA256,
        jwt.signed.as_bytes(),
        &jwt.signature,
    );
    Some(verified.is_ok())
}
