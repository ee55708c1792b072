//! Rows as policies read them: where each attribute of a footprint is among the columns, and what a row has there.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value as Json;
use tamis_core::{Cell, Chunk, EntityUid, Row, input};

use crate::layout::{Column, Layout};
use crate::server::value::{Held, Member, Value};

/// Where a policy finds what it reads, in rows of one layout.
pub(crate) struct Reader {
    entity_type: String,
    id: Option<usize>,
    ancestors: Option<usize>,
    /// For each attribute of the footprint.
    sources: Vec<Source>,
    /// Columns that hold JSON objects, each with what is read inside.
    objects: Vec<(usize, Vec<Member>)>,
}

/// Where one attribute is.
struct Source {
    path: Vec<String>,
    /// The column that is all of it, if one is.
    column: Option<usize>,
    /// Columns that replace a part of it, in order.
    parts: Vec<(Vec<String>, usize)>,
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
        let attributes = || {
            layout.columns.iter().enumerate().filter_map(|(number, column)| match column {
                Column::Attribute(path) => Some((path, number)),
                _ => None,
            })
        };
        let mut objects: Vec<(usize, Vec<Member>)> = Vec::new();
        let mut sources = Vec::new();
        for (position, path) in footprint.iter().enumerate() {
            let above =
                attributes().filter(|(own, _)| path.starts_with(own)).max_by_key(|(own, _)| own.len());
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
            let column = above.filter(|_| inside.is_none()).map(|(_, number)| number);
            let parts = attributes().filter(|(own, _)| own.len() > path.len() && own.starts_with(path));
            let parts = parts.map(|(own, number)| (own.clone(), number)).collect();
            sources.push(Source { path: path.clone(), column, parts });
        }
        Self {
            entity_type: layout.entity_type.clone(),
            id: place(&Column::Id).filter(|_| reads_ids),
            ancestors: place(&Column::Ancestors),
            sources,
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
        let whole = |source: &Source| source.column.map_or(Held::Absent, |number| values(number).held());
        let mut cells: Vec<Held<'r>> = self.sources.iter().map(whole).collect();
        for (number, wanted) in &self.objects {
            values(*number).members(wanted, |position, held| {
                if let Some(cell) = cells.get_mut(position) {
                    *cell = held;
                }
            });
        }
        for (source, cell) in
            self.sources.iter().zip(&mut cells).filter(|(source, _)| !source.parts.is_empty())
        {
            *cell = source.in_parts(cell, &values);
        }
        Some(Read { id, entity_type: &self.entity_type, ancestors, cells })
    }
}

impl Source {
    /// The attribute with what other columns have of it.
    fn in_parts<'r>(&self, whole: &Held<'r>, values: impl Fn(usize) -> Value<'r>) -> Held<'r> {
        let mut chunk = Chunk::new("");
        chunk.store(&self.path, whole.cell().to_json().unwrap_or_default());
        for (path, number) in &self.parts {
            chunk.store(path, values(*number).held().cell().to_json().unwrap_or_default());
        }
        chunk.stored(&self.path).cloned().map_or(Held::Absent, Held::Json)
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
