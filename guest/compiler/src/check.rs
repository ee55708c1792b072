//! Warnings about what compiles but is probably not meant.

use std::collections::BTreeSet;

use cedar_policy::pst::{ActionConstraint, Effect, PrincipalConstraint, ResourceConstraint};
use tamis_contract::frame::tag;
use tamis_engine::program::{Op, Rule, Source};

use crate::front::{Front, Parsed};
use crate::ir::Ir;
use crate::problem::Problem;
use crate::rules::{self, Rules};

/// What the names of attributes that keep tenants apart have in common.
const TENANT: &str = "tenant";

/// Looks at every policy.
pub(crate) fn warnings(front: &Front, ir: &Ir, rules: &Rules) -> Vec<Problem> {
    let look = Look { front, ir };
    let mut warnings = Vec::new();
    if !front.policies.iter().any(|policy| policy.template.effect == Effect::Permit) {
        warnings.push(
            Problem::warning(&front.source, "no policy permits anything, so everything is denied")
                .help("add a `permit(principal, action, resource) when { … };`"),
        );
    }
    for id in &front.unlinked {
        let message = format!("nothing links the template `{id}`, so it never applies");
        warnings.push(Problem::warning(&front.source, message));
    }
    let rules: Vec<(&Parsed, &Rule)> = front.policies.iter().zip(&rules.rules).collect();
    warnings.extend(rules.iter().filter_map(|(policy, rule)| look.never(policy, rule)));
    warnings.extend(look.tenants(&rules));
    for (policy, rule) in rules {
        warnings.extend(look.unguarded(policy, rule));
        warnings.extend(look.redactions(policy));
    }
    warnings
}

struct Look<'a> {
    front: &'a Front,
    ir: &'a Ir,
}

impl Look<'_> {
    fn warning(&self, policy: &Parsed, message: &str) -> Problem {
        let (at, size) = policy.place;
        let problem = Problem::warning(&self.front.source, format!("policy `{}` {message}", policy.id));
        if size == 0 { problem } else { problem.at(at, size) }
    }

    /// A policy that can never apply.
    fn never(&self, policy: &Parsed, rule: &Rule) -> Option<Problem> {
        let no_action =
            matches!(&policy.template.action, ActionConstraint::In(actions) if actions.is_empty());
        (no_action || !self.can_be(rule.condition, true))
            .then(|| self.warning(policy, "can never apply: its condition is never true"))
    }

    /// Whether a condition can come out as `wanted`, as far as constants tell.
    fn can_be(&self, index: u32, wanted: bool) -> bool {
        let Some(node) = self.ir.at(index) else { return true };
        let both = |a, b| self.can_be(a, wanted) && self.can_be(b, wanted);
        let either = |a, b| self.can_be(a, wanted) || self.can_be(b, wanted);
        match node.op {
            Op::Constant => {
                let bytes = self.ir.constants().get(node.a as usize).map(Vec::as_slice);
                bytes == Some(&[if wanted { tag::TRUE } else { tag::FALSE }])
            }
            Op::And if wanted => both(node.a, node.b),
            Op::And => either(node.a, node.b),
            Op::Or if wanted => either(node.a, node.b),
            Op::Or => both(node.a, node.b),
            Op::Not => self.can_be(node.a, !wanted),
            Op::If => either(node.b, node.c),
            _ => true,
        }
    }

    /// Permits that do not ask for the tenant, where chunks have one and no policy forbids what is another tenant's.
    fn tenants(&self, rules: &[(&Parsed, &Rule)]) -> Vec<Problem> {
        let attributes = self.front.schema.chunk_attributes();
        let tenants: BTreeSet<&str> =
            attributes.into_iter().filter(|name| name.to_lowercase().contains(TENANT)).collect();
        let asks = |rule: &Rule| self.reads(rule, Op::Column).iter().any(|name| tenants.contains(name));
        let apart = rules
            .iter()
            .any(|(policy, rule)| policy.template.effect == Effect::Forbid && is_open(policy) && asks(rule));
        let Some(tenant) = tenants.first().filter(|_| !apart) else { return Vec::new() };
        let careless =
            rules.iter().filter(|(policy, rule)| policy.template.effect == Effect::Permit && !asks(rule));
        let warning = |(policy, _): &(&Parsed, &Rule)| {
            self.warning(policy, &format!("permits across tenants: it does not ask for `resource.{tenant}`")).help(format!(
                "one `forbid(principal, action, resource) unless {{ resource.{tenant} == principal.{tenant} }};` keeps all tenants apart"
            ))
        };
        careless.map(warning).collect()
    }

    /// Attributes that a `forbid` reads and a chunk may lack: the policy then fails, and a policy that fails forbids nothing.
    fn unguarded(&self, policy: &Parsed, rule: &Rule) -> Vec<Problem> {
        if policy.template.effect == Effect::Permit {
            return Vec::new();
        }
        let asked = self.reads(rule, Op::HasColumn);
        let read = self.reads(rule, Op::Column);
        let may_lack = |name: &&&str| {
            let known = self.front.schema.chunk_attribute(name);
            known.is_none_or(|attribute| attribute.optional) && !asked.contains(**name)
        };
        let warning = |name: &&str| {
            self.warning(policy, &format!("forbids nothing where a chunk lacks `{name}`: reading it fails, and what fails is left out"))
                .help(format!("ask first: `resource has {name} && …`, or make `{name}` a required attribute of the schema"))
        };
        read.iter().filter(may_lack).map(warning).collect()
    }

    /// Redacted attributes that no chunk has.
    fn redactions(&self, policy: &Parsed) -> Vec<Problem> {
        let attributes = self.front.schema.chunk_attributes();
        let Some(names) = policy.annotations.get(rules::REDACT).filter(|_| !attributes.is_empty()) else {
            return Vec::new();
        };
        let unknown = |path: Vec<&str>| {
            let first = path.into_iter().next()?;
            let known = attributes.contains(first) || first == rules::TEXT;
            (!known).then(|| {
                self.warning(policy, &format!("redacts `{first}`, which the schema gives to no chunk"))
            })
        };
        rules::paths(names).into_iter().flatten().filter_map(unknown).collect()
    }

    /// The names of the attributes that a rule reads (`Op::Column`) or asks for (`Op::HasColumn`).
    fn reads(&self, rule: &Rule, op: Op) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut pending = vec![rule.condition];
        while let Some(index) = pending.pop() {
            let Some(node) = self.ir.at(index).filter(|_| seen.insert(index)) else { continue };
            if node.op == op {
                let info =
                    self.ir.columns().get(node.a as usize).filter(|info| info.source == Source::Attribute);
                names.extend(
                    info.and_then(|info| self.ir.texts().get(info.name as usize)).map(String::as_str),
                );
            }
            pending.extend(self.ir.operands(node));
        }
        names
    }
}

