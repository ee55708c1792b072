//! The front end: Cedar's own parser and validator, on a stack that is large enough for what [`crate::scan`] lets pass.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::pst::{self, Template};
use cedar_policy::{Policy, PolicyId, PolicySet, SchemaFragment, ValidationMode, Validator};
use miette::{NamedSource, Severity};

use crate::arity::replace_wrong_calls;
use crate::problem::{Problem, Problems, SourceText};
use crate::scan;
use crate::schema::Schema;

/// Stack of the thread that parses, validates and compiles, in bytes. Only what is used of it is ever allocated.
pub(crate) const STACK: usize = 256 << 20;

/// A text with the name that errors call it by, such as its path.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// What errors call it.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

impl Named<'_> {
    fn shared(&self) -> SourceText {
        Arc::new(NamedSource::new(self.name, Arc::from(self.text)))
    }

    /// Whether the text is Cedar's JSON form, of policies or of a schema.
    fn is_json(&self) -> bool {
        self.text.trim_start().starts_with(['{', '['])
    }
}

/// A policy without open slots, ready to be compiled.
pub(crate) struct Parsed {
    pub(crate) id: String,
    pub(crate) template: Template,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Where it stands in the source: start and size in bytes.
    pub(crate) place: (usize, usize),
}

/// Policies and schema, parsed.
pub(crate) struct Front {
    pub(crate) source: SourceText,
    pub(crate) policies: Vec<Parsed>,
    pub(crate) schema: Schema,
    /// The names of templates that nothing links.
    pub(crate) unlinked: Vec<String>,
    /// What the validator says, if there is a schema.
    pub(crate) validation: Vec<Problem>,
}

