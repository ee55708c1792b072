//! Elasticsearch: a query for the `filter` of a search, of its vector or of a `bool`. OpenSearch shares it.
//!
//! The index is assumed to have these mappings; the default one, which analyses texts and keeps those of 256 characters at most, will
//! not do:
//!
//! | what | mapped as |
//! |---|---|
//! | texts of every kind, entities, times, durations, addresses, and what has no declared type | `keyword`, with neither `ignore_above` nor `normalizer` |
//! | whole numbers, booleans, decimals | `long`, `boolean`, `double` |
//! | records | `object`, not `flattened` or `nested` |
//! | type, id and ancestors of the chunk | `keyword` |
//!
//! with `"dynamic": "strict"` and without `ignore_malformed`: a filter misses what is stored but not indexed.
//!
//! A field holds any number of values, so a test holds if one of them meets it, and the fields of objects in an array are those of one.
//! Values are coerced: a number in quotes is a number, and a whole one without what is behind its point. So tests are exact only where every
//! chunk passed the admit gate, and never of an attribute inside another. An absent value, null and an empty array are one to Elasticsearch.
//! A minus zero is less than zero to it; the admit gate stores none.
//!
//! A search fails as a whole if a value is not what its field is mapped as takes: if an attribute is a `long`, a filter that knows no type for
//! it must not compare it with a text. It also fails if it is longer than `http.max_content_length`, 100 MB.

use serde_json::{Value as Json, json};
use tamis_core::Type;
use tamis_core::filter::{Comparison, Filter};

use crate::fields::Fields;
use crate::plan::{Atom, Field, Limits, Plan, Scalar, Verdict};
use crate::planner::plan_by_type;
use crate::{Dialect, Translation};

/// `index.max_terms_count` is 65 536. A `bool` is inside 20 others at most in Elasticsearch 7, 30 in 8, of which the search around the filter
/// takes some; OpenSearch was seen to take 200.
const LIMITS: Limits = Limits { list: 65_536, values: 200_000, depth: 15 };
/// `indices.query.bool.max_clause_count` is 1024, in later versions of Elasticsearch only where there is the least memory. It is for the
/// whole search, so some are for what is around the filter.
const MAX_CLAUSES: usize = 1000;
/// The longest keyword that an index takes, in bytes. Nothing longer is stored, and Elasticsearch fails a search for it.
const MAX_KEYWORD: usize = 32_766;
/// The longest prefix, in bytes: Lucene makes an automaton of it that has a state for each, and takes no more than these. In Elasticsearch
/// `index.max_regex_length` is the same.
const MAX_PREFIX: usize = 1000;

/// An index whose documents hold chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elasticsearch {
    /// Where in the documents things are.
    pub fields: Fields,
}

impl Dialect for Elasticsearch {
    type Native = Json;

    fn name(&self) -> &'static str {
        "elasticsearch"
    }

    fn translate(&self, filter: &Filter) -> Translation<Json> {
        query(filter, &self.fields)
    }
}

/// The query that a filter becomes.
pub(crate) fn query(filter: &Filter, fields: &Fields) -> Translation<Json> {
    let (planned, mut widened) = plan_by_type(filter, fields, LIMITS, &judge);
    let planned = planned.with_most(MAX_CLAUSES, clauses, &mut widened);
    Translation { native: write(&planned), widened }
}

/// How many clauses a plan counts as, at most. For a number Lucene has several ways to find it, and counts each: two, and three in an
/// index that is sorted by it. A list counts as one, and a negation as one more.
fn clauses(plan: &Plan) -> usize {
    match plan {
        Plan::Always | Plan::Never => 1,
        Plan::And(parts) | Plan::Or(parts) => parts.iter().map(clauses).sum(),
        Plan::Not(inner) => clauses(inner) + 1,
        Plan::Test(_, atom) => {
            let is_number = |value: &Scalar| matches!(value, Scalar::Integer(_) | Scalar::Number(_));
            let each = if atom.values().first().is_some_and(is_number) { 3 } else { 2 };
            if let Atom::ContainsAll(values, _) = atom { values.len() * each } else { each }
        }
    }
}

