//! Who asks: from a token to a request. The same as `host/python/tamis/tokens.py`. Nothing else of what a client sends comes here.

use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value as Json, json};
use tamis_core::Request;
use tamis_core::request::RETRIEVE;

use crate::config::TokenConfig;
use crate::keys::Keys;

/// Longer tokens are not even decoded. Servers commonly end at 8 or 16 KiB of headers.
const MAX_LENGTH: usize = 32 * 1024;
/// More agents than this in one chain are refused: the policy is evaluated for each.
const MAX_ACTORS: usize = 8;
/// What a token may call itself; it may also say nothing.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Verifies tokens. What it says of one that is not believed is for the log.
#[derive(Debug)]
pub(crate) struct Verifier {
    config: TokenConfig,
    keys: Keys,
    validation: Validation,
}

impl Verifier {
    /// Reads the keys.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub(crate) fn new(config: &TokenConfig) -> Result<Self, String> {
        let mut validation = Validation::new(config.algorithm);
        validation.leeway = config.leeway;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        let verifier = Self { config: config.clone(), keys: Keys::read(config)?, validation };
        // What is wrong with an agent would otherwise refuse its tokens, one by one.
        for name in config.agents.iter().flatten().map(|(name, _)| name) {
            let request = json!({"subject": verifier.agent(name)?, "action": {"name": RETRIEVE}});
            Request::from_json(&request.to_string())
                .map_err(|error| format!("`tokens.agents`, {name:?}: {error}"))?;
        }
        Ok(verifier)
    }

    /// The request of whoever holds this token, with an action.
    pub(crate) fn request(&self, token: &str, action: &str) -> Result<Request, String> {
        let claims = self.claims(token)?;
        let scopes = scopes(&claims)?;
        if let Some(missing) = self.config.scopes.iter().find(|scope| !scopes.contains(scope)) {
            return Err(format!("the token lacks the scope {missing:?}"));
        }
        let request = self.describe(&claims, &scopes, action)?;
        Request::from_json(&request.to_string())
            .map_err(|error| format!("the token makes no request: {error}"))
    }

    fn claims(&self, token: &str) -> Result<Map<String, Json>, String> {
        if token.len() > MAX_LENGTH {
            return Err(format!("the token has more than {MAX_LENGTH} characters"));
        }
        let unverified = |error: jsonwebtoken::errors::Error| format!("the token does not verify: {error}");
        let header = decode_header(token).map_err(unverified)?;
        if header.alg != self.config.algorithm {
            return Err(format!("the token is signed with {:?}", header.alg));
        }
        if header.crit.is_some() {
            return Err("the token wants something understood that is not (`crit`)".to_owned());
        }
        let key = self.keys.find(header.kid.as_deref())?;
        let decoded = decode::<Json>(token, &key, &self.validation).map_err(unverified)?;
        let kind = decoded.header.typ.map(|kind| kind.to_ascii_lowercase());
        if let Some(kind) = kind
            && !TYPES.contains(&kind.strip_prefix("application/").unwrap_or(&kind))
        {
            return Err(format!("the token is a {kind:?}"));
        }
        let Json::Object(claims) = decoded.claims else { return Err("the token holds no claims".to_owned()) };
        for time in ["exp", "nbf", "iat"] {
            if claims.get(time).is_some_and(|value| !value.is_number()) {
                return Err("the token's times are not numbers".to_owned());
            }
        }
        if claims.get("iss").is_some_and(|issuer| !issuer.is_string()) {
            return Err("the token has several issuers".to_owned());
        }
        // What is no audience at all passes where none is configured.
        if self.config.audience.is_none() && claims.get("aud").is_some_and(|audience| !audience.is_null()) {
            return Err("the token is for some audience, and none is configured".to_owned());
        }
        if claims.get("cnf").is_some() && !self.config.bound {
            return Err(
                "the token is bound to a key (`cnf`), and nothing here verifies who holds it".to_owned()
            );
        }
        Ok(claims)
    }

    fn describe(&self, claims: &Map<String, Json>, scopes: &[String], action: &str) -> Result<Json, String> {
        let subject = named(claims.get("sub"), "`sub`")?;
        let clients = ["client_id", "azp"]
            .iter()
            .filter(|name| claims.contains_key(**name))
            .map(|name| named(claims.get(*name), name))
            .collect::<Result<Vec<_>, _>>()?;
        // A token that a client got for itself: nobody becomes a user by the choice of a client's name.
        let itself = clients.contains(&subject);
        let mut actors = self.chain(claims)?;
        if let (true, Some(client), false) = (self.config.client_acts, clients.first(), itself)
            && !actors.contains(client)
        {
            actors.insert(0, client.clone());
        }
        let subject = if itself {
            self.agent(&subject)?
        } else {
            json!({
                "type": self.config.subject_type,
                "id": subject,
                "properties": self.properties(claims)?,
                "parents": self.parents(claims)?,
            })
        };
        let actors = actors.iter().map(|actor| self.agent(actor)).collect::<Result<Vec<_>, _>>()?;
        let mut scopes = scopes.to_vec();
        scopes.sort();
        scopes.dedup();
        Ok(
            json!({"subject": subject, "actor": actors, "action": {"name": action}, "context": {"scopes": scopes}}),
        )
    }

    fn agent(&self, name: &str) -> Result<Json, String> {
        let mut agent = json!({"type": self.config.agent_type, "id": name});
        if let Some(agents) = &self.config.agents {
            let known = agents.get(name).ok_or_else(|| format!("the agent {name:?} is not known here"))?;
            agent = json!({
                "type": self.config.agent_type,
                "id": name,
                "properties": known.properties,
                "parents": known.parents,
            });
        }
        Ok(agent)
    }

    fn properties(&self, claims: &Map<String, Json>) -> Result<Map<String, Json>, String> {
        let property = |(name, claim): (&String, &String)| match claims.get(claim) {
            None | Some(Json::Null) => Err(format!("the token lacks the claim {claim:?}")),
            Some(value) => Ok((name.clone(), value.clone())),
        };
        self.config.properties.iter().map(property).collect()
    }

    fn parents(&self, claims: &Map<String, Json>) -> Result<Vec<Json>, String> {
        let Some((first, rest)) = self.config.groups.split_first() else { return Ok(Vec::new()) };
        // Microsoft's way to say that there are more groups than fit. A rule that forbids something to one of them would not apply.
        let truthy = |value: &Json| !matches!(value, Json::Null | Json::Bool(false));
        let elsewhere = match claims.get("_claim_names") {
            None | Some(Json::Null) => false,
            Some(Json::Object(names)) => names.contains_key(first),
            Some(_) => true,
        };
        if elsewhere || claims.get("hasgroups").is_some_and(truthy) {
            return Err("the token leaves out groups of its subject".to_owned());
        }
        let mut found = claims.get(first);
        for name in rest {
            found = match found {
                None => None,
                Some(Json::Object(inside)) => inside.get(name),
                Some(_) => return Err("groups is no list of texts".to_owned()),
            };
        }
        let Some(found) = found else { return Ok(Vec::new()) };
        let mut groups = texts(found, "groups")?;
        let mut seen = std::collections::BTreeSet::new();
        groups.retain(|group| seen.insert(group.clone()));
        Ok(groups.iter().map(|group| json!({"type": self.config.group_type, "id": group})).collect())
    }

    /// The agents of nested `act` claims, the one that makes the call first.
    fn chain(&self, claims: &Map<String, Json>) -> Result<Vec<String>, String> {
        let issuer = claims.get("iss");
        let mut chain: Vec<String> = Vec::new();
        let mut inside = claims;
        while let Some(act) = inside.get("act") {
            let act = act.as_object().filter(|act| act.get("iss").is_none_or(|other| Some(other) == issuer));
            // The `sub` of another issuer may be anybody's.
            let act = act.ok_or("`act` is no actor of this issuer")?;
            let actor = named(act.get("sub"), "the `sub` of `act`")?;
            if chain.len() == MAX_ACTORS {
                return Err(format!("more than {MAX_ACTORS} agents act for the subject"));
            }
            if !chain.contains(&actor) {
                chain.push(actor);
            }
            inside = act;
        }
        Ok(chain)
    }
}

fn scopes(claims: &Map<String, Json>) -> Result<Vec<String>, String> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        None => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Some(list) => texts(list, "scope"),
    }
}

fn named(value: Option<&Json>, what: &str) -> Result<String, String> {
    match value {
        Some(Json::String(name)) if !name.is_empty() => Ok(name.clone()),
        _ => Err(format!("{what} names nothing")),
    }
}

fn texts(value: &Json, what: &str) -> Result<Vec<String>, String> {
    let text = |value: &Json| named(Some(value), what).ok();
    let list = value.as_array().and_then(|list| list.iter().map(text).collect::<Option<Vec<_>>>());
    list.ok_or_else(|| format!("{what} is no list of texts"))
}
