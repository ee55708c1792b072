//! The public JSON form of a filter.
//!
//! ```text
//! filter  = {"op":"always"} | {"op":"never"}
//!         | {"op":"and","args":[filter…]} | {"op":"or","args":[filter…]} | {"op":"not","arg":filter}
//!         | {"op":"exists"|"readable", operand}
//!         | {"op":"equals"|"less"|"less-or-equal"|"greater"|"greater-or-equal"|"starts-with", operand, "value":value}
//!         | {"op":"one-of"|"contains-any"|"contains-all", operand, "values":[value…]}
//! operand = "attr":[name…] , "type":"Long"      the type is optional; without it the value is read as it is
//!         | "on":"entity-type" | "on":"id" | "on":"ancestors"
//! value   = JSON by Cedar's conventions: {"__entity":{"type","id"}}, {"__extn":{"fn","arg"}}
//! ```

use serde_json::{Map, Value as Json, json};

use super::{Attribute, Comparison, Filter, Operand, Test};
use crate::input::{self, InputError};
use crate::metadata;
use crate::value::Value;

/// Filters nest at most this deep. Real databases give up between 48 and 1 000 levels.
pub const MAX_DEPTH: usize = 100;

impl Filter {
    /// Reads a filter from JSON text.
    ///
    /// # Errors
    /// For JSON that is not a filter, with the path of the offence; for nesting deeper than [`MAX_DEPTH`].
    pub fn from_json(text: &str) -> Result<Self, InputError> {
        Self::from_json_value(&input::parse_json(text)?)
    }

    /// Reads a filter from parsed JSON.
    ///
    /// # Errors
    /// As [`Filter::from_json`].
    pub fn from_json_value(json: &Json) -> Result<Self, InputError> {
        read_filter(json, "filter", 0)
    }

    /// Writes the filter so that [`Filter::from_json_value`] gives it back.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Always => json!({"op": "always"}),
            Self::Never => json!({"op": "never"}),
            Self::And(filters) => json!({"op": "and", "args": to_json_all(filters)}),
            Self::Or(filters) => json!({"op": "or", "args": to_json_all(filters)}),
            Self::Not(filter) => json!({"op": "not", "arg": filter.to_json()}),
            Self::Test(operand, test) => {
                let mut object = Map::new();
                write_test(test, &mut object);
                write_operand(operand, &mut object);
                Json::Object(object)
            }
        }
    }
}

impl Attribute {
    /// Writes `{"attr":[…],"type":"…"}`.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        self.write(&mut object);
        Json::Object(object)
    }

    fn write(&self, object: &mut Map<String, Json>) {
        object.insert("attr".to_owned(), json!(self.path));
        if let Some(declared) = &self.declared {
            object.insert("type".to_owned(), json!(declared.to_string()));
        }
    }
}

impl Comparison {
    const NAMES: [(&'static str, Comparison); 4] = [
        ("less", Self::Less),
        ("less-or-equal", Self::LessOrEqual),
        ("greater", Self::Greater),
        ("greater-or-equal", Self::GreaterOrEqual),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Less => "less",
            Self::LessOrEqual => "less-or-equal",
            Self::Greater => "greater",
            Self::GreaterOrEqual => "greater-or-equal",
        }
    }
}

fn to_json_all(filters: &[Filter]) -> Vec<Json> {
    filters.iter().map(Filter::to_json).collect()
}

fn write_operand(operand: &Operand, object: &mut Map<String, Json>) {
    match operand {
        Operand::Attribute(attribute) => attribute.write(object),
        Operand::EntityType => {
            object.insert("on".to_owned(), json!("entity-type"));
        }
        Operand::Id => {
            object.insert("on".to_owned(), json!("id"));
        }
        Operand::Ancestors => {
            object.insert("on".to_owned(), json!("ancestors"));
        }
    }
}

fn write_test(test: &Test, object: &mut Map<String, Json>) {
    let all = |values: &[Value]| values.iter().map(metadata::write).collect();
    let (op, operands) = match test {
        Test::Exists => ("exists", None),
        Test::Readable => ("readable", None),
        Test::Equals(value) => ("equals", Some(("value", metadata::write(value)))),
        Test::Compare(comparison, value) => (comparison.name(), Some(("value", metadata::write(value)))),
        Test::StartsWith(prefix) => ("starts-with", Some(("value", json!(prefix)))),
        Test::OneOf(values) => ("one-of", Some(("values", all(values)))),
        Test::ContainsAny(values) => ("contains-any", Some(("values", all(values)))),
        Test::ContainsAll(values) => ("contains-all", Some(("values", all(values)))),
    };
    object.insert("op".to_owned(), json!(op));
    if let Some((name, json)) = operands {
        object.insert(name.to_owned(), json);
    }
}

