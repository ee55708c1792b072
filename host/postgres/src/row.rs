//! Rows as policies read them: where each attribute of a footprint is among the columns, and what a row has there.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value as Json;
use tamis_core::{Cell, EntityUid, Row, input};

use crate::layout::{Column, Layout};
use crate::server::value::{Held, Member, Value};

/// Where a policy finds what it reads, in rows of one layout.
pub(crate) struct Reader {
    entity_type: String,
    id: Option<usize>,
    ancestors: Option<usize>,
    /// For each attribute of the footprint the column that is all of it, if one is.
    columns: Vec<Option<usize>>,
    /// Columns that hold JSON objects, each with what is read inside.
    objects: Vec<(usize, Vec<Member>)>,
}

/// What a policy reads of one row.
pub(crate) struct Read<'r> {
    id: Cow<'r, str>,
    entity_type: &'r str,
    ancestors: BTreeSet<EntityUid>,
    cells: Vec<Held<'r>>,
}

impl Reader {
    /// For a policy with this footprint; ids only if it reads them.
    pub(crate) fn new(layout: &Layout, footprint: &[Vec<String>], reads_ids: bool) -> Self {
        let place = |wanted: &Column| layout.columns.iter().position(|column| column == wanted);
        let attributes = layout.columns.iter().enumerate().filter_map(|(number, column)| match column {
            Column::Attribute(path) => Some((path, number)),
            _ => None,
        });
        let mut objects: Vec<(usize, Vec<Member>)> = Vec::new();
        let mut columns = Vec::new();
        for (position, path) in footprint.iter().enumerate() {
            let above =
                attributes.clone().filter(|(own, _)| path.starts_with(own)).max_by_key(|(own, _)| own.len());
            let inside = match above {
                Some((own, number)) => {
                    path.get(own.len()..).filter(|rest| !rest.is_empty()).map(|rest| (number, rest))
                }
                None if layout.absent.contains(path) => None,
                None => place(&Column::Attributes).map(|number| (number, path.as_slice())),
            };
            if let Some((number, path)) = inside {
                let wanted = Member { position, path: path.to_vec() };
                match objects.iter_mut().find(|(object, _)| *object == number) {
                    Some((_, all)) => all.push(wanted),
                    None => objects.push((number, vec![wanted])),
                }
            }
            columns.push(above.filter(|_| inside.is_none()).map(|(_, number)| number));
        }
        Self {
            entity_type: layout.entity_type.clone(),
            id: place(&Column::Id).filter(|_| reads_ids),
            ancestors: place(&Column::Ancestors),
            columns,
            objects,
        }
    }

    /// Reads a row. `None` if its id or what it is in cannot be read: such a row is nobody's.
    pub(crate) fn read<'r>(&'r self, values: impl Fn(usize) -> Value<'r>) -> Option<Read<'r>> {
        let id = match self.id {
            Some(number) => values(number).text()?,
            None => Cow::Borrowed(""),
        };
        let mut ancestors = BTreeSet::new();
        if let Some(value) = self.ancestors.map(&values).filter(|value| !value.is_null()) {
            let read = |key: &String| input::parse::<(String, String)>(key).ok();
            let uid = |key: &String| read(key).map(|(entity_type, id)| EntityUid { entity_type, id });
            ancestors = value.texts()?.iter().map(uid).collect::<Option<_>>()?;
        }
        let whole = |column: &Option<usize>| column.map_or(Held::Absent, |number| values(number).held());
        let mut cells: Vec<Held<'r>> = self.columns.iter().map(whole).collect();
        for (number, wanted) in &self.objects {
            values(*number).members(wanted, |position, held| {
                if let Some(cell) = cells.get_mut(position) {
                    *cell = held;
                }
            });
        }
        Some(Read { id, entity_type: &self.entity_type, ancestors, cells })
    }
}

impl Row for Read<'_> {
    fn id(&self) -> &str {
        &self.id
    }

    fn attribute(&self, position: usize, _: &[String]) -> Cell<'_> {
        self.cells.get(position).map_or(Cell::Absent, Held::cell)
    }

    fn entity_type(&self) -> &str {
        self.entity_type
    }

    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        &self.ancestors
    }
}

impl Held<'_> {
    fn cell(&self) -> Cell<'_> {
        match self {
            Held::Absent | Held::Json(Json::Null) => Cell::Absent,
            Held::Bool(value) => Cell::Bool(*value),
            Held::Long(number) => Cell::Long(*number),
            Held::Text(text) => Cell::Text(text),
            Held::Json(json) => Cell::Json(json),
        }
    }
}
