//! Rows by nearness of vectors, in one of three ways.
//!
//! | the filter can match | what is ranked |
//! |---|---|
//! | little, by the index of terms | those rows, each by its distance, to be tested then |
//! | much, by a sample | some of the nearest of all rows by sqlite-vec's index, to be tested then |
//! | anything else | what it matches: if that is little, each row by its distance, else the nearest by sqlite-vec's index |
//!
//! What the second way does not find, the third one does. A wrong guess costs time. sqlite-vec goes through all vectors whatever it ranks; single
//! ones it fetches in ten times the time that SQLite takes, so the store has them in a table as well.

use std::collections::HashSet;

use rusqlite::types::Value as SqlValue;
use serde_json::json;
use tamis_core::chunk::check_vector;

use super::ranked::Ranked;
use super::{View, reach, schema, write};
use crate::error::Error;

/// sqlite-vec refuses to rank more at once.
const MAX_NEAREST: usize = 4096;

/// Rows with vectors, nearest first as far as they were asked for.
pub(super) struct Nearest {
    vector: Vec<u8>,
    stage: Stage,
    /// The rows that match, once that was found out.
    matching: Option<Vec<i64>>,
    /// What was given, which must not be given again.
    given: HashSet<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Matching,
    End,
}

/// Rows that are nearer than all that were not given yet.
pub(super) struct Part {
    pub(super) rows: Vec<Ranked>,
    /// Whether they are known to match the filter.
    pub(super) tested: bool,
}

impl Nearest {
    /// # Errors
    /// [`Error::Question`] for a vector that has no direction, or of another size than those that are stored.
    pub(super) fn new(view: &View<'_>, vector: &[f32]) -> Result<Self, Error> {
        check_vector(vector).map_err(|message| Error::Question(format!("the vector: {message}")))?;
        let Some(blob) = write::to_blob(vector) else {
            return Err(Error::Question("the vector is zero, which has no direction to compare".to_owned()));
        };
        let stage = match view.sqlite(schema::dimensions(&view.snapshot))? {
            None => Stage::End,
            Some(dimensions) if dimensions == vector.len() => Stage::Start,
            Some(dimensions) => {
                return Err(Error::Question(format!(
                    "the vector has {} numbers; this database has {dimensions}",
                    vector.len()
                )));
            }
        };
        Ok(Self { vector: blob, stage, matching: None, given: HashSet::new() })
    }

    /// The next rows: as many as are `wanted` if so many match, once all parts that are not tested were; `None` if there are no more.
    pub(super) fn next_part(&mut self, view: &View<'_>, wanted: usize) -> Result<Option<Part>, Error> {
        let rows = match self.stage {
            Stage::End => return Ok(None),
            Stage::Start => match self.guess(view, wanted)? {
                Some(rows) => return Ok(Some(self.give(rows, false))),
                None => self.matching(view, wanted)?,
            },
            Stage::Matching => self.matching(view, wanted)?,
        };
        Ok(Some(self.give(rows, true)))
    }

    fn give(&mut self, mut rows: Vec<Ranked>, tested: bool) -> Part {
        rows.retain(|ranked| self.given.insert(ranked.row));
        Part { rows, tested }
    }

    /// Rows that may match, where these are likely to be enough.
    fn guess(&mut self, view: &View<'_>, wanted: usize) -> Result<Option<Vec<Ranked>>, Error> {
        self.stage = Stage::Matching;
        match &reach::covered(view)? {
            Some(rows) => {
                self.stage = Stage::End;
                self.each(view, Some(rows)).map(Some)
            }
            None => match reach::guess(view, wanted)? {
                Some(count) => self.best(view, count, None).map(Some),
                None => Ok(None),
            },
        }
    }

    /// Enough rows that match, those that were given among them.
    fn matching(&mut self, view: &View<'_>, wanted: usize) -> Result<Vec<Ranked>, Error> {
        if self.matching.is_none() && view.condition.is_some() {
            let matching = view.matching(None)?;
            tracing::debug!(way = "metadata", rows = matching.len(), "rows that match were found");
            // The others were tested in vain.
            self.given.retain(|row| matching.binary_search(row).is_ok());
            self.matching = Some(matching);
        }
        let matching = self.matching.as_deref();
        let reach = self.given.len().saturating_add(wanted);
        if reach > MAX_NEAREST || matching.is_some_and(|rows| reach::is_little(view, rows.len())) {
            self.stage = Stage::End;
            return self.each(view, matching);
        }
        let rows = self.best(view, reach, matching)?;
        if rows.len() < reach {
            self.stage = Stage::End;
        }
        Ok(rows)
    }

    /// The nearest `count` rows, among these or all, by sqlite-vec's index.
    fn best(&self, view: &View<'_>, count: usize, among: Option<&[i64]>) -> Result<Vec<Ranked>, Error> {
        let condition = if among.is_some() { " AND rowid IN (SELECT value FROM json_each(?))" } else { "" };
        let sql = format!("SELECT rowid, distance FROM vectors WHERE embedding MATCH ? AND k = ?{condition}");
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let parameters = [SqlValue::Blob(self.vector.clone()), SqlValue::Integer(count)];
        let rows = among.map(|rows| SqlValue::Text(json!(rows).to_string()));
        Ranked::all(view, &sql, parameters.into_iter().chain(rows))
    }

    /// All rows, or those among these, by computing every distance.
    fn each(&self, view: &View<'_>, among: Option<&[i64]>) -> Result<Vec<Ranked>, Error> {
        let condition = if among.is_some() { " WHERE row IN (SELECT value FROM json_each(?))" } else { "" };
        let sql = format!("SELECT row, vec_distance_cosine(embedding, ?) FROM embeddings{condition}");
        let vector = std::iter::once(SqlValue::Blob(self.vector.clone()));
        let rows = among.map(|rows| SqlValue::Text(json!(rows).to_string()));
        Ranked::all(view, &sql, vector.chain(rows))
    }
}
