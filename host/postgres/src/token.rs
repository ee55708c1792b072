//! Signed requests: JSON web tokens (RFC 7519) with HMAC-SHA-256, as every web framework can make them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tamis_core::input::parse_json;

use crate::error::Failure;

/// Tokens longer than this are refused before anything reads them.
const MAX_TOKEN: usize = 1 << 20;
/// Seconds that clocks may differ by.
const LEEWAY: f64 = 30.0;
/// The claim that holds a whole request.
const REQUEST: &str = "tamis";

/// The request that a token carries, if it is signed with the key that it names and is valid at this time (in seconds since 1970).
///
/// The claim `tamis` is a request. Without it `sub` is the id of a `User`, whose properties are all other claims but the registered
/// ones.
pub(crate) fn request(
    token: &str,
    now: i64,
    key: impl FnOnce(&str) -> Option<Vec<u8>>,
) -> Result<Json, Failure> {
    // What is wrong is said only where it helps no forger.
    let forged = || refused("its signature is not valid");
    let shape = || refused("it is no JSON web token");
    if token.len() > MAX_TOKEN {
        return Err(refused("it is longer than a megabyte"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or_else(shape)?;
    let (header, claims) = signed.split_once('.').ok_or_else(shape)?;
    let header = decode(header).ok_or_else(shape)?;
    if header.get("alg").and_then(Json::as_str) != Some("HS256") || header.get("crit").is_some() {
        return Err(refused("its algorithm is not HS256"));
    }
    let id = header.get("kid").and_then(Json::as_str).unwrap_or_default();
    let key = key(id).ok_or_else(|| refused("its key is not known"))?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| forged())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| forged())?;
    mac.update(signed.as_bytes());
    // In constant time.
    mac.verify_slice(&signature).map_err(|_| forged())?;

    let claims = decode(claims).ok_or_else(shape)?;
    // Seconds that may have a fraction.
    let time = |name: &str| {
        claims.get(name).map(|claim| claim.as_f64().ok_or_else(|| refused("a time is no number")))
    };
    let now = now as f64;
    let expires = time("exp").ok_or_else(|| refused("it never expires; it needs `exp`"))??;
    if now > expires + LEEWAY {
        return Err(refused("it has expired"));
    }
    if let Some(begins) = time("nbf")
        && now < begins? - LEEWAY
    {
        return Err(refused("it is not valid yet"));
    }
    match claims {
        Json::Object(mut claims) => match (claims.remove(REQUEST), claims.remove("sub")) {
            (Some(request), _) => Ok(request),
            (None, Some(Json::String(subject))) => {
                claims.retain(|name, _| !["iss", "aud", "exp", "nbf", "iat", "jti"].contains(&name.as_str()));
                Ok(json!({"subject": {"type": "User", "id": subject, "properties": claims}}))
            }
            _ => Err(refused("it has neither a claim `tamis` nor a subject")),
        },
        _ => Err(shape()),
    }
}

fn decode(part: &str) -> Option<Json> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    parse_json(std::str::from_utf8(&bytes).ok()?).ok()
}

fn refused(why: &str) -> Failure {
    Failure::new(PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, "the token is refused")
        .detail(format!("It is not accepted, as {why}."))
        .hint("The application signs it with a key that tamis.set_key knows.")
}