/// Parses policies, and a schema, and validates the ones against the other.
pub(crate) fn parse(policies: Named<'_>, schema: Option<Named<'_>>) -> Result<Front, Problems> {
    let source = policies.shared();
    let cedar_schema = schema.map(read_schema).transpose()?;
    check_size(&source, policies.text)?;
    let set = read_set(&source, policies).and_then(|set| named_by_annotation(&source, &set))?;
    let validation = match &cedar_schema {
        Some((schema, _)) => validate(&source, schema, &set),
        None => Vec::new(),
    };
    let mut problems = Vec::new();
    let mut parsed = Vec::new();
    let mut linked = HashSet::new();
    let mut behind = 0;
    for policy in set.policies() {
        linked.extend(policy.template_id().map(ToString::to_string));
        let place = place(policies.text, policy, &mut behind);
        match convert(policy, place) {
            Ok(policy) => parsed.push(policy),
            Err(message) => problems.push(Problem::error(&source, message).at(place.0, place.1)),
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let unlinked =
        set.templates().map(|template| template.id().to_string()).filter(|id| !linked.contains(id));
    Ok(Front {
        source,
        policies: parsed,
        schema: cedar_schema.map(|(_, schema)| schema).unwrap_or_default(),
        unlinked: unlinked.collect(),
        validation,
    })
}

fn check_size(source: &SourceText, text: &str) -> Result<(), Problems> {
    scan::check(text).map_err(|refusal| {
        Problems(vec![Problem::error(source, refusal.message).at(refusal.at, usize::from(!text.is_empty()))])
    })
}

fn cedar_errors(source: &SourceText, error: &dyn miette::Diagnostic) -> Problems {
    Problems(Problem::of_cedar(source, Severity::Error, error))
}

fn read_set(source: &SourceText, policies: Named<'_>) -> Result<PolicySet, Problems> {
    if policies.is_json() {
        PolicySet::from_json_str(policies.text).map_err(|error| cedar_errors(source, &error))
    } else {
        PolicySet::from_str(policies.text).map_err(|error| cedar_errors(source, &error))
    }
}

fn read_schema(schema: Named<'_>) -> Result<(cedar_policy::Schema, Schema), Problems> {
    let source = schema.shared();
    check_size(&source, schema.text)?;
    let text = if schema.is_json() {
        let fragment =
            SchemaFragment::from_json_str(schema.text).map_err(|error| cedar_errors(&source, &error))?;
        fragment.to_cedarschema().map_err(|error| cedar_errors(&source, &error))?
    } else {
        schema.text.to_owned()
    };
    let (cedar_schema, _) =
        cedar_policy::Schema::from_cedarschema_str(&text).map_err(|error| cedar_errors(&source, &error))?;
    let (json, _) = cedar_policy::schema_str_to_json_with_resolved_types(&text)
        .map_err(|error| cedar_errors(&source, &error))?;
    let resolved =
        Schema::from_resolved(&json).map_err(|message| Problems(vec![Problem::error(&source, message)]))?;
    Ok((cedar_schema, resolved))
}

/// The policies under the ids that their `@id` annotations give them. The others keep `policy0`, `policy1` and so on, as do those
/// whose annotation would give two of them one id.
fn named_by_annotation(source: &SourceText, set: &PolicySet) -> Result<PolicySet, Problems> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let templates = set.templates().map(|template| (template.id(), template.annotation("id")));
    let policies = set.policies().map(|policy| (policy.id(), policy.annotation("id")));
    for (id, annotation) in templates.chain(policies) {
        *taken.entry(id.as_ref()).or_default() += 1;
        if let Some(name) = annotation.filter(|name| *name != AsRef::<str>::as_ref(id)) {
            *taken.entry(name).or_default() += 1;
        }
    }
    let name = |id: &PolicyId, annotation: Option<&str>| match annotation {
        Some(name) if taken.get(name) == Some(&1) => PolicyId::new(name),
        _ => id.clone(),
    };
    let mut renamed = PolicySet::new();
    let mut problems = Vec::new();
    let mut report = |result: Result<(), cedar_policy::PolicySetError>| {
        if let Err(error) = result {
            problems.extend(Problem::of_cedar(source, Severity::Error, &error));
        }
    };
    for template in set.templates() {
        report(renamed.add_template(template.new_id(name(template.id(), template.annotation("id")))));
    }
    for policy in in_order(set) {
        report(match (policy.template_id(), policy.template_links()) {
            (Some(template), Some(values)) => {
                let annotation = set.template(template).and_then(|template| template.annotation("id"));
                renamed.link(name(template, annotation), policy.id().clone(), values)
            }
            _ => renamed.add(policy.new_id(name(policy.id(), policy.annotation("id")))),
        });
    }
    if problems.is_empty() { Ok(renamed) } else { Err(Problems(problems)) }
}

/// The policies in the order of the source: `policy9` before `policy10`.
fn in_order(set: &PolicySet) -> Vec<&Policy> {
    let mut policies: Vec<&Policy> = set.policies().collect();
    let number =
        |policy: &Policy| policy.id().to_string().strip_prefix("policy").and_then(|n| n.parse::<u64>().ok());
    policies.sort_by_cached_key(|policy| (number(policy).unwrap_or(u64::MAX), policy.id().to_string()));
    policies
}

fn validate(source: &SourceText, schema: &cedar_policy::Schema, set: &PolicySet) -> Vec<Problem> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let errors =
        result.validation_errors().flat_map(|error| Problem::of_cedar(source, Severity::Error, error));
    let warnings = result
        .validation_warnings()
        .flat_map(|warning| Problem::of_cedar(source, Severity::Warning, warning));
    errors.chain(warnings).collect()
}

/// Where a policy stands in the source, behind the one before it.
fn place(source: &str, policy: &Policy, behind: &mut usize) -> (usize, usize) {
    let Some(text) = policy.to_cedar() else { return (0, 0) };
    match source.get(*behind..).and_then(|rest| rest.find(&text)) {
        Some(at) => {
            let start = *behind + at;
            *behind = start + text.len();
            (start, text.len())
        }
        None => (0, 0),
    }
}

fn convert(policy: &Policy, place: (usize, usize)) -> Result<Parsed, String> {
    let id = policy.id().to_string();
    let fail = |error: &dyn std::fmt::Display| format!("policy `{id}` cannot be compiled: {error}");
    let policy_tree = match policy.to_pst() {
        Ok(tree) => tree,
        Err(_) => {
            let mut json = policy.to_json().map_err(|error| fail(&error))?;
            replace_wrong_calls(&mut json);
            let policy = Policy::from_json(Some(policy.id().clone()), json).map_err(|error| fail(&error))?;
            policy.to_pst().map_err(|error| fail(&error))?
        }
    };
    let template = match policy_tree {
        pst::Policy::Static(policy) => policy.body().clone(),
        pst::Policy::Linked(policy) => {
            policy.into_static_policy().map_err(|error| fail(&error))?.body().clone()
        }
    };
    let annotations = policy.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Parsed { id, template, annotations, place })
}
