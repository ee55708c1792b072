//! The configuration: a file in TOML. Whatever is wrong is said with the line that it is in.

mod member;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use tamis_dialect::Fields;

use self::member::{
    agent, algorithm, collections, five_seconds, group, groups, half_a_second, line_of_table, located,
    milliseconds, one_or_more, text, user,
};
use crate::error::Error;

/// Clocks that differ by more are wrong, and so is a leeway in milliseconds: tokens would outlive their end.
const MAX_LEEWAY: u64 = 600;

/// What the gateway is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients are served.
    pub listen: SocketAddr,
    /// Where `/metrics` is served, to whoever asks; nowhere if absent.
    pub metrics: Option<SocketAddr>,
    /// The database.
    pub upstream: UpstreamConfig,
    /// The policy.
    pub policy: PolicyConfig,
    /// How users say who they are.
    pub tokens: TokenConfig,
    /// What may be asked for at most.
    #[serde(default)]
    pub limits: Limits,
    /// The collections: no other exists.
    #[serde(deserialize_with = "collections")]
    pub collections: BTreeMap<String, Collection>,
}

/// Which kind of database it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Qdrant, over REST.
    #[default]
    Qdrant,
}

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Which kind of database it is.
    #[serde(default)]
    pub kind: Kind,
    /// `http://127.0.0.1:6333`.
    pub url: String,
    /// The environment variable that holds its key. Clients never see it.
    pub api_key_env: Option<String>,
    /// The file that holds its key.
    pub api_key_file: Option<PathBuf>,
    /// How long one question to it may take.
    #[serde(default = "five_seconds", deserialize_with = "milliseconds", rename = "timeout_ms")]
    pub timeout: Duration,
}

/// The policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// A component, or source in Cedar (`.cedar`, `.json`). Replaced whenever it changes.
    pub path: PathBuf,
    /// The schema that the source is written for.
    pub schema: Option<PathBuf>,
    /// How long one call of the policy may take.
    #[serde(default = "half_a_second", deserialize_with = "milliseconds", rename = "deadline_ms")]
    pub deadline: Duration,
}

/// How users say who they are: see `host/python/tamis/tokens.py`, which reads the same of a token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The one signature that is taken.
    #[serde(deserialize_with = "algorithm")]
    pub algorithm: Algorithm,
    /// The issuer's public keys, for all but `HS256`. Read again when it changes.
    pub jwks_file: Option<PathBuf>,
    /// The file that holds the secret, for `HS256`.
    pub secret_file: Option<PathBuf>,
    /// The environment variable that holds the secret, for `HS256`.
    pub secret_env: Option<String>,
    /// What `iss` must be. Wanted with `jwks_file`.
    pub issuer: Option<String>,
    /// What `aud` must hold. Wanted with `jwks_file`; without it, a token for some audience is refused.
    pub audience: Option<String>,
    /// Seconds by which clocks may differ, ten minutes at most.
    #[serde(default)]
    pub leeway: u64,
    /// Scopes that a token must have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The claim that lists the subject's groups, or the path to one; empty if none are to be taken.
    #[serde(default = "groups", deserialize_with = "one_or_more")]
    pub groups: Vec<String>,
    /// Claims that become properties of the subject, by the property's name. A token without one of them is refused.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// What is known of each agent. If this is given, a token for any other is refused.
    pub agents: Option<BTreeMap<String, AgentConfig>>,
    /// Whether the client that a token was issued to is an agent as well.
    #[serde(default)]
    pub client_acts: bool,
    /// Whether tokens that are bound to a key are taken: only where something in front has verified who holds it.
    #[serde(default)]
    pub bound: bool,
    /// The entity type of users.
    #[serde(default = "user")]
    pub subject_type: String,
    /// The entity type of agents.
    #[serde(default = "agent")]
    pub agent_type: String,
    /// The entity type of groups.
    #[serde(default = "group")]
    pub group_type: String,
}

/// What is known of an agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Its properties.
    pub properties: serde_json::Map<String, Json>,
    /// Its groups, each `{type, id}`.
    pub parents: Vec<Json>,
}

