//! Cedar's own partial evaluation: what it finds out about a request whose resource is not known.

use std::str::FromStr;

use cedar_policy::{
    Context, Decision, Entities, EntityTypeName, EntityUid, PartialEntities, PartialEntityUid,
    PartialRequest, PolicySet, Schema,
};
use serde_json::{Value as Json, json};

/// What Cedar can tell without the resource. `None` if it does not take the request: policies, entities and context must conform to
/// the schema.
///
/// `Some(None)` is that it depends on the resource.
pub fn decide(policies: &str, schema: &str, request: &Json, resource: &str) -> Option<Option<Decision>> {
    let (schema, _) = Schema::from_cedarschema_str(schema).ok()?;
    let policies = PolicySet::from_str(policies).ok()?;
    let uid = |json: &Json| EntityUid::from_json(json.clone()).ok();
    let subject = json!({"type": request["subject"]["type"], "id": request["subject"]["id"]});
    let action = uid(&json!({"type": "Action", "id": request["action"]["name"]}))?;
    let context = Context::from_json_value(request["context"].clone(), Some((&schema, &action))).ok()?;
    let principal = json!({
        "uid": subject,
        "attrs": request["subject"]["properties"],
        "parents": request["subject"]["parents"],
    });
    let mut entities = request["entities"].as_array().cloned().unwrap_or_default();
    entities.push(principal);
    let entities = Entities::from_json_value(entities.into(), Some(&schema)).ok()?;
    let entities = PartialEntities::from_concrete(entities, &schema).ok()?;
    let resource = PartialEntityUid::new(EntityTypeName::from_str(resource).ok()?, None);
    let principal = PartialEntityUid::from_concrete(uid(&subject)?);
    let request = PartialRequest::new(principal, action, resource, Some(context), &schema).ok()?;
    let response = policies.tpe(&request, &entities, &schema).ok()?;
    Some(response.decision())
}
