//! From policies to rules: their conditions, what they redact, and which requests need not look at them.

use std::collections::BTreeMap;

use cedar_policy::pst::{ActionConstraint, Effect, EntityOrSlot, EntityUID, PrincipalConstraint, Template};
use tamis_engine::program::{KeyKind, Rule, flag};

use crate::front::Parsed;
use crate::ir::{Ir, TooMuch};
use crate::lower::Lower;
use crate::schema::Schema;

/// The annotation that names what a permit redacts.
pub(crate) const REDACT: &str = "redact";
/// What stands for the chunk's text in that annotation.
pub(crate) const TEXT: &str = "text";

/// What leads to rules: kind, type and id.
type Key = (u8, String, String);

/// Rules, and the keys that lead to them.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    pub(crate) keys: BTreeMap<Key, Vec<u32>>,
}

impl Rules {
    /// Compiles one policy.
    pub(crate) fn add(&mut self, ir: &mut Ir, schema: &Schema, policy: &Parsed) -> Result<(), TooMuch> {
        let condition = Lower { ir, schema }.condition(&policy.template)?;
        let mut flags = if policy.template.effect == Effect::Forbid { flag::FORBID } else { 0 };
        let mut redactions = Vec::new();
        if let Some(names) = policy.annotations.get(REDACT) {
            if flags & flag::FORBID != 0 {
                return Err(TooMuch(format!(
                    "`@{REDACT}` stands on a `forbid`, which shows nothing to redact"
                )));
            }
            flags |= flag::REDACTS;
            for path in paths(names)? {
                if path == [TEXT] {
                    flags |= flag::REDACTS_TEXT;
                }
                redactions.push(u32::try_from(path.len()).unwrap_or(u32::MAX));
                redactions.extend(path.iter().map(|name| ir.text(name)));
            }
        }
        let rule = Rule { id: ir.text(&policy.id), flags, condition, redactions: ir.list(redactions) };
        self.push(rule, keys(&policy.template));
        Ok(())
    }

    /// Adds a rule that is always looked at.
    pub(crate) fn push_always(&mut self, rule: Rule) {
        self.push(rule, vec![always()]);
    }

    fn push(&mut self, rule: Rule, keys: Vec<Key>) {
        let number = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        self.rules.push(rule);
        for key in keys {
            let rules = self.keys.entry(key).or_default();
            if rules.last() != Some(&number) {
                rules.push(number);
            }
        }
    }
}

/// The paths that `@redact("salary, owner.email")` names.
pub(crate) fn paths(names: &str) -> Result<Vec<Vec<&str>>, TooMuch> {
    let mut paths = Vec::new();
    for name in names.split(',').map(str::trim) {
        let path: Vec<&str> = name.split('.').map(str::trim).collect();
        if path.iter().any(|name| name.is_empty()) {
            let example = format!("`@{REDACT}(\"salary, owner.email, text\")`");
            return Err(TooMuch(format!(
                "`@{REDACT}({names:?})` does not name attributes, as {example} does"
            )));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// One key of those that a policy's scope allows: by principal, which divides policies best, or by action. None if the policy can
/// never apply.
fn keys(policy: &Template) -> Vec<Key> {
    let key = |kind: KeyKind, uid: &EntityUID| (kind as u8, uid.ty.to_string(), uid.eid.to_string());
    match &policy.principal {
        PrincipalConstraint::Eq(EntityOrSlot::Entity(uid))
        | PrincipalConstraint::In(EntityOrSlot::Entity(uid))
        | PrincipalConstraint::IsIn(_, EntityOrSlot::Entity(uid)) => {
            return vec![key(KeyKind::Principal, uid)];
        }
        _ => {}
    }
    match &policy.action {
        ActionConstraint::Any => vec![always()],
        ActionConstraint::Eq(uid) => vec![key(KeyKind::Action, uid)],
        ActionConstraint::In(uids) => uids.iter().map(|uid| key(KeyKind::Action, uid)).collect(),
    }
}

fn always() -> Key {
    (KeyKind::Always as u8, String::new(), String::new())
}
