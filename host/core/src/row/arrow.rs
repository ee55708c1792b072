//! Chunks that are the rows of an Arrow record batch.

use std::fmt;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{
    Array, BooleanArray, GenericStringArray, Int64Array, LargeStringArray, OffsetSizeTrait, RecordBatch,
    StringArray,
};
use arrow_schema::DataType;
use serde_json::{Map, Number, Value as Json, json};

use super::{Cell, Row};
use crate::input::InputError;
use crate::manifest::FootprintAttribute;

/// Lists and structs nest at most this deep, as JSON does.
const MAX_DEPTH: usize = 127;

/// The rows of a record batch, ready to be decided on.
///
/// An attribute is the column of its name, or inside a column of structs; one that has none is absent. Columns of booleans, 64-bit integers, texts and
/// lists of texts are read where they lie, dictionaries are converted once for each of their values, and everything else once for each
/// row.
///
/// A row is in no folder and has no tags, so that a rule that forbids because of one forbids nothing: a policy that reads ancestors or tags
/// wants chunks.
#[derive(Debug)]
pub struct ArrowRows<'a> {
    /// None if nobody reads them.
    ids: Vec<String>,
    count: usize,
    columns: Vec<Column<'a>>,
}

/// One of [`ArrowRows`].
#[derive(Clone, Copy, Debug)]
pub struct ArrowRow<'r> {
    rows: &'r ArrowRows<'r>,
    index: usize,
}

