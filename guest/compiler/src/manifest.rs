//! What a compiled policy says of itself.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tamis_contract::VERSION;
use tamis_contract::frame::Writer;
use tamis_engine::program::{Op, Source};

use crate::front::Parsed;
use crate::ir::Ir;
use crate::schema::Schema;

/// What a compiled policy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// A name for people.
    pub name: String,
    /// Every attribute that it reads from chunks.
    pub footprint: Vec<FootprintAttribute>,
    /// Its policies: ids and annotations, in the order of the source.
    pub policies: Vec<(String, BTreeMap<String, String>)>,
    /// SHA-256 of the source, in hexadecimal.
    pub source_digest: String,
    /// SHA-256 of the schema, in hexadecimal; empty without one.
    pub schema_digest: String,
}

/// One attribute that a policy reads from chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FootprintAttribute {
    /// Its name.
    pub name: String,
    /// The type that the schema declares, in the notation of the contract.
    pub declared: Option<String>,
    /// Whether a chunk may lack it.
    pub optional: bool,
}

impl Manifest {
    /// What made a policy, with version.
    pub fn producer() -> String {
        format!("tamis-compiler {}", env!("CARGO_PKG_VERSION"))
    }

    /// For machines: the content of the component's custom section.
    pub fn to_json(&self) -> Json {
        let attribute = |entry: &FootprintAttribute| json!({"attr": [entry.name], "type": entry.declared, "optional": entry.optional});
        let policy = |(id, annotations): &(String, BTreeMap<String, String>)| json!({"id": id, "annotations": annotations});
        json!({
            "contract": VERSION,
            "name": self.name,
            "footprint": self.footprint.iter().map(attribute).collect::<Vec<_>>(),
            "policies": self.policies.iter().map(policy).collect::<Vec<_>>(),
            "can_rewrite": true,
            "source_digest": self.source_digest,
            "schema_digest": self.schema_digest,
            "producer": Self::producer(),
        })
    }

    /// The program's section, as the engine reads it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.text(VERSION);
        writer.text(&self.name);
        writer.bytes.push(1);
        writer.text(&self.source_digest);
        writer.text(&self.schema_digest);
        writer.text(&Self::producer());
        writer.size(self.footprint.len());
        for entry in &self.footprint {
            writer.text(&entry.name);
            writer.text(entry.declared.as_deref().unwrap_or(""));
            writer.bytes.push(u8::from(entry.optional));
        }
        writer.size(self.policies.len());
        for (id, annotations) in &self.policies {
            writer.text(id);
            writer.size(annotations.len());
            for (name, value) in annotations {
                writer.text(name);
                writer.text(value);
            }
        }
        writer.bytes
    }
}

/// The attributes of chunks that the policies read. With a schema it says which may be absent; without, those are it that some policy
/// asks `has` of.
pub(crate) fn footprint(ir: &Ir, schema: &Schema) -> Vec<FootprintAttribute> {
    let columns = ir.columns().iter().enumerate().filter(|(_, info)| info.source == Source::Attribute);
    let entry = |(column, name): (usize, &String)| {
        let known = schema.chunk_attribute(name);
        let asked = ir.nodes().iter().any(|node| node.op == Op::HasColumn && node.a as usize == column);
        // What may be the chunk may be something else as well, which has this attribute in its place.
        let read = ir.nodes().iter().any(|node| node.op == Op::Column && node.a as usize == column);
        FootprintAttribute {
            name: name.clone(),
            declared: known.as_ref().and_then(|known| known.declared).map(ToString::to_string),
            optional: known.map_or(asked || !read, |known| known.optional),
        }
    };
    columns
        .filter_map(|(column, info)| Some((column, ir.texts().get(info.name as usize)?)))
        .map(entry)
        .collect()
}

/// The ids and annotations of policies.
pub(crate) fn policies(parsed: &[Parsed]) -> Vec<(String, BTreeMap<String, String>)> {
    parsed.iter().map(|policy| (policy.id.clone(), policy.annotations.clone())).collect()
}
