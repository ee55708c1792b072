//! What a policy says of itself.

use serde_json::{Value as Json, json};

use crate::filter::Attribute;

/// What a policy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The version of the contract that it implements.
    pub contract: String,
    /// A name for people.
    pub name: String,
    /// Every attribute that it reads. It is given no other.
    pub footprint: Vec<FootprintAttribute>,
    /// Its rules.
    pub policies: Vec<PolicyInfo>,
    /// Whether its rewrite ever narrows a search.
    pub can_rewrite: bool,
    /// SHA-256 of its source in hexadecimal; empty if not known.
    pub source_digest: String,
    /// SHA-256 of the schema that the source was checked against, in hexadecimal; empty if there was none.
    pub schema_digest: String,
    /// What made it, with version.
    pub producer: String,
}

/// One attribute that a policy reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FootprintAttribute {
    /// Where it is, and what it is read as.
    pub attribute: Attribute,
    /// Whether a chunk may lack it.
    pub optional: bool,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// The id that decisions name it by.
    pub id: String,
    /// Names and values for people and tools.
    pub annotations: Vec<(String, String)>,
}

impl Manifest {
    /// Writes the manifest for machines.
    pub fn to_json(&self) -> Json {
        let footprint: Vec<Json> = self.footprint.iter().map(FootprintAttribute::to_json).collect();
        let policies: Vec<Json> = self.policies.iter().map(PolicyInfo::to_json).collect();
        json!({
            "contract": self.contract,
            "name": self.name,
            "footprint": footprint,
            "policies": policies,
            "can_rewrite": self.can_rewrite,
            "source_digest": self.source_digest,
            "schema_digest": self.schema_digest,
            "producer": self.producer,
        })
    }
}

impl FootprintAttribute {
    fn to_json(&self) -> Json {
        let declared = self.attribute.declared.as_ref().map(ToString::to_string);
        json!({"attr": self.attribute.path, "type": declared, "optional": self.optional})
    }
}

impl PolicyInfo {
    fn to_json(&self) -> Json {
        let annotations: serde_json::Map<String, Json> =
            self.annotations.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"id": self.id, "annotations": annotations})
    }
}
