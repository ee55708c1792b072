//! Ranked chunks out of the store, page by page, within one read transaction.

use std::collections::HashSet;
use std::vec::IntoIter;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Transaction, params_from_iter};
use tamis_core::chunk::check_vector;

use super::{CHUNK_COLUMNS, Condition, read_chunk, schema, write};
use crate::error::Error;
use crate::source::{By, Candidate, Candidates};

/// sqlite-vec refuses to rank more at once.
const MAX_NEAREST: usize = 4096;
/// A question of more words is cut: FTS5 evaluates every one of them.
const MAX_WORDS: usize = 64;

pub(super) fn open<'a>(
    snapshot: Transaction<'a>,
    path: &'a str,
    by: By<'_>,
    condition: Condition,
) -> Result<Box<dyn Candidates + 'a>, Error> {
    let view = View { snapshot, path, condition };
    match by {
        By::Vector(vector) => {
            check_vector(vector).map_err(|message| Error::Question(format!("the vector: {message}")))?;
            let Some(blob) = write::to_blob(vector) else {
                return Err(Error::Question(
                    "the vector is zero, which has no direction to compare".to_owned(),
                ));
            };
            let dimensions = view.sqlite(schema::dimensions(&view.snapshot))?;
            match dimensions {
                Some(dimensions) if dimensions != vector.len() => Err(Error::Question(format!(
                    "the vector has {} numbers; this database has {dimensions}",
                    vector.len()
                ))),
                _ => Ok(Box::new(Nearest {
                    view,
                    vector: blob,
                    ended: dimensions.is_none(),
                    seen: HashSet::new(),
                    rest: None,
                })),
            }
        }
        By::Text(text) => Ok(Box::new(Matching { view, words: words(text)?, seen: 0, rest: None })),
    }
}

/// One consistent view of the data, reduced by a filter.
struct View<'a> {
    snapshot: Transaction<'a>,
    path: &'a str,
    condition: Condition,
}

impl View<'_> {
    fn sqlite<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(Error::sqlite(self.path))
    }

    /// Rows and distances of a ranking query, whose parameters are `first`, the filter's, and `last`.
    fn rank(&self, sql: &str, first: SqlValue, last: &[i64]) -> Result<Vec<(i64, f64)>, Error> {
        let last = last.iter().copied().map(SqlValue::Integer);
        let parameters = std::iter::once(first).chain(self.condition.parameters.iter().cloned()).chain(last);
        self.sqlite(self.snapshot.prepare_cached(sql).and_then(|mut query| {
            let rows = query.query_map(params_from_iter(parameters), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        }))
    }

    fn load(&self, ranked: impl IntoIterator<Item = (i64, f64)>) -> Result<Vec<Candidate>, Error> {
        let sql = format!("SELECT {CHUNK_COLUMNS} FROM chunks WHERE rowid = ?");
        let mut query = self.sqlite(self.snapshot.prepare_cached(&sql))?;
        let mut candidates = Vec::new();
        for (row, distance) in ranked {
            let chunk = self.sqlite(query.query_row([row], |row| Ok(read_chunk(row, self.path))))??;
            candidates.push(Candidate { chunk: Ok(chunk), distance });
        }
        Ok(candidates)
    }
}

/// By nearness of vectors.
struct Nearest<'a> {
    view: View<'a>,
    vector: Vec<u8>,
    /// There is no more, or no vector was ever stored.
    ended: bool,
    seen: HashSet<i64>,
    /// Everything that is left, once it had to be ranked as a whole.
    rest: Option<IntoIter<(i64, f64)>>,
}

impl Candidates for Nearest<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        if self.ended || wanted == 0 {
            return Ok(Vec::new());
        }
        let reach = self.seen.len() + wanted;
        if self.rest.is_none() && reach > MAX_NEAREST {
            let mut rest = self.scan()?;
            rest.retain(|(row, _)| !self.seen.contains(row));
            self.rest = Some(rest.into_iter());
        }
        let page: Vec<(i64, f64)> = match &mut self.rest {
            Some(rest) => rest.take(wanted).collect(),
            None => {
                let ranked = self.nearest(reach)?;
                self.ended = ranked.len() < reach;
                ranked.into_iter().filter(|(row, _)| !self.seen.contains(row)).take(wanted).collect()
            }
        };
        self.seen.extend(page.iter().map(|(row, _)| row));
        self.view.load(page)
    }
}

impl Nearest<'_> {
    /// The nearest `reach` rows, by sqlite-vec's index.
    fn nearest(&self, reach: usize) -> Result<Vec<(i64, f64)>, Error> {
        let sql = format!(
            "SELECT rowid, distance FROM vectors WHERE embedding MATCH ?{} AND k = ? ORDER BY distance",
            self.view.condition.clause
        );
        self.view.rank(&sql, SqlValue::Blob(self.vector.clone()), &[limit(reach)])
    }

    /// All rows, nearest first, by computing every distance: beyond what sqlite-vec's index hands out. Once for a search,
    /// as every page would cost as much.
    fn scan(&self) -> Result<Vec<(i64, f64)>, Error> {
        let sql = format!(
            "SELECT rowid, vec_distance_cosine(embedding, ?) AS distance FROM vectors WHERE true{}
             ORDER BY distance, rowid",
            self.view.condition.clause
        );
        self.view.rank(&sql, SqlValue::Blob(self.vector.clone()), &[])
    }
}

/// By words in common.
struct Matching<'a> {
    view: View<'a>,
    words: String,
    seen: usize,
    /// Everything that is left, once the first page was not enough.
    rest: Option<IntoIter<(i64, f64)>>,
}

impl Candidates for Matching<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        if self.rest.is_none() && self.seen > 0 {
            self.rest = Some(self.best(usize::MAX)?.into_iter());
        }
        let page: Vec<(i64, f64)> = match &mut self.rest {
            Some(rest) => rest.take(wanted).collect(),
            None => self.best(wanted)?,
        };
        self.seen += page.len();
        self.view.load(page)
    }
}

impl Matching<'_> {
    /// The best rows behind those already seen, at most `count`. FTS5 scores every row that has one of the words to find
    /// them.
    fn best(&self, count: usize) -> Result<Vec<(i64, f64)>, Error> {
        let sql = format!(
            "SELECT rowid, rank FROM words WHERE words MATCH ?{} ORDER BY rank, rowid LIMIT ? OFFSET ?",
            self.view.condition.clause
        );
        self.view.rank(&sql, SqlValue::Text(self.words.clone()), &[limit(count), limit(self.seen)])
    }
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What a person typed, as an FTS5 query for any of the words. Each is quoted, so that nothing in it is an operator.
fn words(text: &str) -> Result<String, Error> {
    // A letter with its accents behind it is one letter, to FTS5 as well.
    let in_word = |c: char| c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c);
    let words: Vec<String> = text
        .split(|c| !in_word(c))
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(|word| format!("\"{word}\""))
        .collect();
    if words.is_empty() {
        return Err(Error::Question("the text has no words to search for".to_owned()));
    }
    Ok(words.join(" OR "))
}
