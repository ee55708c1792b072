//! A search that goes on, page by page.

use std::cell::RefMut;
use std::collections::HashSet;

use ::postgres::Row;
use serde_json::Value as Json;
use tamis_core::{Chunk, EntityUid, InputError};

use super::PostgresTable;
use super::connection::{Connection, Matching};
use super::statements::{JsonText, Ranking, joined};
use crate::error::Error;
use crate::source::{Candidate, Candidates, read_ancestors};

pub(super) struct Pages<'a> {
    table: &'a PostgresTable,
    connection: RefMut<'a, Connection>,
    ranking: Ranking,
    stage: Stage,
    seen: HashSet<String>,
}

/// Where the next candidates come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked yet.
    Start,
    /// What the approximate index has beyond what it gave.
    Index,
    /// All that matches and was not seen.
    Exact,
    /// A cursor along the index, in a transaction.
    IndexCursor,
    /// A cursor over all that matches, in a transaction.
    ExactCursor,
    /// There is no more.
    End,
}

impl<'a> Pages<'a> {
    pub(super) fn new(
        table: &'a PostgresTable,
        connection: RefMut<'a, Connection>,
        ranking: Ranking,
    ) -> Self {
        Self { table, connection, ranking, stage: Stage::Start, seen: HashSet::new() }
    }

    fn failed(&self) -> impl Fn(::postgres::Error) -> Error + use<> {
        Error::postgres(&self.table.name)
    }

    /// One statement by the best strategy, as far as is known.
    fn first(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        let failed = self.failed();
        let most = self.table.exact_up_to;
        let matching = if self.connection.is_approximate() {
            self.connection.matching(&self.ranking, most).map_err(&failed)?
        } else {
            Matching::Few
        };
        let rows = match matching {
            Matching::Many => None,
            Matching::Few => Some(self.connection.query(&self.ranking.exact(Some(wanted))).map_err(&failed)?),
            Matching::MaybeFew => {
                let rows = self.connection.query(&self.ranking.few(most, wanted)).map_err(&failed)?;
                let count: i64 =
                    rows.first().map_or(Ok(0), |row| row.try_get("matching")).map_err(&failed)?;
                let few = count <= i64::from(most);
                self.connection.learn(&self.ranking, if few { Matching::Few } else { Matching::Many });
                few.then_some(rows)
            }
        };
        let mut page = Vec::new();
        if let Some(rows) = rows {
            self.stage = if rows.len() < wanted { Stage::End } else { Stage::Exact };
            self.read(&rows, &mut page)?;
        } else {
            self.connection.reach_for(wanted).map_err(&failed)?;
            let rows = self.connection.query(&self.ranking.approximate(Some(wanted))).map_err(&failed)?;
            self.stage = if rows.len() < wanted { Stage::Exact } else { Stage::Index };
            self.read(&rows, &mut page)?;
            page.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        }
        Ok(page)
    }

    /// Opens a cursor over the rest.
    fn declare(&mut self, stage: Stage) -> Result<(), Error> {
        let failed = self.failed();
        let within = matches!(self.stage, Stage::IndexCursor | Stage::ExactCursor);
        let begin = if within { "CLOSE tamis" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" };
        self.connection.execute(begin).map_err(&failed)?;
        // From here on dropping it ends the transaction.
        self.stage = stage;
        let ranking = &self.ranking;
        let all = if stage == Stage::IndexCursor { ranking.approximate(None) } else { ranking.exact(None) };
        self.connection.query(&all.cursor("tamis")).map_err(&failed)?;
        Ok(())
    }

    fn fetch(&mut self, wanted: usize, page: &mut Vec<Candidate>) -> Result<bool, Error> {
        let rows = self.connection.fetch("tamis", wanted).map_err(self.failed())?;
        self.read(&rows, page)?;
        Ok(!rows.is_empty())
    }
}

impl Candidates for Pages<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let mut page = if self.stage == Stage::Start { self.first(wanted)? } else { Vec::new() };
        while page.len() < wanted {
            match self.stage {
                Stage::Start | Stage::End => break,
                Stage::Index => self.declare(Stage::IndexCursor)?,
                Stage::Exact => self.declare(Stage::ExactCursor)?,
                Stage::IndexCursor => {
                    if !self.fetch(wanted - page.len(), &mut page)? {
                        self.declare(Stage::ExactCursor)?;
                    }
                }
                Stage::ExactCursor => {
                    if !self.fetch(wanted - page.len(), &mut page)? {
                        break;
                    }
                }
            }
        }
        Ok(page)
    }
}

impl Pages<'_> {
    /// Adds those rows that were not seen before.
    fn read(&mut self, rows: &[Row], page: &mut Vec<Candidate>) -> Result<(), Error> {
        for row in rows {
            let failed = self.failed();
            let distance = row.try_get("distance").map_err(&failed)?;
            let chunk = match row.try_get::<_, String>("chunk_id") {
                Ok(id) if !self.seen.insert(id.clone()) => continue,
                Ok(id) => self.chunk(row, &id),
                Err(error) => Err(failed(error)),
            };
            page.push(Candidate { chunk, distance });
        }
        Ok(())
    }

    fn chunk(&self, row: &Row, id: &str) -> Result<Chunk, Error> {
        let failed = self.failed();
        let unreadable =
            |source: InputError| Error::Chunk { path: joined(&self.table.name), id: id.to_owned(), source };
        let JsonText(attributes) = row.try_get("attributes").map_err(&failed)?;
        let attributes = match tamis_core::input::parse_json(attributes).map_err(unreadable)? {
            Json::Object(object) => self.table.language.fields.restore(object),
            _ => return Err(unreadable(InputError::new("attributes", "is not an object"))),
        };
        let ancestors: Vec<String> = row.try_get("ancestors").map_err(&failed)?;
        Ok(Chunk {
            uid: EntityUid::new(row.try_get::<_, String>("chunk_type").map_err(&failed)?, id),
            attributes,
            ancestors: read_ancestors(&ancestors).map_err(unreadable)?,
            text: row.try_get("chunk_text").map_err(&failed)?,
            ..Chunk::new(id)
        })
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::IndexCursor | Stage::ExactCursor)
            && let Err(error) = self.connection.execute("ROLLBACK")
        {
            tracing::warn!(%error, "the transaction of a search could not be ended");
        }
    }
}
