//! Rewrites: how a policy narrows a search before it runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::decision::PolicyError;
use crate::filter::{Attribute, Filter};

/// What is about to be searched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The name of the collection or table.
    pub collection: String,
    /// How many chunks are wanted.
    pub k: u32,
}

/// How to narrow a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// Matches every chunk that the policy would allow, and possibly more.
    pub filter: Arc<Filter>,
    /// Whether the filter matches only chunks that the policy would allow.
    pub exact: bool,
    /// Attributes that the filter gate will need.
    pub needs: Arc<BTreeSet<Attribute>>,
    /// Rules that failed for this request.
    pub errors: BTreeSet<PolicyError>,
    /// Rules that the filter says only in part.
    pub partial: BTreeSet<String>,
}

impl Rewrite {
    /// The rewrite for a request in which `self` holds for one principal and `other` for another.
    #[must_use]
    pub fn intersect(mut self, other: Rewrite) -> Rewrite {
        self.filter = Filter::and([self.filter, other.filter].map(Arc::unwrap_or_clone)).into();
        self.exact = self.exact && other.exact;
        // Mostly they are those of one policy.
        if !Arc::ptr_eq(&self.needs, &other.needs) {
            Arc::make_mut(&mut self.needs).extend(other.needs.iter().cloned());
        }
        self.errors.extend(other.errors);
        self.partial.extend(other.partial);
        self
    }

    /// Writes `{"filter", "exact", "needs"}`. Errors are for the operator and not part of it.
    pub fn to_json(&self) -> Json {
        let needs: Vec<Json> = self.needs.iter().map(Attribute::to_json).collect();
        json!({"filter": self.filter.to_json(), "exact": self.exact, "needs": needs})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Operand, Test};

    fn exists(name: &str) -> (Attribute, Filter) {
        let attribute = Attribute { path: vec![name.to_owned()], declared: None };
        (attribute.clone(), Filter::Test(Operand::Attribute(attribute.into()), Test::Exists))
    }

    fn rewrite(name: &str, exact: bool) -> Rewrite {
        let (attribute, filter) = exists(name);
        Rewrite {
            filter: filter.into(),
            exact,
            needs: Arc::new([attribute].into()),
            errors: BTreeSet::new(),
            partial: [name.to_owned()].into(),
        }
    }

    #[test]
    fn intersection_narrows_and_is_exact_only_if_both_are() {
        let both = rewrite("a", true).intersect(rewrite("b", true));
        assert_eq!(*both.filter, Filter::And(vec![exists("a").1, exists("b").1]));
        assert!(both.exact);
        assert_eq!(both.needs.len(), 2);
        assert!(!rewrite("a", false).intersect(rewrite("b", true)).exact);
        assert!(!rewrite("a", true).intersect(rewrite("b", false)).exact);
    }

    #[test]
    fn a_rewrite_is_written_without_its_errors() {
        let error = PolicyError { policy: "p".to_owned(), message: "detail".to_owned() };
        let rewrite = Rewrite { errors: [error].into(), ..rewrite("a", true) };
        let filter = json!({"op": "exists", "attr": ["a"]});
        assert_eq!(rewrite.to_json(), json!({"filter": filter, "exact": true, "needs": [{"attr": ["a"]}]}));
    }

    #[test]
    fn intersection_folds_constants() {
        let with = |filter| Rewrite { filter: Arc::new(filter), ..rewrite("a", true) };
        assert_eq!(*with(Filter::Never).intersect(rewrite("b", true)).filter, Filter::Never);
        assert_eq!(*rewrite("b", true).intersect(with(Filter::Never)).filter, Filter::Never);
        assert_eq!(*with(Filter::Always).intersect(rewrite("b", true)).filter, exists("b").1);
        assert_eq!(*with(Filter::Always).intersect(with(Filter::Always)).filter, Filter::Always);
    }
}