/// What may be asked for at most.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a body. Default 8 MiB.
    pub body: usize,
    /// Bytes of the payload of a point to store. Default 128 KiB: a page of 1024 such points is half of the longest answer that is read.
    pub payload: usize,
    /// Searches, or points to store or delete, in one request. Default 1000.
    pub batch: usize,
    /// Hits of one search, those that `offset` skips among them. Default 1000.
    pub hits: u32,
    /// Candidates that one search may look at. Default 20 000.
    pub candidates: usize,
    /// Requests that are answered at the same time; others are refused. Default 64.
    pub requests: usize,
    /// Connections. Default 1024.
    pub connections: usize,
    /// How long a request may take. Default 15 s.
    #[serde(deserialize_with = "milliseconds", rename = "request_ms")]
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 8 << 20,
            payload: 128 << 10,
            batch: 1_000,
            hits: 1_000,
            candidates: 20_000,
            requests: 64,
            connections: 1_024,
            request: Duration::from_secs(15),
        }
    }
}

/// A collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The member of a payload that is the text, if there is one.
    pub text: Option<String>,
    /// Where in the payload everything else is.
    pub fields: Fields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCollection {
    #[serde(default = "text")]
    text: String,
    fields: Option<FieldMap>,
}

/// Fields as [`Fields::from_json`] reads them, in a table of TOML.
struct FieldMap(Fields);

impl<'de> Deserialize<'de> for FieldMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Fields::from_json(&json.to_string()).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Collection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawCollection::deserialize(deserializer)?;
        let text = Some(raw.text).filter(|text| !text.is_empty());
        Ok(Self { text, fields: raw.fields.map(|fields| fields.0).unwrap_or_default() })
    }
}

impl Config {
    /// Reads a configuration. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// With the file, the line and the column.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: name.clone(), source })?;
        let mut config: Self = toml::from_str(&text).map_err(|error| located(&name, &text, &error))?;
        config.check().map_err(|(table, message)| Error::Config {
            place: format!("{name}:{}", line_of_table(&text, table)),
            message,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [
            Some(&mut config.policy.path),
            config.policy.schema.as_mut(),
            config.upstream.api_key_file.as_mut(),
            config.tokens.jwks_file.as_mut(),
            config.tokens.secret_file.as_mut(),
        ];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// What no member says by itself: the table, and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let tokens = &self.tokens;
        let secret = [tokens.secret_file.is_some(), tokens.secret_env.is_some()];
        let secrets = secret.into_iter().filter(|given| *given).count();
        if tokens.algorithm == Algorithm::HS256 {
            if secrets != 1 || tokens.jwks_file.is_some() {
                return Err(("tokens", "HS256 wants either `secret_file` or `secret_env`".to_owned()));
            }
        } else if secrets > 0 || tokens.jwks_file.is_none() {
            return Err(("tokens", format!("{:?} wants `jwks_file`, and no secret", tokens.algorithm)));
        } else if tokens.issuer.is_none() || tokens.audience.is_none() {
            // Whoever else the issuer serves could use its tokens here.
            return Err(("tokens", "`jwks_file` wants `issuer` and `audience`".to_owned()));
        }
        for (name, value) in [("issuer", &tokens.issuer), ("audience", &tokens.audience)] {
            if value.as_ref().is_some_and(String::is_empty) {
                return Err(("tokens", format!("`{name}` is empty; a token must be held against a name")));
            }
        }
        if tokens.leeway > MAX_LEEWAY {
            let leeway = tokens.leeway;
            return Err((
                "tokens",
                format!("`leeway` is {leeway} seconds; at most {MAX_LEEWAY} are allowed"),
            ));
        }
        if self.upstream.api_key_env.is_some() && self.upstream.api_key_file.is_some() {
            return Err(("upstream", "`api_key_env` and `api_key_file` exclude each other".to_owned()));
        }
        let source = self.policy.path.extension().is_some_and(|end| end == "cedar" || end == "json");
        if self.policy.schema.is_some() && !source {
            return Err((
                "policy",
                "`schema` is for source; a component was compiled with what schema it has".to_owned(),
            ));
        }
        let limits = &self.limits;
        // The search loop finds no more.
        if !(2..10_000).contains(&limits.hits) {
            return Err(("limits", format!("`hits` is {}; it must be from 2 to 9999", limits.hits)));
        }
        let counts = [limits.body, limits.payload, limits.batch, limits.candidates, limits.connections];
        if counts.contains(&0) {
            return Err(("limits", "nothing would be served with a limit of 0".to_owned()));
        }
        // As many instances of policies as the runtime has room for.
        if !(1..=200).contains(&limits.requests) {
            return Err(("limits", format!("`requests` is {}; it must be from 1 to 200", limits.requests)));
        }
        Ok(())
    }
}
