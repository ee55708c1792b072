//! What Cedar itself decides.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid,
    EvaluationError, PolicySet, Request, Response, Schema,
};
use serde_json::Value as Json;

use super::case::Case;

/// The decision on one request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// Whether the request is allowed.
    pub allow: bool,
    /// The ids of the policies that decided: the satisfied forbids, or else the satisfied permits.
    pub reasons: BTreeSet<String>,
    /// The ids of the policies whose evaluation failed.
    pub errors: BTreeSet<String>,
}

/// Why the evaluation of a policy failed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Failure {
    /// An operand of a wrong type.
    Type,
    /// An attribute that an entity lacks.
    EntityAttribute,
    /// A tag that an entity lacks.
    Tag,
    /// A field that a record lacks.
    RecordField,
    /// An entity that is not in the store.
    MissingEntity,
    /// A sum, difference, product or negation out of range.
    Overflow,
    /// An extension function that refused its arguments.
    Extension,
    /// An extension function called with too few or too many arguments.
    ArgumentCount,
    /// Any other.
    Other,
}

/// The policies whose evaluation failed, and why.
pub type Failures = BTreeMap<String, Failure>;

/// A verdict and the reasons of its errors.
pub type Explained = (Verdict, Failures);

/// Cedar's verdict on each request.
///
/// # Errors
///
/// Says what Cedar refused to read: the schema, the policies, the entities or a request.
pub fn decide(case: &Case) -> Result<Vec<Verdict>, String> {
    Ok(responses(case)?.iter().map(verdict).collect())
}

/// Whether each request conforms to the schema of the case; all do without one.
///
/// # Errors
///
/// As [`decide`].
pub fn conforming(case: &Case) -> Result<Vec<bool>, String> {
    let Some(text) = &case.schema else { return Ok(vec![true; case.requests.len()]) };
    let schema = schema(text)?;
    let conforms = |json: &Json| {
        let context = Context::from_json_value(json["context"].clone(), None).ok()?;
        let (principal, action) = (uid(&json["principal"]).ok()?, uid(&json["action"]).ok()?);
        // What the context holds is read by its types, so only the types of the entities matter here.
        let request = Request::new(principal, action, uid(&json["resource"]).ok()?, context, Some(&schema));
        match request {
            Ok(_) => Some(true),
            Err(error) => Some(error.to_string().contains("context")),
        }
    };
    Ok(case.requests.iter().map(|json| conforms(json) == Some(true)).collect())
}

/// Like [`decide`], and why each policy failed.
///
/// # Errors
///
/// As [`decide`].
pub fn explain(case: &Case) -> Result<Vec<Explained>, String> {
    Ok(responses(case)?.iter().map(|response| (verdict(response), failures(response))).collect())
}

fn responses(case: &Case) -> Result<Vec<Response>, String> {
    let schema = case.schema.as_deref().map(schema).transpose()?;
    let policies = PolicySet::from_str(&case.policies).map_err(|error| format!("policies: {error:?}"))?;
    let entities = Entities::from_json_value(case.entities.clone(), schema.as_ref())
        .map_err(|error| format!("entities: {error:?}"))?;
    let authorizer = Authorizer::new();
    case.requests
        .iter()
        .map(|json| Ok(authorizer.is_authorized(&request(json)?, &policies, &entities)))
        .collect()
}

fn schema(text: &str) -> Result<Schema, String> {
    match Schema::from_cedarschema_str(text) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(format!("schema: {error:?}")),
    }
}

/// The context is read without the schema: what it means then does not depend on whether it conforms.
pub(super) fn request(json: &Json) -> Result<Request, String> {
    let context = Context::from_json_value(json["context"].clone(), None)
        .map_err(|error| format!("context: {error:?}"))?;
    Request::new(uid(&json["principal"])?, uid(&json["action"])?, uid(&json["resource"])?, context, None)
        .map_err(|error| format!("request: {error:?}"))
}

fn uid(json: &Json) -> Result<EntityUid, String> {
    let (Some(entity_type), Some(id)) = (json["type"].as_str(), json["id"].as_str()) else {
        return Err(format!("no uid: {json}"));
    };
    let entity_type = EntityTypeName::from_str(entity_type).map_err(|error| format!("{json}: {error:?}"))?;
    Ok(EntityUid::from_type_name_and_id(entity_type, EntityId::new(id)))
}

fn verdict(response: &Response) -> Verdict {
    let diagnostics = response.diagnostics();
    Verdict {
        allow: response.decision() == Decision::Allow,
        reasons: diagnostics.reason().map(ToString::to_string).collect(),
        errors: failures(response).into_keys().collect(),
    }
}

fn failures(response: &Response) -> Failures {
    let failure = |error: &AuthorizationError| match error {
        AuthorizationError::PolicyEvaluationError(error) => {
            (error.policy_id().to_string(), failure(error.inner()))
        }
    };
    response.diagnostics().errors().map(failure).collect()
}

fn failure(error: &EvaluationError) -> Failure {
    match error {
        EvaluationError::TypeError(_) => Failure::Type,
        EvaluationError::EntityAttrDoesNotExist(error) if error.to_string().contains("the tag") => {
            Failure::Tag
        }
        EvaluationError::EntityAttrDoesNotExist(_) => Failure::EntityAttribute,
        EvaluationError::RecordAttrDoesNotExist(_) => Failure::RecordField,
        EvaluationError::EntityDoesNotExist(_) => Failure::MissingEntity,
        EvaluationError::IntegerOverflow(_) => Failure::Overflow,
        EvaluationError::FailedExtensionFunctionExecution(_) => Failure::Extension,
        EvaluationError::WrongNumArguments(_) => Failure::ArgumentCount,
        _ => Failure::Other,
    }
}
