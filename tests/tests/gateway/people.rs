//! Who asks, and their tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};

pub(super) const ISSUER: &str = "https://id.example";
pub(super) const AUDIENCE: &str = "https://vectors.example";
pub(super) const SECRET: &str = "a secret of more than thirty-two bytes";

/// How the usual gateway takes tokens.
pub(super) const RS256: &str = r#"algorithm = "RS256"
jwks_file = "jwks.json"
issuer = "https://id.example"
audience = "https://vectors.example"
properties = { tenant = "tenant" }"#;

/// Made for these tests and used nowhere else.
pub(super) fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_der(include_bytes!("keys/rsa.der")),
        Algorithm::ES256 => EncodingKey::from_ec_der(include_bytes!("keys/ec.der")),
        Algorithm::EdDSA => EncodingKey::from_ed_der(include_bytes!("keys/ed.der")),
        _ => EncodingKey::from_secret(SECRET.as_bytes()),
    }
}

/// The public keys of the issuer; each is called as its algorithm.
pub(super) fn jwks() -> Json {
    let public = |algorithm: Algorithm| {
        let mut key = Jwk::from_encoding_key(&key(algorithm), algorithm).unwrap();
        key.common.key_id = Some(format!("{algorithm:?}"));
        serde_json::to_value(key).unwrap()
    };
    json!({"keys": [public(Algorithm::RS256), public(Algorithm::ES256), public(Algorithm::EdDSA)]})
}

pub(super) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// What the token of somebody says.
pub(super) fn claims(subject: &str, tenant: &str, groups: &[&str]) -> Json {
    json!({
        "sub": subject, "tenant": tenant, "groups": groups, "iss": ISSUER, "aud": AUDIENCE, "exp": in_seconds(3600),
    })
}

/// A token, signed as it should be.
pub(super) fn sign(claims: &Json) -> String {
    sign_with(Algorithm::RS256, claims)
}

pub(super) fn sign_with(algorithm: Algorithm, claims: &Json) -> String {
    let header = Header { kid: Some(format!("{algorithm:?}")), ..Header::new(algorithm) };
    encode(&header, claims, &key(algorithm)).unwrap()
}

/// Reads all of tenant `a`.
pub(super) fn alice() -> String {
    sign(&claims("alice", "a", &["hr", "all"]))
}

/// Reads tenant `a`, without salaries and the texts beside them.
pub(super) fn bob() -> String {
    sign(&claims("bob", "a", &["all"]))
}

/// Reads all of tenant `b`.
pub(super) fn carol() -> String {
    sign(&claims("carol", "b", &["hr"]))
}

/// Reads nothing.
pub(super) fn dave() -> String {
    sign(&claims("dave", "none", &[]))
}