fn judge(field: &Field, atom: &Atom, stored: Option<&Type>) -> Verdict {
    let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
    let wider = |why: &str| Verdict::Wider(why.to_owned());
    let is_long = |value: &Scalar| matches!(value, Scalar::Text(text) if text.len() > MAX_KEYWORD);
    if name(field).is_none() {
        return inexpressible("a name that stands for something else in a query");
    }
    if atom.values().iter().any(is_long) {
        return inexpressible("a text that is too long for a keyword");
    }
    if matches!(atom, Atom::StartsWith(prefix) if prefix.len() > MAX_PREFIX) {
        return inexpressible("a text that is too long to begin with");
    }
    match (atom, stored) {
        (Atom::IsArray(_), _) | (Atom::Present, None | Some(Type::Set(_) | Type::Record(_))) => {
            inexpressible("an empty set cannot be told from none")
        }
        // In the order of texts, should they be mapped so, 10 is before 9.
        (Atom::Compare(..), None) => inexpressible("the order of what may be of any type"),
        (_, None) => wider("whether it is a value of the type that it is compared with"),
        _ if matches!(field, Field::Attribute(path) if path.len() > 1) => {
            wider("whether it is inside objects, and not in an array of them")
        }
        _ => Verdict::Exact,
    }
}

/// The name of a field, with dots between the parts of its path. A part with a dot would be several, `*` stands for any name, and what
/// begins with `_` is the index's own.
fn name(field: &Field) -> Option<String> {
    let path = match field {
        Field::Attribute(path) => path.as_slice(),
        Field::Column(name) => std::slice::from_ref(name),
    };
    let is_plain = |name: &String| !name.trim().is_empty() && !name.contains(['.', '*']);
    let is_own = path.first().is_some_and(|name| name.starts_with('_'));
    if path.iter().all(is_plain) && !is_own { Some(path.join(".")) } else { None }
}

fn write(plan: &Plan) -> Json {
    let all = |plans: &[Plan]| plans.iter().map(write).collect::<Vec<_>>();
    match plan {
        // An empty `bool` matches everything.
        Plan::Always => json!({"match_all": {}}),
        Plan::Never => json!({"match_none": {}}),
        Plan::And(plans) => json!({"bool": {"filter": all(plans)}}),
        Plan::Or(plans) => json!({"bool": {"should": all(plans), "minimum_should_match": 1}}),
        Plan::Not(inner) => json!({"bool": {"must_not": [write(inner)]}}),
        Plan::Test(field, atom) => match name(field) {
            Some(name) => test(&name, atom),
            // The judge lets no other name pass.
            None => write(&Plan::Always),
        },
    }
}

