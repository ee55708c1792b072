//! What tokens are verified with: a secret, or the public keys of their issuer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::config::TokenConfig;

/// A shorter secret can be guessed: as many bytes as the signature has.
const MIN_SECRET: usize = 32;
/// Shorter RSA keys can be broken.
const MIN_RSA: usize = 2048 / 8;
/// How often it is looked whether the file of the keys changed: at what it holds, since a time says nothing of a file that was copied
/// with its own, or that could not be read at first.
const LOOK: Duration = Duration::from_secs(5);

/// What tokens are verified with.
#[derive(Debug)]
pub(crate) enum Keys {
    Secret(DecodingKey),
    Public(Box<PublicKeys>),
}

/// The keys in a file, by name.
#[derive(Debug)]
pub(crate) struct PublicKeys {
    path: PathBuf,
    algorithm: Algorithm,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    keys: BTreeMap<String, DecodingKey>,
    /// What the file held last, whether there were keys in it or not.
    text: String,
    looked: Instant,
}

impl Keys {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// With the file, or the variable, and what is wrong with it.
    pub(crate) fn read(config: &TokenConfig) -> Result<Self, String> {
        if let Some(path) = &config.jwks_file {
            let text = text(path)?;
            let keys = read(path, &text, config.algorithm)?;
            let held = Held { keys, text, looked: Instant::now() };
            return Ok(Self::Public(Box::new(PublicKeys {
                path: path.clone(),
                algorithm: config.algorithm,
                held: Mutex::new(held),
            })));
        }
        let (secret, place) = secret(config.secret_env.as_deref(), config.secret_file.as_deref())?
            .ok_or_else(|| "there is neither a secret nor a file of keys".to_owned())?;
        if secret.len() < MIN_SECRET {
            return Err(format!(
                "{place}: the secret has {} bytes; it must have {MIN_SECRET} at least",
                secret.len()
            ));
        }
        Ok(Self::Secret(DecodingKey::from_secret(secret.as_bytes())))
    }

    /// The key that a token names.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<DecodingKey, String> {
        match self {
            Self::Secret(secret) => Ok(secret.clone()),
            Self::Public(keys) => {
                let name = name.ok_or("the token names no key")?;
                keys.find(name).ok_or_else(|| format!("no key is called {name:?}"))
            }
        }
    }
}

impl PublicKeys {
    fn find(&self, name: &str) -> Option<DecodingKey> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.looked.elapsed() >= LOOK {
            held.looked = Instant::now();
            match text(&self.path) {
                Ok(text) if text == held.text => {}
                Ok(text) => {
                    match read(&self.path, &text, self.algorithm) {
                        Ok(keys) => {
                            tracing::info!(keys = keys.len(), "keys of tokens replaced");
                            held.keys = keys;
                        }
                        Err(error) => not_replaced(&error),
                    }
                    held.text = text;
                }
                Err(error) => not_replaced(&error),
            }
        }
        held.keys.get(name).cloned()
    }
}

/// A secret from the environment or from a file, and where it is. A line break at its end is not part of it.
pub(crate) fn secret(
    variable: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<(String, String)>, String> {
    let (secret, place) = match (variable, file) {
        (Some(name), _) => {
            let secret =
                std::env::var(name).map_err(|error| format!("the environment variable `{name}`: {error}"))?;
            (secret, format!("the environment variable `{name}`"))
        }
        (None, Some(path)) => {
            let secret =
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            (secret, path.display().to_string())
        }
        (None, None) => return Ok(None),
    };
    let secret = secret.trim_end_matches(['\r', '\n']).to_owned();
    if secret.is_empty() { Err(format!("{place}: it is empty")) } else { Ok(Some((secret, place))) }
}

fn not_replaced(error: &str) {
    tracing::error!(error, "keys of tokens not replaced; the last good ones go on");
}

fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The keys in a file that this algorithm verifies with. One that is a shared secret is none.
fn read(path: &Path, text: &str, algorithm: Algorithm) -> Result<BTreeMap<String, DecodingKey>, String> {
    let wrong = |message: &dyn std::fmt::Display| format!("{}: {message}", path.display());
    let set: JwkSet = tamis_core::input::parse(text).map_err(|error| wrong(&error))?;
    let mut keys = BTreeMap::new();
    for key in set.keys.iter().filter(|key| serves(key, algorithm)) {
        let Some(name) = key.common.key_id.clone().filter(|name| !name.is_empty()) else { continue };
        let decoding =
            DecodingKey::from_jwk(key).map_err(|error| wrong(&format!("the key {name:?}: {error}")))?;
        if keys.insert(name.clone(), decoding).is_some() {
            return Err(wrong(&format!("the key {name:?} occurs twice")));
        }
    }
    if keys.is_empty() {
        return Err(wrong(&format!("it holds no key for {algorithm:?} that has a `kid`")));
    }
    Ok(keys)
}

fn serves(key: &Jwk, algorithm: Algorithm) -> bool {
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let named = key.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let fits = match (&key.algorithm, algorithm) {
        // Base64 has four characters for three bytes.
        (AlgorithmParameters::RSA(key), Algorithm::RS256) => key.n.len() * 3 / 4 >= MIN_RSA,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    signs && named && fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A key that was withdrawn must not stay because its successor looks as old, or could not be read at first.
    #[test]
    fn keys_are_what_the_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let write = |name: &str| {
            let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "kid": name});
            std::fs::write(&path, json!({"keys": [key]}).to_string()).unwrap();
        };
        write("first");
        let config = format!("algorithm = \"EdDSA\"\njwks_file = {path:?}\nissuer = \"i\"\naudience = \"a\"");
        let Keys::Public(keys) = Keys::read(&toml::from_str(&config).unwrap()).unwrap() else { panic!() };
        let find = |name| {
            keys.held.lock().unwrap().looked = Instant::now().checked_sub(LOOK).unwrap();
            keys.find(name).is_some()
        };
        assert!(find("first"));
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        write("other");
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        assert!(find("other") && !find("first"), "a file as old as the one before");
        let away = folder.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        assert!(find("other"), "the last good ones go on");
        std::fs::rename(&away, &path).unwrap();
        assert!(find("other"));
        std::fs::write(&path, "{").unwrap();
        assert!(find("other"));
        write("third");
        assert!(find("third") && !find("other"));
    }
}
