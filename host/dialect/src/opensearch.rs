//! OpenSearch: a query for the `filter` of a vector search or of a `bool`, as Elasticsearch takes it and with the mappings assumed there.

use serde_json::Value as Json;
use tamis_core::Filter;

use crate::elasticsearch::query;
use crate::fields::Fields;
use crate::{Dialect, Translation};

/// An index whose documents hold chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenSearch {
    /// Where in the documents things are.
    pub fields: Fields,
}

impl Dialect for OpenSearch {
    type Native = Json;

    fn name(&self) -> &'static str {
        "opensearch"
    }

    fn translate(&self, filter: &Filter) -> Translation<Json> {
        query(filter, &self.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Elasticsearch;

    #[test]
    fn queries_are_those_of_elasticsearch() {
        let mut filter = r#"{"op":"equals","attr":["a"],"type":"Long","value":1}"#.to_owned();
        for depth in 0..20 {
            let fields = Fields { admitted: true, ..Fields::default() };
            let parsed = Filter::from_json(&filter).unwrap();
            let translation = OpenSearch { fields: fields.clone() }.translate(&parsed);
            assert_eq!(translation.is_exact(), depth < 15, "{depth}");
            assert_eq!(translation, Elasticsearch { fields }.translate(&parsed));
            let op = if depth % 2 == 0 { "or" } else { "and" };
            let other = format!(r#"{{"op":"equals","attr":["b"],"type":"Long","value":{depth}}}"#);
            filter = format!(r#"{{"op":"{op}","args":[{other},{filter}]}}"#);
        }
    }
}