/// Whether a policy's scope lets everything through to its condition.
fn is_open(policy: &Parsed) -> bool {
    matches!(policy.template.principal, PrincipalConstraint::Any)
        && matches!(policy.template.action, ActionConstraint::Any)
        && matches!(policy.template.resource, ResourceConstraint::Any)
}

#[cfg(test)]
mod tests {
    use crate::Named;

    fn warnings(policies: &str, schema: Option<&str>) -> Vec<String> {
        let named = |name, text| Named { name, text };
        let problems = crate::check(named("p", policies), schema.map(|text| named("s", text))).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }

    const SCHEMA: &str = "entity User = { tenant: String };
        entity Chunk = { tenant: String, owner?: String };
        action retrieve appliesTo { principal: User, resource: Chunk };";
    const APART: &str = "forbid(principal, action, resource) unless { resource.tenant == principal.tenant };";

    #[test]
    fn what_is_fine_is_not_warned_of() {
        let open = "permit(principal, action, resource);";
        assert!(warnings(&format!("{open}{APART}"), Some(SCHEMA)).is_empty());
        assert!(warnings(open, None).is_empty());
        let guarded = "forbid(principal, action, resource) when { resource has x && resource.x == 1 };";
        assert!(warnings(&format!("{open}{guarded}"), None).is_empty());
    }

    #[test]
    fn what_is_probably_not_meant_is_warned_of() {
        for (policies, schema, expected) in [
            ("permit(principal, action, resource);", Some(SCHEMA), "policy `policy0` permits across tenants"),
            (
                "@id(\"a\") permit(principal, action, resource) when { 1 == 2 && context.x };",
                None,
                "policy `a` can never apply",
            ),
            ("permit(principal, action in [], resource);", None, "can never apply"),
            ("permit(principal, action, resource) unless { 1 == 1 };", None, "can never apply"),
            (APART, None, "no policy permits anything"),
            (APART, None, "forbids nothing where a chunk lacks `tenant`"),
            (
                "permit(principal == ?principal, action, resource);",
                None,
                "nothing links the template `policy0`",
            ),
            ("@redact(\"ssn\") permit(principal, action, resource);", Some(SCHEMA), "redacts `ssn`"),
        ] {
            let found = warnings(policies, schema);
            assert!(found.iter().any(|warning| warning.contains(expected)), "{policies}: {found:?}");
        }
    }
}
