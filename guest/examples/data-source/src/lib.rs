//! Agents are not people: an agent acting for a user gets only chunks that are marked for agents. An age-restricted
//! source refuses minors.
//!
//! | chunk metadata | principal | rule |
//! |---|---|---|
//! | `agent_usable` | type `Agent` | `agents`: an agent needs true |
//! | `min_age`, may be absent | `age` | `age`: a person must be at least that old |
//!
//! With an agent acting for a user, the host asks once for the user and once for the agent and allows only what both
//! are allowed. So the agent's answer here is about the agent alone, and the user's age still counts.

use tamis_sdk::{Attribute, Chunk, Decision, Error, Filter, Manifest, Policy, Query, Request, Rewrite};

const AGENT_USABLE: Attribute = Attribute::new(&["agent_usable"], "Bool");
const MIN_AGE: Attribute = Attribute::new(&["min_age"], "Long");

/// The policy.
pub struct DataSource;

impl Policy for DataSource {
    fn manifest() -> Manifest {
        Manifest::of("data-source")
            .reads(AGENT_USABLE)
            .reads_optional(MIN_AGE)
            .rule("agents")
            .rule("age")
            .rule("index")
    }

    fn filter_chunk(request: &Request, chunk: &Chunk) -> Result<Decision, Error> {
        if request.action_name() == "index" {
            return Ok(Decision::allow_by("index"));
        }
        let principal = request.principal()?;
        if principal.is_a("Agent") {
            let usable = chunk.read(AGENT_USABLE)?.boolean()?;
            return Ok(if usable { Decision::allow_by("agents") } else { Decision::deny_by("agents") });
        }
        let old_enough = match chunk.read_optional(MIN_AGE)? {
            None => true,
            Some(min_age) => principal.long("age")? >= min_age.long()?,
        };
        Ok(if old_enough { Decision::allow_by("age") } else { Decision::deny_by("age") })
    }

    fn rewrite_query(request: &Request, _: &Query) -> Result<Rewrite, Error> {
        if request.action_name() == "index" {
            return Ok(Rewrite::exact(Filter::always()));
        }
        let principal = request.principal()?;
        if principal.is_a("Agent") {
            return Ok(Rewrite::exact(AGENT_USABLE.equals(true)));
        }
        let unrestricted = MIN_AGE.exists().not();
        let filter = match principal.optional("age")? {
            None => unrestricted,
            Some(age) => Filter::any([unrestricted, MIN_AGE.at_most(age.long()?)]),
        };
        Ok(Rewrite::exact(filter))
    }
}

#[cfg(feature = "export")]
tamis_sdk::export_policy!(DataSource);

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_sdk::decide;
    use tamis_sdk::testing::{ChunkBuilder, RequestBuilder};

    #[test]
    fn an_agent_gets_only_what_is_marked_for_agents() {
        let agent = RequestBuilder::by("Agent", "copilot").build();
        for (usable, allow) in [(true, true), (false, false)] {
            let chunk = ChunkBuilder::new("c").attribute(AGENT_USABLE, usable).build();
            assert_eq!(decide::<DataSource>(&agent, &chunk).allow, allow);
        }
        assert!(!decide::<DataSource>(&agent, &ChunkBuilder::new("unmarked").build()).allow);
    }

    #[test]
    fn a_minor_gets_nothing_age_restricted() {
        let restricted = ChunkBuilder::new("c").attribute(MIN_AGE, 18).build();
        let open = ChunkBuilder::new("c").build();
        for (age, on_restricted) in [(17, false), (18, true)] {
            let person = RequestBuilder::user("dana").attribute("age", age).build();
            assert_eq!(decide::<DataSource>(&person, &restricted).allow, on_restricted, "{age}");
            assert!(decide::<DataSource>(&person, &open).allow, "{age}");
        }
    }

    #[test]
    fn a_person_of_unknown_age_gets_only_the_unrestricted() {
        let person = RequestBuilder::user("eve").build();
        assert!(!decide::<DataSource>(&person, &ChunkBuilder::new("c").attribute(MIN_AGE, 0).build()).allow);
        assert!(decide::<DataSource>(&person, &ChunkBuilder::new("c").build()).allow);
    }
}
