//! Members of the configuration that are more than they look, and where in the text something is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Collection;
use crate::error::Error;

/// An error of TOML with its file, line and column.
pub(super) fn located(name: &str, text: &str, error: &toml::de::Error) -> Error {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    Error::Config { place: format!("{name}:{line}:{column}"), message: error.message().trim().to_owned() }
}

/// The line of a table's header.
pub(super) fn line_of_table(text: &str, table: &str) -> usize {
    let header = |line: &str| line.trim().trim_matches(['[', ']']) == table && line.trim().starts_with('[');
    text.lines().position(header).map_or(1, |line| line + 1)
}

/// Collections, of names that a path of a URL takes as they are.
pub(super) fn collections<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Collection>, D::Error> {
    let collections = BTreeMap::<String, Collection>::deserialize(deserializer)?;
    if collections.is_empty() {
        return Err(D::Error::custom("no collection is listed, so none would exist"));
    }
    match collections.keys().find(|name| !crate::route::is_plain(name)) {
        None => Ok(collections),
        Some(name) => Err(D::Error::custom(format!(
            "the collection's name `{name}` has other characters than letters, digits, `-`, `_`, `.` and `~`"
        ))),
    }
}

pub(super) fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
    let name = String::deserialize(deserializer)?;
    match name.as_str() {
        "HS256" => Ok(Algorithm::HS256),
        "RS256" => Ok(Algorithm::RS256),
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        _ => Err(D::Error::custom(format!("`{name}` is none of HS256, RS256, ES256 and EdDSA"))),
    }
}

pub(super) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom("nothing is done in no time")),
        milliseconds => Ok(Duration::from_millis(milliseconds)),
    }
}

pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        One(String),
        More(Vec<String>),
    }

    Ok(match Raw::deserialize(deserializer)? {
        Raw::One(name) => vec![name],
        Raw::More(names) => names,
    })
}

pub(super) fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

pub(super) fn half_a_second() -> Duration {
    Duration::from_millis(500)
}

pub(super) fn text() -> String {
    "text".to_owned()
}

pub(super) fn groups() -> Vec<String> {
    vec!["groups".to_owned()]
}

pub(super) fn user() -> String {
    "User".to_owned()
}

pub(super) fn agent() -> String {
    "Agent".to_owned()
}

pub(super) fn group() -> String {
    "Group".to_owned()
}
