//! Tenants are isolated. Within a tenant, a chunk is readable at its access level and above, by anyone who has one of
//! its roles.
//!
//! | chunk metadata | principal | rule |
//! |---|---|---|
//! | `tenant` | `tenant` | `tenant-isolation`: must be equal |
//! | `access_level` | `clearance` | `clearance`: must not exceed it |
//! | `user_roles` | `roles` | `role`: must share one |
//! | | `roles` | `index`: to store a chunk takes the role `indexer` instead |

use tamis_sdk::{Attribute, Chunk, Decision, Error, Filter, Manifest, Policy, Query, Request, Rewrite};

const TENANT: Attribute = Attribute::new(&["tenant"], "String");
const ACCESS_LEVEL: Attribute = Attribute::new(&["access_level"], "Long");
const USER_ROLES: Attribute = Attribute::new(&["user_roles"], "Set<String>");

/// The policy.
pub struct Clearance;

impl Policy for Clearance {
    fn manifest() -> Manifest {
        Manifest::of("clearance")
            .reads(TENANT)
            .reads(ACCESS_LEVEL)
            .reads(USER_ROLES)
            .rule("tenant-isolation")
            .rule("clearance")
            .rule("role")
            .rule("index")
    }

    fn filter_chunk(request: &Request, chunk: &Chunk) -> Result<Decision, Error> {
        let principal = request.principal()?;
        if chunk.read(TENANT)?.text()? != principal.text("tenant")? {
            return Ok(Decision::deny_by("tenant-isolation"));
        }
        let roles = principal.texts("roles")?;
        if request.action_name() == "index" {
            let may_index = roles.contains(&"indexer");
            return Ok(if may_index { Decision::allow_by("index") } else { Decision::deny_by("index") });
        }
        if chunk.read(ACCESS_LEVEL)?.long()? > principal.long("clearance")? {
            return Ok(Decision::deny_by("clearance"));
        }
        let readers = chunk.read(USER_ROLES)?.texts()?;
        Ok(if readers.iter().any(|role| roles.contains(role)) {
            Decision::allow_by("role")
        } else {
            Decision::deny_by("role")
        })
    }

    fn rewrite_query(request: &Request, _: &Query) -> Result<Rewrite, Error> {
        let principal = request.principal()?;
        let same_tenant = TENANT.equals(principal.text("tenant")?);
        let roles = principal.texts("roles")?;
        if request.action_name() == "index" {
            let filter = if roles.contains(&"indexer") { same_tenant } else { Filter::never() };
            return Ok(Rewrite::exact(filter));
        }
        Ok(Rewrite::exact(Filter::all([
            same_tenant,
            ACCESS_LEVEL.at_most(principal.long("clearance")?),
            USER_ROLES.contains_any(roles),
        ])))
    }
}

#[cfg(feature = "export")]
tamis_sdk::export_policy!(Clearance);

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_sdk::decide;
    use tamis_sdk::testing::{ChunkBuilder, RequestBuilder};

    fn bob() -> RequestBuilder {
        RequestBuilder::user("bob")
            .attribute("tenant", "acme")
            .attribute("clearance", 1)
            .attribute("roles", ["analyst", "employee"])
    }

    fn chunk(tenant: &str, level: i64, roles: [&str; 1]) -> Chunk {
        ChunkBuilder::new("c")
            .attribute(TENANT, tenant)
            .attribute(ACCESS_LEVEL, level)
            .attribute(USER_ROLES, roles)
            .build()
    }

    #[test]
    fn tenant_clearance_and_role_must_all_fit() {
        for (chunk, allow, rule) in [
            (chunk("acme", 1, ["analyst"]), true, "role"),
            (chunk("globex", 1, ["analyst"]), false, "tenant-isolation"),
            (chunk("acme", 2, ["analyst"]), false, "clearance"),
            (chunk("acme", 1, ["dba"]), false, "role"),
        ] {
            let decision = decide::<Clearance>(&bob().build(), &chunk);
            assert_eq!((decision.allow, decision.reasons), (allow, vec![rule.to_owned()]));
        }
    }

    #[test]
    fn only_an_indexer_stores_chunks() {
        let chunk = chunk("acme", 3, ["dba"]);
        assert!(!decide::<Clearance>(&bob().action("index").build(), &chunk).allow);
        let indexer = RequestBuilder::by("Service", "loader")
            .attribute("tenant", "acme")
            .attribute("roles", ["indexer"]);
        assert!(decide::<Clearance>(&indexer.action("index").build(), &chunk).allow);
    }

    #[test]
    fn what_is_missing_denies_and_is_named() {
        let without_level = ChunkBuilder::new("c").attribute(TENANT, "acme").build();
        let decision = decide::<Clearance>(&bob().build(), &without_level);
        assert!(!decision.allow);
        assert_eq!(decision.errors[0].message, "the chunk has no attribute `access_level`");
    }
}
