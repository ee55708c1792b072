//! Writing a manifest.

use tamis_contract::VERSION;

use crate::attribute::Attribute;
use crate::bindings::tamis::policy::gates::{FootprintAttribute, Manifest, PolicyInfo};

impl Manifest {
    /// A policy called `name` that reads nothing and has no rules yet.
    pub fn of(name: &str) -> Self {
        Self {
            contract: VERSION.to_owned(),
            name: name.to_owned(),
            footprint: Vec::new(),
            policies: Vec::new(),
            can_rewrite: true,
            source_digest: String::new(),
            schema_digest: String::new(),
            producer: concat!("tamis-sdk ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Adds an attribute that every chunk must have.
    #[must_use]
    pub fn reads(self, attribute: Attribute) -> Self {
        self.with(attribute, false)
    }

    /// Adds an attribute that a chunk may lack.
    #[must_use]
    pub fn reads_optional(self, attribute: Attribute) -> Self {
        self.with(attribute, true)
    }

    /// Adds a rule, by the id that decisions name.
    #[must_use]
    pub fn rule(mut self, id: &str) -> Self {
        self.policies.push(PolicyInfo { id: id.to_owned(), annotations: Vec::new() });
        self
    }

    /// Adds the footprint and the rules of another policy that this one is made of. An attribute that both read is
    /// optional only if both say so.
    #[must_use]
    pub fn including(mut self, other: Manifest) -> Self {
        for entry in other.footprint {
            match self.footprint.iter_mut().find(|known| known.attribute == entry.attribute) {
                Some(known) => known.optional = known.optional && entry.optional,
                None => self.footprint.push(entry),
            }
        }
        self.policies.extend(other.policies);
        self
    }

    fn with(mut self, attribute: Attribute, optional: bool) -> Self {
        self.footprint.push(FootprintAttribute { attribute: attribute.to_contract(), optional });
        self
    }
}
