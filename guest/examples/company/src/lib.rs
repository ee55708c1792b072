//! A company's policy, made of two others: a chunk is readable only if both `clearance` and `data-source` allow it.

use clearance::Clearance;
use data_source::DataSource;
use tamis_sdk::{Chunk, Decision, Error, Manifest, Policy, Query, Request, Rewrite};

/// The policy.
pub struct Company;

impl Policy for Company {
    fn manifest() -> Manifest {
        Manifest::of("company").including(Clearance::manifest()).including(DataSource::manifest())
    }

    fn filter_chunk(request: &Request, chunk: &Chunk) -> Result<Decision, Error> {
        let clearance = Clearance::filter_chunk(request, chunk)?;
        if !clearance.allow {
            return Ok(clearance);
        }
        Ok(clearance.and(DataSource::filter_chunk(request, chunk)?))
    }

    fn rewrite_query(request: &Request, query: &Query) -> Result<Rewrite, Error> {
        Ok(Clearance::rewrite_query(request, query)?.and(DataSource::rewrite_query(request, query)?))
    }
}

#[cfg(feature = "export")]
tamis_sdk::export_policy!(Company);

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_sdk::Attribute;
    use tamis_sdk::decide;
    use tamis_sdk::testing::{ChunkBuilder, RequestBuilder};

    #[test]
    fn both_parts_must_allow() {
        let attribute = |name: &'static [&'static str]| Attribute::new(name, "");
        let chunk = |tenant: &str, usable: bool| {
            ChunkBuilder::new("c")
                .attribute(attribute(&["tenant"]), tenant)
                .attribute(attribute(&["access_level"]), 0)
                .attribute(attribute(&["user_roles"]), ["employee"])
                .attribute(attribute(&["agent_usable"]), usable)
                .build()
        };
        let agent = RequestBuilder::by("Agent", "copilot")
            .attribute("tenant", "acme")
            .attribute("clearance", 0)
            .attribute("roles", ["employee"])
            .build();
        for (tenant, usable, reasons) in [
            ("acme", true, vec!["role", "agents"]),
            ("acme", false, vec!["agents"]),
            ("globex", true, vec!["tenant-isolation"]),
        ] {
            let decision = decide::<Company>(&agent, &chunk(tenant, usable));
            assert_eq!(decision.reasons, reasons, "{tenant} {usable}");
            assert_eq!(decision.allow, reasons.len() == 2);
        }
    }
}
