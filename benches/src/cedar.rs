//! The same decision in Cedar: compiled by Tamis, and by Cedar's own authorizer with its entities built beforehand.

use std::fmt::Write;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityTypeName, EntityUid, PartialEntities,
    PartialEntityUid, PartialRequest, PolicySet, Request, Schema,
};
use serde_json::{Value as Json, json};
use tamis_compiler::Named;
use tamis_core::{Chunk, metadata};

/// As the example policy `clearance`: three policies.
pub const CLEARANCE: &str = include_str!("../../host/cli/demo/clearance.cedar");
/// The schema of the demo.
pub const SCHEMA: &str = include_str!("../../host/cli/demo/demo.cedarschema");

/// What `CLEARANCE` says of retrieval, as one policy.
const ONE: &str = "permit(principal, action == Action::\"retrieve\", resource) when { resource.tenant == principal.tenant && \
                   resource.access_level <= principal.clearance && resource.user_roles.containsAny(principal.roles) };";

/// `CLEARANCE` and as many policies more as make `count`: all but `live` of them ask for a role that nobody has. One policy, if one is
/// asked for.
pub fn many(count: usize, live: usize) -> String {
    if count == 1 {
        return ONE.to_owned();
    }
    let mut text = CLEARANCE.to_owned();
    for number in 3..count {
        let role = if number < live { "employee".to_owned() } else { format!("role-{number}") };
        let _ = writeln!(
            text,
            "permit(principal, action == Action::\"retrieve\", resource) when {{ principal.roles.contains(\"{role}\") && \
             resource.access_level == {} && resource.user_roles.contains(\"{role}\") }};",
            number % 7
        );
    }
    text
}

/// The component of Cedar policies, with the demo's schema.
pub fn component(policies: &str) -> Vec<u8> {
    let named = |name, text| Named { name, text };
    tamis_compiler::compile("bench", named("policies", policies), Some(named("schema", SCHEMA)))
        .unwrap()
        .component
}

/// Cedar's own authorizer.
#[derive(Debug)]
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    questions: Vec<(Request, Entities)>,
}

impl Cedar {
    /// Everything built that can be built before the first decision.
    pub fn new(policies: &str, request: &tamis_core::Request, chunks: &[Chunk]) -> Self {
        let action = EntityUid::from_str("Action::\"retrieve\"").unwrap();
        let uid = |uid: &tamis_core::EntityUid| {
            EntityUid::from_json(json!({"type": uid.entity_type, "id": uid.id})).unwrap()
        };
        let who = request.entities().get(request.subject()).unwrap();
        let attributes: serde_json::Map<String, Json> =
            who.attributes.iter().map(|(name, value)| (name.clone(), metadata::write(value))).collect();
        let principal = json!({"uid": {"type": who.uid.entity_type, "id": who.uid.id}, "attrs": attributes, "parents": []});
        let principal = Entity::from_json_value(principal, None).unwrap();
        let question = |chunk: &Chunk| {
            let resource = json!({"uid": {"type": chunk.uid.entity_type, "id": chunk.uid.id}, "attrs": chunk.attributes, "parents": []});
            let resource = Entity::from_json_value(resource, None).unwrap();
            let entities = Entities::from_entities([principal.clone(), resource], None).unwrap();
            let asked =
                Request::new(uid(&who.uid), action.clone(), uid(&chunk.uid), Context::empty(), None).unwrap();
            (asked, entities)
        };
        Self {
            authorizer: Authorizer::new(),
            policies: PolicySet::from_str(policies).unwrap(),
            questions: chunks.iter().map(question).collect(),
        }
    }

    /// Decides on the chunk with this number.
    pub fn allows(&self, chunk: usize) -> bool {
        let (request, entities) = &self.questions[chunk];
        self.authorizer.is_authorized(request, &self.policies, entities).decision() == Decision::Allow
    }
}

/// Cedar's own partial evaluation, with everything built beforehand.
#[derive(Debug)]
pub struct Partial {
    policies: PolicySet,
    schema: Schema,
    request: PartialRequest,
    entities: PartialEntities,
}

impl Partial {
    /// A request about a chunk that is not known.
    pub fn new(policies: &str, request: &tamis_core::Request) -> Self {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
        let who = request.entities().get(request.subject()).unwrap();
        let json = |uid: &tamis_core::EntityUid| json!({"type": uid.entity_type, "id": uid.id});
        let attributes: serde_json::Map<String, Json> =
            who.attributes.iter().map(|(name, value)| (name.clone(), metadata::write(value))).collect();
        let parents: Vec<Json> = who.parents.iter().map(json).collect();
        let principal = json!({"uid": json(&who.uid), "attrs": attributes, "parents": parents});
        let entities = Entities::from_json_value(json!([principal]), Some(&schema)).unwrap();
        let uid = EntityUid::from_json(json(&who.uid)).unwrap();
        let asked = PartialRequest::new(
            PartialEntityUid::from_concrete(uid),
            EntityUid::from_str("Action::\"retrieve\"").unwrap(),
            PartialEntityUid::new(EntityTypeName::from_str("Chunk").unwrap(), None),
            Some(Context::empty()),
            &schema,
        );
        Self {
            policies: PolicySet::from_str(policies).unwrap(),
            request: asked.unwrap(),
            entities: PartialEntities::from_concrete(entities, &schema).unwrap(),
            schema,
        }
    }

    /// What is left of the policies: how many of them depend on the chunk.
    pub fn residuals(&self) -> usize {
        let response = self.policies.tpe(&self.request, &self.entities, &self.schema).unwrap();
        response.residual_permits().count() + response.residual_forbids().count()
    }
}