#[derive(Debug)]
enum Column<'a> {
    Absent,
    Bools(&'a BooleanArray),
    Longs(&'a Int64Array),
    Texts(&'a StringArray),
    LargeTexts(&'a LargeStringArray),
    /// For each row some of the texts, or none.
    Lists(Vec<Option<Range<usize>>>, Vec<&'a str>),
    /// One for each row.
    Values(Vec<Json>),
    /// For each row one of the values, or none.
    Coded(Vec<Option<usize>>, Vec<Json>),
}

impl<'a> ArrowRows<'a> {
    /// The rows of `batch` for a policy with this footprint. The chunks' ids are in the column `id`; without a name for it they have
    /// empty ones, which will do for a policy that reads none.
    ///
    /// # Errors
    /// If the column of ids is missing, or one is null; if a column that is read is there twice, or has a type that metadata has not: dates
    /// and times are texts, and decimals are texts or floats.
    pub fn new(
        batch: &'a RecordBatch,
        id: Option<&str>,
        footprint: &[FootprintAttribute],
    ) -> Result<Self, InputError> {
        let ids = id.map_or(Ok(Vec::new()), |id| ids(batch, id))?;
        let columns = footprint.iter().map(|entry| Column::new(batch, &entry.attribute.path));
        Ok(Self { ids, count: batch.num_rows(), columns: columns.collect::<Result<_, _>>()? })
    }

    /// The rows, in order.
    pub fn rows(&self) -> Vec<ArrowRow<'_>> {
        (0..self.count).map(|index| ArrowRow { rows: self, index }).collect()
    }
}

impl Row for ArrowRow<'_> {
    fn id(&self) -> &str {
        self.rows.ids.get(self.index).map_or("", String::as_str)
    }

    fn attribute(&self, position: usize, _: &[String]) -> Cell<'_> {
        let index = self.index;
        match self.rows.columns.get(position) {
            Some(Column::Bools(array)) if array.is_valid(index) => Cell::Bool(array.value(index)),
            Some(Column::Longs(array)) if array.is_valid(index) => Cell::Long(array.value(index)),
            Some(Column::Texts(array)) if array.is_valid(index) => Cell::Text(array.value(index)),
            Some(Column::LargeTexts(array)) if array.is_valid(index) => Cell::Text(array.value(index)),
            Some(Column::Lists(ranges, texts)) => {
                let range = ranges.get(index).cloned().flatten();
                range.and_then(|range| texts.get(range)).map_or(Cell::Absent, Cell::Texts)
            }
            Some(Column::Values(values)) => values.get(index).map_or(Cell::Absent, Cell::Json),
            Some(Column::Coded(codes, values)) => {
                let value = codes.get(index).copied().flatten().and_then(|code| values.get(code));
                value.map_or(Cell::Absent, Cell::Json)
            }
            _ => Cell::Absent,
        }
    }
}

impl<'a> Column<'a> {
    /// The column of an attribute.
    fn new(batch: &'a RecordBatch, path: &[String]) -> Result<Self, InputError> {
        let Some((name, inside)) = path.split_first() else { return Ok(Self::Absent) };
        let Some(array) = column(batch, name)? else { return Ok(Self::Absent) };
        let read = if inside.is_empty() {
            Self::whole(array)
        } else {
            all(array).map(|values| within(values, inside))
        };
        read.map_err(|reason| InputError::new(name, reason))
    }

    fn whole(array: &'a dyn Array) -> Result<Self, Unread> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bools(array.as_boolean()),
            DataType::Int64 => Self::Longs(array.as_primitive::<Int64Type>()),
            DataType::Utf8 => Self::Texts(array.as_string::<i32>()),
            DataType::LargeUtf8 => Self::LargeTexts(array.as_string::<i64>()),
            DataType::List(_) => Self::lists::<i32>(array)?,
            DataType::LargeList(_) => Self::lists::<i64>(array)?,
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                // Arrow asks for one value at least.
                if dictionary.values().is_empty() {
                    return Ok(Self::Absent);
                }
                let codes = dictionary.normalized_keys().into_iter().enumerate();
                let codes = codes.map(|(index, code)| array.is_valid(index).then_some(code)).collect();
                Self::Coded(codes, all(dictionary.values())?)
            }
            _ => Self::Values(all(array)?),
        })
    }

    fn lists<O: OffsetSizeTrait>(array: &'a dyn Array) -> Result<Self, Unread> {
        let lists = array.as_list::<O>();
        let offsets = lists.value_offsets();
        // An array that is a part of another has all elements of that.
        let (first, last) =
            (offsets.first().map_or(0, |o| o.as_usize()), offsets.last().map_or(0, |o| o.as_usize()));
        let elements = lists.values();
        let texts = match elements.data_type() {
            DataType::Utf8 => texts(elements.as_string::<i32>(), first..last),
            DataType::LargeUtf8 => texts(elements.as_string::<i64>(), first..last),
            _ => None,
        };
        let Some(texts) = texts else { return Ok(Self::Values(all(array)?)) };
        let range = |(index, ends): (usize, &[O])| match ends {
            [start, end] => array.is_valid(index).then(|| start.as_usize() - first..end.as_usize() - first),
            _ => None,
        };
        Ok(Self::Lists(offsets.windows(2).enumerate().map(range).collect(), texts))
    }
}

/// Some of the texts; none if one is null.
fn texts<O: OffsetSizeTrait>(array: &GenericStringArray<O>, which: Range<usize>) -> Option<Vec<&str>> {
    which.map(|index| array.is_valid(index).then(|| array.value(index))).collect()
}

fn ids(batch: &RecordBatch, name: &str) -> Result<Vec<String>, InputError> {
    let all = column(batch, name)?.ok_or_else(|| InputError::new(name, "there is no such column"))?;
    let id = |index| match value(all, index, 0) {
        Ok(Json::String(text)) => Ok(text),
        Ok(Json::Number(number)) => Ok(number.to_string()),
        Ok(_) => Err(InputError::new(format!("{name}, row {index}"), "is no id")),
        Err(reason) => Err(InputError::new(name, reason)),
    };
    (0..batch.num_rows()).map(id).collect()
}

/// What is inside of structs, row by row.
fn within<'a>(values: Vec<Json>, path: &[String]) -> Column<'a> {
    let inside = |mut json: Json| {
        for name in path {
            json = json.get_mut(name).map(Json::take).unwrap_or_default();
        }
        json
    };
    Column::Values(values.into_iter().map(inside).collect())
}

