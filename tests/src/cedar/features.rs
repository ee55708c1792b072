//! What policies can contain: every operator, method, form of scope and way of writing.

use std::collections::BTreeSet;

use super::expression::{Expression, Glob};
use super::policy::{Policy, Scope};
use super::text::is_identifier;

/// Everything that takes an operand, which may be an attribute of the resource.
const OPERATORS: &[&str] = &[
    "!",
    "- unary",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "+",
    "-",
    "*",
    "in",
    "if",
    "has",
    "is",
    "is in",
    "like",
    ".name",
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "hasTag",
    "getTag",
    "set",
    "record",
    "decimal",
    "ip",
    "datetime",
    "duration",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "isInRange",
    "offset",
    "durationSince",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toSeconds",
    "toMinutes",
    "toHours",
    "toDays",
];

/// The rest.
const FORMS: &[&str] = &[
    "permit",
    "forbid",
    "when",
    "unless",
    "several conditions",
    "no condition",
    "annotation",
    "annotation without a text",
    "redaction",
    "several redactions",
    "principal",
    "principal ==",
    "principal in",
    "principal is",
    "principal is in",
    "resource",
    "resource ==",
    "resource in",
    "resource is",
    "resource is in",
    "action",
    "action ==",
    "action in",
    "action in []",
    "action in [..]",
    "[\"name\"]",
    "[\"a name in quotes\"]",
    "has \"a name in quotes\"",
    "has a.b",
    "has a.b.c",
    "like without *",
    "like with *",
    "like with \\*",
    "in [..]",
    "set in a set",
    "record in a record",
    "constructor with an expression",
    "constructor with a wrong number of arguments",
    "isInRange with several ranges",
    "set of hundreds",
    "chain of twenty",
    "depth of fifteen",
];

/// Every feature there is. Each operator occurs once more with an attribute of the resource as an operand.
pub fn all() -> Vec<String> {
    let of_resource = OPERATORS.iter().map(|operator| format!("{operator} of resource"));
    OPERATORS.iter().chain(FORMS).map(ToString::to_string).chain(of_resource).collect()
}

/// The features of some policies.
pub fn features(policies: &[Policy]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if policies.iter().filter(|policy| policy.redacts()).count() > 1 {
        found.insert("several redactions".to_owned());
    }
    for policy in policies {
        of_policy(policy, &mut found);
        for condition in &policy.conditions {
            found.insert(condition.keyword.to_owned());
            of_expression(&condition.body, &mut found);
            if depth(&condition.body) >= 15 {
                found.insert("depth of fifteen".to_owned());
            }
        }
    }
    found
}

fn of_policy(policy: &Policy, found: &mut BTreeSet<String>) {
    found.insert(if policy.permits { "permit" } else { "forbid" }.to_owned());
    match policy.conditions.len() {
        0 => found.insert("no condition".to_owned()),
        1 => false,
        _ => found.insert("several conditions".to_owned()),
    };
    if policy.redacts() {
        found.insert("redaction".to_owned());
    }
    for (_, text) in &policy.annotations {
        found.insert(if text.is_some() { "annotation" } else { "annotation without a text" }.to_owned());
    }
    let scopes =
        [("principal", &policy.principal), ("action", &policy.action), ("resource", &policy.resource)];
    for (variable, scope) in scopes {
        let form = match scope {
            Scope::Any => "",
            Scope::Equal(_) => " ==",
            Scope::In(_) => " in",
            Scope::InAny(uids) if uids.is_empty() => " in []",
            Scope::InAny(_) => " in [..]",
            Scope::Is(_) => " is",
            Scope::IsIn(..) => " is in",
        };
        found.insert(format!("{variable}{form}"));
    }
}

fn of_expression(expression: &Expression, found: &mut BTreeSet<String>) {
    if let Some(operator) = operator(expression) {
        if expression.children().into_iter().any(is_of_resource) {
            found.insert(format!("{operator} of resource"));
        }
        found.insert(operator.to_owned());
    }
    found.extend(forms(expression).into_iter().map(str::to_owned));
    for child in expression.children() {
        of_expression(child, found);
    }
}

fn operator(expression: &Expression) -> Option<&'static str> {
    Some(match expression {
        Expression::Bool(_)
        | Expression::Long(_)
        | Expression::Text(_)
        | Expression::Entity(_)
        | Expression::Variable(_) => return None,
        Expression::Not(_) => "!",
        Expression::Negate(_) => "- unary",
        Expression::Binary(operator, ..) => operator,
        Expression::If(..) => "if",
        Expression::Has(..) => "has",
        Expression::Is(..) => "is",
        Expression::IsIn(..) => "is in",
        Expression::Like(..) => "like",
        Expression::Get(..) | Expression::Index(..) => ".name",
        Expression::Method(_, name, _) | Expression::Call(name, _) => name,
        Expression::Set(_) => "set",
        Expression::Record(_) => "record",
    })
}

fn forms(expression: &Expression) -> Vec<&'static str> {
    match expression {
        Expression::Get(_, name) | Expression::Index(_, name) if !is_identifier(name) => {
            vec!["[\"a name in quotes\"]"]
        }
        Expression::Index(..) => vec!["[\"name\"]"],
        Expression::Has(_, names) => match &names[..] {
            [name] if !is_identifier(name) => vec!["has \"a name in quotes\""],
            [_] => Vec::new(),
            [_, _] => vec!["has a.b"],
            _ => vec!["has a.b.c"],
        },
        Expression::Like(_, pattern) => {
            let any = pattern.contains(&Glob::Any);
            let star = |glob: &Glob| matches!(glob, Glob::Exactly(text) if text.contains('*'));
            let escaped = pattern.iter().any(star).then_some("like with \\*");
            escaped.into_iter().chain([if any { "like with *" } else { "like without *" }]).collect()
        }
        Expression::Binary("in", _, right) if matches!(**right, Expression::Set(_)) => vec!["in [..]"],
        Expression::Binary(operator, ..) if chain(operator, expression) >= 20 => vec!["chain of twenty"],
        Expression::Set(elements) if elements.len() >= 100 => vec!["set of hundreds"],
        Expression::Set(elements) if elements.iter().any(|of| matches!(of, Expression::Set(_))) => {
            vec!["set in a set"]
        }
        Expression::Record(fields) if fields.iter().any(|(_, of)| matches!(of, Expression::Record(_))) => {
            vec!["record in a record"]
        }
        Expression::Call(_, arguments) => match &arguments[..] {
            [Expression::Text(_)] => Vec::new(),
            [_] => vec!["constructor with an expression"],
            _ => vec!["constructor with a wrong number of arguments"],
        },
        Expression::Method(_, "isInRange", ranges) if ranges.len() > 1 => {
            vec!["isInRange with several ranges"]
        }
        _ => Vec::new(),
    }
}

/// Whether it is the resource, or an attribute of it, of an entity that it refers to, and so on.
fn is_of_resource(expression: &Expression) -> bool {
    match expression {
        Expression::Variable(name) => *name == "resource",
        Expression::Get(of, _) | Expression::Index(of, _) => is_of_resource(of),
        _ => false,
    }
}

/// How many operators of one kind follow each other from left to right.
fn chain(operator: &str, expression: &Expression) -> usize {
    match expression {
        Expression::Binary(other, left, _) if *other == operator => 1 + chain(operator, left),
        _ => 0,
    }
}

fn depth(expression: &Expression) -> usize {
    1 + expression.children().into_iter().map(depth).max().unwrap_or(0)
}
