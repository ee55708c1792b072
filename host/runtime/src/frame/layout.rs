//! Which columns a policy wants, checked against its footprint.

use tamis_core::Type;
use tamis_core::filter::Attribute;
use tamis_core::manifest::FootprintAttribute;

use crate::contract::batch;
use crate::error::{Error, excerpt};

/// What a column holds of each chunk, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Codes of an attribute's values. The number is its position in the footprint.
    Codes(usize, Attribute),
    /// An attribute's numbers, as `Codes`.
    Longs(usize, Attribute),
    /// Codes of entity types.
    EntityType,
    /// Ids as texts.
    Id,
    /// Codes of sets of ancestors.
    Ancestors,
    /// Codes of records of tags.
    Tags,
}

/// The columns that a policy wants in every frame, in order.
///
/// # Errors
/// [`Error::Contract`] for a column twice, an attribute that is not in the footprint, or a form that does not fit.
pub(crate) fn columns(
    wanted: &[batch::Column],
    footprint: &[FootprintAttribute],
) -> Result<Vec<Column>, Error> {
    let mut columns: Vec<Column> = Vec::new();
    for (place, column) in wanted.iter().enumerate() {
        let broken = |message: &str| Error::Contract(excerpt(&format!("its column {place} {message}")));
        let column = read(column, footprint).map_err(broken)?;
        // So there are no more than twice as many as attributes, and looking through them all stays cheap.
        if columns.contains(&column) {
            return Err(broken("is there twice"));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn read(column: &batch::Column, footprint: &[FootprintAttribute]) -> Result<Column, &'static str> {
    use batch::{Form, Source};
    match (column.source, column.form) {
        (Source::Attribute(index), form) => {
            let index = index as usize;
            let attribute = footprint.get(index).map(|entry| entry.attribute.clone());
            let attribute = attribute.ok_or("is an attribute that is not in its footprint")?;
            match (form, &attribute.declared) {
                (Form::Codes, _) => Ok(Column::Codes(index, attribute)),
                (Form::Longs, Some(Type::Long | Type::Decimal | Type::Datetime | Type::Duration)) => {
                    Ok(Column::Longs(index, attribute))
                }
                (Form::Longs, _) => {
                    Err("holds longs of an attribute that is not declared as a kind of number")
                }
                (Form::Texts, _) => Err("holds texts of an attribute"),
            }
        }
        (Source::EntityType, Form::Codes) => Ok(Column::EntityType),
        (Source::Id, Form::Texts) => Ok(Column::Id),
        (Source::Ancestors, Form::Codes) => Ok(Column::Ancestors),
        (Source::Tags, Form::Codes) => Ok(Column::Tags),
        _ => Err("has a form that its source does not have"),
    }
}