/// The members of one JSON object, with the place of the object for errors. Members are taken one by one; what is
/// left at the end is unknown.
struct Members<'a> {
    object: Map<String, Json>,
    place: &'a str,
}

impl Members<'_> {
    fn take(&mut self, name: &str) -> Result<Json, InputError> {
        self.object
            .remove(name)
            .ok_or_else(|| InputError::new(self.place, format!("the member `{name}` is missing")))
    }

    fn take_array(&mut self, name: &str) -> Result<Vec<Json>, InputError> {
        match self.take(name)? {
            Json::Array(elements) => Ok(elements),
            _ => Err(InputError::new(format!("{}.{name}", self.place), "is not an array")),
        }
    }

    fn value(&mut self) -> Result<Value, InputError> {
        read_value(&self.take("value")?, &format!("{}.value", self.place))
    }

    fn values(&mut self) -> Result<Vec<Value>, InputError> {
        let elements = self.take_array("values")?;
        let place = |index| format!("{}.values[{index}]", self.place);
        elements.iter().enumerate().map(|(index, json)| read_value(json, &place(index))).collect()
    }

    fn operand(&mut self) -> Result<Operand, InputError> {
        if let Some(on) = self.object.remove("on") {
            return match on.as_str() {
                Some("entity-type") => Ok(Operand::EntityType),
                Some("id") => Ok(Operand::Id),
                Some("ancestors") => Ok(Operand::Ancestors),
                _ => Err(InputError::new(
                    format!("{}.on", self.place),
                    "is none of `entity-type`, `id` and `ancestors`",
                )),
            };
        }
        let place = format!("{}.attr", self.place);
        let names = self.take_array("attr")?.into_iter().map(|name| match name {
            Json::String(name) => Ok(name),
            _ => Err(InputError::new(&place, "holds something that is not a name")),
        });
        let path = names.collect::<Result<Vec<_>, _>>()?;
        if path.is_empty() {
            return Err(InputError::new(place, "is empty"));
        }
        let declared = match self.object.remove("type") {
            None => None,
            Some(Json::String(text)) => {
                let parsed = text.parse().map_err(|e| InputError::new(format!("{}.type", self.place), e))?;
                Some(parsed)
            }
            Some(_) => return Err(InputError::new(format!("{}.type", self.place), "is not a string")),
        };
        Ok(Operand::Attribute(Attribute { path, declared }.into()))
    }

    fn finish(self) -> Result<(), InputError> {
        match self.object.keys().next() {
            None => Ok(()),
            Some(name) => Err(InputError::new(self.place, format!("unknown member `{name}`"))),
        }
    }
}

fn read_value(json: &Json, place: &str) -> Result<Value, InputError> {
    let value = metadata::read(json, None).ok_or_else(|| InputError::new(place, "is null"))?;
    match value.ill_typed() {
        None => Ok(value),
        Some(reason) => Err(InputError::new(place, reason)),
    }
}

fn read_filter(json: &Json, place: &str, depth: usize) -> Result<Filter, InputError> {
    if depth > MAX_DEPTH {
        return Err(InputError::new("filter", format!("nests deeper than {MAX_DEPTH} levels")));
    }
    let Json::Object(object) = json else {
        return Err(InputError::new(place, "is not an object"));
    };
    let mut members = Members { object: object.clone(), place };
    let op = members.take("op")?;
    let Some(op) = op.as_str() else {
        return Err(InputError::new(format!("{place}.op"), "is not a string"));
    };
    let filter = match op {
        "always" => Filter::Always,
        "never" => Filter::Never,
        "and" | "or" => {
            let mut filters = Vec::new();
            for (index, json) in members.take_array("args")?.iter().enumerate() {
                filters.push(read_filter(json, &format!("{place}.args[{index}]"), depth + 1)?);
            }
            if op == "and" { Filter::And(filters) } else { Filter::Or(filters) }
        }
        "not" => {
            let inner = members.take("arg")?;
            Filter::Not(Box::new(read_filter(&inner, &format!("{place}.arg"), depth + 1)?))
        }
        _ => Filter::Test(members.operand()?, read_test(op, &mut members)?),
    };
    members.finish()?;
    Ok(filter)
}

