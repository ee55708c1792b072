//! From what a policy answered in the contract's records to core types. Nothing in it is trusted: every index is checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use tamis_contract::{MAX_FOOTPRINT, VERSION};
use tamis_core::filter::Attribute;
use tamis_core::manifest::{FootprintAttribute, Manifest, PolicyInfo};
use tamis_core::{Decision, PolicyError, Redaction, Rewrite};

use super::{broken, filter, gates};
use crate::error::Error;

/// A decision for one chunk.
pub(crate) fn decision(raw: gates::Decision) -> Result<Decision, Error> {
    if raw.redact.iter().any(Vec::is_empty) {
        return Err(broken("a decision redacts an attribute without a name"));
    }
    Ok(Decision {
        allow: raw.allow,
        reasons: raw.reasons.into_iter().collect(),
        errors: policy_errors(raw.errors),
        redaction: Redaction { attributes: raw.redact.into_iter().collect(), text: raw.redact_text },
    })
}

/// A manifest that this host can serve: its contract version, attributes and types are valid.
pub(crate) fn manifest(raw: gates::Manifest) -> Result<Manifest, Error> {
    if raw.contract != VERSION {
        return Err(broken(format!("it implements version `{}`; this host speaks {VERSION}", raw.contract)));
    }
    if raw.footprint.len() > MAX_FOOTPRINT {
        let count = raw.footprint.len();
        return Err(Error::Limit(format!(
            "its footprint has {count} attributes; at most {MAX_FOOTPRINT} are allowed"
        )));
    }
    let mut footprint: Vec<FootprintAttribute> = Vec::with_capacity(raw.footprint.len());
    for entry in raw.footprint {
        let attribute = attribute(entry.attribute)?;
        let overlaps = |known: &FootprintAttribute| {
            let (a, b) = (&known.attribute.path, &attribute.path);
            a.starts_with(b) || b.starts_with(a)
        };
        if let Some(known) = footprint.iter().find(|known| overlaps(known)) {
            let known = tamis_core::decision::path_text(&known.attribute.path);
            return Err(broken(format!(
                "its footprint names the attribute `{known}` twice, or a part of it"
            )));
        }
        footprint.push(FootprintAttribute { attribute, optional: entry.optional });
    }
    let policies = raw
        .policies
        .into_iter()
        .map(|info| PolicyInfo { id: info.id, annotations: info.annotations })
        .collect();
    Ok(Manifest {
        contract: raw.contract,
        name: raw.name,
        footprint,
        policies,
        can_rewrite: raw.can_rewrite,
        source_digest: raw.source_digest,
        schema_digest: raw.schema_digest,
        producer: raw.producer,
    })
}

/// A rewrite whose filter nests no deeper than a filter from JSON may.
pub(crate) fn rewrite(raw: gates::Rewrite) -> Result<Rewrite, Error> {
    let filter = filter::filter(&raw.filter)?;
    let needs: BTreeSet<Attribute> = raw.needs.into_iter().map(attribute).collect::<Result<_, _>>()?;
    let needs = Arc::new(needs);
    let (errors, partial) = (policy_errors(raw.errors), raw.partial.into_iter().collect());
    Ok(Rewrite { filter: filter.into(), exact: raw.exact, needs, errors, partial })
}

fn policy_errors(raw: Vec<gates::PolicyError>) -> BTreeSet<PolicyError> {
    raw.into_iter().map(|error| PolicyError { policy: error.policy, message: error.message }).collect()
}

pub(super) fn attribute(raw: gates::Attribute) -> Result<Attribute, Error> {
    attribute_of(raw.path, raw.value_type.as_deref())
}

/// An attribute with a type in the contract's notation.
pub(super) fn attribute_of(path: Vec<String>, declared: Option<&str>) -> Result<Attribute, Error> {
    if path.is_empty() {
        return Err(broken("an attribute has no name"));
    }
    let declared = declared.map(str::parse).transpose();
    let declared = declared.map_err(|error: tamis_core::types::TypeError| {
        let name = tamis_core::decision::path_text(&path);
        broken(format!("attribute `{name}`: {error}"))
    })?;
    Ok(Attribute { path, declared })
}