/// The column with a name, if there is one.
fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<Option<&'a dyn Array>, InputError> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let mut found = fields.filter(|(field, _)| field.name() == name).map(|(_, array)| &**array);
    let first = found.next();
    if found.next().is_some() {
        return Err(InputError::new(name, "there are two columns of this name"));
    }
    Ok(first)
}

/// A value whose type metadata has not.
#[derive(Debug)]
struct Unread(String);

impl fmt::Display for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn all(array: &dyn Array) -> Result<Vec<Json>, Unread> {
    (0..array.len()).map(|index| value(array, index, 0)).collect()
}

/// A value as JSON; null if there is none.
fn value(array: &dyn Array, index: usize, depth: usize) -> Result<Json, Unread> {
    if depth > MAX_DEPTH {
        return Err(Unread(format!("values nest deeper than {MAX_DEPTH} levels")));
    }
    if array.is_null(index) {
        return Ok(Json::Null);
    }
    macro_rules! number {
        ($kind:ty) => {
            json!(array.as_primitive::<$kind>().value(index))
        };
    }
    let list = |values: &dyn Array| {
        (0..values.len()).map(|index| value(values, index, depth + 1)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match array.data_type() {
        DataType::Null => Json::Null,
        DataType::Boolean => json!(array.as_boolean().value(index)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(index).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(index)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(index)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(index)),
        DataType::Utf8View => json!(array.as_string_view().value(index)),
        DataType::List(_) => Json::Array(list(&array.as_list::<i32>().value(index))?),
        DataType::LargeList(_) => Json::Array(list(&array.as_list::<i64>().value(index))?),
        DataType::Struct(fields) => {
            let mut object = Map::new();
            for (field, array) in fields.iter().zip(array.as_struct().columns()) {
                if object.insert(field.name().clone(), value(array, index, depth + 1)?).is_some() {
                    return Err(Unread(format!("there are two fields `{}`", field.name())));
                }
            }
            Json::Object(object)
        }
        other => {
            return Err(Unread(format!(
                "Arrow's type {other} is none of metadata: cast it, such as to text"
            )));
        }
    })
}

/// Present, and unreadable whatever is declared, if it is no number.
fn float(number: f64) -> Json {
    Number::from_f64(number).map_or_else(|| json!([null]), Json::Number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{
        LargeListBuilder, LargeStringBuilder, ListBuilder, StringBuilder, StringDictionaryBuilder,
    };
    use arrow_array::{ArrayRef, Date32Array, Float64Array, Int32Array, StructArray};
    use arrow_schema::Field;

    use super::*;
    use crate::chunk::Chunk;
    use crate::filter::Attribute;
    use crate::value::Value;

    fn footprint(paths: &[&[&str]]) -> Vec<FootprintAttribute> {
        let entry = |path: &&[&str]| {
            let path = path.iter().map(ToString::to_string).collect();
            FootprintAttribute { attribute: Attribute { path, declared: None }, optional: true }
        };
        paths.iter().map(entry).collect()
    }

    fn batch() -> RecordBatch {
        let mut roles = ListBuilder::new(StringBuilder::new());
        roles.append_value([Some("a"), Some("b")]);
        roles.append_null();
        roles.append_value([Some("a"), None]);
        let mut groups = LargeListBuilder::new(LargeStringBuilder::new());
        groups.append_value([Some("g"), Some("h")]);
        groups.append_value(std::iter::empty::<Option<&str>>());
        groups.append_null();
        let mut tenant = StringDictionaryBuilder::<arrow_array::types::Int8Type>::new();
        tenant.extend([Some("acme"), Some("globex"), Some("acme")]);
        let team: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("y")]));
        let owner = StructArray::from(vec![(Arc::new(Field::new("team", DataType::Utf8, true)), team)]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int32Array::from(vec![7, 8, 9]))),
            ("tenant", Arc::new(tenant.finish())),
            ("level", Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)]))),
            ("small", Arc::new(Int32Array::from(vec![Some(1), None, Some(-3)]))),
            ("name", Arc::new(StringArray::from(vec![Some("é"), Some(""), None]))),
            ("open", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("score", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None]))),
            ("roles", Arc::new(roles.finish())),
            ("groups", Arc::new(groups.finish())),
            ("title", Arc::new(LargeStringArray::from(vec![Some("t"), None, Some("")]))),
            ("owner", Arc::new(owner)),
            ("day", Arc::new(Date32Array::from(vec![1, 2, 3]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
            .unwrap()
    }

    #[test]
    fn columns_are_the_metadata_that_they_look_like() {
        let footprint = footprint(&[
            &["tenant"],
            &["level"],
            &["small"],
            &["name"],
            &["open"],
            &["score"],
            &["roles"],
            &["groups"],
            &["title"],
            &["owner", "team"],
            &["missing"],
            &["owner", "none"],
            &["name", "inside"],
        ]);
        let batch = batch();
        let rows = ArrowRows::new(&batch, Some("id"), &footprint).unwrap();
        let expected = [
            r#"{"tenant":"acme","level":1,"small":1,"name":"é","open":true,"score":1.5,"roles":["a","b"],"groups":["g","h"],"title":"t","owner":{"team":"x"}}"#,
            r#"{"tenant":"globex","name":"","open":false,"score":[null],"groups":[]}"#,
            r#"{"tenant":"acme","level":-3,"small":-3,"roles":["a",null],"title":"","owner":{"team":"y"}}"#,
        ];
        assert_eq!(rows.rows().len(), 3);
        for ((row, expected), id) in rows.rows().iter().zip(expected).zip(["7", "8", "9"]) {
            let expected = Chunk { attributes: serde_json::from_str(expected).unwrap(), ..Chunk::new(id) };
            assert_eq!(row.to_chunk(&footprint).unwrap(), expected);
            for (position, entry) in footprint.iter().enumerate() {
                let path = &entry.attribute.path;
                assert_eq!(
                    row.attribute(position, path).read(None),
                    Ok(expected.read(path, None)),
                    "{path:?}"
                );
            }
        }
        // What is no number is there, and cannot be read.
        let [_, second, _] = rows.rows()[..] else { panic!("there are three") };
        assert!(matches!(second.attribute(5, &[]).read(None), Ok(Some(Value::IllTyped(_)))));
    }

    #[test]
    fn a_part_of_a_batch_is_read_as_in_the_whole() {
        let footprint = footprint(&[&["roles"], &["groups"], &["title"], &["name"]]);
        let batch = batch();
        let whole = ArrowRows::new(&batch, None, &footprint).unwrap();
        let part = batch.slice(1, 2);
        let part = ArrowRows::new(&part, None, &footprint).unwrap();
        for (row, same) in part.rows().iter().zip(&whole.rows()[1..]) {
            assert_eq!(row.to_chunk(&footprint).unwrap(), same.to_chunk(&footprint).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_read_names_its_column() {
        let batch = batch();
        for (id, path, message) in [
            ("none", "tenant", "none: there is no such column"),
            ("open", "tenant", "open, row 0: is no id"),
            ("name", "tenant", "name, row 2: is no id"),
            ("id", "day", "day: Arrow's type Date32 is none of metadata: cast it, such as to text"),
        ] {
            let error = ArrowRows::new(&batch, Some(id), &footprint(&[&[path]])).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let fields = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = arrow_schema::Schema::new(vec![fields("id"), fields("a"), fields("a")]);
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![array.clone(), array.clone(), array]).unwrap();
        let error = ArrowRows::new(&batch, Some("id"), &footprint(&[&["a"]])).unwrap_err();
        assert_eq!(error.to_string(), "a: there are two columns of this name");
    }

    #[test]
    fn a_batch_without_rows_has_none() {
        let batch = batch().slice(0, 0);
        assert!(ArrowRows::new(&batch, Some("id"), &footprint(&[&["tenant"]])).unwrap().rows().is_empty());
        let values = StringDictionaryBuilder::<arrow_array::types::Int8Type>::new().finish();
        let values: ArrayRef = Arc::new(values);
        assert!(matches!(Column::whole(&values), Ok(Column::Absent)));
    }
}