fn read_test(op: &str, members: &mut Members<'_>) -> Result<Test, InputError> {
    if let Some((_, comparison)) = Comparison::NAMES.iter().find(|(name, _)| *name == op) {
        return Ok(Test::Compare(*comparison, members.value()?));
    }
    match op {
        "exists" => Ok(Test::Exists),
        "readable" => Ok(Test::Readable),
        "equals" => Ok(Test::Equals(members.value()?)),
        "one-of" => Ok(Test::OneOf(members.values()?.into())),
        "contains-any" => Ok(Test::ContainsAny(members.values()?.into())),
        "contains-all" => Ok(Test::ContainsAll(members.values()?.into())),
        "starts-with" => match members.value()? {
            Value::String(prefix) => Ok(Test::StartsWith(prefix)),
            _ => Err(InputError::new(format!("{}.value", members.place), "is not a string")),
        },
        _ => Err(InputError::new(format!("{}.op", members.place), format!("`{op}` is not an operation"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_written() {
        for text in [
            r#"{"op":"always"}"#,
            r#"{"args":[{"op":"never"},{"arg":{"op":"always"},"op":"not"}],"op":"or"}"#,
            r#"{"args":[],"op":"and"}"#,
            r#"{"attr":["a.b","\"$"],"op":"exists"}"#,
            r#"{"attr":["a"],"op":"readable","type":"Set<Entity<Group>>"}"#,
            r#"{"attr":["a"],"op":"equals","value":{"__entity":{"id":"x","type":"User"}}}"#,
            r#"{"on":"entity-type","op":"equals","value":"Chunk"}"#,
            r#"{"on":"id","op":"one-of","values":["a",1,true]}"#,
            r#"{"on":"ancestors","op":"contains-any","values":[]}"#,
            r#"{"attr":["a"],"op":"contains-all","values":[[1],{"a":2}]}"#,
            r#"{"attr":["a"],"op":"less","value":1}"#,
            r#"{"attr":["a"],"op":"less-or-equal","value":{"__extn":{"arg":"1.5000","fn":"decimal"}}}"#,
            r#"{"attr":["a"],"op":"greater","value":1}"#,
            r#"{"attr":["a"],"op":"greater-or-equal","value":1}"#,
            r#"{"attr":["a"],"op":"starts-with","value":"x"}"#,
        ] {
            let written = Filter::from_json(text).unwrap().to_json();
            assert_eq!(written, serde_json::from_str::<Json>(text).unwrap());
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for (text, message) in [
            ("[]", "filter: is not an object"),
            ("{}", "filter: the member `op` is missing"),
            (r#"{"op":1}"#, "filter.op: is not a string"),
            (r#"{"op":"eq","attr":["a"],"value":1}"#, "filter.op: `eq` is not an operation"),
            (r#"{"op":"and"}"#, "filter: the member `args` is missing"),
            (r#"{"op":"and","args":{}}"#, "filter.args: is not an array"),
            (r#"{"op":"and","args":[{"op":"not","arg":3}]}"#, "filter.args[0].arg: is not an object"),
            (r#"{"op":"always","x":1}"#, "filter: unknown member `x`"),
            (r#"{"op":"exists","attr":[]}"#, "filter.attr: is empty"),
            (r#"{"op":"exists","attr":[1]}"#, "filter.attr: holds something that is not a name"),
            (r#"{"op":"exists","attr":["a"],"type":"Int"}"#, "filter.type: `Int` is not a type"),
            (r#"{"op":"exists","attr":["a"],"type":3}"#, "filter.type: is not a string"),
            (r#"{"op":"exists","on":"text"}"#, "filter.on: is none of"),
            (r#"{"op":"equals","attr":["a"],"value":null}"#, "filter.value: is null"),
            (r#"{"op":"equals","attr":["a"],"value":1.5}"#, "filter.value: the number 1.5"),
            (r#"{"op":"one-of","attr":["a"],"values":[1,null]}"#, "filter.values[1]: is null"),
            (r#"{"op":"starts-with","attr":["a"],"value":1}"#, "filter.value: is not a string"),
        ] {
            let error = Filter::from_json(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let around: [fn(Filter) -> Filter; 3] = [
            |inner| Filter::Not(Box::new(inner)),
            |inner| Filter::And(vec![inner]),
            |inner| Filter::Or(vec![inner]),
        ];
        for wrap in around {
            let nested = |levels: usize| (0..levels).fold(Filter::Always, |inner, _| wrap(inner)).to_json();
            assert!(Filter::from_json_value(&nested(MAX_DEPTH)).is_ok());
            let error = Filter::from_json_value(&nested(MAX_DEPTH + 1)).unwrap_err();
            assert_eq!(error.to_string(), "filter: nests deeper than 100 levels");
        }
    }
}