fn test(name: &str, atom: &Atom) -> Json {
    // A list even of one: `terms` takes single values beside it for parameters of its own.
    let terms = |values: &[Scalar]| {
        let values: Vec<Json> = values.iter().map(Scalar::to_json).collect();
        json!({"terms": {(name): values}})
    };
    match atom {
        Atom::Present | Atom::Is(_) | Atom::IsArray(_) => json!({"exists": {"field": name}}),
        Atom::OneOf(values) | Atom::ContainsAny(values, _) => terms(values),
        Atom::ContainsAll(values, _) => {
            let each = values.iter().map(|value| terms(std::slice::from_ref(value)));
            json!({"bool": {"filter": each.collect::<Vec<_>>()}})
        }
        Atom::Compare(comparison, bound) => {
            let operator = match comparison {
                Comparison::Less => "lt",
                Comparison::LessOrEqual => "lte",
                Comparison::Greater => "gt",
                Comparison::GreaterOrEqual => "gte",
            };
            json!({"range": {(name): {(operator): bound.to_json()}}})
        }
        Atom::StartsWith(prefix) => json!({"prefix": {(name): {"value": prefix}}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, admitted: bool) -> (Json, Vec<String>) {
        let fields = Fields { admitted, ..Fields::default() };
        let translation = Elasticsearch { fields }.translate(&Filter::from_json(text).unwrap());
        (translation.native, translation.widened)
    }

    #[test]
    fn filters_become_queries() {
        let user = r#"{"__entity":{"type":"User","id":"u"}}"#;
        let a = r#"{"op":"equals","attr":["a"],"type":"String","value":"x"}"#;
        let b = r#"{"op":"one-of","attr":["boost"],"type":"Long","values":[1,-9223372036854775808]}"#;
        let terms = json!({"terms": {"a": ["x"]}});
        let boost = json!({"terms": {"boost": [1, i64::MIN]}});
        for (filter, native) in [
            (r#"{"op":"always"}"#.to_owned(), json!({"match_all": {}})),
            (r#"{"op":"never"}"#.to_owned(), json!({"match_none": {}})),
            (r#"{"op":"or","args":[]}"#.to_owned(), json!({"match_none": {}})),
            (r#"{"op":"and","args":[]}"#.to_owned(), json!({"match_all": {}})),
            (format!(r#"{{"op":"and","args":[{a},{b}]}}"#), json!({"bool": {"filter": [terms, boost]}})),
            (
                format!(r#"{{"op":"or","args":[{a},{b}]}}"#),
                json!({"bool": {"should": [terms, boost], "minimum_should_match": 1}}),
            ),
            (format!(r#"{{"op":"not","arg":{a}}}"#), json!({"bool": {"must_not": [terms]}})),
            (r#"{"op":"exists","attr":["a"],"type":"Long"}"#.to_owned(), json!({"exists": {"field": "a"}})),
            (
                r#"{"op":"less","attr":["a"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#
                    .to_owned(),
                json!({"range": {"a": {"lt": "2026-01-01T00:00:00.000Z"}}}),
            ),
            (
                r#"{"op":"starts-with","attr":["a"],"type":"String","value":"x*"}"#.to_owned(),
                json!({"prefix": {"a": {"value": "x*"}}}),
            ),
            (
                format!(r#"{{"op":"contains-any","on":"ancestors","values":[{user}]}}"#),
                json!({"terms": {"ancestors": ["[\"User\",\"u\"]"]}}),
            ),
            (
                r#"{"op":"contains-all","attr":["a"],"type":"Set<Bool>","values":[true,false]}"#.to_owned(),
                json!({"bool": {"filter": [{"terms": {"a": [true]}}, {"terms": {"a": [false]}}]}}),
            ),
        ] {
            assert_eq!(translated(&filter, true), (native, vec![]), "{filter}");
        }
    }

    #[test]
    fn what_a_field_of_many_values_hides_widens() {
        for (filter, native, admitted) in [
            (
                r#"{"op":"equals","attr":["a"],"type":"String","value":"x"}"#,
                json!({"terms": {"a": ["x"]}}),
                false,
            ),
            (r#"{"op":"equals","attr":["a"],"value":"x"}"#, json!({"terms": {"a": ["x"]}}), true),
            (
                r#"{"op":"equals","attr":["a","b"],"type":"String","value":"x"}"#,
                json!({"terms": {"a.b": ["x"]}}),
                true,
            ),
        ] {
            let (translated, widened) = translated(filter, admitted);
            assert_eq!((translated, widened.len()), (native, 1), "{filter}");
            let not = format!(r#"{{"op":"not","arg":{filter}}}"#);
            assert_eq!(super::tests::translated(&not, admitted).0, json!({"match_all": {}}), "{not}");
        }
    }

    #[test]
    fn what_elasticsearch_cannot_tell_is_left_out() {
        let long =
            format!(r#"{{"op":"equals","attr":["a"],"type":"String","value":"{}"}}"#, "x".repeat(40_000));
        let prefix =
            format!(r#"{{"op":"starts-with","attr":["a"],"type":"String","value":"{}"}}"#, "é".repeat(501));
        for filter in [
            r#"{"op":"exists","attr":["a"],"type":"Set<String>"}"#,
            r#"{"op":"exists","attr":["a"]}"#,
            r#"{"op":"less","attr":["a"],"value":1}"#,
            r#"{"op":"equals","attr":["a.b"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["a*"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["_id"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":[" "],"type":"Long","value":1}"#,
            &long,
            &prefix,
        ] {
            let (native, widened) = translated(filter, true);
            assert_eq!((native, widened.len()), (json!({"match_all": {}}), 1), "{filter}");
        }
    }

    #[test]
    fn clauses_are_counted_as_lucene_does() {
        let test = |text: &str| {
            let fields = Fields { admitted: true, ..Fields::default() };
            clauses(&plan_by_type(&Filter::from_json(text).unwrap(), &fields, LIMITS, &judge).0)
        };
        let number = r#"{"op":"one-of","attr":["a"],"type":"Long","values":[1,2]}"#;
        let text = r#"{"op":"equals","attr":["b"],"type":"String","value":"x"}"#;
        for (filter, expected) in [
            (number.to_owned(), 3),
            (text.to_owned(), 2),
            (format!(r#"{{"op":"not","arg":{number}}}"#), 4),
            (format!(r#"{{"op":"or","args":[{number},{text}]}}"#), 5),
            (r#"{"op":"contains-any","attr":["a"],"type":"Set<Long>","values":[1,2]}"#.to_owned(), 3),
            (r#"{"op":"contains-all","attr":["a"],"type":"Set<Long>","values":[1,2]}"#.to_owned(), 6),
        ] {
            assert_eq!(test(&filter), expected, "{filter}");
        }
    }
}
